/* A disk that fails or hangs, a process that is killed. */
#include "power_vfs.h"
#include "seed.h"
#include "store_numbered.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* As the engine does it: everything again where that is asked for. */
static bool commit(struct store_world *world, uint64_t count, bool *was_rewritten) {
  for (int tries = 0; tries < 8; tries++) {
    if (store_world_commit(world))
      return true;
    if (world->news.wants_all) {
      world->news.wants_all = false;
      *was_rewritten = true;
      for (uint64_t number = 1; number <= count; number++)
        numbered_put(world, number);
    }
  }
  return false;
}

static bool live_with_failing_sync(struct store_world *world, unsigned fail_at, unsigned lose_at) {
  uint64_t count = 0;
  bool was_rewritten = false;
  power_vfs_fail_sync_after(fail_at);
  if (store_world_open(world) != STW_OK) {
    assert_non_null(strstr(world->detail, "a.db"));
    power_vfs_restore();
    numbered_open(world);
  }
  for (unsigned i = 0; i < lose_at; i++) {
    numbered_put(world, ++count);
    assert_true(commit(world, count, &was_rewritten));
  }
  if (was_rewritten)
    assert_int_equal(world->news.health, STW_STORE_REWRITTEN);
  power_vfs_fail_sync_after(0);
  power_vfs_lose_after(1);
  numbered_put(world, count + 1);
  assert_false(store_world_commit(world));
  store_world_close(world);
  power_vfs_restore();
  numbered_open(world);
  numbered_expect(world, 1, count);
  store_world_close(world);
  power_vfs_restore();
  return was_rewritten;
}

static void a_failed_sync_loses_nothing(void **unused) {
  (void)unused;
  const uint64_t seed = test_seed("failed sync");
  const char *wanted = getenv("STW_LIVES");
  const unsigned lives = wanted == NULL ? 300 : (unsigned)strtoul(wanted, NULL, 10);
  unsigned rewritten = 0;
  const unsigned failed_before = power_vfs_failed_syncs();
  for (unsigned i = 0; i < lives; i++) {
    struct store_world world;
    power_vfs_seed(seed + i);
    store_world_init(&world);
    rewritten += live_with_failing_sync(&world, 1 + i % 40, 20 + i % 17);
    store_world_fini(&world);
  }
  const unsigned failed = power_vfs_failed_syncs() - failed_before;
  printf("%u failed syncs, each with a power loss later; %u new files; 0 messages lost\n", failed,
         rewritten);
  assert_true(failed > lives / 2);
  assert_true(rewritten > lives / 3);
}

/* The child tells each committed number through the pipe until it is killed. */
static void commit_for_ever(struct store_world *world, int pipe_end) {
  if (store_world_open(world) != STW_OK)
    _exit(1);
  uint64_t number = world->restored.last_number[STW_LANE_DATA];
  for (;;) {
    for (uint64_t i = 0; i < 1 + number % 5; i++)
      numbered_put(world, ++number);
    if (!store_world_commit(world) || write(pipe_end, &number, sizeof number) < 0)
      _exit(2);
  }
}

static uint64_t kill_after(struct store_world *world, uint64_t commits) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0)
    commit_for_ever(world, ends[1]);
  close(ends[1]);
  uint64_t told = 0, number;
  for (uint64_t i = 0; read(ends[0], &number, sizeof number) == sizeof number; i++) {
    told = number;
    if (i == commits)
      kill(child, SIGKILL);
  }
  close(ends[0]);
  int how;
  assert_int_equal(waitpid(child, &how, 0), child);
  assert_true(WIFSIGNALED(how));
  return told;
}

static void kill_loses_nothing(void **unused) {
  (void)unused;
  const uint64_t seed = test_seed("kill");
  for (int level = STWI_LEVEL_PROCESS; level <= STWI_LEVEL_DURABLE; level++) {
    struct store_world world;
    store_world_init(&world);
    world.level = (enum stwi_store_level)level;
    for (unsigned i = 0; i < 15; i++) {
      const uint64_t told = kill_after(&world, (seed >> i) % 40);
      numbered_open(&world);
      assert_true(world.restored.is_unclean);
      assert_int_equal(world.restored.may_lag, level == STWI_LEVEL_PROCESS);
      numbered_expect(&world, 1, told);
      assert_int_equal(store_world_count(world.restored.chunks),
                       world.restored.last_number[STW_LANE_DATA]);
      store_world_close(&world);
    }
    store_world_fini(&world);
  }
}

static void what_may_have_been_written_once_is_not_queued_again(void **unused) {
  (void)unused;
  struct store_world world;
  store_world_init(&world);
  numbered_open(&world);
  store_world_put(&world, STW_LANE_DATA, 1, "once", STW_AT_MOST_ONCE);
  store_world_put(&world, STW_LANE_DATA, 2, "often", STW_AT_LEAST_ONCE);
  assert_true(store_world_commit(&world));
  power_vfs_lose_after(1);
  numbered_put(&world, 3);
  assert_false(store_world_commit(&world));
  store_world_close(&world);
  power_vfs_restore();
  for (int i = 0; i < 2; i++) { /* the file itself says so from then on */
    numbered_open(&world);
    const struct stwi_msg *msg = stwi_chunk_first(world.restored.parked);
    assert_int_equal(store_world_count(world.restored.parked), 1);
    assert_int_equal(msg->state, STW_MESSAGE_UNKNOWN);
    assert_int_equal(msg->id.number, 1);
    assert_null(store_world_find(&world, STW_LANE_DATA, 1));
    assert_non_null(store_world_find(&world, STW_LANE_DATA, 2));
    store_world_close(&world);
  }
  store_world_fini(&world);
}

struct gate {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  bool is_shut, is_met;
};

static void meet(void *owner) {
  struct gate *gate = owner;
  pthread_mutex_lock(&gate->mutex);
  gate->is_met = true;
  pthread_cond_broadcast(&gate->changed);
  while (gate->is_shut)
    pthread_cond_wait(&gate->changed, &gate->mutex);
  pthread_mutex_unlock(&gate->mutex);
}

/* The sync stands still: what the engine thread calls comes back all the same. */
static void a_disk_that_hangs_stops_nobody(void **unused) {
  (void)unused;
  struct store_world world;
  static struct gate gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
  store_world_init(&world);
  numbered_open(&world);
  gate.is_shut = true;
  power_vfs_on_sync(meet, &gate);
  numbered_put(&world, 1);
  store_world_flush(&world);
  pthread_mutex_lock(&gate.mutex);
  while (!gate.is_met)
    pthread_cond_wait(&gate.changed, &gate.mutex);
  pthread_mutex_unlock(&gate.mutex);
  for (uint64_t number = 2; number <= 1000; number++) {
    numbered_put(&world, number);
    store_world_flush(&world);
    store_world_collect(&world);
    assert_int_equal(world.news.serial, 0);
  }
  store_world_close_within(&world, 10);
  pthread_mutex_lock(&gate.mutex);
  gate.is_shut = false;
  pthread_cond_broadcast(&gate.changed);
  pthread_mutex_unlock(&gate.mutex);
  stw_status status;
  do /* until the abandoned writer has let go of the file */
    status = store_world_open(&world);
  while (status == STW_E_LOCKED);
  assert_int_equal(status, STW_OK);
  numbered_expect(&world, 1, 1000);
  power_vfs_on_sync(NULL, NULL);
  store_world_fini(&world);
}

int main(void) {
  power_vfs_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_failed_sync_loses_nothing),
      cmocka_unit_test(kill_loses_nothing),
      cmocka_unit_test(what_may_have_been_written_once_is_not_queued_again),
      cmocka_unit_test(a_disk_that_hangs_stops_nobody),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
