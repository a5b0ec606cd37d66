#include "core/outbox.h"

#include "core/keys.h"
#include "core/mem.h"
#include "core/outbox_inside.h"

#include <assert.h>

void stwi_outbox_init(struct stwi_outbox *outbox, uint64_t messages_max, uint64_t bytes_max,
                      enum stwi_overflow overflow) {
  *outbox = (struct stwi_outbox){.messages_max = messages_max,
                                 .bytes_max = bytes_max,
                                 .overflow = overflow,
                                 .stored_upto = UINT64_MAX,
                                 .next_expiry = STWI_NEVER};
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
static bool leave(struct stwi_outbox *outbox, struct stwi_msg *msg, bool is_kept) {
  if (!is_kept || outbox->parked == NULL || !stwi_parked_reserve(outbox->parked)) {
    stwi_outbox_tell(outbox, STWI_STORE_REMOVE, msg);
    return false;
  }
  stwi_outbox_tell(outbox, STWI_STORE_PARK, msg);
  stwi_parked_put(outbox->parked, msg);
  stwi_outbox_forget_surplus(outbox);
  return true;
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

static void fly(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  msg->state = STW_MESSAGE_INFLIGHT;
  outbox->inflight++;
  outbox->inflight_bytes += msg->size;
}

static void land(struct stwi_outbox *outbox, const struct stwi_msg *msg) {
  outbox->inflight--;
  outbox->inflight_bytes -= msg->size;
}

/* Ends the message at `offset`, or parks it, and leaves its place empty; the ring is tidied by the
 * caller, once per batch. */
static void end_at(struct stwi_outbox *outbox, uint32_t offset, enum stwi_msg_input input,
                   stw_cause cause) {
  struct stwi_msg *msg = stwi_outbox_at(outbox, offset);
  struct stwi_chunk *home = msg->home;
  const stw_message_state next = stwi_msg_next(msg->state, input, msg->guarantee);
  assert(next != STW_MESSAGE_STATE_COUNT);
  if (msg->state == STW_MESSAGE_INFLIGHT)
    land(outbox, msg);
  stwi_outbox_vacate(outbox, offset);
  msg->state = (uint8_t)next;
  msg->cause = (uint16_t)cause;
  const bool is_parked = leave(outbox, msg, next == STW_MESSAGE_HELD || is_letter(outbox, next));
  if (next != STW_MESSAGE_HELD) {
    outbox->counts[next]++;
    stwi_outbox_file_end(outbox, msg, cause);
  } else if (is_parked) {
    stwi_parked_shrink(outbox->parked, msg);
  }
  stwi_chunk_release(home);
}

void stwi_outbox_end(struct stwi_outbox *outbox, struct stwi_msg *msg, enum stwi_msg_input input,
                     stw_cause cause) {
  end_at(outbox, stwi_outbox_seek(outbox, msg->number - 1), input, cause);
  stwi_outbox_tidy(outbox);
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
    struct stwi_chunk *home = msg->home;
    if (outbox->parked != NULL && stwi_parked_has(outbox->parked, msg))
      stwi_parked_shrink(outbox->parked, msg);
    stwi_chunk_release(home);
  }
  return count;
}

void stwi_outbox_fini(struct stwi_outbox *outbox) {
  struct stwi_msg_end end;
  while (stwi_outbox_ends(outbox, &end, 1) > 0)
    continue;
  while (outbox->count > 0)
    stwi_outbox_pop(outbox);
  stwi_free(outbox->ring);
  stwi_keys_free(outbox->keys);
  stwi_keys_free(outbox->strangers);
  stwi_outbox_init(outbox, outbox->messages_max, outbox->bytes_max, outbox->overflow);
}

/* ---- taking ---- */

static bool reserve(struct stwi_outbox *outbox, struct stwi_chunk *chunks) {
  struct stwi_outbox_need need = {0, 0, 0};
  for (const struct stwi_chunk *chunk = chunks; chunk != NULL; chunk = chunk->next) {
    need.messages += chunk->count;
    need.keyed += chunk->keyed;
  }
  for (struct stwi_msg *msg = stwi_chunks_first(chunks); msg != NULL; msg = stwi_chunks_after(msg))
    need.strangers += stwi_outbox_is_stranger(outbox, msg);
  return stwi_outbox_reserve(outbox, &need);
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
    const struct stwi_msg *msg = stwi_outbox_at(outbox, i);
    if (msg != NULL && msg->state == STW_MESSAGE_QUEUED)
      end_at(outbox, i, STWI_MSG_DROP, STW_CAUSE_REQUESTED);
  }
}

/* The control lane's messages outlive those of the data lane. */
static void make_room(struct stwi_outbox *outbox) {
  if (outbox->beside != NULL && outbox->lane == STW_LANE_CONTROL) {
    drop_oldest(outbox->beside, 0);
    stwi_outbox_tidy(outbox->beside);
  }
  while (outbox->cursor < outbox->count && stwi_outbox_at(outbox, outbox->cursor) == NULL)
    outbox->cursor++;
  drop_oldest(outbox, 1);
}

static void replace_by_key(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  struct stwi_msg *old = stwi_keys_put(outbox->keys, msg);
  if (old != NULL && old->state != STW_MESSAGE_INFLIGHT)
    end_at(outbox, stwi_outbox_seek(outbox, old->number - 1), STWI_MSG_DROP, STW_CAUSE_SUPERSEDED);
}

static void refuse(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  msg->state = STW_MESSAGE_DROPPED;
  outbox->counts[STW_MESSAGE_DROPPED]++;
  stwi_outbox_file_end(outbox, msg, STW_CAUSE_REQUESTED);
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
  if (outbox->gaps > 0)
    stwi_outbox_tidy(outbox);
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
  stwi_outbox_tidy(outbox);
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
    struct stwi_msg *msg = stwi_outbox_at(outbox, outbox->cursor);
    if (msg == NULL)
      outbox->cursor++;
    else if (stwi_msg_due(msg) > now)
      return may_write(outbox, msg) ? msg : NULL;
    else
      stwi_outbox_end(outbox, msg, STWI_MSG_EXPIRE, STW_CAUSE_REQUESTED);
  }
  return NULL;
}

void stwi_outbox_wrote(struct stwi_outbox *outbox, struct stwi_msg *msg) {
  assert(stwi_outbox_at(outbox, outbox->cursor) == msg && msg->state == STW_MESSAGE_QUEUED);
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

static void settle_first(struct stwi_outbox *outbox) {
  struct stwi_msg *msg = stwi_outbox_at(outbox, 0);
  if (msg != NULL) {
    const bool is_told = stwi_outbox_is_stranger(outbox, msg);
    msg->state = STW_MESSAGE_SETTLED;
    land(outbox, msg);
    outbox->counts[STW_MESSAGE_SETTLED]++;
    if (is_told)
      stwi_outbox_file_end(outbox, msg, STW_CAUSE_REQUESTED);
  }
  stwi_outbox_pop(outbox);
}

/* Settles from the front: what was written on this link up to `upto`. */
static void settle(struct stwi_outbox *outbox, stw_proof proof, uint64_t upto) {
  const uint32_t before = outbox->count;
  note_settled(outbox, proof, upto);
  while (outbox->cursor > 0 && stwi_outbox_slot(outbox, 0)->number <= upto)
    settle_first(outbox);
  if (outbox->tell == NULL || outbox->count == before)
    return;
  const struct stwi_store_change change = {
      .op = STWI_STORE_SETTLED, .lane = outbox->lane, .number = upto};
  outbox->tell(outbox->tell_to, &change);
}

/* Marks what was written on this link after `from` up to `upto`: past `from`, the highest number
 * known to have it, nothing has this proof or a stronger one. */
static void mark(struct stwi_outbox *outbox, uint64_t from, uint64_t upto, stw_proof proof) {
  for (uint32_t i = stwi_outbox_seek(outbox, from); i < outbox->cursor; i++) {
    const struct stwi_outbox_slot *slot = stwi_outbox_slot(outbox, i);
    if (slot->number > upto)
      break;
    if (slot->msg != NULL)
      slot->msg->proof = (uint8_t)proof;
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
    stwi_outbox_tidy(outbox);
  } else if (upto > known) {
    mark(outbox, known, upto, proof);
  }
  return upto > known || outbox->settled > settled;
}

uint64_t stwi_outbox_stored(struct stwi_outbox *outbox, uint64_t upto) {
  uint64_t news = 0;
  if (upto > outbox->taken)
    upto = outbox->taken;
  for (uint32_t i = stwi_outbox_seek(outbox, outbox->stored_upto); i < outbox->count; i++) {
    const struct stwi_outbox_slot *slot = stwi_outbox_slot(outbox, i);
    if (slot->number > upto)
      break;
    if (slot->msg == NULL || slot->msg->proof >= STW_PROOF_STORED)
      continue;
    slot->msg->proof = STW_PROOF_STORED;
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

/* The message at `offset`; false where it ends instead. */
static bool requeue(struct stwi_outbox *outbox, uint32_t offset) {
  struct stwi_msg *msg = stwi_outbox_at(outbox, offset);
  if (is_doubtful(outbox, msg)) {
    end_at(outbox, offset, STWI_MSG_DOUBT, STW_CAUSE_ABNORMAL_FIN);
    return false;
  }
  msg->state = STW_MESSAGE_QUEUED;
  land(outbox, msg);
  if (is_replaced(outbox, msg)) {
    end_at(outbox, offset, STWI_MSG_DROP, STW_CAUSE_SUPERSEDED);
    return false;
  }
  if (stwi_msg_due(msg) < outbox->next_expiry)
    outbox->next_expiry = stwi_msg_due(msg);
  return true;
}

void stwi_outbox_link_lost(struct stwi_outbox *outbox, uint64_t *messages, uint64_t *bytes) {
  *messages = *bytes = 0;
  for (uint32_t i = 0; i < outbox->cursor; i++) {
    const struct stwi_msg *msg = stwi_outbox_at(outbox, i);
    const uint64_t size = msg == NULL ? 0 : msg->size;
    if (msg == NULL || !requeue(outbox, i))
      continue;
    ++*messages;
    *bytes += size;
  }
  outbox->cursor = 0;
  outbox->written_upto = 0;
  stwi_outbox_tidy(outbox);
}

void stwi_outbox_unlink(struct stwi_outbox *outbox, uint64_t *messages, uint64_t *bytes) {
  *messages = *bytes = 0;
  for (uint32_t i = 0; i < outbox->cursor; i++) {
    struct stwi_msg *msg = stwi_outbox_at(outbox, i);
    if (msg == NULL)
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
  stwi_outbox_tidy(outbox);
}

void stwi_outbox_arrived(struct stwi_outbox *outbox, uint64_t upto, uint64_t *messages,
                         uint64_t *bytes) {
  *messages = *bytes = 0;
  while (outbox->cursor < outbox->count &&
         stwi_outbox_slot(outbox, outbox->cursor)->number <= upto) {
    struct stwi_msg *msg = stwi_outbox_at(outbox, outbox->cursor++);
    if (msg == NULL)
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
  if (msg->state != STW_MESSAGE_INFLIGHT && stwi_outbox_at(outbox, outbox->cursor) == msg) {
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
    const struct stwi_msg *msg = stwi_outbox_at(outbox, i);
    if (msg != NULL && msg->attempts > 0 && is_doubtful(outbox, msg))
      end_at(outbox, i, STWI_MSG_DOUBT, cause);
  }
  stwi_outbox_tidy(outbox);
}

/* ---- time and the host ---- */

stwi_time stwi_outbox_expire(struct stwi_outbox *outbox, stwi_time now) {
  if (now < outbox->next_expiry)
    return outbox->next_expiry;
  stwi_time next = STWI_NEVER;
  for (uint32_t i = outbox->cursor; i < outbox->count; i++) {
    const struct stwi_msg *msg = stwi_outbox_at(outbox, i);
    const stwi_time due = msg != NULL ? stwi_msg_due(msg) : STWI_NEVER;
    if (due <= now)
      end_at(outbox, i, STWI_MSG_EXPIRE, STW_CAUSE_REQUESTED);
    else if (due < next)
      next = due;
  }
  const stwi_time rest = now + outbox->count * STWI_US;
  if (next < rest)
    next = rest;
  outbox->next_expiry = next;
  stwi_outbox_tidy(outbox);
  return next;
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
