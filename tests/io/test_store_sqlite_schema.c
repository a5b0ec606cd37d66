/* An older file is brought up to date in one transaction, after a copy. */
#include "io/store_sqlite.h"
#include "store_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void make_file(struct store_world *world) {
  store_world_init(world);
  assert_int_equal(store_world_open(world), STW_OK);
  store_world_put(world, STW_LANE_DATA, 1, "old", STW_AT_LEAST_ONCE);
  store_world_close(world);
}

static int64_t number(struct stwi_sql *sql, const char *text) {
  int64_t value = -1;
  assert_int_equal(stwi_sql_number(sql->db, text, &value), SQLITE_OK);
  return value;
}

static int migrate(struct store_world *world, const struct stwi_sql_step *steps, uint32_t version,
                   struct stwi_sql *sql, struct stwi_sql_place *place) {
  assert_int_equal(stwi_sql_place_open(place, world->path, STWI_SQL_EDIT, world->detail), STW_OK);
  assert_int_equal(stwi_sql_attach(sql, place->path), SQLITE_OK);
  return stwi_sql_migrate(sql, place, steps, version);
}

static void every_step_is_done_and_the_old_file_is_kept(void **unused) {
  (void)unused;
  static const struct stwi_sql_step steps[] = {
      {NULL}, /* of version 1, which the file is past */
      {"ALTER TABLE outbox ADD COLUMN colour INTEGER NOT NULL DEFAULT 3"},
      {"UPDATE outbox SET colour = colour + 1"}};
  struct store_world world;
  struct stwi_sql sql;
  struct stwi_sql_place place;
  make_file(&world);
  assert_int_equal(migrate(&world, steps, 4, &sql, &place), SQLITE_OK);
  assert_int_equal(number(&sql, "PRAGMA user_version"), 4);
  assert_int_equal(number(&sql, "SELECT colour FROM outbox"), 4);
  stwi_sql_detach(&sql);
  stwi_sql_place_close(&place);
  snprintf(world.path, sizeof world.path, "%s/a.db.backup-v2", world.folder);
  assert_int_equal(store_world_open(&world), STW_OK);
  assert_non_null(store_world_find(&world, STW_LANE_DATA, 1));
  store_world_fini(&world);
}

static void a_step_that_fails_changes_nothing(void **unused) {
  (void)unused;
  static const struct stwi_sql_step steps[] = {{NULL}, {"DELETE FROM outbox"}, {"UPDATE nothing"}};
  struct store_world world;
  struct stwi_sql sql;
  struct stwi_sql_place place;
  make_file(&world);
  assert_int_not_equal(migrate(&world, steps, 4, &sql, &place), SQLITE_OK);
  assert_int_equal(number(&sql, "PRAGMA user_version"), 2);
  assert_int_equal(number(&sql, "SELECT count(*) FROM outbox"), 1);
  stwi_sql_detach(&sql);
  stwi_sql_place_close(&place);
  store_world_fini(&world);
}

/* As version 1 wrote them: without the index, and what was found after a loss. */
static void make_old(struct store_world *world) {
  sqlite3 *db;
  make_file(world);
  assert_int_equal(sqlite3_open(world->path, &db), SQLITE_OK);
  static const char text[] = "DROP INDEX moved; ALTER TABLE meta DROP COLUMN found_data;"
                             "ALTER TABLE meta DROP COLUMN found_control; PRAGMA user_version=1";
  assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(db);
}

static void a_file_of_version_1_goes_on(void **unused) {
  (void)unused;
  struct store_world world;
  char backup[300];
  make_old(&world);
  snprintf(backup, sizeof backup, "%s.backup-v1", world.path);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(store_world_open(&world), STW_OK);
    assert_int_equal(world.health, STW_STORE_RECOVERED);
    assert_non_null(store_world_find(&world, STW_LANE_DATA, 1));
    store_world_close(&world);
  }
  assert_int_equal(access(backup, F_OK), 0);
  store_world_fini(&world);
}

static void a_file_of_version_1_at_rest_is_brought_up_by_who_may_edit(void **unused) {
  (void)unused;
  struct store_world world;
  struct stwi_store_file *file;
  make_old(&world);
  assert_int_equal(stwi_store_file_open(world.path, false, &file, world.detail), STW_E_FORMAT);
  assert_non_null(strstr(world.detail, "for editing"));
  for (int may_edit = 1; may_edit >= 0; may_edit--) {
    assert_int_equal(stwi_store_file_open(world.path, may_edit == 1, &file, world.detail), STW_OK);
    stw_outbox_entry entry;
    assert_int_equal(
        stwi_store_file_get(file, (stw_message_id){world.stream, 1}, &entry, world.detail), STW_OK);
    stwi_store_file_close(file);
  }
  store_world_fini(&world);
}

/* The switch to a new file, interrupted between its steps. */
static void a_new_file_counts_when_it_is_whole(void **unused) {
  (void)unused;
  struct store_world world;
  struct stwi_sql_place place;
  char other[300], aside[300];
  make_file(&world);
  snprintf(other, sizeof other, "%s.new", world.path);
  snprintf(aside, sizeof aside, "%s.ready", world.path);
  assert_int_equal(stwi_sql_place_open(&place, world.path, STWI_SQL_EDIT, world.detail), STW_OK);
  assert_int_equal(stwi_sql_place_begin(&place, ".new"), 0);
  stwi_sql_place_close(&place);
  assert_int_equal(store_world_open(&world), STW_OK);
  assert_int_equal(store_world_count(world.restored.chunks), 1);
  assert_int_not_equal(access(other, F_OK), 0);
  store_world_close(&world);
  assert_int_equal(rename(world.path, aside), 0);
  assert_int_equal(store_world_open(&world), STW_OK);
  assert_int_equal(store_world_count(world.restored.chunks), 1);
  assert_int_not_equal(access(aside, F_OK), 0);
  store_world_fini(&world);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_step_is_done_and_the_old_file_is_kept),
      cmocka_unit_test(a_step_that_fails_changes_nothing),
      cmocka_unit_test(a_file_of_version_1_goes_on),
      cmocka_unit_test(a_file_of_version_1_at_rest_is_brought_up_by_who_may_edit),
      cmocka_unit_test(a_new_file_counts_when_it_is_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
