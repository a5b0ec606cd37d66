/* Full outboxes and hosts that do not drain, through the public ABI: each policy does what it says.
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

static stw_status send_key(stw_conn conn, const char *key, const char *text, stw_message_id *id) {
  stw_send_options options = plain;
  options.key = key;
  options.key_size = strlen(key);
  return stw_conn_send(conn, text, strlen(text), &options, id);
}

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
  for (int i = 0; i < 4; i++)
    assert_int_equal(host_send(conn, "x", NULL), STW_OK);
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
  assert_int_equal(stw_outbox_cancel(stw_outbox_of(conn), small),
                   STW_OK); /* room, but not for that */
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
    if (i < 4)
      continue;
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
  for (int i = 0; i < 5; i++)
    assert_int_equal(host_send(conn, "x", NULL), STW_OK);
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
  for (int i = 0; i < 4; i++)
    assert_non_null(host_wait(&host, conn, STW_EVENT_MESSAGE_ENDED));
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
    assert_int_equal(host_list(conn, 0, &entry, 1, &count), STW_OK); /* a turn passes */
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
  while (host.server.paused == 0)
    pthread_cond_wait(&host.server.changed, &host.server.lock);
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
  for (int i = 0; i < 500; i++)
    fake_server_send(&host.server, 1, data, sizeof data);
  uint64_t received = 0;
  while (received < 500) { /* all have come to the engine */
    uint64_t values[STW_METRIC_COUNT];
    assert_int_equal(stw_conn_stats(conn, values, STW_METRIC_COUNT), STW_OK);
    received = values[STW_METRIC_RECEIVED];
  }
  while (host_drain(&host) > 0)
    continue;
  uint64_t missing = 0;
  for (size_t i = 0; i < host.count; i++)
    if (host.events[i].event.kind == STW_EVENT_GAP)
      missing += host.events[i].event.u.gap.messages;
  assert_true(missing > 0);
  assert_int_equal(host_count(&host, STW_EVENT_MESSAGE) + missing, 500);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
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
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
