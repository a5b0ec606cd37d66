#include "core/keys.h"
#include "core/outbox_inside.h"

void stwi_lanes_init(struct stwi_outbox lanes[STW_LANE_COUNT], struct stwi_parked *parked,
                     const struct stwi_conn_config *config, uint64_t stream) {
  stwi_parked_init(parked, config->dead_letters, config->outbox_bytes);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    struct stwi_outbox *outbox = &lanes[lane];
    stwi_outbox_init(outbox, config->outbox_messages, config->outbox_bytes,
                     config->outbox_overflow);
    outbox->lane = (stw_lane)lane;
    outbox->stream = stream | lane;
    outbox->beside = &lanes[STW_LANE_COUNT - 1 - lane];
    outbox->parked = parked;
    outbox->fate = config->unknown_fate;
  }
}

void stwi_lanes_fini(struct stwi_outbox lanes[STW_LANE_COUNT]) {
  stwi_parked_fini(lanes[0].parked);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_outbox_fini(&lanes[lane]);
}

uint64_t stwi_lanes_messages(const struct stwi_outbox lanes[STW_LANE_COUNT]) {
  return lanes[STW_LANE_DATA].messages + lanes[STW_LANE_CONTROL].messages + lanes[0].parked->held;
}

uint64_t stwi_lanes_bytes(const struct stwi_outbox lanes[STW_LANE_COUNT]) {
  return lanes[STW_LANE_DATA].bytes + lanes[STW_LANE_CONTROL].bytes + lanes[0].parked->held_bytes;
}

/* ---- finding ---- */

struct stwi_msg *stwi_lanes_find(const struct stwi_outbox lanes[STW_LANE_COUNT],
                                 stw_message_id id) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    if (id.stream != lanes[lane].stream)
      continue;
    struct stwi_msg *msg = stwi_outbox_find(&lanes[lane], id.number);
    if (msg != NULL && stwi_msg_has_id(msg, id))
      return msg;
  }
  struct stwi_msg *msg = stwi_parked_find(lanes[0].parked, id);
  for (unsigned lane = 0; lane < STW_LANE_COUNT && msg == NULL; lane++)
    msg = stwi_outbox_find_stranger(&lanes[lane], id);
  return msg;
}

/* ---- taking ---- */

static bool reserve(struct stwi_outbox lanes[STW_LANE_COUNT], struct stwi_chunk *chunks) {
  struct stwi_outbox_need needs[STW_LANE_COUNT] = {{0, 0, 0}};
  for (struct stwi_msg *msg = stwi_chunks_first(chunks); msg != NULL;
       msg = stwi_chunks_after(msg)) {
    struct stwi_outbox_need *need = &needs[msg->lane];
    need->messages++;
    need->keyed += msg->key_size > 0;
    need->strangers += stwi_outbox_is_stranger(&lanes[msg->lane], msg);
  }
  bool has_room = true;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    has_room = has_room && stwi_outbox_reserve(&lanes[lane], &needs[lane]);
  return has_room;
}

static bool is_parked(const struct stwi_msg *msg) {
  return msg->state > STW_MESSAGE_INFLIGHT;
}

/* Takes a message out of where it is; the chunk's hold passes to the caller. */
static void take_out(struct stwi_outbox *from, struct stwi_msg *msg) {
  if (is_parked(msg)) {
    stwi_outbox_tell(from, STWI_STORE_FORGET, msg);
    stwi_parked_remove(from->parked, msg);
    return;
  }
  stwi_outbox_tell(from, STWI_STORE_REMOVE, msg);
  stwi_outbox_vacate(from, stwi_outbox_seek(from, msg->number - 1));
}

static bool may_move(const struct stwi_msg *msg) {
  return msg != NULL && !msg->is_end_due &&
         (is_parked(msg) || (msg->state == STW_MESSAGE_QUEUED && msg->attempts == 0));
}

/* It goes behind what has its key: it replaces nothing, and nothing before it replaces it. */
static void move(struct stwi_outbox lanes[STW_LANE_COUNT], const struct stwi_msg *record) {
  struct stwi_outbox *to = &lanes[record->lane];
  struct stwi_msg *msg = stwi_lanes_find(lanes, record->id);
  if (!may_move(msg) || (msg->key_size > 0 && !stwi_keys_reserve(&to->keys, &stwi_by_key, 1)))
    return;
  struct stwi_outbox *from = &lanes[msg->lane];
  take_out(from, msg);
  msg->lane = record->lane;
  msg->number = record->number;
  msg->state = STW_MESSAGE_QUEUED;
  msg->cause = STW_CAUSE_REQUESTED;
  if (msg->proof > STW_PROOF_STORED)
    msg->proof = STW_PROOF_NONE;
  stwi_outbox_place(to, msg);
  stwi_chunk_release(msg->home); /* what take_out has passed on */
  if (msg->key_size > 0 && stwi_keys_latest(to->keys, msg) == NULL)
    stwi_keys_put(to->keys, msg);
  stwi_outbox_tell(to, STWI_STORE_PUT, msg);
  stwi_outbox_tidy(from);
}

static void take_one(struct stwi_outbox lanes[STW_LANE_COUNT], struct stwi_msg *msg,
                     stwi_time now) {
  struct stwi_outbox *outbox = &lanes[msg->lane];
  if (msg->is_move) {
    outbox->taken = msg->number;
    move(lanes, msg);
  } else if (stwi_outbox_is_stranger(outbox, msg) && stwi_lanes_find(lanes, msg->id) != NULL) {
    outbox->taken = msg->number;
  } else {
    stwi_outbox_take_one(outbox, msg, now);
  }
}

bool stwi_lanes_take(struct stwi_outbox lanes[STW_LANE_COUNT], struct stwi_chunk *chunks,
                     stwi_time now) {
  const bool has_room = reserve(lanes, chunks);
  while (has_room && chunks != NULL) {
    struct stwi_chunk *chunk = chunks;
    chunks = chunk->next;
    chunk->live = 1; /* held while it is walked */
    for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg))
      take_one(lanes, msg, now);
    stwi_chunk_release(chunk);
  }
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    if (lanes[lane].count == 0)
      stwi_outbox_tidy(&lanes[lane]);
  }
  return has_room;
}

/* ---- what a store kept ---- */

static void restore_one(struct stwi_outbox *outbox, struct stwi_msg *msg, stwi_time now) {
  outbox->taken = msg->number;
  msg->admitted = now;
  msg->state = STW_MESSAGE_QUEUED;
  msg->proof = STW_PROOF_STORED;
  stwi_outbox_place(outbox, msg);
  struct stwi_msg *old = msg->key_size == 0 ? NULL : stwi_keys_put(outbox->keys, msg);
  if (old != NULL && old->attempts == 0)
    stwi_outbox_end(outbox, old, STWI_MSG_DROP, STW_CAUSE_SUPERSEDED);
}

static bool restore_parked(struct stwi_outbox lanes[STW_LANE_COUNT], struct stwi_chunk *chunk,
                           stwi_time now) {
  struct stwi_parked *parked = lanes[0].parked;
  bool has_room = true;
  while (chunk != NULL) {
    struct stwi_chunk *next = chunk->next;
    chunk->live = 1;
    for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg)) {
      has_room = has_room && stwi_parked_reserve(parked);
      if (!has_room)
        break;
      msg->admitted = now;
      msg->number = 0;
      if (msg->state != STW_MESSAGE_HELD)
        msg->ttl_ns = 0;
      stwi_parked_put(parked, msg);
      stwi_outbox_forget_surplus(&lanes[msg->lane]);
      if (stwi_parked_has(parked, msg))
        stwi_parked_shrink(parked, msg);
    }
    stwi_chunk_release(chunk);
    chunk = next;
  }
  return has_room;
}

bool stwi_lanes_restore(struct stwi_outbox lanes[STW_LANE_COUNT],
                        const struct stwi_restored *restored, stwi_time now) {
  struct stwi_chunk *chunk = restored->chunks;
  const bool has_room = reserve(lanes, chunk);
  if (!has_room) {
    stwi_chunk_free_list(chunk);
    chunk = NULL;
  }
  while (chunk != NULL) {
    struct stwi_chunk *next = chunk->next;
    chunk->live = 1;
    for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg))
      restore_one(&lanes[msg->lane], msg, now);
    stwi_chunk_release(chunk);
    chunk = next;
  }
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    if (lanes[lane].taken < restored->last_number[lane])
      lanes[lane].taken = restored->last_number[lane];
    if (restored->has_store)
      lanes[lane].stored_upto = lanes[lane].taken;
  }
  return restore_parked(lanes, restored->parked, now) && has_room;
}

/* ---- edits ---- */

/* A parked message is over; a held one ends so. */
static void forget(struct stwi_outbox *outbox, struct stwi_msg *msg, enum stwi_msg_input input) {
  stwi_outbox_tell(outbox, STWI_STORE_FORGET, msg);
  stwi_parked_remove(outbox->parked, msg);
  if (msg->state == STW_MESSAGE_HELD) {
    msg->state = (uint8_t)stwi_msg_next(STW_MESSAGE_HELD, input, (stw_guarantee)msg->guarantee);
    outbox->counts[msg->state]++;
    stwi_outbox_file_end(outbox, msg, STW_CAUSE_REQUESTED);
  }
  stwi_chunk_release(msg->home);
}

stw_status stwi_lanes_edit(struct stwi_outbox lanes[STW_LANE_COUNT], stw_message_id id,
                           stw_edit edit) {
  struct stwi_msg *msg = stwi_lanes_find(lanes, id);
  if (msg == NULL)
    return STW_E_NOT_FOUND;
  struct stwi_outbox *outbox = &lanes[msg->lane];
  if (edit == STW_EDIT_CANCEL && !is_parked(msg))
    return stwi_outbox_cancel(outbox, msg->number);
  if (edit == STW_EDIT_CANCEL) {
    forget(outbox, msg, STWI_MSG_CANCEL);
    return STW_OK;
  }
  if (edit != STW_EDIT_HOLD || is_parked(msg) || msg->attempts > 0)
    return STW_E_STATE;
  if (!stwi_parked_reserve(outbox->parked))
    return STW_E_MEMORY;
  stwi_outbox_end(outbox, msg, STWI_MSG_HOLD, STW_CAUSE_REQUESTED);
  return STW_OK;
}

/* ---- time and the store ---- */

static void expire_held(struct stwi_outbox lanes[STW_LANE_COUNT], stwi_time now) {
  struct stwi_parked *parked = lanes[0].parked;
  if (now < parked->next_expiry)
    return;
  parked->next_expiry = STWI_NEVER;
  const struct stwi_parking *item;
  for (uint64_t after = 0; (item = stwi_parked_after(parked, after)) != NULL;) {
    struct stwi_msg *msg = item->msg;
    after = item->serial;
    const stwi_time due = msg->state == STW_MESSAGE_HELD ? stwi_msg_due(msg) : STWI_NEVER;
    if (due <= now)
      forget(&lanes[msg->lane], msg, STWI_MSG_EXPIRE);
    else if (due < parked->next_expiry)
      parked->next_expiry = due;
  }
}

stwi_time stwi_lanes_expire(struct stwi_outbox lanes[STW_LANE_COUNT], stwi_time now) {
  expire_held(lanes, now);
  stwi_time first = lanes[0].parked->next_expiry;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const stwi_time next = stwi_outbox_expire(&lanes[lane], now);
    first = next < first ? next : first;
  }
  return first;
}

void stwi_lanes_tell_all(struct stwi_outbox lanes[STW_LANE_COUNT]) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct stwi_msg *msg;
    for (uint64_t at = 0; (msg = stwi_outbox_after(&lanes[lane], at)) != NULL; at = msg->number)
      stwi_outbox_tell(&lanes[lane], STWI_STORE_PUT, msg);
  }
  const struct stwi_parking *item;
  for (uint64_t at = 0; (item = stwi_parked_after(lanes[0].parked, at)) != NULL; at = item->serial)
    stwi_outbox_tell(&lanes[item->msg->lane], STWI_STORE_PARK, item->msg);
}

void stwi_lanes_tell_written(struct stwi_outbox lanes[STW_LANE_COUNT]) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct stwi_msg *msg;
    for (uint64_t at = 0; (msg = stwi_outbox_after(&lanes[lane], at)) != NULL; at = msg->number) {
      if (msg->attempts > 0)
        stwi_outbox_tell(&lanes[lane], STWI_STORE_PUT, msg);
    }
  }
}
