#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/profile.h"

#define FRAME_ROOM 96u /* an ACK, PONG or GAP with the head of its WebSocket frame */
#define BEARER "Bearer "

/* ---- what may go out ---- */

struct stwi_text stwi_conn_session_token(const struct stwi_conn *conn) {
  const struct stwi_credentials *credentials = &conn->credentials;
  struct stwi_text token = {"", 0};
  if (!credentials->has_token || credentials->headers == NULL)
    return token;
  token.data = credentials->headers[1];
  if (strncmp(token.data, BEARER, strlen(BEARER)) == 0)
    token.data += strlen(BEARER);
  token.size = strlen(token.data);
  return token;
}

/* A frame under a token makes the server forget the one before: it must be committed first. */
static bool is_committed(const struct stwi_conn *conn) {
  return !conn->has_store || conn->stored_serial >= conn->session_serial ||
         !stwi_conn_store_is_well(conn);
}

/* ---- messages out ---- */

/* DATA ahead of WELCOME: where the last WELCOME of this endpoint allowed it. */
static bool is_optimistic(const struct stwi_conn *conn) {
  const struct stwi_session_client *session = &conn->session;
  return session->phase == STWI_SCLIENT_WAITING && session->saved.is_welcomed &&
         (session->caps & STWI_SF_CAP_OPTIMISTIC) != 0 && !session->has_renewed &&
         conn->optimistic_endpoint == conn->active->endpoint;
}

static bool carries(const struct stwi_conn *conn) {
  if (!is_committed(conn))
    return false;
  if (is_optimistic(conn))
    return true;
  return stwi_conn_is_live(conn) && conn->active->phase == STW_PHASE_UP;
}

static bool takes_opening(const struct stwi_conn *conn) {
  return conn->session.phase == STWI_SCLIENT_UP && is_committed(conn);
}

static struct stwi_msg *next(struct stwi_conn *conn, stw_lane lane) {
  struct stwi_outbox *outbox = &conn->lanes[lane];
  const struct stwi_session_client *session = &conn->session;
  struct stwi_msg *msg;
  while ((msg = stwi_outbox_next(outbox, conn->core->now)) != NULL) {
    uint64_t max = session->peer_message_max;
    if (max == 0 || msg->size <= max)
      break;
    char detail[80];
    snprintf(detail, sizeof detail, "the server takes messages up to %llu bytes",
             (unsigned long long)max);
    stwi_conn_session_reject(conn, lane, msg->number, STW_CAUSE_TOO_BIG, detail);
  }
  if (msg == NULL)
    return NULL;
  const struct stwi_outbox *beside = &conn->lanes[STW_LANE_COUNT - 1 - lane];
  bool has_window =
      stwi_sclient_has_window(session, outbox->inflight + beside->inflight,
                              outbox->inflight_bytes + beside->inflight_bytes, msg->size);
  return has_window ? msg : NULL;
}

static bool put_sframe(struct stwi_conn *conn, struct stwi_writer *w,
                       const struct stwi_sframe *frame, const void *payload, size_t size) {
  uint8_t head[STWI_SESSION_HEAD];
  size_t used = conn->core->codec->encode(frame, head, sizeof head);
  return used > 0 && stwi_conn_put_frame(conn, w, STWI_OP_BINARY, true, head, used, payload, size);
}

/* Room for a hole's GAP and the message behind it, or for neither. */
static bool put_hole(struct stwi_conn *conn, struct stwi_writer *w, const struct stwi_msg *msg) {
  struct stwi_sframe gap;
  stw_lane lane = (stw_lane)msg->lane;
  if (!stwi_sclient_hole(&conn->session, lane, msg->number, &gap))
    return true;
  if (!put_sframe(conn, w, &gap, NULL, 0))
    return false;
  stwi_sclient_wrote(&conn->session, lane, msg->number - 1);
  return true;
}

static int64_t put_message(struct stwi_conn *conn, struct stwi_writer *w,
                           const struct stwi_msg *msg, uint32_t at) {
  uint32_t left = msg->size - at;
  uint32_t size = left < STWI_PART_BYTES ? left : STWI_PART_BYTES;
  bool is_last = size == left;
  bool is_replay =
      msg->attempts > (at > 0 ? 1u : 0u) || msg->number <= conn->maybe_written[msg->lane];
  struct stwi_sframe frame;
  frame.type = is_last ? STWI_SF_DATA : STWI_SF_PART;
  frame.u.data.lane = (stw_lane)msg->lane;
  frame.u.data.number = msg->number;
  frame.u.data.flags = 0;
  if (is_last)
    frame.u.data.flags = (msg->is_text ? STWI_SF_TEXT : 0u) | (is_replay ? STWI_SF_REPLAY : 0u);
  frame.u.data.payload = stwi_msg_body(msg) + at;
  frame.u.data.size = size;
  if (!put_hole(conn, w, msg) || !put_sframe(conn, w, &frame, frame.u.data.payload, size))
    return -1;
  if (is_last)
    stwi_sclient_wrote(&conn->session, (stw_lane)msg->lane, msg->number);
  return (int64_t)size;
}

static bool put_opening(struct stwi_conn *conn, struct stwi_writer *w,
                        const struct stwi_opening_item *item) {
  struct stwi_sframe frame = {.type = STWI_SF_DATA};
  frame.u.data.flags = item->is_text ? STWI_SF_TEXT : 0u;
  frame.u.data.payload = stwi_opening_body(item);
  frame.u.data.size = item->size;
  return put_sframe(conn, w, &frame, frame.u.data.payload, item->size);
}

/* ---- control frames ---- */

void stwi_conn_session_auth(struct stwi_conn *conn) {
  conn->is_auth_due = stwi_conn_session_token(conn).size > 0;
  if (!conn->is_auth_due && stwi_conn_can_hedge(conn))
    stwi_conn_apply(conn, STWI_LINK_AUTH_EXPIRING, STW_CAUSE_AUTH_EXPIRING);
}

static bool has_control(const struct stwi_conn *conn, bool is_last) {
  if (!is_committed(conn))
    return false;
  stwi_time due = stwi_sclient_deadline(&conn->session);
  return due <= conn->core->now || (is_last && due != STWI_NEVER);
}

static size_t control_room(const struct stwi_conn *conn) {
  size_t room = 0;
  if (conn->session.phase == STWI_SCLIENT_HELLO && is_committed(conn))
    room += FRAME_ROOM + STWI_SFRAME_HEAD_MAX + stwi_conn_session_token(conn).size;
  if (conn->is_auth_due && is_committed(conn))
    room += FRAME_ROOM + stwi_conn_session_token(conn).size;
  if (has_control(conn, false))
    room += (STWI_SCLIENT_PONGS_MAX + STW_LANE_COUNT) * FRAME_ROOM;
  return room;
}

/* A frame whose texts may be long. */
static bool put_long(struct stwi_conn *conn, struct stwi_writer *w, const struct stwi_sframe *frame,
                     size_t texts) {
  size_t max = STWI_SFRAME_HEAD_MAX + texts;
  uint8_t *bytes = stwi_alloc(max);
  if (bytes == NULL)
    return false;
  size_t used = conn->core->codec->encode(frame, bytes, max);
  bool is_put =
      used > 0 && stwi_conn_put_frame(conn, w, STWI_OP_BINARY, true, bytes, used, NULL, 0);
  memset(bytes, 0, max); /* tokens */
  stwi_free(bytes);
  return is_put;
}

static void fill_place(const struct stwi_conn *conn, struct stwi_sclient_place *place) {
  const struct stwi_conn_config *config = conn->config;
  memset(place, 0, sizeof *place);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct stwi_msg *first = stwi_outbox_after(&conn->lanes[lane], 0);
    place->next[lane] = conn->lanes[lane].taken + 1;
    if (conn->session.saved.found_next[lane] != 0)
      place->next[lane] = conn->session.saved.found_next[lane];
    bool is_past = first == NULL || first->number > place->next[lane];
    place->lowest[lane] = is_past ? place->next[lane] : first->number;
  }
  place->window_bytes = config->inbound_buffer;
  place->idle_ms = config->has_heartbeat ? config->heartbeat_interval_ns / STWI_MS : 0;
  place->auth = stwi_conn_session_token(conn);
}

static void put_hello(struct stwi_conn *conn, struct stwi_writer *w) {
  if (!conn->session.has_cid) {
    uint8_t cid[STWI_CID_BYTES];
    if (!stwi_core_random(conn->core, cid, sizeof cid)) {
      stwi_conn_dirty(conn);
      return;
    }
    stwi_sclient_renew(&conn->session, cid);
  }
  struct stwi_sclient_place place;
  struct stwi_sframe hello;
  fill_place(conn, &place);
  stwi_sclient_hello(&conn->session, &place, &hello);
  if (put_long(conn, w, &hello, place.auth.size))
    return;
  conn->session.phase = STWI_SCLIENT_HELLO; /* once more, with memory or entropy */
  stwi_conn_dirty(conn);
}

static void put_controls(struct stwi_conn *conn, struct stwi_writer *w, bool is_last) {
  struct stwi_sframe frame;
  while ((size_t)(w->end - w->at) >= FRAME_ROOM && has_control(conn, is_last)) {
    if (!stwi_sclient_next_control(&conn->session, conn->core->now, is_last, &frame))
      return;
    put_sframe(conn, w, &frame, NULL, 0);
  }
}

static void put_control(struct stwi_conn *conn, struct stwi_writer *w) {
  if (!is_committed(conn))
    return;
  if (conn->session.phase == STWI_SCLIENT_HELLO)
    put_hello(conn, w);
  put_controls(conn, w, false);
  if (!conn->is_auth_due || conn->session.phase != STWI_SCLIENT_UP)
    return;
  struct stwi_sframe auth = {.type = STWI_SF_AUTH,
                             .u.auth = {.token = stwi_conn_session_token(conn)}};
  conn->is_auth_due = !put_long(conn, w, &auth, auth.u.auth.token.size);
}

static bool flush(struct stwi_conn *conn) {
  struct stwi_link *link = conn->active;
  struct stwi_writer w;
  if (link->is_writing || !has_control(conn, true))
    return false;
  if (!stwi_conn_begin_write(conn, &w, (STWI_SCLIENT_PONGS_MAX + STW_LANE_COUNT) * FRAME_ROOM))
    return false;
  put_controls(conn, &w, true);
  stwi_conn_finish_write(conn, link, &w);
  return link->is_writing;
}

static stwi_time deadline(const struct stwi_conn *conn) {
  if (conn->active->is_writing || !is_committed(conn))
    return STWI_NEVER;
  return stwi_sclient_deadline(&conn->session);
}

const struct stwi_profile_ops stwi_profile_session = {
    .carries = carries,
    .takes_opening = takes_opening,
    .next = next,
    .put_message = put_message,
    .put_opening = put_opening,
    .control_room = control_room,
    .put_control = put_control,
    .flush = flush,
    .deadline = deadline,
    .message = stwi_conn_session_message,
    .up = stwi_conn_session_up,
    .lost = stwi_conn_session_lost,
    .settles_at = STW_PROOF_ACCEPTED,
    .head_bytes = STWI_SESSION_HEAD,
    .has_interleaving = true,
    .has_own_traffic = true,
};
