#include "core/session_client.h"

#include <string.h>

static const struct stwi_ack_policy ack_policy = {
    .messages = STWI_ACK_MESSAGES,
    .bytes = STWI_ACK_BYTES,
    .after_ns = STWI_ACK_AFTER_MS * STWI_MS,
};

static void forget_acks(struct stwi_session_client *client) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_ack_clear(&client->in[lane].ack);
}

void stwi_sclient_init(struct stwi_session_client *client, const struct stwi_session_saved *saved,
                       const uint64_t *inbound_from, uint64_t message_max) {
  memset(client, 0, sizeof *client);
  client->message_max = message_max;
  forget_acks(client);
  if (saved != NULL) {
    client->saved = *saved;
    client->has_cid = true;
  }
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    uint64_t from = 0; /* a session that never began has brought nothing */
    if (saved != NULL && saved->is_welcomed)
      from = inbound_from == NULL ? saved->processed[lane] : inbound_from[lane];
    stwi_seen_init(&client->in[lane].seen, from);
  }
}

void stwi_sclient_fini(struct stwi_session_client *client) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_parts_drop(&client->in[lane].parts);
  memset(client->saved.token, 0, sizeof client->saved.token);
}

void stwi_sclient_renew(struct stwi_session_client *client, const uint8_t cid[STWI_CID_BYTES]) {
  bool is_replaced = client->has_cid;
  client->is_after_stale = client->saved.is_welcomed;
  memset(&client->saved, 0, sizeof client->saved);
  memcpy(client->saved.cid, cid, STWI_CID_BYTES);
  client->has_cid = true;
  client->caps = 0;
  memset(client->out, 0, sizeof client->out);
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_seen_init(&client->in[lane].seen, 0);
  if (client->phase == STWI_SCLIENT_OFF)
    return;
  client->phase = STWI_SCLIENT_HELLO;
  client->has_renewed = is_replaced;
}

void stwi_sclient_link(struct stwi_session_client *client) {
  client->phase = STWI_SCLIENT_HELLO;
  client->has_renewed = false;
  client->pong_count = 0;
  forget_acks(client);
}

void stwi_sclient_unlink(struct stwi_session_client *client) {
  client->phase = STWI_SCLIENT_OFF;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_parts_drop(&client->in[lane].parts);
  forget_acks(client);
}

stw_message_id stwi_sclient_id(const struct stwi_session_client *client, stw_lane lane,
                               uint64_t number) {
  stw_message_id id = {.number = number};
  for (unsigned i = 0; i < 8; i++)
    id.stream = id.stream << 8 | client->saved.cid[i];
  id.stream = (id.stream & ~(uint64_t)1) | (uint64_t)lane;
  return id;
}

void stwi_sclient_save(const struct stwi_session_client *client, struct stwi_session_saved *saved) {
  *saved = client->saved;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    saved->processed[lane] = client->in[lane].seen.processed;
}

void stwi_sclient_hello(struct stwi_session_client *client, const struct stwi_sclient_place *place,
                        struct stwi_sframe *frame) {
  memset(frame, 0, sizeof *frame);
  frame->type = STWI_SF_HELLO;
  struct stwi_sf_hello *hello = &frame->u.hello;
  hello->versions = 1u << STWI_SESSION_VERSION;
  memcpy(hello->cid, client->saved.cid, STWI_CID_BYTES);
  hello->has_token = hello->has_incarnation = client->saved.is_welcomed;
  memcpy(hello->token, client->saved.token, STWI_TOKEN_BYTES);
  hello->incarnation = client->saved.incarnation;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct stwi_seen *seen = &client->in[lane].seen;
    hello->lowest[lane] = place->lowest[lane];
    hello->next[lane] = place->next[lane];
    hello->received[lane] = seen->accepted;
    hello->processed[lane] = seen->processed;
    client->out[lane].next = client->out[lane].acked + 1;
    client->given[lane] = place->next[lane];
  }
  hello->caps = STWI_SF_CAP_PROCESSED | STWI_SF_CAP_PARTS;
  hello->window_messages = STWI_SCLIENT_WINDOW_MESSAGES;
  hello->window_bytes = place->window_bytes;
  hello->message_max = client->message_max;
  hello->idle_ms = place->idle_ms;
  hello->auth = place->auth;
  forget_acks(client);
  client->phase = STWI_SCLIENT_WAITING;
}

static void broken(struct stwi_sclient_news *news, const char *why) {
  news->kind = STWI_SNEWS_BROKEN;
  news->u.broken.code = 4400;
  news->u.broken.why = why;
}

/* ---- WELCOME and REFUSE ---- */

static const char *welcome_fault(const struct stwi_session_client *client,
                                 const struct stwi_sf_welcome *welcome) {
  if (welcome->version != STWI_SESSION_VERSION)
    return "WELCOME names a version that was not offered";
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const struct stwi_sclient_in *in = &client->in[lane];
    if (welcome->received[lane] >= client->given[lane])
      return "WELCOME acknowledges a number that was never given";
    if (welcome->received[lane] < client->out[lane].acked)
      return "WELCOME takes back an acknowledgement";
    if (welcome->processed[lane] < client->out[lane].processed)
      return "WELCOME takes back what was processed";
    if (welcome->next[lane] <= in->seen.accepted)
      return "WELCOME takes back numbers that have arrived";
    if (welcome->lowest[lane] > welcome->next[lane])
      return "WELCOME: lo is past nx";
  }
  return NULL;
}

/* Everything below `lowest` that has not arrived never will. */
static void skip_lost(struct stwi_session_client *client, const struct stwi_sf_welcome *welcome,
                      struct stwi_sclient_news *news) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    struct stwi_sclient_in *in = &client->in[lane];
    uint64_t known, lowest = welcome->lowest[lane];
    if (lowest <= in->seen.accepted + 1)
      continue;
    stwi_seen_gap(&in->seen, in->seen.accepted + 1, lowest - 1, &known);
    news->u.welcomed.holes[lane].from = known + 1;
    news->u.welcomed.holes[lane].to = lowest - 1;
  }
}

static bool has_holes(const struct stwi_sclient_news *news) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    if (news->u.welcomed.holes[lane].from != 0)
      return true;
  }
  return false;
}

static void keep_terms(struct stwi_session_client *client, const struct stwi_sf_welcome *welcome) {
  client->caps = welcome->caps;
  client->window_messages = welcome->window_messages;
  client->window_bytes = welcome->window_bytes;
  client->peer_message_max = welcome->message_max;
  client->saved.incarnation = welcome->incarnation;
  client->saved.is_welcomed = true;
  memcpy(client->saved.token, welcome->token, STWI_TOKEN_BYTES);
}

static void on_welcome(struct stwi_session_client *client, const struct stwi_sf_welcome *welcome,
                       struct stwi_sclient_news *news) {
  const char *why = welcome_fault(client, welcome);
  if (why != NULL) {
    broken(news, why);
    return;
  }
  bool had_session = client->saved.is_welcomed;
  news->kind = STWI_SNEWS_WELCOMED;
  memset(&news->u, 0, sizeof news->u);
  news->u.welcomed.resume = welcome->resume;
  keep_terms(client, welcome);
  if (welcome->resume != STWI_RESUME_FULL && !client->is_after_stale)
    skip_lost(client, welcome, news);
  bool is_begun_anew = had_session && welcome->resume == STWI_RESUME_NONE && !has_holes(news);
  news->u.welcomed.is_lost = client->is_after_stale || is_begun_anew;
  client->is_after_stale = false;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    struct stwi_sclient_out *out = &client->out[lane];
    out->acked = welcome->received[lane];
    out->processed = welcome->processed[lane];
    if (out->next <= out->acked)
      out->next = out->acked + 1;
  }
  client->phase = STWI_SCLIENT_UP;
}

static void on_refuse(struct stwi_session_client *client, const struct stwi_sframe *frame,
                      struct stwi_sclient_news *news) {
  if (frame->u.close.code == STWI_REFUSE_STALE && client->has_renewed) {
    broken(news, "REFUSE: a new session was called stale");
    return;
  }
  news->kind = STWI_SNEWS_REFUSED;
}

/* ---- inbound messages ---- */

static void owe_ack(struct stwi_session_client *client, stw_lane lane, uint64_t messages,
                    uint64_t bytes, stwi_time now) {
  stwi_ack_owe(&client->in[lane].ack, &ack_policy, messages, bytes, lane == STW_LANE_CONTROL, now);
}

static bool add_part(struct stwi_session_client *client, const struct stwi_sframe *frame,
                     struct stwi_sclient_news *news) {
  struct stwi_sclient_in *in = &client->in[frame->u.data.lane];
  size_t size = frame->u.data.size;
  bool is_over = size > client->message_max || in->parts.size > client->message_max - size;
  if (is_over || !stwi_parts_add(&in->parts, frame->u.data.number, frame->u.data.payload, size)) {
    broken(news, is_over ? "a message in parts is over max_message"
                         : "no memory to put a message together from its parts");
    news->u.broken.code = 1009;
    return false;
  }
  return true;
}

/* False: a duplicate or a fault, told in `news`. */
static bool is_next(struct stwi_session_client *client, const struct stwi_sframe *frame,
                    struct stwi_sclient_news *news) {
  struct stwi_sclient_in *in = &client->in[frame->u.data.lane];
  uint64_t number = frame->u.data.number;
  switch (stwi_seen_check(&in->seen, number)) {
  case STWI_SEEN_NEW:
    return true;
  case STWI_SEEN_DUPLICATE:
    news->kind = STWI_SNEWS_DUPLICATE;
    return false;
  case STWI_SEEN_AHEAD:
    break;
  }
  broken(news, "the number of a message is past the next one of its lane");
  return false;
}

static void on_part(struct stwi_session_client *client, const struct stwi_sframe *frame,
                    struct stwi_sclient_news *news) {
  if (frame->u.data.number == 0) {
    broken(news, "PART without a number");
    return;
  }
  if (is_next(client, frame, news))
    add_part(client, frame, news);
  if (news->kind == STWI_SNEWS_DUPLICATE)
    news->kind = STWI_SNEWS_NOTHING; /* counted with its DATA */
}

static void on_data(struct stwi_session_client *client, const struct stwi_sframe *frame,
                    stwi_time now, struct stwi_sclient_news *news) {
  stw_lane lane = frame->u.data.lane;
  struct stwi_sclient_in *in = &client->in[lane];
  uint64_t number = frame->u.data.number;
  if (number == 0 && in->parts.is_begun) {
    broken(news, "DATA without a number between the parts of a message");
    return;
  }
  if (number != 0 && !is_next(client, frame, news)) {
    owe_ack(client, lane, 0, 0, now);
    return;
  }
  bool is_whole = !in->parts.is_begun;
  if (is_whole && frame->u.data.size > client->message_max) {
    broken(news, "a message is over max_message");
    news->u.broken.code = 1009;
    return;
  }
  if (!is_whole && !add_part(client, frame, news))
    return;
  news->kind = STWI_SNEWS_MESSAGE;
  news->u.message.held = is_whole ? NULL : in->parts.data;
  news->u.message.data = is_whole ? frame->u.data.payload : in->parts.data;
  news->u.message.size = is_whole ? frame->u.data.size : in->parts.size;
  if (number == 0)
    return;
  in->parts.data = NULL; /* the caller's */
  stwi_parts_drop(&in->parts);
  stwi_seen_take(&in->seen, number);
  owe_ack(client, lane, 1, news->u.message.size, now);
}

void stwi_sclient_untake(struct stwi_session_client *client, stw_lane lane, uint64_t number) {
  struct stwi_seen *seen = &client->in[lane].seen;
  if (number != 0 && seen->accepted == number)
    seen->accepted = number - 1;
}

static void on_gap(struct stwi_session_client *client, const struct stwi_sframe *frame,
                   stwi_time now, struct stwi_sclient_news *news) {
  stw_lane lane = frame->u.gap.lane;
  struct stwi_sclient_in *in = &client->in[lane];
  uint64_t known;
  switch (stwi_seen_gap(&in->seen, frame->u.gap.from, frame->u.gap.to, &known)) {
  case STWI_SEEN_AHEAD:
    broken(news, "GAP begins past the next number of its lane");
    return;
  case STWI_SEEN_DUPLICATE:
    owe_ack(client, lane, 0, 0, now);
    return;
  case STWI_SEEN_NEW:
    break;
  }
  stwi_parts_drop(&in->parts);
  news->kind = STWI_SNEWS_GAP;
  news->u.gap.from = known + 1;
  news->u.gap.to = frame->u.gap.to;
  owe_ack(client, lane, 0, 0, now);
}

/* ---- evidence about what was sent ---- */

static void on_ack(struct stwi_session_client *client, const struct stwi_sframe *frame,
                   struct stwi_sclient_news *news) {
  struct stwi_sclient_out *out = &client->out[frame->u.ack.lane];
  uint64_t accepted = frame->u.ack.accepted;
  uint64_t processed = frame->u.ack.has_processed ? frame->u.ack.processed : out->processed;
  if (accepted >= out->next) {
    broken(news, "ACK of a number that was not sent");
  } else if (accepted < out->acked) {
    broken(news, "ACK takes back an earlier one");
  } else if (processed > accepted) {
    broken(news, "ACK: processed is past accepted");
  } else if (processed < out->processed) {
    broken(news, "ACK takes back what was processed");
  } else if (accepted > out->acked || processed > out->processed) {
    out->acked = accepted;
    out->processed = processed;
    news->kind = STWI_SNEWS_ACKED;
  }
}

static void on_nack(struct stwi_session_client *client, const struct stwi_sframe *frame,
                    struct stwi_sclient_news *news) {
  const struct stwi_sclient_out *out = &client->out[frame->u.nack.lane];
  uint64_t number = frame->u.nack.number;
  if (number == 0 || number >= out->next) {
    broken(news, "NACK of a number that was not sent");
  } else if (number > out->acked) {
    news->kind = STWI_SNEWS_NACKED;
  }
}

static void on_ping(struct stwi_session_client *client, const struct stwi_sframe *frame) {
  if (client->pong_count == STWI_SCLIENT_PONGS_MAX) {
    client->pong_count--;
    memmove(client->pongs, client->pongs + 1, client->pong_count * sizeof client->pongs[0]);
  }
  client->pongs[client->pong_count].n = frame->u.ping.n;
  client->pongs[client->pong_count++].t = frame->u.ping.t;
}

static void take_up(struct stwi_session_client *client, const struct stwi_sframe *frame,
                    stwi_time now, struct stwi_sclient_news *news) {
  switch (frame->type) {
  case STWI_SF_DATA:
    on_data(client, frame, now, news);
    break;
  case STWI_SF_PART:
    on_part(client, frame, news);
    break;
  case STWI_SF_ACK:
    on_ack(client, frame, news);
    break;
  case STWI_SF_NACK:
    on_nack(client, frame, news);
    break;
  case STWI_SF_GAP:
    on_gap(client, frame, now, news);
    break;
  case STWI_SF_PING:
    on_ping(client, frame);
    break;
  case STWI_SF_PONG:
    break;
  case STWI_SF_GOAWAY:
    news->kind = STWI_SNEWS_GOAWAY;
    break;
  case STWI_SF_AUTH:
    if (frame->u.auth.is_answer)
      news->kind = STWI_SNEWS_AUTH;
    else
      broken(news, "AUTH with a token came from the server");
    break;
  case STWI_SF_WELCOME:
  case STWI_SF_REFUSE:
    broken(news, "an answer to HELLO came twice");
    break;
  default:
    broken(news, "a frame that only a client sends came from the server");
    break;
  }
}

void stwi_sclient_take(struct stwi_session_client *client, const struct stwi_sframe *frame,
                       stwi_time now, struct stwi_sclient_news *news) {
  news->kind = STWI_SNEWS_NOTHING;
  if (frame->type >= STWI_SF_IGNORED_FROM)
    return;
  if (frame->type == STWI_SF_CLOSE) {
    news->kind = STWI_SNEWS_CLOSE;
  } else if (client->phase == STWI_SCLIENT_UP) {
    take_up(client, frame, now, news);
  } else if (client->phase != STWI_SCLIENT_WAITING) {
    broken(news, "a frame came before our HELLO");
  } else if (frame->type == STWI_SF_WELCOME) {
    on_welcome(client, &frame->u.welcome, news);
  } else if (frame->type == STWI_SF_REFUSE) {
    on_refuse(client, frame, news);
  } else {
    broken(news, "a frame came before WELCOME");
  }
}

/* ---- what goes out ---- */

bool stwi_sclient_hole(struct stwi_session_client *client, stw_lane lane, uint64_t number,
                       struct stwi_sframe *frame) {
  struct stwi_sclient_out *out = &client->out[lane];
  if (number <= out->next)
    return false;
  frame->type = STWI_SF_GAP;
  frame->u.gap.lane = lane;
  frame->u.gap.from = out->next;
  frame->u.gap.to = number - 1;
  frame->u.gap.reason = STWI_GAP_REMOVED;
  return true;
}

void stwi_sclient_wrote(struct stwi_session_client *client, stw_lane lane, uint64_t number) {
  client->out[lane].next = number + 1;
}

bool stwi_sclient_has_window(const struct stwi_session_client *client, uint64_t messages,
                             uint64_t bytes, size_t size) {
  if (messages == 0)
    return true; /* one may always be on its way, however large */
  if (client->window_messages != 0 && messages >= client->window_messages)
    return false;
  return client->window_bytes == 0 || bytes + size <= client->window_bytes;
}

bool stwi_sclient_processed(struct stwi_session_client *client, stw_lane lane, uint64_t number,
                            stwi_time now) {
  if (!stwi_seen_done(&client->in[lane].seen, number))
    return false;
  if (client->phase == STWI_SCLIENT_UP || client->phase == STWI_SCLIENT_WAITING)
    owe_ack(client, lane, 0, 0, now);
  return true;
}

static bool next_ack(struct stwi_session_client *client, stwi_time due, struct stwi_sframe *frame) {
  for (unsigned i = 0; i < STW_LANE_COUNT; i++) {
    unsigned lane = STW_LANE_COUNT - 1 - i; /* the control lane first */
    struct stwi_sclient_in *in = &client->in[lane];
    if (in->ack.at > due)
      continue;
    stwi_ack_clear(&in->ack);
    frame->type = STWI_SF_ACK;
    frame->u.ack.lane = (stw_lane)lane;
    frame->u.ack.accepted = in->seen.accepted;
    frame->u.ack.processed = in->seen.processed;
    frame->u.ack.has_processed = true;
    return true;
  }
  return false;
}

bool stwi_sclient_next_control(struct stwi_session_client *client, stwi_time now, bool is_last,
                               struct stwi_sframe *frame) {
  if (client->phase != STWI_SCLIENT_UP)
    return false;
  if (client->pong_count > 0) {
    frame->type = STWI_SF_PONG;
    frame->u.ping.n = client->pongs[0].n;
    frame->u.ping.t = client->pongs[0].t;
    client->pong_count--;
    memmove(client->pongs, client->pongs + 1, client->pong_count * sizeof client->pongs[0]);
    return true;
  }
  return next_ack(client, is_last ? STWI_NEVER - 1 : now, frame);
}

stwi_time stwi_sclient_deadline(const struct stwi_session_client *client) {
  if (client->phase != STWI_SCLIENT_UP)
    return STWI_NEVER;
  if (client->pong_count > 0)
    return 0;
  stwi_time at = STWI_NEVER;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    at = stwi_earlier(at, client->in[lane].ack.at);
  return at;
}
