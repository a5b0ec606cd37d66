#include <string.h>

#include "core/mem.h"
#include "core/profile.h"
#include "core/quiet.h"

#define RATE_BYTES_MIN 4096u /* fewer say nothing about a rate */
static const uint8_t barrier_magic[4] = {'s', 't', 'w', '1'};

/* A server that drops everybody at once answers no PING either, and has read nothing: what was
 * written settles without an answer only on a link that has lived for a while. */
static bool may_be_thrown_out(const struct stwi_conn *conn) {
  return conn->config->has_heartbeat && conn->active != NULL && !conn->active->is_stable;
}

stw_proof stwi_conn_wanted(const struct stwi_conn *conn) {
  const struct stwi_link *link = conn->active;
  if (link != NULL && link->profile->settles_at == STW_PROOF_ACCEPTED)
    return STW_PROOF_ACCEPTED;
  return stwi_conn_may_ask(conn) || may_be_thrown_out(conn) ? STW_PROOF_RECEIVED
                                                            : STW_PROOF_WRITTEN;
}

static bool take_mask(struct stwi_conn *conn, const struct stwi_writer *w, size_t size,
                      uint8_t mask[4]) {
  if (stwi_frame_size(size, true) > (size_t)(w->end - w->at))
    return false;
  bool has_mask = stwi_core_mask(conn->core, mask);
  if (!has_mask)
    stwi_conn_dirty(conn);
  return has_mask;
}

bool stwi_conn_put_frame(struct stwi_conn *conn, struct stwi_writer *w, unsigned opcode, bool fin,
                         const void *prefix, size_t prefix_size, const void *payload, size_t size) {
  uint8_t mask[4];
  if (!take_mask(conn, w, prefix_size + size, mask))
    return false;
  w->at += prefix_size == 0 ? stwi_frame_encode(w->at, opcode, fin, mask, payload, size)
                            : stwi_frame_encode_two(w->at, opcode, fin, mask, prefix, prefix_size,
                                                    payload, size);
  return true;
}

static bool put_frame(struct stwi_conn *conn, struct stwi_writer *w, unsigned opcode,
                      const void *payload, size_t size) {
  return stwi_conn_put_frame(conn, w, opcode, true, NULL, 0, payload, size);
}

bool stwi_conn_begin_write(struct stwi_conn *conn, struct stwi_writer *w, size_t room) {
  uint8_t *bytes = stwi_arena_take(&conn->core->arena, STWI_WRITE_HEADROOM + room);
  if (bytes == NULL)
    return false;
  w->start = w->at = bytes + STWI_WRITE_HEADROOM;
  w->end = w->start + room;
  return true;
}

/* Bytes went out. */
static void wrote(struct stwi_conn *conn, struct stwi_link *link, size_t size) {
  link->is_writing = true;
  link->out_bytes += size;
  link->wrote_at = conn->core->now;
  stwi_conn_kernel_written(conn, link);
  conn->metrics[STW_METRIC_WIRE_OUT_BYTES] += size;
}

void stwi_conn_finish_write(struct stwi_conn *conn, struct stwi_link *link,
                            const struct stwi_writer *w) {
  size_t size = (size_t)(w->at - w->start);
  stwi_arena_trim(&conn->core->arena, w->start - STWI_WRITE_HEADROOM, STWI_WRITE_HEADROOM + size);
  if (size == 0)
    return;
  struct stwi_effect *effect = stwi_conn_effect(conn, STWI_FX_WRITE, link->gen);
  if (effect == NULL)
    return;
  effect->u.write.data = w->start;
  effect->u.write.size = size;
  wrote(conn, link, size);
}

static void put_u64(uint8_t *out, uint64_t value) {
  for (int i = 0; i < 8; i++)
    out[i] = (uint8_t)(value >> (56 - 8 * i));
}

static uint64_t get_u64(const uint8_t *in) {
  uint64_t value = 0;
  for (int i = 0; i < 8; i++)
    value = value << 8 | in[i];
  return value;
}

static uint32_t get_u32(const uint8_t *in) {
  return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

/* On a slow path the bytes before a question delay its answer: that is no silence. */
static stwi_time question_due(const struct stwi_conn *conn, const struct stwi_link *link,
                              uint64_t out_bytes) {
  return conn->core->now + (out_bytes - link->proven_bytes) * conn->byte_ns;
}

/* Slower at once, faster bit by bit; twice what was seen, for paths change. */
static void learn_rate(struct stwi_conn *conn, uint64_t bytes, uint64_t ns) {
  if (bytes < RATE_BYTES_MIN)
    return;
  uint64_t seen = 2 * ns / bytes;
  if (seen < conn->byte_ns)
    seen = (7 * conn->byte_ns + seen) / 8;
  conn->byte_ns = seen < STWI_BYTE_NS_MAX ? seen : STWI_BYTE_NS_MAX;
}

void stwi_conn_learn_slow(struct stwi_conn *conn, const struct stwi_link *link) {
  if (link->out_bytes - link->proven_bytes < RATE_BYTES_MIN)
    return;
  conn->byte_ns = conn->byte_ns < STWI_BYTE_NS_MAX / 2 ? 2 * conn->byte_ns : STWI_BYTE_NS_MAX;
}

/* A barrier stands behind everything up to `out_bytes` of the link. */
static void asked(struct stwi_conn *conn, struct stwi_link *link, uint64_t out_bytes) {
  stwi_conn_idle_asked(conn, link);
  link->barrier_id++;
  uint32_t tail = (link->barrier_head + link->barrier_count++) % STWI_BARRIERS_MAX;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    link->barriers[tail].upto[lane] = stwi_conn_whole_upto(conn, (stw_lane)lane);
  link->barriers[tail].at = conn->core->now;
  link->barriers[tail].out_bytes = out_bytes;
  link->barriers[tail].due = question_due(conn, link, out_bytes);
  link->barrier_at = conn->core->now;
  link->since_barrier_bytes = 0;
  link->unproven_since = 0;
  conn->metrics[STW_METRIC_BARRIERS]++;
  stwi_pulse_asked(&conn->pulse, link->barriers[tail].due);
}

/* PING{magic, generation, barrier}: its PONG proves everything written before it. */
static void put_barrier(struct stwi_conn *conn, struct stwi_link *link, struct stwi_writer *w) {
  if (link->barrier_count == STWI_BARRIERS_MAX)
    return;
  uint8_t payload[STWI_BARRIER_PAYLOAD];
  memcpy(payload, barrier_magic, sizeof barrier_magic);
  for (int i = 0; i < 4; i++)
    payload[4 + i] = (uint8_t)(link->gen >> (24 - 8 * i));
  put_u64(payload + 8, link->barrier_id + 1);
  if (put_frame(conn, w, STWI_OP_PING, payload, sizeof payload))
    asked(conn, link, link->out_bytes + (uint64_t)(w->at - w->start));
}

/* A sender may be waiting for room: then proofs must not wait for company. */
static bool is_half_full(const struct stwi_conn *conn) {
  const struct stwi_outbox *bounds = &conn->lanes[STW_LANE_DATA];
  return stwi_lanes_messages(conn->lanes) >= (bounds->messages_max + 1) / 2 ||
         stwi_lanes_bytes(conn->lanes) >= bounds->bytes_max / 2;
}

static bool is_cautious(const struct stwi_conn *conn) {
  return conn->lanes[STW_LANE_DATA].is_cautious || conn->lanes[STW_LANE_CONTROL].is_cautious;
}

stwi_time stwi_barrier_due(const struct stwi_conn *conn) {
  const struct stwi_link *link = conn->active;
  if (link->unproven_since == 0 || !stwi_conn_may_ask(conn))
    return STWI_NEVER;
  if (link->barrier_count == STWI_BARRIERS_MAX || !link->profile->carries(conn))
    return STWI_NEVER;
  bool is_urgent = conn->is_closing || is_cautious(conn) || is_half_full(conn) ||
                   link->since_barrier_bytes >= STWI_BARRIER_BYTES;
  if (is_urgent)
    return link->unproven_since;
  stwi_time at = link->barrier_at + STWI_BARRIER_AFTER;
  return at > link->unproven_since ? at : link->unproven_since;
}

static size_t pongs_room(const struct stwi_link *link) {
  size_t room = 0;
  for (uint32_t at = 0; at < link->pongs_used; at += 1u + link->pongs[at]) {
    room += stwi_frame_size(link->pongs[at], true);
  }
  return room;
}

static void put_pongs(struct stwi_conn *conn, struct stwi_link *link, struct stwi_writer *w) {
  uint32_t at = 0;
  while (at < link->pongs_used) {
    if (!put_frame(conn, w, STWI_OP_PONG, link->pongs + at + 1, link->pongs[at]))
      break;
    at += 1u + link->pongs[at];
  }
  if (at == 0)
    return;
  memmove(link->pongs, link->pongs + at, link->pongs_used - at);
  link->pongs_used -= at;
  if (link->pongs_used > 0)
    return;
  stwi_free(link->pongs);
  link->pongs = NULL;
}

/* Nothing but control frames may come inside a message that was begun (RFC 6455 section 5.4); where
 * lanes interleave nothing of the same lane. */
static bool is_within_message(const struct stwi_link *link) {
  if (link->parts[STW_LANE_DATA].msg != NULL)
    return true;
  return !link->profile->has_interleaving && link->parts[STW_LANE_CONTROL].msg != NULL;
}

static bool takes_opening(const struct stwi_conn *conn, const struct stwi_link *link) {
  return !is_within_message(link) && link->profile->takes_opening(conn);
}

static size_t opening_room(const struct stwi_conn *conn) {
  size_t room = 0;
  for (const struct stwi_opening_item *i = conn->opening.first; i != NULL; i = i->next) {
    if (i->is_due)
      room += stwi_frame_size(i->size + STWI_SESSION_HEAD, true);
  }
  return room;
}

/* An opening message goes as one frame, ahead of every message. */
static void put_opening(struct stwi_conn *conn, struct stwi_writer *w) {
  for (struct stwi_opening_item *i = conn->opening.first; i != NULL; i = i->next) {
    if (!i->is_due)
      continue;
    if (!conn->active->profile->put_opening(conn, w, i))
      return;
    i->is_due = false;
  }
}

static void count_write(struct stwi_conn *conn, struct stwi_link *link, stw_lane lane,
                        const struct stwi_msg *msg) {
  conn->metrics[STW_METRIC_WRITTEN]++;
  link->written_upto[lane] = msg->number;
  stwi_pulse_talked(&conn->pulse, conn->core->now);
}

static bool is_taken_by_other(const struct stwi_link *link, stw_lane lane) {
  if (link->profile->has_interleaving)
    return false;
  return link->parts[STW_LANE_COUNT - 1 - lane].msg != NULL;
}

/* Puts the next message of the lane, or part of one.  False where there is none, or no room. */
static bool put_next(struct stwi_conn *conn, struct stwi_link *link, struct stwi_writer *w,
                     stw_lane lane) {
  struct stwi_outbox *outbox = &conn->lanes[lane];
  struct stwi_part *part = &link->parts[lane];
  if (is_taken_by_other(link, lane))
    return false;
  struct stwi_msg *next = part->msg == NULL ? link->profile->next(conn, lane) : NULL;
  const struct stwi_msg *msg = part->msg == NULL ? next : part->msg;
  int64_t put = msg == NULL ? -1 : link->profile->put_message(conn, w, msg, part->at);
  if (put < 0)
    return false;
  if (next != NULL)
    stwi_outbox_wrote(outbox, next);
  part->at += (uint32_t)put;
  link->since_barrier_bytes += (uint64_t)put;
  if (link->unproven_since == 0)
    link->unproven_since = conn->core->now;
  part->msg = msg;
  if (part->at == msg->size) {
    count_write(conn, link, lane, msg);
    *part = (struct stwi_part){NULL, 0};
  }
  return true;
}

/* The control lane goes first, except inside a message of the other one on a plain link.  Opening
 * messages that wait go before the next message of the data lane. */
static void put_messages(struct stwi_conn *conn, struct stwi_link *link, struct stwi_writer *w,
                         bool has_opening) {
  while (!link->profile->has_interleaving && link->parts[STW_LANE_DATA].msg != NULL &&
         put_next(conn, link, w, STW_LANE_DATA))
    continue;
  while (put_next(conn, link, w, STW_LANE_CONTROL))
    continue;
  while (put_next(conn, link, w, STW_LANE_DATA)) {
    if (has_opening && !is_within_message(link))
      return;
  }
}

/* Bytes of the next message or part, 0 if nothing may be written. */
static size_t next_room(struct stwi_conn *conn) {
  const struct stwi_profile_ops *profile = conn->active->profile;
  for (unsigned lane = STW_LANE_COUNT; lane-- > 0;) {
    const struct stwi_msg *msg = conn->active->parts[lane].msg;
    if (msg == NULL)
      msg = profile->next(conn, (stw_lane)lane);
    size_t size = msg == NULL || msg->size > STWI_PART_BYTES ? STWI_PART_BYTES : msg->size;
    if (msg != NULL)
      return stwi_frame_size(size, true) + 2 * profile->head_bytes;
  }
  return 0;
}

/* Bytes that the messages waiting need at most, within one turn's share; at least the next one. */
static size_t data_room(struct stwi_conn *conn) {
  size_t first = next_room(conn);
  if (first == 0)
    return 0;
  uint64_t bytes = stwi_lanes_bytes(conn->lanes);
  uint64_t frames = stwi_lanes_messages(conn->lanes) + bytes / STWI_PART_BYTES;
  uint64_t head = STWI_FRAME_HEADER_BYTES_MAX + conn->active->profile->head_bytes;
  uint64_t all = bytes + frames * head;
  size_t room = all < STWI_TURN_BYTES ? (size_t)all : STWI_TURN_BYTES;
  return room > first ? room : first;
}

static bool needs_barrier(const struct stwi_conn *conn) {
  return stwi_barrier_due(conn) <= conn->core->now;
}

void stwi_conn_pump(struct stwi_conn *conn) {
  struct stwi_link *link = conn->active;
  if (link == NULL || link->is_writing || link->has_close_sent)
    return;
  bool has_data = link->profile->carries(conn);
  size_t data = has_data ? data_room(conn) : 0;
  size_t opening = opening_room(conn);
  size_t control = pongs_room(link) + (takes_opening(conn, link) ? opening : 0);
  control += link->profile->control_room(conn);
  bool has_barrier = has_data && needs_barrier(conn);
  if (data + control == 0 && !has_barrier)
    return;
  struct stwi_writer w;
  if (!stwi_conn_begin_write(conn, &w,
                             control + data + stwi_frame_size(STWI_BARRIER_PAYLOAD, true)))
    return;
  put_pongs(conn, link, &w);
  link->profile->put_control(conn, &w);
  if (takes_opening(conn, link))
    put_opening(conn, &w);
  if (has_data) {
    w.end -= stwi_frame_size(STWI_BARRIER_PAYLOAD, true);
    put_messages(conn, link, &w, opening > 0 && is_within_message(link));
    w.end += stwi_frame_size(STWI_BARRIER_PAYLOAD, true);
    if (needs_barrier(conn) && stwi_conn_is_live(conn))
      put_barrier(conn, link, &w);
  }
  stwi_conn_finish_write(conn, link, &w);
}

void stwi_conn_writable(struct stwi_conn *conn, struct stwi_link *link) {
  link->is_writing = false;
  if (link != conn->active)
    return;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    uint64_t upto = link->written_upto[lane];
    link->written_upto[lane] = 0;
    stwi_conn_prove(conn, (stw_lane)lane, STW_PROOF_WRITTEN, upto);
  }
}

/* Asks now.  Where a write is under way the barrier goes out with the next one. */
void stwi_conn_probe(struct stwi_conn *conn) {
  struct stwi_link *link = conn->active;
  if (link == NULL || !stwi_conn_may_ask(conn))
    return;
  if (link->is_writing || link->has_close_sent) {
    if (link->unproven_since == 0)
      link->unproven_since = conn->core->now;
    /* A write that the socket does not take is a question too. */
    stwi_pulse_asked(&conn->pulse, question_due(conn, link, link->out_bytes));
    return;
  }
  struct stwi_writer w;
  if (!stwi_conn_begin_write(conn, &w, stwi_frame_size(STWI_BARRIER_PAYLOAD, true)))
    return;
  put_barrier(conn, link, &w);
  stwi_conn_finish_write(conn, link, &w);
}

void stwi_conn_expect_fresh(struct stwi_conn *conn) {
  const struct stwi_link *link = conn->active;
  if (conn->state != STW_STATE_SUSPECT || link == NULL)
    return;
  conn->probe_id = link->barrier_id + (link->is_writing && link->unproven_since != 0);
}

/* NO_PONG, once for as long as the endpoint is held to be mute. */
static void tell_mute(struct stwi_conn *conn) {
  bool is_mute = conn->endpoints[conn->active->endpoint]->is_mute;
  if (is_mute && !conn->has_told_mute)
    stwi_conn_event(conn, STW_EVENT_NO_PONG, conn->active->gen);
  conn->has_told_mute = is_mute;
}

void stwi_conn_replay(struct stwi_conn *conn) {
  if (conn->replay_messages > 0) {
    stw_event *event = stwi_conn_event(conn, STW_EVENT_REPLAY, conn->active->gen);
    if (event != NULL) {
      event->u.replay.messages = conn->replay_messages;
      event->u.replay.bytes = conn->replay_bytes;
    }
    conn->replay_messages = conn->replay_bytes = 0;
  }
  tell_mute(conn);
}

void stwi_conn_pong_owed(struct stwi_conn *conn, struct stwi_link *link, const uint8_t *payload,
                         size_t size) {
  stwi_conn_dirty(conn);
  if (link->pongs == NULL)
    link->pongs = stwi_alloc(STWI_PONGS_BYTES_MAX);
  if (link->pongs == NULL)
    return;
  while (link->pongs_used + 1 + size > STWI_PONGS_BYTES_MAX) {
    uint32_t first = 1u + link->pongs[0];
    memmove(link->pongs, link->pongs + first, link->pongs_used - first);
    link->pongs_used -= first;
  }
  link->pongs[link->pongs_used++] = (uint8_t)size;
  if (size > 0)
    memcpy(link->pongs + link->pongs_used, payload, size);
  link->pongs_used += (uint32_t)size;
}

static void answered(struct stwi_conn *conn, struct stwi_link *link, uint64_t id) {
  uint64_t first = link->barrier_id - link->barrier_count + 1;
  uint32_t count = (uint32_t)(id - first + 1);
  struct stwi_barrier barrier =
      link->barriers[(link->barrier_head + count - 1) % STWI_BARRIERS_MAX];
  link->barrier_head = (link->barrier_head + count) % STWI_BARRIERS_MAX;
  link->barrier_count -= count;
  stwi_time next = link->barrier_count > 0 ? link->barriers[link->barrier_head].due : 0;
  learn_rate(conn, barrier.out_bytes - link->proven_bytes, conn->core->now - barrier.at);
  link->proven_bytes = barrier.out_bytes;
  stwi_conn_kernel_answered(conn, link);
  link->has_pong = true;
  struct stwi_endpoint *endpoint = conn->endpoints[link->endpoint];
  if (stwi_endpoint_ponged(endpoint))
    stwi_conn_unmuted(conn->core, endpoint);
  stwi_pulse_answered(&conn->pulse, barrier.at, next, conn->core->now);
  stwi_conn_idle_answered(conn, link, id);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_conn_prove(conn, (stw_lane)lane, STW_PROOF_RECEIVED, barrier.upto[lane]);
}

void stwi_conn_ponged(struct stwi_conn *conn, struct stwi_link *link, const uint8_t *payload,
                      size_t size) {
  if (size != STWI_BARRIER_PAYLOAD || memcmp(payload, barrier_magic, sizeof barrier_magic) != 0)
    return;
  if (get_u32(payload + 4) != link->gen || link->barrier_count == 0)
    return;
  uint64_t id = get_u64(payload + 8);
  if (id > link->barrier_id || id <= link->barrier_id - link->barrier_count)
    return;
  answered(conn, link, id);
  bool is_clear = conn->state == STW_STATE_SUSPECT && id >= conn->probe_id &&
                  stwi_pulse_check(&conn->pulse, conn->core->now) < STWI_PULSE_LATE;
  if (is_clear)
    stwi_conn_apply(conn, STWI_LINK_PULSE_OK, STW_CAUSE_RECOVERED);
}

bool stwi_conn_beat(struct stwi_conn *conn, stwi_time at) {
  struct stwi_link *link = conn->active;
  struct stwi_pulse *pulse = &conn->pulse;
  const uint64_t out = link->out_bytes + stwi_quiet_question_bytes();
  stwi_pulse_asked(pulse, question_due(conn, link, out));
  const bool is_late = at >= stwi_pulse_deadline(pulse, conn->core->now);
  pulse->asked_at = 0;
  if (is_late)
    return false;
  asked(conn, link, out);
  wrote(conn, link, stwi_quiet_question_bytes());
  conn->core->now = at;
  stwi_conn_writable(conn, link);
  stwi_conn_heard(conn, stwi_quiet_answer_bytes());
  answered(conn, link, link->barrier_id);
  return true;
}

bool stwi_conn_write_close(struct stwi_conn *conn, struct stwi_link *link, uint16_t code,
                           const char *reason) {
  uint8_t mask[4];
  struct stwi_writer w;
  if (link->is_writing || !stwi_core_mask(conn->core, mask))
    return false;
  if (!stwi_conn_begin_write(conn, &w, stwi_frame_size(STWI_CONTROL_BYTES_MAX, true)))
    return false;
  w.at += stwi_close_encode(w.at, mask, code, reason, strlen(reason));
  stwi_conn_finish_write(conn, link, &w);
  link->has_close_sent = true;
  return true;
}

bool stwi_conn_has_inflight(const struct stwi_conn *conn) {
  return stwi_outbox_has_inflight(&conn->lanes[STW_LANE_DATA]) ||
         stwi_outbox_has_inflight(&conn->lanes[STW_LANE_CONTROL]);
}

bool stwi_conn_is_delivered(const struct stwi_conn *conn) {
  return stwi_outbox_is_settled(&conn->lanes[STW_LANE_DATA]) &&
         stwi_outbox_is_settled(&conn->lanes[STW_LANE_CONTROL]);
}

uint64_t stwi_conn_whole_upto(const struct stwi_conn *conn, stw_lane lane) {
  const struct stwi_msg *begun = conn->active == NULL ? NULL : conn->active->parts[lane].msg;
  return begun != NULL ? begun->number - 1 : stwi_outbox_last_written(&conn->lanes[lane]);
}

void stwi_conn_tell_proof(struct stwi_conn *conn, stw_lane lane, stw_proof proof, uint64_t upto) {
  const struct stwi_outbox *outbox = &conn->lanes[lane];
  bool is_of_link = proof > STW_PROOF_STORED && conn->active != NULL;
  stw_event *event = stwi_conn_event(conn, STW_EVENT_PROOF, is_of_link ? conn->active->gen : 0);
  if (event == NULL)
    return;
  event->u.proof.proof = proof;
  event->u.proof.lane = lane;
  event->u.proof.upto = upto;
  event->u.proof.after = outbox->short_of[proof];
  event->u.proof.settled = outbox->settled;
}

void stwi_conn_prove(struct stwi_conn *conn, stw_lane lane, stw_proof proof, uint64_t upto) {
  struct stwi_outbox *outbox = &conn->lanes[lane];
  stw_proof wanted = stwi_conn_wanted(conn);
  if (upto == 0)
    return;
  if (wanted == STW_PROOF_WRITTEN)
    tell_mute(conn);
  if (stwi_outbox_prove(outbox, proof, upto, wanted))
    stwi_conn_tell_proof(conn, lane, proof, outbox->proven[proof]);
}

static void tell_end(struct stwi_conn *conn, const struct stwi_msg_end *end) {
  stw_event *event = stwi_conn_event(conn, STW_EVENT_MESSAGE_ENDED, 0);
  if (event == NULL)
    return;
  event->u.ended.id = end->id;
  event->u.ended.state = end->state;
  event->u.ended.cause = end->state == STW_MESSAGE_UNKNOWN ? conn->lost_cause : end->cause;
  event->u.ended.detail = stw_message_state_at((size_t)end->state)->text;
}

void stwi_conn_tell_ends(struct stwi_conn *conn) {
  struct stwi_msg_end ends[32];
  size_t count;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    while ((count = stwi_outbox_ends(&conn->lanes[lane], ends, 32)) > 0) {
      for (size_t i = 0; i < count; i++)
        tell_end(conn, &ends[i]);
    }
  }
}
