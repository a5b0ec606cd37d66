#include "client/port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/engine.h"
#include "client/error.h"
#include "client/mailbox.h"
#include "client/spare.h"

#define CHUNK_MIN 512u
#define CHUNK_MAX 32768u

struct stwi_port *stwi_port_new(struct stwi_engine *engine, struct stwi_mailbox *mailbox,
                                const struct stwi_conn_config *config, uint64_t stream) {
  struct stwi_port *port = calloc(1, sizeof *port);
  if (port == NULL)
    return NULL;
  atomic_init(&port->refs, 1);
  pthread_mutex_init(&port->lock, NULL);
  port->engine = engine;
  stwi_engine_hold(engine);
  port->mailbox = mailbox;
  stwi_mailbox_hold(mailbox);
  port->chunk_bytes = CHUNK_MIN;
  port->messages_max = config->outbox_messages;
  port->bytes_max = config->outbox_bytes;
  bool is_narrow = config->outbox_bytes < config->max_message;
  port->message_max = is_narrow ? config->outbox_bytes : config->max_message;
  port->message_limit = is_narrow ? "outbox_bytes" : "max_message";
  port->guarantee = config->guarantee;
  port->overflow = config->outbox_overflow;
  port->stream = stream;
  port->view.stream.stream = stream;
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
  stwi_chunk_free_list(port->submit_first);
  stwi_box_fini(&port->box);
  stwi_mailbox_drop(port->mailbox);
  stwi_engine_drop(port->engine);
  pthread_mutex_destroy(&port->lock);
  free(port);
}

static struct stwi_chunk *take_chunks(struct stwi_port *port) {
  struct stwi_chunk *chunks = port->submit_first;
  if (port->submit_last == chunks && chunks != NULL && chunks->used * 2 < chunks->size &&
      port->chunk_bytes > CHUNK_MIN) {
    port->chunk_bytes /= 2;
  }
  port->submit_first = port->submit_last = NULL;
  return chunks;
}

struct stwi_news stwi_port_collect(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  struct stwi_news news = {take_chunks(port), port->has_box_room, port->is_forgotten,
                           port->wants_room};
  port->has_box_room = port->is_forgotten = false;
  port->is_submitted = false;
  pthread_mutex_unlock(&port->lock);
  return news;
}

struct stwi_chunk *stwi_port_collect_early(struct stwi_port *port, bool refuse) {
  pthread_mutex_lock(&port->lock);
  struct stwi_chunk *chunks = take_chunks(port);
  if (refuse)
    port->is_refusing = true;
  pthread_mutex_unlock(&port->lock);
  return chunks;
}

/* Unlocks; the engine looks at a port at most once for all news. */
static void unlock_and_tell(struct stwi_port *port) {
  bool is_new = !port->is_submitted;
  port->is_submitted = true;
  pthread_mutex_unlock(&port->lock);
  if (is_new)
    stwi_engine_submit(port);
}

void stwi_port_tell_room(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  port->has_box_room = true;
  unlock_and_tell(port);
}

void stwi_port_tell_forget(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  port->is_forgotten = port->is_refusing = true;
  unlock_and_tell(port);
}

void stwi_port_tell_drained(struct stwi_port *port) {
  pthread_mutex_lock(&port->lock);
  if (port->wants_room) {
    unlock_and_tell(port);
  } else {
    pthread_mutex_unlock(&port->lock);
  }
}

static struct stwi_chunk *chunk_for(struct stwi_port *port, size_t need) {
  struct stwi_chunk *last = port->submit_last;
  if (last != NULL && last->size - last->used >= need)
    return last;
  size_t size = sizeof(struct stwi_chunk) + (need > port->chunk_bytes ? need : port->chunk_bytes);
  void *memory = stwi_spare_take(&size);
  if (memory == NULL)
    return NULL;
  struct stwi_chunk *chunk = stwi_chunk_in(memory, size, stwi_spare_give);
  if (last != NULL) {
    last->next = chunk;
    if (port->chunk_bytes < CHUNK_MAX)
      port->chunk_bytes *= 2;
  } else {
    port->submit_first = chunk;
  }
  port->submit_last = chunk;
  return chunk;
}

static stw_status check_options(const struct stwi_port *port, const stw_send_options *options) {
  stw_guarantee guarantee = options == NULL ? port->guarantee : options->guarantee;
  if (options != NULL && options->struct_size < sizeof(stw_send_options)) {
    return stwi_error(STW_E_ARGUMENT, "stw_send_options.struct_size is not set; set it to "
                                      "sizeof(stw_send_options)");
  }
  if (options != NULL && options->key == NULL && options->key_size > 0) {
    return stwi_error(STW_E_ARGUMENT, "a message key is NULL but its size is %zu; set both or none",
                      options->key_size);
  }
  if (options != NULL && options->key_size > 255) {
    return stwi_error(STW_E_ARGUMENT, "a message key has 1 to 255 bytes, this one has %zu",
                      options->key_size);
  }
  if (guarantee == STW_EXACTLY_ONCE || guarantee >= STW_GUARANTEE_COUNT) {
    return stwi_error(STW_E_GUARANTEE,
                      "conn %llx speaks the plain profile, which cannot give "
                      "exactly_once; use at_least_once or at_most_once",
                      (unsigned long long)port->handle.id);
  }
  return STW_OK;
}

static stw_status check_size(const struct stwi_port *port, const stw_payload *payload) {
  if (payload->data == NULL && payload->size > 0) {
    return stwi_error(STW_E_ARGUMENT, "message data is NULL but its size is %zu", payload->size);
  }
  if (payload->size <= port->message_max)
    return STW_OK;
  return stwi_error(STW_E_TOO_BIG, "a message of %zu bytes is over %s (%llu); split it or raise %s",
                    payload->size, port->message_limit, (unsigned long long)port->message_max,
                    port->message_limit);
}

/* Is there no room for `size` bytes more within `times` the bounds? */
static bool is_over(const struct stwi_port *port, uint64_t size, uint64_t times) {
  uint64_t messages = port->last_number - port->released_messages + port->ends_waiting;
  uint64_t bytes = port->admitted_bytes - port->released_bytes;
  return messages >= times * port->messages_max || bytes + size > times * port->bytes_max;
}

bool stwi_port_has_room(const struct stwi_port *port) {
  return !is_over(port, port->room_bytes, port->room_times);
}

/* The dropping policies admit over the bounds and the outbox drops; of a coalescing one only what
 * has a key, and so can replace or be replaced.  Up to twice the bounds in passing. */
static uint64_t bounds_of(const struct stwi_port *port, uint8_t key_size) {
  bool is_strict = port->overflow == STWI_OVERFLOW_REJECT ||
                   (port->overflow == STWI_OVERFLOW_COALESCE && key_size == 0);
  return is_strict ? 1 : 2;
}

static stw_status refuse_full(struct stwi_port *port, uint64_t size, uint64_t times) {
  port->wants_room = true;
  port->room_bytes = size;
  port->room_times = times;
  uint64_t ends = port->ends_waiting;
  char undrained[96] = "";
  if (ends > 0) {
    snprintf(undrained, sizeof undrained,
             ", and %llu events of ended ones wait in the mailbox: "
             "drain it",
             (unsigned long long)ends);
  }
  return stwi_error(STW_E_FULL,
                    "the outbox holds %llu messages, %llu bytes (outbox_messages %llu, "
                    "outbox_bytes %llu)%s; wait for the event outbox_room",
                    (unsigned long long)(port->last_number - port->released_messages),
                    (unsigned long long)(port->admitted_bytes - port->released_bytes),
                    (unsigned long long)port->messages_max, (unsigned long long)port->bytes_max,
                    undrained);
}

static uint64_t ttl_ns(const stw_send_options *options) {
  if (options == NULL)
    return 0;
  return options->ttl_ms < STWI_NEVER / STWI_MS ? options->ttl_ms * STWI_MS : STWI_NEVER;
}

static stw_status admit_one(struct stwi_port *port, const stw_payload *payload,
                            const stw_send_options *options) {
  stw_status status = check_size(port, payload);
  if (status != STW_OK)
    return status;
  uint8_t key_size = options == NULL ? 0 : (uint8_t)options->key_size;
  uint64_t times = bounds_of(port, key_size);
  if (is_over(port, payload->size, times))
    return refuse_full(port, payload->size, times);
  struct stwi_chunk *chunk = chunk_for(port, stwi_msg_footprint(key_size, payload->size));
  struct stwi_msg *msg = chunk == NULL
                             ? NULL
                             : stwi_chunk_append(chunk, options == NULL ? NULL : options->key,
                                                 key_size, payload->data, (uint32_t)payload->size);
  if (msg == NULL)
    return stwi_error(STW_E_MEMORY, "no memory for a message of %zu bytes", payload->size);
  msg->is_refused = port->overflow == STWI_OVERFLOW_DROP_NEWEST && is_over(port, payload->size, 1);
  msg->number = ++port->last_number;
  msg->id = (stw_message_id){port->stream, msg->number};
  port->admitted_bytes += payload->size;
  msg->is_text = options != NULL && options->is_text;
  msg->ttl_ns = ttl_ns(options);
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
  if (status != STW_OK)
    return status;
  pthread_mutex_lock(&port->lock);
  *first = port->last_number + 1;
  if (port->is_refusing)
    status = refuse_closed(port);
  while (status == STW_OK && *taken < count) {
    status = admit_one(port, &payloads[*taken], options);
    if (status == STW_OK)
      (*taken)++;
  }
  if (*taken > 0) {
    unlock_and_tell(port);
  } else {
    pthread_mutex_unlock(&port->lock);
  }
  return status;
}
