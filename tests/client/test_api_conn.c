/* A conn through the public ABI: every bad input is a typed refusal, everything else does its job. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

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

static stw_conn open_online(uint16_t port, const char *const *options) {
  stw_conn conn = host_open(&host, port, options);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  return conn;
}

static const stw_send_options plain = {.struct_size = sizeof plain};

static stw_status send_key(stw_conn conn, const char *key, const char *text, stw_message_id *id) {
  stw_send_options options = plain;
  options.key = key;
  options.key_size = strlen(key);
  return stw_conn_send(conn, text, strlen(text), &options, id);
}

/* ---- handles and arguments ---- */

/* Every call with a conn of this id says `status`. */
static void every_call_says(stw_conn conn, stw_status status, const char *word) {
  uint64_t value;
  stw_conn_view view = {.struct_size = sizeof view};
  stw_credentials credentials = {.struct_size = sizeof credentials};
  stw_payload payload = {"x", 1};
  EXPECT(stw_conn_send(conn, "x", 1, NULL, NULL), status, word);
  EXPECT(stw_conn_send_many(conn, &payload, 1, NULL, NULL, NULL), status, word);
  EXPECT(stw_conn_close(conn, 0), status, word);
  EXPECT(stw_conn_reopen(conn), status, word);
  EXPECT(stw_conn_kick(conn), status, word);
  EXPECT(stw_conn_ready(conn), status, word);
  EXPECT(stw_conn_opening(conn, "k", "x", 1, true), status, word);
  EXPECT(stw_conn_supply(conn, &credentials), status, word);
  EXPECT(stw_conn_look(conn, &view), status, word);
  EXPECT(stw_conn_stats(conn, &value, 1), status, word);
  EXPECT(stw_conn_free(conn), status, word);
}

static void every_call_refuses_what_is_no_conn(void **state) {
  (void)state;
  stw_conn conn = host_open(&host, 1, NULL);
  const uint64_t foreign[] = {0, UINT64_MAX, host.engine.id, host.mailbox.id, conn.id ^ 1ull << 40};
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
    every_call_says((stw_conn){foreign[i]}, STW_E_HANDLE, "stw_conn_open");
  assert_int_equal(stw_conn_free(conn), STW_OK);
  every_call_says(conn, STW_E_HANDLE, "stale");
}

static void open_refuses_bad_input(void **state) {
  (void)state;
  stw_conn conn;
  stw_config *config = stw_config_new();
  EXPECT(stw_conn_open(host.engine, host.mailbox, NULL, &conn), STW_E_ARGUMENT, "config");
  EXPECT(stw_conn_open(host.engine, host.mailbox, config, NULL), STW_E_ARGUMENT, "handle");
  EXPECT(stw_conn_open(host.engine, host.mailbox, config, &conn), STW_E_VALUE, "url");
  assert_int_equal(stw_config_set(config, "url", "ws://fake:1"), STW_OK);
  EXPECT(stw_conn_open((stw_engine){0}, host.mailbox, config, &conn), STW_E_HANDLE, "stale");
  EXPECT(stw_conn_open((stw_engine){host.mailbox.id}, host.mailbox, config, &conn), STW_E_HANDLE,
         "another type");
  EXPECT(stw_conn_open(host.engine, (stw_mailbox){host.engine.id}, config, &conn), STW_E_HANDLE,
         "another type");
  stw_config_free(config);
}

static void the_config_is_copied(void **state) {
  (void)state;
  stw_config *config = stw_config_new();
  stw_conn conn;
  assert_int_equal(stw_config_set(config, "url", "ws://fake:7"), STW_OK);
  assert_int_equal(stw_conn_open(host.engine, host.mailbox, config, &conn), STW_OK);
  stw_config_free(config);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  assert_string_equal(host_look(conn).endpoint, "ws://fake:7/");
}

static void send_refuses_bad_input(void **state) {
  (void)state;
  const char *options[] = {"max_message", "8", NULL};
  stw_conn conn = open_online(1, options);
  stw_send_options bad = {0};
  stw_message_id id;
  EXPECT(stw_conn_send(conn, "x", 1, &bad, &id), STW_E_ARGUMENT, "struct_size");
  EXPECT(stw_conn_send(conn, NULL, 1, NULL, &id), STW_E_ARGUMENT, "NULL");
  EXPECT(stw_conn_send_many(conn, NULL, 1, NULL, NULL, NULL), STW_E_ARGUMENT, "payload");
  stw_payload payload = {"x", 1};
  EXPECT(stw_conn_send_many(conn, &payload, 0, NULL, NULL, NULL), STW_E_ARGUMENT, "payload");
  EXPECT(stw_conn_send(conn, "123456789", 9, NULL, &id), STW_E_TOO_BIG, "max_message (8)");
  bad = plain;
  bad.key_size = 3;
  EXPECT(stw_conn_send(conn, "x", 1, &bad, &id), STW_E_ARGUMENT, "key is NULL");
  char key[256] = {1};
  bad.key = key;
  bad.key_size = 256;
  EXPECT(stw_conn_send(conn, "x", 1, &bad, &id), STW_E_ARGUMENT, "1 to 255 bytes, this one has 256");
  bad = plain;
  bad.guarantee = STW_EXACTLY_ONCE;
  EXPECT(stw_conn_send(conn, "x", 1, &bad, &id), STW_E_GUARANTEE, "use at_least_once");
  bad.guarantee = (stw_guarantee)99;
  EXPECT(stw_conn_send(conn, "x", 1, &bad, &id), STW_E_GUARANTEE, "plain profile");
  bad = plain; /* at the bounds all is well */
  bad.key = key;
  bad.key_size = 255;
  bad.ttl_ms = UINT64_MAX;
  EXPECT(stw_conn_send(conn, "12345678", 8, &bad, &id), STW_OK, "");
  EXPECT(stw_conn_send(conn, NULL, 0, NULL, &id), STW_OK, "");
  assert_int_equal(id.number, 2); /* refusals take no number */
  assert_true(fake_server_has(&host.server, 2));
}

static void a_guarantee_of_the_config_is_checked_too(void **state) {
  (void)state;
  const char *options[] = {"guarantee", "exactly_once", NULL};
  stw_conn conn = {0};
  const stw_status status = host_try_open(&host, 1, options, &conn);
  if (status != STW_OK) {
    EXPECT(status, STW_E_VALUE, "exactly_once");
    return;
  }
  EXPECT(host_send(conn, "x", NULL), STW_E_GUARANTEE, "exactly_once");
}

static void a_message_no_outbox_could_hold_is_too_big(void **state) {
  (void)state;
  const char *options[] = {"outbox_bytes", "1KiB", NULL};
  stw_conn conn = open_online(1, options);
  char data[1025] = {0};
  EXPECT(stw_conn_send(conn, data, sizeof data, NULL, NULL), STW_E_TOO_BIG, "outbox_bytes (1024)");
  EXPECT(stw_conn_opening(conn, "k", data, sizeof data, false), STW_E_TOO_BIG, "outbox_bytes");
  EXPECT(stw_conn_send(conn, data, 1024, NULL, NULL), STW_OK, "");
}

static void opening_refuses_bad_input(void **state) {
  (void)state;
  stw_conn conn = open_online(1, NULL);
  char key[257];
  memset(key, 'k', 256);
  key[256] = '\0';
  EXPECT(stw_conn_opening(conn, NULL, "x", 1, true), STW_E_ARGUMENT, "1 to 255");
  EXPECT(stw_conn_opening(conn, "", "x", 1, true), STW_E_ARGUMENT, "1 to 255");
  EXPECT(stw_conn_opening(conn, key, "x", 1, true), STW_E_ARGUMENT, "1 to 255");
  key[255] = '\0';
  EXPECT(stw_conn_opening(conn, key, "x", 1, true), STW_OK, "");
  EXPECT(stw_conn_opening(conn, "never set", NULL, 0, true), STW_OK, "");
}

static void supply_refuses_bad_input(void **state) {
  (void)state;
  stw_conn conn = open_online(1, NULL);
  stw_credentials given = {0};
  EXPECT(stw_conn_supply(conn, NULL), STW_E_ARGUMENT, "struct_size");
  EXPECT(stw_conn_supply(conn, &given), STW_E_ARGUMENT, "struct_size");
  given.struct_size = sizeof given;
  given.url = "http://fake";
  EXPECT(stw_conn_supply(conn, &given), STW_E_URL, "ws://");
  given.url = "ws://fake/\r\nX: y";
  EXPECT(stw_conn_supply(conn, &given), STW_E_URL, "refused");
  given.url = NULL;
  given.token = "a\nb";
  EXPECT(stw_conn_supply(conn, &given), STW_E_URL, "refused");
  given.token = NULL;
  const char *odd[] = {"X-A", NULL};
  given.headers = odd;
  EXPECT(stw_conn_supply(conn, &given), STW_E_ARGUMENT, "name, value");
  const char *bad_name[] = {"X A", "v", NULL}, *bad_value[] = {"X-A", "v\r\n", NULL};
  given.headers = bad_name;
  EXPECT(stw_conn_supply(conn, &given), STW_E_URL, "refused");
  given.headers = bad_value;
  EXPECT(stw_conn_supply(conn, &given), STW_E_URL, "refused");
  const char *good[] = {"X-A", "v", NULL};
  given.headers = good;
  given.token = "secret";
  given.url = "ws://fake:2/other";
  EXPECT(stw_conn_supply(conn, &given), STW_OK, "");
}

static void looking_refuses_bad_input(void **state) {
  (void)state;
  stw_conn conn = open_online(1, NULL);
  stw_conn_view view = {0};
  uint64_t values[STW_METRIC_COUNT + 2];
  EXPECT(stw_conn_look(conn, NULL), STW_E_ARGUMENT, "struct_size");
  EXPECT(stw_conn_look(conn, &view), STW_E_ARGUMENT, "struct_size");
  view.struct_size = sizeof view + 1;
  EXPECT(stw_conn_look(conn, &view), STW_E_ARGUMENT, "struct_size");
  EXPECT(stw_conn_stats(conn, NULL, 1), STW_E_ARGUMENT, "room");
  EXPECT(stw_conn_stats(conn, values, 0), STW_E_ARGUMENT, "room");
  memset(values, 0xff, sizeof values);
  EXPECT(stw_conn_stats(conn, values, STW_METRIC_COUNT + 2), STW_OK, "");
  assert_int_equal(values[STW_METRIC_COUNT + 1], 0); /* a newer host sees zeros */
  view = (stw_conn_view){.struct_size = offsetof(stw_conn_view, cause)}; /* an older one */
  view.attempt = 4711;
  EXPECT(stw_conn_look(conn, &view), STW_OK, "");
  assert_int_equal(view.state, STW_STATE_ONLINE);
  assert_int_equal(view.attempt, 4711);
}

/* ---- life ---- */

static void states_forbid_what_they_should(void **state) {
  (void)state;
  stw_conn conn = open_online(1, NULL);
  EXPECT(stw_conn_reopen(conn), STW_E_STATE, "only a closed or failed one");
  EXPECT(stw_conn_kick(conn), STW_OK, "");
  EXPECT(stw_conn_ready(conn), STW_OK, "");
  EXPECT(stw_conn_close(conn, 1000), STW_OK, "");
  stw_credentials credentials = {.struct_size = sizeof credentials};
  for (int i = 0; i < 2; i++) { /* closing, then closed */
    EXPECT(host_send(conn, "x", NULL), STW_E_CLOSED, "closed or failed");
    EXPECT(stw_conn_opening(conn, "k", "x", 1, true), STW_E_CLOSED, "closed or failed");
    EXPECT(stw_conn_ready(conn), STW_E_CLOSED, "closed or failed");
    EXPECT(stw_conn_supply(conn, &credentials), STW_E_CLOSED, "closed or failed");
    if (i == 0) assert_non_null(host_wait(&host, conn, STW_EVENT_CLOSED));
  }
  EXPECT(stw_conn_close(conn, 0), STW_E_CLOSED, "already");
  EXPECT(stw_conn_kick(conn), STW_OK, "");
  EXPECT(stw_conn_reopen(conn), STW_OK, "");
  EXPECT(stw_conn_reopen(conn), STW_E_STATE, "is open");
  EXPECT(host_send(conn, "again", NULL), STW_OK, "");
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  host_wait_proof(&host, conn, STW_PROOF_RECEIVED, 1);
}

static void a_failed_conn_says_why_and_can_be_reopened(void **state) {
  (void)state;
  fake_server_be(&host.server, (struct fake_manner){.hangs = true});
  stw_conn conn = host_open(&host, 1, NULL);
  fake_server_be(&host.server, (struct fake_manner){0});
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  for (int i = 0; i < 20; i++) { /* "replaced" three times in a minute is permanent */
    fake_server_close(&host.server, 1, 4409);
    const struct host_event *event;
    do {
      event = host_wait(&host, conn, STW_EVENT_STATE);
      assert_non_null(event);
      stw_conn_kick(conn);
    } while (event->event.u.state.to != STW_STATE_ONLINE &&
             event->event.u.state.to != STW_STATE_FAILED);
    if (event->event.u.state.to == STW_STATE_FAILED) break;
  }
  const struct host_event *closed = host_wait(&host, conn, STW_EVENT_CLOSED);
  assert_non_null(closed);
  assert_int_equal(closed->event.u.closed.cause, STW_CAUSE_REPLACED);
  stw_conn_view view = host_look(conn);
  assert_int_equal(view.state, STW_STATE_FAILED);
  assert_int_equal(view.close_code, 4409);
  EXPECT(host_send(conn, "x", NULL), STW_E_CLOSED, "failed");
  EXPECT(stw_conn_reopen(conn), STW_OK, "");
  host_wait_state(&host, conn, STW_STATE_ONLINE);
}

static void closed_is_the_last_event_and_counts_what_is_left(void **state) {
  (void)state;
  stw_conn conn = open_online(1, NULL);
  fake_server_be(&host.server, (struct fake_manner){.is_silent = true});
  for (int i = 0; i < 3; i++) assert_int_equal(host_send(conn, "x", NULL), STW_OK);
  assert_int_equal(stw_conn_close(conn, 0), STW_OK);
  const struct host_event *closed = host_wait(&host, conn, STW_EVENT_CLOSED);
  assert_non_null(closed);
  assert_int_equal(closed->event.u.closed.undelivered, 3);
  assert_int_equal(closed->event.u.closed.cause, STW_CAUSE_REQUESTED);
  assert_ptr_equal(closed, &host.events[host.count - 1]);
}

static void closing_waits_for_what_was_sent(void **state) {
  (void)state;
  stw_conn conn = host_open(&host, 1, NULL);
  for (int i = 0; i < 100; i++) assert_int_equal(host_send(conn, "x", NULL), STW_OK);
  assert_int_equal(stw_conn_close(conn, HOST_GUARD_MS), STW_OK);
  const struct host_event *closed = host_wait(&host, conn, STW_EVENT_CLOSED);
  assert_non_null(closed);
  assert_int_equal(closed->event.u.closed.undelivered, 0);
  assert_true(fake_server_has(&host.server, 100));
}

static void view_and_stats_agree_with_the_event(void **state) {
  (void)state;
  stw_conn conn = host_open(&host, 1, NULL);
  for (int round = 0; round < 30; round++) {
    host_wait_state(&host, conn, STW_STATE_ONLINE);
    stw_conn_view view = host_look(conn);
    uint64_t values[STW_METRIC_COUNT];
    assert_int_equal(view.state, STW_STATE_ONLINE); /* published before the event was */
    assert_int_equal(view.link, host.events[host.read - 1].event.link);
    assert_int_equal(stw_conn_stats(conn, values, STW_METRIC_COUNT), STW_OK);
    assert_int_equal(values[STW_METRIC_ATTEMPTS], (uint64_t)round + 1);
    stw_message_id id;
    assert_int_equal(host_send(conn, "12345", &id), STW_OK);
    view = host_look(conn);
    assert_int_equal(view.stream.number, id.number);
    assert_int_equal(view.stream.stream, id.stream);
    host_wait_proof(&host, conn, STW_PROOF_RECEIVED, id.number);
    assert_int_equal(stw_conn_close(conn, HOST_GUARD_MS), STW_OK);
    assert_non_null(host_wait(&host, conn, STW_EVENT_CLOSED));
    view = host_look(conn);
    assert_int_equal(view.state, STW_STATE_CLOSED);
    assert_int_equal(view.outbox_messages, 0);
    assert_int_equal(stw_conn_stats(conn, values, STW_METRIC_COUNT), STW_OK);
    assert_int_equal(values[STW_METRIC_SENT], id.number);
    assert_int_equal(values[STW_METRIC_SENT_BYTES], 5 * id.number);
    assert_int_equal(values[STW_METRIC_SETTLED], id.number);
    assert_int_equal(stw_conn_reopen(conn), STW_OK);
    assert_int_equal(host_look(conn).state, STW_STATE_CONNECTING);
  }
}

/* The next conn of a slot must not hear of the links of the one before. */
static void a_freed_conn_does_not_disturb_the_next_one(void **state) {
  (void)state;
  for (int i = 0; i < 300; i++) {
    stw_conn conn = host_open(&host, 1, NULL);
    if (i % 3 == 0) host_wait_state(&host, conn, STW_STATE_ONLINE);
    assert_int_equal(stw_conn_free(conn), STW_OK);
    conn = host_open(&host, 2, NULL);
    host_wait_state(&host, conn, STW_STATE_ONLINE);
    assert_int_equal(host_look(conn).link, 1);
    assert_int_equal(stw_conn_free(conn), STW_OK);
  }
  assert_int_equal(host_count(&host, STW_EVENT_RETRY), 0);
  assert_true(fake_server_is_live(&host.server, 0));
}

static void opening_messages_come_first_on_every_link(void **state) {
  (void)state;
  char text[32];
  stw_conn conn = host_open(&host, 1, NULL);
  assert_int_equal(stw_conn_opening(conn, "b", "login", 5, true), STW_OK);
  assert_int_equal(stw_conn_opening(conn, "a", "subscribe", 9, true), STW_OK);
  assert_int_equal(host_send(conn, "data", NULL), STW_OK);
  assert_true(fake_server_has(&host.server, 3));
  assert_int_equal(stw_conn_opening(conn, "b", NULL, 0, true), STW_OK);
  host_wait_proof(&host, conn, STW_PROOF_RECEIVED, 1);
  fake_server_drop(&host.server, 1, STW_CAUSE_ABNORMAL_RST);
  assert_true(fake_server_has(&host.server, 4));
  const char *expected[] = {"login", "subscribe", "data", "subscribe"};
  for (size_t i = 0; i < 4; i++) {
    const size_t size = fake_server_read(&host.server, i, text, sizeof text);
    assert_int_equal(size, strlen(expected[i]));
    assert_memory_equal(text, expected[i], size);
  }
}

static void the_host_says_when_the_opening_was_accepted(void **state) {
  (void)state;
  const char *options[] = {"ready_when", "host", "ready_timeout", "10min", NULL};
  stw_conn conn = host_open(&host, 1, options);
  assert_int_equal(stw_conn_opening(conn, "k", "login", 5, true), STW_OK);
  assert_non_null(host_wait(&host, conn, STW_EVENT_MESSAGE)); /* its echo */
  assert_int_equal(host_look(conn).state, STW_STATE_CONNECTING);
  assert_int_equal(stw_conn_ready(conn), STW_OK);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
}

static void credentials_are_asked_for_and_used(void **state) {
  (void)state;
  const char *options[] = {"credentials", "host", NULL};
  stw_conn conn = host_open(&host, 1, options);
  assert_non_null(host_wait(&host, conn, STW_EVENT_CREDENTIALS_NEEDED));
  assert_int_equal(host.server.dials, 0);
  stw_credentials given = {.struct_size = sizeof given, .token = "t", .url = "ws://fake:9"};
  assert_int_equal(stw_conn_supply(conn, &given), STW_OK);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  assert_int_equal(host_send(conn, "x", NULL), STW_OK);
  assert_true(fake_server_has(&host.server, 1));
  assert_int_equal(host.server.messages[0].port, 9);
}

static void what_the_host_knows_of_the_network_is_heard(void **state) {
  (void)state;
  stw_conn conn = open_online(1, NULL);
  assert_int_equal(stw_engine_network(host.engine, STW_NETWORK_DOWN), STW_OK);
  host_wait_state(&host, conn, STW_STATE_OFFLINE);
  assert_int_equal(stw_engine_network(host.engine, STW_NETWORK_UP), STW_OK);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
}

/* ---- the bound of the outbox ---- */

static stw_conn open_stuck(const char *policy) {
  const char *options[] = {"outbox_messages", "4", "outbox_overflow", policy, NULL};
  fake_server_be(&host.server, (struct fake_manner){.hangs = true});
  return host_open(&host, 1, options);
}

static void let_go(stw_conn conn) {
  fake_server_be(&host.server, (struct fake_manner){0});
  host_wait_state(&host, conn, STW_STATE_ONLINE);
}

static void reject_refuses_at_the_bound_and_says_when_there_is_room(void **state) {
  (void)state;
  stw_conn conn = open_stuck("reject");
  for (int i = 0; i < 4; i++) assert_int_equal(host_send(conn, "x", NULL), STW_OK);
  EXPECT(host_send(conn, "x", NULL), STW_E_FULL, "outbox_room");
  EXPECT(send_key(conn, "k", "x", NULL), STW_E_FULL, "outbox_messages 4");
  stw_payload payloads[3] = {{"a", 1}, {"b", 1}, {"c", 1}};
  size_t taken = 9;
  EXPECT(stw_conn_send_many(conn, payloads, 3, NULL, &taken, NULL), STW_E_FULL, "holds 4 messages");
  assert_int_equal(taken, 0);
  let_go(conn);
  assert_non_null(host_wait(&host, conn, STW_EVENT_OUTBOX_ROOM));
  stw_message_id id;
  assert_int_equal(host_send(conn, "x", &id), STW_OK);
  assert_int_equal(id.number, 5);
  host_wait_proof(&host, conn, STW_PROOF_RECEIVED, 5);
  assert_int_equal(host_count(&host, STW_EVENT_OUTBOX_ROOM), 1);
}

static void some_of_many_are_taken_up_to_the_bound(void **state) {
  (void)state;
  stw_conn conn = open_stuck("reject");
  stw_payload payloads[6] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}, {"e", 1}, {"f", 1}};
  size_t taken = 0;
  stw_message_id first;
  EXPECT(stw_conn_send_many(conn, payloads, 6, NULL, &taken, &first), STW_E_FULL, "room");
  assert_int_equal(taken, 4);
  assert_int_equal(first.number, 1);
  let_go(conn);
  assert_non_null(host_wait(&host, conn, STW_EVENT_OUTBOX_ROOM));
  assert_int_equal(stw_conn_send_many(conn, payloads + 4, 2, NULL, &taken, &first), STW_OK);
  assert_int_equal(first.number, 5);
  assert_true(fake_server_has(&host.server, 6));
  char letter;
  for (size_t i = 0; i < 6; i++) {
    assert_int_equal(fake_server_read(&host.server, i, &letter, 1), 1);
    assert_int_equal(letter, 'a' + (char)i);
  }
}

static void room_is_told_when_it_is_enough_for_what_was_refused(void **state) {
  (void)state;
  const char *options[] = {"outbox_bytes", "1KiB", NULL};
  fake_server_be(&host.server, (struct fake_manner){.hangs = true});
  stw_conn conn = host_open(&host, 1, options);
  char data[1024] = {0};
  stw_message_id small;
  assert_int_equal(stw_conn_send(conn, data, 600, NULL, NULL), STW_OK);
  assert_int_equal(stw_conn_send(conn, data, 100, NULL, &small), STW_OK);
  EXPECT(stw_conn_send(conn, data, 1000, NULL, NULL), STW_E_FULL, "outbox_bytes 1024");
  assert_int_equal(stw_outbox_cancel(conn, small), STW_OK); /* room, but not for that */
  assert_non_null(host_wait(&host, conn, STW_EVENT_MESSAGE_ENDED));
  assert_int_equal(host_count(&host, STW_EVENT_OUTBOX_ROOM), 0);
  let_go(conn);
  assert_non_null(host_wait(&host, conn, STW_EVENT_OUTBOX_ROOM));
  assert_int_equal(stw_conn_send(conn, data, 1000, NULL, NULL), STW_OK);
}

static void drop_oldest_ends_the_oldest_and_takes_the_new_one(void **state) {
  (void)state;
  stw_conn conn = open_stuck("drop_oldest");
  for (int i = 0; i < 6; i++) {
    assert_int_equal(host_send(conn, "x", NULL), STW_OK);
    if (i < 4) continue;
    const struct host_event *ended = host_wait(&host, conn, STW_EVENT_MESSAGE_ENDED);
    assert_non_null(ended);
    assert_int_equal(ended->event.u.ended.id.number, i - 3);
    assert_int_equal(ended->event.u.ended.state, STW_MESSAGE_DROPPED);
  }
  let_go(conn);
  host_wait_proof(&host, conn, STW_PROOF_RECEIVED, 6);
  assert_true(fake_server_has(&host.server, 4));
}

static void drop_newest_ends_the_new_one(void **state) {
  (void)state;
  stw_conn conn = open_stuck("drop_newest");
  for (int i = 0; i < 5; i++) assert_int_equal(host_send(conn, "x", NULL), STW_OK);
  const struct host_event *ended = host_wait(&host, conn, STW_EVENT_MESSAGE_ENDED);
  assert_non_null(ended);
  assert_int_equal(ended->event.u.ended.id.number, 5);
  let_go(conn);
  assert_true(fake_server_has(&host.server, 4));
}

static void coalesce_takes_only_what_has_a_key_over_the_bound(void **state) {
  (void)state;
  stw_conn conn = open_stuck("coalesce");
  char key[16];
  for (int i = 0; i < 4; i++) {
    snprintf(key, sizeof key, "k%d", i);
    assert_int_equal(send_key(conn, key, "old", NULL), STW_OK);
  }
  EXPECT(host_send(conn, "no key", NULL), STW_E_FULL, "outbox_room");
  for (int i = 0; i < 4; i++) {
    snprintf(key, sizeof key, "k%d", i);
    assert_int_equal(send_key(conn, key, "new", NULL), STW_OK);
  }
  for (int i = 0; i < 4; i++) assert_non_null(host_wait(&host, conn, STW_EVENT_MESSAGE_ENDED));
  let_go(conn);
  host_wait_proof(&host, conn, STW_PROOF_RECEIVED, 8);
  char text[4] = {0};
  assert_true(fake_server_has(&host.server, 4));
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(fake_server_read(&host.server, i, text, 3), 3);
    assert_string_equal(text, "new");
  }
}

/* Memory of a host that sends and never drains is bounded: its undrained ends count. */
static void a_host_that_never_drains_is_refused_in_the_end(void **state) {
  (void)state;
  stw_conn conn = open_stuck("drop_oldest");
  uint64_t sent = 0;
  stw_status status = STW_OK;
  while (sent < 100000 && (status = host_send(conn, "x", NULL)) == STW_OK) {
    sent++;
    stw_outbox_entry entry;
    size_t count;
    assert_int_equal(stw_outbox_list(conn, 0, &entry, 1, &count), STW_OK); /* a turn passes */
  }
  EXPECT(status, STW_E_FULL, "drain it");
  assert_in_range(sent, 8, 12);
  assert_non_null(host_wait(&host, conn, STW_EVENT_MESSAGE_ENDED)); /* drains */
  assert_non_null(host_wait(&host, conn, STW_EVENT_OUTBOX_ROOM));
  assert_int_equal(host_send(conn, "x", NULL), STW_OK);
}

static void a_message_expires_and_says_so(void **state) {
  (void)state;
  stw_conn conn = open_stuck("reject");
  stw_send_options options = plain;
  options.ttl_ms = 1;
  assert_int_equal(stw_conn_send(conn, "x", 1, &options, NULL), STW_OK);
  const struct host_event *ended = host_wait(&host, conn, STW_EVENT_MESSAGE_ENDED);
  assert_non_null(ended);
  assert_int_equal(ended->event.u.ended.state, STW_MESSAGE_EXPIRED);
  let_go(conn);
}

static void at_most_once_is_of_unknown_fate_when_the_link_dies(void **state) {
  (void)state;
  stw_conn conn = open_online(1, NULL);
  fake_server_be(&host.server, (struct fake_manner){.is_silent = true});
  stw_send_options options = plain;
  options.guarantee = STW_AT_MOST_ONCE;
  assert_int_equal(stw_conn_send(conn, "x", 1, &options, NULL), STW_OK);
  assert_true(fake_server_has(&host.server, 1));
  fake_server_drop(&host.server, 0, STW_CAUSE_ABNORMAL_RST);
  const struct host_event *ended = host_wait(&host, conn, STW_EVENT_MESSAGE_ENDED);
  assert_non_null(ended);
  assert_int_equal(ended->event.u.ended.state, STW_MESSAGE_UNKNOWN);
  assert_int_equal(ended->event.u.ended.cause, STW_CAUSE_ABNORMAL_RST);
}

/* ---- inbound ---- */

static void a_host_that_does_not_drain_pauses_the_link_only(void **state) {
  (void)state;
  const char *options[] = {"inbound_buffer", "64KiB", NULL};
  stw_conn conn = open_online(1, options);
  char data[1000] = {0};
  for (int i = 0; i < 200; i++) {
    memcpy(data, &i, sizeof i);
    fake_server_send(&host.server, 1, data, sizeof data);
  }
  pthread_mutex_lock(&host.server.lock);
  while (host.server.paused == 0) pthread_cond_wait(&host.server.changed, &host.server.lock);
  pthread_mutex_unlock(&host.server.lock);
  for (int i = 0; i < 200; i++) {
    const struct host_event *event = host_wait(&host, conn, STW_EVENT_MESSAGE);
    int number;
    assert_non_null(event);
    memcpy(&number, event->text, sizeof number);
    assert_int_equal(number, i);
  }
  host.read = 0;
  assert_non_null(host_wait(&host, conn, STW_EVENT_PAUSED));
  assert_non_null(host_wait(&host, conn, STW_EVENT_RESUMED));
  assert_int_equal(host_count(&host, STW_EVENT_RETRY), 0);
  assert_int_equal(host_look(conn).link, 1);
}

static void dropped_inbound_messages_are_a_gap(void **state) {
  (void)state;
  const char *options[] = {"inbound_buffer", "64KiB", "inbound_overflow", "drop_oldest", NULL};
  stw_conn conn = open_online(1, options);
  char data[1000] = {0};
  for (int i = 0; i < 500; i++) fake_server_send(&host.server, 1, data, sizeof data);
  uint64_t received = 0;
  while (received < 500) { /* all have come to the engine */
    uint64_t values[STW_METRIC_COUNT];
    assert_int_equal(stw_conn_stats(conn, values, STW_METRIC_COUNT), STW_OK);
    received = values[STW_METRIC_RECEIVED];
  }
  while (host_drain(&host) > 0) continue;
  uint64_t missing = 0;
  for (size_t i = 0; i < host.count; i++)
    if (host.events[i].event.kind == STW_EVENT_GAP) missing += host.events[i].event.u.gap.messages;
  assert_true(missing > 0);
  assert_int_equal(host_count(&host, STW_EVENT_MESSAGE) + missing, 500);
}

/* ---- threads ---- */

struct sender {
  stw_conn conn;
  _Atomic uint64_t taken, refused;
  _Atomic bool is_wrong;
  uint32_t mark;
};

static void *send_until_refused(void *arg) {
  struct sender *sender = arg;
  uint64_t last = 0;
  for (uint32_t n = 0;; n++) {
    const uint32_t data[2] = {sender->mark, n};
    stw_message_id id = {0, 0};
    const stw_status status = stw_conn_send(sender->conn, data, sizeof data, NULL, &id);
    if (status == STW_OK && id.number <= last) atomic_store(&sender->is_wrong, true);
    if (status == STW_OK) last = id.number;
    if (status == STW_OK) atomic_fetch_add(&sender->taken, 1);
    if (status == STW_E_FULL) n--;
    if (status == STW_E_FULL) continue;
    if (status != STW_OK) {
      if (status != STW_E_CLOSED && status != STW_E_HANDLE) atomic_store(&sender->is_wrong, true);
      return NULL;
    }
  }
}

static void sends_racing_a_close_are_delivered_counted_or_refused(void **state) {
  (void)state;
  for (int round = 0; round < 12; round++) {
    stw_conn conn = open_online((uint16_t)(round + 1), NULL);
    struct sender senders[4];
    pthread_t threads[4];
    memset(senders, 0, sizeof senders);
    for (uint32_t i = 0; i < 4; i++) {
      senders[i].conn = conn;
      senders[i].mark = i;
      assert_int_equal(pthread_create(&threads[i], NULL, send_until_refused, &senders[i]), 0);
    }
    while (atomic_load(&senders[0].taken) < 50) continue;
    assert_int_equal(stw_conn_close(conn, round % 3 == 0 ? 0 : HOST_GUARD_MS), STW_OK);
    uint64_t taken = 0;
    for (int i = 0; i < 4; i++) {
      pthread_join(threads[i], NULL);
      assert_false(senders[i].is_wrong);
      taken += senders[i].taken;
    }
    const struct host_event *closed = host_wait(&host, conn, STW_EVENT_CLOSED);
    assert_non_null(closed);
    uint64_t values[STW_METRIC_COUNT];
    assert_int_equal(stw_conn_stats(conn, values, STW_METRIC_COUNT), STW_OK);
    assert_int_equal(values[STW_METRIC_SENT], taken);
    assert_int_equal(host_look(conn).stream.number, taken); /* no holes */
    assert_int_equal(values[STW_METRIC_SETTLED] + closed->event.u.closed.undelivered, taken);
    if (round % 3 != 0) assert_int_equal(closed->event.u.closed.undelivered, 0);
    assert_int_equal(stw_conn_free(conn), STW_OK);
  }
}

/* Each thread's messages come in its order, each once. */
static void sends_of_one_thread_keep_their_order(void **state) {
  (void)state;
  stw_conn conn = open_online(1, NULL);
  struct sender senders[4];
  pthread_t threads[4];
  memset(senders, 0, sizeof senders);
  for (uint32_t i = 0; i < 4; i++) {
    senders[i].conn = conn;
    senders[i].mark = i;
    assert_int_equal(pthread_create(&threads[i], NULL, send_until_refused, &senders[i]), 0);
  }
  while (atomic_load(&senders[3].taken) < 500) host_drain(&host);
  assert_int_equal(stw_conn_close(conn, HOST_GUARD_MS), STW_OK);
  uint64_t taken = 0;
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], NULL);
    taken += senders[i].taken;
  }
  assert_non_null(host_wait(&host, conn, STW_EVENT_CLOSED));
  assert_int_equal(host.server.count, taken);
  uint32_t next[4] = {0};
  for (size_t i = 0; i < host.server.count; i++) {
    uint32_t data[2];
    memcpy(data, host.server.messages[i].data, sizeof data);
    assert_int_equal(data[1], next[data[0]]++);
  }
}

static void eight_senders_survive_the_end_of_conns_and_engine(void **state) {
  (void)state;
  for (int round = 0; round < 6; round++) {
    stw_engine before = host.engine;
    assert_int_equal(fake_engine_new(&host.server, &host.engine), STW_OK);
    struct sender senders[8];
    pthread_t threads[8];
    memset(senders, 0, sizeof senders);
    for (uint32_t i = 0; i < 8; i++) {
      senders[i].conn = host_open(&host, (uint16_t)(1 + i), NULL);
      senders[i].mark = i;
    }
    for (uint32_t i = 0; i < 8; i++) {
      assert_int_equal(pthread_create(&threads[i], NULL, send_until_refused, &senders[i]), 0);
    }
    while (atomic_load(&senders[0].taken) < 20) host_drain(&host);
    for (int i = 0; i < 4; i++) assert_int_equal(stw_conn_free(senders[i].conn), STW_OK);
    assert_int_equal(stw_engine_free(host.engine), STW_OK);
    for (int i = 0; i < 8; i++) {
      pthread_join(threads[i], NULL);
      assert_false(senders[i].is_wrong);
    }
    const size_t start = host.read;
    for (int i = 4; i < 8; i++) { /* those not freed hear of their end, exactly counted */
      host.read = start;
      const struct host_event *closed = host_wait(&host, senders[i].conn, STW_EVENT_CLOSED);
      assert_non_null(closed);
      uint64_t values[STW_METRIC_COUNT];
      assert_int_equal(stw_conn_stats(senders[i].conn, values, STW_METRIC_COUNT), STW_OK);
      assert_int_equal(values[STW_METRIC_SENT], senders[i].taken);
      assert_int_equal(values[STW_METRIC_SETTLED] + closed->event.u.closed.undelivered,
                       senders[i].taken);
      assert_int_equal(stw_conn_free(senders[i].conn), STW_OK);
    }
    host.engine = before;
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(every_call_refuses_what_is_no_conn),
      TEST(open_refuses_bad_input),
      TEST(the_config_is_copied),
      TEST(send_refuses_bad_input),
      TEST(a_guarantee_of_the_config_is_checked_too),
      TEST(a_message_no_outbox_could_hold_is_too_big),
      TEST(opening_refuses_bad_input),
      TEST(supply_refuses_bad_input),
      TEST(looking_refuses_bad_input),
      TEST(states_forbid_what_they_should),
      TEST(a_failed_conn_says_why_and_can_be_reopened),
      TEST(closed_is_the_last_event_and_counts_what_is_left),
      TEST(closing_waits_for_what_was_sent),
      TEST(view_and_stats_agree_with_the_event),
      TEST(a_freed_conn_does_not_disturb_the_next_one),
      TEST(opening_messages_come_first_on_every_link),
      TEST(the_host_says_when_the_opening_was_accepted),
      TEST(credentials_are_asked_for_and_used),
      TEST(what_the_host_knows_of_the_network_is_heard),
      TEST(reject_refuses_at_the_bound_and_says_when_there_is_room),
      TEST(some_of_many_are_taken_up_to_the_bound),
      TEST(room_is_told_when_it_is_enough_for_what_was_refused),
      TEST(drop_oldest_ends_the_oldest_and_takes_the_new_one),
      TEST(drop_newest_ends_the_new_one),
      TEST(coalesce_takes_only_what_has_a_key_over_the_bound),
      TEST(a_host_that_never_drains_is_refused_in_the_end),
      TEST(a_message_expires_and_says_so),
      TEST(at_most_once_is_of_unknown_fate_when_the_link_dies),
      TEST(a_host_that_does_not_drain_pauses_the_link_only),
      TEST(dropped_inbound_messages_are_a_gap),
      TEST(sends_racing_a_close_are_delivered_counted_or_refused),
      TEST(sends_of_one_thread_keep_their_order),
      TEST(eight_senders_survive_the_end_of_conns_and_engine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
