#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/engine.h"
#include "io/clock.h"

#define ANSWER_WITHIN (1 * STWI_S)

/* What one answer may cost the engine thread; the asker asks again. */
#define LOOKS_MAX 4096u
#define COPY_BYTES_MAX 262144u
#define COPY_CHUNK_BYTES 65536u

struct stwi_query *stwi_query_new(enum stwi_query_kind kind) {
  struct stwi_query *query = calloc(1, sizeof *query);
  if (query == NULL)
    return NULL;
  atomic_init(&query->refs, 1);
  query->kind = kind;
  pthread_mutex_init(&query->lock, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&query->answered, &attributes);
  pthread_condattr_destroy(&attributes);
  return query;
}

void stwi_query_drop(struct stwi_query *query) {
  if (atomic_fetch_sub(&query->refs, 1) != 1)
    return;
  pthread_cond_destroy(&query->answered);
  pthread_mutex_destroy(&query->lock);
  free(query->entries);
  free(query->body);
  free(query->ids);
  stwi_chunk_free_list(query->chunks);
  free(query);
}

/* ---- walking: control lane, data lane, parked ---- */

struct look {
  const struct stwi_outbox *lanes;
  const struct stwi_parked *parked;
  stwi_time now;
};

static const struct stwi_outbox *lane_of(const struct look *look, uint64_t section) {
  return &look->lanes[section == STWI_CURSOR_CONTROL ? STW_LANE_CONTROL : STW_LANE_DATA];
}

/* Is it 0, or where a message has been? */
static bool is_cursor(const struct look *look, uint64_t cursor) {
  const uint64_t section = cursor >> STWI_CURSOR_SHIFT, number = cursor & STWI_CURSOR_NUMBER;
  if (section == 0 || number == 0)
    return cursor == 0;
  return number <=
         (section == STWI_CURSOR_PARKED ? look->parked->serial : lane_of(look, section)->taken);
}

/* The message behind the cursor, which moves to it; NULL at the end (the cursor is 0). */
static struct stwi_msg *next_of(const struct look *look, uint64_t *cursor) {
  if (*cursor == 0)
    *cursor = (uint64_t)STWI_CURSOR_CONTROL << STWI_CURSOR_SHIFT;
  for (uint64_t section = *cursor >> STWI_CURSOR_SHIFT; section < STWI_CURSOR_PARKED; section++) {
    struct stwi_msg *msg = stwi_outbox_after(lane_of(look, section), *cursor & STWI_CURSOR_NUMBER);
    if (msg != NULL) {
      *cursor = section << STWI_CURSOR_SHIFT | msg->number;
      return msg;
    }
    *cursor = (section + 1) << STWI_CURSOR_SHIFT;
  }
  const struct stwi_parking *parking =
      stwi_parked_after(look->parked, *cursor & STWI_CURSOR_NUMBER);
  *cursor =
      parking == NULL ? 0 : (uint64_t)STWI_CURSOR_PARKED << STWI_CURSOR_SHIFT | parking->serial;
  return parking == NULL ? NULL : parking->msg;
}

static bool is_parked(const struct stwi_msg *msg) {
  return msg->state != STW_MESSAGE_QUEUED && msg->state != STW_MESSAGE_INFLIGHT;
}

static uint64_t age_of(const struct stwi_msg *msg, stwi_time now) {
  return msg->waited_ns + (now > msg->admitted ? now - msg->admitted : 0);
}

static uint64_t ttl_left(const struct stwi_msg *msg, stwi_time now) {
  const stwi_time due = stwi_msg_due(msg);
  if (due == STWI_NEVER || msg->state == STW_MESSAGE_DEAD || msg->state == STW_MESSAGE_UNKNOWN)
    return 0;
  return due > now ? due - now : 1;
}

static bool lets_through(const stw_outbox_filter *filter, const struct stwi_msg *msg,
                         stwi_time now) {
  if (filter->states != 0 && (filter->states >> msg->state & 1) == 0)
    return false;
  if (filter->lanes != 0 && (filter->lanes >> msg->lane & 1) == 0)
    return false;
  if (filter->older_than_ns > age_of(msg, now))
    return false;
  return filter->key == NULL || (msg->key_size == filter->key_size &&
                                 memcmp(stwi_msg_key(msg), filter->key, msg->key_size) == 0);
}

/* ---- entries ---- */

/* Gaps count as well: close enough for people. */
static uint32_t position_at(const struct look *look, uint64_t cursor) {
  const struct stwi_outbox *control = &look->lanes[STW_LANE_CONTROL];
  const struct stwi_outbox *data = &look->lanes[STW_LANE_DATA];
  const uint64_t number = cursor & STWI_CURSOR_NUMBER;
  switch (cursor >> STWI_CURSOR_SHIFT) {
  case STWI_CURSOR_CONTROL:
    return stwi_outbox_position(control, number);
  case STWI_CURSOR_DATA:
    return control->count + stwi_outbox_position(data, number);
  default:
    return control->count + data->count + stwi_parked_position(look->parked, number);
  }
}

static uint64_t cursor_of(const struct look *look, const struct stwi_msg *msg) {
  uint64_t section = msg->lane == STW_LANE_CONTROL ? STWI_CURSOR_CONTROL : STWI_CURSOR_DATA;
  uint64_t number = msg->number;
  if (is_parked(msg)) {
    section = STWI_CURSOR_PARKED;
    number = stwi_parked_serial(look->parked, msg);
  }
  return section << STWI_CURSOR_SHIFT | number;
}

static void fill_entry(stw_outbox_entry *entry, const struct stwi_msg *msg, stwi_time now) {
  memset(entry, 0, sizeof *entry);
  entry->id = msg->id;
  entry->state = (stw_message_state)msg->state;
  entry->proof = (stw_proof)msg->proof;
  entry->guarantee = (stw_guarantee)msg->guarantee;
  entry->is_text = msg->is_text;
  entry->attempts = msg->attempts;
  entry->size = msg->size;
  entry->age_ns = age_of(msg, now);
  entry->ttl_left_ns = ttl_left(msg, now);
  size_t size = msg->key_size < sizeof entry->key ? msg->key_size : sizeof entry->key - 1;
  memcpy(entry->key, stwi_msg_key(msg), size);
  entry->lane = (stw_lane)msg->lane;
  entry->number = is_parked(msg) ? 0 : msg->number;
  entry->cause = is_parked(msg) ? (stw_cause)msg->cause : STW_CAUSE_REQUESTED;
}

static stw_status list(struct stwi_query *query, const struct look *look) {
  if (!is_cursor(look, query->cursor))
    return STW_E_ARGUMENT;
  for (unsigned looks = 0; query->count < query->max && looks < LOOKS_MAX; looks++) {
    const struct stwi_msg *msg = next_of(look, &query->cursor);
    if (msg == NULL)
      break;
    if (!lets_through(&query->filter, msg, look->now))
      continue;
    stw_outbox_entry *entry = &query->entries[query->count++];
    fill_entry(entry, msg, look->now);
    entry->position = position_at(look, query->cursor);
  }
  return STW_OK;
}

static stw_status get(struct stwi_query *query, const struct look *look) {
  const struct stwi_msg *msg = stwi_lanes_find(look->lanes, query->id);
  if (msg == NULL)
    return STW_E_NOT_FOUND;
  query->lane = (stw_lane)msg->lane;
  query->state = (stw_message_state)msg->state;
  fill_entry(query->entries, msg, look->now);
  query->entries->position = position_at(look, cursor_of(look, msg));
  query->count = 1;
  return STW_OK;
}

static stw_status body(struct stwi_query *query, const struct look *look) {
  const struct stwi_msg *msg = stwi_lanes_find(look->lanes, query->id);
  if (msg == NULL)
    return STW_E_NOT_FOUND;
  query->count = msg->size;
  size_t size = msg->size < query->max ? msg->size : query->max;
  if (size == 0)
    return STW_OK;
  query->body = malloc(size);
  if (query->body == NULL)
    return STW_E_MEMORY;
  memcpy(query->body, stwi_msg_body(msg), size);
  return STW_OK;
}

/* ---- copies ---- */

static bool copy_into(struct stwi_query *query, const struct stwi_msg *msg, stwi_time now) {
  const size_t need = stwi_msg_footprint(msg->key_size, msg->size);
  struct stwi_chunk *chunk = query->chunks;
  if (chunk == NULL || chunk->size - chunk->used < need) {
    chunk = stwi_chunk_new(need > COPY_CHUNK_BYTES ? (uint32_t)need : COPY_CHUNK_BYTES);
    if (chunk == NULL)
      return false;
    chunk->next = query->chunks;
    query->chunks = chunk;
  }
  struct stwi_msg *copy =
      stwi_chunk_append(chunk, stwi_msg_key(msg), msg->key_size, stwi_msg_body(msg), msg->size);
  copy->id = msg->id;
  copy->number = is_parked(msg) ? 0 : msg->number;
  copy->ttl_ns = ttl_left(msg, now);
  copy->waited_ns = age_of(msg, now);
  copy->attempts = msg->attempts;
  copy->is_text = msg->is_text;
  copy->guarantee = msg->guarantee;
  copy->state = msg->state;
  copy->cause = is_parked(msg) ? msg->cause : STW_CAUSE_REQUESTED;
  copy->lane = msg->lane;
  return true;
}

/* The chunks in the order of the list. */
static void turn_round(struct stwi_query *query) {
  struct stwi_chunk *chunk = query->chunks, *turned = NULL;
  while (chunk != NULL) {
    struct stwi_chunk *next = chunk->next;
    chunk->next = turned;
    turned = chunk;
    chunk = next;
  }
  query->chunks = turned;
}

static stw_status copy(struct stwi_query *query, const struct look *look) {
  size_t bytes = 0;
  for (unsigned looks = 0; looks < LOOKS_MAX && bytes < COPY_BYTES_MAX; looks++) {
    const struct stwi_msg *msg = next_of(look, &query->cursor);
    if (msg == NULL)
      break;
    if (!lets_through(&query->filter, msg, look->now))
      continue;
    if (!copy_into(query, msg, look->now))
      return STW_E_MEMORY;
    bytes += stwi_msg_footprint(msg->key_size, msg->size);
  }
  turn_round(query);
  return STW_OK;
}

/* ---- ids and edits ---- */

static stw_status know(struct stwi_query *query, const struct look *look) {
  for (size_t i = 0; i < query->count; i++)
    if (stwi_lanes_find(look->lanes, query->ids[i]) != NULL)
      query->ids[i].number = 0;
  return STW_OK;
}

/* As the core will judge it. */
static bool fits(const struct stwi_msg *msg, stw_edit edit) {
  const bool is_fresh = msg->state == STW_MESSAGE_QUEUED && msg->attempts == 0;
  switch (edit) {
  case STW_EDIT_CANCEL:
    return is_fresh || is_parked(msg);
  case STW_EDIT_HOLD:
    return is_fresh;
  case STW_EDIT_RELEASE:
    return msg->state == STW_MESSAGE_HELD;
  case STW_EDIT_REQUEUE:
    return msg->state == STW_MESSAGE_DEAD || msg->state == STW_MESSAGE_UNKNOWN;
  case STW_EDIT_PRIORITISE:
    return is_parked(msg) || (is_fresh && msg->lane != STW_LANE_CONTROL);
  case STW_EDIT_DEMOTE:
    return is_parked(msg) || (is_fresh && msg->lane != STW_LANE_DATA);
  default:
    return false;
  }
}

static stw_status judge(struct stwi_query *query, const struct look *look) {
  const struct stwi_msg *msg = stwi_lanes_find(look->lanes, query->id);
  if (msg == NULL)
    return STW_E_NOT_FOUND;
  query->lane = (stw_lane)msg->lane;
  query->state = (stw_message_state)msg->state;
  return fits(msg, query->edit) ? STW_OK : STW_E_STATE;
}

/* A message that was moved and has ended since is not there any more: it was moved all the same. */
static stw_status moved(struct stwi_query *query, const struct look *look) {
  const struct stwi_msg *msg = stwi_lanes_find(look->lanes, query->id);
  if (msg == NULL)
    return STW_OK;
  const bool is_there = !is_parked(msg) && msg->lane == (uint8_t)query->lane;
  return is_there && msg->number > query->after ? STW_OK : STW_E_STATE;
}

static stw_status look_at(struct stwi_query *query, const struct look *look) {
  switch (query->kind) {
  case STWI_QUERY_LIST:
    return list(query, look);
  case STWI_QUERY_GET:
    return get(query, look);
  case STWI_QUERY_BODY:
    return body(query, look);
  case STWI_QUERY_COPY:
    return copy(query, look);
  case STWI_QUERY_KNOW:
    return know(query, look);
  case STWI_QUERY_JUDGE:
  case STWI_QUERY_EDIT:
    return judge(query, look);
  case STWI_QUERY_MOVED:
    return moved(query, look);
  }
  return STW_E_ARGUMENT;
}

void stwi_query_look(struct stwi_query *query, const struct stwi_core *core, uint32_t slot,
                     stwi_time now) {
  struct look look = {.now = now};
  if (core != NULL) {
    look.lanes = stwi_core_outbox(core, slot, (stw_lane)0);
    look.parked = stwi_core_parked(core, slot);
  }
  query->status = look.lanes == NULL ? STW_E_CLOSED : look_at(query, &look);
}

void stwi_query_tell(struct stwi_query *query) {
  pthread_mutex_lock(&query->lock);
  query->is_answered = true;
  pthread_cond_signal(&query->answered);
  pthread_mutex_unlock(&query->lock);
}

stw_status stwi_query_wait(struct stwi_query *query) {
  stwi_time at = stwi_clock_monotonic() + ANSWER_WITHIN;
  struct timespec until = {(time_t)(at / STWI_S), (long)(at % STWI_S)};
  pthread_mutex_lock(&query->lock);
  int error = 0;
  while (!query->is_answered && error == 0) {
    error = pthread_cond_timedwait(&query->answered, &query->lock, &until);
  }
  stw_status status = query->is_answered ? query->status : STW_E_TIMEOUT;
  pthread_mutex_unlock(&query->lock);
  return status;
}
