#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/profile.h"
#include "core/utf8.h"

/* ---- beginning ---- */

static bool make_offer(struct stwi_conn *conn) {
  const char *more = conn->config->subprotocols;
  size_t size = strlen(STWI_SESSION_SUBPROTOCOL) + 2 + strlen(more) + 1;
  conn->offer = stwi_alloc(size);
  if (conn->offer == NULL)
    return false;
  snprintf(conn->offer, size, "%s%s%s", STWI_SESSION_SUBPROTOCOL, more[0] == '\0' ? "" : ", ",
           more);
  return true;
}

/* Told ahead of every message that gets a number from now on. */
static void note_found(struct stwi_conn *conn, const uint64_t last_number[STW_LANE_COUNT]) {
  struct stwi_session_saved *session = &conn->session.saved;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    if (session->found_next[lane] == 0)
      session->found_next[lane] = last_number[lane] + 1;
  }
  memcpy(conn->saved.found_next, session->found_next, sizeof conn->saved.found_next);
  const struct stwi_store_change change = {.op = STWI_STORE_SESSION, .session = &conn->saved};
  stwi_conn_store(conn, &change);
}

bool stwi_conn_session_init(struct stwi_conn *conn, const struct stwi_restored *restored) {
  const struct stwi_conn_config *config = conn->config;
  conn->has_sessions = config->profile == STWI_PROFILE_SESSION && conn->core->codec != NULL;
  stwi_sclient_init(&conn->session, restored == NULL ? NULL : &restored->session,
                    config->has_inbound_from ? config->inbound_from : NULL, config->max_message);
  conn->is_token_doubtful = restored != NULL && restored->is_unclean;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    if (restored != NULL && restored->is_unclean)
      conn->maybe_written[lane] = restored->last_number[lane];
  }
  /* a process that died may have told the server of numbers that it had not committed */
  if (restored != NULL && (restored->session.is_welcomed || restored->is_unclean))
    note_found(conn, restored->last_number);
  return !conn->has_sessions || make_offer(conn);
}

void stwi_conn_session_fini(struct stwi_conn *conn) {
  stwi_sclient_fini(&conn->session);
  stwi_free(conn->offer);
  conn->offer = NULL;
}

static void bar_exactly(struct stwi_conn *conn, bool on) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    conn->lanes[lane].bars_exactly = on;
}

/* What at most one link may see must not be written on a plain one after a session's. */
static void downgrade(struct stwi_conn *conn) {
  bar_exactly(conn, !conn->config->may_downgrade);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_outbox_doubt(&conn->lanes[lane], STW_CAUSE_RESUME_REFUSED);
  stwi_conn_tell_ends(conn);
  if (!conn->is_downgraded)
    stwi_conn_event(conn, STW_EVENT_DOWNGRADED, conn->active->gen);
  conn->is_downgraded = true;
}

/* A frame around the largest message must pass the decoder. */
static void allow_heads(struct stwi_conn *conn, struct stwi_link *link) {
  uint64_t max = conn->config->max_message;
  uint64_t room = UINT64_MAX - max;
  link->decoder.message_bytes_max =
      max + (room < STWI_SFRAME_HEAD_MAX ? room : STWI_SFRAME_HEAD_MAX);
}

bool stwi_conn_session_commit(struct stwi_conn *conn, struct stwi_link *link) {
  conn->is_resumed = false;
  if (!conn->has_sessions)
    return false;
  if (strcmp(link->subprotocol, STWI_SESSION_SUBPROTOCOL) != 0) {
    downgrade(conn);
    return false;
  }
  link->profile = &stwi_profile_session;
  conn->is_downgraded = false;
  bar_exactly(conn, false);
  allow_heads(conn, link);
  stwi_sclient_link(&conn->session);
  return true;
}

/* ---- losing a link ---- */

static void unlink_lanes(struct stwi_conn *conn) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    uint64_t messages, bytes;
    stwi_outbox_unlink(&conn->lanes[lane], &messages, &bytes);
    conn->replay_messages += messages;
    conn->replay_bytes += bytes;
  }
}

void stwi_conn_session_lost(struct stwi_conn *conn) {
  stwi_sclient_unlink(&conn->session);
  conn->is_auth_due = false;
  conn->replay_messages = conn->replay_bytes = 0;
  unlink_lanes(conn);
}

static void link_over(struct stwi_conn *conn, struct stwi_link *link, stw_cause cause,
                      uint16_t close_code, const char *detail) {
  struct stwi_link_end end = {.cause = cause, .close_code = close_code, .detail = detail};
  stwi_conn_link_over(conn, link, &end);
}

static void break_link(struct stwi_conn *conn, struct stwi_link *link, uint16_t code,
                       const char *why) {
  stwi_conn_write_close(conn, link, code, why);
  link_over(conn, link, code == 1009 ? STW_CAUSE_INBOUND_TOO_BIG : STW_CAUSE_SESSION_ERROR, 0, why);
}

/* ---- the store ---- */

static void store_session(struct stwi_conn *conn) {
  stwi_sclient_save(&conn->session, &conn->saved);
  const struct stwi_store_change change = {.op = STWI_STORE_SESSION, .session = &conn->saved};
  stwi_conn_store(conn, &change);
  conn->session_serial = conn->store_serial;
}

void stwi_conn_session_processed(struct stwi_conn *conn, stw_lane lane, uint64_t number) {
  if (!conn->has_sessions || (unsigned)lane >= STW_LANE_COUNT ||
      !stwi_sclient_processed(&conn->session, lane, number, conn->core->now))
    return;
  stwi_sclient_save(&conn->session, &conn->saved);
  const struct stwi_store_change change = {
      .op = STWI_STORE_INBOUND, .lane = lane, .number = conn->saved.processed[lane]};
  stwi_conn_store(conn, &change);
}

/* ---- WELCOME ---- */

static void tell_gap(struct stwi_conn *conn, stw_gap_reason reason, stw_lane lane,
                     const struct stwi_sclient_hole *hole) {
  conn->metrics[STW_METRIC_GAPS]++;
  stw_event *event = stwi_conn_event(conn, STW_EVENT_GAP, conn->active->gen);
  if (event == NULL)
    return;
  event->u.gap.reason = reason;
  event->u.gap.lane = lane;
  if (hole == NULL)
    return;
  event->u.gap.known = true;
  event->u.gap.from = hole->from;
  event->u.gap.to = hole->to;
  event->u.gap.messages = hole->to - hole->from + 1;
}

static void settle(struct stwi_conn *conn, stw_lane lane, const struct stwi_sf_welcome *welcome) {
  uint64_t messages, bytes;
  stwi_outbox_arrived(&conn->lanes[lane], welcome->received[lane], &messages, &bytes);
  conn->replay_messages -= messages < conn->replay_messages ? messages : conn->replay_messages;
  conn->replay_bytes -= bytes < conn->replay_bytes ? bytes : conn->replay_bytes;
  stwi_conn_prove(conn, lane, STW_PROOF_ACCEPTED, welcome->received[lane]);
  stwi_conn_prove(conn, lane, STW_PROOF_PROCESSED, conn->session.out[lane].processed);
}

static void on_welcomed(struct stwi_conn *conn, struct stwi_link *link,
                        const struct stwi_sf_welcome *welcome,
                        const struct stwi_sclient_news *news) {
  memset(conn->session.saved.found_next, 0, sizeof conn->session.saved.found_next);
  store_session(conn);
  conn->is_token_doubtful = false;
  conn->is_resumed = news->u.welcomed.resume == STWI_RESUME_FULL;
  conn->metrics[STW_METRIC_RESUMES] += conn->is_resumed;
  conn->optimistic_endpoint = link->endpoint;
  conn->owes_opening |= !conn->is_resumed;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    settle(conn, (stw_lane)lane, welcome);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct stwi_sclient_hole *hole = &news->u.welcomed.holes[lane];
    if (hole->from != 0)
      tell_gap(conn, STW_GAP_REPLAY_LOST, (stw_lane)lane, hole);
  }
  if (news->u.welcomed.is_lost)
    tell_gap(conn, STW_GAP_SESSION_LOST, STW_LANE_DATA, NULL);
  for (struct stwi_opening_item *i = conn->opening.first; i != NULL && conn->owes_opening;
       i = i->next)
    i->is_due = true;
  stwi_conn_phase(conn, link, STW_PHASE_OPENING);
  stwi_conn_check_ready(conn, !conn->owes_opening);
}

void stwi_conn_session_up(struct stwi_conn *conn) {
  conn->owes_opening = false;
}

/* ---- REFUSE ---- */

/* What a process before us may have written counts as written from now on. */
static void count_as_written(struct stwi_conn *conn) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    struct stwi_msg *msg;
    for (uint64_t at = 0; (msg = stwi_outbox_after(&conn->lanes[lane], at)) != NULL;
         at = msg->number) {
      if (msg->attempts == 0 && msg->number <= conn->maybe_written[lane])
        msg->attempts = 1;
    }
  }
}

void stwi_conn_session_leave(struct stwi_conn *conn) {
  if (!conn->has_store)
    return;
  count_as_written(conn);
  stwi_lanes_tell_written(conn->lanes);
}

/* Counts what may have been written under the old session. */
static uint64_t count_unproven(struct stwi_conn *conn) {
  uint64_t count = 0;
  count_as_written(conn);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct stwi_msg *msg;
    for (uint64_t at = 0; (msg = stwi_outbox_after(&conn->lanes[lane], at)) != NULL;
         at = msg->number)
      count += msg->attempts > 0;
  }
  return count;
}

/* False without randomness: the session stays. */
static bool begin_anew(struct stwi_conn *conn, struct stwi_link *link, const char *detail) {
  uint8_t cid[STWI_CID_BYTES];
  if (!stwi_core_random(conn->core, cid, sizeof cid))
    return false;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    link->parts[lane] = (struct stwi_part){NULL, 0};
  unlink_lanes(conn);
  conn->lost_cause = STW_CAUSE_RESUME_REFUSED;
  uint64_t messages = count_unproven(conn);
  stw_event *event = stwi_conn_event(conn, STW_EVENT_SESSION_STALE, link->gen);
  if (event != NULL) {
    event->u.session_stale.messages = messages;
    event->u.session_stale.detail = stwi_conn_lend_text(conn, detail);
  }
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_outbox_doubt(&conn->lanes[lane], STW_CAUSE_RESUME_REFUSED);
  stwi_conn_tell_ends(conn);
  stwi_sclient_renew(&conn->session, cid);
  store_session(conn);
  return true;
}

/* A store that was not closed in order may have missed the last token (level process, or a full
 * disk), and nobody has another one: better a new session than none for ever.  Credentials that
 * went along are doubted first. */
static bool is_token_lost(struct stwi_conn *conn) {
  if (!conn->is_token_doubtful)
    return false;
  conn->auth_refusals++;
  return conn->auth_refusals > (stwi_conn_session_token(conn).size > 0 ? 1u : 0u);
}

static void on_refused(struct stwi_conn *conn, struct stwi_link *link,
                       const struct stwi_sframe *frame) {
  char detail[160];
  uint32_t code = frame->u.close.code;
  stwi_conn_describe(detail, sizeof detail, "the server refused the session with code", code,
                     frame->u.close.text);
  if (code == STWI_REFUSE_STALE) {
    if (!begin_anew(conn, link, detail))
      link_over(conn, link, STW_CAUSE_RESUME_REFUSED, 0, "no randomness for a new session");
    return;
  }
  struct stwi_link_end end = {.cause = STW_CAUSE_SESSION_ERROR, .detail = detail};
  if (code == STWI_REFUSE_VERSION)
    end.cause = STW_CAUSE_PEER_PROTOCOL;
  if (code == STWI_REFUSE_AUTH && is_token_lost(conn)) {
    conn->is_token_doubtful = !begin_anew(conn, link, detail);
    end.cause = STW_CAUSE_RESUME_REFUSED;
  } else if (code == STWI_REFUSE_AUTH) {
    end.cause = STW_CAUSE_AUTH_FAILED;
  }
  if (code == STWI_REFUSE_BUSY) {
    end.cause = STW_CAUSE_TRY_LATER;
    end.hint = stwi_hint_parse(frame->u.close.text.data, frame->u.close.text.size);
  }
  stwi_conn_write_close(conn, link, 1000, "");
  stwi_conn_link_over(conn, link, &end);
}

/* ---- messages in ---- */

/* Makes what the frame lends live as long as the step's effects. */
static const uint8_t *hold_payload(struct stwi_conn *conn, const struct stwi_sclient_news *news,
                                   const struct stwi_item *item, const uint8_t *bytes,
                                   size_t size) {
  struct stwi_arena *arena = &conn->core->arena;
  if (news->u.message.held == NULL) {
    const uint8_t *base = stwi_conn_lend_item(conn, item, bytes, size);
    return base == NULL ? NULL : base + (news->u.message.data - item->data);
  }
  if (stwi_arena_has_place(arena)) {
    stwi_arena_adopt(arena, news->u.message.held);
    return news->u.message.held;
  }
  uint8_t *copy = stwi_arena_take(arena, news->u.message.size);
  if (copy != NULL)
    memcpy(copy, news->u.message.held, news->u.message.size);
  stwi_free(news->u.message.held);
  return copy;
}

static void on_message(struct stwi_conn *conn, struct stwi_link *link,
                       const struct stwi_sframe *frame, const struct stwi_sclient_news *news,
                       const uint8_t *data) {
  stw_lane lane = frame->u.data.lane;
  uint64_t number = frame->u.data.number;
  struct stwi_inbound_message message = {
      .data = data,
      .size = news->u.message.size,
      .is_text = (frame->u.data.flags & STWI_SF_TEXT) != 0,
      .is_replayed = (frame->u.data.flags & STWI_SF_REPLAY) != 0,
      .lane = lane,
  };
  if (number != 0)
    message.id = stwi_sclient_id(&conn->session, lane, number);
  bool has_data = data != NULL || message.size == 0;
  if (has_data && message.is_text && !stwi_utf8_valid(data, message.size)) {
    stwi_sclient_untake(&conn->session, lane, number);
    break_link(conn, link, 1007, "a text message is not UTF-8");
  } else if (!stwi_conn_deliver(conn, &message)) {
    stwi_sclient_untake(&conn->session, lane, number);
    link_over(conn, link, STW_CAUSE_OVERLOAD_LOCAL, 0, "no memory for an inbound message");
  }
}

static void on_gap(struct stwi_conn *conn, const struct stwi_sframe *frame,
                   const struct stwi_sclient_news *news) {
  bool is_removed = frame->u.gap.reason == STWI_GAP_REMOVED;
  tell_gap(conn, is_removed ? STW_GAP_REMOVED : STW_GAP_REPLAY_LOST, frame->u.gap.lane,
           &news->u.gap);
}

/* ---- evidence and wishes of the server ---- */

static void on_acked(struct stwi_conn *conn, const struct stwi_sframe *frame) {
  stw_lane lane = frame->u.ack.lane;
  stwi_conn_prove(conn, lane, STW_PROOF_ACCEPTED, frame->u.ack.accepted);
  if (frame->u.ack.has_processed)
    stwi_conn_prove(conn, lane, STW_PROOF_PROCESSED, frame->u.ack.processed);
}

void stwi_conn_session_reject(struct stwi_conn *conn, stw_lane lane, uint64_t number,
                              stw_cause cause, const char *detail) {
  struct stwi_msg_end end;
  stwi_conn_tell_ends(conn);
  if (!stwi_outbox_reject(&conn->lanes[lane], number, cause) ||
      stwi_outbox_ends(&conn->lanes[lane], &end, 1) == 0)
    return;
  stw_event *event = stwi_conn_event(conn, STW_EVENT_MESSAGE_ENDED, conn->active->gen);
  if (event == NULL)
    return;
  event->u.ended.id = end.id;
  event->u.ended.state = end.state;
  event->u.ended.cause = cause;
  event->u.ended.detail = stwi_conn_lend_text(conn, detail);
}

static void on_nacked(struct stwi_conn *conn, const struct stwi_sframe *frame) {
  char detail[160];
  stwi_conn_describe(detail, sizeof detail, "the server refused it with code", frame->u.nack.code,
                     frame->u.nack.text);
  stwi_conn_session_reject(conn, frame->u.nack.lane, frame->u.nack.number, STW_CAUSE_BAD_PAYLOAD,
                           detail);
}

static uint64_t bounded_ms(uint64_t ms) {
  return ms < STWI_HINT_MAX_MS ? ms : STWI_HINT_MAX_MS;
}

static void on_goaway(struct stwi_conn *conn, const struct stwi_sframe *frame) {
  conn->hint = (struct stwi_hint){.is_given = true,
                                  .after_ms = bounded_ms(frame->u.goaway.after_ms),
                                  .spread_ms = bounded_ms(frame->u.goaway.spread_ms)};
  if (conn->state != STW_STATE_ONLINE || !stwi_conn_can_hedge(conn))
    return; /* the hint paces what follows the server's close */
  stwi_conn_next_endpoint(conn, conn->active->endpoint);
  uint64_t spread = conn->hint.spread_ms * STWI_MS;
  conn->migrate_at = conn->core->now + conn->hint.after_ms * STWI_MS +
                     stwi_random_below(&conn->random, spread + 1);
  char detail[80];
  snprintf(detail, sizeof detail, "the server goes away (code %u)", frame->u.goaway.code);
  stwi_conn_detail(conn, detail);
  stwi_conn_apply(conn, STWI_LINK_GOAWAY, STW_CAUSE_GOAWAY);
}

static void on_close(struct stwi_conn *conn, struct stwi_link *link,
                     const struct stwi_sframe *frame) {
  char detail[160];
  uint32_t given = frame->u.close.code;
  uint16_t code = given > UINT16_MAX ? 0 : (uint16_t)given;
  stwi_conn_describe(detail, sizeof detail, "the server closed the session with", given,
                     frame->u.close.text);
  struct stwi_link_end end = {
      .cause = stwi_conn_cause_of(conn, code),
      .close_code = code,
      .hint = stwi_hint_parse(frame->u.close.text.data, frame->u.close.text.size),
      .detail = detail,
  };
  stwi_conn_write_close(conn, link, 1000, "");
  stwi_conn_link_over(conn, link, &end);
}

static void on_auth(struct stwi_conn *conn, const struct stwi_sframe *frame) {
  if (frame->u.auth.is_ok) {
    stwi_time at = stwi_conn_refresh_time(frame->u.auth.expires_ms, conn->core->now);
    if (at != 0)
      conn->refresh_at = at;
  } else if (stwi_conn_can_hedge(conn)) {
    stwi_conn_apply(conn, STWI_LINK_AUTH_EXPIRING, STW_CAUSE_AUTH_EXPIRING);
  }
}

static void act(struct stwi_conn *conn, struct stwi_link *link, const struct stwi_sframe *frame,
                const struct stwi_sclient_news *news) {
  switch (news->kind) {
  case STWI_SNEWS_NOTHING:
  case STWI_SNEWS_MESSAGE:
    break;
  case STWI_SNEWS_WELCOMED:
    on_welcomed(conn, link, &frame->u.welcome, news);
    break;
  case STWI_SNEWS_REFUSED:
    on_refused(conn, link, frame);
    break;
  case STWI_SNEWS_DUPLICATE:
    conn->metrics[STW_METRIC_DUPLICATES]++;
    break;
  case STWI_SNEWS_ACKED:
    on_acked(conn, frame);
    break;
  case STWI_SNEWS_NACKED:
    on_nacked(conn, frame);
    break;
  case STWI_SNEWS_GAP:
    on_gap(conn, frame, news);
    break;
  case STWI_SNEWS_GOAWAY:
    on_goaway(conn, frame);
    break;
  case STWI_SNEWS_CLOSE:
    on_close(conn, link, frame);
    break;
  case STWI_SNEWS_AUTH:
    on_auth(conn, frame);
    break;
  case STWI_SNEWS_BROKEN:
    break_link(conn, link, news->u.broken.code, news->u.broken.why);
    break;
  }
}

void stwi_conn_session_message(struct stwi_conn *conn, struct stwi_link *link,
                               const struct stwi_item *item, const uint8_t *bytes, size_t size) {
  struct stwi_sframe frame;
  struct stwi_sclient_news news;
  const char *why = "a text message on a link of steadwire.v1";
  bool is_frame = item->kind == STWI_ITEM_BINARY &&
                  conn->core->codec->decode(item->data, item->size, &frame, &why);
  if (!is_frame) {
    break_link(conn, link, 4400, why);
    return;
  }
  stwi_conn_dirty(conn);
  stwi_sclient_take(&conn->session, &frame, conn->core->now, &news);
  if (news.kind == STWI_SNEWS_MESSAGE)
    on_message(conn, link, &frame, &news, hold_payload(conn, &news, item, bytes, size));
  else
    act(conn, link, &frame, &news);
}
