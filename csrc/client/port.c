#include "client/port.h"

#include <stdlib.h>
#include <string.h>

#include "client/engine.h"
#include "client/error.h"
#include "client/mailbox.h"

#define CHUNK_MIN 512u
#define CHUNK_MAX 32768u

struct stwi_port *stwi_port_new(struct stwi_engine *engine, struct stwi_mailbox *mailbox,
                                const struct stwi_conn_config *config, uint64_t stream) {
  struct stwi_port *port = calloc(1, sizeof *port);
  if (port == NULL) return NULL;
  atomic_init(&port->refs, 1);
  pthread_mutex_init(&port->lock, NULL);
  port->engine = engine;
  stwi_engine_hold(engine);
  port->mailbox = mailbox;
  stwi_mailbox_hold(mailbox);
  port->chunk_bytes = CHUNK_MIN;
  port->messages_max = config->outbox_messages;
  port->bytes_max = config->outbox_bytes;
  port->message_max = config->max_message;
  port->guarantee = config->guarantee;
  port->overflow = config->outbox_overflow;
  port->stream = stream;
  port->view.stream.stream = stream;
  stwi_box_init(&port->box, config);
  return port;
}

void stwi_port_hold(struct stwi_port *port) { atomic_fetch_add(&port->refs, 1); }

void stwi_port_drop(struct stwi_port *port) {
  if (atomic_fetch_sub(&port->refs, 1) != 1) return;
  stwi_chunk_free_list(port->submit_first);
  stwi_box_fini(&port->box);
  stwi_mailbox_drop(port->mailbox);
  stwi_engine_drop(port->engine);
  pthread_mutex_destroy(&port->lock);
  free(port);
}

struct stwi_chunk *stwi_port_collect(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  struct stwi_chunk *chunks = port->submit_first;
  if (port->submit_last == chunks && chunks != NULL && chunks->used * 2 < chunks->size &&
      port->chunk_bytes > CHUNK_MIN) {
    port->chunk_bytes /= 2;
  }
  port->submit_first = port->submit_last = NULL;
  port->is_submitted = false;
  pthread_mutex_unlock(&port->lock);
  return chunks;
}

static struct stwi_chunk *chunk_for(struct stwi_port *port, size_t need) {
  struct stwi_chunk *last = port->submit_last;
  if (last != NULL && last->size - last->used >= need) return last;
  uint32_t size = need > port->chunk_bytes ? (uint32_t)need : port->chunk_bytes;
  struct stwi_chunk *chunk = stwi_chunk_new(size);
  if (chunk == NULL) return NULL;
  if (last != NULL) {
    last->next = chunk;
    if (port->chunk_bytes < CHUNK_MAX) port->chunk_bytes *= 2;
  } else {
    port->submit_first = chunk;
  }
  port->submit_last = chunk;
  return chunk;
}

static stw_status check_options(const struct stwi_port *port, const stw_send_options *options) {
  if (options == NULL) return STW_OK;
  if (options->struct_size < sizeof(stw_send_options)) {
    return stwi_error(STW_E_ARGUMENT, "stw_send_options.struct_size is not set; set it to "
                                      "sizeof(stw_send_options)");
  }
  if (options->key_size > 255 || (options->key_size > 0 && options->key == NULL)) {
    return stwi_error(STW_E_ARGUMENT, "a message key has 1 to 255 bytes, this one has %zu",
                      options->key_size);
  }
  stw_guarantee guarantee = options->guarantee;
  if (guarantee == STW_EXACTLY_ONCE || guarantee >= STW_GUARANTEE_COUNT) {
    return stwi_error(STW_E_GUARANTEE, "conn %llx speaks the plain profile, which cannot give "
                                       "exactly_once; use at_least_once or at_most_once",
                      (unsigned long long)port->handle.id);
  }
  return STW_OK;
}

static stw_status check_size(const struct stwi_port *port, const stw_payload *payload) {
  if (payload->data == NULL && payload->size > 0) {
    return stwi_error(STW_E_ARGUMENT, "message data is NULL but its size is %zu", payload->size);
  }
  if (payload->size <= port->message_max) return STW_OK;
  return stwi_error(STW_E_TOO_BIG, "a message of %zu bytes is over max_message (%llu); split it or "
                                   "raise max_message",
                    payload->size, (unsigned long long)port->message_max);
}

static bool is_over(const struct stwi_port *port, size_t size) {
  uint64_t messages = port->last_number - port->released_messages;
  uint64_t bytes = port->admitted_bytes - port->released_bytes;
  return messages >= port->messages_max || bytes + size > port->bytes_max;
}

/* The dropping policies admit over the bound, the outbox drops: up to twice the bound in passing. */
static bool is_refused(const struct stwi_port *port, size_t size) {
  if (!is_over(port, size)) return false;
  if (port->overflow == STWI_OVERFLOW_REJECT) return true;
  uint64_t messages = port->last_number - port->released_messages;
  uint64_t bytes = port->admitted_bytes - port->released_bytes;
  return messages >= 2 * port->messages_max || bytes + size > 2 * port->bytes_max;
}

static stw_status admit_one(struct stwi_port *port, const stw_payload *payload,
                            const stw_send_options *options) {
  stw_status status = check_size(port, payload);
  if (status != STW_OK) return status;
  if (is_refused(port, payload->size)) {
    port->wants_room = true;
    return stwi_error(STW_E_FULL, "the outbox holds %llu messages, %llu bytes (outbox_messages %llu, "
                                  "outbox_bytes %llu); wait for the event outbox_room",
                      (unsigned long long)(port->last_number - port->released_messages),
                      (unsigned long long)(port->admitted_bytes - port->released_bytes),
                      (unsigned long long)port->messages_max, (unsigned long long)port->bytes_max);
  }
  uint8_t key_size = options == NULL ? 0 : (uint8_t)options->key_size;
  struct stwi_chunk *chunk = chunk_for(port, stwi_msg_footprint(key_size, payload->size));
  struct stwi_msg *msg =
      chunk == NULL ? NULL
                    : stwi_chunk_append(chunk, options == NULL ? NULL : options->key, key_size,
                                        payload->data, (uint32_t)payload->size);
  if (msg == NULL) return stwi_error(STW_E_MEMORY, "no memory for a message of %zu bytes", payload->size);
  msg->is_refused = port->overflow == STWI_OVERFLOW_DROP_NEWEST && is_over(port, payload->size);
  msg->number = ++port->last_number;
  port->admitted_bytes += payload->size;
  msg->is_text = options != NULL && options->is_text;
  msg->ttl_ns = options == NULL ? 0 : options->ttl_ms * STWI_MS;
  msg->guarantee = (uint8_t)(options == NULL ? port->guarantee : options->guarantee);
  return STW_OK;
}

static stw_status refuse_closed(const struct stwi_port *port) {
  return stwi_error(STW_E_CLOSED, "conn %llx is closing, closed or failed; open a new one",
                    (unsigned long long)port->handle.id);
}

stw_status stwi_port_admit(struct stwi_port *port, const stw_payload *payloads, size_t count,
                           const stw_send_options *options, size_t *taken, uint64_t *first) {
  stw_status status = check_options(port, options);
  *taken = 0;
  if (status != STW_OK) return status;
  pthread_mutex_lock(&port->lock);
  *first = port->last_number + 1;
  if (port->is_refusing) status = refuse_closed(port);
  while (status == STW_OK && *taken < count) {
    status = admit_one(port, &payloads[*taken], options);
    if (status == STW_OK) (*taken)++;
  }
  bool is_new = *taken > 0 && !port->is_submitted;
  if (is_new) port->is_submitted = true;
  pthread_mutex_unlock(&port->lock);
  if (is_new) stwi_engine_submit(port);
  return status;
}
