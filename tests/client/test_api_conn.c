/* A conn through the public ABI: every bad input is a typed refusal, everything else does its job.
 */
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
  EXPECT(stw_conn_send(conn, "x", 1, &bad, &id), STW_E_ARGUMENT,
         "1 to 255 bytes, this one has 256");
  bad = plain;
  bad.guarantee = STW_EXACTLY_ONCE;
  EXPECT(stw_conn_send(conn, "x", 1, &bad, &id), STW_E_GUARANTEE, "use at_least_once");
  bad.guarantee = (stw_guarantee)99;
  EXPECT(stw_conn_send(conn, "x", 1, &bad, &id), STW_E_GUARANTEE, "profile = plain");
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
    if (i == 0)
      assert_non_null(host_wait(&host, conn, STW_EVENT_CLOSED));
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
    if (event->event.u.state.to == STW_STATE_FAILED)
      break;
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
  for (int i = 0; i < 3; i++)
    assert_int_equal(host_send(conn, "x", NULL), STW_OK);
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
  for (int i = 0; i < 100; i++)
    assert_int_equal(host_send(conn, "x", NULL), STW_OK);
  assert_int_equal(stw_conn_close(conn, HOST_GUARD_MS), STW_OK);
  const struct host_event *closed = host_wait(&host, conn, STW_EVENT_CLOSED);
  assert_non_null(closed);
  assert_int_equal(closed->event.u.closed.undelivered, 0);
  assert_true(fake_server_has(&host.server, 100));
}

static void view_and_stats_agree_with_the_event(void **state) {
  (void)state;
  stw_conn conn = host_open(&host, 1, NULL);
  for (int round = 0; round < 8; round++) {
    host_wait_state(&host, conn, STW_STATE_ONLINE);
    stw_conn_view view = host_look(conn);
    uint64_t values[STW_METRIC_COUNT];
    assert_int_equal(view.state, STW_STATE_ONLINE); /* published before the event was */
    assert_int_equal(view.link, host.events[host.read - 1].event.link);
    assert_int_equal(stw_conn_stats(conn, values, STW_METRIC_COUNT), STW_OK);
    assert_int_equal(values[STW_METRIC_LINKS], (uint64_t)round + 1);
    assert_true(values[STW_METRIC_ATTEMPTS] > (uint64_t)round); /* silent ones are raced */
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
    if (i % 3 == 0)
      host_wait_state(&host, conn, STW_STATE_ONLINE);
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
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
