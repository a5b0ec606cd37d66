/* A store that commits late, is full, fails or asks for everything: what the host sees, and that
 * nothing is lost.  The store is a double: it does what the test says, when it says so.
 *
 * The program is linked with --wrap for the monotonic clock, so that a close may take long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <stdatomic.h>

#include "fake_store.h"
#include "host.h"
#include "io/clock.h"

#define ALL SIZE_MAX

static struct host host;
static struct fake_store stores[2];
static struct fake_store *const store = &stores[0];
static _Atomic uint64_t skew; /* what the clock is ahead */

stwi_time __real_stwi_clock_monotonic(void);
stwi_time __wrap_stwi_clock_monotonic(void);

stwi_time __wrap_stwi_clock_monotonic(void) {
  return __real_stwi_clock_monotonic() + atomic_load(&skew);
}

static int set_up(void **state) {
  (void)state;
  atomic_store(&skew, 0);
  host_init(&host);
  fake_store_init(&stores[0]);
  fake_store_init(&stores[1]);
  fake_stores_use(host.engine, stores, 2);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  host_fini(&host);
  const bool was_closed = !stores[0].is_open && !stores[1].is_open;
  fake_store_fini(&stores[0]);
  fake_store_fini(&stores[1]);
  return was_closed ? 0 : -1;
}

static stw_conn open_conn(uint16_t port, const char *name, const char *value) {
  const char *options[] = {"outbox", "a-file", name, value, NULL};
  return host_open(&host, port, options);
}

static stw_conn open_online(void) {
  stw_conn conn = open_conn(1, NULL, NULL);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  return conn;
}

static stw_message_id send_one(stw_conn conn, const char *text) {
  stw_message_id id;
  assert_int_equal(host_send(conn, text, &id), STW_OK);
  return id;
}

/* The engine has taken what came before, and a turn has passed. */
static void pass_turn(stw_conn conn) {
  stw_outbox_entry entry;
  size_t count;
  assert_int_equal(host_list(conn, 0, &entry, 1, &count), STW_OK);
}

static void expect_health(stw_conn conn, stw_store_health health, const char *detail) {
  const struct host_event *event = host_wait(&host, conn, STW_EVENT_STORE);
  assert_non_null(event);
  assert_int_equal(event->event.u.store.health, health);
  assert_string_equal(event->text, detail);
}

static void expect_text(size_t index, const char *text) {
  char got[32] = "";
  assert_int_equal(fake_server_read(&host.server, index, got, sizeof got), strlen(text));
  assert_string_equal(got, text);
}

/* ---- late ---- */

static void nothing_is_written_before_it_is_committed(void **state) {
  (void)state;
  stw_conn conn = open_online();
  send_one(conn, "one");
  send_one(conn, "two");
  send_one(conn, "three");
  assert_true(fake_store_has(store, 3));
  pass_turn(conn);
  assert_int_equal(host.server.count, 0);
  fake_store_commit(store, 2);
  host_wait_proof(&host, conn, STW_PROOF_STORED, 2);
  assert_true(fake_server_has(&host.server, 2));
  pass_turn(conn);
  assert_int_equal(host.server.count, 2);
  fake_store_commit(store, 3);
  assert_true(fake_server_has(&host.server, 3));
  host_wait_proof(&host, conn, STW_PROOF_RECEIVED, 3);
  for (size_t i = 0; i < 3; i++)
    expect_text(i, (const char *[]){"one", "two", "three"}[i]);
}

static void a_late_commit_holds_up_only_its_own_conn(void **state) {
  (void)state;
  stw_conn late = open_online(), quick = open_conn(2, NULL, NULL);
  host_wait_state(&host, quick, STW_STATE_ONLINE);
  send_one(late, "late");
  assert_true(fake_store_has(store, 1));
  for (size_t i = 1; i <= 20; i++) {
    send_one(quick, "quick");
    assert_true(fake_store_has(&stores[1], i));
    fake_store_commit(&stores[1], ALL);
    assert_true(fake_server_has(&host.server, i));
  }
  expect_text(19, "quick");
  fake_store_commit(store, ALL);
  assert_true(fake_server_has(&host.server, 21));
  expect_text(20, "late");
}

/* ---- full ---- */

static void a_full_store_refuses_and_tells_when_there_is_room(void **state) {
  (void)state;
  stw_conn conn = open_online();
  send_one(conn, "kept");
  assert_true(fake_store_has(store, 1));
  fake_store_become(store, STW_STORE_FULL, "a-file: no space left", 0);
  expect_health(conn, STW_STORE_FULL, "a-file: no space left");
  EXPECT(host_send(conn, "refused", NULL), STW_E_FULL, "no space left");
  assert_false(host_look(conn).has_store);
  pass_turn(conn);
  assert_int_equal(host.server.count, 0);
  assert_int_equal(host_count(&host, STW_EVENT_OUTBOX_ROOM), 0);
  fake_store_become(store, STW_STORE_OK, "", ALL);
  assert_non_null(host_wait(&host, conn, STW_EVENT_OUTBOX_ROOM));
  assert_true(host_look(conn).has_store);
  send_one(conn, "next");
  assert_true(fake_server_has(&host.server, 1));
  expect_text(0, "kept");
}

static void what_was_proven_leaves_a_full_store(void **state) {
  (void)state;
  struct fake_record records[FAKE_STORE_RECORDS];
  stw_conn conn = open_online();
  send_one(conn, "one");
  assert_true(fake_store_has(store, 1));
  fake_store_become(store, STW_STORE_FULL, "full", ALL);
  host_wait_proof(&host, conn, STW_PROOF_RECEIVED, 1);
  assert_true(fake_store_has(store, 2));
  assert_int_equal(fake_store_read(store, records), 2);
  assert_int_equal(records[1].op, STWI_STORE_SETTLED);
  assert_int_equal(records[1].number, 1);
}

static void an_edit_that_needs_room_is_refused_and_others_are_not(void **state) {
  (void)state;
  stw_conn conn = open_online();
  const stw_outbox outbox = stw_outbox_of(conn);
  const stw_message_id first = send_one(conn, "first"), second = send_one(conn, "second");
  assert_true(fake_store_has(store, 2));
  fake_store_become(store, STW_STORE_FULL, "full", 0);
  expect_health(conn, STW_STORE_FULL, "full");
  assert_int_equal(stw_outbox_edit(outbox, first, STW_EDIT_HOLD), STW_OK);
  EXPECT(stw_outbox_edit(outbox, first, STW_EDIT_RELEASE), STW_E_FULL, "full");
  EXPECT(stw_outbox_edit(outbox, second, STW_EDIT_PRIORITISE), STW_E_FULL, "full");
  assert_int_equal(stw_outbox_cancel(outbox, second), STW_OK);
  fake_store_become(store, STW_STORE_OK, "", ALL);
  assert_non_null(host_wait(&host, conn, STW_EVENT_OUTBOX_ROOM));
  assert_int_equal(stw_outbox_edit(outbox, first, STW_EDIT_RELEASE), STW_OK);
  assert_true(fake_store_has(store, 6)); /* two put, one parked, one removed; forgotten, put */
  fake_store_commit(store, ALL);
  assert_true(fake_server_has(&host.server, 1));
  expect_text(0, "first");
}

/* ---- failed ---- */

static void a_failed_store_is_said_and_what_waits_is_not_lost(void **state) {
  (void)state;
  stw_conn conn = open_online();
  const stw_message_id id = send_one(conn, "waits");
  assert_true(fake_store_has(store, 1));
  fake_store_become(store, STW_STORE_FAILED, "a-file: the disk is gone", 0);
  expect_health(conn, STW_STORE_FAILED, "a-file: the disk is gone");
  EXPECT(host_send(conn, "refused", NULL), STW_E_STORE, "the disk is gone");
  assert_false(host_look(conn).has_store);
  assert_int_equal(host_look(conn).state, STW_STATE_ONLINE); /* it still receives */
  stw_outbox_entry entry;
  assert_int_equal(stw_outbox_get(stw_outbox_of(conn), id, &entry), STW_OK);
  assert_int_equal(entry.state, STW_MESSAGE_QUEUED);
  assert_int_equal(entry.proof, STW_PROOF_NONE);
  char body[8];
  size_t size = 0;
  assert_int_equal(stw_outbox_body(stw_outbox_of(conn), id, body, sizeof body, &size), STW_OK);
  assert_memory_equal(body, "waits", 5);
  assert_int_equal(host.server.count, 0);
}

static void a_conn_whose_store_failed_for_good_ends_with_what_it_could_not_deliver(void **state) {
  (void)state;
  stw_conn conn = open_online();
  send_one(conn, "one");
  send_one(conn, "two");
  assert_true(fake_store_has(store, 2));
  fake_store_become(store, STW_STORE_FAILED, "gone", 1);
  expect_health(conn, STW_STORE_FAILED, "gone");
  assert_true(fake_server_has(&host.server, 1)); /* it was committed before */
  host_wait_proof(&host, conn, STW_PROOF_RECEIVED, 1);
  assert_int_equal(stw_conn_close(conn, 1), STW_OK);
  const struct host_event *closed = host_wait(&host, conn, STW_EVENT_CLOSED);
  assert_non_null(closed);
  assert_int_equal(closed->event.u.closed.undelivered, 1);
  assert_int_equal(stw_conn_free(conn), STW_OK);
  assert_int_equal(store->closes, 1);
}

static void a_failed_store_that_asks_for_everything_gets_it_and_goes_on(void **state) {
  (void)state;
  struct fake_record records[FAKE_STORE_RECORDS];
  stw_conn conn = open_online();
  const stw_outbox outbox = stw_outbox_of(conn);
  const stw_message_id held = send_one(conn, "held"), urgent = send_one(conn, "urgent");
  const stw_message_id plain = send_one(conn, "plain");
  assert_int_equal(stw_outbox_edit(outbox, held, STW_EDIT_HOLD), STW_OK);
  assert_int_equal(stw_outbox_edit(outbox, urgent, STW_EDIT_PRIORITISE), STW_OK);
  fake_store_become(store, STW_STORE_FAILED, "gone", 0);
  expect_health(conn, STW_STORE_FAILED, "gone");
  EXPECT(host_send(conn, "refused", NULL), STW_E_STORE, "gone");
  fake_store_ask(store);
  pass_turn(conn);
  assert_true(fake_store_has(store, 4));
  assert_int_equal(fake_store_read(store, records), 4);
  const struct fake_record wanted[] = {
      {STWI_STORE_PUT, records[0].serial, STW_LANE_DATA, 3, plain},
      {STWI_STORE_PUT, records[1].serial, STW_LANE_CONTROL, 1, urgent},
      {STWI_STORE_PARK, records[2].serial, STW_LANE_DATA, records[2].number, held},
      {STWI_STORE_SESSION, records[3].serial, STW_LANE_DATA, 0, {0, 0}}};
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(records[i].op, wanted[i].op);
    assert_int_equal(records[i].lane, wanted[i].lane);
    assert_int_equal(records[i].number, wanted[i].number);
    assert_memory_equal(&records[i].id, &wanted[i].id, sizeof wanted[i].id);
  }
  assert_int_equal(host.server.count, 0);
  fake_store_become(store, STW_STORE_REWRITTEN, "a new file", ALL);
  expect_health(conn, STW_STORE_REWRITTEN, "a new file");
  assert_true(host_look(conn).has_store);
  assert_true(fake_server_has(&host.server, 2));
  expect_text(0, "urgent");
  expect_text(1, "plain");
  send_one(conn, "next");
  assert_int_equal(host_count(&host, STW_EVENT_OUTBOX_ROOM), 1);
}

static void what_is_sent_while_everything_is_asked_for_is_told_once(void **state) {
  (void)state;
  struct fake_record records[FAKE_STORE_RECORDS];
  stw_conn conn = open_online();
  for (unsigned i = 0; i < 10; i++) {
    send_one(conn, "x");
    if (i == 5)
      fake_store_ask(store);
  }
  pass_turn(conn);
  assert_true(fake_store_has(store, 11)); /* ten messages, and the session */
  unsigned seen[11] = {0};
  const size_t count = fake_store_read(store, records);
  for (size_t i = 0; i < count; i++) {
    if (records[i].op == STWI_STORE_PUT)
      seen[records[i].number]++;
  }
  for (unsigned number = 1; number <= 10; number++)
    assert_int_equal(seen[number], 1);
  fake_store_commit(store, ALL);
  assert_true(fake_server_has(&host.server, 10));
}

static void a_store_without_memory_for_a_change_has_failed(void **state) {
  (void)state;
  stw_conn conn = open_online();
  pthread_mutex_lock(&store->lock);
  store->has_no_memory = true;
  pthread_mutex_unlock(&store->lock);
  send_one(conn, "lost to the store"); /* and not to the conn */
  expect_health(conn, STW_STORE_FAILED, "no memory for a change");
  EXPECT(host_send(conn, "refused", NULL), STW_E_STORE, "no memory");
  fake_store_ask(store);
  assert_true(fake_store_has(store, 2));
  fake_store_become(store, STW_STORE_OK, "", ALL);
  assert_true(fake_server_has(&host.server, 1));
  expect_text(0, "lost to the store");
}

/* ---- the end ---- */

static void a_conn_is_freed_with_all_changes_flushed(void **state) {
  (void)state;
  stw_conn conn = open_online();
  for (unsigned i = 0; i < 30; i++)
    send_one(conn, "x");
  assert_int_equal(stw_conn_free(conn), STW_OK);
  assert_int_equal(store->closes, 1);
  assert_in_range(store->patience_ms, 1, 5000);
  assert_int_equal(store->flushed, 30);
}

/* The writer's last words, while it is being joined. */
static void speak_late(struct fake_store *closed, uint32_t patience_ms) {
  (void)patience_ms;
  fake_store_become(closed, STW_STORE_FAILED, "too late", ALL);
  fake_store_ask(closed);
}

static void what_a_store_says_while_it_is_closed_reaches_nobody(void **state) {
  (void)state;
  stw_conn conn = open_online(), other = open_conn(2, NULL, NULL);
  host_wait_state(&host, other, STW_STATE_ONLINE);
  send_one(conn, "x");
  store->on_close = speak_late;
  assert_int_equal(stw_conn_free(conn), STW_OK);
  pass_turn(other);
  host_drain(&host);
  assert_int_equal(host_count(&host, STW_EVENT_STORE), 0);
  assert_int_equal(store->flushed, 1); /* nor did it get everything again */
}

/* A disk that hangs: the close takes all the patience it was given. */
static void take_all(struct fake_store *closed, uint32_t patience_ms) {
  (void)closed;
  atomic_fetch_add(&skew, patience_ms * STWI_MS);
}

static void all_files_of_an_engine_share_its_patience(void **state) {
  (void)state;
  stw_conn first = open_online(), second = open_conn(2, NULL, NULL);
  host_wait_state(&host, second, STW_STATE_ONLINE);
  send_one(first, "x");
  send_one(second, "x");
  stores[0].on_close = stores[1].on_close = take_all;
  assert_int_equal(stw_engine_free(host.engine), STW_OK);
  assert_int_equal(stores[0].closes, 1);
  assert_int_equal(stores[1].closes, 1);
  const uint32_t a = stores[0].patience_ms, b = stores[1].patience_ms;
  assert_in_range(a + b, 1, 2000);
  assert_true(a == 0 || b == 0);
  assert_int_equal(stores[0].flushed, 1); /* handed over all the same */
  assert_int_equal(stores[1].flushed, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(nothing_is_written_before_it_is_committed),
      TEST(a_late_commit_holds_up_only_its_own_conn),
      TEST(a_full_store_refuses_and_tells_when_there_is_room),
      TEST(what_was_proven_leaves_a_full_store),
      TEST(an_edit_that_needs_room_is_refused_and_others_are_not),
      TEST(a_failed_store_is_said_and_what_waits_is_not_lost),
      TEST(a_conn_whose_store_failed_for_good_ends_with_what_it_could_not_deliver),
      TEST(a_failed_store_that_asks_for_everything_gets_it_and_goes_on),
      TEST(what_is_sent_while_everything_is_asked_for_is_told_once),
      TEST(a_store_without_memory_for_a_change_has_failed),
      TEST(a_conn_is_freed_with_all_changes_flushed),
      TEST(what_a_store_says_while_it_is_closed_reaches_nobody),
      TEST(all_files_of_an_engine_share_its_patience),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
