#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/clock.h"
#include "io/loop.h"

#include <dirent.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

struct host {
  struct stwi_loop *loop;
  size_t turns;
  stwi_time last, wanted;
  size_t dirty_left;
  void (*on_turn)(struct host *host, stwi_time now);
};

static void turn(void *owner, stwi_time now) {
  struct host *host = owner;
  assert_true(now >= host->last);
  assert_int_equal(stwi_loop_now(host->loop), now); /* read once */
  host->last = now;
  host->turns++;
  if (host->on_turn != NULL)
    host->on_turn(host, now);
}

static void open_loop(struct host *host, void (*on_turn)(struct host *, stwi_time)) {
  memset(host, 0, sizeof *host);
  host->on_turn = on_turn;
  host->loop = stwi_loop_new(&(struct stwi_loop_hooks){host, turn});
  assert_non_null(host->loop);
}

static void stop(struct host *host, stwi_time now) {
  (void)now;
  stwi_loop_stop(host->loop);
}

static void *wake_many_times(void *arg) {
  struct host *host = arg;
  for (int i = 0; i < 1000; i++)
    stwi_loop_wake(host->loop);
  return NULL;
}

static void wake_from_another_thread_runs_a_turn(void **state) {
  (void)state;
  struct host host;
  pthread_t thread;
  open_loop(&host, stop);
  pthread_create(&thread, NULL, wake_many_times, &host);
  stwi_loop_run(host.loop);
  assert_true(host.turns >= 1);
  pthread_join(thread, NULL);
  stwi_loop_free(host.loop);
}

static void wakes_coalesce(void **state) {
  (void)state;
  struct host host;
  open_loop(&host, stop);
  wake_many_times(&host);
  stwi_loop_run(host.loop);
  assert_int_equal(host.turns, 1);
  stwi_loop_free(host.loop);
}

static void stop_when_due(struct host *host, stwi_time now) {
  if (now >= host->wanted)
    stwi_loop_stop(host->loop);
}

static void deadline_runs_a_turn_and_never_early(void **state) {
  (void)state;
  static const uint64_t waits[] = {0,           1, STWI_US, STWI_MS - 1, STWI_MS, 3 * STWI_MS + 7,
                                   20 * STWI_MS};
  for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
    struct host host;
    open_loop(&host, stop_when_due);
    host.wanted = stwi_clock_monotonic() + waits[i];
    stwi_loop_deadline(host.loop, host.wanted);
    stwi_loop_run(host.loop);
    assert_true(host.last >= host.wanted);
    assert_true(host.last < host.wanted + 500 * STWI_MS);
    assert_true(host.turns <= 10); /* it slept */
    stwi_loop_free(host.loop);
  }
}

static void deadline_can_be_moved_and_taken_back(void **state) {
  (void)state;
  struct host host;
  open_loop(&host, stop_when_due);
  const stwi_time now = stwi_clock_monotonic();
  stwi_loop_deadline(host.loop, now + 3600 * STWI_S);
  stwi_loop_deadline(host.loop, STWI_NEVER);
  stwi_loop_deadline(host.loop, now + 3600 * STWI_S);
  host.wanted = now + 5 * STWI_MS;
  stwi_loop_deadline(host.loop, host.wanted);
  stwi_loop_deadline(host.loop, host.wanted);
  stwi_loop_run(host.loop);
  assert_true(host.last >= host.wanted);
  stwi_loop_free(host.loop);
}

/* Sets the next deadline from inside the turn, as the engine does. */
static void five_ticks(struct host *host, stwi_time now) {
  if (now < host->wanted)
    return;
  if (++host->dirty_left == 5)
    stwi_loop_stop(host->loop);
  host->wanted = now + 2 * STWI_MS;
  stwi_loop_deadline(host->loop, host->wanted);
}

static void deadline_after_deadline(void **state) {
  (void)state;
  struct host host;
  open_loop(&host, five_ticks);
  stwi_loop_deadline(host.loop, stwi_clock_monotonic());
  stwi_loop_run(host.loop);
  assert_int_equal(host.dirty_left, 5);
  stwi_loop_free(host.loop);
}

static void dirty_until_done(struct host *host, stwi_time now) {
  (void)now;
  if (host->dirty_left-- > 0)
    stwi_loop_dirty(host->loop);
  else
    stwi_loop_stop(host->loop);
}

/* More often than it goes round before it looks for events. */
static void dirty_loop_does_not_sleep(void **state) {
  (void)state;
  struct host host;
  open_loop(&host, dirty_until_done);
  host.dirty_left = 100;
  stwi_loop_dirty(host.loop);
  stwi_loop_run(host.loop);
  assert_true(host.turns >= 101);
  stwi_loop_free(host.loop);
}

static void on_timer(uv_timer_t *timer) {
  bool *has_run = timer->data;
  *has_run = true;
}

/* The timer of somebody else gets its turn although we are dirty all the time. */
static void always_dirty(struct host *host, stwi_time now) {
  (void)now;
  stwi_loop_dirty(host->loop);
  if (host->wanted != 0 && *(bool *)(uintptr_t)host->wanted)
    stwi_loop_stop(host->loop);
}

static void dirty_loop_still_looks_for_events(void **state) {
  (void)state;
  struct host host;
  bool has_run = false;
  uv_timer_t timer;
  open_loop(&host, always_dirty);
  host.wanted = (stwi_time)(uintptr_t)&has_run;
  uv_timer_init(stwi_loop_uv(host.loop), &timer);
  timer.data = &has_run;
  uv_timer_start(&timer, on_timer, 3, 0);
  stwi_loop_dirty(host.loop);
  stwi_loop_run(host.loop);
  assert_true(has_run);
  stwi_loop_free(host.loop);
}

static void idle_loop_sleeps(void **state) {
  (void)state;
  struct host host;
  bool has_run = false;
  uv_timer_t timer;
  open_loop(&host, NULL);
  uv_timer_init(stwi_loop_uv(host.loop), &timer);
  timer.data = &has_run;
  uv_timer_start(&timer, on_timer, 50, 0);
  while (!has_run)
    uv_run(stwi_loop_uv(host.loop), UV_RUN_ONCE);
  assert_true(host.turns <= 3);
  stwi_loop_free(host.loop);
}

static bool has_timer_run(void *owner) {
  return *(bool *)owner;
}

static void settling_runs_no_turns(void **state) {
  (void)state;
  struct host host;
  bool has_run = false;
  uv_timer_t timer;
  open_loop(&host, NULL);
  uv_timer_init(stwi_loop_uv(host.loop), &timer);
  timer.data = &has_run;
  uv_timer_start(&timer, on_timer, 5, 0);
  stwi_loop_dirty(host.loop);
  assert_true(stwi_loop_settle(host.loop, has_timer_run, &has_run, 5000));
  has_run = false;
  assert_false(stwi_loop_settle(host.loop, has_timer_run, &has_run, 5));
  assert_int_equal(host.turns, 0);
  stwi_loop_free(host.loop);
}

static size_t count_fds(void) {
  size_t count = 0;
  DIR *folder = opendir("/proc/self/fd");
  while (readdir(folder) != NULL)
    count++;
  closedir(folder);
  return count;
}

static void nothing_is_left_behind(void **state) {
  (void)state;
  const size_t before = count_fds();
  struct host host;
  open_loop(&host, stop);
  stwi_loop_wake(host.loop);
  stwi_loop_run(host.loop);
  stwi_loop_free(host.loop);
  stwi_loop_free(NULL);
  assert_int_equal(count_fds(), before);
}

static void no_descriptors_no_loop(void **state) {
  (void)state;
  struct rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  for (rlim_t limit = 3; limit < 6; limit++) {
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){limit, before.rlim_max});
    assert_null(stwi_loop_new(&(struct stwi_loop_hooks){NULL, turn}));
  }
  setrlimit(RLIMIT_NOFILE, &before);
}

/* ---- a resolver that hangs ---- */

static _Atomic bool is_resolver_held, has_resolver_begun;

/* libuv must find it, although we build with hidden visibility. */
__attribute__((visibility("default"))) int getaddrinfo(const char *restrict host,
                                                       const char *restrict service,
                                                       const struct addrinfo *restrict hints,
                                                       struct addrinfo **restrict result) {
  (void)host, (void)service, (void)hints;
  *result = NULL;
  has_resolver_begun = true;
  while (is_resolver_held)
    sched_yield();
  return EAI_NONAME;
}

/* Reachable for leak checkers: a thread still uses them. */
static uv_getaddrinfo_t *volatile hanging;
static struct stwi_loop *volatile left_behind;

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *answer) {
  (void)request, (void)status, (void)answer;
  fail_msg("the loop is gone");
}

static void hung_resolver_does_not_hold_up_the_end(void **state) {
  (void)state;
  struct host host;
  open_loop(&host, NULL);
  left_behind = host.loop;
  is_resolver_held = true;
  hanging = malloc(sizeof *hanging);
  assert_int_equal(uv_getaddrinfo(stwi_loop_uv(host.loop), hanging, on_answer, "x", NULL, NULL), 0);
  while (!has_resolver_begun)
    sched_yield();
  const stwi_time before = stwi_clock_monotonic();
  stwi_loop_free(left_behind);
  assert_true(stwi_clock_monotonic() - before < 5 * STWI_S);
  is_resolver_held = false; /* the thread ends, on memory that is still there */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(wake_from_another_thread_runs_a_turn),
      cmocka_unit_test(wakes_coalesce),
      cmocka_unit_test(deadline_runs_a_turn_and_never_early),
      cmocka_unit_test(deadline_can_be_moved_and_taken_back),
      cmocka_unit_test(deadline_after_deadline),
      cmocka_unit_test(dirty_loop_does_not_sleep),
      cmocka_unit_test(dirty_loop_still_looks_for_events),
      cmocka_unit_test(idle_loop_sleeps),
      cmocka_unit_test(settling_runs_no_turns),
      cmocka_unit_test(nothing_is_left_behind),
      cmocka_unit_test(no_descriptors_no_loop),
      cmocka_unit_test(hung_resolver_does_not_hold_up_the_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
