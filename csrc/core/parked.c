#include "core/parked.h"

#include "core/mem.h"

#include <string.h>

enum { FIRST_CAPACITY = 16 };

void stwi_parked_init(struct stwi_parked *parked, uint64_t letters_max) {
  *parked = (struct stwi_parked){.letters_max = letters_max, .next_expiry = STWI_NEVER};
}

void stwi_parked_fini(struct stwi_parked *parked) {
  for (uint32_t i = 0; i < parked->count; i++)
    stwi_chunk_release(parked->items[i].msg->home);
  stwi_free(parked->items);
  stwi_parked_init(parked, parked->letters_max);
}

bool stwi_parked_reserve(struct stwi_parked *parked) {
  if (parked->count < parked->capacity)
    return true;
  if (parked->capacity > UINT32_MAX / 2)
    return false;
  const uint32_t capacity = parked->capacity == 0 ? FIRST_CAPACITY : 2 * parked->capacity;
  struct stwi_parking *items = stwi_realloc(parked->items, capacity * sizeof *items);
  if (items == NULL)
    return false;
  parked->items = items;
  parked->capacity = capacity;
  return true;
}

static void count(struct stwi_parked *parked, const struct stwi_msg *msg, uint64_t one) {
  if (msg->state == STW_MESSAGE_HELD) {
    parked->held += one;
    parked->held_bytes += one * msg->size;
  } else {
    parked->letters += one;
  }
}

void stwi_parked_put(struct stwi_parked *parked, struct stwi_msg *msg) {
  msg->home->live++;
  parked->items[parked->count++] = (struct stwi_parking){msg, ++parked->serial};
  count(parked, msg, 1);
  if (msg->state == STW_MESSAGE_HELD && stwi_msg_due(msg) < parked->next_expiry)
    parked->next_expiry = stwi_msg_due(msg);
}

void stwi_parked_remove(struct stwi_parked *parked, const struct stwi_msg *msg) {
  uint32_t at = 0;
  while (parked->items[at].msg != msg)
    at++;
  count(parked, msg, UINT64_MAX); /* minus one */
  parked->count--;
  memmove(parked->items + at, parked->items + at + 1, (parked->count - at) * sizeof *parked->items);
}

struct stwi_msg *stwi_parked_surplus(const struct stwi_parked *parked) {
  if (parked->letters <= parked->letters_max)
    return NULL;
  uint32_t at = 0;
  while (parked->items[at].msg->state == STW_MESSAGE_HELD)
    at++;
  return parked->items[at].msg;
}

struct stwi_msg *stwi_parked_find(const struct stwi_parked *parked, stw_message_id id) {
  for (uint32_t i = 0; i < parked->count; i++)
    if (stwi_msg_has_id(parked->items[i].msg, id))
      return parked->items[i].msg;
  return NULL;
}

const struct stwi_parking *stwi_parked_after(const struct stwi_parked *parked, uint64_t after) {
  uint32_t low = 0, high = parked->count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (parked->items[middle].serial > after)
      high = middle;
    else
      low = middle + 1;
  }
  return low < parked->count ? &parked->items[low] : NULL;
}
