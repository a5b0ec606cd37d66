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
      {"ALTER TABLE outbox ADD COLUMN colour INTEGER NOT NULL DEFAULT 3"},
      {"UPDATE outbox SET colour = colour + 1"}};
  struct store_world world;
  struct stwi_sql sql;
  struct stwi_sql_place place;
  make_file(&world);
  assert_int_equal(migrate(&world, steps, 3, &sql, &place), SQLITE_OK);
  assert_int_equal(number(&sql, "PRAGMA user_version"), 3);
  assert_int_equal(number(&sql, "SELECT colour FROM outbox"), 4);
  stwi_sql_detach(&sql);
  stwi_sql_place_close(&place);
  snprintf(world.path, sizeof world.path, "%s/a.db.backup-v1", world.folder);
  assert_int_equal(store_world_open(&world), STW_OK);
  assert_non_null(store_world_find(&world, STW_LANE_DATA, 1));
  store_world_fini(&world);
}

static void a_step_that_fails_changes_nothing(void **unused) {
  (void)unused;
  static const struct stwi_sql_step steps[] = {{"DELETE FROM outbox"}, {"UPDATE nothing"}};
  struct store_world world;
  struct stwi_sql sql;
  struct stwi_sql_place place;
  make_file(&world);
  assert_int_not_equal(migrate(&world, steps, 3, &sql, &place), SQLITE_OK);
  assert_int_equal(number(&sql, "PRAGMA user_version"), 1);
  assert_int_equal(number(&sql, "SELECT count(*) FROM outbox"), 1);
  stwi_sql_detach(&sql);
  stwi_sql_place_close(&place);
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
      cmocka_unit_test(a_new_file_counts_when_it_is_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
