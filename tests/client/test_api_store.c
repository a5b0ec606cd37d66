/* An outbox with a file: what was sent survives its process, and can be looked at meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "kept.h"

static struct host host;
static char folder[KEPT_FOLDER], path[KEPT_PATH], elsewhere[KEPT_PATH];

static int set_up(void **state) {
  (void)state;
  kept_folder(folder);
  snprintf(path, sizeof path, "%s/outbox", folder);
  snprintf(elsewhere, sizeof elsewhere, "%s/export", folder);
  host_init(&host);
  fake_server_be(&host.server, (struct fake_manner){.hangs = true});
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  host_fini(&host);
  unlink(path);
  unlink(elsewhere);
  return rmdir(folder); /* fails where something was left behind */
}

static void send_on(stw_conn conn, stw_lane lane, const char *text, stw_message_id *id) {
  const stw_send_options options = {.struct_size = sizeof options, .lane = lane};
  assert_int_equal(stw_conn_send(conn, text, strlen(text), &options, id), STW_OK);
}

static void what_was_sent_survives_the_conn_and_its_ids_stay(void **state) {
  (void)state;
  stw_message_id data, control;
  stw_conn conn = kept_open(&host, path);
  send_on(conn, STW_LANE_DATA, "later", &data);
  send_on(conn, STW_LANE_CONTROL, "first", &control);
  assert_int_equal(control.stream, data.stream | 1);
  assert_int_equal(stw_conn_free(conn), STW_OK);
  conn = kept_open(&host, path);
  const struct host_event *found = host_wait(&host, conn, STW_EVENT_STORE);
  assert_non_null(found);
  assert_int_equal(found->event.u.store.health, STW_STORE_RECOVERED);
  assert_int_equal(found->event.u.store.messages, 2);
  stw_outbox_entry entries[4];
  size_t count;
  assert_int_equal(host_list(conn, 0, entries, 4, &count), STW_OK);
  assert_int_equal(count, 2);
  assert_memory_equal(&entries[0].id, &control, sizeof control);
  assert_memory_equal(&entries[1].id, &data, sizeof data);
  assert_int_equal(host_look(conn).outbox_messages, 2);
  stw_message_id next;
  send_on(conn, STW_LANE_DATA, "more", &next);
  assert_int_equal(next.number, data.number + 1);
  fake_server_be(&host.server, (struct fake_manner){0});
  assert_int_equal(stw_conn_kick(conn), STW_OK);
  assert_int_equal(stw_conn_free(conn), STW_OK);
}

static void a_message_can_be_held_released_moved_and_carried_elsewhere(void **state) {
  (void)state;
  stw_message_id one, two;
  stw_outbox_entry entry;
  stw_conn conn = kept_open(&host, path);
  send_on(conn, STW_LANE_DATA, "one", &one);
  send_on(conn, STW_LANE_DATA, "two", &two);
  const stw_outbox outbox = stw_outbox_of(conn);
  assert_int_equal(stw_outbox_edit(outbox, one, STW_EDIT_HOLD), STW_OK);
  EXPECT(stw_outbox_edit(outbox, one, STW_EDIT_HOLD), STW_E_STATE, "held");
  assert_int_equal(stw_outbox_get(outbox, one, &entry), STW_OK);
  assert_int_equal(entry.state, STW_MESSAGE_HELD);
  assert_int_equal(entry.number, 0);
  assert_int_equal(stw_outbox_edit(outbox, one, STW_EDIT_RELEASE), STW_OK);
  assert_int_equal(stw_outbox_get(outbox, one, &entry), STW_OK);
  assert_int_equal(entry.number, 3);
  assert_int_equal(stw_outbox_edit(outbox, one, STW_EDIT_PRIORITISE), STW_OK);
  assert_int_equal(stw_outbox_get(outbox, one, &entry), STW_OK);
  assert_int_equal(entry.lane, STW_LANE_CONTROL);
  EXPECT(stw_outbox_edit(outbox, one, STW_EDIT_PRIORITISE), STW_E_STATE, "already");
  uint64_t exported, imported;
  assert_int_equal(stw_outbox_export(outbox, NULL, elsewhere, &exported), STW_OK);
  assert_int_equal(exported, 2);
  EXPECT(stw_outbox_export(outbox, NULL, elsewhere, &exported), STW_E_STORE, "exists");
  assert_int_equal(stw_outbox_cancel(outbox, two), STW_OK);
  assert_int_equal(stw_outbox_import(outbox, elsewhere, &imported), STW_OK);
  assert_int_equal(imported, 1);
  assert_int_equal(stw_outbox_get(outbox, two, &entry), STW_OK);
  assert_int_equal(stw_outbox_import(outbox, elsewhere, &imported), STW_OK);
  assert_int_equal(imported, 0);
  assert_int_equal(stw_conn_free(conn), STW_OK);
}

static void a_file_in_use_is_locked_and_one_at_rest_can_be_edited(void **state) {
  (void)state;
  stw_message_id id;
  stw_outbox file;
  stw_conn conn = kept_open(&host, path), second;
  const char *options[] = {"outbox", path, NULL};
  send_on(conn, STW_LANE_DATA, "kept", &id);
  EXPECT(host_try_open(&host, 1, options, &second), STW_E_LOCKED, "outbox");
  assert_int_equal(stw_conn_free(conn), STW_OK);
  assert_int_equal(stw_outbox_open(path, true, &file), STW_OK);
  char body[8];
  size_t size;
  assert_int_equal(stw_outbox_body(file, id, body, sizeof body, &size), STW_OK);
  assert_int_equal(size, 4);
  assert_memory_equal(body, "kept", 4);
  stw_outbox_report report = {.struct_size = sizeof report};
  assert_int_equal(stw_outbox_check(file, &report), STW_OK);
  assert_true(report.is_sound && report.was_clean);
  assert_int_equal(report.queued[STW_LANE_DATA], 1);
  assert_int_equal(stw_outbox_cancel(file, id), STW_OK);
  EXPECT(stw_outbox_cancel(file, id), STW_E_NOT_FOUND, "message");
  assert_int_equal(stw_outbox_close(file), STW_OK);
  EXPECT(stw_outbox_close(file), STW_E_HANDLE, "stale");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(what_was_sent_survives_the_conn_and_its_ids_stay),
      TEST(a_message_can_be_held_released_moved_and_carried_elsewhere),
      TEST(a_file_in_use_is_locked_and_one_at_rest_can_be_edited),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
