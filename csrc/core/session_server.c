#include "core/session_server_inside.h"

#include "core/mem.h"
#include "core/utf8.h"

#include <stdio.h>
#include <string.h>

_Static_assert(STW_REFUSAL_STALE == (int)STWI_REFUSE_STALE &&
                   STW_REFUSAL_VERSION == (int)STWI_REFUSE_VERSION &&
                   STW_REFUSAL_AUTH == (int)STWI_REFUSE_AUTH &&
                   STW_REFUSAL_BUSY == (int)STWI_REFUSE_BUSY,
               "the public codes are those on the wire");
_Static_assert(STW_SESSION_RANDOM_BYTES == 16 + STWI_TOKEN_BYTES, "session id, then token");

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)

static void default_to(uint64_t *option, uint64_t value) {
  if (*option == 0)
    *option = value;
}

static void complete(stw_session_options *options) {
  default_to(&options->ring_messages, 10000);
  default_to(&options->ring_bytes, 16 * MIB);
  default_to(&options->window_messages, 1024);
  default_to(&options->window_bytes, 4 * MIB);
  default_to(&options->message_max, MIB);
  default_to(&options->part_bytes, 64 * KIB);
  default_to(&options->ring_ms, 120 * 1000);
  default_to(&options->watermark_ms, 24 * 3600 * 1000);
  default_to(&options->ack_messages, STWI_ACK_MESSAGES);
  default_to(&options->ack_bytes, STWI_ACK_BYTES);
  default_to(&options->ack_ms, STWI_ACK_AFTER_MS);
}

static stw_status check_options(struct stwi_server *server) {
  const stw_session_options *options = &server->options;
  if (options->message_max > 1024 * MIB)
    return REFUSE(server, STW_E_ARGUMENT, "message_max is at most 1 GiB");
  const uint64_t bounded[] = {
      options->ring_messages, options->ring_bytes, options->window_messages, options->window_bytes,
      options->part_bytes,    options->idle_ms,    options->ring_ms,         options->watermark_ms,
      options->ack_messages,  options->ack_bytes,  options->ack_ms};
  for (size_t i = 0; i < sizeof bounded / sizeof *bounded; i++) {
    if (bounded[i] > (uint64_t)1 << 40)
      return REFUSE(server, STW_E_ARGUMENT, "an option of the session is over 2^40");
  }
  if (options->server != NULL && strlen(options->server) >= sizeof server->name)
    return REFUSE(server, STW_E_ARGUMENT, "the server's name is at most 64 bytes");
  return STW_OK;
}

stw_status stwi_server_init(struct stwi_server *server, const stw_session_options *options) {
  *server = (struct stwi_server){.is_known = false};
  if (options != NULL) {
    const size_t size = options->struct_size;
    if (size == 0 || size > sizeof *options)
      return REFUSE(server, STW_E_ARGUMENT, "struct_size of the options is wrong");
    memcpy(&server->options, options, size);
  }
  complete(&server->options);
  const stw_status status = check_options(server);
  if (status != STW_OK)
    return status;
  if (server->options.server != NULL)
    snprintf(server->name, sizeof server->name, "%s", server->options.server);
  server->options.server = server->name;
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    struct stwi_server_lane *lane = &server->lanes[i];
    stwi_ring_init(&lane->ring, server->options.ring_messages, server->options.ring_bytes);
    lane->next = lane->cursor = 1;
    stwi_ack_clear(&lane->ack);
  }
  server->ack_policy = (struct stwi_ack_policy){
      .messages = server->options.ack_messages,
      .bytes = server->options.ack_bytes,
      .after_ns = server->options.ack_ms * 1000000u,
  };
  return STW_OK;
}

static void drop_orphan(struct stwi_server_lane *lane) {
  stwi_free(lane->orphan.data);
  lane->orphan = (struct stwi_ring_entry){.data = NULL};
}

void stwi_server_drop_parts(struct stwi_server *server) {
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    stwi_parts_drop(&server->lanes[i].parts);
    server->lanes[i].are_parts_lent = false;
  }
}

void stwi_server_fini(struct stwi_server *server) {
  stwi_server_drop_parts(server);
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    drop_orphan(&server->lanes[i]);
    stwi_unaccepted_fini(&server->lanes[i].unaccepted);
    stwi_ring_fini(&server->lanes[i].ring);
  }
}

/* ---- opening ---- */

bool stwi_server_hello_is_sound(const struct stwi_sf_hello *hello, const char **why) {
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    if (hello->next[i] > NUMBER_MAX || hello->received[i] > NUMBER_MAX) {
      *why = "HELLO: a number is over 2^63 - 1";
      return false;
    }
    if (hello->lowest[i] < 1 || hello->lowest[i] > hello->next[i]) {
      *why = "HELLO: lo must be from 1 to nx";
      return false;
    }
    if (hello->processed[i] > hello->received[i]) {
      *why = "HELLO: processed is over rx";
      return false;
    }
  }
  return true;
}

/* Takes the same time wherever the two differ. */
static bool are_same(const uint8_t *a, const uint8_t *b, size_t size) {
  volatile uint8_t differs = 0;
  for (size_t i = 0; i < size; i++)
    differs = (uint8_t)(differs | (a[i] ^ b[i]));
  return differs == 0;
}

static stw_refusal judge_token(struct stwi_server *server, const struct stwi_sf_hello *hello,
                               const stw_session_claim *claim) {
  if (!hello->has_token) {
    /* Its first WELCOME may have been lost: it holds no token, and nobody else does. */
    if (claim->may_lack_token || !server->is_confirmed)
      return STW_REFUSAL_NONE;
    EXPLAIN(server, "a HELLO without token for a session that has one");
    return STW_REFUSAL_AUTH;
  }
  const bool is_new = are_same(hello->token, server->token, STWI_TOKEN_BYTES);
  const bool is_old = are_same(hello->token, server->old_token, STWI_TOKEN_BYTES);
  if (is_new || (server->has_old_token && is_old))
    return STW_REFUSAL_NONE;
  EXPLAIN(server, "the token of the HELLO is not the session's");
  return STW_REFUSAL_AUTH;
}

static stw_refusal stale(struct stwi_server *server, const char *why) {
  EXPLAIN(server, "the session is stale: %s", why);
  return STW_REFUSAL_STALE;
}

static stw_refusal judge_numbers(struct stwi_server *server, const struct stwi_sf_hello *hello) {
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    const struct stwi_server_lane *lane = &server->lanes[i];
    if (lane->received >= hello->next[i])
      return stale(server, "the client's numbers went back");
    if (hello->received[i] >= lane->next)
      return stale(server, "the store's numbers went back");
  }
  return STW_REFUSAL_NONE;
}

static stw_refusal judge(struct stwi_server *server, const struct stwi_sf_hello *hello,
                         const stw_session_claim *claim, const char *principal) {
  if ((hello->versions & 1u << STWI_SESSION_VERSION) == 0) {
    EXPLAIN(server, "the client does not speak version 1");
    return STW_REFUSAL_VERSION;
  }
  if (!server->is_known) {
    if (hello->has_token || hello->has_incarnation)
      return stale(server, "this store does not know it");
    return STW_REFUSAL_NONE;
  }
  const stw_refusal refusal = judge_token(server, hello, claim);
  if (refusal != STW_REFUSAL_NONE)
    return refusal;
  if (strcmp(server->principal, principal) != 0) {
    EXPLAIN(server, "the session is another principal's");
    return STW_REFUSAL_AUTH;
  }
  if (hello->has_incarnation && hello->incarnation != claim->incarnation)
    return stale(server, "it belongs to another store");
  return judge_numbers(server, hello);
}

/* Under the token of the WELCOME before the last one, which may have been lost, or may be what the
 * client has read on another link, ahead of a HELLO that came late: it gets the last one again. */
static bool is_repeat(const struct stwi_server *server, const struct stwi_sf_hello *hello) {
  return server->has_old_token && hello->has_token &&
         !are_same(hello->token, server->token, STWI_TOKEN_BYTES);
}

/* The token that the client has shown stays valid until it shows the new one; and, where it has
 * shown none, the one before, which it may have read. */
static void rotate(struct stwi_server *server, const struct stwi_sf_hello *hello,
                   const stw_session_claim *claim, bool was_known) {
  memcpy(server->sid, claim->random, sizeof server->sid);
  if (is_repeat(server, hello))
    return;
  if (hello->has_token) {
    memcpy(server->old_token, hello->token, STWI_TOKEN_BYTES);
    server->has_old_token = true;
    server->is_confirmed = true;
  } else if (was_known && !server->has_old_token) {
    memcpy(server->old_token, server->token, STWI_TOKEN_BYTES);
    server->has_old_token = true;
  }
  memcpy(server->token, claim->random + sizeof server->sid, STWI_TOKEN_BYTES);
}

/* Beyond this our own numbers could run out. */
static bool can_begin(const struct stwi_sf_hello *hello) {
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    if (hello->received[i] > NUMBER_MAX / 2)
      return false;
  }
  return true;
}

static void begin(struct stwi_server *server, const struct stwi_sf_hello *hello,
                  const char *principal) {
  memcpy(server->cid, hello->cid, STWI_CID_BYTES);
  snprintf(server->principal, sizeof server->principal, "%s", principal);
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    struct stwi_server_lane *lane = &server->lanes[i];
    lane->received = lane->accepted = lane->processed = hello->lowest[i] - 1;
    lane->next = hello->received[i] + 1;
    lane->forgotten = hello->received[i];
  }
  server->is_known = true;
}

void stwi_server_confirm(struct stwi_server *server) {
  server->is_confirmed = true;
  server->has_old_token = false;
}

static void reset_lane(struct stwi_server *server, struct stwi_server_lane *lane, uint64_t had,
                       uint64_t processed) {
  drop_orphan(lane);
  lane->offset = 0;
  lane->cursor = had + 1;
  lane->client_had = lane->client_accepted = had;
  lane->client_said = processed;
  lane->inflight_messages = lane->inflight_bytes = 0;
  lane->arrived = lane->accepted;
  lane->gone_messages = lane->gone_bytes = 0;
  stwi_ack_clear(&lane->ack);
  stwi_server_client_has(server, lane, had, processed);
}

static bool has_all(const struct stwi_server_lane *lane) {
  const struct stwi_ring_entry *first = stwi_ring_from(&lane->ring, lane->cursor);
  if (first == NULL)
    return lane->cursor == lane->next;
  const struct stwi_ring_entry *last = stwi_ring_at(&lane->ring, lane->ring.count - 1);
  const struct stwi_ring_entry *oldest = stwi_ring_at(&lane->ring, 0);
  const bool is_whole = last->number - oldest->number == lane->ring.count - 1;
  return is_whole && first->number == lane->cursor && last->number == lane->next - 1;
}

static void take_link(struct stwi_server *server, const struct stwi_sf_hello *hello) {
  server->link++;
  server->is_open = true;
  server->is_broken = server->has_peer_closed = server->has_closed = false;
  server->is_pong_due = server->is_auth_due = server->is_goaway_due = server->is_close_due = false;
  server->is_welcome_due = true;
  server->client_caps = hello->caps;
  server->client_window_messages = hello->window_messages;
  server->client_window_bytes = hello->window_bytes;
  server->client_message_max = hello->message_max;
  stwi_server_drop_parts(server);
}

stw_status stwi_server_open(struct stwi_server *server, const struct stwi_sf_hello *hello,
                            const stw_session_claim *claim, uint32_t *link, stw_refusal *refusal) {
  const char *why = NULL;
  const char *principal = claim->principal == NULL ? "" : claim->principal;
  const char *location = claim->location == NULL ? "" : claim->location;
  if (!stwi_server_hello_is_sound(hello, &why))
    return REFUSE(server, STW_E_PROTOCOL, "%s", why);
  if (strlen(principal) > STW_SESSION_PRINCIPAL_MAX)
    return REFUSE(server, STW_E_ARGUMENT, "the principal is over 255 bytes");
  if (strlen(location) >= sizeof server->location)
    return REFUSE(server, STW_E_ARGUMENT, "the location is over 255 bytes");
  if (server->is_known && memcmp(server->cid, hello->cid, STWI_CID_BYTES) != 0)
    return REFUSE(server, STW_E_ARGUMENT, "the HELLO is for another session");
  *refusal = judge(server, hello, claim, principal);
  if (*refusal != STW_REFUSAL_NONE)
    return STW_OK;
  const bool was_known = server->is_known;
  if (!was_known && !can_begin(hello))
    return REFUSE(server, STW_E_PROTOCOL, "HELLO: rx of a new session is over 2^62");
  if (!was_known)
    begin(server, hello, principal);
  rotate(server, hello, claim, was_known);
  server->is_optimistic = server->offers_optimistic;
  server->offers_optimistic = server->offers_optimistic || server->options.takes_optimistic;
  server->incarnation = claim->incarnation;
  snprintf(server->location, sizeof server->location, "%s", location);
  take_link(server, hello);
  bool is_full = true;
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    reset_lane(server, &server->lanes[i], hello->received[i], hello->processed[i]);
    is_full = is_full && has_all(&server->lanes[i]);
  }
  server->resume = !was_known ? STWI_RESUME_NONE : is_full ? STWI_RESUME_FULL : STWI_RESUME_PARTIAL;
  *link = server->link;
  return STW_OK;
}

void stwi_server_lost(struct stwi_server *server, uint32_t link) {
  if (link != server->link)
    return;
  server->is_open = false;
  stwi_server_drop_parts(server);
}

/* ---- inbound cursors ---- */

stw_status stwi_server_accept(struct stwi_server *server, stw_lane which, uint64_t upto,
                              uint64_t now) {
  struct stwi_server_lane *lane = &server->lanes[which];
  if (upto > lane->received) {
    return REFUSE(server, STW_E_ARGUMENT, "accept up to %llu, received are %llu",
                  (unsigned long long)upto, (unsigned long long)lane->received);
  }
  if (upto <= lane->accepted)
    return STW_OK;
  uint64_t messages, bytes;
  stwi_unaccepted_accept(&lane->unaccepted, upto, &messages, &bytes);
  lane->accepted = upto;
  stwi_server_owe_ack(server, which, messages, bytes, now);
  return STW_OK;
}

stw_status stwi_server_processed(struct stwi_server *server, stw_lane which, uint64_t upto,
                                 uint64_t now) {
  struct stwi_server_lane *lane = &server->lanes[which];
  if (!server->options.says_processed)
    return REFUSE(server, STW_E_STATE, "the option says_processed is off");
  if (upto > lane->accepted) {
    return REFUSE(server, STW_E_ARGUMENT, "processed up to %llu, accepted are %llu",
                  (unsigned long long)upto, (unsigned long long)lane->accepted);
  }
  if (upto <= lane->processed)
    return STW_OK;
  lane->processed = upto;
  stwi_server_owe_ack(server, which, 0, 0, now);
  return STW_OK;
}

/* ---- outbound ---- */

/* A message whose parts are going out stays until its last byte. */
static void give_way(struct stwi_server_lane *lane) {
  const struct stwi_ring_entry entry = stwi_ring_pop(&lane->ring);
  const bool is_begun = entry.number == lane->cursor && lane->offset > 0;
  const bool is_written = entry.number < lane->cursor && entry.number > lane->client_accepted;
  if (is_begun || is_written) {
    lane->gone_messages++;
    lane->gone_bytes += entry.size;
    lane->gone_upto = entry.number;
  }
  if (is_begun)
    lane->orphan = entry;
  else
    stwi_free(entry.data);
  lane->forgotten = entry.number;
  lane->overflowed_upto = entry.number;
  lane->overflowed++;
}

void stwi_server_make_room(struct stwi_server_lane *lane, size_t size) {
  while (!stwi_ring_has_room(&lane->ring, size))
    give_way(lane);
}

stw_status stwi_server_send(struct stwi_server *server, stw_lane which, const void *data,
                            size_t size, bool is_text, uint64_t *number) {
  struct stwi_server_lane *lane = &server->lanes[which];
  if (!server->is_known)
    return REFUSE(server, STW_E_STATE, "the session was never opened");
  if (size > server->options.message_max || size > lane->ring.bytes_max) {
    return REFUSE(server, STW_E_TOO_BIG, "a message of %zu bytes is over message_max or ring_bytes",
                  size);
  }
  if (server->options.refuses_when_full && !stwi_ring_has_room(&lane->ring, size)) {
    return REFUSE(server, STW_E_FULL, "%zu messages wait for the client: the ring is full",
                  lane->ring.count);
  }
  stwi_server_make_room(lane, size);
  struct stwi_ring_entry *entry = stwi_ring_add(&lane->ring, lane->next, data, size);
  if (entry == NULL)
    return REFUSE(server, STW_E_MEMORY, "no memory for a message of %zu bytes", size);
  entry->is_text = is_text;
  *number = lane->next++;
  return STW_OK;
}

void stwi_server_client_has(struct stwi_server *server, struct stwi_server_lane *lane,
                            uint64_t accepted, uint64_t processed) {
  for (size_t i = stwi_ring_index(&lane->ring, lane->client_accepted + 1);; i++) {
    const struct stwi_ring_entry *entry = stwi_ring_at(&lane->ring, i);
    if (entry == NULL || entry->number > accepted)
      break;
    lane->inflight_messages--;
    lane->inflight_bytes -= entry->size;
  }
  if (lane->gone_messages > 0 && accepted >= lane->gone_upto) {
    lane->inflight_messages -= lane->gone_messages;
    lane->inflight_bytes -= lane->gone_bytes;
    lane->gone_messages = lane->gone_bytes = 0;
  }
  if (accepted > lane->client_accepted)
    lane->client_accepted = accepted;
  if (processed > lane->client_processed)
    lane->client_processed = processed;
  const bool keeps = (server->client_caps & STWI_SF_CAP_PROCESSED) != 0;
  const uint64_t upto = keeps ? lane->client_processed : lane->client_accepted;
  if (upto > lane->forgotten)
    lane->forgotten = upto;
  stwi_ring_forget(&lane->ring, upto);
}

stw_status stwi_server_goaway(struct stwi_server *server, uint64_t after_ms, uint64_t spread_ms,
                              const char *location, uint32_t code) {
  const char *where = location == NULL ? "" : location;
  if (!server->is_open)
    return REFUSE(server, STW_E_STATE, "the session has no link");
  if (strlen(where) >= sizeof server->goaway_location)
    return REFUSE(server, STW_E_ARGUMENT, "the location is over 255 bytes");
  snprintf(server->goaway_location, sizeof server->goaway_location, "%s", where);
  server->goaway_after_ms = after_ms;
  server->goaway_spread_ms = spread_ms;
  server->goaway_code = code;
  server->is_goaway_due = true;
  return STW_OK;
}

stw_status stwi_server_close(struct stwi_server *server, uint32_t code, const char *text) {
  const char *given = text == NULL ? "" : text;
  if (!server->is_open)
    return REFUSE(server, STW_E_STATE, "the session has no link");
  const size_t size = strnlen(given, STW_SESSION_CLOSE_TEXT_MAX);
  const size_t kept = stwi_utf8_prefix((const uint8_t *)given, size);
  memcpy(server->close_text, given, kept);
  server->close_text[kept] = '\0';
  server->close_code = code;
  server->is_close_due = true;
  return STW_OK;
}

stw_status stwi_server_auth(struct stwi_server *server, bool is_ok, uint64_t expires_ms) {
  if (!server->is_open)
    return REFUSE(server, STW_E_STATE, "the session has no link");
  server->auth_is_ok = is_ok;
  server->auth_expires_ms = expires_ms;
  server->is_auth_due = true;
  return STW_OK;
}

static void look_at_lane(const struct stwi_server_lane *lane, stw_session_lane_view *view) {
  const struct stwi_ring_entry *oldest = stwi_ring_at(&lane->ring, 0);
  *view = (stw_session_lane_view){
      .received = lane->received,
      .accepted = lane->accepted,
      .processed = lane->processed,
      .duplicates = lane->duplicates,
      .next = lane->next,
      .kept_from = oldest == NULL ? lane->next : oldest->number,
      .written = lane->cursor - 1,
      .client_accepted = lane->client_accepted,
      .client_processed = lane->client_processed,
      .kept = lane->ring.count,
      .kept_bytes = lane->ring.bytes,
      .replayed = lane->replayed,
      .overflowed = lane->overflowed,
  };
}

void stwi_server_look(const struct stwi_server *server, stw_session_view *view) {
  view->is_known = server->is_known;
  view->is_open = server->is_open;
  view->was_resumed = server->resume != STWI_RESUME_NONE;
  view->link = server->link;
  memcpy(view->cid, server->cid, sizeof view->cid);
  for (int i = 0; i < STW_LANE_COUNT; i++)
    look_at_lane(&server->lanes[i], &view->lanes[i]);
}
