/* The budgets that the engines of a process share: exact whatever threads do, and through the ABI.
 */
#include "client/budgets.h"
#include "host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#define T0 (100 * STWI_S)

enum { THREADS = 4, ROUNDS = 20000 };

static struct stwi_account *hold(const char *key) {
  const struct stwi_budgets budgets = stwi_budgets_shared();
  struct stwi_account *account = budgets.ops->hold(budgets.self, key, T0);
  assert_non_null(account);
  return account;
}

static bool take(struct stwi_account *account) {
  const struct stwi_budgets budgets = stwi_budgets_shared();
  stwi_time when;
  return budgets.ops->take(budgets.self, account, T0, &when);
}

static void drop(struct stwi_account *account) {
  const struct stwi_budgets budgets = stwi_budgets_shared();
  budgets.ops->drop(budgets.self, account);
}

struct taker {
  const char *key;
  pthread_barrier_t *start;
  unsigned taken;
};

/* Takes what it can get, and gives back all but one in two. */
static void *take_and_give(void *arg) {
  struct taker *taker = arg;
  const struct stwi_budgets budgets = stwi_budgets_shared();
  struct stwi_account *account = budgets.ops->hold(budgets.self, taker->key, T0);
  pthread_barrier_wait(taker->start);
  for (unsigned i = 0; i < ROUNDS; i++) {
    if (!take(account))
      continue;
    if (i % 2 == 0)
      taker->taken++;
    else
      budgets.ops->give(budgets.self, account);
  }
  while (take(account))
    taker->taken++;
  pthread_barrier_wait(taker->start);
  drop(account);
  return NULL;
}

static void threads_together_take_no_more_than_there_is(void **state) {
  (void)state;
  pthread_barrier_t start;
  pthread_t threads[THREADS];
  struct taker takers[THREADS];
  pthread_barrier_init(&start, NULL, THREADS);
  for (unsigned i = 0; i < THREADS; i++) {
    takers[i] = (struct taker){"ws://threads:80", &start, 0};
    assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &takers[i]), 0);
  }
  unsigned taken = 0;
  for (unsigned i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    taken += takers[i].taken;
  }
  pthread_barrier_destroy(&start);
  assert_int_equal(taken, 10 + THREADS);
}

static int status_of(pid_t child) {
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static void a_child_of_fork_starts_with_a_full_budget(void **state) {
  (void)state;
  struct stwi_account *account = hold("ws://fork:80");
  while (take(account))
    continue;
  const pid_t child = fork();
  if (child == 0) {
    struct stwi_account *own = hold("ws://fork:80");
    unsigned count = 0;
    while (take(own))
      count++;
    _exit(count == 11 && own->conns == 1 ? 0 : 1);
  }
  assert_int_equal(status_of(child), 0);
  assert_false(take(account));
  assert_int_equal(account->conns, 1);
  drop(account);
}

static _Atomic bool is_over;

static void *keep_busy(void *arg) {
  struct stwi_account *account = arg;
  while (!atomic_load(&is_over))
    take(account);
  return NULL;
}

static void a_fork_in_the_midst_of_it_leaves_a_child_that_can_go_on(void **state) {
  (void)state;
  struct stwi_account *account = hold("ws://busy:80");
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, keep_busy, account), 0);
  for (unsigned i = 0; i < 50; i++) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(10);
      _exit(take(hold("ws://busy:80")) ? 0 : 1);
    }
    assert_int_equal(status_of(child), 0);
  }
  atomic_store(&is_over, true);
  pthread_join(thread, NULL);
  drop(account);
}

/* ---- through the ABI ---- */

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint32_t dials_of(struct fake_server *server) {
  pthread_mutex_lock(&server->lock);
  const uint32_t dials = server->dials;
  pthread_mutex_unlock(&server->lock);
  return dials;
}

static void wait_a_little(struct host *host) {
  stw_mailbox_wait(host->mailbox, 10);
  host_drain(host);
}

/* With a budget each, two would make 22 attempts within half a second. */
static void two_engines_call_on_a_dead_server_as_one(void **state) {
  (void)state;
  static const char *const eager[] = {"retry_window", "20ms", "retry_cap", "20ms", NULL};
  struct host one, two;
  const double begin = seconds();
  host_init(&one);
  host_init(&two);
  fake_server_be(&one.server, (struct fake_manner){.refuses = true});
  fake_server_be(&two.server, (struct fake_manner){.refuses = true});
  const stw_conn first = host_open(&one, 901, eager), second = host_open(&two, 901, eager);
  uint32_t dials = 0;
  while (dials < 12 && seconds() - begin < HOST_GUARD_MS / 1e3) {
    wait_a_little(&one);
    wait_a_little(&two);
    dials = dials_of(&one.server) + dials_of(&two.server);
  }
  for (const double end = seconds() + 1; seconds() < end;) {
    wait_a_little(&one);
    wait_a_little(&two);
  }
  dials = dials_of(&one.server) + dials_of(&two.server);
  assert_in_range(dials, 12, 12 + (uint32_t)((seconds() - begin) / 6));
  assert_true(dials_of(&one.server) >= 1 && dials_of(&two.server) >= 1);
  const struct stw_conn_view view = host_look(dials_of(&one.server) < 12 ? first : second);
  assert_true(view.state == STW_STATE_WAITING || view.state == STW_STATE_CONNECTING);
  host_fini(&two);
  host_fini(&one);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads_together_take_no_more_than_there_is),
      cmocka_unit_test(a_child_of_fork_starts_with_a_full_budget),
      cmocka_unit_test(a_fork_in_the_midst_of_it_leaves_a_child_that_can_go_on),
      cmocka_unit_test(two_engines_call_on_a_dead_server_as_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
