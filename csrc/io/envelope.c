#include "io/envelope.h"

#include <string.h>

#include "io/envelope_cursor.h"
#include "io/envelope_fields.h"
#include "io/envelope_pack.h"

static bool fail(struct stwi_cursor *c, const char *why) {
  if (c->why == NULL)
    c->why = why;
  return false;
}

/* ---- values ---- */

static bool read_uint(struct stwi_cursor *c, uint64_t most, uint64_t *value, const char *why) {
  return (stwi_cursor_uint(c, value) && *value <= most) || fail(c, why);
}

static bool read_code(struct stwi_cursor *c, uint32_t *code, const char *why) {
  uint64_t value;
  if (!read_uint(c, UINT32_MAX, &value, why))
    return false;
  *code = (uint32_t)value;
  return true;
}

static bool read_lane(struct stwi_cursor *c, stw_lane *lane, const char *why) {
  uint64_t value;
  if (!read_uint(c, STW_LANE_COUNT - 1, &value, why))
    return false;
  *lane = (stw_lane)value;
  return true;
}

static bool read_number(struct stwi_cursor *c, uint64_t *number, const char *why) {
  return read_uint(c, STWI_ENVELOPE_NUMBER_MAX, number, why);
}

static bool read_text(struct stwi_cursor *c, struct stwi_text *text, const char *why) {
  return stwi_cursor_text(c, text) || fail(c, why);
}

/* ---- the fields of a map ---- */

static bool read_versions(struct stwi_cursor *c, uint32_t *versions) {
  uint32_t count;
  if (!stwi_cursor_array(c, &count))
    return false;
  *versions = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint64_t version;
    if (!stwi_cursor_uint(c, &version))
      return false;
    if (version < 32)
      *versions |= UINT32_C(1) << version;
  }
  return true;
}

static bool read_lanes(struct stwi_cursor *c, uint64_t least, uint64_t *numbers) {
  uint32_t count;
  if (!stwi_cursor_array(c, &count) || count != STW_LANE_COUNT)
    return false;
  for (size_t lane = 0; lane < STW_LANE_COUNT; lane++)
    if (!stwi_cursor_uint(c, &numbers[lane]) || numbers[lane] < least ||
        numbers[lane] > STWI_ENVELOPE_NUMBER_MAX)
      return false;
  return true;
}

static bool read_bin(struct stwi_cursor *c, uint8_t *out, size_t size) {
  const uint8_t *bytes;
  size_t got;
  if (!stwi_cursor_bin(c, &bytes, &got) || got != size)
    return false;
  memcpy(out, bytes, size);
  return true;
}

static bool read_field(struct stwi_cursor *c, const struct stwi_field *field, uint8_t *frame) {
  void *member = frame + field->offset;
  uint64_t value;
  switch (field->kind) {
  case STWI_FIELD_VERSIONS:
    return read_versions(c, member);
  case STWI_FIELD_RECEIVED:
    return read_lanes(c, 0, member);
  case STWI_FIELD_NUMBERS:
    return read_lanes(c, 1, member);
  case STWI_FIELD_BIN:
    return read_bin(c, member, field->size);
  case STWI_FIELD_UINT64:
    return stwi_cursor_uint(c, member);
  case STWI_FIELD_BOOL:
    return stwi_cursor_bool(c, member);
  case STWI_FIELD_TEXT:
    return stwi_cursor_text(c, member);
  case STWI_FIELD_UINT32:
  case STWI_FIELD_BITS:
    if (!stwi_cursor_uint(c, &value) || (value > UINT32_MAX && field->kind == STWI_FIELD_UINT32))
      return false;
    *(uint32_t *)member = (uint32_t)value;
    return true;
  case STWI_FIELD_RESUME:
    if (!stwi_cursor_uint(c, &value) || value > STWI_RESUME_FULL)
      return false;
    *(enum stwi_resume_state *)member = (enum stwi_resume_state)value;
    return true;
  }
  return false;
}

static const struct stwi_field *find_field(struct stwi_field_table table, struct stwi_text key,
                                           uint32_t guess) {
  for (uint32_t i = 0; i < table.count; i++) {
    const struct stwi_field *field = &table.fields[(guess + i) % table.count];
    if (strlen(field->key) == key.size && memcmp(field->key, key.data, key.size) == 0)
      return field;
  }
  return NULL;
}

static bool read_map(struct stwi_cursor *c, struct stwi_sframe *frame) {
  const struct stwi_field_table table = stwi_envelope_fields(frame->type);
  uint8_t *bytes = (uint8_t *)frame;
  uint32_t count;
  if (!stwi_cursor_map(c, &count))
    return fail(c, "the frame's second element is not a map");
  struct stwi_key_set seen;
  seen.count = 0;
  uint32_t got = 0; /* bit i: fields[i] was there */
  for (uint32_t i = 0; i < count; i++) {
    struct stwi_text key;
    if (!stwi_cursor_key(c, &seen, &key))
      return false;
    const struct stwi_field *field = find_field(table, key, i);
    if (field == NULL) {
      if (!stwi_cursor_skip(c, 2))
        return false;
      continue;
    }
    if (!read_field(c, field, bytes))
      return fail(c, field->wrong);
    got |= UINT32_C(1) << (field - table.fields);
    if (field->presence < STWI_FIELD_OPTIONAL)
      *(bool *)(bytes + field->presence) = true;
  }
  for (uint32_t i = 0; i < table.count; i++)
    if (table.fields[i].presence == STWI_FIELD_ALWAYS && (got >> i & 1) == 0)
      return fail(c, table.fields[i].absent);
  return true;
}

static bool are_ordered(const uint64_t *lower, const uint64_t *upper) {
  for (size_t lane = 0; lane < STW_LANE_COUNT; lane++)
    if (lower[lane] > upper[lane])
      return false;
  return true;
}

static bool read_hello(struct stwi_cursor *c, struct stwi_sframe *frame) {
  if (!read_map(c, frame))
    return false;
  if (!are_ordered(frame->u.hello.lowest, frame->u.hello.next))
    return fail(c, "HELLO: lo is past nx");
  return are_ordered(frame->u.hello.processed, frame->u.hello.received) ||
         fail(c, "HELLO: pr is past rx");
}

static bool read_welcome(struct stwi_cursor *c, struct stwi_sframe *frame) {
  if (!read_map(c, frame))
    return false;
  if (!are_ordered(frame->u.welcome.lowest, frame->u.welcome.next))
    return fail(c, "WELCOME: lo is past nx");
  return are_ordered(frame->u.welcome.processed, frame->u.welcome.received) ||
         fail(c, "WELCOME: pr is past rx");
}

/* ---- frames of a fixed shape ---- */

static bool read_payload(struct stwi_cursor *c, struct stwi_sframe *frame, const char *why) {
  return stwi_cursor_bin(c, &frame->u.data.payload, &frame->u.data.size) || fail(c, why);
}

static bool read_data(struct stwi_cursor *c, struct stwi_sframe *frame, uint32_t count) {
  uint64_t flags;
  if (!read_lane(c, &frame->u.data.lane, "DATA: lane is not 0 or 1") ||
      !read_number(c, &frame->u.data.number, "DATA: number is not an integer of 0 to 2^63-1") ||
      !read_uint(c, UINT64_MAX, &flags, "DATA: flags is not an integer of 0 or more") ||
      !read_payload(c, frame, "DATA: payload is not bin"))
    return false;
  frame->u.data.flags = (uint32_t)flags;
  if (count == 5)
    return true;
  struct stwi_cursor ahead = *c;
  uint32_t entries;
  if (!stwi_cursor_map(&ahead, &entries))
    return fail(c, ahead.why != NULL ? ahead.why : "DATA: the sixth element is not a map");
  return stwi_cursor_skip(c, 1);
}

static bool read_part(struct stwi_cursor *c, struct stwi_sframe *frame) {
  frame->u.data.flags = 0;
  return read_lane(c, &frame->u.data.lane, "PART: lane is not 0 or 1") &&
         read_number(c, &frame->u.data.number, "PART: number is not an integer of 0 to 2^63-1") &&
         read_payload(c, frame, "PART: payload is not bin");
}

static bool read_ack(struct stwi_cursor *c, struct stwi_sframe *frame, uint32_t count) {
  frame->u.ack.processed = 0;
  frame->u.ack.has_processed = count == 4;
  if (!read_lane(c, &frame->u.ack.lane, "ACK: lane is not 0 or 1") ||
      !read_number(c, &frame->u.ack.accepted, "ACK: accepted is not an integer of 0 to 2^63-1"))
    return false;
  if (count == 3)
    return true;
  return read_uint(c, frame->u.ack.accepted, &frame->u.ack.processed,
                   "ACK: processed is not an integer of 0 to accepted");
}

static bool read_nack(struct stwi_cursor *c, struct stwi_sframe *frame) {
  if (!read_lane(c, &frame->u.nack.lane, "NACK: lane is not 0 or 1") ||
      !read_number(c, &frame->u.nack.number, "NACK: number is not an integer of 1 to 2^63-1"))
    return false;
  if (frame->u.nack.number == 0)
    return fail(c, "NACK: number is not an integer of 1 to 2^63-1");
  return read_code(c, &frame->u.nack.code, "NACK: code is not an integer of 0 to 2^32-1") &&
         read_text(c, &frame->u.nack.text, "NACK: text is not a string");
}

static bool read_ping(struct stwi_cursor *c, struct stwi_sframe *frame) {
  return read_uint(c, UINT64_MAX, &frame->u.ping.n,
                   "PING, PONG: n is not an integer of 0 or more") &&
         read_uint(c, UINT64_MAX, &frame->u.ping.t, "PING, PONG: t is not an integer of 0 or more");
}

static bool read_close(struct stwi_cursor *c, struct stwi_sframe *frame) {
  return read_code(c, &frame->u.close.code,
                   "CLOSE, REFUSE: code is not an integer of 0 to 2^32-1") &&
         read_text(c, &frame->u.close.text, "CLOSE, REFUSE: text is not a string");
}

static bool read_auth(struct stwi_cursor *c, struct stwi_sframe *frame, uint32_t count) {
  memset(&frame->u.auth, 0, sizeof frame->u.auth);
  frame->u.auth.is_answer = count == 3;
  if (count == 2)
    return read_text(c, &frame->u.auth.token, "AUTH: token is not a string");
  return (stwi_cursor_bool(c, &frame->u.auth.is_ok) || fail(c, "AUTH: ok is not a boolean")) &&
         read_uint(c, UINT64_MAX, &frame->u.auth.expires_ms,
                   "AUTH: expires_ms is not an integer of 0 or more");
}

static bool read_gap(struct stwi_cursor *c, struct stwi_sframe *frame) {
  if (!read_lane(c, &frame->u.gap.lane, "GAP: lane is not 0 or 1") ||
      !read_number(c, &frame->u.gap.from, "GAP: from is not an integer of 1 to 2^63-1") ||
      !read_number(c, &frame->u.gap.to, "GAP: to is not an integer of from to 2^63-1") ||
      !read_code(c, &frame->u.gap.reason, "GAP: reason is not an integer of 0 to 2^32-1"))
    return false;
  if (frame->u.gap.from == 0)
    return fail(c, "GAP: from is not an integer of 1 to 2^63-1");
  return frame->u.gap.from <= frame->u.gap.to ||
         fail(c, "GAP: to is not an integer of from to 2^63-1");
}

/* ---- any frame ---- */

/* How many elements each type has, least and most, the type included. */
static const struct {
  uint8_t least, most;
  const char *why;
} arity[] = {
    [STWI_SF_HELLO] = {2, 2, "HELLO: not 2 elements"},
    [STWI_SF_WELCOME] = {2, 2, "WELCOME: not 2 elements"},
    [STWI_SF_DATA] = {5, 6, "DATA: not 5 or 6 elements"},
    [STWI_SF_ACK] = {3, 4, "ACK: not 3 or 4 elements"},
    [STWI_SF_NACK] = {5, 5, "NACK: not 5 elements"},
    [STWI_SF_PING] = {3, 3, "PING: not 3 elements"},
    [STWI_SF_PONG] = {3, 3, "PONG: not 3 elements"},
    [STWI_SF_GOAWAY] = {2, 2, "GOAWAY: not 2 elements"},
    [STWI_SF_CLOSE] = {3, 3, "CLOSE: not 3 elements"},
    [STWI_SF_AUTH] = {2, 3, "AUTH: not 2 or 3 elements"},
    [STWI_SF_GAP] = {5, 5, "GAP: not 5 elements"},
    [STWI_SF_PART] = {4, 4, "PART: not 4 elements"},
    [STWI_SF_REFUSE] = {3, 3, "REFUSE: not 3 elements"},
};

static bool read_ignored(struct stwi_cursor *c, uint32_t count) {
  for (uint32_t i = 1; i < count; i++)
    if (!stwi_cursor_skip(c, 1))
      return false;
  return true;
}

static bool read_body(struct stwi_cursor *c, struct stwi_sframe *frame, uint32_t count) {
  if (frame->type >= STWI_SF_IGNORED_FROM)
    return read_ignored(c, count);
  if (frame->type == 0 || frame->type >= sizeof arity / sizeof arity[0])
    return fail(c, "unknown frame type below 64");
  if (count < arity[frame->type].least || count > arity[frame->type].most)
    return fail(c, arity[frame->type].why);
  switch ((enum stwi_sframe_type)frame->type) {
  case STWI_SF_DATA:
    return read_data(c, frame, count);
  case STWI_SF_ACK:
    return read_ack(c, frame, count);
  case STWI_SF_PART:
    return read_part(c, frame);
  case STWI_SF_HELLO:
    return read_hello(c, frame);
  case STWI_SF_WELCOME:
    return read_welcome(c, frame);
  case STWI_SF_NACK:
    return read_nack(c, frame);
  case STWI_SF_PING:
  case STWI_SF_PONG:
    return read_ping(c, frame);
  case STWI_SF_GOAWAY:
    return read_map(c, frame);
  case STWI_SF_CLOSE:
  case STWI_SF_REFUSE:
    return read_close(c, frame);
  case STWI_SF_AUTH:
    return read_auth(c, frame, count);
  case STWI_SF_GAP:
    return read_gap(c, frame);
  }
  return false;
}

static bool read_frame(struct stwi_cursor *c, struct stwi_sframe *frame) {
  uint32_t count;
  uint64_t type;
  if (!stwi_cursor_array(c, &count) || count == 0)
    return fail(c, "the frame is not a msgpack array with elements");
  if (!read_uint(c, UINT32_MAX, &type, "the frame's type is not an integer of 0 to 2^32-1"))
    return false;
  frame->type = (uint32_t)type;
  if (stwi_envelope_fields(frame->type).count != 0)
    memset(&frame->u, 0, sizeof frame->u);
  if (!read_body(c, frame, count))
    return false;
  return c->at == c->end || fail(c, "bytes follow the frame");
}

static bool decode(const uint8_t *data, size_t size, struct stwi_sframe *frame, const char **why) {
  struct stwi_cursor c = {data, data + size, NULL};
  if (read_frame(&c, frame))
    return true;
  *why = c.why;
  return false;
}

const struct stwi_session_codec stwi_envelope = {decode, stwi_envelope_pack};

bool stwi_envelope_valid(const uint8_t *data, size_t size, const char **why) {
  struct stwi_cursor c = {data, data + size, NULL};
  if (stwi_cursor_skip(&c, 0) && (c.at == c.end || fail(&c, "bytes follow the value")))
    return true;
  *why = c.why;
  return false;
}
