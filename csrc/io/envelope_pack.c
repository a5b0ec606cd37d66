#include "io/envelope_pack.h"

#include <msgpack/pack.h>
#include <string.h>

#include "io/envelope_fields.h"

struct sink {
  uint8_t *at;
  size_t left;
  bool is_full;
};

static int append(void *data, const char *bytes, size_t size) {
  struct sink *sink = data;
  if (size > sink->left) {
    sink->is_full = true;
    return -1;
  }
  if (size > 0)
    memcpy(sink->at, bytes, size);
  sink->at += size;
  sink->left -= size;
  return 0;
}

/* Results are not looked at: the sink remembers. */
static void put_uint(msgpack_packer *packer, uint64_t value) {
  msgpack_pack_uint64(packer, value);
}

static void put_bool(msgpack_packer *packer, bool value) {
  if (value)
    msgpack_pack_true(packer);
  else
    msgpack_pack_false(packer);
}

static void put_text(msgpack_packer *packer, struct stwi_text text) {
  msgpack_pack_str(packer, text.size);
  if (text.size > 0)
    msgpack_pack_str_body(packer, text.data, text.size);
}

static void put_bin(msgpack_packer *packer, const uint8_t *bytes, size_t size) {
  msgpack_pack_bin(packer, size);
  msgpack_pack_bin_body(packer, bytes, size);
}

static void put_versions(msgpack_packer *packer, uint32_t versions) {
  uint32_t count = 0;
  for (uint32_t version = 0; version < 32; version++)
    count += versions >> version & 1;
  msgpack_pack_array(packer, count);
  for (uint32_t version = 0; version < 32; version++)
    if ((versions >> version & 1) != 0)
      put_uint(packer, version);
}

static void put_lanes(msgpack_packer *packer, const uint64_t *numbers) {
  msgpack_pack_array(packer, STW_LANE_COUNT);
  for (size_t lane = 0; lane < STW_LANE_COUNT; lane++)
    put_uint(packer, numbers[lane]);
}

static bool is_there(const struct stwi_field *field, const uint8_t *frame) {
  if (field->presence == STWI_FIELD_ALWAYS)
    return true;
  if (field->presence == STWI_FIELD_OPTIONAL)
    return ((const struct stwi_text *)(const void *)(frame + field->offset))->size > 0;
  return *(const bool *)(frame + field->presence);
}

static void put_field(msgpack_packer *packer, const struct stwi_field *field,
                      const uint8_t *frame) {
  const void *member = frame + field->offset;
  switch (field->kind) {
  case STWI_FIELD_VERSIONS:
    put_versions(packer, *(const uint32_t *)member);
    return;
  case STWI_FIELD_UINT32:
  case STWI_FIELD_BITS:
    put_uint(packer, *(const uint32_t *)member);
    return;
  case STWI_FIELD_UINT64:
    put_uint(packer, *(const uint64_t *)member);
    return;
  case STWI_FIELD_RECEIVED:
  case STWI_FIELD_NUMBERS:
    put_lanes(packer, member);
    return;
  case STWI_FIELD_BIN:
    put_bin(packer, member, field->size);
    return;
  case STWI_FIELD_RESUME:
    put_uint(packer, (uint64_t) * (const enum stwi_resume_state *)member);
    return;
  case STWI_FIELD_BOOL:
    put_bool(packer, *(const bool *)member);
    return;
  case STWI_FIELD_TEXT:
    put_text(packer, *(const struct stwi_text *)member);
    return;
  }
}

static void put_map(msgpack_packer *packer, const struct stwi_sframe *frame) {
  const struct stwi_field_table table = stwi_envelope_fields(frame->type);
  const uint8_t *bytes = (const uint8_t *)frame;
  size_t count = 0;
  for (uint32_t i = 0; i < table.count; i++)
    count += is_there(&table.fields[i], bytes);
  msgpack_pack_map(packer, count);
  for (uint32_t i = 0; i < table.count; i++) {
    const struct stwi_field *field = &table.fields[i];
    if (!is_there(field, bytes))
      continue;
    put_text(packer, (struct stwi_text){field->key, strlen(field->key)});
    put_field(packer, field, bytes);
  }
}

static void begin(msgpack_packer *packer, const struct stwi_sframe *frame, size_t elements) {
  msgpack_pack_array(packer, elements);
  put_uint(packer, frame->type);
}

static void put_data(msgpack_packer *packer, const struct stwi_sframe *frame) {
  const bool is_part = frame->type == STWI_SF_PART;
  begin(packer, frame, is_part ? 4 : 5);
  put_uint(packer, frame->u.data.lane);
  put_uint(packer, frame->u.data.number);
  if (!is_part)
    put_uint(packer, frame->u.data.flags);
  msgpack_pack_bin(packer, frame->u.data.size);
}

static void put_ack(msgpack_packer *packer, const struct stwi_sframe *frame) {
  begin(packer, frame, frame->u.ack.has_processed ? 4 : 3);
  put_uint(packer, frame->u.ack.lane);
  put_uint(packer, frame->u.ack.accepted);
  if (frame->u.ack.has_processed)
    put_uint(packer, frame->u.ack.processed);
}

static void put_auth(msgpack_packer *packer, const struct stwi_sframe *frame) {
  begin(packer, frame, frame->u.auth.is_answer ? 3 : 2);
  if (!frame->u.auth.is_answer) {
    put_text(packer, frame->u.auth.token);
    return;
  }
  put_bool(packer, frame->u.auth.is_ok);
  put_uint(packer, frame->u.auth.expires_ms);
}

static void put_frame(msgpack_packer *packer, const struct stwi_sframe *frame) {
  switch ((enum stwi_sframe_type)frame->type) {
  case STWI_SF_DATA:
  case STWI_SF_PART:
    put_data(packer, frame);
    return;
  case STWI_SF_ACK:
    put_ack(packer, frame);
    return;
  case STWI_SF_HELLO:
  case STWI_SF_WELCOME:
  case STWI_SF_GOAWAY:
    begin(packer, frame, 2);
    put_map(packer, frame);
    return;
  case STWI_SF_NACK:
    begin(packer, frame, 5);
    put_uint(packer, frame->u.nack.lane);
    put_uint(packer, frame->u.nack.number);
    put_uint(packer, frame->u.nack.code);
    put_text(packer, frame->u.nack.text);
    return;
  case STWI_SF_PING:
  case STWI_SF_PONG:
    begin(packer, frame, 3);
    put_uint(packer, frame->u.ping.n);
    put_uint(packer, frame->u.ping.t);
    return;
  case STWI_SF_CLOSE:
  case STWI_SF_REFUSE:
    begin(packer, frame, 3);
    put_uint(packer, frame->u.close.code);
    put_text(packer, frame->u.close.text);
    return;
  case STWI_SF_AUTH:
    put_auth(packer, frame);
    return;
  case STWI_SF_GAP:
    begin(packer, frame, 5);
    put_uint(packer, frame->u.gap.lane);
    put_uint(packer, frame->u.gap.from);
    put_uint(packer, frame->u.gap.to);
    put_uint(packer, frame->u.gap.reason);
    return;
  }
}

size_t stwi_envelope_pack(const struct stwi_sframe *frame, uint8_t *out, size_t max) {
  struct sink sink = {out, max, false};
  msgpack_packer packer;
  msgpack_packer_init(&packer, &sink, append);
  put_frame(&packer, frame);
  return sink.is_full ? 0 : max - sink.left;
}
