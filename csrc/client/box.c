#include "client/box.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/spare.h"

#define CHUNK_MIN 512u
#define CHUNK_MAX 65536u
#define EVENTS_MAX 256u /* waiting; from then on states, retries and proofs coalesce */
#define KEYS 4096u
#define RESERVE_RECORDS 14u /* one each of the kinds that may use the reserve, of proofs more */

struct record {
  struct stwi_box_chunk *home;
  uint32_t size; /* of the record, this header included, a multiple of 16 */
  bool is_skipped;
  _Alignas(16) stw_event event; /* cut short for messages: see event_size */
};

struct stwi_box_chunk {
  struct stwi_box_chunk *next;
  uint32_t used, size;
  uint32_t live; /* records neither drained nor skipped */
  bool is_reserve;
  _Alignas(16) uint8_t bytes[];
};

/* key hash -> the latest waiting message with it; a cache: a miss only costs a worse choice. */
struct stwi_box_keys {
  struct record *at[KEYS];
};

static size_t event_size(stw_event_kind kind) {
  switch (kind) {
  case STW_EVENT_MESSAGE:
    return offsetof(stw_event, u) + sizeof(((stw_event *)0)->u.message);
  case STW_EVENT_PROOF:
    return offsetof(stw_event, u) + sizeof(((stw_event *)0)->u.proof);
  default:
    return sizeof(stw_event);
  }
}

static uint32_t footprint(stw_event_kind kind, size_t data_size) {
  size_t size = offsetof(struct record, event) + event_size(kind) + data_size;
  return (uint32_t)((size + 15) & ~(size_t)15);
}

static struct stwi_box_chunk *new_chunk(uint32_t need) {
  size_t size = sizeof(struct stwi_box_chunk) + need;
  struct stwi_box_chunk *chunk = stwi_spare_take(&size);
  if (chunk == NULL)
    return NULL;
  chunk->next = NULL;
  chunk->used = chunk->live = 0;
  chunk->size = (uint32_t)(size - sizeof *chunk);
  chunk->is_reserve = false;
  return chunk;
}

static struct stwi_box_chunk *new_reserve(void) {
  struct stwi_box_chunk *reserve = new_chunk(RESERVE_RECORDS * footprint(STW_EVENT_STATE, 0));
  if (reserve != NULL)
    reserve->is_reserve = true;
  return reserve;
}

static void free_chunk(struct stwi_box_chunk *chunk) {
  stwi_spare_give(chunk, sizeof *chunk + chunk->size);
}

bool stwi_box_init(struct stwi_box *box, const struct stwi_conn_config *config) {
  memset(box, 0, sizeof *box);
  box->chunk_bytes = CHUNK_MIN;
  box->bytes_max = config->inbound_buffer;
  box->policy = config->inbound_overflow;
  box->key_kind = config->inbound_key_kind;
  box->key_arg = config->inbound_key_arg;
  box->reserve = new_reserve();
  return box->reserve != NULL;
}

void stwi_box_release(struct stwi_box_chunk *lent) {
  while (lent != NULL) {
    struct stwi_box_chunk *next = lent->next;
    free_chunk(lent);
    lent = next;
  }
}

void stwi_box_fini(struct stwi_box *box) {
  stwi_box_release(box->first);
  stwi_box_release(box->limbo);
  stwi_box_release(box->reserve);
  free(box->keys);
  memset(box, 0, sizeof *box);
}

static void append_chunk(struct stwi_box *box, struct stwi_box_chunk *chunk) {
  if (box->last != NULL) {
    box->last->next = chunk;
  } else {
    box->first = chunk;
    box->offset = 0;
  }
  box->last = chunk;
  box->held_bytes += chunk->size;
}

static struct stwi_box_chunk *add_chunk(struct stwi_box *box, uint32_t need) {
  struct stwi_box_chunk *chunk = new_chunk(need > box->chunk_bytes ? need : box->chunk_bytes);
  if (chunk == NULL)
    return NULL;
  if (box->last != NULL && box->chunk_bytes < CHUNK_MAX)
    box->chunk_bytes *= 2;
  append_chunk(box, chunk);
  return chunk;
}

static struct record *add_to(struct stwi_box_chunk *chunk, const stw_event *event, uint32_t size) {
  struct record *record = (struct record *)(void *)(chunk->bytes + chunk->used);
  chunk->used += size;
  chunk->live++;
  record->home = chunk;
  record->size = size;
  record->is_skipped = false;
  memcpy(&record->event, event, event_size(event->kind));
  return record;
}

static struct record *add(struct stwi_box *box, const stw_event *event, size_t data_size) {
  uint32_t size = footprint(event->kind, data_size);
  struct stwi_box_chunk *chunk = box->last;
  bool has_place = chunk != NULL && !chunk->is_reserve && chunk->size - chunk->used >= size;
  if (!has_place)
    chunk = add_chunk(box, size);
  return chunk == NULL ? NULL : add_to(chunk, event, size);
}

static uint8_t *data_of(struct record *record) {
  return (uint8_t *)&record->event + event_size(record->event.kind);
}

static struct record *record_at(struct stwi_box_chunk *chunk, uint32_t offset) {
  return (struct record *)(void *)(chunk->bytes + offset);
}

static size_t key_size(const struct stwi_box *box, const uint8_t *data, size_t size) {
  if (box->key_kind == STWI_KEY_PREFIX)
    return size < box->key_arg ? size : box->key_arg;
  const uint8_t *end = size == 0 ? NULL : memchr(data, (int)box->key_arg, size);
  return end == NULL ? size : (size_t)(end - data);
}

static uint32_t key_slot(const uint8_t *data, size_t size) {
  uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
  for (size_t i = 0; i < size; i++)
    hash = (hash ^ data[i]) * 0x100000001b3u;
  return (uint32_t)(hash ^ hash >> 32) % KEYS;
}

static void forget_key(struct stwi_box *box, const struct record *record) {
  if (box->keys == NULL)
    return;
  const uint8_t *data = record->event.u.message.data;
  uint32_t slot = key_slot(data, key_size(box, data, record->event.u.message.size));
  if (box->keys->at[slot] == record)
    box->keys->at[slot] = NULL;
}

/* Chunks of which nothing is waited for any more, nor lent: only the first can hold lent records.
 */
static void free_dead(struct stwi_box *box) {
  struct stwi_box_chunk **place = box->offset > 0 ? &box->first->next : &box->first;
  while (*place != NULL && *place != box->last && (*place)->live == 0) {
    struct stwi_box_chunk *dead = *place;
    *place = dead->next;
    box->held_bytes -= dead->size;
    free_chunk(dead);
  }
}

static void skip(struct stwi_box *box, struct record *record) {
  forget_key(box, record);
  record->is_skipped = true;
  record->home->live--;
  box->messages--;
  box->bytes -= record->size;
  box->dropped++;
  box->dropped_ever++;
  if (record->home->live == 0)
    free_dead(box);
}

/* Drops the oldest waiting message.  False: none waits. */
static bool drop_oldest(struct stwi_box *box) {
  struct stwi_box_chunk *chunk = box->first;
  uint32_t offset = box->offset;
  while (chunk != NULL) {
    if (offset == chunk->used) {
      chunk = chunk->next;
      offset = 0;
      continue;
    }
    struct record *record = record_at(chunk, offset);
    offset += record->size;
    if (record->is_skipped || record->event.kind != STW_EVENT_MESSAGE)
      continue;
    skip(box, record);
    return true;
  }
  return false;
}

static bool same_key(const struct stwi_box *box, const struct record *record, const uint8_t *data,
                     size_t size) {
  const uint8_t *other = record->event.u.message.data;
  return key_size(box, other, record->event.u.message.size) == size &&
         (size == 0 || memcmp(other, data, size) == 0);
}

/* Drops the waiting message with the same key, if it is known.  False: not known. */
static bool drop_same_key(struct stwi_box *box, const stw_event *event) {
  if (box->keys == NULL)
    return false;
  const uint8_t *data = event->u.message.data;
  size_t size = key_size(box, data, event->u.message.size);
  struct record *record = box->keys->at[key_slot(data, size)];
  if (record == NULL || record->is_skipped || !same_key(box, record, data, size))
    return false;
  skip(box, record);
  return true;
}

static void remember_key(struct stwi_box *box, struct record *record) {
  if (box->policy != STWI_INBOUND_LATEST_BY_KEY)
    return;
  if (box->keys == NULL)
    box->keys = calloc(1, sizeof *box->keys);
  if (box->keys == NULL)
    return;
  const uint8_t *data = record->event.u.message.data;
  size_t size = key_size(box, data, record->event.u.message.size);
  box->keys->at[key_slot(data, size)] = record;
}

static bool add_message(struct stwi_box *box, const stw_event *event) {
  size_t size = event->u.message.size;
  struct record *record = size > UINT32_MAX / 2 ? NULL : add(box, event, size);
  if (record == NULL)
    return false;
  uint8_t *data = data_of(record);
  if (size > 0)
    memcpy(data, event->u.message.data, size);
  record->event.u.message.data = data;
  box->messages++;
  box->bytes += record->size;
  remember_key(box, record);
  return true;
}

static const char **text_of(stw_event *event) {
  switch (event->kind) {
  case STW_EVENT_STATE:
    return &event->u.state.detail;
  case STW_EVENT_MESSAGE_ENDED:
    return &event->u.ended.detail;
  case STW_EVENT_RETRY:
    return &event->u.retry.detail;
  case STW_EVENT_CLOSED:
    return &event->u.closed.detail;
  case STW_EVENT_STORE:
    return &event->u.store.detail;
  case STW_EVENT_SESSION_STALE:
    return &event->u.session_stale.detail;
  default:
    return NULL;
  }
}

static void count_event(struct stwi_box *box, const stw_event *event) {
  box->events++;
  box->ended += event->kind == STW_EVENT_MESSAGE_ENDED;
}

static bool add_event(struct stwi_box *box, const stw_event *event) {
  stw_event copy = *event;
  const char **text = text_of(&copy);
  size_t size = text == NULL || *text == NULL ? 0 : strlen(*text) + 1;
  struct record *record = add(box, &copy, size);
  if (record == NULL)
    return false;
  if (text != NULL) {
    const char **mine = text_of(&record->event);
    *mine = size == 0 ? "" : memcpy(data_of(record), *text, size);
  }
  count_event(box, event);
  return true;
}

static bool copy_live(struct stwi_box *from, struct stwi_box *to) {
  for (struct stwi_box_chunk *chunk = from->first; chunk != NULL; chunk = chunk->next) {
    uint32_t offset = chunk == from->first ? from->offset : 0;
    while (offset < chunk->used) {
      struct record *record = record_at(chunk, offset);
      offset += record->size;
      if (record->is_skipped)
        continue;
      bool is_message = record->event.kind == STW_EVENT_MESSAGE;
      if (!(is_message ? add_message(to, &record->event) : add_event(to, &record->event))) {
        return false;
      }
    }
  }
  return true;
}

/* Dropped messages in the middle hold memory: past twice the bound the live ones are moved
 * together.  Of the old chunks only the first can hold lent records: it waits in limbo. */
static void compact(struct stwi_box *box) {
  if (box->held_bytes < 2 * box->bytes_max + CHUNK_MAX)
    return;
  struct stwi_box fresh = *box;
  fresh.first = fresh.last = NULL;
  fresh.offset = fresh.events = fresh.ended = 0;
  fresh.messages = fresh.bytes = fresh.held_bytes = 0;
  fresh.policy = STWI_INBOUND_PAUSE;
  fresh.keys = NULL;
  if (!copy_live(box, &fresh)) {
    stwi_box_release(fresh.first);
    return;
  }
  struct stwi_box_chunk *rest = box->first->next;
  box->first->next = box->limbo;
  fresh.limbo = box->first;
  stwi_box_release(rest);
  fresh.policy = box->policy;
  free(box->keys);
  *box = fresh;
}

static void make_room(struct stwi_box *box, const stw_event *event) {
  uint32_t need = footprint(STW_EVENT_MESSAGE, event->u.message.size);
  bool is_keyed = box->policy == STWI_INBOUND_LATEST_BY_KEY;
  while (box->bytes + need > box->bytes_max) {
    if (is_keyed && drop_same_key(box, event))
      continue;
    if (!drop_oldest(box))
      break;
  }
  compact(box);
}

bool stwi_box_message(struct stwi_box *box, const stw_event *event) {
  if (box->policy != STWI_INBOUND_PAUSE)
    make_room(box, event);
  if (add_message(box, event))
    return true;
  memcpy(&box->missed, event, event_size(STW_EVENT_MESSAGE));
  box->dropped++;
  box->dropped_ever++;
  return false;
}

/* The last record of the box, if it may be changed: not drained, and of this kind. */
static struct record *last_of(struct stwi_box *box, stw_event_kind kind) {
  struct stwi_box_chunk *chunk = box->last;
  if (chunk == NULL)
    return NULL;
  struct record *last = NULL;
  uint32_t offset = chunk == box->first ? box->offset : 0;
  if (chunk->used - offset > 8 * sizeof(struct record))
    return NULL; /* too far to walk */
  while (offset < chunk->used) {
    last = record_at(chunk, offset);
    offset += last->size;
  }
  return last != NULL && !last->is_skipped && last->event.kind == kind ? last : NULL;
}

static bool is_same_proof(const stw_event *a, const stw_event *b) {
  return a->u.proof.proof == b->u.proof.proof && a->u.proof.lane == b->u.proof.lane;
}

static bool is_alike(const stw_event *a, const stw_event *b) {
  return a->kind == b->kind && (a->kind != STW_EVENT_PROOF || is_same_proof(a, b));
}

static struct record *newest_like(struct stwi_box *box, const stw_event *event) {
  struct record *newest = NULL;
  for (struct stwi_box_chunk *chunk = box->first; chunk != NULL; chunk = chunk->next) {
    uint32_t offset = chunk == box->first ? box->offset : 0;
    while (offset < chunk->used) {
      struct record *record = record_at(chunk, offset);
      offset += record->size;
      if (!record->is_skipped && is_alike(&record->event, event))
        newest = record;
    }
  }
  return newest;
}

/* False: between what they prove are numbers of which neither speaks. */
static bool extend_proof(stw_event *known, const stw_event *event) {
  if (event->u.proof.after > known->u.proof.upto)
    return false;
  known->u.proof.upto = event->u.proof.upto;
  known->u.proof.settled = event->u.proof.settled;
  return true;
}

static bool merge_proof(struct stwi_box *box, const stw_event *event) {
  struct record *last = last_of(box, STW_EVENT_PROOF);
  if (last == NULL || !is_same_proof(&last->event, event) || !extend_proof(&last->event, event))
    return false;
  last->event.at_ns = event->at_ns;
  return true;
}

/* It may say less then, but nothing that is not so. */
static void coalesce_proof(stw_event *newest, const stw_event *event) {
  if (!extend_proof(newest, event))
    newest->u.proof = event->u.proof;
}

static void merge_state(struct record *newest, const stw_event *event) {
  stw_state from = newest->event.u.state.from;
  newest->event = *event;
  newest->event.u.state.from = from;
  newest->event.u.state.detail = "";
}

/* Numbers that will never come must all be told; without numbers one gap says it all. */
static bool merge_gap(struct record *newest, const stw_event *event) {
  const bool is_like = newest->event.u.gap.reason == event->u.gap.reason &&
                       newest->event.u.gap.lane == event->u.gap.lane;
  if (event->u.gap.to == 0)
    return is_like || event->u.gap.reason == STW_GAP_NEW_LINK;
  if (!is_like || newest->event.u.gap.to == 0)
    return false;
  newest->event.u.gap.messages += event->u.gap.messages;
  newest->event.u.gap.known &= event->u.gap.known;
  newest->event.u.gap.to = event->u.gap.to;
  return true;
}

/* The host has not drained for long: keep the latest of each kind. */
static bool coalesce(struct stwi_box *box, const stw_event *event) {
  struct record *newest = newest_like(box, event);
  if (newest == NULL)
    return false;
  switch (event->kind) {
  case STW_EVENT_STATE:
    merge_state(newest, event);
    return true;
  case STW_EVENT_PROOF:
    coalesce_proof(&newest->event, event);
    return true;
  case STW_EVENT_REPLAY:
    newest->event.u.replay.messages += event->u.replay.messages;
    newest->event.u.replay.bytes += event->u.replay.bytes;
    return true;
  case STW_EVENT_STORE:
    if (event->u.store.messages > 0)
      return false; /* what opening has shown */
    newest->event.u.store.health = event->u.store.health;
    newest->event.u.store.detail = "";
    return true;
  case STW_EVENT_SESSION_STALE:
    newest->event.u.session_stale.messages += event->u.session_stale.messages;
    return true;
  case STW_EVENT_GAP:
    return merge_gap(newest, event);
  case STW_EVENT_MESSAGE_ENDED:
  case STW_EVENT_CLOSED:
  case STW_EVENT_MESSAGE:
    return false;
  default:
    return true; /* one of this kind waits already */
  }
}

/* Kinds without which a host would wait for ever or miss a loss. */
static bool may_use_reserve(stw_event_kind kind) {
  return kind == STW_EVENT_STATE || kind == STW_EVENT_PROOF || kind == STW_EVENT_CLOSED ||
         kind == STW_EVENT_GAP || kind == STW_EVENT_OUTBOX_ROOM ||
         kind == STW_EVENT_CREDENTIALS_NEEDED;
}

static bool add_without_memory(struct stwi_box *box, const stw_event *event) {
  if (coalesce(box, event))
    return true;
  if (!may_use_reserve(event->kind))
    return false;
  if (box->reserve != NULL) {
    append_chunk(box, box->reserve);
    box->reserve = NULL;
  }
  struct stwi_box_chunk *chunk = box->last;
  uint32_t size = footprint(event->kind, 0);
  if (chunk == NULL || !chunk->is_reserve || chunk->size - chunk->used < size)
    return false;
  struct record *record = add_to(chunk, event, size);
  const char **text = text_of(&record->event);
  if (text != NULL)
    *text = "";
  count_event(box, event);
  return true;
}

bool stwi_box_event(struct stwi_box *box, const stw_event *event) {
  assert(event->kind != STW_EVENT_MESSAGE);
  if (event->kind == STW_EVENT_PROOF && merge_proof(box, event))
    return true;
  if (box->events >= EVENTS_MAX && coalesce(box, event))
    return true;
  if (box->reserve == NULL)
    box->reserve = new_reserve();
  return add_event(box, event) || add_without_memory(box, event);
}

bool stwi_box_is_empty(const struct stwi_box *box) {
  return box->events == 0 && box->messages == 0 && box->dropped == 0;
}

bool stwi_box_is_full(const struct stwi_box *box) {
  return box->policy == STWI_INBOUND_PAUSE && box->bytes >= box->bytes_max;
}

bool stwi_box_has_room(const struct stwi_box *box) {
  return box->bytes < box->bytes_max / 2;
}

/* A gap event before what follows it.  False without memory: the next drain tries again. */
static bool lend_gap(struct stwi_box *box, const stw_event *before, const stw_event **lent_event,
                     struct stwi_box_chunk **lent) {
  struct stwi_box_chunk *chunk = new_chunk(sizeof(stw_event));
  if (chunk == NULL)
    return false;
  stw_event *gap = (stw_event *)(void *)chunk->bytes;
  memset(gap, 0, sizeof *gap);
  gap->kind = STW_EVENT_GAP;
  gap->conn = before->conn;
  gap->link = before->link;
  gap->at_ns = before->at_ns;
  gap->u.gap.reason = STW_GAP_OVERFLOW;
  gap->u.gap.known = true;
  gap->u.gap.messages = box->dropped;
  box->dropped = 0;
  chunk->next = *lent;
  *lent = chunk;
  *lent_event = gap;
  return true;
}

static void take_out(struct stwi_box *box, const struct record *record) {
  record->home->live--;
  if (record->event.kind == STW_EVENT_MESSAGE) {
    forget_key(box, record);
    box->messages--;
    box->bytes -= record->size;
  } else {
    box->events--;
    box->ended -= record->event.kind == STW_EVENT_MESSAGE_ENDED;
  }
}

static void pass_chunk(struct stwi_box *box, struct stwi_box_chunk **lent) {
  struct stwi_box_chunk *passed = box->first;
  box->first = passed->next;
  if (box->first == NULL) {
    box->last = NULL;
    if (box->chunk_bytes > CHUNK_MIN)
      box->chunk_bytes /= 2;
  }
  box->offset = 0;
  box->held_bytes -= passed->size;
  passed->next = *lent;
  *lent = passed;
}

size_t stwi_box_drain(struct stwi_box *box, const stw_event **events, size_t max,
                      struct stwi_box_chunk **lent) {
  size_t count = 0;
  while (box->limbo != NULL) {
    struct stwi_box_chunk *next = box->limbo->next;
    box->limbo->next = *lent;
    *lent = box->limbo;
    box->limbo = next;
  }
  while (box->first != NULL && count < max) {
    if (box->offset == box->first->used) {
      pass_chunk(box, lent);
      continue;
    }
    struct record *record = record_at(box->first, box->offset);
    if (!record->is_skipped && box->dropped > 0 &&
        lend_gap(box, &record->event, &events[count], lent)) {
      count++;
      continue;
    }
    box->offset += record->size;
    if (record->is_skipped)
      continue;
    take_out(box, record);
    events[count++] = &record->event;
  }
  if (box->first != NULL && box->offset == box->first->used)
    pass_chunk(box, lent);
  bool is_behind = box->first == NULL && box->dropped > 0 && count < max;
  if (is_behind && lend_gap(box, &box->missed, &events[count], lent))
    count++;
  if (box->first == NULL && box->keys != NULL) {
    free(box->keys);
    box->keys = NULL;
  }
  return count;
}

void stwi_box_surrender(struct stwi_box *box, struct stwi_box_chunk **lent) {
  while (box->first != NULL)
    pass_chunk(box, lent);
  box->events = box->ended = 0;
  box->messages = box->bytes = box->dropped = 0;
}
