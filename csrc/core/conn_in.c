#include <stdio.h>
#include <string.h>

#include "core/profile.h"

#define DETACH_BYTES_MIN 4096u /* below it a copy costs less than another buffer */

/* Of something that has a size: what begins right behind the bytes is none of theirs. */
static bool lies_in(const uint8_t *data, const uint8_t *bytes, size_t size) {
  return data >= bytes && data < bytes + size;
}

/* What the decoder assembled dies with its next call; effects live until the next step. */
const uint8_t *stwi_conn_lend_item(struct stwi_conn *conn, const struct stwi_item *item,
                                   const uint8_t *bytes, size_t size) {
  if (item->size == 0 || lies_in(item->data, bytes, size))
    return item->data;
  struct stwi_arena *arena = &conn->core->arena;
  bool is_worth_it = item->size >= DETACH_BYTES_MIN && stwi_arena_has_place(arena);
  uint8_t *held = is_worth_it ? stwi_decoder_detach(&conn->active->decoder, item) : NULL;
  if (held != NULL) {
    stwi_arena_adopt(arena, held);
    return held;
  }
  uint8_t *copy = stwi_arena_take(arena, item->size);
  return copy == NULL ? NULL : memcpy(copy, item->data, item->size);
}

bool stwi_conn_deliver(struct stwi_conn *conn, const struct stwi_inbound_message *message) {
  bool has_data = message->data != NULL || message->size == 0;
  struct stwi_effect *effect =
      has_data ? stwi_conn_effect(conn, STWI_FX_MESSAGE, conn->active->gen) : NULL;
  if (effect == NULL)
    return false;
  conn->message_at = conn->core->now;
  stwi_pulse_talked(&conn->pulse, conn->core->now);
  conn->is_stale = false;
  conn->metrics[STW_METRIC_RECEIVED]++;
  conn->metrics[STW_METRIC_RECEIVED_BYTES] += message->size;
  effect->u.message.data = message->data;
  effect->u.message.size = message->size;
  effect->u.message.is_text = message->is_text;
  effect->u.message.is_replayed = message->is_replayed;
  effect->u.message.lane = message->lane;
  effect->u.message.id = message->id;
  if (conn->active->phase != STW_PHASE_OPENING)
    return true;
  bool is_matched = stwi_match_message(&conn->config->ready_when, message->data, message->size);
  stwi_conn_check_ready(conn, is_matched);
  return true;
}

static stw_cause class_cause(stw_class cls) {
  switch (cls) {
  case STW_CLASS_AUTH:
    return STW_CAUSE_AUTH_FAILED;
  case STW_CLASS_OVERLOAD:
    return STW_CAUSE_TRY_LATER;
  case STW_CLASS_SERVER_PLANNED:
    return STW_CAUSE_RESTART;
  case STW_CLASS_PROTOCOL:
    return STW_CAUSE_PEER_PROTOCOL;
  case STW_CLASS_PATH:
  case STW_CLASS_LOCAL:
    return STW_CAUSE_ABNORMAL_FIN;
  case STW_CLASS_HOST:
  case STW_CLASS_COUNT:
    break;
  }
  return STW_CAUSE_CONFIG;
}

stw_cause stwi_conn_cause_of(const struct stwi_conn *conn, uint16_t code) {
  for (size_t i = 0; i < conn->config->cause_count; i++) {
    if (conn->config->causes[i].code == code)
      return class_cause(conn->config->causes[i].cls);
  }
  return stwi_cause_of_close(code);
}

void stwi_conn_describe(char *text, size_t size, const char *what, uint32_t code,
                        struct stwi_text words) {
  int used = snprintf(text, size, "%s %u%s", what, code, words.size > 0 ? ": " : "");
  size_t at = used < 0 ? 0 : (size_t)used;
  for (size_t i = 0; i < words.size && at + 1 < size; i++) {
    text[at++] = words.data[i] >= 0x20 && words.data[i] < 0x7f ? words.data[i] : '?';
  }
  if (at < size)
    text[at] = '\0';
}

static void on_close(struct stwi_conn *conn, struct stwi_link *link, const struct stwi_item *item) {
  char detail[160];
  const struct stwi_text words = {(const char *)item->data, item->size};
  stwi_conn_describe(detail, sizeof detail, "the server closed with", item->close_code, words);
  struct stwi_link_end end = {
      .cause = stwi_conn_cause_of(conn, item->close_code),
      .close_code = item->close_code,
      .hint = stwi_hint_parse(words.data, words.size),
      .detail = detail,
  };
  uint16_t echo = item->close_code == STWI_CLOSE_NONE ? STWI_CLOSE_NONE : item->close_code;
  if (!link->has_close_sent)
    stwi_conn_write_close(conn, link, echo, "");
  stwi_conn_link_over(conn, link, &end);
}

static void on_error(struct stwi_conn *conn, struct stwi_link *link, const struct stwi_item *item) {
  struct stwi_link_end end = {
      .cause = item->close_code == 1009 ? STW_CAUSE_INBOUND_TOO_BIG : STW_CAUSE_FRAME_ERROR,
      .detail = item->why,
  };
  stwi_conn_write_close(conn, link, item->close_code, "");
  stwi_conn_link_over(conn, link, &end);
}

static void on_item(struct stwi_conn *conn, struct stwi_link *link, const struct stwi_item *item,
                    const uint8_t *bytes, size_t size) {
  switch (item->kind) {
  case STWI_ITEM_TEXT:
  case STWI_ITEM_BINARY:
    link->profile->message(conn, link, item, bytes, size);
    break;
  case STWI_ITEM_PING:
    stwi_conn_pong_owed(conn, link, item->data, item->size);
    break;
  case STWI_ITEM_PONG:
    stwi_conn_ponged(conn, link, item->data, item->size);
    break;
  case STWI_ITEM_CLOSE:
    on_close(conn, link, item);
    break;
  default:
    on_error(conn, link, item);
    break;
  }
}

void stwi_conn_heard(struct stwi_conn *conn, size_t size) {
  conn->metrics[STW_METRIC_WIRE_IN_BYTES] += size;
  stwi_pulse_heard(&conn->pulse, conn->core->now);
}

void stwi_conn_bytes(struct stwi_conn *conn, struct stwi_link *link, const uint8_t *bytes,
                     size_t size) {
  stwi_conn_heard(conn, size);
  if (conn->state == STW_STATE_OFFLINE && link->phase == STW_PHASE_UP) {
    stwi_conn_apply(conn, STWI_LINK_BYTES, STW_CAUSE_RECOVERED);
    stwi_pulse_stalled(&conn->pulse, conn->core->now); /* the clocks stood still meanwhile */
  }
  const uint8_t *at = bytes;
  size_t left = size;
  while (conn->active == link) {
    struct stwi_item item = stwi_decoder_next(&link->decoder, &at, &left);
    if (item.kind == STWI_ITEM_NONE)
      break;
    on_item(conn, link, &item, bytes, size);
  }
  bool is_unasked =
      conn->active == link && conn->state == STW_STATE_SUSPECT && !stwi_conn_may_ask(conn);
  if (is_unasked)
    stwi_conn_apply(conn, STWI_LINK_PULSE_OK, STW_CAUSE_RECOVERED);
}
