#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/engine.h"
#include "io/clock.h"

#define ANSWER_WITHIN (1 * STWI_S)

struct stwi_query *stwi_query_new(void) {
  struct stwi_query *query = calloc(1, sizeof *query);
  if (query == NULL)
    return NULL;
  atomic_init(&query->refs, 1);
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
  free(query);
}

static void fill_entry(stw_outbox_entry *entry, const struct stwi_msg *msg, stwi_time now) {
  memset(entry, 0, sizeof *entry);
  entry->id.number = msg->number;
  entry->state = (stw_message_state)msg->state;
  entry->proof = (stw_proof)msg->proof;
  entry->guarantee = (stw_guarantee)msg->guarantee;
  entry->is_text = msg->is_text;
  entry->attempts = msg->attempts;
  entry->size = msg->size;
  entry->age_ns = now - msg->admitted;
  if (msg->ttl_ns > 0) {
    entry->ttl_left_ns = msg->ttl_ns > entry->age_ns ? msg->ttl_ns - entry->age_ns : 1;
  }
  size_t size = msg->key_size < sizeof entry->key ? msg->key_size : sizeof entry->key - 1;
  memcpy(entry->key, stwi_msg_key(msg), size);
}

static stw_status list(struct stwi_query *query, const struct stwi_outbox *outbox, stwi_time now) {
  uint64_t after = query->number;
  while (query->count < query->max) {
    struct stwi_msg *msg = stwi_outbox_after(outbox, after);
    if (msg == NULL)
      break;
    fill_entry(&query->entries[query->count++], msg, now);
    after = msg->number;
  }
  return STW_OK;
}

static stw_status body(struct stwi_query *query, const struct stwi_outbox *outbox) {
  struct stwi_msg *msg = stwi_outbox_find(outbox, query->number);
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

static stw_status can_cancel(const struct stwi_query *query, const struct stwi_outbox *outbox) {
  struct stwi_msg *msg = stwi_outbox_find(outbox, query->number);
  if (msg == NULL)
    return STW_E_NOT_FOUND;
  bool is_waiting = msg->state == STW_MESSAGE_QUEUED || msg->state == STW_MESSAGE_HELD;
  return is_waiting && msg->attempts == 0 ? STW_OK : STW_E_STATE;
}

void stwi_query_answer(struct stwi_query *query, const struct stwi_core *core, uint32_t slot,
                       stwi_time now) {
  const struct stwi_outbox *outbox =
      core == NULL ? NULL : stwi_core_outbox(core, slot, STW_LANE_DATA);
  pthread_mutex_lock(&query->lock);
  if (outbox == NULL) {
    query->status = STW_E_CLOSED;
  } else {
    switch (query->kind) {
    case STWI_QUERY_LIST:
      query->status = list(query, outbox, now);
      break;
    case STWI_QUERY_BODY:
      query->status = body(query, outbox);
      break;
    case STWI_QUERY_CANCEL:
      query->status = can_cancel(query, outbox);
      break;
    }
  }
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
