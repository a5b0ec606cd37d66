#include "core/parts.h"

#include "core/mem.h"

#include <string.h>

#define CAPACITY_FIRST ((size_t)4096)

static bool reserve(struct stwi_parts *parts, size_t size) {
  if (size <= parts->capacity)
    return true;
  size_t capacity = parts->capacity == 0 ? CAPACITY_FIRST : 2 * parts->capacity;
  if (capacity < size)
    capacity = size;
  uint8_t *data = stwi_realloc(parts->data, capacity);
  if (data == NULL)
    return false;
  parts->data = data;
  parts->capacity = capacity;
  return true;
}

bool stwi_parts_add(struct stwi_parts *parts, uint64_t number, const uint8_t *data, size_t size) {
  if (!reserve(parts, parts->size + size))
    return false;
  if (size > 0)
    memcpy(parts->data + parts->size, data, size);
  parts->size += size;
  parts->number = number;
  parts->is_begun = true;
  return true;
}

void stwi_parts_drop(struct stwi_parts *parts) {
  stwi_free(parts->data);
  *parts = (struct stwi_parts){.data = NULL};
}
