/* accounts.h: what the attempts of each endpoint are paid from.
 *
 * The budget of an endpoint belongs to the process, an engine core to one of its threads.  So a
 * core asks for tokens through stwi_budgets.  Alone (the simulator, tests) it keeps accounts of its
 * own; the cores of a process share one set of them (client/budgets.h), which is guarded there.
 * Sources: DESIGN section 6.
 */
#ifndef STWI_CORE_ACCOUNTS_H
#define STWI_CORE_ACCOUNTS_H

#include "core/pace.h"

struct stwi_account {
  struct stwi_account *next;
  char *key;
  uint32_t conns; /* that name the endpoint in their url list */
  struct stwi_bucket bucket;
};

/* Pure: who shares them between threads keeps them apart. */
struct stwi_accounts {
  struct stwi_account *first;
};

/* The operations of core/pace.h on the account of an endpoint.  An account lives until its last
 * conn drops it.  Any time may be a little earlier than one said before: engines read the clock
 * each for itself. */
struct stwi_budgets_ops {
  /* Finds or makes; counts one conn more, which brings a token along.  NULL without memory. */
  struct stwi_account *(*hold)(void *self, const char *key, stwi_time now);
  void (*drop)(void *self, struct stwi_account *account);
  /* Takes a token for an attempt, in one step.  False: *when is the time at which there will be one
   * again if nobody else takes it, so ask again then. */
  bool (*take)(void *self, struct stwi_account *account, stwi_time now, stwi_time *when);
  bool (*spend)(void *self, struct stwi_account *account, stwi_time now);
  void (*give)(void *self, struct stwi_account *account);
};

struct stwi_budgets {
  const struct stwi_budgets_ops *ops;
  void *self;
};

/* What was spent stays known until 64 unused accounts are kept. */
struct stwi_budgets stwi_accounts_budgets(struct stwi_accounts *accounts); /* borrows */
/* As in a new process: nothing is spent, and no conn is left. */
void stwi_accounts_forget(struct stwi_accounts *accounts);
void stwi_accounts_fini(struct stwi_accounts *accounts);

#endif
