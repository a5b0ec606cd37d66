#include "client/port_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/error.h"
#include "client/port_inside.h"
#include "io/clock.h"

void stwi_port_store_init(struct stwi_port *port) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&port->store_left, &attributes);
  pthread_condattr_destroy(&attributes);
}

static void close_now(struct stwi_port *port, uint32_t patience_ms) {
  pthread_mutex_lock(&port->lock);
  struct stwi_store store = port->store;
  port->store.ops = NULL;
  port->is_store_closing = true;
  pthread_mutex_unlock(&port->lock);
  if (store.ops != NULL)
    store.ops->close(store.self, patience_ms);
}

static void free_file(struct stwi_port_file *file) {
  if (file == NULL)
    return;
  stwi_chunk_free_list(file->restored.chunks);
  stwi_chunk_free_list(file->restored.parked);
  free(file);
}

void stwi_port_store_fini(struct stwi_port *port) {
  close_now(port, 0);
  free_file(port->file);
  pthread_cond_destroy(&port->store_left);
}

/* ---- opening ---- */

/* The writer's thread. */
static void wake(void *owner) {
  struct stwi_port *port = owner;
  pthread_mutex_lock(&port->lock);
  if (port->is_store_closing) {
    pthread_mutex_unlock(&port->lock);
    return;
  }
  port->has_store_news = true;
  stwi_port_unlock_and_tell(port);
}

static void count_restored(struct stwi_port *port) {
  uint64_t messages = 0, bytes = 0, parked = 0;
  for (struct stwi_msg *msg = stwi_chunks_first(port->file->restored.chunks); msg != NULL;
       msg = stwi_chunks_after(msg)) {
    messages++;
    bytes += msg->size;
  }
  for (struct stwi_chunk *chunk = port->file->restored.parked; chunk != NULL; chunk = chunk->next)
    parked += chunk->count;
  /* Until the engine says more: what was never admitted here stands. */
  port->released_messages = 0 - messages;
  port->released_bytes = 0 - bytes;
  port->file->found_messages = messages + parked;
}

/* What came before this conn counts as arrived. */
static void note_processed(struct stwi_port *port, const struct stwi_conn_config *config) {
  const uint64_t *from =
      config->has_inbound_from ? config->inbound_from : port->file->restored.session.processed;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    atomic_store(&port->arrived[lane], from[lane]);
  memcpy(port->processed, from, sizeof port->processed);
}

static stw_status explain(stw_status status, const char *path, const char *detail) {
  if (status == STW_E_MEMORY && detail[0] == '\0')
    return stwi_error(status, "no memory to read the outbox %s", path);
  return stwi_error(status, "%s", detail);
}

stw_status stwi_port_store_open(struct stwi_port *port, const struct stwi_conn_config *config,
                                stwi_store_opener open_store) {
  struct stwi_store_options options = {.path = config->outbox_path,
                                       .level = config->is_durable ? STWI_LEVEL_DURABLE
                                                                   : STWI_LEVEL_PROCESS,
                                       .new_stream = port->stream,
                                       .owner = port,
                                       .wake = wake};
  struct stwi_port_file *file = port->file = calloc(1, sizeof *file);
  if (file == NULL)
    return stwi_error(STW_E_MEMORY, "no memory for a conn");
  stwi_clock_random_bytes(options.new_cid, sizeof options.new_cid);
  if (config->outbox_path[0] == '\0') {
    memcpy(file->restored.session.cid, options.new_cid, sizeof options.new_cid);
    note_processed(port, config);
    return STW_OK;
  }
  uint64_t stream = 0;
  const stw_status status = open_store(&options, &port->store, &file->restored, &stream,
                                       &file->found, file->found_detail);
  if (status != STW_OK) {
    port->store.ops = NULL;
    return explain(status, config->outbox_path, file->found_detail);
  }
  port->is_store_used = true;
  port->stream = stream;
  memcpy(port->last_number, file->restored.last_number, sizeof port->last_number);
  count_restored(port);
  note_processed(port, config);
  if (file->found == STW_STORE_ADOPTED)
    file->found_messages = file->restored.adopted;
  return STW_OK;
}

/* ---- the engine ---- */

void stwi_port_store_begun(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  struct stwi_port_file *file = port->file;
  file->restored.chunks = file->restored.parked = NULL;
  if (port->is_store_used)
    file = NULL;
  else
    port->file = NULL;
  pthread_mutex_unlock(&port->lock);
  free_file(file);
}

struct stwi_store stwi_port_store_use(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  const struct stwi_store store = port->store;
  pthread_mutex_unlock(&port->lock);
  return store;
}

void stwi_port_store_leave(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  port->is_store_used = false;
  pthread_cond_broadcast(&port->store_left);
  pthread_mutex_unlock(&port->lock);
}

/* ---- closing ---- */

void stwi_port_store_close(struct stwi_port *port, uint32_t patience_ms) {
  const stwi_time end = stwi_clock_monotonic() + patience_ms * STWI_MS;
  const struct timespec until = {(time_t)(end / STWI_S), (long)(end % STWI_S)};
  pthread_mutex_lock(&port->lock);
  int error = 0;
  while (port->store.ops != NULL && port->is_store_used && error == 0)
    error = pthread_cond_timedwait(&port->store_left, &port->lock, &until);
  const bool is_free = !port->is_store_used;
  pthread_mutex_unlock(&port->lock);
  const stwi_time now = stwi_clock_monotonic();
  if (is_free)
    close_now(port, now < end ? (uint32_t)((end - now) / STWI_MS) : 0);
}

/* ---- admission ---- */

bool stwi_port_store_is_ill(const struct stwi_port *port) {
  return port->file != NULL &&
         (port->file->health == STW_STORE_FULL || port->file->health == STW_STORE_FAILED);
}

stw_status stwi_port_store_check(struct stwi_port *port) {
  if (!stwi_port_store_is_ill(port))
    return STW_OK;
  if (!port->wants_room) {
    port->wants_room = true;
    port->room_bytes = 0;
    port->room_times = 1;
  }
  const bool is_full = port->file->health == STW_STORE_FULL;
  return stwi_error(is_full ? STW_E_FULL : STW_E_STORE,
                    "the outbox's file cannot keep another message: %s; wait for the event "
                    "outbox_room",
                    port->file->detail);
}
