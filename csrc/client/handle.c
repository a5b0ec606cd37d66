#include "client/handle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "client/error.h"

#define BLOCK_SLOTS 1024u
#define BLOCKS_MAX 1024u
#define GENERATION_MASK 0xffffffu

/* word: generation (24) | is_alive (1) | holders (32) */
#define ALIVE ((uint64_t)1 << 32)
#define WORD(generation) ((uint64_t)(generation) << 33)

struct slot {
  _Atomic uint64_t word;
  uint64_t id;
  uint32_t fork_count;
  uint32_t next_free; /* slot + 1 */
  void *object;
  void (*free)(void *object);
};

static struct {
  pthread_mutex_t lock;
  pthread_once_t once;
  _Atomic(struct slot *) blocks[BLOCKS_MAX];
  uint32_t block_count;
  uint32_t free; /* slot + 1, 0: none */
  _Atomic uint32_t fork_count;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static void before_fork(void) {
  pthread_mutex_lock(&table.lock);
}
static void in_parent(void) {
  pthread_mutex_unlock(&table.lock);
}
static void in_child(void) {
  pthread_mutex_unlock(&table.lock);
  atomic_fetch_add(&table.fork_count, 1);
}
static void watch_forks(void) {
  pthread_atfork(before_fork, in_parent, in_child);
}

uint32_t stwi_fork_count(void) {
  return atomic_load(&table.fork_count);
}

static struct slot *slot_at(uint32_t index) {
  if (index / BLOCK_SLOTS >= BLOCKS_MAX)
    return NULL;
  struct slot *block =
      atomic_load_explicit(&table.blocks[index / BLOCK_SLOTS], memory_order_acquire);
  return block == NULL ? NULL : &block[index % BLOCK_SLOTS];
}

static bool add_block(void) {
  if (table.block_count == BLOCKS_MAX)
    return false;
  struct slot *block = calloc(BLOCK_SLOTS, sizeof *block);
  if (block == NULL)
    return false;
  uint32_t first = table.block_count * BLOCK_SLOTS;
  for (uint32_t i = 0; i < BLOCK_SLOTS; i++) {
    block[i].next_free = i + 1 < BLOCK_SLOTS ? first + i + 2 : 0;
  }
  atomic_store_explicit(&table.blocks[table.block_count++], block, memory_order_release);
  table.free = first + 1;
  return true;
}

static uint64_t compose(enum stwi_handle_type type, uint32_t generation, uint32_t index) {
  return (uint64_t)type << 56 | (uint64_t)generation << 32 | index;
}

uint64_t stwi_handle_new(enum stwi_handle_type type, void *object, void (*free_object)(void *)) {
  pthread_once(&table.once, watch_forks);
  pthread_mutex_lock(&table.lock);
  uint64_t id = 0;
  if (table.free != 0 || add_block()) {
    uint32_t index = table.free - 1;
    struct slot *slot = slot_at(index);
    table.free = slot->next_free;
    uint32_t generation = (uint32_t)(atomic_load(&slot->word) >> 33) + 1;
    generation = generation & GENERATION_MASK ? generation & GENERATION_MASK : 1;
    id = compose(type, generation, index);
    slot->id = id;
    slot->object = object;
    slot->free = free_object;
    slot->fork_count = stwi_fork_count();
    atomic_store_explicit(&slot->word, WORD(generation) | ALIVE | 1, memory_order_release);
  }
  pthread_mutex_unlock(&table.lock);
  return id;
}

static stw_status refuse(void) {
  return stwi_error(STW_E_HANDLE, "this handle is stale, foreign or of another type; use one from "
                                  "stw_engine_new, stw_mailbox_new or stw_conn_open");
}

stw_status stwi_handle_hold(uint64_t id, enum stwi_handle_type type, void **object) {
  struct slot *slot = slot_at((uint32_t)id);
  if (slot == NULL || id >> 56 != type)
    return refuse();
  uint64_t generation = id >> 32 & GENERATION_MASK;
  uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
  do {
    if (word >> 33 != generation || !(word & ALIVE))
      return refuse();
  } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, word + 1,
                                                  memory_order_acq_rel, memory_order_acquire));
  if (slot->id != id) { /* the type was made up */
    stwi_handle_drop(id);
    return refuse();
  }
  if (slot->fork_count != stwi_fork_count()) {
    atomic_fetch_sub_explicit(&slot->word, 1, memory_order_acq_rel);
    return stwi_error(STW_E_FORKED, "this handle was made before fork() and belongs to the parent; "
                                    "make a new engine and conn in the child");
  }
  *object = slot->object;
  return STW_OK;
}

static void give_back(struct slot *slot, uint32_t index) {
  slot->free(slot->object);
  pthread_mutex_lock(&table.lock);
  slot->next_free = table.free;
  table.free = index + 1;
  pthread_mutex_unlock(&table.lock);
}

static void drop(struct slot *slot, uint32_t index) {
  uint64_t word = atomic_fetch_sub_explicit(&slot->word, 1, memory_order_acq_rel) - 1;
  if ((word & 0xffffffffu) == 0)
    give_back(slot, index);
}

void stwi_handle_drop(uint64_t id) {
  drop(slot_at((uint32_t)id), (uint32_t)id);
}

bool stwi_handle_retire(uint64_t id) {
  struct slot *slot = slot_at((uint32_t)id);
  uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
  do {
    if (word >> 33 != (id >> 32 & GENERATION_MASK) || !(word & ALIVE))
      return false;
  } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, word & ~ALIVE,
                                                  memory_order_acq_rel, memory_order_acquire));
  drop(slot, (uint32_t)id); /* the table's own hold */
  return true;
}
