#include "core/keys.h"
#include "core/mem.h"
#include "core/outbox_inside.h"

enum { FIRST_CAPACITY = 16, COMPACT_FROM = 16 };

static bool ring_reserve(struct stwi_outbox *outbox, uint64_t more) {
  const uint64_t wanted = outbox->count + more;
  uint64_t capacity = outbox->capacity == 0 ? FIRST_CAPACITY : outbox->capacity;
  while (capacity < wanted)
    capacity *= 2;
  if (capacity == outbox->capacity)
    return true;
  if (capacity > UINT32_MAX)
    return false;
  struct stwi_outbox_slot *ring = stwi_alloc(capacity * sizeof(*ring));
  if (ring == NULL)
    return false;
  for (uint32_t i = 0; i < outbox->count; i++)
    ring[i] = *stwi_outbox_slot(outbox, i);
  stwi_free(outbox->ring);
  outbox->ring = ring;
  outbox->head = 0;
  outbox->capacity = (uint32_t)capacity;
  return true;
}

static bool keys_reserve(struct stwi_keys **keys, const struct stwi_keys_by *kind, uint64_t more) {
  return more == 0 || stwi_keys_reserve(keys, kind, (uint32_t)more);
}

bool stwi_outbox_reserve(struct stwi_outbox *outbox, const struct stwi_outbox_need *need) {
  if (need->messages > UINT32_MAX)
    return false;
  return (need->messages == 0 || ring_reserve(outbox, need->messages)) &&
         keys_reserve(&outbox->keys, &stwi_by_key, need->keyed) &&
         keys_reserve(&outbox->strangers, &stwi_by_id, need->strangers);
}

/* ---- finding ---- */

uint32_t stwi_outbox_seek(const struct stwi_outbox *outbox, uint64_t after) {
  uint32_t low = 0, high = outbox->count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (stwi_outbox_slot(outbox, middle)->number > after)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

struct stwi_msg *stwi_outbox_after(const struct stwi_outbox *outbox, uint64_t after) {
  for (uint32_t i = stwi_outbox_seek(outbox, after); i < outbox->count; i++)
    if (stwi_outbox_at(outbox, i) != NULL)
      return stwi_outbox_at(outbox, i);
  return NULL;
}

struct stwi_msg *stwi_outbox_find(const struct stwi_outbox *outbox, uint64_t number) {
  const uint32_t offset = number == 0 ? outbox->count : stwi_outbox_seek(outbox, number - 1);
  if (offset == outbox->count || stwi_outbox_slot(outbox, offset)->number != number)
    return NULL;
  return stwi_outbox_at(outbox, offset);
}

struct stwi_msg *stwi_outbox_find_stranger(const struct stwi_outbox *outbox, stw_message_id id) {
  return stwi_keys_find_id(outbox->strangers, id);
}

uint32_t stwi_outbox_position(const struct stwi_outbox *outbox, uint64_t number) {
  return number == 0 ? 0 : stwi_outbox_seek(outbox, number - 1);
}

/* ---- coming and going ---- */

bool stwi_outbox_is_stranger(const struct stwi_outbox *outbox, const struct stwi_msg *msg) {
  return msg->id.number != msg->number || msg->id.stream != outbox->stream;
}

void stwi_outbox_place(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  msg->home->live++;
  outbox->count++;
  *stwi_outbox_slot(outbox, outbox->count - 1) = (struct stwi_outbox_slot){msg->number, msg};
  outbox->messages++;
  outbox->bytes += msg->size;
  if (stwi_outbox_is_stranger(outbox, msg))
    stwi_keys_put(outbox->strangers, msg);
  const stwi_time due = stwi_msg_due(msg);
  if (due < outbox->next_expiry)
    outbox->next_expiry = due;
}

/* It stands no longer. */
static void uncount(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  if (msg->key_size > 0)
    stwi_keys_remove(outbox->keys, msg);
  if (stwi_outbox_is_stranger(outbox, msg))
    stwi_keys_remove(outbox->strangers, msg);
  outbox->messages--;
  outbox->bytes -= msg->size;
}

void stwi_outbox_vacate(struct stwi_outbox *outbox, uint32_t offset) {
  struct stwi_outbox_slot *slot = stwi_outbox_slot(outbox, offset);
  uncount(outbox, slot->msg);
  slot->msg = NULL;
  outbox->gaps++;
}

void stwi_outbox_pop(struct stwi_outbox *outbox) {
  struct stwi_msg *msg = stwi_outbox_at(outbox, 0);
  outbox->head = (outbox->head + 1) & (outbox->capacity - 1);
  outbox->count--;
  outbox->cursor -= outbox->cursor > 0;
  if (msg == NULL) {
    outbox->gaps--;
    return;
  }
  uncount(outbox, msg);
  stwi_chunk_release(msg->home);
}

/* ---- keeping it small ---- */

static void give_back_when_empty(struct stwi_outbox *outbox) {
  if (outbox->count > 0 || outbox->capacity <= STWI_OUTBOX_KEPT)
    return;
  stwi_free(outbox->ring);
  stwi_keys_free(outbox->keys);
  stwi_keys_free(outbox->strangers);
  outbox->ring = NULL;
  outbox->keys = outbox->strangers = NULL;
  outbox->head = outbox->capacity = 0;
}

/* Closes the gaps in the middle. */
static void compact(struct stwi_outbox *outbox) {
  uint32_t kept = 0, cursor = 0;
  for (uint32_t i = 0; i < outbox->count; i++) {
    if (stwi_outbox_at(outbox, i) == NULL)
      continue;
    cursor += i < outbox->cursor;
    *stwi_outbox_slot(outbox, kept++) = *stwi_outbox_slot(outbox, i);
  }
  outbox->count = kept;
  outbox->cursor = cursor;
  outbox->gaps = 0;
}

void stwi_outbox_tidy(struct stwi_outbox *outbox) {
  while (outbox->count > 0 && stwi_outbox_at(outbox, 0) == NULL)
    stwi_outbox_pop(outbox);
  if (outbox->gaps >= COMPACT_FROM && outbox->gaps > outbox->count / 2)
    compact(outbox);
  if (outbox->is_cautious)
    stwi_poison_calm(outbox);
  give_back_when_empty(outbox);
}
