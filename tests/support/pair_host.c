#include "pair.h"

#include "core/chunk.h"

#include <stdlib.h>
#include <string.h>

#define KEYS 8u

static uint64_t serial_of(const struct stwi_msg *msg) {
  uint32_t stream;
  uint64_t serial = 0;
  if (!stwi_stamp_read(stwi_msg_body(msg), msg->size, &stream, &serial))
    pair_broke("the outbox has a body that nobody sent");
  return serial;
}

uint64_t pair_host_standing(void) {
  return stwi_core_outbox(w.core, 0, STW_LANE_DATA)->messages +
         stwi_core_outbox(w.core, 0, STW_LANE_CONTROL)->messages;
}

/* ---- sending ---- */

static stw_guarantee draw_guarantee(void) {
  const uint64_t what = pair_roll(20);
  return what == 0 ? STW_AT_MOST_ONCE : what < 4 ? STW_AT_LEAST_ONCE : STW_EXACTLY_ONCE;
}

/* What the bounds refuse, and a file without space, is no message. */
void pair_host_put(stw_lane lane) {
  if (w.health == STW_STORE_FULL || pair_host_standing() >= OUTBOX_MESSAGES) {
    w.refused++;
    return;
  }
  const uint32_t size = pair_size();
  const uint32_t stream = pair_stream_of(false, lane);
  const uint64_t number = ++w.last[lane];
  const uint64_t serial = stwi_checker_sent(w.checker, stream, size, number);
  uint8_t *body = malloc(size);
  stwi_stamp_write(body, size, stream, serial);
  const char key = (char)('a' + pair_roll(KEYS));
  const uint8_t key_size = pair_roll(12) == 0;
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(key_size, size));
  struct stwi_msg *msg = stwi_chunk_append(chunk, &key, key_size, body, size);
  free(body);
  msg->number = number;
  msg->id = (stw_message_id){w.stream | (uint64_t)lane, number};
  msg->lane = (uint8_t)lane;
  msg->guarantee = (uint8_t)draw_guarantee();
  const struct stwi_input submit = {.kind = STWI_IN_SUBMIT, .u.submit.chunks = chunk};
  pair_client_step(&submit);
  w.sent[0]++;
}

void pair_host_cancel(stw_lane lane) {
  const uint64_t back = pair_roll(4);
  if (w.last[lane] <= back)
    return;
  const stw_message_id id = {w.stream | (uint64_t)lane, w.last[lane] - back};
  const struct stwi_input edit = {.kind = STWI_IN_EDIT, .u.edit = {id, STW_EDIT_CANCEL}};
  pair_client_step(&edit);
}

/* ---- taking ---- */

static void say_processed(stw_lane lane, uint64_t number) {
  const struct stwi_input input = {.kind = STWI_IN_PROCESSED, .u.processed = {lane, number}};
  if (number > 0)
    pair_client_step(&input);
}

void pair_host_commit(void) {
  if (w.plan.bug != PROCESSED_BEFORE_COMMIT)
    pair_commit_effects(&w.pending, w.cursor);
  for (size_t i = 0; i < w.pending.count; i++)
    say_processed(w.pending.items[i].lane, w.pending.items[i].number);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    say_processed((stw_lane)lane, w.cursor[lane]);
  if (w.plan.bug == PROCESSED_BEFORE_COMMIT && pair_roll(2) == 0)
    pair_commit_effects(&w.pending, w.cursor);
  pair_timer(CLIENT_COMMIT, w.life, (1 + pair_roll(10)) * STWI_MS);
}

/* ---- what the conn tells ---- */

/* What was written to the session that is gone may arrive twice where it is sent again. */
static void on_stale(const stw_event *event) {
  uint64_t count = 0;
  pair_commit_effects(&w.pending, w.cursor);
  memset(w.cursor, 0, sizeof w.cursor);
  w.stale++;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct stwi_outbox *outbox = stwi_core_outbox(w.core, 0, (stw_lane)lane);
    const struct stwi_msg *msg;
    stwi_checker_begin_anew(w.checker, pair_stream_of(false, (stw_lane)lane));
    for (uint64_t at = 0; (msg = stwi_outbox_after(outbox, at)) != NULL; at = msg->number) {
      if (msg->attempts == 0)
        continue;
      count++;
      stwi_checker_may_repeat(w.checker, pair_stream_of(false, (stw_lane)lane), serial_of(msg));
    }
  }
  if (count > event->u.session_stale.messages)
    pair_broke("more messages may repeat than the host was told");
}

/* What the host has committed already is not missing. */
static void on_gap(const stw_event *event) {
  const stw_lane lane = event->u.gap.lane;
  uint64_t from = event->u.gap.from;
  for (size_t i = 0; i < w.pending.count; i++)
    if (w.pending.items[i].lane == lane && from <= w.pending.items[i].number)
      from = w.pending.items[i].number + 1;
  if (from <= w.cursor[lane])
    from = w.cursor[lane] + 1;
  if (event->u.gap.known && from <= event->u.gap.to)
    stwi_checker_gap(w.checker, pair_stream_of(true, lane), from, event->u.gap.to);
}

static void on_ended(const stw_event *event) {
  if (event->u.ended.state == STW_MESSAGE_DEAD)
    pair_broke("a message is called poison");
}

void pair_host_event(const stw_event *event) {
  switch (event->kind) {
  case STW_EVENT_SESSION_STALE:
    on_stale(event);
    break;
  case STW_EVENT_GAP:
    on_gap(event);
    break;
  case STW_EVENT_MESSAGE_ENDED:
    on_ended(event);
    break;
  case STW_EVENT_CLOSED:
    pair_broke(event->u.closed.detail);
    break;
  default:
    break;
  }
}

/* A message leaves the outbox without proof: nobody may have it where no byte of it was written,
 * and somebody may where one was. */
void pair_host_change(const struct stwi_store_change *change) {
  const bool is_end = change->op == STWI_STORE_REMOVE || change->op == STWI_STORE_PARK;
  if (!is_end)
    return;
  const struct stwi_msg *msg = change->msg;
  const uint32_t stream = pair_stream_of(false, change->lane);
  stwi_checker_unsure(w.checker, stream, serial_of(msg));
  w.coalesced += msg->state == STW_MESSAGE_DROPPED;
  if (msg->attempts == 0 && change->number > w.maybe_written[change->lane])
    w.edits[w.edit_count++ % EDITS_MAX] = (struct edit){change->serial, stream, serial_of(msg)};
}

void pair_host_safe(void) {
  const uint64_t safe = stwi_model_safe(w.store);
  for (size_t i = 0; i < EDITS_MAX; i++) {
    if (w.edits[i].change != 0 && w.edits[i].change <= safe) {
      stwi_checker_withdrawn(w.checker, w.edits[i].stream, w.edits[i].serial);
      w.edits[i].change = 0;
    }
  }
}

/* ---- crashes ---- */

static struct {
  struct kept items[STW_LANE_COUNT][2 * OUTBOX_MESSAGES];
  size_t counts[STW_LANE_COUNT];
} standing;

void pair_host_note_standing(void) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct stwi_outbox *outbox = stwi_core_outbox(w.core, 0, (stw_lane)lane);
    const struct stwi_msg *msg;
    size_t count = 0;
    for (uint64_t at = 0; (msg = stwi_outbox_after(outbox, at)) != NULL; at = msg->number)
      standing.items[lane][count++] = (struct kept){msg->number, serial_of(msg), msg->size};
    standing.counts[lane] = count;
  }
}

void pair_host_judge_lost(bool is_power_lost) {
  const bool may_lose = is_power_lost && w.plan.lag > 0 && w.plan.bug != CLAIMS_DURABLE;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const uint32_t stream = pair_stream_of(false, (stw_lane)lane);
    const uint64_t kept = stwi_model_last(w.store, (stw_lane)lane);
    for (size_t i = 0; i < standing.counts[lane]; i++) {
      const struct kept *item = &standing.items[lane][i];
      if (item->number > w.committed[lane])
        stwi_checker_withdrawn(w.checker, stream, item->serial);
      else if (item->number > kept && may_lose)
        stwi_checker_unsure(w.checker, stream, item->serial);
    }
  }
}

void pair_host_restored(const struct stwi_restored *restored) {
  memcpy(w.last, restored->last_number, sizeof w.last);
  memcpy(w.committed, restored->last_number, sizeof w.committed);
  memset(w.maybe_written, 0, sizeof w.maybe_written);
  memset(w.edits, 0, sizeof w.edits);
  if (restored->is_unclean)
    memcpy(w.maybe_written, restored->last_number, sizeof w.maybe_written);
  for (struct stwi_msg *msg = stwi_chunks_first(restored->parked); msg != NULL;
       msg = stwi_chunks_after(msg))
    stwi_checker_unsure(w.checker, pair_stream_of(false, (stw_lane)msg->lane), serial_of(msg));
}
