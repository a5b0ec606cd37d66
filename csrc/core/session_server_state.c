#include "core/session_server_inside.h"

#include <string.h>

/* The saved state: "SW", layout, flags, cid, token, old token, incarnation, the lanes, then one
 * byte of length and the principal.  Integers are little-endian.  sid is not part of it: it names a
 * link of this process. */
enum { LAYOUT = 1 };
enum { FLAG_OLD_TOKEN = 1, FLAG_CONFIRMED = 2, FLAG_OPTIMISTIC = 4, FLAG_KEEPS = 8, FLAGS = 15 };
enum { LANE_WORDS = 6 };
enum {
  FIXED_BYTES =
      4 + STWI_CID_BYTES + 2 * STWI_TOKEN_BYTES + 8 + (int)STW_LANE_COUNT * LANE_WORDS * 8 + 1
};

_Static_assert(FIXED_BYTES + STW_SESSION_PRINCIPAL_MAX <= STW_SESSION_STATE_MAX,
               "the largest state fits");

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t size) {
  memcpy(at, bytes, size);
  return at + size;
}

static uint8_t *put_word(uint8_t *at, uint64_t word) {
  for (int i = 0; i < 8; i++)
    at[i] = (uint8_t)(word >> (8 * i));
  return at + 8;
}

static const uint8_t *get_bytes(const uint8_t *at, void *bytes, size_t size) {
  memcpy(bytes, at, size);
  return at + size;
}

static const uint8_t *get_word(const uint8_t *at, uint64_t *word) {
  *word = 0;
  for (int i = 0; i < 8; i++)
    *word |= (uint64_t)at[i] << (8 * i);
  return at + 8;
}

static uint8_t flags_of(const struct stwi_server *server) {
  unsigned flags = 0;
  flags |= server->has_old_token ? FLAG_OLD_TOKEN : 0;
  flags |= server->is_confirmed ? FLAG_CONFIRMED : 0;
  flags |= server->offers_optimistic ? FLAG_OPTIMISTIC : 0;
  flags |= server->client_caps & STWI_SF_CAP_PROCESSED ? FLAG_KEEPS : 0;
  return (uint8_t)flags;
}

stw_status stwi_server_save(const struct stwi_server *server, uint8_t *out, size_t *size) {
  if (!server->is_known)
    return STW_E_STATE;
  const uint8_t head[] = {'S', 'W', LAYOUT, flags_of(server)};
  uint8_t *at = put_bytes(out, head, sizeof head);
  at = put_bytes(at, server->cid, sizeof server->cid);
  at = put_bytes(at, server->token, sizeof server->token);
  at = put_bytes(at, server->old_token, sizeof server->old_token);
  at = put_word(at, server->incarnation);
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    const struct stwi_server_lane *lane = &server->lanes[i];
    const uint64_t words[LANE_WORDS] = {
        lane->accepted,        lane->processed,        lane->next,
        lane->client_accepted, lane->client_processed, lane->forgotten};
    for (int w = 0; w < LANE_WORDS; w++)
      at = put_word(at, words[w]);
  }
  const size_t length = strlen(server->principal);
  *at++ = (uint8_t)length;
  at = put_bytes(at, server->principal, length);
  *size = (size_t)(at - out);
  return STW_OK;
}

static stw_status damaged(struct stwi_server *server, const char *what) {
  return REFUSE(server, STW_E_FORMAT, "the saved session is damaged: %s", what);
}

static const uint8_t *get_lane(const uint8_t *at, struct stwi_server_lane *lane) {
  at = get_word(at, &lane->accepted);
  at = get_word(at, &lane->processed);
  at = get_word(at, &lane->next);
  at = get_word(at, &lane->client_accepted);
  at = get_word(at, &lane->client_processed);
  return get_word(at, &lane->forgotten);
}

static bool is_sound(const struct stwi_server_lane *lane) {
  return lane->accepted <= NUMBER_MAX && lane->processed <= lane->accepted && lane->next >= 1 &&
         lane->next <= NUMBER_MAX && lane->client_accepted < lane->next &&
         lane->client_processed < lane->next && lane->forgotten < lane->next;
}

stw_status stwi_server_load(struct stwi_server *server, const uint8_t *data, size_t size) {
  if (server->is_known)
    return REFUSE(server, STW_E_STATE, "the session was opened or loaded before");
  if (size < FIXED_BYTES || memcmp(data, "SW", 2) != 0)
    return damaged(server, "too short, or something else");
  if (data[2] != LAYOUT)
    return REFUSE(server, STW_E_FORMAT, "the saved session has layout %u, known is %d", data[2],
                  LAYOUT);
  const size_t length = data[FIXED_BYTES - 1];
  if (size != FIXED_BYTES + length || memchr(data + FIXED_BYTES, '\0', length) != NULL ||
      (data[3] & ~(unsigned)FLAGS) != 0)
    return damaged(server, "its parts do not fit together");
  struct stwi_server_lane lanes[STW_LANE_COUNT];
  const uint8_t *at = data + FIXED_BYTES - 1 - (int)STW_LANE_COUNT * LANE_WORDS * 8;
  for (int i = 0; i < STW_LANE_COUNT; i++) {
    lanes[i] = server->lanes[i];
    at = get_lane(at, &lanes[i]);
    lanes[i].received = lanes[i].accepted;
    lanes[i].cursor = lanes[i].next;
    if (!is_sound(&lanes[i]))
      return damaged(server, "its numbers contradict each other");
  }
  memcpy(server->lanes, lanes, sizeof lanes);
  at = get_bytes(data + 4, server->cid, sizeof server->cid);
  at = get_bytes(at, server->token, sizeof server->token);
  at = get_bytes(at, server->old_token, sizeof server->old_token);
  get_word(at, &server->incarnation);
  memcpy(server->principal, data + FIXED_BYTES, length);
  server->has_old_token = (data[3] & FLAG_OLD_TOKEN) != 0;
  server->is_confirmed = (data[3] & FLAG_CONFIRMED) != 0;
  server->offers_optimistic = (data[3] & FLAG_OPTIMISTIC) != 0;
  server->client_caps = (data[3] & FLAG_KEEPS) != 0 ? STWI_SF_CAP_PROCESSED : 0;
  server->is_known = true;
  return STW_OK;
}

stw_status stwi_server_restore(struct stwi_server *server, stw_lane which, uint64_t number,
                               const void *data, size_t size, bool is_text) {
  struct stwi_server_lane *lane = &server->lanes[which];
  const struct stwi_ring *ring = &lane->ring;
  if (!server->is_known || server->link > 0)
    return REFUSE(server, STW_E_STATE, "messages are restored after loading and before opening");
  const bool is_ascending =
      ring->count == 0 || stwi_ring_at(ring, ring->count - 1)->number < number;
  if (number < 1 || number >= NUMBER_MAX || !is_ascending) {
    return REFUSE(server, STW_E_STATE, "message %llu is not above the last one restored",
                  (unsigned long long)number);
  }
  if (number <= lane->forgotten)
    return STW_OK;
  if (size > server->options.message_max || size > ring->bytes_max)
    return REFUSE(server, STW_E_TOO_BIG, "a kept message of %zu bytes is over the bounds", size);
  stwi_server_make_room(lane, size);
  struct stwi_ring_entry *entry = stwi_ring_add(&lane->ring, number, data, size);
  if (entry == NULL)
    return REFUSE(server, STW_E_MEMORY, "no memory for a kept message of %zu bytes", size);
  entry->is_text = is_text;
  entry->was_written = true;
  if (number >= lane->next)
    lane->next = lane->cursor = number + 1;
  return STW_OK;
}
