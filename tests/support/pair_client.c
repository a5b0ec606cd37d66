#include "pair.h"

#include "core/chunk.h"
#include "core/mem.h"
#include "io/envelope.h"

#include <string.h>

static void change(struct stwi_store_change change) {
  change.serial = ++w.store_serial;
  if (!stwi_model_add(w.store, &change))
    pair_broke("the model store has no memory");
}

static void client_wait_for_store(void) {
  const stwi_time due = stwi_model_due(w.store);
  if (due != STWI_NEVER)
    pair_timer(STORE, w.life, due > w.now ? due - w.now : 0);
}

static void client_flush(void) {
  const stwi_time before = stwi_model_due(w.store);
  stwi_model_flush(w.store, w.now, pair_roll(5) * STWI_MS);
  if (before == STWI_NEVER)
    client_wait_for_store();
}

void pair_client_put(stw_lane lane) {
  uint8_t body[BODY_MAX];
  const uint32_t size = STWI_STAMP_BYTES + (uint32_t)pair_roll(pair_roll(20) == 0 ? 500 : 40);
  const uint32_t stream = pair_stream_of(false, lane);
  const uint64_t number = ++w.last[lane];
  const uint64_t serial = stwi_checker_sent(w.checker, stream, size, number);
  stwi_stamp_write(body, size, stream, serial);
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(0, size));
  struct stwi_msg *msg = stwi_chunk_append(chunk, NULL, 0, body, size);
  msg->number = msg->id.number = number;
  msg->lane = (uint8_t)lane;
  msg->guarantee = STW_EXACTLY_ONCE;
  change(
      (struct stwi_store_change){.op = STWI_STORE_PUT, .lane = lane, .number = number, .msg = msg});
  stwi_chunk_free(chunk);
  pair_lane_add(&w.outbox[lane], (struct kept){number, serial, size});
  w.sent[0]++;
}

/* Takes the newest message back, where no byte of it was written. */
void pair_client_cancel(stw_lane lane) {
  struct lane *outbox = &w.outbox[lane];
  if (outbox->first == outbox->count)
    return;
  const struct kept kept = outbox->items[outbox->count - 1];
  if (kept.number < w.client.out[lane].next || kept.number <= w.stored_upto[lane])
    return;
  outbox->count--;
  stwi_checker_unsure(w.checker, pair_stream_of(false, lane), kept.serial);
  change((struct stwi_store_change){.op = STWI_STORE_REMOVE, .lane = lane, .number = kept.number});
  w.edits[w.edit_count++ % EDITS_MAX] =
      (struct edit){w.store_serial, pair_stream_of(false, lane), kept.serial};
}

void pair_client_hello(void) {
  struct stwi_sclient_place place = {.window_bytes = 1u << 20};
  struct stwi_sframe frame = {.type = STWI_SF_HELLO};
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct lane *outbox = &w.outbox[lane];
    place.next[lane] = w.last[lane] + 1;
    place.lowest[lane] =
        outbox->first < outbox->count ? outbox->items[outbox->first].number : place.next[lane];
  }
  stwi_sclient_link(&w.client);
  stwi_sclient_hello(&w.client, &place, &frame);
  pair_write_frame(w.link, STWI_NET_CALLER, &frame);
}

static void client_write(stw_lane lane) {
  struct lane *outbox = &w.outbox[lane];
  uint8_t body[BODY_MAX];
  for (size_t at = pair_lane_find(outbox, w.client.out[lane].next); at < outbox->count; at++) {
    const struct kept *kept = &outbox->items[at];
    struct stwi_sframe frame = {.type = STWI_SF_DATA};
    if ((kept->number > w.stored_upto[lane] && w.bug != WRITES_BEFORE_COMMIT) ||
        !stwi_sclient_has_window(&w.client, at - outbox->first, 0, kept->size))
      return;
    if (stwi_sclient_hole(&w.client, lane, kept->number, &frame)) {
      pair_write_frame(w.link, STWI_NET_CALLER, &frame);
      frame = (struct stwi_sframe){.type = STWI_SF_DATA};
    }
    stwi_stamp_write(body, kept->size, pair_stream_of(false, lane), kept->serial);
    frame.u.data.lane = lane;
    frame.u.data.number = kept->number;
    frame.u.data.payload = body;
    frame.u.data.size = kept->size;
    pair_write_frame(w.link, STWI_NET_CALLER, &frame);
    stwi_sclient_wrote(&w.client, lane, kept->number);
  }
}

/* Nothing at all is written before the new token is committed: any frame would end the old one. */
static bool is_client_up(void) {
  return w.is_open && w.client.phase == STWI_SCLIENT_UP && w.stored_serial >= w.session_serial;
}

void pair_client_pump(void) {
  struct stwi_sframe frame;
  client_flush();
  if (!is_client_up())
    return;
  while (memset(&frame, 0, sizeof frame),
         stwi_sclient_next_control(&w.client, w.now, false, &frame))
    pair_write_frame(w.link, STWI_NET_CALLER, &frame);
  client_write(STW_LANE_CONTROL);
  client_write(STW_LANE_DATA);
}

void pair_client_unlink(bool is_told) {
  if (w.link == 0)
    return;
  if (!is_told)
    stwi_net_close(w.net, w.now, w.link, STWI_NET_CALLER, true);
  stwi_sclient_unlink(&w.client);
  w.link = 0;
  w.is_open = false;
  pair_timer(DIAL, w.life, (1 + pair_roll(20)) * STWI_MS);
}

/* Nor is a token shown before it is committed: the server would forget the one before it, and a
 * crash would leave the client without any. */
void pair_client_dial(void) {
  if (w.link != 0)
    return;
  if (w.stored_serial < w.session_serial) {
    pair_timer(DIAL, w.life, STWI_MS);
    return;
  }
  w.link = stwi_net_dial(w.net, w.now, (uint32_t)pair_roll(w.has_crashes ? NODES : 1));
  w.heard_at = w.now;
  w.links++;
}

static void client_gap(stw_lane lane, struct stwi_sclient_hole hole) {
  if (hole.from != 0)
    stwi_checker_gap(w.checker, pair_stream_of(true, lane), hole.from, hole.to);
}

static void client_welcomed(const struct stwi_sclient_news *news) {
  struct stwi_session_saved saved = w.client.saved;
  stwi_sclient_save(&w.client, &saved);
  change((struct stwi_store_change){.op = STWI_STORE_SESSION, .session = &saved});
  w.session_serial = w.store_serial;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    client_gap((stw_lane)lane, news->u.welcomed.holes[lane]);
    pair_lane_settle(&w.outbox[lane], w.client.out[lane].acked);
  }
}

static void client_news(const struct stwi_sframe *frame, const struct stwi_sclient_news *news) {
  stw_lane lane;
  switch (news->kind) {
  case STWI_SNEWS_WELCOMED:
    client_welcomed(news);
    break;
  case STWI_SNEWS_MESSAGE:
    lane = frame->u.data.lane;
    pair_note(&w.pending, pair_stream_of(true, lane), lane, frame->u.data.number,
              news->u.message.data, news->u.message.size);
    stwi_free(news->u.message.held);
    if (w.bug == PROCESSED_BEFORE_COMMIT)
      stwi_sclient_processed(&w.client, lane, frame->u.data.number, w.now);
    break;
  case STWI_SNEWS_ACKED:
    lane = frame->u.ack.lane;
    pair_lane_settle(&w.outbox[lane], frame->u.ack.accepted);
    change((struct stwi_store_change){
        .op = STWI_STORE_SETTLED, .lane = lane, .number = frame->u.ack.accepted});
    break;
  case STWI_SNEWS_GAP:
    client_gap(frame->u.gap.lane, news->u.gap);
    break;
  case STWI_SNEWS_REFUSED:
    pair_broke("the server refused a session that it must know");
    break;
  case STWI_SNEWS_BROKEN:
  case STWI_SNEWS_CLOSE:
    pair_client_unlink(false);
    break;
  default:
    break;
  }
}

void pair_client_bytes(const struct stwi_net_event *event) {
  struct stwi_sframe frame;
  struct stwi_sclient_news news = {.kind = STWI_SNEWS_NOTHING};
  const char *why = "";
  w.heard_at = w.now;
  if (!stwi_envelope.decode(event->data, event->size, &frame, &why)) {
    pair_broke(why);
    return;
  }
  stwi_sclient_take(&w.client, &frame, w.now, &news);
  client_news(&frame, &news);
}

void pair_client_commit(void) {
  pair_commit_effects(&w.pending, w.cursor);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_sclient_processed(&w.client, (stw_lane)lane, w.cursor[lane], w.now);
  pair_timer(CLIENT_COMMIT, w.life, (1 + pair_roll(10)) * STWI_MS);
}

void pair_client_stored(void) {
  struct stwi_input input;
  if (!stwi_model_commit(w.store, w.now, &input))
    return;
  w.stored_serial = input.u.stored.serial;
  memcpy(w.stored_upto, input.u.stored.upto, sizeof w.stored_upto);
  for (size_t i = 0; i < EDITS_MAX; i++) {
    if (w.edits[i].change != 0 && w.edits[i].change <= w.stored_serial) {
      stwi_checker_withdrawn(w.checker, w.edits[i].stream, w.edits[i].serial);
      w.edits[i].change = 0;
    }
  }
  client_wait_for_store();
}

void pair_client_tick(void) {
  struct stwi_sframe ping = {.type = STWI_SF_PING};
  pair_timer(TICK, w.life, 20 * STWI_MS);
  if (w.link == 0)
    return;
  if (w.now - w.heard_at > 800 * STWI_MS)
    pair_client_unlink(false);
  else if (is_client_up() && w.now - w.heard_at > 200 * STWI_MS)
    pair_write_frame(w.link, STWI_NET_CALLER, &ping);
}

static void restore_lanes(const struct stwi_restored *restored) {
  for (struct stwi_chunk *chunk = restored->chunks; chunk != NULL; chunk = chunk->next) {
    const struct stwi_msg *msg = stwi_chunk_first(chunk);
    uint32_t stream;
    uint64_t serial = 0;
    if (!stwi_stamp_read(stwi_msg_body(msg), msg->size, &stream, &serial))
      pair_broke("the store gave back a body that nobody sent");
    pair_lane_add(&w.outbox[msg->lane], (struct kept){msg->number, serial, msg->size});
  }
}

void pair_client_start(void) {
  struct stwi_restored restored;
  uint64_t stream;
  if (!stwi_model_open(w.store, &restored, &stream))
    pair_broke("the model store has no memory");
  memset(w.outbox, 0, sizeof w.outbox);
  restore_lanes(&restored);
  memcpy(w.last, restored.last_number, sizeof w.last);
  memcpy(w.stored_upto, restored.last_number, sizeof w.stored_upto);
  w.store_serial = w.session_serial = w.stored_serial = 0;
  w.pending.count = 0;
  memset(w.edits, 0, sizeof w.edits);
  stwi_sclient_init(&w.client, &restored.session, w.cursor, 1u << 20);
  stwi_chunk_free_list(restored.chunks);
  stwi_chunk_free_list(restored.parked);
  pair_timer(DIAL, w.life, STWI_MS);
  pair_timer(TICK, w.life, STWI_MS);
  pair_timer(CLIENT_COMMIT, w.life, STWI_MS);
}

void pair_client_crash(void) {
  if (w.link != 0)
    stwi_net_died(w.net, w.now, w.link, STWI_NET_CALLER);
  w.link = 0;
  w.is_open = false;
  stwi_model_crash(w.store, pair_roll(2) == 0);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct lane *outbox = &w.outbox[lane];
    const uint64_t kept = stwi_model_last(w.store, (stw_lane)lane);
    for (size_t at = pair_lane_find(outbox, kept + 1); at < outbox->count; at++)
      stwi_checker_withdrawn(w.checker, pair_stream_of(false, (stw_lane)lane),
                             outbox->items[at].serial);
  }
  stwi_sclient_fini(&w.client);
  w.life++;
  w.client_crashes++;
  pair_client_start();
}
