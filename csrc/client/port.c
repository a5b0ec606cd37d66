#include "client/port_inside.h"

#include <stdlib.h>

#include "client/engine.h"
#include "client/mailbox.h"
#include "client/port_store.h"

struct stwi_port *stwi_port_new(struct stwi_engine *engine, struct stwi_mailbox *mailbox,
                                const struct stwi_conn_config *config, uint64_t stream) {
  struct stwi_port *port = calloc(1, sizeof *port);
  if (port == NULL)
    return NULL;
  atomic_init(&port->refs, 1);
  pthread_mutex_init(&port->lock, NULL);
  stwi_port_store_init(port);
  port->engine = engine;
  stwi_engine_hold(engine);
  port->mailbox = mailbox;
  stwi_mailbox_hold(mailbox);
  port->chunk_bytes = STWI_PORT_CHUNK_MIN;
  port->messages_max = config->outbox_messages;
  port->bytes_max = config->outbox_bytes;
  bool is_narrow = config->outbox_bytes < config->max_message;
  port->message_max = is_narrow ? config->outbox_bytes : config->max_message;
  port->message_limit = is_narrow ? "outbox_bytes" : "max_message";
  port->guarantee = config->guarantee;
  port->overflow = config->outbox_overflow;
  port->profile = config->profile;
  port->stream = stream & ~(uint64_t)1;
  if (stwi_box_init(&port->box, config))
    return port;
  stwi_port_drop(port);
  return NULL;
}

void stwi_port_hold(struct stwi_port *port) {
  atomic_fetch_add(&port->refs, 1);
}

void stwi_port_drop(struct stwi_port *port) {
  if (atomic_fetch_sub(&port->refs, 1) != 1)
    return;
  stwi_port_store_fini(port);
  stwi_chunk_free_list(port->submit_first);
  stwi_box_fini(&port->box);
  stwi_mailbox_drop(port->mailbox);
  stwi_engine_drop(port->engine);
  pthread_mutex_destroy(&port->lock);
  free(port);
}

void stwi_port_lock(struct stwi_port *port) {
  atomic_fetch_add(&port->engine_waits, 1);
  pthread_mutex_lock(&port->lock);
  atomic_fetch_sub(&port->engine_waits, 1);
}

static struct stwi_chunk *take_chunks(struct stwi_port *port) {
  struct stwi_chunk *chunks = port->submit_first;
  if (port->submit_last == chunks && chunks != NULL && chunks->used * 2 < chunks->size &&
      port->chunk_bytes > STWI_PORT_CHUNK_MIN) {
    port->chunk_bytes /= 2;
  }
  port->submit_first = port->submit_last = NULL;
  return chunks;
}

struct stwi_news stwi_port_collect(struct stwi_port *port) {
  stwi_port_lock(port);
  struct stwi_news news = {take_chunks(port),
                           port->has_box_room,
                           port->is_forgotten,
                           port->wants_room,
                           port->has_store_news,
                           port->has_processed,
                           {port->processed[STW_LANE_DATA], port->processed[STW_LANE_CONTROL]}};
  port->has_box_room = port->is_forgotten = port->has_store_news = port->has_processed = false;
  port->is_submitted = false;
  pthread_mutex_unlock(&port->lock);
  return news;
}

struct stwi_chunk *stwi_port_collect_early(struct stwi_port *port, bool refuse) {
  stwi_port_lock(port);
  struct stwi_chunk *chunks = take_chunks(port);
  if (refuse)
    port->is_refusing = true;
  pthread_mutex_unlock(&port->lock);
  return chunks;
}

void stwi_port_unlock_and_tell(struct stwi_port *port) {
  bool is_new = !port->is_submitted;
  port->is_submitted = true;
  pthread_mutex_unlock(&port->lock);
  if (is_new)
    stwi_engine_submit(port);
}

void stwi_port_tell_room(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  port->has_box_room = true;
  stwi_port_unlock_and_tell(port);
}

void stwi_port_tell_forget(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  port->is_forgotten = port->is_refusing = true;
  stwi_port_unlock_and_tell(port);
}

void stwi_port_tell_drained(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  if (port->wants_room) {
    stwi_port_unlock_and_tell(port);
  } else {
    pthread_mutex_unlock(&port->lock);
  }
}
