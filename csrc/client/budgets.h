/* budgets.h: the attempt budgets that all engines of this process share.
 *
 * One account for each endpoint, whoever's conns name it: two engines that have lost the same
 * server call on it no more often than one with the conns of both.  Any thread; a token is taken
 * in one step.  A child of fork starts with what a new process has: the conns of its parent are not
 * its own.
 */
#ifndef STWI_CLIENT_BUDGETS_H
#define STWI_CLIENT_BUDGETS_H

#include "core/accounts.h"

/* Of this process, for ever. */
struct stwi_budgets stwi_budgets_shared(void);

#endif
