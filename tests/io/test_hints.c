/* The machine's notices, in a network namespace of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/clock.h"
#include "io/hints.h"
#include "netns.h"

#include <pthread.h>
#include <string.h>

#define GUARD (20 * STWI_S)

struct watched {
  struct stwi_loop *loop;
  struct stwi_hints *hints;
  size_t calls, come; /* of the hook; of them, with something new */
  size_t wanted;
  stwi_time end; /* the loop stops here at the latest */
};

static bool has_namespace;
static struct watched watched;

static void on_turn(void *owner, stwi_time now) {
  struct watched *self = owner;
  if (self->calls >= self->wanted || now >= self->end)
    stwi_loop_stop(self->loop);
  stwi_loop_deadline(self->loop, self->end);
}

static void on_network(void *owner, bool has_come) {
  struct watched *self = owner;
  self->calls++;
  self->come += has_come;
}

static void on_clock(void *owner) {
  (void)owner;
}

static int set_up(void **unused) {
  (void)unused;
  memset(&watched, 0, sizeof watched);
  watched.loop = stwi_loop_new(&(struct stwi_loop_hooks){&watched, on_turn});
  watched.hints =
      stwi_hints_new(watched.loop, &(struct stwi_hints_hooks){&watched, on_network, on_clock});
  return watched.hints == NULL ? -1 : 0;
}

static int tear_down(void **unused) {
  (void)unused;
  stwi_hints_free(watched.hints);
  stwi_loop_free(watched.loop);
  if (has_namespace)
    netns_ip("link del near");
  return 0;
}

/* Until the hook was called `calls` times more, or `for_ns` is over. */
static void run(size_t calls, uint64_t for_ns) {
  watched.wanted = watched.calls + calls;
  watched.end = stwi_clock_monotonic() + for_ns;
  stwi_loop_dirty(watched.loop);
  stwi_loop_run(watched.loop);
}

#define NEED_NAMESPACE()                                                                           \
  if (!has_namespace)                                                                              \
  skip()

static void what_comes_and_goes_is_told(void **unused) {
  (void)unused;
  NEED_NAMESPACE();
  assert_true(netns_ip("link add near type veth peer name far"));
  assert_true(netns_ip("link set near up"));
  assert_true(netns_ip("addr add 10.9.0.1/24 dev near"));
  run(1, GUARD);
  assert_true(watched.calls >= 1 && watched.come >= 1);
  run(SIZE_MAX - watched.calls, 400 * STWI_MS); /* all of them are told */
  const size_t come = watched.come;
  assert_true(netns_ip("addr del 10.9.0.1/24 dev near"));
  run(1, GUARD);
  assert_int_equal(watched.come, come); /* it went; nothing has come */
}

static void *flood(void *arg) {
  (void)arg;
  for (unsigned i = 0; i < 60; i++) {
    netns_ip("addr add 10.9.0.1/24 dev near");
    netns_ip("addr del 10.9.0.1/24 dev near");
  }
  stwi_loop_wake(watched.loop);
  return NULL;
}

/* 100, 200, 400 ms and so on between two calls, whatever comes. */
static void a_flood_is_told_of_now_and_then(void **unused) {
  (void)unused;
  NEED_NAMESPACE();
  assert_true(netns_ip("link add near type veth peer name far"));
  assert_true(netns_ip("link set near up"));
  const stwi_time begin = stwi_clock_monotonic();
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, flood, NULL), 0);
  run(SIZE_MAX - watched.calls, 700 * STWI_MS);
  pthread_join(thread, NULL);
  run(SIZE_MAX - watched.calls, 2 * STWI_S);
  const uint64_t longest = 1600 * STWI_MS; /* five calls before the pauses are as long */
  assert_in_range(watched.calls, 2, 6 + (stwi_clock_monotonic() - begin) / longest);
}

static void a_loop_with_hints_ends_at_once(void **unused) {
  (void)unused;
  run(0, GUARD);
  assert_int_equal(watched.calls, 0);
}

int main(void) {
  has_namespace = netns_enter();
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(what_comes_and_goes_is_told),
      TEST(a_flood_is_told_of_now_and_then),
      TEST(a_loop_with_hints_ends_at_once),
  };
  return netns_answer(cmocka_run_group_tests(tests, NULL, NULL), has_namespace);
}
