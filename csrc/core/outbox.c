#include "core/outbox.h"

#include "core/keys.h"
#include "core/mem.h"
#include "core/outbox_inside.h"

#include <assert.h>

enum { FIRST_CAPACITY = 16, COMPACT_FROM = 16 };
#define COMPACT_BYTES 65536u

void stwi_outbox_init(struct stwi_outbox *outbox, uint64_t messages_max, uint64_t bytes_max,
                      enum stwi_overflow overflow) {
  *outbox = (struct stwi_outbox){.messages_max = messages_max,
                                 .bytes_max = bytes_max,
                                 .overflow = overflow,
                                 .next_expiry = STWI_NEVER};
}

static struct stwi_msg **place(const struct stwi_outbox *outbox, uint32_t offset) {
  return &outbox->ring[(outbox->head + offset) & (outbox->capacity - 1)];
}

static struct stwi_msg *at(const struct stwi_outbox *outbox, uint32_t offset) {
  return *place(outbox, offset);
}

static bool stands(const struct stwi_msg *msg) {
  return msg->state <= STW_MESSAGE_HELD;
}

static void release(struct stwi_chunk *chunk) {
  if (--chunk->live == 0)
    stwi_chunk_free(chunk);
}

static stwi_time due_of(const struct stwi_msg *msg) {
  if (msg->ttl_ns == 0 || msg->ttl_ns > STWI_NEVER - msg->admitted)
    return STWI_NEVER;
  return msg->admitted + msg->ttl_ns;
}

/* ---- the ring ---- */

static bool ring_reserve(struct stwi_outbox *outbox, uint64_t more) {
  const uint64_t wanted = outbox->count + more;
  uint64_t capacity = outbox->capacity == 0 ? FIRST_CAPACITY : outbox->capacity;
  while (capacity < wanted)
    capacity *= 2;
  if (capacity == outbox->capacity)
    return true;
  if (capacity > UINT32_MAX)
    return false;
  struct stwi_msg **ring = stwi_alloc(capacity * sizeof(*ring));
  if (ring == NULL)
    return false;
  for (uint32_t i = 0; i < outbox->count; i++)
    ring[i] = at(outbox, i);
  stwi_free(outbox->ring);
  outbox->ring = ring;
  outbox->head = 0;
  outbox->capacity = (uint32_t)capacity;
  return true;
}

static void ring_push(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  outbox->count++;
  *place(outbox, outbox->count - 1) = msg;
}

/* Gives the place of an ended first message back. */
static void ring_pop(struct stwi_outbox *outbox) {
  struct stwi_msg *msg = at(outbox, 0);
  outbox->head = (outbox->head + 1) & (outbox->capacity - 1);
  outbox->count--;
  outbox->cursor -= outbox->cursor > 0;
  release(msg->home);
}

static void give_back_when_empty(struct stwi_outbox *outbox) {
  if (outbox->count > 0 || outbox->capacity <= STWI_OUTBOX_KEPT)
    return;
  stwi_free(outbox->ring);
  stwi_keys_free(outbox->keys);
  outbox->ring = NULL;
  outbox->keys = NULL;
  outbox->head = outbox->capacity = 0;
}

/* Closes the gaps that ended messages left in the middle. */
static void compact(struct stwi_outbox *outbox) {
  uint32_t kept = 0, cursor = 0;
  for (uint32_t i = 0; i < outbox->count; i++) {
    struct stwi_msg *msg = at(outbox, i);
    if (!stands(msg)) {
      release(msg->home);
      continue;
    }
    cursor += i < outbox->cursor;
    *place(outbox, kept++) = msg;
  }
  outbox->count = kept;
  outbox->cursor = cursor;
  outbox->ended = 0;
  outbox->ended_bytes = 0;
}

static bool is_full_of_gaps(const struct stwi_outbox *outbox) {
  const uint64_t worth = outbox->bytes + outbox->count * sizeof(struct stwi_msg) + COMPACT_BYTES;
  return (outbox->ended >= COMPACT_FROM && outbox->ended > outbox->count / 2) ||
         outbox->ended_bytes > worth;
}

/* Keeps the promises about the ring after messages have ended in their places. */
static void tidy(struct stwi_outbox *outbox) {
  while (outbox->count > 0 && !stands(at(outbox, 0))) {
    outbox->ended--;
    outbox->ended_bytes -= at(outbox, 0)->size;
    ring_pop(outbox);
  }
  if (is_full_of_gaps(outbox))
    compact(outbox);
  if (outbox->is_cautious)
    stwi_poison_calm(outbox);
  give_back_when_empty(outbox);
}

/* ---- ends ---- */

/* The end waits for its collector; its chunk stays until then. */
static void file_end(struct stwi_outbox *outbox, struct stwi_msg *msg, stw_cause cause) {
  msg->cause = (uint16_t)cause;
  msg->next_end = NULL;
  msg->home->live++;
  if (outbox->ends == NULL)
    outbox->ends = msg;
  else
    outbox->last_end->next_end = msg;
  outbox->last_end = msg;
  outbox->end_count++;
}

/* Ends a message in its place; the ring is tidied by the caller, once per batch. */
static void end_in_place(struct stwi_outbox *outbox, struct stwi_msg *msg,
                         enum stwi_msg_input input, stw_cause cause) {
  const stw_message_state next = stwi_msg_next(msg->state, input, msg->guarantee);
  assert(next != STW_MESSAGE_STATE_COUNT);
  outbox->inflight -= msg->state == STW_MESSAGE_INFLIGHT;
  if (msg->key_size > 0)
    stwi_keys_remove(outbox->keys, msg);
  msg->state = (uint8_t)next;
  outbox->counts[next]++;
  outbox->messages--;
  outbox->bytes -= msg->size;
  outbox->ended++;
  outbox->ended_bytes += msg->size;
  file_end(outbox, msg, cause);
}

void stwi_outbox_end(struct stwi_outbox *outbox, struct stwi_msg *msg, enum stwi_msg_input input,
                     stw_cause cause) {
  end_in_place(outbox, msg, input, cause);
  tidy(outbox);
}

size_t stwi_outbox_ends(struct stwi_outbox *outbox, struct stwi_msg_end *ends, size_t max) {
  size_t count = 0;
  while (count < max && outbox->ends != NULL) {
    struct stwi_msg *msg = outbox->ends;
    ends[count++] = (struct stwi_msg_end){msg->number, msg->id, (stw_lane)msg->lane, msg->state,
                                          (stw_cause)msg->cause};
    outbox->ends = msg->next_end;
    outbox->end_count--;
    release(msg->home);
  }
  return count;
}

void stwi_outbox_fini(struct stwi_outbox *outbox) {
  struct stwi_msg_end end;
  while (stwi_outbox_ends(outbox, &end, 1) > 0)
    continue;
  while (outbox->count > 0)
    ring_pop(outbox);
  stwi_free(outbox->ring);
  stwi_keys_free(outbox->keys);
  stwi_outbox_init(outbox, outbox->messages_max, outbox->bytes_max, outbox->overflow);
}

/* ---- taking ---- */

/* Room for what `chunks` bring to one lane, or to all where `lane` is STW_LANE_COUNT. */
static bool reserve(struct stwi_outbox *outbox, struct stwi_chunk *chunks, unsigned lane) {
  uint64_t messages = 0, keyed = 0;
  for (struct stwi_chunk *chunk = chunks; chunk != NULL; chunk = chunk->next) {
    if (lane == STW_LANE_COUNT) {
      messages += chunk->count;
      keyed += chunk->keyed;
      continue;
    }
    for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg)) {
      if (msg->lane != lane)
        continue;
      messages++;
      keyed += msg->key_size > 0;
    }
  }
  if (messages > UINT32_MAX)
    return false;
  return (messages == 0 || ring_reserve(outbox, messages)) &&
         (keyed == 0 || stwi_keys_reserve(&outbox->keys, (uint32_t)keyed));
}

static bool is_over(const struct stwi_outbox *outbox) {
  const struct stwi_outbox *beside = outbox->beside;
  const uint64_t messages = outbox->messages + (beside == NULL ? 0 : beside->messages);
  const uint64_t bytes = outbox->bytes + (beside == NULL ? 0 : beside->bytes);
  return messages > outbox->messages_max || bytes > outbox->bytes_max;
}

/* Ends the oldest queued messages, all but the newest, until the rest is within the bounds. */
static void drop_oldest(struct stwi_outbox *outbox) {
  while (!stands(at(outbox, outbox->cursor)))
    outbox->cursor++;
  for (uint32_t i = outbox->cursor; i + 1 < outbox->count && is_over(outbox); i++) {
    struct stwi_msg *msg = at(outbox, i);
    if (msg->state == STW_MESSAGE_QUEUED)
      end_in_place(outbox, msg, STWI_MSG_DROP, STW_CAUSE_REQUESTED);
  }
}

static void replace_by_key(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  struct stwi_msg *old = stwi_keys_put(outbox->keys, msg);
  if (old != NULL && old->state != STW_MESSAGE_INFLIGHT)
    end_in_place(outbox, old, STWI_MSG_DROP, STW_CAUSE_SUPERSEDED);
}

static void refuse(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  msg->state = STW_MESSAGE_DROPPED;
  outbox->counts[STW_MESSAGE_DROPPED]++;
  file_end(outbox, msg, STW_CAUSE_REQUESTED);
}

static void take_one(struct stwi_outbox *outbox, struct stwi_msg *msg, stwi_time now) {
  assert(msg->number > outbox->taken);
  outbox->taken = msg->number;
  if (msg->is_move)
    return;
  msg->admitted = now;
  msg->attempts = 0;
  msg->proof = STW_PROOF_NONE;
  msg->state = STW_MESSAGE_QUEUED;
  if (msg->is_refused) {
    refuse(outbox, msg);
    return;
  }
  msg->home->live++;
  ring_push(outbox, msg);
  outbox->messages++;
  outbox->bytes += msg->size;
  const stwi_time due = due_of(msg);
  if (due < outbox->next_expiry)
    outbox->next_expiry = due;
  if (msg->key_size > 0)
    replace_by_key(outbox, msg);
  if (is_over(outbox) && outbox->overflow == STWI_OVERFLOW_DROP_OLDEST)
    drop_oldest(outbox);
  if (outbox->ended > 0)
    tidy(outbox);
}

/* `lanes` has one or both of them. */
static bool take_all(struct stwi_outbox *lanes, unsigned count, struct stwi_chunk *chunks,
                     stwi_time now) {
  bool has_room = true;
  for (unsigned lane = 0; lane < count; lane++)
    has_room = has_room && reserve(&lanes[lane], chunks, count == 1 ? STW_LANE_COUNT : lane);
  while (has_room && chunks != NULL) {
    struct stwi_chunk *chunk = chunks;
    chunks = chunk->next;
    chunk->live = 1; /* held while it is walked */
    for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg))
      take_one(&lanes[count == 1 ? 0 : msg->lane], msg, now);
    release(chunk);
  }
  for (unsigned lane = 0; lane < count; lane++)
    give_back_when_empty(&lanes[lane]);
  return has_room;
}

bool stwi_outbox_take(struct stwi_outbox *outbox, struct stwi_chunk *chunks, stwi_time now) {
  return take_all(outbox, 1, chunks, now);
}

bool stwi_lanes_take(struct stwi_outbox lanes[STW_LANE_COUNT], struct stwi_chunk *chunks,
                     stwi_time now) {
  return take_all(lanes, STW_LANE_COUNT, chunks, now);
}

/* ---- writing ---- */

uint64_t stwi_outbox_inflight(const struct stwi_outbox *outbox) {
  return outbox->inflight + (outbox->beside == NULL ? 0 : outbox->beside->inflight);
}

struct stwi_msg *stwi_outbox_next(struct stwi_outbox *outbox, stwi_time now) {
  const struct stwi_outbox *beside = outbox->beside;
  const bool is_cautious = outbox->is_cautious || (beside != NULL && beside->is_cautious);
  if (is_cautious && stwi_outbox_inflight(outbox) > 0)
    return NULL;
  while (outbox->cursor < outbox->count) {
    struct stwi_msg *msg = at(outbox, outbox->cursor);
    if (msg->state == STW_MESSAGE_HELD)
      return NULL;
    if (!stands(msg))
      outbox->cursor++;
    else if (due_of(msg) > now)
      return msg;
    else
      stwi_outbox_end(outbox, msg, STWI_MSG_EXPIRE, STW_CAUSE_REQUESTED);
  }
  return NULL;
}

void stwi_outbox_wrote(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  assert(at(outbox, outbox->cursor) == msg && msg->state == STW_MESSAGE_QUEUED);
  msg->state = STW_MESSAGE_INFLIGHT;
  outbox->replayed += msg->attempts > 0;
  msg->attempts++;
  outbox->inflight++;
  outbox->written_upto = msg->number;
  outbox->cursor++;
}

/* ---- evidence ---- */

/* Settles from the front: what was written on this link up to `upto`. */
static void settle(struct stwi_outbox *outbox, uint64_t upto) {
  while (outbox->cursor > 0 && at(outbox, 0)->number <= upto) {
    struct stwi_msg *msg = at(outbox, 0);
    if (msg->state == STW_MESSAGE_INFLIGHT) {
      if (msg->key_size > 0)
        stwi_keys_remove(outbox->keys, msg);
      msg->state = STW_MESSAGE_SETTLED;
      outbox->inflight--;
      outbox->messages--;
      outbox->bytes -= msg->size;
      outbox->counts[STW_MESSAGE_SETTLED]++;
    } else {
      outbox->ended--;
      outbox->ended_bytes -= msg->size;
    }
    ring_pop(outbox);
  }
}

/* The offset of the first message with a number > after. */
static uint32_t seek(const struct stwi_outbox *outbox, uint64_t after) {
  uint32_t low = 0, high = outbox->count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (at(outbox, middle)->number > after)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

/* Marks what was written on this link after `from` up to `upto`: past `from`, the highest number
 * known to have it, nothing has this proof or a stronger one. */
static void mark(struct stwi_outbox *outbox, uint64_t from, uint64_t upto, stw_proof proof) {
  for (uint32_t i = seek(outbox, from); i < outbox->cursor; i++) {
    struct stwi_msg *msg = at(outbox, i);
    if (msg->number > upto)
      break;
    msg->proof = (uint8_t)proof;
  }
}

bool stwi_outbox_prove(struct stwi_outbox *outbox, stw_proof proof, uint64_t upto,
                       stw_proof wanted) {
  if (upto > outbox->written_upto)
    upto = outbox->written_upto;
  const uint64_t known = outbox->proven[proof];
  for (unsigned weaker = 0; weaker <= proof; weaker++)
    if (outbox->proven[weaker] < upto)
      outbox->proven[weaker] = upto;
  if (proof >= wanted) {
    settle(outbox, upto);
    stwi_poison_proven(outbox, upto);
    tidy(outbox);
  } else if (upto > known) {
    mark(outbox, known, upto, proof);
  }
  return upto > known;
}

/* ---- the link is lost ---- */

static bool is_replaced(const struct stwi_outbox *outbox, const struct stwi_msg *msg) {
  if (msg->key_size == 0)
    return false;
  const struct stwi_msg *latest = stwi_keys_latest(outbox->keys, msg);
  return latest != NULL && latest != msg;
}

static void requeue(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  if (stwi_msg_next(msg->state, STWI_MSG_LINK_LOST, msg->guarantee) != STW_MESSAGE_QUEUED) {
    end_in_place(outbox, msg, STWI_MSG_LINK_LOST, STW_CAUSE_ABNORMAL_FIN);
    return;
  }
  msg->state = STW_MESSAGE_QUEUED;
  outbox->inflight--;
  if (is_replaced(outbox, msg))
    end_in_place(outbox, msg, STWI_MSG_DROP, STW_CAUSE_SUPERSEDED);
  else if (due_of(msg) < outbox->next_expiry)
    outbox->next_expiry = due_of(msg);
}

void stwi_outbox_link_lost(struct stwi_outbox *outbox, uint64_t *messages, uint64_t *bytes) {
  *messages = *bytes = 0;
  for (uint32_t i = 0; i < outbox->cursor; i++) {
    struct stwi_msg *msg = at(outbox, i);
    if (!stands(msg))
      continue;
    requeue(outbox, msg);
    *messages += stands(msg);
    *bytes += stands(msg) ? msg->size : 0;
  }
  outbox->cursor = 0;
  outbox->written_upto = 0;
  tidy(outbox);
}

/* ---- time and the host ---- */

stwi_time stwi_outbox_expire(struct stwi_outbox *outbox, stwi_time now) {
  if (now < outbox->next_expiry)
    return outbox->next_expiry;
  stwi_time next = STWI_NEVER;
  for (uint32_t i = outbox->cursor; i < outbox->count; i++) {
    struct stwi_msg *msg = at(outbox, i);
    const stwi_time due = stands(msg) ? due_of(msg) : STWI_NEVER;
    if (due <= now)
      end_in_place(outbox, msg, STWI_MSG_EXPIRE, STW_CAUSE_REQUESTED);
    else if (due < next)
      next = due;
  }
  const stwi_time rest = now + outbox->count * STWI_US;
  if (next < rest)
    next = rest;
  outbox->next_expiry = next;
  tidy(outbox);
  return next;
}

struct stwi_msg *stwi_outbox_after(const struct stwi_outbox *outbox, uint64_t after) {
  for (uint32_t i = seek(outbox, after); i < outbox->count; i++)
    if (stands(at(outbox, i)))
      return at(outbox, i);
  return NULL;
}

struct stwi_msg *stwi_outbox_find(const struct stwi_outbox *outbox, uint64_t number) {
  struct stwi_msg *msg = number == 0 ? NULL : stwi_outbox_after(outbox, number - 1);
  return msg != NULL && msg->number == number ? msg : NULL;
}

stw_status stwi_outbox_cancel(struct stwi_outbox *outbox, uint64_t number) {
  struct stwi_msg *msg = stwi_outbox_find(outbox, number);
  if (msg == NULL)
    return STW_E_NOT_FOUND;
  if (msg->attempts > 0)
    return STW_E_STATE;
  stwi_outbox_end(outbox, msg, STWI_MSG_CANCEL, STW_CAUSE_REQUESTED);
  return STW_OK;
}

bool stwi_outbox_is_settled(const struct stwi_outbox *outbox) {
  return outbox->messages == 0;
}

bool stwi_outbox_has_inflight(const struct stwi_outbox *outbox) {
  return outbox->inflight > 0;
}

uint64_t stwi_outbox_last_written(const struct stwi_outbox *outbox) {
  return outbox->inflight > 0 ? outbox->written_upto : 0;
}
