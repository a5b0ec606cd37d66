/* The engine thread: commands in order, inputs never from within, slots given back when it is safe.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "client/engine.h"
#include "client/handle.h"
#include "client/mailbox.h"
#include "host.h"

static struct host host;

static int set_up(void **state) {
  (void)state;
  host_init(&host);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  host_fini(&host);
  return 0;
}

static struct stwi_engine *inside(void) {
  struct stwi_engine *engine;
  assert_int_equal(stwi_handle_hold(host.engine.id, STWI_HANDLE_ENGINE, (void **)&engine), STW_OK);
  return engine;
}

static struct stwi_transport make_nothing(void *arg, struct stwi_loop *loop, struct stwi_sink sink,
                                          const char **why) {
  (void)loop;
  (void)sink;
  *why = arg;
  return (struct stwi_transport){NULL, NULL};
}

static void a_transport_that_cannot_start_is_a_sentence(void **state) {
  (void)state;
  struct stwi_engine *engine;
  const size_t threads = host_entries("/proc/self/task"), fds = host_entries("/proc/self/fd");
  for (int i = 0; i < 20; i++) {
    EXPECT(stwi_engine_start(&engine, make_nothing, "the plug is missing"), STW_E_SYSTEM,
           "the plug is missing");
  }
  assert_int_equal(host_entries("/proc/self/task"), threads);
  assert_int_equal(host_entries("/proc/self/fd"), fds);
}

static void a_stopped_engine_takes_no_command(void **state) {
  (void)state;
  struct stwi_engine *engine = inside();
  stwi_engine_stop(engine);
  stwi_engine_stop(engine); /* idempotent */
  struct stwi_command *command = stwi_command_new(STWI_COMMAND_INPUT, NULL, 0);
  assert_false(stwi_engine_command(engine, command));
  EXPECT(stw_engine_network(host.engine, STW_NETWORK_UP), STW_E_CLOSED, "make a new one");
  stw_conn conn;
  EXPECT(host_try_open(&host, 1, NULL, &conn), STW_E_CLOSED, "open the conn there");
  stwi_handle_drop(host.engine.id);
}

static uint32_t lowest_free_slot(struct stwi_engine *engine) {
  uint32_t slot;
  pthread_mutex_lock(&engine->lock);
  slot = engine->slot_count - engine->free_count;
  pthread_mutex_unlock(&engine->lock);
  return slot;
}

/* A turn of the engine has passed. */
static void pass_turn(stw_conn conn) {
  stw_outbox_entry entry;
  size_t count;
  assert_int_equal(host_list(conn, 0, &entry, 1, &count), STW_OK);
}

static void slots_are_given_back(void **state) {
  (void)state;
  struct stwi_engine *engine = inside();
  stw_conn stays = host_open(&host, 1, NULL);
  host_wait_state(&host, stays, STW_STATE_ONLINE);
  for (int i = 0; i < 200; i++) {
    stw_conn conn = host_open(&host, 2, NULL);
    if (i % 2 == 0)
      host_wait_state(&host, conn, STW_STATE_ONLINE);
    assert_int_equal(stw_conn_free(conn), STW_OK);
  }
  assert_true(fake_server_is_live(&host.server, 1));
  while (lowest_free_slot(engine) != 1)
    pass_turn(stays);
  assert_true(engine->slot_count < 20);
  stwi_handle_drop(host.engine.id);
}

static void an_open_that_fails_gives_its_slot_back(void **state) {
  (void)state;
  struct stwi_engine *engine = inside();
  stw_conn stays = host_open(&host, 1, NULL);
  stw_mailbox good = host.mailbox;
  struct stwi_mailbox *mailbox;
  assert_int_equal(stw_mailbox_new(&host.mailbox), STW_OK);
  assert_int_equal(stwi_handle_hold(host.mailbox.id, STWI_HANDLE_MAILBOX, (void **)&mailbox),
                   STW_OK);
  mailbox->is_closed = true; /* as if it were being freed by another thread */
  for (int i = 0; i < 50; i++) {
    stw_conn conn;
    EXPECT(host_try_open(&host, 2, NULL, &conn), STW_E_HANDLE, "freed meanwhile");
    pass_turn(stays);
  }
  stwi_handle_drop(host.mailbox.id);
  stw_mailbox_free(host.mailbox);
  host.mailbox = good;
  while (lowest_free_slot(engine) != 1)
    pass_turn(stays);
  assert_true(engine->slot_count < 5);
  stwi_handle_drop(host.engine.id);
}

/* ---- a transport that says DOWN only when it is told to ---- */

struct slow_transport {
  struct stwi_sink sink;
  _Atomic uint32_t dials, cuts;
  _Atomic bool may_end;
  uint32_t conns[64], links[64];
  uint32_t count;
};

static struct slow_transport slow;

static void end_all(void) {
  for (uint32_t i = 0; i < slow.count; i++) {
    struct stwi_input down = {.kind = STWI_IN_DOWN, .conn = slow.conns[i], .link = slow.links[i]};
    down.u.down.detail = "cut";
    slow.sink.put(slow.sink.owner, &down); /* from within: the engine queues it */
  }
  slow.count = 0;
}

static void slow_dial(void *self, uint32_t conn, uint32_t link, const struct stwi_dial *dial) {
  (void)self;
  (void)dial;
  slow.conns[slow.count] = conn;
  slow.links[slow.count++] = link;
  atomic_fetch_add(&slow.dials, 1);
}

static void slow_write(void *self, uint32_t conn, uint32_t link, uint8_t *data, size_t size) {
  (void)self, (void)conn, (void)link, (void)data, (void)size;
}

static void slow_pause(void *self, uint32_t conn, uint32_t link, bool on) {
  (void)self, (void)conn, (void)link, (void)on;
}

static void slow_cut(void *self, uint32_t conn, uint32_t link, bool abort) {
  (void)self, (void)conn, (void)link, (void)abort;
  atomic_fetch_add(&slow.cuts, 1);
  if (atomic_load(&slow.may_end))
    end_all();
}

static void slow_free(void *self) {
  (void)self;
}

static struct stwi_transport make_slow(void *arg, struct stwi_loop *loop, struct stwi_sink sink,
                                       const char **why) {
  static const struct stwi_transport_ops ops = {.dial = slow_dial,
                                                .write = slow_write,
                                                .pause = slow_pause,
                                                .cut = slow_cut,
                                                .free = slow_free};
  (void)loop;
  slow.sink = sink;
  *why = NULL;
  return (struct stwi_transport){&ops, arg};
}

static void free_engine(void *engine) {
  stwi_engine_stop(engine);
  stwi_engine_drop(engine);
}

static void a_slot_waits_for_the_end_of_its_links(void **state) {
  (void)state;
  struct stwi_engine *engine;
  stw_engine before = host.engine;
  memset(&slow, 0, sizeof slow);
  assert_int_equal(stwi_engine_start(&engine, make_slow, &slow), STW_OK);
  host.engine.id = stwi_handle_new(STWI_HANDLE_ENGINE, engine, free_engine);
  stw_conn stays = host_open(&host, 1, NULL), first = host_open(&host, 1, NULL);
  while (atomic_load(&slow.dials) < 2)
    pass_turn(stays);
  assert_int_equal(stw_conn_free(first), STW_OK);
  while (atomic_load(&slow.cuts) < 1)
    pass_turn(stays);
  pass_turn(stays);
  assert_int_equal(lowest_free_slot(engine), 2); /* its link may still speak */
  atomic_store(&slow.may_end, true);
  stw_conn second = host_open(&host, 1, NULL);
  assert_int_equal(stw_conn_free(second), STW_OK); /* a cut: all end now */
  while (lowest_free_slot(engine) != 1)
    pass_turn(stays);
  assert_int_equal(stw_engine_free(host.engine), STW_OK);
  host.engine = before;
}

/* ---- commands ---- */

static void commands_are_taken_in_their_order(void **state) {
  (void)state;
  for (int i = 0; i < 100; i++) {
    stw_conn conn = host_open(&host, 1, NULL);
    assert_int_equal(stw_conn_opening(conn, "a", "login", 5, true), STW_OK);
    assert_int_equal(host_send(conn, "x", NULL), STW_OK);
    assert_int_equal(stw_conn_close(conn, HOST_GUARD_MS), STW_OK);
    const struct host_event *closed = host_wait(&host, conn, STW_EVENT_CLOSED);
    assert_non_null(closed);
    assert_int_equal(closed->event.u.closed.undelivered, 0);
    assert_int_equal(stw_conn_free(conn), STW_OK);
  }
  assert_int_equal(host.server.count, 200);
}

static void a_blocked_socket_holds_back_proof_and_goes_on(void **state) {
  (void)state;
  stw_conn conn = host_open(&host, 1, NULL);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  fake_server_be(&host.server, (struct fake_manner){.holds_writes = true, .is_silent = true});
  for (int i = 0; i < 50; i++)
    assert_int_equal(host_send(conn, "x", NULL), STW_OK);
  assert_true(fake_server_has(&host.server, 1));
  pass_turn(conn);
  host_drain(&host);
  assert_int_equal(host_count(&host, STW_EVENT_PROOF), 0);
  fake_server_be(&host.server, (struct fake_manner){0});
  assert_true(fake_server_has(&host.server, 50));
  host_wait_proof(&host, conn, STW_PROOF_RECEIVED, 50);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(a_transport_that_cannot_start_is_a_sentence),
      TEST(a_stopped_engine_takes_no_command),
      TEST(slots_are_given_back),
      TEST(an_open_that_fails_gives_its_slot_back),
      TEST(a_slot_waits_for_the_end_of_its_links),
      TEST(commands_are_taken_in_their_order),
      TEST(a_blocked_socket_holds_back_proof_and_goes_on),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
