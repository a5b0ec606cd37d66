/* Files and folders that are not used, and what is said about them. */
#include "store_world.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

static int setup(void **state) {
  static struct store_world world;
  store_world_init(&world);
  *state = &world;
  return 0;
}

static int teardown(void **state) {
  store_world_fini(*state);
  return 0;
}

static void assert_refused(struct store_world *world, stw_status wanted, const char *word) {
  assert_int_equal(store_world_open(world), wanted);
  if (strstr(world->detail, word) == NULL)
    fail_msg("no \"%s\" in: %s", word, world->detail);
}

static void make_file(struct store_world *world, unsigned count) {
  assert_int_equal(store_world_open(world), STW_OK);
  char body[401];
  memset(body, 'b', 400);
  body[400] = '\0';
  for (unsigned i = 1; i <= count; i++)
    store_world_put(world, STW_LANE_DATA, i, body, STW_AT_LEAST_ONCE);
  store_world_close(world);
}

static long size_of(const char *path) {
  struct stat found;
  return stat(path, &found) == 0 ? (long)found.st_size : -1;
}

static void overwrite(const char *path, long at, const void *bytes, size_t size) {
  FILE *file = fopen(path, "r+b");
  if (file == NULL)
    file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fseek(file, at, SEEK_SET), 0);
  assert_int_equal(fwrite(bytes, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}

static void a_file_in_use_names_its_process(void **state) {
  struct store_world *world = *state;
  make_file(world, 1);
  int to_child[2], to_parent[2];
  assert_int_equal(pipe(to_child) | pipe(to_parent), 0);
  const pid_t child = fork();
  char byte = 'x';
  if (child == 0) {
    if (store_world_open(world) != STW_OK)
      _exit(1);
    if (write(to_parent[1], &byte, 1) != 1 || read(to_child[0], &byte, 1) != 1)
      _exit(2);
    store_world_close(world);
    _exit(0);
  }
  assert_int_equal(read(to_parent[0], &byte, 1), 1);
  char pid[40];
  snprintf(pid, sizeof pid, "process %ld", (long)child);
  assert_refused(world, STW_E_LOCKED, pid);
  struct stwi_store_file *file;
  assert_int_equal(stwi_store_file_open(world->path, true, &file, world->detail), STW_E_LOCKED);
  assert_int_equal(stwi_store_file_open(world->path, false, &file, world->detail), STW_OK);
  stwi_store_file_close(file);
  assert_int_equal(write(to_child[1], &byte, 1), 1);
  int how;
  assert_int_equal(waitpid(child, &how, 0), child);
  assert_int_equal(how, 0);
  assert_int_equal(store_world_open(world), STW_OK);
  for (int i = 0; i < 2; i++) {
    close(to_child[i]);
    close(to_parent[i]);
  }
}

static void a_second_use_in_this_process_is_refused(void **state) {
  struct store_world *world = *state;
  make_file(world, 1);
  assert_int_equal(store_world_open(world), STW_OK);
  struct store_world other = *world;
  other.restored = (struct stwi_restored){0};
  char pid[40];
  snprintf(pid, sizeof pid, "pid %ld", (long)getpid());
  assert_refused(&other, STW_E_LOCKED, pid);
  struct stwi_store_file *file;
  assert_int_equal(stwi_store_file_open(world->path, false, &file, world->detail), STW_E_BUSY);
  assert_int_equal(stwi_store_file_open(world->path, true, &file, world->detail), STW_E_BUSY);
  assert_null(file);
}

static void a_foreign_file_stays_as_it_is(void **state) {
  struct store_world *world = *state;
  overwrite(world->path, 0, "my only copy", 12);
  assert_refused(world, STW_E_FORMAT, "not an outbox file");
  assert_int_equal(size_of(world->path), 12);
  unlink(world->path);
  sqlite3 *db;
  assert_int_equal(sqlite3_open(world->path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(db);
  assert_refused(world, STW_E_FORMAT, "not an outbox file");
}

static void a_newer_file_stays_as_it_is(void **state) {
  struct store_world *world = *state;
  make_file(world, 1);
  const uint8_t version[] = {0, 0, 0, 99};
  overwrite(world->path, 60, version, sizeof version);
  assert_refused(world, STW_E_FORMAT, "version 99");
  struct stwi_store_file *file;
  assert_int_equal(stwi_store_file_open(world->path, false, &file, world->detail), STW_E_FORMAT);
}

static void links_and_other_kinds_are_refused(void **state) {
  struct store_world *world = *state;
  char other[300];
  snprintf(other, sizeof other, "%s/other.db", world->folder);
  overwrite(other, 0, "", 0);
  assert_int_equal(symlink(other, world->path), 0);
  assert_refused(world, STW_E_STORE, "symbolic link");
  struct stwi_store_file *file;
  assert_int_equal(stwi_store_file_open(world->path, false, &file, world->detail), STW_E_STORE);
  unlink(world->path);
  assert_int_equal(link(other, world->path), 0);
  assert_refused(world, STW_E_STORE, "second name");
  unlink(world->path);
  assert_int_equal(mkfifo(world->path, 0600), 0);
  assert_refused(world, STW_E_STORE, "not a regular file");
  unlink(world->path);
  char wal[300];
  snprintf(wal, sizeof wal, "%s-wal", world->path);
  assert_int_equal(symlink(other, wal), 0);
  assert_refused(world, STW_E_STORE, "symbolic link");
  unlink(wal);
  snprintf(wal, sizeof wal, "%s.lock", world->path);
  assert_int_equal(symlink(other, wal), 0);
  assert_refused(world, STW_E_STORE, "symbolic link");
}

static void a_folder_for_everybody_is_refused(void **state) {
  struct store_world *world = *state;
  assert_int_equal(chmod(world->folder, 0777), 0);
  assert_refused(world, STW_E_STORE, "chmod o-w");
  assert_int_equal(chmod(world->folder, 01777), 0);
  assert_int_equal(store_world_open(world), STW_OK);
}

static void no_folder_no_name_and_too_long_a_path_are_refused(void **state) {
  struct store_world *world = *state;
  struct store_world other = *world;
  snprintf(other.path, sizeof other.path, "%s/none/a.db", world->folder);
  assert_refused(&other, STW_E_STORE, "make the folder");
  snprintf(other.path, sizeof other.path, "%s/..", world->folder);
  assert_refused(&other, STW_E_STORE, "not the path of a file");
  static char path[2000];
  memset(path, '/', sizeof path - 2);
  path[0] = '/';
  path[sizeof path - 2] = 'a';
  struct stwi_store_file *file;
  assert_int_not_equal(stwi_store_file_open(path, false, &file, other.detail), STW_OK);
}

static void another_users_file_is_refused(void **state) {
  struct store_world *world = *state;
  if (geteuid() != 0)
    skip();
  make_file(world, 1);
  assert_int_equal(chown(world->path, 1, 1), 0);
  assert_refused(world, STW_E_STORE, "another user");
}

/* ---- of a user who may not write ---- */

/* In a child, whose exit code says where it has failed. */
#define MUST(condition)                                                                            \
  do {                                                                                             \
    if (!(condition))                                                                              \
      _exit(__LINE__ % 256);                                                                       \
  } while (0)

static size_t entries_of(const char *folder) {
  DIR *dir = opendir(folder);
  size_t count = 0;
  MUST(dir != NULL);
  for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
    count += entry->d_name[0] != '.';
  closedir(dir);
  return count;
}

static void must_refuse(struct store_world *world, const char *word) {
  MUST(store_world_open(world) == STW_E_STORE);
  MUST(strstr(world->detail, word) != NULL && strstr(world->detail, "chmod u+w") != NULL);
}

static void must_not_edit(struct store_world *world, const char *word) {
  struct stwi_store_file *file;
  MUST(stwi_store_file_open(world->path, true, &file, world->detail) == STW_E_STORE);
  MUST(strstr(world->detail, word) != NULL && strstr(world->detail, "chmod u+w") != NULL);
}

static void must_read(struct store_world *world) {
  struct stwi_store_file *file;
  stw_outbox_entry entry;
  uint64_t cursor = 0;
  size_t count = 0;
  MUST(stwi_store_file_open(world->path, false, &file, world->detail) == STW_OK);
  MUST(stwi_store_file_list(file, NULL, &cursor, &entry, 1, &count, world->detail) == STW_OK);
  MUST(count == 1);
  MUST(stwi_store_file_edit(file, entry.id, STW_EDIT_HOLD, world->detail) == STW_E_STATE);
  stwi_store_file_close(file);
  MUST(entries_of(world->folder) == 1);
}

static void look_at_a_file_that_is_not_to_be_written(struct store_world *world) {
  MUST(chmod(world->path, 0400) == 0);
  must_refuse(world, "cannot be written");
  must_not_edit(world, "cannot be written");
  must_read(world);
  MUST(chmod(world->path, 0600) == 0);
}

static void look_into_a_folder_that_is_not_to_be_written(struct store_world *world) {
  MUST(chmod(world->folder, 0500) == 0);
  must_refuse(world, "ermission denied");
  must_not_edit(world, "ermission denied");
  must_read(world);
  MUST(chmod(world->folder, 0700) == 0);
  MUST(store_world_open(world) == STW_OK);
  store_world_close(world);
}

/* Root may write everything: so somebody else looks. */
static void what_cannot_be_written_is_refused_and_says_what_to_do(void **state) {
  struct store_world *world = *state;
  const bool is_root = geteuid() == 0;
  const uid_t nobody = 65534;
  snprintf(world->path, sizeof world->path, "%s/a%%20b?c#.db", world->folder);
  make_file(world, 1);
  if (is_root) {
    assert_int_equal(chown(world->folder, nobody, nobody), 0);
    assert_int_equal(chown(world->path, nobody, nobody), 0);
  }
  const pid_t child = fork();
  if (child == 0) {
    MUST(!is_root || (setgid(nobody) == 0 && setuid(nobody) == 0));
    look_at_a_file_that_is_not_to_be_written(world);
    look_into_a_folder_that_is_not_to_be_written(world);
    _exit(0);
  }
  int how;
  assert_int_equal(waitpid(child, &how, 0), child);
  if (how != 0)
    fail_msg("the child: status %d, a line of that number modulo 256", WEXITSTATUS(how));
}

static void a_damaged_file_is_moved_aside_and_what_can_be_read_is_kept(void **state) {
  struct store_world *world = *state;
  make_file(world, 400);
  const uint64_t stream = world->stream;
  uint8_t garbage[4096];
  memset(garbage, 0xa5, sizeof garbage);
  const long middle = size_of(world->path) / 2 / 4096 * 4096;
  overwrite(world->path, middle, garbage, sizeof garbage);
  assert_int_equal(store_world_open(world), STW_OK);
  assert_int_equal(world->health, STW_STORE_MOVED_ASIDE);
  assert_non_null(strstr(world->detail, ".damaged-"));
  assert_true(world->restored.is_unclean);
  assert_true(world->stream != stream);
  const uint64_t kept = store_world_count(world->restored.chunks);
  assert_in_range(kept, 300, 399);
  uint64_t before = 0;
  for (struct stwi_chunk *chunk = world->restored.chunks; chunk != NULL; chunk = chunk->next) {
    for (struct stwi_msg *m = stwi_chunk_first(chunk); m != NULL; m = stwi_chunk_after(m)) {
      assert_int_equal(m->size, 400);
      assert_int_equal(m->id.stream, stream);
      assert_true(m->id.number > before);
      before = m->id.number;
    }
  }
  store_world_close(world);
  assert_int_equal(store_world_open(world), STW_OK);
  assert_int_equal(world->health, STW_STORE_RECOVERED);
  assert_int_equal(store_world_count(world->restored.chunks), kept);
}

static void a_file_with_other_tables_is_not_trusted(void **state) {
  struct store_world *world = *state;
  make_file(world, 3);
  sqlite3 *db;
  assert_int_equal(sqlite3_open(world->path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db,
                                "CREATE TRIGGER steal AFTER INSERT ON outbox BEGIN "
                                "DELETE FROM outbox; END",
                                NULL, NULL, NULL),
                   SQLITE_OK);
  sqlite3_close(db);
  assert_int_equal(store_world_open(world), STW_OK);
  assert_int_equal(world->health, STW_STORE_MOVED_ASIDE);
  assert_int_equal(store_world_count(world->restored.chunks), 3);
}

static void the_copy_in_a_child_is_dead(void **state) {
  struct store_world *world = *state;
  assert_int_equal(store_world_open(world), STW_OK);
  const pid_t child = fork();
  if (child == 0) {
    struct stwi_store_news news;
    store_world_put(world, STW_LANE_DATA, 1, "of the child", STW_AT_LEAST_ONCE);
    world->store.ops->flush(world->store.self);
    world->store.ops->collect(world->store.self, &news);
    world->store.ops->close(world->store.self, 1000);
    _exit(news.has_changed || news.wants_all ? 1 : 0);
  }
  int how;
  assert_int_equal(waitpid(child, &how, 0), child);
  assert_int_equal(how, 0);
  store_world_put(world, STW_LANE_DATA, 1, "of the parent", STW_AT_LEAST_ONCE);
  assert_true(store_world_commit(world));
  store_world_close(world);
  assert_int_equal(store_world_open(world), STW_OK);
  assert_int_equal(store_world_count(world->restored.chunks), 1);
}

static void only_the_file_is_left_behind_and_only_for_its_owner(void **state) {
  struct store_world *world = *state;
  make_file(world, 1);
  static const char *const suffixes[] = {"-wal", "-shm", ".lock", ".reserve", ".new", ".ready"};
  for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
    char path[300];
    snprintf(path, sizeof path, "%s%s", world->path, suffixes[i]);
    assert_int_equal(size_of(path), -1);
  }
  struct stat found;
  assert_int_equal(stat(world->path, &found), 0);
  assert_int_equal(found.st_mode & 0777, 0600);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      CASE(a_file_in_use_names_its_process),
      CASE(a_second_use_in_this_process_is_refused),
      CASE(a_foreign_file_stays_as_it_is),
      CASE(a_newer_file_stays_as_it_is),
      CASE(links_and_other_kinds_are_refused),
      CASE(a_folder_for_everybody_is_refused),
      CASE(no_folder_no_name_and_too_long_a_path_are_refused),
      CASE(another_users_file_is_refused),
      CASE(what_cannot_be_written_is_refused_and_says_what_to_do),
      CASE(a_damaged_file_is_moved_aside_and_what_can_be_read_is_kept),
      CASE(a_file_with_other_tables_is_not_trusted),
      CASE(the_copy_in_a_child_is_dead),
      CASE(only_the_file_is_left_behind_and_only_for_its_owner),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
