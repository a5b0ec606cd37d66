#include "core/heap.h"

#include <string.h>

#include "core/mem.h"

void stwi_heap_init(struct stwi_heap *heap) {
  memset(heap, 0, sizeof *heap);
}

void stwi_heap_fini(struct stwi_heap *heap) {
  stwi_free(heap->items);
  stwi_free(heap->places);
  stwi_heap_init(heap);
}

bool stwi_heap_reserve(struct stwi_heap *heap, uint32_t slots) {
  if (slots <= heap->slots)
    return true;
  struct stwi_heap_item *items = stwi_realloc(heap->items, slots * sizeof *items);
  if (items == NULL)
    return false;
  heap->items = items;
  uint32_t *places = stwi_realloc(heap->places, slots * sizeof *places);
  if (places == NULL)
    return false;
  memset(places + heap->slots, 0, (slots - heap->slots) * sizeof *places);
  heap->places = places;
  heap->slots = slots;
  return true;
}

static void put(struct stwi_heap *heap, uint32_t index, struct stwi_heap_item item) {
  heap->items[index] = item;
  heap->places[item.slot] = index + 1;
}

static void rise(struct stwi_heap *heap, uint32_t index, struct stwi_heap_item item) {
  while (index > 0) {
    uint32_t parent = (index - 1) / 2;
    if (heap->items[parent].at <= item.at)
      break;
    put(heap, index, heap->items[parent]);
    index = parent;
  }
  put(heap, index, item);
}

static void sink(struct stwi_heap *heap, uint32_t index, struct stwi_heap_item item) {
  for (;;) {
    uint32_t child = 2 * index + 1;
    if (child >= heap->count)
      break;
    if (child + 1 < heap->count && heap->items[child + 1].at < heap->items[child].at)
      child++;
    if (heap->items[child].at >= item.at)
      break;
    put(heap, index, heap->items[child]);
    index = child;
  }
  put(heap, index, item);
}

static void settle(struct stwi_heap *heap, uint32_t index, struct stwi_heap_item item) {
  if (index > 0 && heap->items[(index - 1) / 2].at > item.at) {
    rise(heap, index, item);
  } else {
    sink(heap, index, item);
  }
}

static void take_out(struct stwi_heap *heap, uint32_t index) {
  heap->places[heap->items[index].slot] = 0;
  heap->count--;
  if (index < heap->count)
    settle(heap, index, heap->items[heap->count]);
}

void stwi_heap_set(struct stwi_heap *heap, uint32_t slot, stwi_time at) {
  uint32_t place = heap->places[slot];
  struct stwi_heap_item item = {at, slot};
  if (at == STWI_NEVER) {
    if (place != 0)
      take_out(heap, place - 1);
  } else if (place == 0) {
    rise(heap, heap->count++, item);
  } else if (heap->items[place - 1].at != at) {
    settle(heap, place - 1, item);
  }
}

stwi_time stwi_heap_first(const struct stwi_heap *heap) {
  return heap->count > 0 ? heap->items[0].at : STWI_NEVER;
}

bool stwi_heap_pop(struct stwi_heap *heap, stwi_time now, uint32_t *slot) {
  if (heap->count == 0 || heap->items[0].at > now)
    return false;
  *slot = heap->items[0].slot;
  take_out(heap, 0);
  return true;
}
