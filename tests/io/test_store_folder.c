/* A folder of outbox files: one for each process, those of the dead are taken over. */
#include "store_world.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PROCESSES 6

static int setup(void **state) {
  static struct store_world world;
  store_world_init(&world);
  snprintf(world.path, sizeof world.path, "%s/boxes/", world.folder);
  *state = &world;
  return 0;
}

static int teardown(void **state) {
  store_world_fini(*state);
  return 0;
}

static unsigned files_in(const char *path) {
  DIR *folder = opendir(path);
  const struct dirent *entry;
  unsigned count = 0;
  while (folder != NULL && (entry = readdir(folder)) != NULL)
    count += entry->d_name[0] != '.';
  if (folder != NULL)
    closedir(folder);
  return count;
}

/* A process that commits messages and dies with its file open. */
static void die_with(struct store_world *world, unsigned messages, unsigned parked) {
  const pid_t child = fork();
  if (child == 0) {
    if (store_world_open(world) != STW_OK)
      _exit(1);
    const uint64_t last = world->restored.last_number[STW_LANE_DATA];
    for (unsigned i = 1; i <= messages; i++)
      store_world_put(world, STW_LANE_DATA, last + i, "left behind", STW_AT_LEAST_ONCE);
    for (unsigned i = 1; i <= parked; i++) {
      const struct stwi_msg like = {.id = {world->stream, 1000 + i}, .state = STW_MESSAGE_HELD};
      store_world_message(world, STWI_STORE_PARK, &like, NULL, "held", 4);
    }
    _exit(store_world_commit(world) ? 0 : 2);
  }
  int how;
  assert_int_equal(waitpid(child, &how, 0), child);
  assert_int_equal(how, 0);
}

static void a_dead_owners_file_goes_on(void **state) {
  struct store_world *world = *state;
  die_with(world, 3, 2);
  assert_int_equal(store_world_open(world), STW_OK);
  assert_int_equal(world->health, STW_STORE_ADOPTED);
  assert_int_equal(world->restored.adopted, 5);
  assert_int_equal(store_world_count(world->restored.chunks), 3);
  assert_int_equal(store_world_count(world->restored.parked), 2);
  assert_true(world->restored.is_unclean);
  store_world_close(world);
  assert_int_equal(files_in(world->path), 1);
}

/* Two living owners leave two files; the next process gets both. */
static void the_files_of_all_dead_owners_become_one(void **state) {
  struct store_world *world = *state;
  struct store_world other = *world;
  assert_int_equal(store_world_open(world), STW_OK);
  assert_int_equal(store_world_open(&other), STW_OK);
  store_world_put(world, STW_LANE_DATA, 1, "one", STW_AT_LEAST_ONCE);
  store_world_put(world, STW_LANE_DATA, 2, "two", STW_AT_LEAST_ONCE);
  store_world_put(&other, STW_LANE_DATA, 1, "other", STW_AT_LEAST_ONCE);
  store_world_put(&other, STW_LANE_CONTROL, 1, "urgent", STW_AT_LEAST_ONCE);
  assert_true(world->stream != other.stream);
  store_world_close(world);
  store_world_close(&other);
  assert_int_equal(files_in(world->path), 2);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(store_world_open(world), STW_OK);
    assert_int_equal(world->health, STW_STORE_ADOPTED);
    assert_int_equal(store_world_count(world->restored.chunks), 4);
    assert_int_equal(world->restored.adopted, 4);
    assert_int_equal(world->restored.last_number[STW_LANE_DATA], 3);
    assert_int_equal(world->restored.last_number[STW_LANE_CONTROL], 1);
    assert_non_null(store_world_find(world, STW_LANE_DATA, 3));
    store_world_close(world);
    assert_int_equal(files_in(world->path), 1);
  }
}

static void the_file_of_a_living_owner_is_left_alone(void **state) {
  struct store_world *world = *state;
  struct store_world other = *world;
  assert_int_equal(store_world_open(world), STW_OK);
  store_world_put(world, STW_LANE_DATA, 1, "mine", STW_AT_LEAST_ONCE);
  assert_true(store_world_commit(world));
  assert_int_equal(store_world_open(&other), STW_OK);
  assert_int_equal(other.health, STW_STORE_OK);
  assert_int_equal(store_world_count(other.restored.chunks), 0);
  store_world_close(&other);
}

/* They start at once; together they have every message once. */
static void one_message_is_adopted_by_one_process(void **state) {
  struct store_world *world = *state;
  enum { OWNERS = 8, EACH = 25 };
  struct store_world owners[OWNERS];
  for (unsigned i = 0; i < OWNERS; i++) {
    owners[i] = *world;
    assert_int_equal(store_world_open(&owners[i]), STW_OK);
    for (unsigned n = 1; n <= EACH; n++)
      store_world_put(&owners[i], STW_LANE_DATA, n, "x", STW_AT_LEAST_ONCE);
  }
  for (unsigned i = 0; i < OWNERS; i++)
    store_world_close(&owners[i]);
  int gate[2], results[2];
  assert_int_equal(pipe(gate) | pipe(results), 0);
  pid_t children[PROCESSES];
  for (int i = 0; i < PROCESSES; i++) {
    children[i] = fork();
    if (children[i] == 0) {
      char byte;
      close(gate[1]);
      if (read(gate[0], &byte, 1) != 0 || store_world_open(world) != STW_OK)
        _exit(1);
      const uint64_t count = store_world_count(world->restored.chunks);
      _exit(write(results[1], &count, sizeof count) == sizeof count ? 0 : 2);
    }
  }
  close(gate[1]); /* go */
  close(gate[0]);
  close(results[1]);
  uint64_t total = 0, count;
  while (read(results[0], &count, sizeof count) == sizeof count)
    total += count;
  close(results[0]);
  for (int i = 0; i < PROCESSES; i++) {
    int how;
    assert_int_equal(waitpid(children[i], &how, 0), children[i]);
    assert_int_equal(how, 0);
  }
  assert_in_range(total, OWNERS * EACH, PROCESSES * OWNERS * EACH); /* the dead are taken again */
  assert_int_equal(store_world_open(world), STW_OK);
  assert_int_equal(store_world_count(world->restored.chunks), OWNERS * EACH);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      CASE(a_dead_owners_file_goes_on),
      CASE(the_files_of_all_dead_owners_become_one),
      CASE(the_file_of_a_living_owner_is_left_alone),
      CASE(one_message_is_adopted_by_one_process),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
