#include "core/session_server_inside.h"

#include "core/utf8.h"

#include <string.h>

typedef unsigned long long number;

static stw_status violate(struct stwi_server *server, uint32_t code, stw_session_item *item) {
  server->is_broken = true;
  stwi_server_drop_parts(server);
  item->close_code = code;
  return STW_E_PROTOCOL;
}

#define VIOLATION(server, item, code, ...)                                                         \
  (EXPLAIN(server, __VA_ARGS__), violate(server, code, item))

stw_status stwi_server_break(struct stwi_server *server, uint32_t close_code, const char *why,
                             stw_session_item *item) {
  return VIOLATION(server, item, close_code, "%s", why);
}

stw_status stwi_server_check_link(struct stwi_server *server, uint32_t link,
                                  stw_session_item *item) {
  *item = (stw_session_item){.kind = STW_SESSION_NOTHING};
  if (link != server->link) {
    item->close_code = STWI_CLOSE_REPLACED;
    return REFUSE(server, STW_E_STATE, "link %u is not the newest: link %u has taken over", link,
                  server->link);
  }
  if (server->is_open && !server->is_broken && !server->has_peer_closed)
    return STW_OK;
  item->close_code = STWI_CLOSE_PROTOCOL;
  return REFUSE(server, STW_E_STATE, "link %u is closed", link);
}

void stwi_server_owe_ack(struct stwi_server *server, stw_lane lane, uint64_t messages,
                         uint64_t bytes, uint64_t now) {
  const bool is_urgent = lane == STW_LANE_CONTROL;
  stwi_ack_owe(&server->lanes[lane].ack, &server->ack_policy, messages, bytes, is_urgent, now);
}

/* ---- messages ---- */

/* Both lanes together; one message may always be on its way, however large. */
static bool is_in_window(const struct stwi_server *server, size_t size) {
  uint64_t messages = 0, bytes = 0;
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    messages += server->lanes[i].unaccepted.count;
    bytes += server->lanes[i].unaccepted.bytes;
  }
  const stw_session_options *options = &server->options;
  return messages == 0 ||
         (messages < options->window_messages && bytes + size <= options->window_bytes);
}

/* E_MEMORY: nothing was added. */
static stw_status append(struct stwi_server *server, const struct stwi_sframe *frame) {
  struct stwi_parts *parts = &server->lanes[frame->u.data.lane].parts;
  if (stwi_parts_add(parts, frame->u.data.number, frame->u.data.payload, frame->u.data.size))
    return STW_OK;
  return REFUSE(server, STW_E_MEMORY, "no memory for a message of %zu bytes",
                parts->size + frame->u.data.size);
}

/* What was lent with the last item is free now. */
static void release_lent(struct stwi_server *server) {
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    struct stwi_server_lane *lane = &server->lanes[i];
    if (lane->are_parts_lent)
      stwi_parts_drop(&lane->parts);
    lane->are_parts_lent = false;
  }
}

static stw_status check_number(struct stwi_server *server, const struct stwi_sframe *frame,
                               stw_session_item *item) {
  const struct stwi_server_lane *lane = &server->lanes[frame->u.data.lane];
  const struct stwi_parts *parts = &lane->parts;
  const uint64_t wanted = lane->received + 1;
  const size_t size = parts->size + frame->u.data.size;
  if (frame->u.data.number > wanted) {
    return VIOLATION(server, item, STWI_CLOSE_PROTOCOL, "number %llu comes where %llu is next",
                     (number)frame->u.data.number, (number)wanted);
  }
  if (parts->is_begun && parts->number != frame->u.data.number) {
    return VIOLATION(server, item, STWI_CLOSE_PROTOCOL,
                     "number %llu comes while message %llu is not complete",
                     (number)frame->u.data.number, (number)parts->number);
  }
  if (size > server->options.message_max) {
    return VIOLATION(server, item, STWI_CLOSE_TOO_BIG,
                     "a message of at least %zu bytes; the most is %llu", size,
                     (number)server->options.message_max);
  }
  return STW_OK;
}

static void note_arrival(struct stwi_server_lane *lane, uint64_t upto) {
  if (upto > lane->arrived)
    lane->arrived = upto;
}

static bool is_duplicate(const struct stwi_server_lane *lane, const struct stwi_sframe *frame) {
  return frame->u.data.number != 0 && frame->u.data.number <= lane->received;
}

static stw_status take_part(struct stwi_server *server, const struct stwi_sframe *frame,
                            uint64_t now, stw_session_item *item) {
  (void)now;
  struct stwi_server_lane *lane = &server->lanes[frame->u.data.lane];
  if (frame->u.data.number == 0)
    return VIOLATION(server, item, STWI_CLOSE_PROTOCOL, "PART without a number");
  if (is_duplicate(lane, frame))
    return STW_OK;
  const stw_status status = check_number(server, frame, item);
  if (status != STW_OK)
    return status;
  return append(server, frame);
}

static stw_status give_message(struct stwi_server *server, const struct stwi_sframe *frame,
                               stw_session_item *item) {
  struct stwi_server_lane *lane = &server->lanes[frame->u.data.lane];
  const struct stwi_parts *parts = &lane->parts;
  const uint8_t *data = frame->u.data.payload;
  size_t size = frame->u.data.size;
  const bool is_text = (frame->u.data.flags & STWI_SF_TEXT) != 0;
  if (parts->is_begun) {
    const stw_status status = append(server, frame);
    if (status != STW_OK)
      return status;
    data = parts->data;
    size = parts->size;
  }
  if (is_text && !stwi_utf8_valid(data, size))
    return VIOLATION(server, item, STWI_CLOSE_TEXT, "a text message is not UTF-8");
  lane->are_parts_lent = parts->is_begun;
  item->kind = STW_SESSION_MESSAGE;
  item->u.message.number = frame->u.data.number;
  item->u.message.data = data;
  item->u.message.size = size;
  item->u.message.is_text = is_text;
  item->u.message.is_replayed = (frame->u.data.flags & STWI_SF_REPLAY) != 0;
  return STW_OK;
}

static stw_status take_data(struct stwi_server *server, const struct stwi_sframe *frame,
                            uint64_t now, stw_session_item *item) {
  struct stwi_server_lane *lane = &server->lanes[frame->u.data.lane];
  if (is_duplicate(lane, frame)) {
    lane->duplicates++;
    note_arrival(lane, frame->u.data.number);
    stwi_server_owe_ack(server, frame->u.data.lane, 0, 0, now);
    return STW_OK;
  }
  stw_status status = check_number(server, frame, item);
  if (status == STW_OK)
    status = give_message(server, frame, item);
  if (status != STW_OK || frame->u.data.number == 0)
    return status;
  if (!is_in_window(server, item->u.message.size)) {
    *item = (stw_session_item){.kind = STW_SESSION_NOTHING};
    return VIOLATION(server, item, STWI_CLOSE_PROTOCOL,
                     "more than the window of %llu messages and %llu bytes is unacknowledged",
                     (number)server->options.window_messages, (number)server->options.window_bytes);
  }
  if (!stwi_unaccepted_add(&lane->unaccepted, lane->received + 1, item->u.message.size))
    return REFUSE(server, STW_E_MEMORY, "no memory to count a message");
  lane->received++;
  note_arrival(lane, lane->received);
  if (!server->options.accepts_later)
    return stwi_server_accept(server, frame->u.data.lane, lane->received, now);
  return STW_OK;
}

static stw_gap_reason reason_of(uint32_t code) {
  switch (code) {
  case STWI_GAP_REMOVED:
    return STW_GAP_REMOVED;
  case STWI_GAP_OVERFLOW:
    return STW_GAP_OVERFLOW;
  default:
    return STW_GAP_REPLAY_LOST;
  }
}

static stw_status take_gap(struct stwi_server *server, const struct stwi_sframe *frame,
                           uint64_t now, stw_session_item *item) {
  struct stwi_server_lane *lane = &server->lanes[frame->u.gap.lane];
  const uint64_t from = frame->u.gap.from, to = frame->u.gap.to;
  if (from < 1 || from > to || to > NUMBER_MAX || from > lane->received + 1) {
    return VIOLATION(server, item, STWI_CLOSE_PROTOCOL, "a gap of %llu to %llu where %llu is next",
                     (number)from, (number)to, (number)lane->received + 1);
  }
  note_arrival(lane, to);
  stwi_unaccepted_drop(&lane->unaccepted, from, to);
  if (to <= lane->received) {
    stwi_server_owe_ack(server, frame->u.gap.lane, 0, 0, now);
    return STW_OK;
  }
  stwi_parts_drop(&lane->parts);
  item->kind = STW_SESSION_GAP;
  item->u.gap.from = lane->received + 1;
  item->u.gap.to = to;
  item->u.gap.reason = reason_of(frame->u.gap.reason);
  lane->received = to;
  if (!server->options.accepts_later)
    return stwi_server_accept(server, frame->u.gap.lane, to, now);
  return STW_OK;
}

/* ---- the rest ---- */

static stw_status take_ack(struct stwi_server *server, const struct stwi_sframe *frame,
                           uint64_t now, stw_session_item *item) {
  (void)now;
  struct stwi_server_lane *lane = &server->lanes[frame->u.ack.lane];
  const uint64_t accepted = frame->u.ack.accepted;
  const uint64_t processed =
      frame->u.ack.has_processed ? frame->u.ack.processed : lane->client_said;
  if (accepted >= lane->cursor || processed > accepted) {
    return VIOLATION(server, item, STWI_CLOSE_PROTOCOL,
                     "ACK of %llu, %llu where %llu was written last", (number)accepted,
                     (number)processed, (number)lane->cursor - 1);
  }
  if (accepted < lane->client_accepted || processed < lane->client_said) {
    return VIOLATION(server, item, STWI_CLOSE_PROTOCOL, "ACK of %llu, %llu takes back %llu, %llu",
                     (number)accepted, (number)processed, (number)lane->client_accepted,
                     (number)lane->client_said);
  }
  if (accepted > lane->client_had)
    stwi_server_confirm(server);
  lane->client_said = processed;
  const bool has_more = accepted > lane->client_accepted || processed > lane->client_processed;
  stwi_server_client_has(server, lane, accepted, processed);
  if (!has_more)
    return STW_OK;
  item->kind = STW_SESSION_PROOF;
  item->u.proof.accepted = lane->client_accepted;
  item->u.proof.processed = lane->client_processed;
  item->u.proof.kept_from = lane->forgotten + 1;
  return STW_OK;
}

static stw_status take_nack(struct stwi_server *server, const struct stwi_sframe *frame,
                            uint64_t now, stw_session_item *item) {
  (void)now;
  const struct stwi_server_lane *lane = &server->lanes[frame->u.nack.lane];
  if (frame->u.nack.number < 1 || frame->u.nack.number >= lane->cursor) {
    return VIOLATION(server, item, STWI_CLOSE_PROTOCOL, "NACK of %llu where %llu was written last",
                     (number)frame->u.nack.number, (number)lane->cursor - 1);
  }
  item->kind = STW_SESSION_REJECTED;
  item->u.rejected.number = frame->u.nack.number;
  item->u.rejected.code = frame->u.nack.code;
  item->u.rejected.text = frame->u.nack.text.data;
  item->u.rejected.text_size = frame->u.nack.text.size;
  return STW_OK;
}

/* Only the latest PING of several is answered, so that they cannot pile up. */
static void take_ping(struct stwi_server *server, const struct stwi_sframe *frame) {
  server->ping_n = frame->u.ping.n;
  server->ping_t = frame->u.ping.t;
  server->is_pong_due = true;
}

static stw_status take_text(struct stwi_server *server, const struct stwi_sframe *frame,
                            stw_session_item *item) {
  if (frame->type == STWI_SF_CLOSE) {
    server->has_peer_closed = true;
    item->kind = STW_SESSION_CLOSED;
    item->u.text.code = frame->u.close.code;
    item->u.text.data = frame->u.close.text.data;
    item->u.text.size = frame->u.close.text.size;
    return STW_OK;
  }
  if (frame->u.auth.is_answer)
    return VIOLATION(server, item, STWI_CLOSE_PROTOCOL, "the client answers an AUTH");
  item->kind = STW_SESSION_AUTH;
  item->u.text.data = frame->u.auth.token.data;
  item->u.text.size = frame->u.auth.token.size;
  return STW_OK;
}

static stw_status take_frame(struct stwi_server *server, const struct stwi_sframe *frame,
                             uint64_t now, stw_session_item *item) {
  switch (frame->type) {
  case STWI_SF_DATA:
    return take_data(server, frame, now, item);
  case STWI_SF_PART:
    return take_part(server, frame, now, item);
  case STWI_SF_ACK:
    return take_ack(server, frame, now, item);
  case STWI_SF_NACK:
    return take_nack(server, frame, now, item);
  case STWI_SF_GAP:
    return take_gap(server, frame, now, item);
  case STWI_SF_PING:
    take_ping(server, frame);
    return STW_OK;
  case STWI_SF_PONG:
    return STW_OK;
  case STWI_SF_AUTH:
  case STWI_SF_CLOSE:
    return take_text(server, frame, item);
  default:
    if (frame->type >= STWI_SF_IGNORED_FROM)
      return STW_OK;
    return VIOLATION(server, item, STWI_CLOSE_PROTOCOL, "a frame of type %u from a client",
                     frame->type);
  }
}

/* The lane of a frame that has one. */
static stw_lane lane_of(const struct stwi_sframe *frame) {
  switch (frame->type) {
  case STWI_SF_DATA:
  case STWI_SF_PART:
    return frame->u.data.lane;
  case STWI_SF_ACK:
    return frame->u.ack.lane;
  case STWI_SF_NACK:
    return frame->u.nack.lane;
  case STWI_SF_GAP:
    return frame->u.gap.lane;
  default:
    return STW_LANE_DATA;
  }
}

stw_status stwi_server_receive(struct stwi_server *server, const struct stwi_sframe *frame,
                               uint64_t now, stw_session_item *item) {
  *item = (stw_session_item){.lane = lane_of(frame)};
  release_lent(server);
  if ((unsigned)item->lane >= STW_LANE_COUNT)
    return VIOLATION(server, item, STWI_CLOSE_PROTOCOL, "lane %u does not exist", item->lane);
  const stw_status status = take_frame(server, frame, now, item);
  if (status == STW_E_MEMORY) {
    violate(server, STWI_CLOSE_MEMORY, item);
    return status;
  }
  if (status == STW_OK && !server->is_optimistic)
    stwi_server_confirm(server);
  return status;
}
