#include "client/port_inside.h"

#include <sched.h>
#include <stddef.h>
#include <stdio.h>

#include "client/error.h"
#include "client/port_store.h"
#include "client/spare.h"

#define CHUNK_MAX 32768u
#define ASIDE_MAX 1000u

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

/* A caller built before the lanes has no such field. */
#define OPTIONS_SIZE_MIN (offsetof(stw_send_options, key_size) + sizeof(size_t))

static stw_lane lane_of(const stw_send_options *options) {
  bool has_lane = options != NULL && options->struct_size >= sizeof(stw_send_options);
  return has_lane ? options->lane : STW_LANE_DATA;
}

static stw_status check_guarantee(const struct stwi_port *port, unsigned guarantee) {
  if (guarantee < STW_EXACTLY_ONCE ||
      (guarantee == STW_EXACTLY_ONCE && port->profile == STWI_PROFILE_SESSION))
    return STW_OK;
  return stwi_error(STW_E_GUARANTEE,
                    "conn %llx has profile = plain, which cannot give exactly_once; use "
                    "at_least_once or at_most_once, or open it with profile = session",
                    (unsigned long long)port->handle.id);
}

static stw_status check_options(const struct stwi_port *port, const stw_send_options *options) {
  if (options == NULL)
    return STW_OK;
  if (options->struct_size < OPTIONS_SIZE_MIN) {
    return stwi_error(STW_E_ARGUMENT, "stw_send_options.struct_size is not set; set it to "
                                      "sizeof(stw_send_options)");
  }
  if (options->key == NULL && options->key_size > 0) {
    return stwi_error(STW_E_ARGUMENT, "a message key is NULL but its size is %zu; set both or none",
                      options->key_size);
  }
  if (options->key_size > UINT8_MAX) {
    return stwi_error(STW_E_ARGUMENT, "a message key has 1 to 255 bytes, this one has %zu",
                      options->key_size);
  }
  if ((unsigned)lane_of(options) >= STW_LANE_COUNT) {
    return stwi_error(STW_E_ARGUMENT, "no such lane: %d; use STW_LANE_DATA or STW_LANE_CONTROL",
                      (int)options->lane);
  }
  return check_guarantee(port, (unsigned)options->guarantee);
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
  uint64_t messages = port->admitted_messages - port->released_messages + port->ends_waiting;
  uint64_t bytes = port->admitted_bytes - port->released_bytes;
  return messages >= times * port->messages_max || bytes + size > times * port->bytes_max;
}

bool stwi_port_has_room(const struct stwi_port *port) {
  return !stwi_port_store_is_ill(port) && !is_over(port, port->room_bytes, port->room_times);
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
                    (unsigned long long)(port->admitted_messages - port->released_messages),
                    (unsigned long long)(port->admitted_bytes - port->released_bytes),
                    (unsigned long long)port->messages_max, (unsigned long long)port->bytes_max,
                    undrained);
}

static uint64_t ttl_ns(const stw_send_options *options) {
  if (options == NULL)
    return 0;
  return options->ttl_ms < STWI_NEVER / STWI_MS ? options->ttl_ms * STWI_MS : STWI_NEVER;
}

/* Gives it its place and its id. */
static void number(struct stwi_port *port, struct stwi_msg *msg, stw_lane lane) {
  msg->lane = (uint8_t)lane;
  msg->number = ++port->last_number[lane];
  msg->id = (stw_message_id){port->stream | (uint64_t)lane, msg->number};
}

static struct stwi_msg *append(struct stwi_port *port, const void *key, uint8_t key_size,
                               const void *body, uint32_t size) {
  struct stwi_chunk *chunk = chunk_for(port, stwi_msg_footprint(key_size, size));
  return chunk == NULL ? NULL : stwi_chunk_append(chunk, key, key_size, body, size);
}

static stw_status no_memory(size_t size) {
  return stwi_error(STW_E_MEMORY, "no memory for a message of %zu bytes", size);
}

static stw_status admit_one(struct stwi_port *port, const stw_payload *payload,
                            const stw_send_options *options, stw_lane lane) {
  stw_status status = check_size(port, payload);
  if (status != STW_OK)
    return status;
  uint8_t key_size = options == NULL ? 0 : (uint8_t)options->key_size;
  uint64_t times = bounds_of(port, key_size);
  if (is_over(port, payload->size, times))
    return refuse_full(port, payload->size, times);
  struct stwi_msg *msg = append(port, options == NULL ? NULL : options->key, key_size,
                                payload->data, (uint32_t)payload->size);
  if (msg == NULL)
    return no_memory(payload->size);
  msg->is_refused = port->overflow == STWI_OVERFLOW_DROP_NEWEST && is_over(port, payload->size, 1);
  number(port, msg, lane);
  port->admitted_messages++;
  port->admitted_bytes += payload->size;
  msg->is_text = options != NULL && options->is_text;
  msg->ttl_ns = ttl_ns(options);
  msg->guarantee = (uint8_t)(options == NULL ? port->guarantee : options->guarantee);
  return STW_OK;
}

stw_status stwi_port_check_taking(struct stwi_port *port) {
  if (port->is_refusing) {
    return stwi_error(STW_E_CLOSED, "conn %llx is closing, closed or failed; open a new one",
                      (unsigned long long)port->handle.id);
  }
  return stwi_port_store_check(port);
}

/* Bounded: an engine that has stopped asks no more. */
static void step_aside(const struct stwi_port *port) {
  for (unsigned i = 0; i < ASIDE_MAX && atomic_load(&port->engine_waits) > 0; i++)
    sched_yield();
}

stw_status stwi_port_admit(struct stwi_port *port, const stw_payload *payloads, size_t count,
                           const stw_send_options *options, size_t *taken, stw_message_id *first) {
  stw_status status = check_options(port, options);
  *taken = 0;
  if (status != STW_OK)
    return status;
  const stw_lane lane = lane_of(options);
  pthread_mutex_lock(&port->lock);
  *first = (stw_message_id){port->stream | (uint64_t)lane, port->last_number[lane] + 1};
  status = stwi_port_check_taking(port);
  while (status == STW_OK && *taken < count) {
    status = admit_one(port, &payloads[*taken], options, lane);
    if (status == STW_OK)
      (*taken)++;
  }
  if (*taken > 0) {
    stwi_port_unlock_and_tell(port);
  } else {
    pthread_mutex_unlock(&port->lock);
    step_aside(port);
  }
  return status;
}

/* ---- what is in an outbox already, and what was in another one ---- */

stw_status stwi_port_admit_move(struct stwi_port *port, stw_message_id id, stw_lane lane) {
  pthread_mutex_lock(&port->lock);
  stw_status status = stwi_port_check_taking(port);
  struct stwi_msg *msg = status == STW_OK ? append(port, NULL, 0, NULL, 0) : NULL;
  if (msg != NULL) {
    number(port, msg, lane);
    msg->id = id;
    msg->is_move = true;
    stwi_port_unlock_and_tell(port);
    return STW_OK;
  }
  pthread_mutex_unlock(&port->lock);
  return status == STW_OK ? no_memory(0) : status;
}

/* All of a list at once, so that nothing is taken where one is refused. */
struct sum {
  uint64_t messages, bytes;
};

static stw_status check_copy(const struct stwi_port *port, const struct stwi_msg *msg) {
  const stw_payload payload = {stwi_msg_body(msg), msg->size};
  stw_status status = check_size(port, &payload);
  if (status == STW_OK)
    status = check_guarantee(port, msg->guarantee);
  const unsigned lane = msg->id.stream & 1;
  if (status != STW_OK || msg->id.stream != (port->stream | lane) ||
      msg->id.number <= port->last_number[lane])
    return status;
  return stwi_error(STW_E_FORMAT,
                    "the export has message %llu of the %s lane of this outbox, which "
                    "has given only %llu; it is from a newer copy of its file",
                    (unsigned long long)msg->id.number, lane == STW_LANE_DATA ? "data" : "control",
                    (unsigned long long)port->last_number[lane]);
}

static stw_status check_copies(struct stwi_port *port, struct stwi_chunk *chunks, struct sum *sum) {
  *sum = (struct sum){0, 0};
  for (struct stwi_msg *msg = stwi_chunks_first(chunks); msg != NULL;
       msg = stwi_chunks_after(msg)) {
    stw_status status = check_copy(port, msg);
    if (status != STW_OK)
      return status;
    sum->messages++;
    sum->bytes += msg->size;
  }
  uint64_t standing = port->admitted_messages - port->released_messages + port->ends_waiting;
  uint64_t bytes = port->admitted_bytes - port->released_bytes;
  if (standing + sum->messages <= port->messages_max && bytes + sum->bytes <= port->bytes_max)
    return STW_OK;
  return stwi_error(
      STW_E_FULL,
      "the export has %llu messages, %llu bytes, and the outbox has room for %llu, "
      "%llu; raise outbox_messages or outbox_bytes, or wait",
      (unsigned long long)sum->messages, (unsigned long long)sum->bytes,
      (unsigned long long)(port->messages_max -
                           (standing < port->messages_max ? standing : port->messages_max)),
      (unsigned long long)(port->bytes_max - (bytes < port->bytes_max ? bytes : port->bytes_max)));
}

static void number_copies(struct stwi_port *port, struct stwi_chunk *chunk) {
  for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg)) {
    const stw_message_id id = msg->id;
    number(port, msg, (stw_lane)msg->lane);
    msg->id = id;
  }
}

stw_status stwi_port_admit_copies(struct stwi_port *port, struct stwi_chunk *chunks,
                                  uint64_t *count) {
  struct sum sum = {0, 0};
  pthread_mutex_lock(&port->lock);
  stw_status status = stwi_port_check_taking(port);
  if (status == STW_OK)
    status = check_copies(port, chunks, &sum);
  if (status != STW_OK || sum.messages == 0) {
    pthread_mutex_unlock(&port->lock);
    stwi_chunk_free_list(chunks);
    *count = 0;
    return status;
  }
  if (port->submit_last == NULL)
    port->submit_first = chunks;
  else
    port->submit_last->next = chunks;
  for (struct stwi_chunk *chunk = chunks; chunk != NULL; chunk = chunk->next) {
    number_copies(port, chunk);
    port->submit_last = chunk;
  }
  port->admitted_messages += sum.messages;
  port->admitted_bytes += sum.bytes;
  *count = sum.messages;
  stwi_port_unlock_and_tell(port);
  return STW_OK;
}
