#include "core/session_server_inside.h"

#include "core/mem.h"

#include <string.h>

static struct stwi_text text_of(const char *text) {
  return (struct stwi_text){text, strlen(text)};
}

static void put_welcome(struct stwi_server *server, struct stwi_sframe *frame) {
  const stw_session_options *options = &server->options;
  struct stwi_sf_welcome *welcome = &frame->u.welcome;
  frame->type = STWI_SF_WELCOME;
  *welcome = (struct stwi_sf_welcome){
      .version = STWI_SESSION_VERSION,
      .incarnation = server->incarnation,
      .resume = server->resume,
      .caps = STWI_SF_CAP_PARTS | (options->takes_optimistic ? STWI_SF_CAP_OPTIMISTIC : 0u) |
              (options->says_processed ? STWI_SF_CAP_PROCESSED : 0u),
      .ring_ms = options->ring_ms,
      .watermark_ms = options->watermark_ms,
      .window_messages = options->window_messages,
      .window_bytes = options->window_bytes,
      .message_max = options->message_max,
      .idle_ms = options->idle_ms,
      .location = text_of(server->location),
      .server = text_of(server->name),
  };
  memcpy(welcome->sid, server->sid, sizeof welcome->sid);
  memcpy(welcome->token, server->token, sizeof welcome->token);
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    struct stwi_server_lane *lane = &server->lanes[i];
    const struct stwi_ring_entry *entry = stwi_ring_from(&lane->ring, lane->cursor);
    welcome->received[i] = lane->accepted;
    welcome->processed[i] = lane->processed;
    if (lane->arrived < lane->accepted)
      lane->arrived = lane->accepted;
    welcome->lowest[i] = entry == NULL ? lane->next : entry->number;
    welcome->next[i] = lane->next;
  }
  server->is_welcome_due = false;
}

static void put_auth(struct stwi_server *server, struct stwi_sframe *frame) {
  frame->type = STWI_SF_AUTH;
  frame->u.auth.is_answer = true;
  frame->u.auth.is_ok = server->auth_is_ok;
  frame->u.auth.expires_ms = server->auth_expires_ms;
  server->is_auth_due = false;
}

static void put_pong(struct stwi_server *server, struct stwi_sframe *frame) {
  frame->type = STWI_SF_PONG;
  frame->u.ping.n = server->ping_n;
  frame->u.ping.t = server->ping_t;
  server->is_pong_due = false;
}

static void put_close(struct stwi_server *server, struct stwi_sframe *frame) {
  frame->type = STWI_SF_CLOSE;
  frame->u.close.code = server->close_code;
  frame->u.close.text = text_of(server->close_text);
  server->is_close_due = false;
  server->has_closed = true;
}

static void put_goaway(struct stwi_server *server, struct stwi_sframe *frame) {
  frame->type = STWI_SF_GOAWAY;
  frame->u.goaway.after_ms = server->goaway_after_ms;
  frame->u.goaway.spread_ms = server->goaway_spread_ms;
  frame->u.goaway.code = server->goaway_code;
  frame->u.goaway.is_resumable = true;
  frame->u.goaway.location = text_of(server->goaway_location);
  server->is_goaway_due = false;
}

/* ---- acknowledgements ---- */

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static bool put_ack(struct stwi_server *server, uint64_t now, stw_lane which,
                    struct stwi_sframe *frame) {
  struct stwi_server_lane *lane = &server->lanes[which];
  if (!stwi_ack_is_owed(&lane->ack) || (!server->is_close_due && lane->ack.at > now))
    return false;
  frame->type = STWI_SF_ACK;
  frame->u.ack.lane = which;
  /* What an earlier link brought is the host's already, but the client, which writes it again here,
   * takes an ACK ahead of that for a broken rule. */
  frame->u.ack.accepted = least(lane->accepted, lane->arrived);
  frame->u.ack.has_processed = server->options.says_processed;
  frame->u.ack.processed = least(lane->processed, lane->arrived);
  stwi_ack_clear(&lane->ack);
  return true;
}

/* ---- messages ---- */

static void put_gap(struct stwi_server_lane *lane, stw_lane which, uint64_t to, uint32_t reason,
                    struct stwi_sframe *frame) {
  frame->type = STWI_SF_GAP;
  frame->u.gap.lane = which;
  frame->u.gap.from = lane->cursor;
  frame->u.gap.to = to;
  frame->u.gap.reason = reason;
  lane->cursor = to + 1;
}

/* Nothing is kept from the cursor to before `end`. */
static void put_hole(struct stwi_server_lane *lane, stw_lane which, uint64_t end,
                     struct stwi_sframe *frame) {
  const bool is_overflow = lane->cursor <= lane->overflowed_upto;
  uint64_t to = end - 1;
  if (is_overflow && to > lane->overflowed_upto)
    to = lane->overflowed_upto;
  put_gap(lane, which, to, is_overflow ? STWI_GAP_OVERFLOW : STWI_GAP_LOST, frame);
}

/* A message larger than the client's whole window goes out alone. */
static bool is_in_window(const struct stwi_server *server, size_t size) {
  uint64_t messages = 0, bytes = 0;
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    messages += server->lanes[i].inflight_messages;
    bytes += server->lanes[i].inflight_bytes;
  }
  if (messages == 0)
    return true;
  const uint64_t messages_max = server->client_window_messages;
  const uint64_t bytes_max = server->client_window_bytes;
  return (messages_max == 0 || messages < messages_max) &&
         (bytes_max == 0 || (bytes < bytes_max && size <= bytes_max - bytes));
}

static void count_written(struct stwi_server_lane *lane, struct stwi_ring_entry *entry) {
  lane->inflight_messages++;
  lane->inflight_bytes += entry->size;
  lane->is_replay = entry->was_written;
  lane->replayed += entry->was_written;
  entry->was_written = true;
}

/* The message at the cursor, or the next part of it. */
static void put_bytes(struct stwi_server *server, struct stwi_server_lane *lane, stw_lane which,
                      const struct stwi_ring_entry *entry, struct stwi_sframe *frame) {
  const size_t left = entry->size - lane->offset;
  const bool is_part =
      (server->client_caps & STWI_SF_CAP_PARTS) != 0 && left > server->options.part_bytes;
  frame->type = is_part ? STWI_SF_PART : STWI_SF_DATA;
  frame->u.data.lane = which;
  frame->u.data.number = entry->number;
  frame->u.data.flags = 0;
  frame->u.data.payload = entry->data + lane->offset;
  frame->u.data.size = is_part ? (size_t)server->options.part_bytes : left;
  if (is_part) {
    lane->offset += frame->u.data.size;
    return;
  }
  frame->u.data.flags =
      (entry->is_text ? STWI_SF_TEXT : 0u) | (lane->is_replay ? STWI_SF_REPLAY : 0u);
  lane->offset = 0;
  lane->cursor++;
}

size_t stwi_server_next_size(const struct stwi_server *server) {
  const bool has_parts = (server->client_caps & STWI_SF_CAP_PARTS) != 0;
  size_t largest = 0;
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    const struct stwi_server_lane *lane = &server->lanes[i];
    const struct stwi_ring_entry *entry =
        lane->orphan.data != NULL ? &lane->orphan : stwi_ring_from(&lane->ring, lane->cursor);
    size_t size = entry == NULL ? 0 : entry->size;
    if (has_parts && size > server->options.part_bytes)
      size = (size_t)server->options.part_bytes;
    largest = size > largest ? size : largest;
  }
  return largest;
}

static bool put_message(struct stwi_server *server, stw_lane which, struct stwi_sframe *frame) {
  struct stwi_server_lane *lane = &server->lanes[which];
  if (lane->orphan.data != NULL) {
    put_bytes(server, lane, which, &lane->orphan, frame);
    return true;
  }
  struct stwi_ring_entry *entry = stwi_ring_from(&lane->ring, lane->cursor);
  const uint64_t at = entry == NULL ? lane->next : entry->number;
  if (at > lane->cursor) {
    put_hole(lane, which, at, frame);
    return true;
  }
  if (entry == NULL)
    return false;
  if (lane->offset == 0 && !is_in_window(server, entry->size))
    return false;
  if (lane->offset == 0)
    count_written(lane, entry);
  if (server->client_message_max != 0 && entry->size > server->client_message_max)
    put_gap(lane, which, entry->number, STWI_GAP_REMOVED, frame);
  else
    put_bytes(server, lane, which, entry, frame);
  return true;
}

/* What was lent by the last take is free now. */
static void free_orphans(struct stwi_server *server) {
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    struct stwi_server_lane *lane = &server->lanes[i];
    if (lane->orphan.data != NULL && lane->orphan.number < lane->cursor) {
      stwi_free(lane->orphan.data);
      lane->orphan = (struct stwi_ring_entry){.data = NULL};
    }
  }
}

bool stwi_server_take(struct stwi_server *server, uint64_t now, struct stwi_sframe *frame) {
  free_orphans(server);
  if (!server->is_open || server->is_broken || server->has_closed)
    return false;
  if (server->is_welcome_due)
    return put_welcome(server, frame), true;
  if (server->is_auth_due)
    return put_auth(server, frame), true;
  if (server->is_pong_due)
    return put_pong(server, frame), true;
  if (put_ack(server, now, STW_LANE_CONTROL, frame) || put_ack(server, now, STW_LANE_DATA, frame))
    return true;
  if (server->is_close_due)
    return put_close(server, frame), true;
  if (server->has_peer_closed)
    return false;
  if (server->is_goaway_due)
    return put_goaway(server, frame), true;
  return put_message(server, STW_LANE_CONTROL, frame) || put_message(server, STW_LANE_DATA, frame);
}

uint64_t stwi_server_deadline(const struct stwi_server *server) {
  uint64_t at = STW_SESSION_NEVER;
  if (!server->is_open || server->is_broken || server->has_closed)
    return at;
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    if (server->lanes[i].ack.at < at)
      at = server->lanes[i].ack.at;
  }
  return at;
}
