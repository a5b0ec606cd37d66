#include "core/profile.h"

static bool carries(const struct stwi_conn *conn) {
  return stwi_conn_is_live(conn) && conn->active->phase == STW_PHASE_UP;
}

static bool takes_opening(const struct stwi_conn *conn) {
  (void)conn;
  return true;
}

static struct stwi_msg *next(struct stwi_conn *conn, stw_lane lane) {
  return stwi_outbox_next(&conn->lanes[lane], conn->core->now);
}

/* Long ones go as continuation frames (RFC 6455 section 5.4), so that control frames pass. */
static int64_t put_message(struct stwi_conn *conn, struct stwi_writer *w,
                           const struct stwi_msg *msg, uint32_t at) {
  uint32_t left = msg->size - at;
  uint32_t size = left < STWI_PART_BYTES ? left : STWI_PART_BYTES;
  unsigned opcode = at > 0 ? STWI_OP_CONTINUATION : msg->is_text ? STWI_OP_TEXT : STWI_OP_BINARY;
  const uint8_t *body = stwi_msg_body(msg) + at;
  bool is_put = stwi_conn_put_frame(conn, w, opcode, size == left, NULL, 0, body, size);
  return is_put ? (int64_t)size : -1;
}

static bool put_opening(struct stwi_conn *conn, struct stwi_writer *w,
                        const struct stwi_opening_item *item) {
  unsigned opcode = item->is_text ? STWI_OP_TEXT : STWI_OP_BINARY;
  return stwi_conn_put_frame(conn, w, opcode, true, NULL, 0, stwi_opening_body(item), item->size);
}

static size_t control_room(const struct stwi_conn *conn) {
  (void)conn;
  return 0;
}

static void put_control(struct stwi_conn *conn, struct stwi_writer *w) {
  (void)conn;
  (void)w;
}

static bool flush(struct stwi_conn *conn) {
  (void)conn;
  return false;
}

static stwi_time deadline(const struct stwi_conn *conn) {
  (void)conn;
  return STWI_NEVER;
}

static void on_message(struct stwi_conn *conn, struct stwi_link *link, const struct stwi_item *item,
                       const uint8_t *bytes, size_t size) {
  const struct stwi_inbound_message message = {
      .data = stwi_conn_lend_item(conn, item, bytes, size),
      .size = item->size,
      .is_text = item->kind == STWI_ITEM_TEXT,
  };
  if (stwi_conn_deliver(conn, &message))
    return;
  conn->message_at = conn->core->now; /* no memory: say that one is missing */
  conn->is_stale = false;
  conn->metrics[STW_METRIC_RECEIVED]++;
  conn->metrics[STW_METRIC_RECEIVED_BYTES] += item->size;
  stw_event *event = stwi_conn_event(conn, STW_EVENT_GAP, link->gen);
  if (event == NULL)
    return;
  event->u.gap.reason = STW_GAP_OVERFLOW;
  event->u.gap.known = true;
  event->u.gap.messages = 1;
}

/* What came in between is unknown. */
static void up(struct stwi_conn *conn) {
  if (conn->metrics[STW_METRIC_LINKS] <= 1)
    return;
  stw_event *event = stwi_conn_event(conn, STW_EVENT_GAP, conn->active->gen);
  if (event != NULL)
    event->u.gap.reason = STW_GAP_NEW_LINK;
  conn->metrics[STW_METRIC_GAPS]++;
}

static void lost(struct stwi_conn *conn) {
  uint64_t messages = 0, bytes = 0;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    uint64_t lane_messages, lane_bytes;
    stwi_outbox_link_lost(&conn->lanes[lane], &lane_messages, &lane_bytes);
    messages += lane_messages;
    bytes += lane_bytes;
  }
  stwi_conn_tell_ends(conn); /* before a parked one can be put back */
  if (messages == 0)
    return;
  conn->replay_messages = messages;
  conn->replay_bytes = bytes;
}

const struct stwi_profile_ops stwi_profile_plain = {
    .carries = carries,
    .takes_opening = takes_opening,
    .next = next,
    .put_message = put_message,
    .put_opening = put_opening,
    .control_room = control_room,
    .put_control = put_control,
    .flush = flush,
    .deadline = deadline,
    .message = on_message,
    .up = up,
    .lost = lost,
    .settles_at = STW_PROOF_RECEIVED,
};
