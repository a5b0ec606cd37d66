/* Power losses in the middle of anything.  STW_POWER_LOSSES says how many for the level durable
 * (2,000); STW_SEED replays.
 *
 * The program is linked with --wrap for what the store does to files without SQLite: the power may
 * go in a rename, too. */
#include "power_vfs.h"
#include "seed.h"
#include "store_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#define LIVES 4
#define STEPS 60
#define LONG_STEPS 1200 /* over several checkpoints */
#define NUMBERS_MAX 20000

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __real_fsync(int file);
int __wrap_fsync(int file);

static int fail_without_power(void) {
  errno = EIO;
  return -1;
}

int __wrap_rename(const char *from, const char *to) {
  return power_vfs_goes() ? fail_without_power() : __real_rename(from, to);
}

int __wrap_unlink(const char *path) {
  return power_vfs_goes() ? fail_without_power() : __real_unlink(path);
}

int __wrap_fsync(int file) {
  return power_vfs_goes() ? fail_without_power() : __real_fsync(file);
}

/* What the engine knows of one file through all its lives. */
struct model {
  struct store_world world;
  uint64_t random;
  uint64_t put[STW_LANE_COUNT];     /* numbers given */
  uint64_t stored[STW_LANE_COUNT];  /* ... and reported as committed */
  uint64_t settled[STW_LANE_COUNT]; /* told */
  bool removed[STW_LANE_COUNT][NUMBERS_MAX];
  uint64_t parked; /* committed ones */
};

struct tally {
  unsigned losses;
  uint64_t acknowledged;
  unsigned lost, holes; /* lanes with one */
  unsigned faults, refused;
};

static uint64_t draw(struct model *model) {
  model->random ^= model->random << 13;
  model->random ^= model->random >> 7;
  model->random ^= model->random << 17;
  return model->random;
}

static uint32_t size_of(uint64_t number) {
  return (uint32_t)(number * 2654435761u % (number % 37 == 0 ? 9000 : 300));
}

static void fill(uint8_t *body, uint64_t number) {
  for (uint32_t i = 0; i < size_of(number); i++)
    body[i] = (uint8_t)(number * 31 + i);
}

static void put(struct model *model, stw_lane lane) {
  uint8_t body[9000];
  const uint64_t number = ++model->put[lane];
  const struct stwi_msg like = {
      .number = number, .id = {model->world.stream | lane, number}, .lane = (uint8_t)lane};
  fill(body, number);
  store_world_message(&model->world, STWI_STORE_PUT, &like, NULL, body, size_of(number));
}

static void change_something(struct model *model) {
  static const stw_message_id none = {0, 0};
  const stw_lane lane = draw(model) % 4 == 0 ? STW_LANE_CONTROL : STW_LANE_DATA;
  const uint64_t open = model->stored[lane] - model->settled[lane];
  switch (draw(model) % 8) {
  case 0:
    if (open == 0)
      return;
    model->settled[lane] += 1 + draw(model) % open;
    store_world_change(&model->world, STWI_STORE_SETTLED, lane, model->settled[lane], none);
    return;
  case 1:
    if (open < 2)
      return;
    const uint64_t number = model->settled[lane] + 1 + draw(model) % (open - 1);
    model->removed[lane][number] = true;
    store_world_change(&model->world, STWI_STORE_REMOVE, lane, number, none);
    return;
  default:
    if (model->put[lane] + 1 < NUMBERS_MAX)
      put(model, lane);
  }
}

static bool is_whole(const struct stwi_msg *msg) {
  uint8_t body[9000];
  fill(body, msg->number);
  return msg->size == size_of(msg->number) && memcmp(stwi_msg_body(msg), body, msg->size) == 0;
}

/* Every number between what is settled and the last one that is there must be there. */
static void check_lane(struct model *model, stw_lane lane, struct tally *tally) {
  static bool seen[NUMBERS_MAX];
  memset(seen, 0, sizeof seen);
  uint64_t last = 0;
  struct stwi_chunk *chunk = model->world.restored.chunks;
  for (; chunk != NULL; chunk = chunk->next) {
    for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg)) {
      if (msg->lane != lane)
        continue;
      if (msg->number >= NUMBERS_MAX || msg->number > model->put[lane] || !is_whole(msg)) {
        tally->faults++;
        return;
      }
      seen[msg->number] = true;
      last = msg->number > last ? msg->number : last;
    }
  }
  const uint64_t wanted = model->stored[lane];
  bool is_lost = model->world.restored.last_number[lane] < wanted, has_hole = false;
  for (uint64_t number = model->settled[lane] + 1; number <= model->put[lane]; number++) {
    const bool is_missing = !seen[number] && !model->removed[lane][number];
    is_lost |= is_missing && number <= wanted;
    has_hole |= is_missing && number < last;
  }
  tally->lost += is_lost;
  tally->holes += has_hole;
}

static void check_integrity(struct model *model, struct tally *tally) {
  stw_outbox_report report;
  struct stwi_store_file *file;
  char detail[200];
  if (stwi_store_file_open(model->world.path, false, &file, detail) != STW_OK) {
    tally->refused++;
    return;
  }
  if (stwi_store_file_check(file, &report, detail) != STW_OK || !report.is_sound)
    tally->faults++;
  stwi_store_file_close(file);
}

/* The engine of the next life goes on from what is there. */
static void take_restored(struct model *model) {
  for (int lane = 0; lane < STW_LANE_COUNT; lane++) {
    const uint64_t last = model->world.restored.last_number[lane];
    for (uint64_t number = last + 1; number <= model->put[lane]; number++)
      model->removed[lane][number] = false;
    model->put[lane] = model->stored[lane] = last;
    if (model->settled[lane] > last)
      model->settled[lane] = last;
  }
}

static void note_stored(struct model *model, struct tally *tally) {
  for (int lane = 0; lane < STW_LANE_COUNT; lane++) {
    const uint64_t upto = model->world.news.upto[lane];
    if (upto <= model->stored[lane])
      continue;
    tally->acknowledged += upto - model->stored[lane];
    model->stored[lane] = upto;
  }
}

/* Until the power goes. */
static void live(struct model *model, struct tally *tally) {
  power_vfs_lose_after(1 + (unsigned)(draw(model) % (draw(model) % 10 == 0 ? LONG_STEPS : STEPS)));
  if (store_world_open(&model->world) != STW_OK) {
    tally->refused += !power_vfs_is_off();
    return;
  }
  take_restored(model);
  bool is_on = true;
  while (is_on) {
    for (uint64_t i = draw(model) % 6; i > 0; i--)
      change_something(model);
    put(model, STW_LANE_DATA);
    is_on = store_world_commit(&model->world);
    note_stored(model, tally);
  }
  store_world_close(&model->world);
}

static void check_after_loss(struct model *model, struct tally *tally) {
  power_vfs_restore();
  tally->losses++;
  const bool was_begun = model->stored[STW_LANE_DATA] > 0;
  if (was_begun)
    check_integrity(model, tally);
  if (store_world_open(&model->world) != STW_OK) {
    tally->refused++;
    return;
  }
  if (model->world.health == STW_STORE_MOVED_ASIDE)
    tally->faults++;
  check_lane(model, STW_LANE_DATA, tally);
  check_lane(model, STW_LANE_CONTROL, tally);
  take_restored(model);
  store_world_close(&model->world);
  power_vfs_restore();
}

static void run_file(uint64_t seed, enum stwi_store_level level, struct tally *tally) {
  static struct model model;
  memset(&model, 0, sizeof model);
  model.random = seed | 1;
  power_vfs_seed(seed);
  store_world_init(&model.world);
  model.world.level = level;
  for (int life = 0; life < LIVES; life++) {
    live(&model, tally);
    check_after_loss(&model, tally);
  }
  store_world_fini(&model.world);
  power_vfs_restore();
}

static struct tally run(const char *name, unsigned losses, enum stwi_store_level level) {
  struct tally tally = {0};
  const uint64_t seed = test_seed(name);
  for (unsigned i = 0; i < losses / LIVES; i++)
    run_file(seed + i * 7919u, level, &tally);
  printf("%s: %u power losses, %llu messages acknowledged; lanes with lost ones %u, with holes %u, "
         "with faults %u, refused %u\n",
         name, tally.losses, (unsigned long long)tally.acknowledged, tally.lost, tally.holes,
         tally.faults, tally.refused);
  return tally;
}

/* ---- in a rewrite ---- */

#define REWRITE_SEEDS 6
#define KEPT 40

static void put_upto(struct store_world *world, uint64_t last) {
  uint8_t body[9000];
  for (uint64_t number = 1; number <= last; number++) {
    const struct stwi_msg like = {.number = number, .id = {world->stream, number}};
    fill(body, number);
    store_world_message(world, STWI_STORE_PUT, &like, NULL, body, size_of(number));
  }
}

/* KEPT messages are committed, then a sync fails: everything is asked for. */
static void begin_rewrite(struct store_world *world) {
  assert_int_equal(store_world_open(world), STW_OK);
  put_upto(world, KEPT);
  assert_true(store_world_commit(world));
  power_vfs_fail_sync_after(1);
  uint8_t body[9000];
  const struct stwi_msg like = {.number = KEPT + 1, .id = {world->stream, KEPT + 1}};
  fill(body, KEPT + 1);
  store_world_message(world, STWI_STORE_PUT, &like, NULL, body, size_of(KEPT + 1));
  assert_false(store_world_commit(world));
  assert_true(world->news.wants_all);
  world->news.wants_all = false;
}

static void check_rewritten(struct store_world *world, uint64_t stored) {
  static bool seen[KEPT + 2];
  memset(seen, 0, sizeof seen);
  assert_int_equal(store_world_open(world), STW_OK);
  assert_int_not_equal(world->health, STW_STORE_MOVED_ASIDE);
  for (struct stwi_msg *msg = stwi_chunks_first(world->restored.chunks); msg != NULL;
       msg = stwi_chunks_after(msg)) {
    assert_true(msg->number <= KEPT + 1 && is_whole(msg) && !seen[msg->number]);
    seen[msg->number] = true;
  }
  for (uint64_t number = 1; number <= stored; number++)
    assert_true(seen[number]);
  store_world_close(world);
  power_vfs_restore();
}

/* The power goes in the `step`th write or sync of the rewrite; false where it has fewer. */
static bool lose_in_rewrite(uint64_t seed, unsigned step) {
  struct store_world world;
  power_vfs_seed(seed);
  store_world_init(&world);
  begin_rewrite(&world);
  power_vfs_lose_after(step);
  put_upto(&world, KEPT + 1);
  const bool is_done = store_world_commit(&world) || world.news.serial >= world.serial;
  const bool was_lost = power_vfs_is_off();
  power_vfs_lose_after(0);
  store_world_close(&world);
  power_vfs_restore();
  check_rewritten(&world, is_done ? KEPT + 1 : KEPT);
  store_world_fini(&world);
  return was_lost;
}

static void a_loss_in_a_rewrite_leaves_the_old_file_or_the_new_one(void **unused) {
  (void)unused;
  const uint64_t seed = test_seed("rewrite");
  unsigned losses = 0;
  for (unsigned i = 0; i < REWRITE_SEEDS; i++) {
    unsigned step = 1;
    while (lose_in_rewrite(seed + 1000003u * i + step, step))
      step++;
    losses += step - 1;
  }
  printf("rewrite: %u power losses, one in each write and sync of it\n", losses);
  assert_true(losses > REWRITE_SEEDS * 20);
}

static unsigned wanted_losses(void) {
  const char *given = getenv("STW_POWER_LOSSES");
  return given == NULL ? 2000 : (unsigned)strtoul(given, NULL, 10);
}

static void durable_loses_nothing(void **unused) {
  (void)unused;
  const struct tally tally = run("durable", wanted_losses(), STWI_LEVEL_DURABLE);
  assert_true(tally.acknowledged > tally.losses);
  assert_int_equal(tally.lost + tally.holes + tally.faults + tally.refused, 0);
}

static void process_is_never_corrupt_and_has_no_holes(void **unused) {
  (void)unused;
  const struct tally tally = run("process", wanted_losses() / 10, STWI_LEVEL_PROCESS);
  assert_int_equal(tally.holes + tally.faults + tally.refused, 0);
  assert_true(tally.lost > 0); /* or the power never went */
}

static void a_disk_that_lies_is_caught(void **unused) {
  (void)unused;
  power_vfs_lie(true);
  const struct tally tally = run("lying disk", 400, STWI_LEVEL_DURABLE);
  power_vfs_lie(false);
  assert_true(tally.lost > 0);
  assert_true(tally.faults + tally.holes + tally.refused > 0);
}

int main(void) {
  power_vfs_install();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(durable_loses_nothing),
      cmocka_unit_test(process_is_never_corrupt_and_has_no_holes),
      cmocka_unit_test(a_loss_in_a_rewrite_leaves_the_old_file_or_the_new_one),
      cmocka_unit_test(a_disk_that_lies_is_caught),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
