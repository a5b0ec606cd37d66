#include "core/unaccepted.h"

#include "core/mem.h"

#include <string.h>

#define CAPACITY_FIRST ((size_t)16)

static void move_to_front(struct stwi_unaccepted *unaccepted) {
  struct stwi_unaccepted_entry *entries = unaccepted->entries;
  memmove(entries, entries + unaccepted->first, unaccepted->count * sizeof *entries);
  unaccepted->first = 0;
}

/* Makes a place behind the last; moves only what is no more than what has gone. */
static bool reserve(struct stwi_unaccepted *unaccepted) {
  if (unaccepted->first + unaccepted->count < unaccepted->capacity)
    return true;
  if (unaccepted->first > 0 && unaccepted->first >= unaccepted->count) {
    move_to_front(unaccepted);
    return true;
  }
  const size_t capacity = unaccepted->capacity == 0 ? CAPACITY_FIRST : 2 * unaccepted->capacity;
  struct stwi_unaccepted_entry *entries =
      stwi_realloc(unaccepted->entries, capacity * sizeof *entries);
  if (entries == NULL)
    return false;
  unaccepted->entries = entries;
  unaccepted->capacity = capacity;
  move_to_front(unaccepted);
  return true;
}

/* A burst's memory is not kept. */
static void give_back_when_empty(struct stwi_unaccepted *unaccepted) {
  if (unaccepted->count > 0)
    return;
  unaccepted->first = 0;
  if (unaccepted->capacity > CAPACITY_FIRST)
    stwi_unaccepted_fini(unaccepted);
}

bool stwi_unaccepted_add(struct stwi_unaccepted *unaccepted, uint64_t number, uint64_t size) {
  if (!reserve(unaccepted))
    return false;
  struct stwi_unaccepted_entry *entry =
      &unaccepted->entries[unaccepted->first + unaccepted->count++];
  *entry = (struct stwi_unaccepted_entry){number, size};
  unaccepted->bytes += size;
  return true;
}

void stwi_unaccepted_accept(struct stwi_unaccepted *unaccepted, uint64_t upto, uint64_t *messages,
                            uint64_t *bytes) {
  *messages = *bytes = 0;
  while (unaccepted->count > 0 && unaccepted->entries[unaccepted->first].number <= upto) {
    *bytes += unaccepted->entries[unaccepted->first++].size;
    unaccepted->count--;
    ++*messages;
  }
  unaccepted->bytes -= *bytes;
  give_back_when_empty(unaccepted);
}

/* Entries below `number`, from the oldest. */
static size_t count_below(const struct stwi_unaccepted *unaccepted, uint64_t number) {
  size_t low = 0, high = unaccepted->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (unaccepted->entries[unaccepted->first + middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void stwi_unaccepted_drop(struct stwi_unaccepted *unaccepted, uint64_t from, uint64_t to) {
  const size_t begin = count_below(unaccepted, from), end = count_below(unaccepted, to + 1);
  if (begin == end)
    return;
  struct stwi_unaccepted_entry *entries = unaccepted->entries + unaccepted->first;
  for (size_t i = begin; i < end; i++)
    unaccepted->bytes -= entries[i].size;
  memmove(entries + begin, entries + end, (unaccepted->count - end) * sizeof *entries);
  unaccepted->count -= end - begin;
  give_back_when_empty(unaccepted);
}

void stwi_unaccepted_fini(struct stwi_unaccepted *unaccepted) {
  stwi_free(unaccepted->entries);
  *unaccepted = (struct stwi_unaccepted){.entries = NULL};
}
