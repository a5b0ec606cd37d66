#include "core/parked.h"

#include "core/keys.h"
#include "core/mem.h"

#include <string.h>

enum { FIRST_CAPACITY = 16, COMPACT_FROM = 16 };

void stwi_parked_init(struct stwi_parked *parked, uint64_t letters_max, uint64_t letter_bytes_max) {
  *parked = (struct stwi_parked){
      .letters_max = letters_max, .letter_bytes_max = letter_bytes_max, .next_expiry = STWI_NEVER};
}

void stwi_parked_fini(struct stwi_parked *parked) {
  for (uint32_t i = 0; i < parked->used; i++) {
    if (parked->items[i].msg != NULL)
      stwi_chunk_release(parked->items[i].msg->home);
  }
  stwi_free(parked->items);
  stwi_keys_free(parked->ids);
  stwi_parked_init(parked, parked->letters_max, parked->letter_bytes_max);
}

bool stwi_parked_reserve(struct stwi_parked *parked) {
  if (!stwi_keys_reserve(&parked->ids, &stwi_by_id, 1))
    return false;
  if (parked->used < parked->capacity)
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

static void tally(struct stwi_parked *parked, const struct stwi_msg *msg, uint64_t one) {
  if (msg->state == STW_MESSAGE_HELD) {
    parked->held += one;
    parked->held_bytes += one * msg->size;
  } else {
    parked->letters += one;
    parked->letter_bytes += one * msg->size;
  }
}

void stwi_parked_put(struct stwi_parked *parked, struct stwi_msg *msg) {
  msg->home->live++;
  msg->parked_at = parked->used;
  parked->items[parked->used++] = (struct stwi_parking){msg, ++parked->serial};
  parked->count++;
  stwi_keys_put(parked->ids, msg);
  tally(parked, msg, 1);
  if (msg->state == STW_MESSAGE_HELD && stwi_msg_due(msg) < parked->next_expiry)
    parked->next_expiry = stwi_msg_due(msg);
}

static void compact(struct stwi_parked *parked) {
  uint32_t kept = 0, oldest = 0;
  for (uint32_t i = 0; i < parked->used; i++) {
    if (parked->items[i].msg == NULL)
      continue;
    oldest += i < parked->oldest;
    parked->items[kept] = parked->items[i];
    parked->items[kept].msg->parked_at = kept;
    kept++;
  }
  parked->used = kept;
  parked->oldest = oldest;
}

void stwi_parked_remove(struct stwi_parked *parked, struct stwi_msg *msg) {
  parked->items[msg->parked_at].msg = NULL;
  parked->count--;
  stwi_keys_remove(parked->ids, msg);
  tally(parked, msg, UINT64_MAX); /* minus one */
  const uint32_t gaps = parked->used - parked->count;
  if (gaps >= COMPACT_FROM && gaps > parked->used / 2)
    compact(parked);
}

bool stwi_parked_has(const struct stwi_parked *parked, const struct stwi_msg *msg) {
  return msg->parked_at < parked->used && parked->items[msg->parked_at].msg == msg;
}

void stwi_parked_shrink(struct stwi_parked *parked, struct stwi_msg *msg) {
  const size_t footprint = stwi_msg_footprint(msg->key_size, msg->size);
  if (msg->home->size / 2 <= footprint)
    return;
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)footprint);
  if (chunk == NULL)
    return;
  struct stwi_msg *copy = stwi_chunk_copy(chunk, msg);
  chunk->live = 1;
  parked->items[msg->parked_at].msg = copy;
  stwi_keys_put(parked->ids, copy);
  stwi_chunk_release(msg->home);
}

struct stwi_msg *stwi_parked_surplus(struct stwi_parked *parked) {
  const bool is_over = parked->letters > parked->letters_max ||
                       (parked->letter_bytes > parked->letter_bytes_max && parked->letters > 1);
  if (!is_over)
    return NULL;
  const struct stwi_parking *items = parked->items;
  while (items[parked->oldest].msg == NULL || items[parked->oldest].msg->state == STW_MESSAGE_HELD)
    parked->oldest++;
  return items[parked->oldest].msg;
}

struct stwi_msg *stwi_parked_find(const struct stwi_parked *parked, stw_message_id id) {
  return stwi_keys_find_id(parked->ids, id);
}

/* The index of the first item with a serial > after. */
static uint32_t seek(const struct stwi_parked *parked, uint64_t after) {
  uint32_t low = 0, high = parked->used;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (parked->items[middle].serial > after)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

const struct stwi_parking *stwi_parked_after(const struct stwi_parked *parked, uint64_t after) {
  uint32_t at = seek(parked, after);
  while (at < parked->used && parked->items[at].msg == NULL)
    at++;
  return at < parked->used ? &parked->items[at] : NULL;
}

uint64_t stwi_parked_serial(const struct stwi_parked *parked, const struct stwi_msg *msg) {
  return parked->items[msg->parked_at].serial;
}

uint32_t stwi_parked_position(const struct stwi_parked *parked, uint64_t serial) {
  return serial == 0 ? 0 : seek(parked, serial - 1);
}
