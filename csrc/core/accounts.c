#include "core/accounts.h"

#include <string.h>

#include "core/mem.h"

#define UNUSED_KEPT 64u

static void free_account(struct stwi_account *account) {
  stwi_free(account->key);
  stwi_free(account);
}

static struct stwi_account *make(const char *key, stwi_time now) {
  const size_t size = strlen(key) + 1;
  struct stwi_account *account = stwi_alloc(sizeof *account);
  char *copy = stwi_alloc(size);
  if (account == NULL || copy == NULL) {
    stwi_free(copy);
    stwi_free(account);
    return NULL;
  }
  memcpy(copy, key, size);
  *account = (struct stwi_account){.key = copy};
  stwi_budget_init(&account->bucket, now);
  return account;
}

static struct stwi_account *hold(void *self, const char *key, stwi_time now) {
  struct stwi_accounts *accounts = self;
  struct stwi_account *account = accounts->first;
  while (account != NULL && strcmp(account->key, key) != 0)
    account = account->next;
  if (account == NULL) {
    account = make(key, now);
    if (account == NULL)
      return NULL;
    account->next = accounts->first;
    accounts->first = account;
  }
  account->conns++;
  stwi_budget_give(&account->bucket);
  return account;
}

static void drop(void *self, struct stwi_account *account) {
  struct stwi_accounts *accounts = self;
  account->conns--;
  uint32_t unused = 0;
  struct stwi_account **place = &accounts->first;
  while (*place != NULL) {
    struct stwi_account *here = *place;
    if (here->conns == 0 && ++unused > UNUSED_KEPT) {
      *place = here->next;
      free_account(here);
    } else {
      place = &here->next;
    }
  }
}

static bool take(void *self, struct stwi_account *account, stwi_time now, stwi_time *when) {
  (void)self;
  if (!stwi_budget_allows(&account->bucket, account->conns, now, when))
    return false;
  return stwi_budget_spend(&account->bucket, account->conns, now);
}

static bool spend(void *self, struct stwi_account *account, stwi_time now) {
  (void)self;
  return stwi_budget_spend(&account->bucket, account->conns, now);
}

static void give(void *self, struct stwi_account *account) {
  (void)self;
  stwi_budget_give(&account->bucket);
}

struct stwi_budgets stwi_accounts_budgets(struct stwi_accounts *accounts) {
  static const struct stwi_budgets_ops ops = {hold, drop, take, spend, give};
  return (struct stwi_budgets){&ops, accounts};
}

void stwi_accounts_forget(struct stwi_accounts *accounts) {
  for (struct stwi_account *account = accounts->first; account != NULL; account = account->next) {
    account->conns = 0;
    stwi_budget_init(&account->bucket, account->bucket.filled_at);
  }
}

void stwi_accounts_fini(struct stwi_accounts *accounts) {
  while (accounts->first != NULL) {
    struct stwi_account *next = accounts->first->next;
    free_account(accounts->first);
    accounts->first = next;
  }
}
