/* Looking into the outbox through the public ABI. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

/* A conn whose messages stay queued. */
static stw_conn open_stuck(void) {
  fake_server_be(&host.server, (struct fake_manner){.hangs = true});
  return host_open(&host, 1, NULL);
}

static void bad_input_is_refused(void **state) {
  (void)state;
  stw_conn conn = open_stuck();
  stw_outbox_entry entries[2];
  stw_message_id id;
  size_t count = 5;
  char byte;
  assert_int_equal(host_send(conn, "x", &id), STW_OK);
  EXPECT(stw_outbox_list(stw_outbox_of(conn), NULL, &(uint64_t){0}, NULL, 2, &count),
         STW_E_ARGUMENT, "room");
  EXPECT(stw_outbox_list(stw_outbox_of(conn), NULL, &(uint64_t){0}, entries, 0, &count),
         STW_E_ARGUMENT, "room");
  EXPECT(stw_outbox_list(stw_outbox_of(conn), NULL, &(uint64_t){0}, entries, 2, NULL),
         STW_E_ARGUMENT, "room");
  EXPECT(stw_outbox_list(stw_outbox_of(conn), NULL, &(uint64_t){0}, entries, SIZE_MAX, &count),
         STW_E_ARGUMENT, "entry");
  EXPECT(stw_outbox_body(stw_outbox_of(conn), id, &byte, 1, NULL), STW_E_ARGUMENT, "size");
  EXPECT(stw_outbox_body(stw_outbox_of(conn), id, NULL, 1, &count), STW_E_ARGUMENT, "place");
  const uint64_t foreign[] = {0, UINT64_MAX, host.engine.id, host.mailbox.id, conn.id ^ 1ull << 40};
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    const stw_conn wrong = {foreign[i]};
    EXPECT(stw_outbox_list(stw_outbox_of(wrong), NULL, &(uint64_t){0}, entries, 2, &count),
           STW_E_HANDLE, "stale");
    EXPECT(stw_outbox_body(stw_outbox_of(wrong), id, &byte, 1, &count), STW_E_HANDLE, "stale");
    EXPECT(stw_outbox_cancel(stw_outbox_of(wrong), id), STW_E_HANDLE, "stale");
  }
  assert_int_equal(stw_conn_free(conn), STW_OK);
  EXPECT(stw_outbox_list(stw_outbox_of(conn), NULL, &(uint64_t){0}, entries, 2, &count),
         STW_E_HANDLE, "stale");
}

static void unknown_messages_are_not_found(void **state) {
  (void)state;
  stw_conn conn = open_stuck(), other = host_open(&host, 2, NULL);
  stw_message_id id, foreign;
  size_t size;
  assert_int_equal(host_send(conn, "x", &id), STW_OK);
  assert_int_equal(host_send(other, "y", &foreign), STW_OK);
  assert_int_not_equal(id.stream, foreign.stream);
  EXPECT(stw_outbox_cancel(stw_outbox_of(conn), foreign), STW_E_NOT_FOUND, "message 1");
  EXPECT(stw_outbox_body(stw_outbox_of(conn), foreign, NULL, 0, &size), STW_E_NOT_FOUND,
         "not in the outbox");
  id.number = 0;
  EXPECT(stw_outbox_cancel(stw_outbox_of(conn), id), STW_E_NOT_FOUND, "message 0");
  id.number = UINT64_MAX;
  EXPECT(stw_outbox_body(stw_outbox_of(conn), id, NULL, 0, &size), STW_E_NOT_FOUND,
         "never was there");
}

static void the_list_is_paged_and_complete(void **state) {
  (void)state;
  stw_conn conn = open_stuck();
  stw_send_options options = {.struct_size = sizeof options, .is_text = true, .ttl_ms = 3600000};
  for (int i = 0; i < 25; i++) {
    char key = (char)('a' + i);
    options.key = &key;
    options.key_size = 1;
    assert_int_equal(stw_conn_send(conn, "hello", 5, &options, NULL), STW_OK);
  }
  stw_outbox_entry entries[10];
  uint64_t cursor = 0, seen = 0;
  size_t count;
  do {
    assert_int_equal(stw_outbox_list(stw_outbox_of(conn), NULL, &cursor, entries, 10, &count),
                     STW_OK);
    for (size_t i = 0; i < count; i++) {
      const uint64_t after = entries[i].id.number;
      assert_int_equal(after, ++seen);
      assert_int_equal(entries[i].position, seen - 1);
      assert_int_equal(entries[i].number, after);
      assert_int_equal(entries[i].state, STW_MESSAGE_QUEUED);
      assert_int_equal(entries[i].size, 5);
      assert_true(entries[i].is_text);
      assert_int_equal(entries[i].key[0], 'a' + (char)(after - 1));
      assert_int_equal(entries[i].key[1], '\0');
      assert_true(entries[i].ttl_left_ns > 0 && entries[i].ttl_left_ns <= 3600000000000ull);
      assert_int_equal(entries[i].id.stream, host_look(conn).stream.stream);
    }
  } while (cursor != 0);
  assert_int_equal(seen, 25);
}

static void a_body_is_copied_as_far_as_it_fits(void **state) {
  (void)state;
  stw_conn conn = open_stuck();
  stw_message_id id, empty;
  assert_int_equal(host_send(conn, "hello", &id), STW_OK);
  assert_int_equal(host_send(conn, "", &empty), STW_OK);
  char body[16] = "........";
  size_t size = 0;
  assert_int_equal(stw_outbox_body(stw_outbox_of(conn), id, body, sizeof body, &size), STW_OK);
  assert_int_equal(size, 5);
  assert_memory_equal(body, "hello...", 8);
  assert_int_equal(stw_outbox_body(stw_outbox_of(conn), id, body, 2, &size), STW_OK);
  assert_int_equal(size, 5);
  assert_int_equal(stw_outbox_body(stw_outbox_of(conn), id, NULL, 0, &size), STW_OK);
  assert_int_equal(size, 5);
  assert_int_equal(stw_outbox_body(stw_outbox_of(conn), empty, body, 2, &size), STW_OK);
  assert_int_equal(size, 0);
}

static void what_was_not_written_can_be_cancelled(void **state) {
  (void)state;
  stw_conn conn = open_stuck();
  stw_message_id ids[3];
  for (int i = 0; i < 3; i++)
    assert_int_equal(host_send(conn, "x", &ids[i]), STW_OK);
  assert_int_equal(stw_outbox_cancel(stw_outbox_of(conn), ids[1]), STW_OK);
  EXPECT(stw_outbox_cancel(stw_outbox_of(conn), ids[1]), STW_E_NOT_FOUND, "has ended");
  const struct host_event *ended = host_wait(&host, conn, STW_EVENT_MESSAGE_ENDED);
  assert_non_null(ended);
  assert_int_equal(ended->event.u.ended.id.number, 2);
  assert_int_equal(ended->event.u.ended.state, STW_MESSAGE_CANCELLED);
  fake_server_be(&host.server, (struct fake_manner){0});
  host_wait_proof(&host, conn, STW_PROOF_RECEIVED, 3);
  assert_int_equal(host.server.count, 2);
}

static void what_was_written_cannot_be_cancelled_not_even_while_it_waits_again(void **state) {
  (void)state;
  fake_server_be(&host.server, (struct fake_manner){.is_silent = true});
  stw_conn conn = host_open(&host, 1, NULL);
  host_wait_state(&host, conn, STW_STATE_ONLINE);
  stw_message_id id;
  stw_outbox_entry entry;
  size_t count;
  assert_int_equal(host_send(conn, "x", &id), STW_OK);
  assert_true(fake_server_has(&host.server, 1));
  assert_int_equal(host_list(conn, 0, &entry, 1, &count), STW_OK);
  assert_int_equal(entry.state, STW_MESSAGE_INFLIGHT);
  EXPECT(stw_outbox_cancel(stw_outbox_of(conn), id), STW_E_STATE, "cannot be unsent");
  fake_server_be(&host.server, (struct fake_manner){.hangs = true});
  fake_server_drop(&host.server, 1, STW_CAUSE_ABNORMAL_RST);
  do {
    const struct host_event *event = host_wait(&host, conn, STW_EVENT_STATE);
    assert_non_null(event);
    assert_int_equal(host_list(conn, 0, &entry, 1, &count), STW_OK);
  } while (entry.state != STW_MESSAGE_QUEUED);
  assert_int_equal(entry.attempts, 1);
  EXPECT(stw_outbox_cancel(stw_outbox_of(conn), id), STW_E_STATE, "cannot be unsent");
}

static void an_outbox_outlives_its_close_but_not_its_engine(void **state) {
  (void)state;
  stw_conn conn = open_stuck();
  stw_message_id id;
  size_t size = 0;
  assert_int_equal(host_send(conn, "left", &id), STW_OK);
  assert_int_equal(stw_conn_close(conn, 0), STW_OK);
  assert_non_null(host_wait(&host, conn, STW_EVENT_CLOSED));
  char body[4];
  assert_int_equal(stw_outbox_body(stw_outbox_of(conn), id, body, 4, &size), STW_OK);
  assert_memory_equal(body, "left", 4);
  assert_int_equal(stw_engine_free(host.engine), STW_OK);
  stw_outbox_entry entry;
  EXPECT(stw_outbox_list(stw_outbox_of(conn), NULL, &(uint64_t){0}, &entry, 1, &size), STW_E_CLOSED,
         "engine");
  EXPECT(stw_outbox_body(stw_outbox_of(conn), id, body, 4, &size), STW_E_CLOSED, "stopped");
  EXPECT(stw_outbox_cancel(stw_outbox_of(conn), id), STW_E_CLOSED, "stopped");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(bad_input_is_refused),
      TEST(unknown_messages_are_not_found),
      TEST(the_list_is_paged_and_complete),
      TEST(a_body_is_copied_as_far_as_it_fits),
      TEST(what_was_not_written_can_be_cancelled),
      TEST(what_was_written_cannot_be_cancelled_not_even_while_it_waits_again),
      TEST(an_outbox_outlives_its_close_but_not_its_engine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
