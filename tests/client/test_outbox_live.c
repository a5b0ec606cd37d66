/* The outbox of a live conn: what each edit does in each state, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/engine.h"
#include "client/handle.h"
#include "client/port_inside.h"
#include "host.h"

static struct host host;
static stw_conn conn;
static stw_outbox outbox;

static int set_up(void **state) {
  (void)state;
  host_init(&host);
  fake_server_be(&host.server, (struct fake_manner){.hangs = true});
  conn = host_open(&host, 1, NULL);
  outbox = stw_outbox_of(conn);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  host_fini(&host);
  return 0;
}

static stw_message_id put(void) {
  stw_message_id id;
  assert_int_equal(host_send(conn, "x", &id), STW_OK);
  return id;
}

static stw_outbox_entry look(stw_message_id id) {
  stw_outbox_entry entry;
  assert_int_equal(stw_outbox_get(outbox, id, &entry), STW_OK);
  return entry;
}

static void an_edit_that_does_not_fit_the_state_changes_nothing(void **state) {
  (void)state;
  const stw_message_id id = put();
  EXPECT(stw_outbox_edit(outbox, id, STW_EDIT_RELEASE), STW_E_STATE, "queued");
  EXPECT(stw_outbox_edit(outbox, id, STW_EDIT_REQUEUE), STW_E_STATE, "queued");
  EXPECT(stw_outbox_edit(outbox, id, STW_EDIT_DEMOTE), STW_E_STATE, "already");
  assert_int_equal(look(id).state, STW_MESSAGE_QUEUED);
  assert_int_equal(look(id).number, 1);
  assert_int_equal(stw_outbox_edit(outbox, id, STW_EDIT_HOLD), STW_OK);
  EXPECT(stw_outbox_edit(outbox, id, STW_EDIT_HOLD), STW_E_STATE, "held");
  EXPECT(stw_outbox_edit(outbox, id, STW_EDIT_REQUEUE), STW_E_STATE, "held");
  assert_int_equal(look(id).state, STW_MESSAGE_HELD);
}

static void a_message_moves_between_the_lanes_and_keeps_its_id(void **state) {
  (void)state;
  const stw_message_id id = put();
  assert_int_equal(stw_outbox_edit(outbox, id, STW_EDIT_PRIORITISE), STW_OK);
  assert_int_equal(look(id).lane, STW_LANE_CONTROL);
  assert_int_equal(look(id).number, 1);
  assert_int_equal(stw_outbox_edit(outbox, id, STW_EDIT_DEMOTE), STW_OK);
  assert_int_equal(look(id).lane, STW_LANE_DATA);
  assert_int_equal(look(id).number, 2);
  assert_int_equal(stw_outbox_cancel(outbox, id), STW_OK);
  stw_outbox_entry entry;
  EXPECT(stw_outbox_get(outbox, id, &entry), STW_E_NOT_FOUND, "message 1");
  for (int edit = 0; edit < STW_EDIT_COUNT; edit++)
    EXPECT(stw_outbox_edit(outbox, id, (stw_edit)edit), STW_E_NOT_FOUND, "message 1");
}

static void a_cursor_that_no_call_gave_is_refused(void **state) {
  (void)state;
  const stw_message_id held = put(), control = put();
  put();
  assert_int_equal(stw_outbox_edit(outbox, held, STW_EDIT_HOLD), STW_OK);
  assert_int_equal(stw_outbox_edit(outbox, control, STW_EDIT_PRIORITISE), STW_OK);
  uint64_t given[4] = {0};
  size_t count = 0;
  stw_outbox_entry entries[3];
  for (size_t i = 0; i < 3; i++) {
    given[i + 1] = given[i];
    assert_int_equal(stw_outbox_list(outbox, NULL, &given[i + 1], &entries[i], 1, &count), STW_OK);
    assert_int_equal(count, 1);
  }
  for (size_t i = 3; i-- > 0;) { /* again, in any order */
    stw_outbox_entry entry;
    uint64_t cursor = given[i];
    assert_int_equal(stw_outbox_list(outbox, NULL, &cursor, &entry, 1, &count), STW_OK);
    assert_int_equal(entry.id.number, entries[i].id.number);
    assert_int_equal(cursor, given[i + 1]);
  }
  const uint64_t number = ((uint64_t)1 << 62) - 1;
  const uint64_t made_up[] = {1,
                              5,
                              number,
                              given[1] & ~number,
                              number + 1,
                              given[1] + 1,
                              (given[2] & ~number) + 4,
                              given[3] + 1,
                              UINT64_MAX};
  for (size_t i = 0; i < sizeof made_up / sizeof *made_up; i++) {
    uint64_t cursor = made_up[i];
    EXPECT(stw_outbox_list(outbox, NULL, &cursor, entries, 1, &count), STW_E_ARGUMENT, "cursor");
    assert_int_equal(cursor, made_up[i]);
    assert_int_equal(count, 0);
  }
}

static void filters_choose_by_state_and_lane(void **state) {
  (void)state;
  const stw_message_id held = put(), control = put(), data = put();
  assert_int_equal(stw_outbox_edit(outbox, held, STW_EDIT_HOLD), STW_OK);
  assert_int_equal(stw_outbox_edit(outbox, control, STW_EDIT_PRIORITISE), STW_OK);
  const stw_outbox_filter filters[] = {
      {.struct_size = sizeof *filters, .states = 1u << STW_MESSAGE_HELD},
      {.struct_size = sizeof *filters, .lanes = 1u << STW_LANE_CONTROL},
      {.struct_size = sizeof *filters,
       .states = 1u << STW_MESSAGE_QUEUED,
       .lanes = 1u << STW_LANE_DATA},
  };
  const stw_message_id wanted[] = {held, control, data};
  for (size_t i = 0; i < 3; i++) {
    stw_outbox_entry entries[4];
    uint64_t cursor = 0;
    size_t count = 0;
    assert_int_equal(stw_outbox_list(outbox, &filters[i], &cursor, entries, 4, &count), STW_OK);
    assert_int_equal(count, 1);
    assert_int_equal(entries[0].id.number, wanted[i].number);
  }
}

/* Another thread has news for the engine, and has marked the port, but did not get any further. */
static void what_was_sent_is_seen_although_the_engine_was_not_told_yet(void **state) {
  (void)state;
  const stw_message_id first = put();
  look(first);
  struct stwi_port *port;
  assert_int_equal(stwi_handle_hold(conn.id, STWI_HANDLE_CONN, (void **)&port), STW_OK);
  pthread_mutex_lock(&port->lock);
  const bool is_new = !port->is_submitted;
  port->is_submitted = true;
  pthread_mutex_unlock(&port->lock);
  assert_int_equal(look(put()).number, 2);
  assert_int_equal(stw_outbox_edit(outbox, first, STW_EDIT_PRIORITISE), STW_OK);
  assert_int_equal(look(first).lane, STW_LANE_CONTROL);
  if (is_new)
    stwi_engine_submit(port);
  stwi_handle_drop(conn.id);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(an_edit_that_does_not_fit_the_state_changes_nothing),
      TEST(a_message_moves_between_the_lanes_and_keeps_its_id),
      TEST(a_cursor_that_no_call_gave_is_refused),
      TEST(filters_choose_by_state_and_lane),
      TEST(what_was_sent_is_seen_although_the_engine_was_not_told_yet),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
