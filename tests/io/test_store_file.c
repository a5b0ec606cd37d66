/* The file at rest: listed, edited, added to, checked. */
#include "io/clock.h"
#include "store_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

static struct store_world world;
static struct stwi_store_file *file;
static char detail[200];

/* Data 1 to 5 (3 of them with a key), control 1 and 2, one held, one dead. */
static int setup(void **state) {
  (void)state;
  store_world_init(&world);
  assert_int_equal(store_world_open(&world), STW_OK);
  for (uint64_t i = 1; i <= 5; i++) {
    const struct stwi_msg like = {.number = i,
                                  .id = {world.stream, i},
                                  .is_text = true,
                                  .waited_ns = i * 100 * STWI_S,
                                  .ttl_ns = i == 5 ? 1000 * STWI_S : 0,
                                  .attempts = i == 1};
    store_world_message(&world, STWI_STORE_PUT, &like, i >= 3 ? "key" : NULL, "12345", (uint32_t)i);
  }
  store_world_put(&world, STW_LANE_CONTROL, 1, "c1", STW_AT_LEAST_ONCE);
  store_world_put(&world, STW_LANE_CONTROL, 2, "c2", STW_AT_LEAST_ONCE);
  const struct stwi_msg held = {.id = {world.stream, 100}, .state = STW_MESSAGE_HELD};
  const struct stwi_msg dead = {.id = {world.stream | 1, 101},
                                .state = STW_MESSAGE_DEAD,
                                .lane = STW_LANE_CONTROL,
                                .cause = STW_CAUSE_SESSION_ERROR,
                                .attempts = 3};
  store_world_message(&world, STWI_STORE_PARK, &held, NULL, "held", 4);
  store_world_message(&world, STWI_STORE_PARK, &dead, NULL, "dead", 4);
  store_world_close(&world);
  assert_int_equal(stwi_store_file_open(world.path, true, &file, detail), STW_OK);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  stwi_store_file_close(file);
  store_world_fini(&world);
  return 0;
}

static size_t list(const stw_outbox_filter *filter, stw_outbox_entry *entries, size_t page) {
  uint64_t cursor = 0;
  size_t total = 0, count;
  do {
    assert_int_equal(
        stwi_store_file_list(file, filter, &cursor, entries + total, page, &count, detail), STW_OK);
    total += count;
  } while (cursor != 0);
  return total;
}

static stw_message_id id(uint64_t stream, uint64_t number) {
  return (stw_message_id){world.stream | stream, number};
}

static stw_outbox_entry get(stw_message_id wanted) {
  stw_outbox_entry entry;
  assert_int_equal(stwi_store_file_get(file, wanted, &entry, detail), STW_OK);
  return entry;
}

static void entries_come_in_the_order_of_sending(void **unused) {
  (void)unused;
  static const uint64_t ids[] = {1, 2, 1, 2, 3, 4, 5, 100, 101};
  for (size_t page = 1; page <= 10; page++) {
    stw_outbox_entry entries[20];
    assert_int_equal(list(NULL, entries, page), 9);
    for (uint32_t i = 0; i < 9; i++) {
      assert_int_equal(entries[i].id.number, ids[i]);
      assert_int_equal(entries[i].position, i);
      assert_int_equal(get(entries[i].id).position, i);
    }
  }
  stw_outbox_entry entries[20];
  list(NULL, entries, 20);
  assert_int_equal(entries[0].lane, STW_LANE_CONTROL);
  assert_int_equal(entries[2].attempts, 1);
  assert_int_equal(entries[6].size, 5);
  assert_string_equal(entries[6].key, "key");
  assert_in_range(entries[6].age_ns, 499 * STWI_S, 550 * STWI_S);
  assert_in_range(entries[6].ttl_left_ns, 900 * STWI_S, 1001 * STWI_S);
  assert_int_equal(entries[6].proof, STW_PROOF_STORED);
  assert_int_equal(entries[7].number, 0);
  assert_int_equal(entries[8].state, STW_MESSAGE_DEAD);
  assert_int_equal(entries[8].cause, STW_CAUSE_SESSION_ERROR);
}

static void filters_let_through_what_they_say(void **unused) {
  (void)unused;
  stw_outbox_entry entries[20];
  stw_outbox_filter filter = {.struct_size = sizeof filter, .lanes = 1u << STW_LANE_CONTROL};
  assert_int_equal(list(&filter, entries, 2), 3);
  filter = (stw_outbox_filter){.states = 1u << STW_MESSAGE_HELD | 1u << STW_MESSAGE_DEAD};
  assert_int_equal(list(&filter, entries, 1), 2);
  filter = (stw_outbox_filter){.key = "key", .key_size = 3};
  assert_int_equal(list(&filter, entries, 2), 3);
  assert_int_equal(entries[0].position, 4);
  filter = (stw_outbox_filter){.older_than_ns = 399 * STWI_S};
  assert_int_equal(list(&filter, entries, 20), 2);
}

static void a_cursor_that_no_call_gave_is_refused(void **unused) {
  (void)unused;
  stw_outbox_entry entry;
  size_t count;
  const uint64_t first = (uint64_t)1 << 62;
  const uint64_t made_up[] = {1, 5, first, 2 * first, 3 * first, first + 3, 2 * first + 6};
  for (size_t i = 0; i < sizeof made_up / sizeof *made_up; i++) {
    uint64_t cursor = made_up[i];
    assert_int_equal(stwi_store_file_list(file, NULL, &cursor, &entry, 1, &count, detail),
                     STW_E_ARGUMENT);
    assert_non_null(strstr(detail, "cursor"));
    assert_int_equal(cursor, made_up[i]);
  }
  uint64_t cursor = 2 * first + 5; /* behind the last one of the data lane */
  assert_int_equal(stwi_store_file_list(file, NULL, &cursor, &entry, 1, &count, detail), STW_OK);
  assert_int_equal(entry.state, STW_MESSAGE_HELD);
}

static void bodies_are_copied(void **unused) {
  (void)unused;
  uint8_t *body;
  size_t size;
  assert_int_equal(stwi_store_file_body(file, id(0, 4), &body, &size, detail), STW_OK);
  assert_int_equal(size, 4);
  assert_memory_equal(body, "1234", 4);
  free(body);
  assert_int_equal(stwi_store_file_body(file, id(1, 101), &body, &size, detail), STW_OK);
  assert_memory_equal(body, "dead", 4);
  free(body);
  assert_int_equal(stwi_store_file_body(file, id(0, 77), &body, &size, detail), STW_E_NOT_FOUND);
}

static void edits_do_what_their_words_say(void **unused) {
  (void)unused;
  assert_int_equal(stwi_store_file_edit(file, id(0, 2), STW_EDIT_CANCEL, detail), STW_OK);
  assert_int_equal(stwi_store_file_edit(file, id(0, 2), STW_EDIT_CANCEL, detail), STW_E_NOT_FOUND);
  assert_int_equal(stwi_store_file_edit(file, id(0, 3), STW_EDIT_HOLD, detail), STW_OK);
  assert_int_equal(get(id(0, 3)).state, STW_MESSAGE_HELD);
  assert_int_equal(stwi_store_file_edit(file, id(0, 3), STW_EDIT_RELEASE, detail), STW_OK);
  assert_int_equal(get(id(0, 3)).number, 6);
  assert_int_equal(stwi_store_file_edit(file, id(0, 4), STW_EDIT_PRIORITISE, detail), STW_OK);
  assert_int_equal(get(id(0, 4)).lane, STW_LANE_CONTROL);
  assert_int_equal(get(id(0, 4)).number, 3);
  assert_int_equal(stwi_store_file_edit(file, id(1, 1), STW_EDIT_DEMOTE, detail), STW_OK);
  assert_int_equal(get(id(1, 1)).lane, STW_LANE_DATA);
  assert_int_equal(get(id(1, 1)).number, 7);
  assert_int_equal(stwi_store_file_edit(file, id(1, 101), STW_EDIT_REQUEUE, detail), STW_OK);
  assert_int_equal(get(id(1, 101)).number, 4);
  assert_int_equal(get(id(1, 101)).attempts, 0);
  stwi_store_file_close(file);
  file = NULL;
  assert_int_equal(store_world_open(&world), STW_OK); /* the live store sees the same */
  assert_int_equal(world.restored.last_number[STW_LANE_DATA], 7);
  assert_int_equal(world.restored.last_number[STW_LANE_CONTROL], 4);
  assert_int_equal(store_world_find(&world, STW_LANE_DATA, 7)->id.number, 1);
  assert_false(world.restored.is_unclean);
}

static void edits_that_do_not_fit_are_refused(void **unused) {
  (void)unused;
  assert_int_equal(stwi_store_file_edit(file, id(0, 1), STW_EDIT_CANCEL, detail), STW_E_STATE);
  assert_non_null(strstr(detail, "was written"));
  assert_int_equal(stwi_store_file_edit(file, id(0, 2), STW_EDIT_RELEASE, detail), STW_E_STATE);
  assert_int_equal(stwi_store_file_edit(file, id(0, 100), STW_EDIT_REQUEUE, detail), STW_E_STATE);
  assert_int_equal(stwi_store_file_edit(file, id(0, 100), STW_EDIT_HOLD, detail), STW_E_STATE);
  assert_int_equal(stwi_store_file_edit(file, id(0, 2), (stw_edit)99, detail), STW_E_ARGUMENT);
  stwi_store_file_close(file);
  assert_int_equal(stwi_store_file_open(world.path, false, &file, detail), STW_OK);
  assert_int_equal(stwi_store_file_edit(file, id(0, 2), STW_EDIT_CANCEL, detail), STW_E_STATE);
  assert_non_null(strstr(detail, "may_edit"));
}

static void what_is_added_keeps_its_id_and_is_there_once(void **unused) {
  (void)unused;
  struct stwi_chunk *chunk = stwi_chunk_new(4096);
  for (uint64_t i = 0; i < 4; i++) {
    struct stwi_msg *msg = stwi_chunk_append(chunk, "k", 1, "added", 5);
    msg->id = i == 0 ? id(0, 3) : (stw_message_id){4711, i}; /* the first is there */
    msg->state = i == 3 ? STW_MESSAGE_HELD : STW_MESSAGE_QUEUED;
  }
  uint64_t count;
  assert_int_equal(stwi_store_file_add(file, chunk, &count, detail), STW_OK);
  assert_int_equal(count, 3);
  assert_int_equal(stwi_store_file_add(file, chunk, &count, detail), STW_OK);
  assert_int_equal(count, 0);
  stwi_chunk_free(chunk);
  assert_int_equal(get((stw_message_id){4711, 1}).number, 6);
  assert_int_equal(get((stw_message_id){4711, 2}).number, 7);
  assert_int_equal(get((stw_message_id){4711, 3}).state, STW_MESSAGE_HELD);
}

static void a_check_counts_and_finds_faults(void **unused) {
  (void)unused;
  stw_outbox_report report;
  assert_int_equal(stwi_store_file_check(file, &report, detail), STW_OK);
  assert_true(report.is_sound);
  assert_true(report.was_clean);
  assert_string_equal(report.detail, "");
  assert_int_equal(report.queued[STW_LANE_DATA], 5);
  assert_int_equal(report.queued[STW_LANE_CONTROL], 2);
  assert_int_equal(report.queued_bytes[STW_LANE_DATA], 15);
  assert_int_equal(report.held, 1);
  assert_int_equal(report.dead, 1);
  assert_int_equal(report.last_number[STW_LANE_DATA], 5);
  assert_true(report.file_bytes > 4096);
  stwi_store_file_close(file);
  FILE *raw = fopen(world.path, "r+b");
  assert_non_null(raw);
  static uint8_t bytes[1 << 20];
  const size_t size = fread(bytes, 1, sizeof bytes, raw);
  for (size_t i = 0; i + 5 < size; i++) {
    if (memcmp(bytes + i, "12345", 5) == 0)
      memcpy(bytes + i, "\xff\xff\xff\xff\xff", 5); /* text that is none */
  }
  rewind(raw);
  assert_int_equal(fwrite(bytes, 1, size, raw), size);
  fclose(raw);
  assert_int_equal(stwi_store_file_open(world.path, false, &file, detail), STW_OK);
  assert_int_equal(stwi_store_file_check(file, &report, detail), STW_OK);
  assert_false(report.is_sound);
  assert_non_null(strstr(report.detail, "text"));
}

static void a_missing_file_is_an_error_and_stays_missing(void **unused) {
  (void)unused;
  struct stwi_store_file *other;
  char path[300];
  snprintf(path, sizeof path, "%s/none.db", world.folder);
  assert_int_equal(stwi_store_file_open(path, true, &other, detail), STW_E_STORE);
  assert_non_null(strstr(detail, "no such file"));
  assert_int_not_equal(access(path, F_OK), 0);
}

static void two_may_read_at_once(void **unused) {
  (void)unused;
  stwi_store_file_close(file);
  struct stwi_store_file *other;
  assert_int_equal(stwi_store_file_open(world.path, false, &file, detail), STW_OK);
  assert_int_equal(stwi_store_file_open(world.path, false, &other, detail), STW_OK);
  stwi_store_file_close(other);
  assert_int_equal(get(id(0, 2)).number, 2);
  assert_int_equal(stwi_store_file_open(world.path, true, &other, detail), STW_E_BUSY);
}

/* ---- how long it takes to find one ---- */

static uint64_t steps; /* of SQLite's machine */

static int count_step(void *unused) {
  (void)unused;
  steps++;
  return 0;
}

static int watch(sqlite3 *db, char **why, const void *api) {
  (void)why;
  (void)api;
  sqlite3_progress_handler(db, 1, count_step, NULL);
  return SQLITE_OK;
}

/* Looking for one must not take longer where there are many. */
static void moved_messages_are_found_by_their_ids(void **unused) {
  (void)unused;
  enum { MANY = 3000, MOVED = 1000000, FEW_STEPS = 1500 };
  struct store_world many;
  struct stwi_store_file *edited;
  store_world_init(&many);
  assert_int_equal(store_world_open(&many), STW_OK);
  for (uint64_t number = 1; number <= MANY; number++) {
    const struct stwi_msg like = {.number = number, .id = {many.stream, MOVED + number}};
    store_world_message(&many, STWI_STORE_PUT, &like, NULL, "moved", 5);
  }
  assert_true(store_world_commit(&many));
  store_world_close(&many);
  assert_int_equal(sqlite3_auto_extension((void (*)(void))watch), SQLITE_OK);
  assert_int_equal(stwi_store_file_open(many.path, true, &edited, detail), STW_OK);
  sqlite3_cancel_auto_extension((void (*)(void))watch);
  static const stw_edit edits[] = {STW_EDIT_PRIORITISE, STW_EDIT_HOLD, STW_EDIT_RELEASE,
                                   STW_EDIT_CANCEL};
  for (uint64_t number = 1; number <= MANY; number += 97) {
    const stw_message_id wanted = {many.stream, MOVED + number * 77 % MANY + 1};
    uint8_t *body;
    size_t size;
    steps = 0;
    assert_int_equal(stwi_store_file_body(edited, wanted, &body, &size, detail), STW_OK);
    assert_memory_equal(body, "moved", 5);
    free(body);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
      assert_int_equal(stwi_store_file_edit(edited, wanted, edits[i], detail), STW_OK);
    assert_int_equal(stwi_store_file_edit(edited, wanted, STW_EDIT_HOLD, detail), STW_E_NOT_FOUND);
    assert_in_range(steps, 1, FEW_STEPS);
  }
  stwi_store_file_close(edited);
  store_world_fini(&many);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(moved_messages_are_found_by_their_ids),
      CASE(entries_come_in_the_order_of_sending),
      CASE(filters_let_through_what_they_say),
      CASE(a_cursor_that_no_call_gave_is_refused),
      CASE(bodies_are_copied),
      CASE(edits_do_what_their_words_say),
      CASE(edits_that_do_not_fit_are_refused),
      CASE(what_is_added_keeps_its_id_and_is_there_once),
      CASE(a_check_counts_and_finds_faults),
      CASE(a_missing_file_is_an_error_and_stays_missing),
      CASE(two_may_read_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
