#include "core/session_ring.h"

#include "core/mem.h"

#include <assert.h>
#include <string.h>

enum { CAPACITY_MIN = 8, CAPACITY_KEPT = 64 };

void stwi_ring_init(struct stwi_ring *ring, uint64_t messages_max, uint64_t bytes_max) {
  *ring = (struct stwi_ring){.messages_max = messages_max, .bytes_max = bytes_max};
}

void stwi_ring_fini(struct stwi_ring *ring) {
  stwi_ring_forget(ring, UINT64_MAX);
  stwi_free(ring->entries);
  ring->entries = NULL;
  ring->capacity = 0;
}

bool stwi_ring_has_room(const struct stwi_ring *ring, size_t size) {
  return ring->count < ring->messages_max && size <= ring->bytes_max - ring->bytes;
}

struct stwi_ring_entry *stwi_ring_at(const struct stwi_ring *ring, size_t index) {
  if (index >= ring->count)
    return NULL;
  return &ring->entries[(ring->first + index) & (ring->capacity - 1)];
}

static bool grow(struct stwi_ring *ring) {
  if (ring->count < ring->capacity)
    return true;
  const size_t capacity = ring->capacity == 0 ? CAPACITY_MIN : ring->capacity * 2;
  if (capacity > SIZE_MAX / sizeof *ring->entries)
    return false;
  struct stwi_ring_entry *entries = stwi_alloc(capacity * sizeof *entries);
  if (entries == NULL)
    return false;
  for (size_t i = 0; i < ring->count; i++)
    entries[i] = *stwi_ring_at(ring, i);
  stwi_free(ring->entries);
  ring->entries = entries;
  ring->capacity = capacity;
  ring->first = 0;
  return true;
}

struct stwi_ring_entry *stwi_ring_add(struct stwi_ring *ring, uint64_t number, const void *data,
                                      size_t size) {
  assert(stwi_ring_has_room(ring, size));
  assert(ring->count == 0 || stwi_ring_at(ring, ring->count - 1)->number < number);
  if (!grow(ring))
    return NULL;
  uint8_t *copy = stwi_alloc(size == 0 ? 1 : size);
  if (copy == NULL)
    return NULL;
  if (size > 0)
    memcpy(copy, data, size);
  ring->count++;
  ring->bytes += size;
  struct stwi_ring_entry *entry = stwi_ring_at(ring, ring->count - 1);
  *entry = (struct stwi_ring_entry){.number = number, .data = copy, .size = size};
  return entry;
}

size_t stwi_ring_index(const struct stwi_ring *ring, uint64_t number) {
  size_t low = 0, high = ring->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (stwi_ring_at(ring, middle)->number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

struct stwi_ring_entry *stwi_ring_from(const struct stwi_ring *ring, uint64_t number) {
  return stwi_ring_at(ring, stwi_ring_index(ring, number));
}

struct stwi_ring_entry stwi_ring_pop(struct stwi_ring *ring) {
  assert(ring->count > 0);
  const struct stwi_ring_entry entry = *stwi_ring_at(ring, 0);
  ring->first = (ring->first + 1) & (ring->capacity - 1);
  ring->count--;
  ring->bytes -= entry.size;
  if (ring->count == 0 && ring->capacity > CAPACITY_KEPT) {
    stwi_free(ring->entries);
    ring->entries = NULL;
    ring->capacity = 0;
    ring->first = 0;
  }
  return entry;
}

void stwi_ring_forget(struct stwi_ring *ring, uint64_t upto) {
  while (ring->count > 0 && stwi_ring_at(ring, 0)->number <= upto)
    stwi_free(stwi_ring_pop(ring).data);
}
