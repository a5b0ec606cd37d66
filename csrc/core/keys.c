#include "core/keys.h"

#include "core/mem.h"

#include <assert.h>
#include <string.h>

enum { FIRST_CAPACITY = 16 };

/* FNV-1a, 64 bit, folded. */
static uint32_t hash_key(const struct stwi_msg *msg) {
  const uint8_t *key = stwi_msg_key(msg);
  uint64_t hash = 0xcbf29ce484222325u;
  for (unsigned i = 0; i < msg->key_size; i++)
    hash = (hash ^ key[i]) * 0x100000001b3u;
  return (uint32_t)(hash ^ (hash >> 32));
}

static bool has_same_key(const struct stwi_msg *a, const struct stwi_msg *b) {
  return a->key_size == b->key_size && memcmp(stwi_msg_key(a), stwi_msg_key(b), a->key_size) == 0;
}

const struct stwi_keys_by stwi_by_key = {hash_key, has_same_key};

/* The numbers of a stream follow one another: they are spread by the golden ratio. */
static uint32_t hash_id(const struct stwi_msg *msg) {
  const uint64_t hash = (msg->id.number ^ msg->id.stream << 1) * 0x9e3779b97f4a7c15u;
  return (uint32_t)(hash >> 32);
}

static bool has_same_id(const struct stwi_msg *a, const struct stwi_msg *b) {
  return stwi_msg_has_id(a, b->id);
}

const struct stwi_keys_by stwi_by_id = {hash_id, has_same_id};

/* The slot of the key, or the free one where it belongs. */
static struct stwi_key_slot *probe(const struct stwi_keys *keys, const struct stwi_msg *msg,
                                   uint32_t hash) {
  const uint32_t mask = keys->capacity - 1;
  for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
    struct stwi_key_slot *slot = &keys->slots[i];
    if (slot->msg == NULL || (slot->hash == hash && keys->kind->is_same(slot->msg, msg)))
      return slot;
  }
}

static bool rehash(struct stwi_keys *keys, uint32_t capacity) {
  struct stwi_keys next = {.kind = keys->kind, .capacity = capacity, .count = keys->count};
  next.slots = stwi_alloc((size_t)capacity * sizeof *next.slots);
  if (next.slots == NULL)
    return false;
  memset(next.slots, 0, (size_t)capacity * sizeof *next.slots);
  for (uint32_t i = 0; i < keys->capacity; i++)
    if (keys->slots[i].msg != NULL)
      *probe(&next, keys->slots[i].msg, keys->slots[i].hash) = keys->slots[i];
  stwi_free(keys->slots);
  *keys = next;
  return true;
}

bool stwi_keys_reserve(struct stwi_keys **keys, const struct stwi_keys_by *kind, uint32_t more) {
  if (*keys == NULL) {
    *keys = stwi_alloc(sizeof **keys);
    if (*keys == NULL)
      return false;
    **keys = (struct stwi_keys){.kind = kind};
  }
  const uint64_t wanted = ((uint64_t)(*keys)->count + more) * 2; /* at most half full */
  uint64_t capacity = (*keys)->capacity == 0 ? FIRST_CAPACITY : (*keys)->capacity;
  while (capacity < wanted)
    capacity *= 2;
  if (capacity == (*keys)->capacity)
    return true;
  return capacity <= UINT32_MAX && rehash(*keys, (uint32_t)capacity);
}

void stwi_keys_free(struct stwi_keys *keys) {
  if (keys == NULL)
    return;
  stwi_free(keys->slots);
  stwi_free(keys);
}

struct stwi_msg *stwi_keys_put(struct stwi_keys *keys, struct stwi_msg *msg) {
  assert(keys->count < keys->capacity);
  const uint32_t hash = keys->kind->hash(msg);
  struct stwi_key_slot *slot = probe(keys, msg, hash);
  struct stwi_msg *old = slot->msg;
  *slot = (struct stwi_key_slot){msg, hash};
  keys->count += old == NULL;
  return old;
}

struct stwi_msg *stwi_keys_latest(const struct stwi_keys *keys, const struct stwi_msg *msg) {
  return probe(keys, msg, keys->kind->hash(msg))->msg;
}

struct stwi_msg *stwi_keys_find_id(const struct stwi_keys *keys, stw_message_id id) {
  const struct stwi_msg like = {.id = id};
  return keys == NULL || keys->count == 0 ? NULL : stwi_keys_latest(keys, &like);
}

/* Closes the hole so that no probe ends too early (Knuth 6.4, algorithm R). */
static void close_hole(struct stwi_keys *keys, uint32_t hole) {
  const uint32_t mask = keys->capacity - 1;
  for (uint32_t i = (hole + 1) & mask; keys->slots[i].msg != NULL; i = (i + 1) & mask) {
    const uint32_t home = keys->slots[i].hash & mask;
    if (((i - home) & mask) < ((i - hole) & mask))
      continue;
    keys->slots[hole] = keys->slots[i];
    hole = i;
  }
  keys->slots[hole].msg = NULL;
}

void stwi_keys_remove(struct stwi_keys *keys, const struct stwi_msg *msg) {
  struct stwi_key_slot *slot = probe(keys, msg, keys->kind->hash(msg));
  if (slot->msg != msg)
    return;
  keys->count--;
  close_hole(keys, (uint32_t)(slot - keys->slots));
}
