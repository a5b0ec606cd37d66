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
                                 .stored_upto = UINT64_MAX,
                                 .next_expiry = STWI_NEVER};
}

static struct stwi_msg **place(const struct stwi_outbox *outbox, uint32_t offset) {
  return &outbox->ring[(outbox->head + offset) & (outbox->capacity - 1)];
}

static struct stwi_msg *at(const struct stwi_outbox *outbox, uint32_t offset) {
  return *place(outbox, offset);
}

static bool stands(const struct stwi_msg *msg) {
  return msg->state <= STW_MESSAGE_INFLIGHT;
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
  stwi_chunk_release(msg->home);
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
      stwi_chunk_release(msg->home);
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

void stwi_outbox_tell(struct stwi_outbox *outbox, enum stwi_store_op op,
                      const struct stwi_msg *msg) {
  if (outbox->tell == NULL)
    return;
  const struct stwi_store_change change = {
      .op = op, .lane = outbox->lane, .number = msg->number, .id = msg->id, .msg = msg};
  outbox->tell(outbox->tell_to, &change);
}

void stwi_outbox_forget_surplus(struct stwi_outbox *outbox) {
  struct stwi_msg *msg;
  while ((msg = stwi_parked_surplus(outbox->parked)) != NULL) {
    stwi_outbox_tell(outbox, STWI_STORE_FORGET, msg);
    stwi_parked_remove(outbox->parked, msg);
    stwi_chunk_release(msg->home);
  }
}

static bool is_letter(const struct stwi_outbox *outbox, stw_message_state state) {
  return state == STW_MESSAGE_DEAD ||
         (state == STW_MESSAGE_UNKNOWN && outbox->fate == STWI_UNKNOWN_ASK);
}

/* A message that has left its place: parked where it is to be kept, else it is over. */
static void leave(struct stwi_outbox *outbox, struct stwi_msg *msg, bool is_kept) {
  if (is_kept && outbox->parked != NULL && stwi_parked_reserve(outbox->parked)) {
    stwi_outbox_tell(outbox, STWI_STORE_PARK, msg);
    stwi_parked_put(outbox->parked, msg);
    stwi_outbox_forget_surplus(outbox);
  } else {
    stwi_outbox_tell(outbox, STWI_STORE_REMOVE, msg);
  }
}

/* The end waits for its collector; its chunk stays until then. */
void stwi_outbox_file_end(struct stwi_outbox *outbox, struct stwi_msg *msg, stw_cause cause) {
  msg->cause = (uint16_t)cause;
  msg->next_end = NULL;
  msg->is_end_due = true;
  msg->home->live++;
  if (outbox->ends == NULL)
    outbox->ends = msg;
  else
    outbox->last_end->next_end = msg;
  outbox->last_end = msg;
  outbox->end_count++;
}

static bool is_stranger(const struct stwi_outbox *outbox, const struct stwi_msg *msg) {
  return msg->id.number != msg->number || msg->id.stream != outbox->stream;
}

/* A standing message stands no longer. */
static void uncount(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  if (msg->key_size > 0)
    stwi_keys_remove(outbox->keys, msg);
  outbox->messages--;
  outbox->bytes -= msg->size;
  outbox->strangers -= is_stranger(outbox, msg);
}

static void fly(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  msg->state = STW_MESSAGE_INFLIGHT;
  outbox->inflight++;
  outbox->inflight_bytes += msg->size;
}

static void land(struct stwi_outbox *outbox, const struct stwi_msg *msg) {
  outbox->inflight--;
  outbox->inflight_bytes -= msg->size;
}

/* Ends a message in its place, or parks it; the ring is tidied by the caller, once per batch. */
static void end_in_place(struct stwi_outbox *outbox, struct stwi_msg *msg,
                         enum stwi_msg_input input, stw_cause cause) {
  const stw_message_state next = stwi_msg_next(msg->state, input, msg->guarantee);
  assert(next != STW_MESSAGE_STATE_COUNT);
  if (msg->state == STW_MESSAGE_INFLIGHT)
    land(outbox, msg);
  uncount(outbox, msg);
  msg->state = (uint8_t)next;
  msg->cause = (uint16_t)cause;
  outbox->ended++;
  outbox->ended_bytes += msg->size;
  leave(outbox, msg, next == STW_MESSAGE_HELD || is_letter(outbox, next));
  if (next == STW_MESSAGE_HELD)
    return;
  outbox->counts[next]++;
  stwi_outbox_file_end(outbox, msg, cause);
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
    msg->ttl_ns = 0; /* a letter has none any more */
    msg->is_end_due = false;
    stwi_chunk_release(msg->home);
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

bool stwi_outbox_pull(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  const uint32_t offset = seek(outbox, msg->number - 1);
  if (msg->number == 0 || offset == outbox->count || at(outbox, offset) != msg)
    return false;
  if (stands(msg)) {
    uncount(outbox, msg);
  } else {
    outbox->ended--;
    outbox->ended_bytes -= msg->size;
  }
  outbox->cursor -= offset < outbox->cursor;
  for (uint32_t i = offset; i + 1 < outbox->count; i++)
    *place(outbox, i) = at(outbox, i + 1);
  outbox->count--;
  return true;
}

/* ---- taking ---- */

bool stwi_outbox_reserve(struct stwi_outbox *outbox, uint64_t messages, uint64_t keyed) {
  if (messages > UINT32_MAX)
    return false;
  return (messages == 0 || ring_reserve(outbox, messages)) &&
         (keyed == 0 || stwi_keys_reserve(&outbox->keys, (uint32_t)keyed));
}

static bool reserve(struct stwi_outbox *outbox, const struct stwi_chunk *chunks) {
  uint64_t messages = 0, keyed = 0;
  for (const struct stwi_chunk *chunk = chunks; chunk != NULL; chunk = chunk->next) {
    messages += chunk->count;
    keyed += chunk->keyed;
  }
  return stwi_outbox_reserve(outbox, messages, keyed);
}

static bool is_over(const struct stwi_outbox *outbox) {
  uint64_t messages = outbox->messages, bytes = outbox->bytes;
  if (outbox->beside != NULL) {
    messages += outbox->beside->messages + outbox->parked->held;
    bytes += outbox->beside->bytes + outbox->parked->held_bytes;
  }
  return messages > outbox->messages_max || bytes > outbox->bytes_max;
}

/* Ends the oldest queued messages, up to `keep` of the newest, until the rest is within the
 * bounds. */
static void drop_oldest(struct stwi_outbox *outbox, uint32_t keep) {
  for (uint32_t i = outbox->cursor; i + keep < outbox->count && is_over(outbox); i++) {
    struct stwi_msg *msg = at(outbox, i);
    if (msg->state == STW_MESSAGE_QUEUED)
      end_in_place(outbox, msg, STWI_MSG_DROP, STW_CAUSE_REQUESTED);
  }
}

/* The control lane's messages outlive those of the data lane. */
static void make_room(struct stwi_outbox *outbox) {
  if (outbox->beside != NULL && outbox->lane == STW_LANE_CONTROL) {
    drop_oldest(outbox->beside, 0);
    tidy(outbox->beside);
  }
  while (outbox->cursor < outbox->count && !stands(at(outbox, outbox->cursor)))
    outbox->cursor++;
  drop_oldest(outbox, 1);
}

static void replace_by_key(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  struct stwi_msg *old = stwi_keys_put(outbox->keys, msg);
  if (old != NULL && old->state != STW_MESSAGE_INFLIGHT)
    end_in_place(outbox, old, STWI_MSG_DROP, STW_CAUSE_SUPERSEDED);
}

static void refuse(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  msg->state = STW_MESSAGE_DROPPED;
  outbox->counts[STW_MESSAGE_DROPPED]++;
  stwi_outbox_file_end(outbox, msg, STW_CAUSE_REQUESTED);
}

void stwi_outbox_place(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  msg->home->live++;
  ring_push(outbox, msg);
  outbox->messages++;
  outbox->bytes += msg->size;
  outbox->strangers += is_stranger(outbox, msg);
  const stwi_time due = stwi_msg_due(msg);
  if (due < outbox->next_expiry)
    outbox->next_expiry = due;
}

void stwi_outbox_take_one(struct stwi_outbox *outbox, struct stwi_msg *msg, stwi_time now) {
  assert(msg->number > outbox->taken);
  outbox->taken = msg->number;
  msg->admitted = now;
  msg->attempts = 0;
  msg->proof = STW_PROOF_NONE;
  msg->state = STW_MESSAGE_QUEUED;
  if (msg->is_refused) {
    refuse(outbox, msg);
    return;
  }
  stwi_outbox_place(outbox, msg);
  stwi_outbox_tell(outbox, STWI_STORE_PUT, msg);
  if (msg->key_size > 0)
    replace_by_key(outbox, msg);
  if (is_over(outbox) && outbox->overflow == STWI_OVERFLOW_DROP_OLDEST)
    make_room(outbox);
  if (outbox->ended > 0)
    tidy(outbox);
}

void stwi_outbox_tidy(struct stwi_outbox *outbox) {
  tidy(outbox);
}

bool stwi_outbox_take(struct stwi_outbox *outbox, struct stwi_chunk *chunks, stwi_time now) {
  const bool has_room = reserve(outbox, chunks);
  while (has_room && chunks != NULL) {
    struct stwi_chunk *chunk = chunks;
    chunks = chunk->next;
    chunk->live = 1; /* held while it is walked */
    for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg))
      stwi_outbox_take_one(outbox, msg, now);
    stwi_chunk_release(chunk);
  }
  give_back_when_empty(outbox);
  return has_room;
}

/* ---- writing ---- */

uint64_t stwi_outbox_inflight(const struct stwi_outbox *outbox) {
  return outbox->inflight + (outbox->beside == NULL ? 0 : outbox->beside->inflight);
}

static bool may_write(const struct stwi_outbox *outbox, const struct stwi_msg *msg) {
  return msg->number <= outbox->stored_upto &&
         !(outbox->bars_exactly && msg->guarantee == STW_EXACTLY_ONCE);
}

struct stwi_msg *stwi_outbox_next(struct stwi_outbox *outbox, stwi_time now) {
  const struct stwi_outbox *beside = outbox->beside;
  const bool is_cautious = outbox->is_cautious || (beside != NULL && beside->is_cautious);
  if (is_cautious && stwi_outbox_inflight(outbox) > 0)
    return NULL;
  while (outbox->cursor < outbox->count) {
    struct stwi_msg *msg = at(outbox, outbox->cursor);
    if (!stands(msg))
      outbox->cursor++;
    else if (stwi_msg_due(msg) > now)
      return may_write(outbox, msg) ? msg : NULL;
    else
      stwi_outbox_end(outbox, msg, STWI_MSG_EXPIRE, STW_CAUSE_REQUESTED);
  }
  return NULL;
}

void stwi_outbox_wrote(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  assert(at(outbox, outbox->cursor) == msg && msg->state == STW_MESSAGE_QUEUED);
  fly(outbox, msg);
  outbox->replayed += msg->attempts > 0;
  msg->attempts++;
  outbox->written_upto = msg->number;
  outbox->cursor++;
}

/* ---- evidence ---- */

/* Later proofs, which other links may bring, say nothing of what has settled. */
static void note_settled(struct stwi_outbox *outbox, stw_proof proof, uint64_t upto) {
  if (upto <= outbox->settled)
    return;
  outbox->settled = upto;
  for (unsigned more = proof + 1; more < STW_PROOF_COUNT; more++)
    if (proof < STW_PROOF_ACCEPTED)
      outbox->short_of[more] = upto;
}

/* Settles from the front: what was written on this link up to `upto`. */
static void settle(struct stwi_outbox *outbox, stw_proof proof, uint64_t upto) {
  const uint32_t before = outbox->count;
  note_settled(outbox, proof, upto);
  while (outbox->cursor > 0 && at(outbox, 0)->number <= upto) {
    struct stwi_msg *msg = at(outbox, 0);
    if (msg->state == STW_MESSAGE_INFLIGHT) {
      const bool is_told = outbox->strangers > 0 && is_stranger(outbox, msg);
      uncount(outbox, msg);
      msg->state = STW_MESSAGE_SETTLED;
      land(outbox, msg);
      outbox->counts[STW_MESSAGE_SETTLED]++;
      if (is_told)
        stwi_outbox_file_end(outbox, msg, STW_CAUSE_REQUESTED);
    } else {
      outbox->ended--;
      outbox->ended_bytes -= msg->size;
    }
    ring_pop(outbox);
  }
  if (outbox->tell == NULL || outbox->count == before)
    return;
  const struct stwi_store_change change = {
      .op = STWI_STORE_SETTLED, .lane = outbox->lane, .number = upto};
  outbox->tell(outbox->tell_to, &change);
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
  const uint64_t known = outbox->proven[proof], settled = outbox->settled;
  if (upto <= outbox->short_of[proof])
    return false;
  for (unsigned weaker = 0; weaker <= proof; weaker++)
    if (outbox->proven[weaker] < upto)
      outbox->proven[weaker] = upto;
  if (proof >= wanted) {
    settle(outbox, proof, upto);
    stwi_poison_proven(outbox, upto);
    tidy(outbox);
  } else if (upto > known) {
    mark(outbox, known, upto, proof);
  }
  return upto > known || outbox->settled > settled;
}

uint64_t stwi_outbox_stored(struct stwi_outbox *outbox, uint64_t upto) {
  uint64_t news = 0;
  if (upto > outbox->taken)
    upto = outbox->taken;
  for (uint32_t i = seek(outbox, outbox->stored_upto); i < outbox->count; i++) {
    struct stwi_msg *msg = at(outbox, i);
    if (msg->number > upto)
      break;
    if (msg->proof >= STW_PROOF_STORED)
      continue;
    msg->proof = STW_PROOF_STORED;
    news++;
  }
  if (outbox->stored_upto < upto)
    outbox->stored_upto = upto;
  return news;
}

/* ---- the link is lost ---- */

static bool is_replaced(const struct stwi_outbox *outbox, const struct stwi_msg *msg) {
  if (msg->key_size == 0)
    return false;
  const struct stwi_msg *latest = stwi_keys_latest(outbox->keys, msg);
  return latest != NULL && latest->number > msg->number;
}

static bool is_doubtful(const struct stwi_outbox *outbox, const struct stwi_msg *msg) {
  return outbox->fate != STWI_UNKNOWN_REPLAY || msg->guarantee == STW_AT_MOST_ONCE;
}

static void requeue(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  if (is_doubtful(outbox, msg)) {
    end_in_place(outbox, msg, STWI_MSG_DOUBT, STW_CAUSE_ABNORMAL_FIN);
    return;
  }
  msg->state = STW_MESSAGE_QUEUED;
  land(outbox, msg);
  if (is_replaced(outbox, msg))
    end_in_place(outbox, msg, STWI_MSG_DROP, STW_CAUSE_SUPERSEDED);
  else if (stwi_msg_due(msg) < outbox->next_expiry)
    outbox->next_expiry = stwi_msg_due(msg);
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

void stwi_outbox_unlink(struct stwi_outbox *outbox, uint64_t *messages, uint64_t *bytes) {
  *messages = *bytes = 0;
  for (uint32_t i = 0; i < outbox->cursor; i++) {
    struct stwi_msg *msg = at(outbox, i);
    if (!stands(msg))
      continue;
    msg->state = STW_MESSAGE_QUEUED;
    land(outbox, msg);
    if (stwi_msg_due(msg) < outbox->next_expiry)
      outbox->next_expiry = stwi_msg_due(msg);
    ++*messages;
    *bytes += msg->size;
  }
  outbox->cursor = 0;
  outbox->written_upto = 0;
  tidy(outbox);
}

void stwi_outbox_arrived(struct stwi_outbox *outbox, uint64_t upto, uint64_t *messages,
                         uint64_t *bytes) {
  *messages = *bytes = 0;
  while (outbox->cursor < outbox->count && at(outbox, outbox->cursor)->number <= upto) {
    struct stwi_msg *msg = at(outbox, outbox->cursor++);
    if (!stands(msg))
      continue;
    fly(outbox, msg);
    *messages += msg->attempts > 0;
    *bytes += msg->attempts > 0 ? msg->size : 0;
  }
  if (outbox->written_upto < upto)
    outbox->written_upto = upto;
}

bool stwi_outbox_reject(struct stwi_outbox *outbox, uint64_t number, stw_cause cause) {
  struct stwi_msg *msg = stwi_outbox_find(outbox, number);
  if (msg == NULL)
    return false;
  if (msg->state != STW_MESSAGE_INFLIGHT && at(outbox, outbox->cursor) == msg) {
    fly(outbox, msg);
    outbox->cursor++;
  }
  if (msg->state != STW_MESSAGE_INFLIGHT)
    return false;
  stwi_outbox_end(outbox, msg, STWI_MSG_POISON, cause);
  return true;
}

void stwi_outbox_doubt(struct stwi_outbox *outbox, stw_cause cause) {
  outbox->short_of[STW_PROOF_PROCESSED] = outbox->settled;
  for (uint32_t i = 0; i < outbox->count; i++) {
    struct stwi_msg *msg = at(outbox, i);
    if (stands(msg) && msg->attempts > 0 && is_doubtful(outbox, msg))
      end_in_place(outbox, msg, STWI_MSG_DOUBT, cause);
  }
  tidy(outbox);
}

/* ---- time and the host ---- */

stwi_time stwi_outbox_expire(struct stwi_outbox *outbox, stwi_time now) {
  if (now < outbox->next_expiry)
    return outbox->next_expiry;
  stwi_time next = STWI_NEVER;
  for (uint32_t i = outbox->cursor; i < outbox->count; i++) {
    struct stwi_msg *msg = at(outbox, i);
    const stwi_time due = stands(msg) ? stwi_msg_due(msg) : STWI_NEVER;
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
