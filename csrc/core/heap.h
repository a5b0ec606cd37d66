/* heap.h: deadlines of many conns: a binary min-heap of (time, slot) with positions, so that a
 * deadline moves in O(log n) and the earliest is found in O(1).
 */
#ifndef STWI_CORE_HEAP_H
#define STWI_CORE_HEAP_H

#include "core/input.h"

struct stwi_heap_item {
  stwi_time at;
  uint32_t slot;
};

struct stwi_heap {
  struct stwi_heap_item *items;
  uint32_t *places; /* slot -> index + 1, 0: not in the heap */
  uint32_t count, slots;
};

void stwi_heap_init(struct stwi_heap *heap);
void stwi_heap_fini(struct stwi_heap *heap);
/* Makes room for slots < `slots`.  False without memory. */
bool stwi_heap_reserve(struct stwi_heap *heap, uint32_t slots);
/* Sets the deadline of a reserved slot; STWI_NEVER takes it out. */
void stwi_heap_set(struct stwi_heap *heap, uint32_t slot, stwi_time at);
stwi_time stwi_heap_first(const struct stwi_heap *heap); /* STWI_NEVER when empty */
/* Takes out the earliest slot due at `now`.  False if none is. */
bool stwi_heap_pop(struct stwi_heap *heap, stwi_time now, uint32_t *slot);

#endif
