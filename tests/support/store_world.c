#include "store_world.h"

#include "io/clock.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 20

static void must(bool holds, const char *what) {
  if (holds)
    return;
  fprintf(stderr, "store_world: %s\n", what);
  abort();
}

static void on_wake(void *owner) {
  struct store_world *world = owner;
  pthread_mutex_lock(&world->guard);
  world->wakes++;
  pthread_cond_signal(&world->woken);
  pthread_mutex_unlock(&world->guard);
}

void store_world_init(struct store_world *world) {
  *world = (struct store_world){.level = STWI_LEVEL_DURABLE};
  pthread_mutex_init(&world->guard, NULL);
  pthread_cond_init(&world->woken, NULL);
  const char *base = getenv("TMPDIR");
  snprintf(world->folder, sizeof world->folder, "%s/stw-store-XXXXXX",
           access("/dev/shm", W_OK) == 0 ? "/dev/shm"
           : base != NULL                ? base
                                         : P_tmpdir);
  must(mkdtemp(world->folder) != NULL, "no folder");
  snprintf(world->path, sizeof world->path, "%s/a.db", world->folder);
}

static void remove_folder(const char *path) {
  DIR *folder = opendir(path);
  const struct dirent *entry;
  while (folder != NULL && (entry = readdir(folder)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
      continue;
    char name[600];
    struct stat found;
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    if (lstat(name, &found) == 0 && S_ISDIR(found.st_mode))
      remove_folder(name);
    else
      unlink(name);
  }
  if (folder != NULL)
    closedir(folder);
  rmdir(path);
}

void store_world_fini(struct store_world *world) {
  store_world_close(world);
  store_world_forget(world);
  chmod(world->folder, 0700);
  remove_folder(world->folder);
  pthread_cond_destroy(&world->woken);
  pthread_mutex_destroy(&world->guard);
}

stw_status store_world_open(struct store_world *world) {
  store_world_forget(world);
  world->news = (struct stwi_store_news){0};
  struct stwi_store_options options = {.path = world->path,
                                       .level = world->level,
                                       .new_stream = stwi_clock_random() & ~1ull,
                                       .owner = world,
                                       .wake = on_wake};
  stwi_clock_random_bytes(options.new_cid, sizeof options.new_cid);
  return stwi_store_sqlite_open(&options, &world->store, &world->restored, &world->stream,
                                &world->health, world->detail);
}

void store_world_close_within(struct store_world *world, uint32_t patience_ms) {
  if (world->store.ops != NULL)
    world->store.ops->close(world->store.self, patience_ms);
  world->store = (struct stwi_store){0};
}

void store_world_close(struct store_world *world) {
  store_world_close_within(world, PATIENCE_S * 1000);
}

void store_world_message(struct store_world *world, enum stwi_store_op op,
                         const struct stwi_msg *like, const char *key, const void *body,
                         uint32_t size) {
  const uint8_t key_size = key == NULL ? 0 : (uint8_t)strlen(key);
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(key_size, size));
  must(chunk != NULL, "no memory");
  struct stwi_msg *msg = stwi_chunk_append(chunk, key, key_size, body, size);
  struct stwi_msg filled = *like;
  filled.home = chunk;
  filled.size = size;
  filled.key_size = key_size;
  if (filled.admitted == 0)
    filled.admitted = stwi_clock_monotonic();
  *msg = filled;
  const struct stwi_store_change change = {.op = op,
                                           .serial = ++world->serial,
                                           .lane = (stw_lane)msg->lane,
                                           .number = msg->number,
                                           .id = msg->id,
                                           .msg = msg};
  must(world->store.ops->add(world->store.self, &change), "no memory");
  stwi_chunk_free(chunk);
}

void store_world_put(struct store_world *world, stw_lane lane, uint64_t number, const char *body,
                     stw_guarantee guarantee) {
  const struct stwi_msg like = {.number = number,
                                .id = {world->stream | lane, number},
                                .lane = (uint8_t)lane,
                                .guarantee = (uint8_t)guarantee,
                                .is_text = true};
  store_world_message(world, STWI_STORE_PUT, &like, NULL, body, (uint32_t)strlen(body));
}

void store_world_change(struct store_world *world, enum stwi_store_op op, stw_lane lane,
                        uint64_t number, stw_message_id id) {
  const struct stwi_store_change change = {
      .op = op, .serial = ++world->serial, .lane = lane, .number = number, .id = id};
  must(world->store.ops->add(world->store.self, &change), "no memory");
}

void store_world_flush(struct store_world *world) {
  world->store.ops->flush(world->store.self);
}

void store_world_collect(struct store_world *world) {
  const bool wanted_all = world->news.wants_all, had_changed = world->news.has_changed;
  world->store.ops->collect(world->store.self, &world->news);
  world->news.wants_all |= wanted_all;
  world->news.has_changed |= had_changed;
}

bool store_world_sleep(struct store_world *world) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += PATIENCE_S;
  int code = 0;
  pthread_mutex_lock(&world->guard);
  while (world->wakes == 0 && code == 0)
    code = pthread_cond_timedwait(&world->woken, &world->guard, &until);
  world->wakes = 0;
  pthread_mutex_unlock(&world->guard);
  return code == 0;
}

bool store_world_commit(struct store_world *world) {
  store_world_flush(world);
  const stw_store_health health = world->news.health;
  for (;;) {
    store_world_collect(world);
    if (world->news.serial >= world->serial)
      return true;
    if (world->news.wants_all || world->news.health != health || !store_world_sleep(world))
      return false;
  }
}

bool store_world_wait(struct store_world *world, stw_store_health health) {
  do
    store_world_collect(world);
  while (world->news.health != health && store_world_sleep(world));
  return world->news.health == health;
}

struct stwi_msg *store_world_find(struct store_world *world, stw_lane lane, uint64_t number) {
  struct stwi_chunk *chunk = world->restored.chunks;
  for (; chunk != NULL; chunk = chunk->next) {
    for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg)) {
      if (msg->lane == lane && msg->number == number)
        return msg;
    }
  }
  return NULL;
}

uint64_t store_world_count(const struct stwi_chunk *chunks) {
  uint64_t count = 0;
  for (; chunks != NULL; chunks = chunks->next)
    count += chunks->count;
  return count;
}

void store_world_forget(struct store_world *world) {
  stwi_chunk_free_list(world->restored.chunks);
  stwi_chunk_free_list(world->restored.parked);
  world->restored = (struct stwi_restored){0};
}
