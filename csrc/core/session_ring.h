/* session_ring.h: the messages of one lane that a server keeps for its client.
 *
 * Ascending numbers, with holes where a store has lost some.  Bounded by messages and bytes: the
 * owner drops the oldest to make room.  An empty ring owns next to nothing.
 */
#ifndef STWI_CORE_SESSION_RING_H
#define STWI_CORE_SESSION_RING_H

#include <steadwire/status.h>

struct stwi_ring_entry {
  uint64_t number;
  uint8_t *data;
  size_t size;
  bool is_text;
  bool was_written; /* on some link */
};

struct stwi_ring {
  uint64_t messages_max, bytes_max;
  struct stwi_ring_entry *entries; /* a circle of `capacity`, a power of two */
  size_t capacity, first, count;
  uint64_t bytes;
};

/* Both bounds are at least 1. */
void stwi_ring_init(struct stwi_ring *ring, uint64_t messages_max, uint64_t bytes_max);
void stwi_ring_fini(struct stwi_ring *ring);

/* Whether `size` more bytes fit now. */
bool stwi_ring_has_room(const struct stwi_ring *ring, size_t size);

/* Adds behind the last, whose number is lower; copies `data`.  There must be room.  Lends the entry
 * until the next change of the ring; NULL without memory. */
struct stwi_ring_entry *stwi_ring_add(struct stwi_ring *ring, uint64_t number, const void *data,
                                      size_t size);

/* Lends the first entry whose number is at least `number`; NULL: none. */
struct stwi_ring_entry *stwi_ring_from(const struct stwi_ring *ring, uint64_t number);

/* Its index from the oldest; `count` where there is none. */
size_t stwi_ring_index(const struct stwi_ring *ring, uint64_t number);

/* The entry at `index` from the oldest, NULL past the last. */
struct stwi_ring_entry *stwi_ring_at(const struct stwi_ring *ring, size_t index);

/* Takes the oldest out; its data is the caller's (stwi_free).  There must be one. */
struct stwi_ring_entry stwi_ring_pop(struct stwi_ring *ring);

/* Drops all up to number `upto`. */
void stwi_ring_forget(struct stwi_ring *ring, uint64_t upto);

#endif
