/* store_world: a folder of its own, a store in it and the engine's side of the contract, for the
 * tests of the outbox file.
 */
#ifndef STEADWIRE_TESTS_STORE_WORLD_H
#define STEADWIRE_TESTS_STORE_WORLD_H

#include "core/chunk.h"
#include "io/store.h"

#include <pthread.h>

struct store_world {
  char folder[200];
  char path[256];
  char detail[200];
  enum stwi_store_level level;
  struct stwi_store store;
  struct stwi_restored restored;
  uint64_t stream, serial;
  stw_store_health health;
  struct stwi_store_news news; /* of the last collect; flags add up */
  pthread_mutex_t guard;
  pthread_cond_t woken;
  unsigned wakes;
};

void store_world_init(struct store_world *world);
/* Closes, and removes the folder with everything in it. */
void store_world_fini(struct store_world *world);

/* Opens world->path. */
stw_status store_world_open(struct store_world *world);
/* In order. */
void store_world_close(struct store_world *world);
/* The same, with so much patience. */
void store_world_close_within(struct store_world *world, uint32_t patience_ms);

/* One message: `body` is text. */
void store_world_put(struct store_world *world, stw_lane lane, uint64_t number, const char *body,
                     stw_guarantee guarantee);
/* A message with everything in it; its size is that of its body. */
void store_world_message(struct store_world *world, enum stwi_store_op op,
                         const struct stwi_msg *like, const char *key, const void *body,
                         uint32_t size);
void store_world_change(struct store_world *world, enum stwi_store_op op, stw_lane lane,
                        uint64_t number, stw_message_id id);
void store_world_flush(struct store_world *world);
/* Collects until the serial is committed; false where the news say something else first: another
 * health or wants_all. */
bool store_world_commit(struct store_world *world);
/* Collects until the health is this one (at most 20 s). */
bool store_world_wait(struct store_world *world, stw_store_health health);
void store_world_collect(struct store_world *world);
/* Waits for the next wake (at most 20 s). */
bool store_world_sleep(struct store_world *world);

/* The restored message of this place, NULL: none. */
struct stwi_msg *store_world_find(struct store_world *world, stw_lane lane, uint64_t number);
uint64_t store_world_count(const struct stwi_chunk *chunks);
void store_world_forget(struct store_world *world); /* frees what was restored */

#endif
