#include "client/budgets.h"

#include <pthread.h>

static struct {
  pthread_mutex_t lock;
  pthread_once_t once;
  struct stwi_accounts accounts;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static struct stwi_budgets enter(void) {
  pthread_mutex_lock(&shared.lock);
  return stwi_accounts_budgets(&shared.accounts);
}

static void leave(void) {
  pthread_mutex_unlock(&shared.lock);
}

/* The parent's engines do not run in a child, so nothing there drops what they hold. */
static void in_child(void) {
  stwi_accounts_forget(&shared.accounts);
  leave();
}

static void before_fork(void) {
  pthread_mutex_lock(&shared.lock);
}

static void watch_forks(void) {
  pthread_atfork(before_fork, leave, in_child);
}

static struct stwi_account *hold(void *self, const char *key, stwi_time now) {
  (void)self;
  const struct stwi_budgets budgets = enter();
  struct stwi_account *account = budgets.ops->hold(budgets.self, key, now);
  leave();
  return account;
}

static void drop(void *self, struct stwi_account *account) {
  (void)self;
  const struct stwi_budgets budgets = enter();
  budgets.ops->drop(budgets.self, account);
  leave();
}

static bool take(void *self, struct stwi_account *account, stwi_time now, stwi_time *when) {
  (void)self;
  const struct stwi_budgets budgets = enter();
  const bool is_taken = budgets.ops->take(budgets.self, account, now, when);
  leave();
  return is_taken;
}

static bool spend(void *self, struct stwi_account *account, stwi_time now) {
  (void)self;
  const struct stwi_budgets budgets = enter();
  const bool is_spent = budgets.ops->spend(budgets.self, account, now);
  leave();
  return is_spent;
}

static void give(void *self, struct stwi_account *account) {
  (void)self;
  const struct stwi_budgets budgets = enter();
  budgets.ops->give(budgets.self, account);
  leave();
}

struct stwi_budgets stwi_budgets_shared(void) {
  static const struct stwi_budgets_ops ops = {hold, drop, take, spend, give};
  pthread_once(&shared.once, watch_forks);
  return (struct stwi_budgets){&ops, NULL};
}
