/* What the machine shows reaches the conns: it slept, it got a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/engine.h"
#include "client/handle.h"
#include "host.h"
#include "netns.h"

/* A transport whose dials all fail. */
struct failing {
  struct stwi_sink sink;
  stw_cause cause;
  uint64_t sleeps_ns; /* during the first dial the machine seems to sleep for so long */
  _Atomic uint32_t looks;
};

static struct host host;
static struct failing failing;
static bool has_namespace;

static void op_dial(void *self, uint32_t conn, uint32_t link, const struct stwi_dial *dial) {
  (void)self, (void)dial;
  struct stwi_engine *engine = failing.sink.owner;
  struct stwi_input down = {.kind = STWI_IN_DOWN, .conn = conn, .link = link};
  down.u.down.cause = failing.cause;
  down.u.down.detail = "as wished";
  failing.sink.put(engine, &down);
  if (failing.sleeps_ns == 0)
    return;
  engine->last_boot -= failing.sleeps_ns;
  engine->has_clock_news = true;
  failing.sleeps_ns = 0;
}

static void op_none(void *self, uint32_t conn, uint32_t link, bool on) {
  (void)self, (void)conn, (void)link, (void)on;
}

static void op_write(void *self, uint32_t conn, uint32_t link, uint8_t *data, size_t size) {
  (void)self, (void)conn, (void)link, (void)data, (void)size;
}

static void op_look(void *self) {
  (void)self;
  atomic_fetch_add(&failing.looks, 1);
}

static void op_free(void *self) {
  (void)self;
}

static struct stwi_transport make(void *arg, struct stwi_loop *loop, struct stwi_sink sink,
                                  const char **why) {
  static const struct stwi_transport_ops ops = {.dial = op_dial,
                                                .write = op_write,
                                                .pause = op_none,
                                                .cut = op_none,
                                                .look = op_look,
                                                .free = op_free};
  (void)loop;
  failing.sink = sink;
  *why = NULL;
  return (struct stwi_transport){&ops, arg};
}

static void free_engine(void *engine) {
  stwi_engine_stop(engine);
  stwi_engine_drop(engine);
}

static int set_up(void **unused) {
  (void)unused;
  struct stwi_engine *engine;
  memset(&failing, 0, sizeof failing);
  host_init(&host);
  stw_engine_free(host.engine);
  if (stwi_engine_start(&engine, make, NULL) != STW_OK)
    return -1;
  host.engine.id = stwi_handle_new(STWI_HANDLE_ENGINE, engine, free_engine);
  return 0;
}

static int tear_down(void **unused) {
  (void)unused;
  host_fini(&host);
  return 0;
}

static void expect_tries_because(stw_conn conn, stw_cause cause) {
  for (;;) {
    const struct host_event *change = host_wait(&host, conn, STW_EVENT_STATE);
    assert_non_null(change);
    if (change->event.u.state.cause == cause) {
      assert_int_equal(change->event.u.state.to, STW_STATE_CONNECTING);
      return;
    }
  }
}

static void a_machine_that_slept_tries_at_once(void **unused) {
  (void)unused;
  failing.cause = STW_CAUSE_TCP_REFUSED;
  failing.sleeps_ns = 10 * STWI_S;
  expect_tries_because(host_open(&host, 1, NULL), STW_CAUSE_SUSPEND_RESUME);
}

/* Of long windows: without the notice it would wait for them. */
static void a_network_that_comes_calls_who_had_none(void **unused) {
  (void)unused;
  if (!has_namespace)
    skip();
  const char *slow[] = {"retry_window", "10min", "retry_cap", "1h", NULL};
  failing.cause = STW_CAUSE_NET_UNREACHABLE;
  const stw_conn conn = host_open(&host, 1, slow);
  host_wait_state(&host, conn, STW_STATE_WAITING);
  assert_true(netns_ip("link add near type veth peer name far"));
  assert_true(netns_ip("link set near up"));
  expect_tries_because(conn, STW_CAUSE_NET_UP);
  assert_true(atomic_load(&failing.looks) >= 1);
  assert_true(netns_ip("link del near"));
}

int main(void) {
  has_namespace = netns_enter(); /* engines made from here on live in it */
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(a_machine_that_slept_tries_at_once),
      TEST(a_network_that_comes_calls_who_had_none),
  };
  return netns_answer(cmocka_run_group_tests(tests, NULL, NULL), has_namespace);
}
