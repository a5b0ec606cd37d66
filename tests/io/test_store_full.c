/* A full disk, a user's quota, the limit of a file's size: waited for, and nothing is lost. */
#include "power_vfs.h"
#include "store_numbered.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static const stw_message_id no_id = {0, 0};

static void wait_for_room(int why) {
  struct store_world world;
  char reserve[300];
  store_world_init(&world);
  snprintf(reserve, sizeof reserve, "%s.reserve", world.path);
  numbered_open(&world);
  for (uint64_t number = 1; number <= 10; number++)
    numbered_put(&world, number);
  assert_true(store_world_commit(&world));
  assert_int_equal(access(reserve, F_OK), 0);
  power_vfs_fill(reserve, why);
  static char large[200001];
  memset(large, 'l', sizeof large - 1);
  store_world_put(&world, STW_LANE_DATA, 11, large, STW_AT_LEAST_ONCE);
  store_world_flush(&world);
  assert_true(store_world_wait(&world, STW_STORE_FULL));
  assert_non_null(strstr(world.news.detail, "no space"));
  assert_int_equal(world.news.upto[STW_LANE_DATA], 10);
  assert_int_not_equal(access(reserve, F_OK), 0);
  store_world_change(&world, STWI_STORE_SETTLED, STW_LANE_DATA, 6, no_id);
  store_world_close(&world); /* still full */
  power_vfs_fill(NULL, 0);

  numbered_open(&world);
  assert_true(world.restored.is_unclean);
  assert_int_equal(store_world_count(world.restored.chunks), 4);
  numbered_expect(&world, 7, 10);
  power_vfs_fill(reserve, why);
  store_world_put(&world, STW_LANE_DATA, 11, large, STW_AT_LEAST_ONCE);
  store_world_flush(&world);
  assert_true(store_world_wait(&world, STW_STORE_FULL));
  power_vfs_fill(NULL, 0);
  assert_true(store_world_wait(&world, STW_STORE_OK));
  assert_int_equal(world.news.upto[STW_LANE_DATA], 11);
  store_world_close(&world);
  numbered_open(&world);
  assert_int_equal(store_world_count(world.restored.chunks), 5);
  store_world_fini(&world);
}

/* Space, quota, and the limit of a file's size. */
static const int full_disks[] = {ENOSPC, EDQUOT, EFBIG};

static void a_full_disk_is_waited_for_and_removals_go_on(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof full_disks / sizeof *full_disks; i++)
    wait_for_room(full_disks[i]);
}

static void move_on_full_disk(int why) {
  struct store_world world;
  char reserve[300];
  store_world_init(&world);
  snprintf(reserve, sizeof reserve, "%s.reserve", world.path);
  numbered_open(&world);
  static char large[200001];
  memset(large, 'l', sizeof large - 1);
  store_world_put(&world, STW_LANE_DATA, 1, large, STW_AT_LEAST_ONCE);
  assert_true(store_world_commit(&world));
  power_vfs_fill(reserve, why);
  store_world_change(&world, STWI_STORE_REMOVE, STW_LANE_DATA, 1, no_id);
  store_world_put(&world, STW_LANE_CONTROL, 1, large, STW_AT_LEAST_ONCE);
  store_world_flush(&world);
  assert_true(store_world_wait(&world, STW_STORE_FULL));
  store_world_close(&world);
  power_vfs_fill(NULL, 0);
  numbered_open(&world);
  assert_int_equal(store_world_count(world.restored.chunks), 1);
  store_world_fini(&world);
}

static void a_moved_message_survives_a_full_disk(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof full_disks / sizeof *full_disks; i++)
    move_on_full_disk(full_disks[i]);
}

static void no_file_is_begun_on_a_full_disk(void **unused) {
  (void)unused;
  for (size_t i = 0; i < sizeof full_disks / sizeof *full_disks; i++) {
    struct store_world world;
    store_world_init(&world);
    power_vfs_fill(world.folder, full_disks[i]); /* it stays: nothing is given up for room */
    assert_int_equal(store_world_open(&world), STW_E_STORE);
    assert_non_null(strstr(world.detail, "no space"));
    power_vfs_fill(NULL, 0);
    numbered_open(&world);
    store_world_fini(&world);
  }
}

/* No fault is injected here: the kernel refuses. */
static void fill_up_to_the_limit(struct store_world *world) {
  struct rlimit limit = {.rlim_cur = 400000, .rlim_max = RLIM_INFINITY};
  static char large[100001];
  memset(large, 'l', sizeof large - 1);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlim_t before = limit.rlim_cur;
  numbered_open(world);
  limit.rlim_cur = 400000;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
  uint64_t number = 0;
  do
    store_world_put(world, STW_LANE_DATA, ++number, large, STW_AT_LEAST_ONCE);
  while (store_world_commit(world) && number < 20);
  const stw_store_health health = world->news.health;
  const uint64_t upto = world->news.upto[STW_LANE_DATA];
  limit.rlim_cur = before;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
  assert_int_equal(health, STW_STORE_FULL);
  assert_int_equal(upto, number - 1);
  assert_true(store_world_wait(world, STW_STORE_OK));
  assert_int_equal(world->news.upto[STW_LANE_DATA], number);
  store_world_close(world);
  numbered_open(world);
  assert_int_equal(store_world_count(world->restored.chunks), number);
}

static void the_limit_of_a_files_size_is_a_full_disk(void **unused) {
  (void)unused;
  struct store_world world;
  store_world_init(&world);
  fill_up_to_the_limit(&world);
  store_world_fini(&world);
}

int main(void) {
  power_vfs_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_full_disk_is_waited_for_and_removals_go_on),
      cmocka_unit_test(a_moved_message_survives_a_full_disk),
      cmocka_unit_test(no_file_is_begun_on_a_full_disk),
      cmocka_unit_test(the_limit_of_a_files_size_is_a_full_disk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
