#include "frame.h"

#include "mask.h"
#include "mem.h"
#include "utf8.h"

#include <assert.h>
#include <string.h>

enum { PHASE_HEADER, PHASE_PAYLOAD, PHASE_DEAF };

enum {
  FIN_BIT = 0x80,
  RESERVED_BITS = 0x70,
  OPCODE_BITS = 0x0f,
  CONTROL_BIT = 0x08,
  MASK_BIT = 0x80,
  LENGTH_BITS = 0x7f,
  LENGTH_16 = 126,
  LENGTH_64 = 127,
  MASK_BYTES = 4,
  /* What an announced length alone can make us reserve. */
  ANNOUNCED_BYTES_TRUSTED = 64 * 1024
};

enum rule {
  RULE_NONE,
  RULE_RESERVED_BIT,
  RULE_MASKED,
  RULE_UNMASKED,
  RULE_CONTROL_OPCODE,
  RULE_CONTROL_FRAGMENTED,
  RULE_CONTROL_LONG,
  RULE_DATA_OPCODE,
  RULE_NOTHING_TO_CONTINUE,
  RULE_MESSAGE_IN_MESSAGE,
  RULE_LENGTH_TOP_BIT,
  RULE_LENGTH_NOT_SHORTEST,
  RULE_TOO_BIG,
  RULE_NO_MEMORY,
  RULE_TEXT,
  RULE_CLOSE_HALF_CODE,
  RULE_CLOSE_CODE,
  RULE_CLOSE_REASON
};

static const struct {
  uint16_t close_code;
  const char *why;
} rules[] = {
    [RULE_RESERVED_BIT] = {1002, "reserved bit without an extension (RFC 6455 section 5.2)"},
    [RULE_MASKED] = {1002, "masked frame from a server (RFC 6455 section 5.1)"},
    [RULE_UNMASKED] = {1002, "unmasked frame from a client (RFC 6455 section 5.1)"},
    [RULE_CONTROL_OPCODE] = {1002, "reserved control opcode (RFC 6455 section 5.2)"},
    [RULE_CONTROL_FRAGMENTED] = {1002, "fragmented control frame (RFC 6455 section 5.5)"},
    [RULE_CONTROL_LONG] = {1002, "control frame longer than 125 bytes (RFC 6455 section 5.5)"},
    [RULE_DATA_OPCODE] = {1002, "reserved data opcode (RFC 6455 section 5.2)"},
    [RULE_NOTHING_TO_CONTINUE] = {1002, "continuation of no message (RFC 6455 section 5.4)"},
    [RULE_MESSAGE_IN_MESSAGE] = {1002,
                                 "new message inside a fragmented one (RFC 6455 section 5.4)"},
    [RULE_LENGTH_TOP_BIT] = {1002, "top bit of the 64-bit length set (RFC 6455 section 5.2)"},
    [RULE_LENGTH_NOT_SHORTEST] = {1002, "length not in its shortest form (RFC 6455 section 5.2)"},
    [RULE_TOO_BIG] = {1009, "message larger than the limit (RFC 6455 section 7.4.1)"},
    [RULE_NO_MEMORY] = {1009, "no memory to assemble the message (RFC 6455 section 7.4.1)"},
    [RULE_TEXT] = {1007, "text is not UTF-8 (RFC 6455 section 8.1)"},
    [RULE_CLOSE_HALF_CODE] = {1002, "close frame with half a code (RFC 6455 section 5.5.1)"},
    [RULE_CLOSE_CODE] = {1002, "close code not allowed on the wire (RFC 6455 section 7.4)"},
    [RULE_CLOSE_REASON] = {1007, "close reason is not UTF-8 (RFC 6455 section 5.5.1)"},
};

/* The unread input, as the caller of stwi_decoder_next sees it. */
struct input {
  const uint8_t *bytes;
  size_t size;
};

/* What ends a step: the payload of a whole message or control frame, or a broken rule. */
struct whole {
  const uint8_t *data;
  size_t size;
  enum rule broken;
};

static void skip(struct input *in, size_t count) {
  in->bytes += count;
  in->size -= count;
}

static uint64_t big_endian(const uint8_t *bytes, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; i++)
    value = value << 8 | bytes[i];
  return value;
}

static bool is_control(unsigned opcode) {
  return (opcode & CONTROL_BIT) != 0;
}

static void give_back(struct stwi_decoder *d) {
  stwi_free(d->held);
  d->held = NULL;
  d->held_capacity = 0;
}

static void give_back_if_unused(struct stwi_decoder *d) {
  if (d->held_capacity > 0 && d->message_bytes + d->control_bytes == 0)
    give_back(d);
}

static void go_deaf(struct stwi_decoder *d) {
  d->phase = PHASE_DEAF;
  d->message_opcode = 0;
  d->message_bytes = 0;
  d->control_bytes = 0;
}

/* ---- header ---- */

static size_t extended_length_bytes(uint8_t second) {
  const unsigned length = second & LENGTH_BITS;
  return length == LENGTH_64 ? 8 : length == LENGTH_16 ? 2 : 0;
}

static size_t header_size(uint8_t second) {
  return 2 + extended_length_bytes(second) + ((second & MASK_BIT) != 0 ? MASK_BYTES : 0);
}

static enum rule control_broken(uint8_t first, uint8_t second) {
  if ((first & OPCODE_BITS) > STWI_OP_PONG)
    return RULE_CONTROL_OPCODE;
  if ((first & FIN_BIT) == 0)
    return RULE_CONTROL_FRAGMENTED;
  if ((second & LENGTH_BITS) > STWI_CONTROL_BYTES_MAX)
    return RULE_CONTROL_LONG;
  return RULE_NONE;
}

static enum rule data_broken(uint8_t first, bool message_open) {
  const unsigned opcode = first & OPCODE_BITS;
  if (opcode > STWI_OP_BINARY)
    return RULE_DATA_OPCODE;
  if (opcode == STWI_OP_CONTINUATION && !message_open)
    return RULE_NOTHING_TO_CONTINUE;
  if (opcode != STWI_OP_CONTINUATION && message_open)
    return RULE_MESSAGE_IN_MESSAGE;
  return RULE_NONE;
}

/* Which rule the first two bytes of a frame break. */
static enum rule start_broken(const struct stwi_decoder *d, uint8_t first, uint8_t second) {
  /* RFC 7692 section 6 gives RSV1 a meaning on the first frame of a compressed message; without
   * that extension all three bits are refused. */
  if ((first & RESERVED_BITS) != 0)
    return RULE_RESERVED_BIT;
  const bool masked = (second & MASK_BIT) != 0;
  if (masked != (d->role == STWI_FRAME_SERVER))
    return masked ? RULE_MASKED : RULE_UNMASKED;
  if (is_control(first))
    return control_broken(first, second);
  return data_broken(first, d->message_opcode != 0);
}

/* Which rule the length of a frame breaks. */
static enum rule length_broken(const struct stwi_decoder *d, const uint8_t *header,
                               uint64_t length) {
  const size_t bytes = extended_length_bytes(header[1]);
  if (bytes == 8 && length >> 63 != 0)
    return RULE_LENGTH_TOP_BIT;
  if ((bytes == 2 && length < LENGTH_16) || (bytes == 8 && length <= UINT16_MAX))
    return RULE_LENGTH_NOT_SHORTEST;
  if (!is_control(header[0]) && length > d->message_bytes_max - d->message_bytes)
    return RULE_TOO_BIG;
  return RULE_NONE;
}

static uint64_t payload_length(const uint8_t *header) {
  const size_t bytes = extended_length_bytes(header[1]);
  return bytes == 0 ? header[1] & LENGTH_BITS : big_endian(header + 2, bytes);
}

static void begin_frame(struct stwi_decoder *d, const uint8_t *header, uint64_t length) {
  d->phase = PHASE_PAYLOAD;
  d->opcode = header[0] & OPCODE_BITS;
  d->fin = (header[0] & FIN_BIT) != 0;
  d->payload_left = length;
  d->header_bytes = 0;
  if (d->role == STWI_FRAME_SERVER)
    memcpy(d->mask, header + header_size(header[1]) - MASK_BYTES, MASK_BYTES);
  if (d->opcode == STWI_OP_TEXT || d->opcode == STWI_OP_BINARY)
    d->message_opcode = d->opcode;
}

/* Shows the longest known start of the header in one piece, of which d->header_bytes bytes came
 * with earlier input. */
static const uint8_t *look_at_header(struct stwi_decoder *d, const struct input *in,
                                     size_t *known) {
  if (d->header_bytes == 0) {
    *known = in->size;
    return in->bytes;
  }
  const size_t room = sizeof d->header - d->header_bytes;
  const size_t more = in->size < room ? in->size : room;
  memcpy(d->header + d->header_bytes, in->bytes, more);
  *known = d->header_bytes + more;
  return d->header;
}

static void keep_header_start(struct stwi_decoder *d, struct input *in) {
  memcpy(d->header + d->header_bytes, in->bytes, in->size);
  d->header_bytes = (uint8_t)(d->header_bytes + in->size);
  skip(in, in->size);
}

/* Takes a header; false if the input ends within it or it is `*broken`. */
static bool take_header(struct stwi_decoder *d, struct input *in, enum rule *broken) {
  size_t known;
  const uint8_t *header = look_at_header(d, in, &known);
  if (known < 2) {
    keep_header_start(d, in);
    return false;
  }
  *broken = start_broken(d, header[0], header[1]);
  if (*broken != RULE_NONE)
    return false;
  const size_t size = header_size(header[1]);
  if (known < size) {
    keep_header_start(d, in);
    return false;
  }
  const uint64_t length = payload_length(header);
  *broken = length_broken(d, header, length);
  if (*broken != RULE_NONE)
    return false;
  skip(in, size - d->header_bytes);
  begin_frame(d, header, length);
  return true;
}

/* ---- payload ---- */

static size_t larger(size_t a, size_t b) {
  return a > b ? a : b;
}

/* Makes room for `more` bytes that are here, of d->payload_left that are announced. */
static bool reserve(struct stwi_decoder *d, size_t more) {
  const size_t used = d->message_bytes + d->control_bytes;
  if (d->held_capacity - used >= more)
    return true;
  const size_t trusted =
      d->payload_left < ANNOUNCED_BYTES_TRUSTED ? (size_t)d->payload_left : ANNOUNCED_BYTES_TRUSTED;
  const size_t capacity = larger(used + larger(more, trusted), 2 * d->held_capacity);
  uint8_t *held = stwi_realloc(d->held, capacity);
  if (held == NULL)
    return false;
  d->held = held;
  d->held_capacity = capacity;
  return true;
}

/* Copies `size` payload bytes behind what is held, unmasked, and gives their place there, or NULL
 * when there is no memory. */
static const uint8_t *gather(struct stwi_decoder *d, const uint8_t *bytes, size_t size) {
  if (!reserve(d, size))
    return NULL;
  uint8_t *place = d->held + d->message_bytes + d->control_bytes;
  if (d->role == STWI_FRAME_SERVER) {
    stwi_mask(place, bytes, size, d->mask);
    stwi_mask_turn(d->mask, size);
  } else {
    memcpy(place, bytes, size);
  }
  if (is_control(d->opcode))
    d->control_bytes = (uint8_t)(d->control_bytes + size);
  else
    d->message_bytes += size;
  return place;
}

/* Checks a piece of the open text message, `last` being its end. */
static bool text_broken(struct stwi_decoder *d, const uint8_t *piece, size_t size, bool last) {
  d->utf8 = stwi_utf8_feed(d->utf8, piece, size);
  return d->utf8 == STWI_UTF8_INVALID || (last && d->utf8 != STWI_UTF8_BORDER);
}

/* Takes what is here of the frame's payload; true if that makes something whole. */
static bool take_payload(struct stwi_decoder *d, struct input *in, struct whole *whole) {
  const bool complete = in->size >= d->payload_left;
  const size_t size = complete ? (size_t)d->payload_left : in->size;
  const bool control = is_control(d->opcode);
  const size_t held_before = control ? d->control_bytes : d->message_bytes;
  const uint8_t *piece = in->bytes;
  const bool lend =
      complete && d->fin && held_before == 0 && (d->role == STWI_FRAME_CLIENT || size == 0);
  if (!lend && size > 0) {
    piece = gather(d, in->bytes, size);
    if (piece == NULL) {
      whole->broken = RULE_NO_MEMORY;
      return true;
    }
  }
  skip(in, size);
  d->payload_left -= size;
  if (!control && d->message_opcode == STWI_OP_TEXT &&
      text_broken(d, piece, size, complete && d->fin)) {
    whole->broken = RULE_TEXT;
    return true;
  }
  if (!complete)
    return false;
  d->phase = PHASE_HEADER;
  if (!d->fin)
    return false;
  whole->data = lend ? piece : d->held + (control ? d->message_bytes : 0);
  whole->size = held_before + size;
  return true;
}

/* ---- items ---- */

static struct stwi_item error_item(struct stwi_decoder *d, enum rule broken) {
  go_deaf(d);
  give_back(d);
  return (struct stwi_item){
      .kind = STWI_ITEM_ERROR, .close_code = rules[broken].close_code, .why = rules[broken].why};
}

static struct stwi_item close_item(struct stwi_decoder *d, const struct whole *whole) {
  if (whole->size == 1)
    return error_item(d, RULE_CLOSE_HALF_CODE);
  if (whole->size == 0) {
    go_deaf(d);
    return (struct stwi_item){.kind = STWI_ITEM_CLOSE, .close_code = STWI_CLOSE_NONE};
  }
  const uint16_t code = (uint16_t)big_endian(whole->data, 2);
  if (!stwi_close_code_valid(code))
    return error_item(d, RULE_CLOSE_CODE);
  if (!stwi_utf8_valid(whole->data + 2, whole->size - 2))
    return error_item(d, RULE_CLOSE_REASON);
  go_deaf(d);
  return (struct stwi_item){.kind = STWI_ITEM_CLOSE,
                            .close_code = code,
                            .data = whole->data + 2,
                            .size = whole->size - 2};
}

static struct stwi_item control_item(struct stwi_decoder *d, const struct whole *whole) {
  d->control_bytes = 0;
  if (d->opcode == STWI_OP_CLOSE)
    return close_item(d, whole);
  return (struct stwi_item){.kind = d->opcode == STWI_OP_PING ? STWI_ITEM_PING : STWI_ITEM_PONG,
                            .data = whole->data,
                            .size = whole->size};
}

/* Held bytes stay where they are until the next call, so the bookkeeping can be closed at once. */
static struct stwi_item message_item(struct stwi_decoder *d, const struct whole *whole) {
  const bool is_text = d->message_opcode == STWI_OP_TEXT;
  d->message_opcode = 0;
  d->message_bytes = 0;
  return (struct stwi_item){.kind = is_text ? STWI_ITEM_TEXT : STWI_ITEM_BINARY,
                            .data = whole->data,
                            .size = whole->size};
}

/* ---- decoder ---- */

void stwi_decoder_init(struct stwi_decoder *d, enum stwi_frame_role role,
                       uint64_t message_bytes_max) {
  /* No buffer can be larger, and sums of two such sizes do not overflow. */
  const uint64_t addressable = PTRDIFF_MAX;
  *d = (struct stwi_decoder){
      .role = (uint8_t)role,
      .utf8 = STWI_UTF8_BORDER,
      .message_bytes_max = message_bytes_max < addressable ? message_bytes_max : addressable,
  };
}

void stwi_decoder_fini(struct stwi_decoder *d) {
  give_back(d);
  *d = (struct stwi_decoder){.phase = PHASE_DEAF};
}

/* Goes on until something is whole or broken; false if all input is used up before. */
static bool advance(struct stwi_decoder *d, struct input *in, struct whole *whole) {
  while (in->size > 0) {
    if (d->phase == PHASE_DEAF) {
      skip(in, in->size);
      return false;
    }
    if (d->phase == PHASE_HEADER && !take_header(d, in, &whole->broken))
      return whole->broken != RULE_NONE;
    if (take_payload(d, in, whole))
      return true;
  }
  return false;
}

struct stwi_item stwi_decoder_next(struct stwi_decoder *d, const uint8_t **bytes, size_t *size) {
  if (d->held_capacity > STWI_DECODER_KEPT_BYTES_MAX)
    give_back_if_unused(d);
  struct input in = {*bytes, *size};
  struct whole whole = {.broken = RULE_NONE};
  const bool found = advance(d, &in, &whole);
  *bytes = in.bytes;
  *size = in.size;
  if (!found) {
    give_back_if_unused(d);
    return (struct stwi_item){.kind = STWI_ITEM_NONE};
  }
  if (whole.broken != RULE_NONE)
    return error_item(d, whole.broken);
  if (is_control(d->opcode))
    return control_item(d, &whole);
  return message_item(d, &whole);
}

uint8_t *stwi_decoder_detach(struct stwi_decoder *d, const struct stwi_item *item) {
  if (item->data != d->held)
    return NULL;
  assert(d->message_bytes + d->control_bytes == 0); /* nothing else lies in it */
  uint8_t *held = d->held;
  d->held = NULL;
  d->held_capacity = 0;
  return held;
}

bool stwi_decoder_mid_message(const struct stwi_decoder *d) {
  return d->message_opcode != 0;
}

size_t stwi_decoder_held_bytes(const struct stwi_decoder *d) {
  return d->held_capacity;
}

/* ---- encoding ---- */

static size_t put_big_endian(uint8_t *out, uint64_t value, size_t count) {
  for (size_t i = 0; i < count; i++)
    out[i] = (uint8_t)(value >> (8 * (count - 1 - i)));
  return count;
}

static size_t put_length(uint8_t *out, size_t length, uint8_t mask_bit) {
  if (length < LENGTH_16) {
    out[0] = (uint8_t)(mask_bit | length);
    return 1;
  }
  if (length <= UINT16_MAX) {
    out[0] = mask_bit | LENGTH_16;
    return 1 + put_big_endian(out + 1, length, 2);
  }
  out[0] = mask_bit | LENGTH_64;
  return 1 + put_big_endian(out + 1, length, 8);
}

size_t stwi_frame_size(size_t payload_bytes, bool masked) {
  const size_t extended = payload_bytes < LENGTH_16 ? 0 : payload_bytes <= UINT16_MAX ? 2 : 8;
  return 2 + extended + (masked ? MASK_BYTES : 0) + payload_bytes;
}

size_t stwi_frame_encode(uint8_t *out, unsigned opcode, bool fin, const uint8_t mask[4],
                         const void *payload, size_t payload_bytes) {
  out[0] = (uint8_t)((fin ? FIN_BIT : 0) | opcode);
  size_t at = 1 + put_length(out + 1, payload_bytes, mask != NULL ? MASK_BIT : 0);
  if (mask != NULL) {
    memcpy(out + at, mask, MASK_BYTES);
    at += MASK_BYTES;
    stwi_mask(out + at, payload, payload_bytes, mask);
  } else if (payload_bytes > 0) {
    memcpy(out + at, payload, payload_bytes);
  }
  return at + payload_bytes;
}

size_t stwi_frame_encode_two(uint8_t *out, unsigned opcode, bool fin, const uint8_t mask[4],
                             const void *prefix, size_t prefix_bytes, const void *payload,
                             size_t payload_bytes) {
  out[0] = (uint8_t)((fin ? FIN_BIT : 0) | opcode);
  size_t at = 1 + put_length(out + 1, prefix_bytes + payload_bytes, mask != NULL ? MASK_BIT : 0);
  uint8_t key[MASK_BYTES] = {0};
  if (mask != NULL) {
    memcpy(key, mask, MASK_BYTES);
    memcpy(out + at, mask, MASK_BYTES);
    at += MASK_BYTES;
  }
  stwi_mask(out + at, prefix, prefix_bytes, key);
  stwi_mask_turn(key, prefix_bytes);
  stwi_mask(out + at + prefix_bytes, payload, payload_bytes, key);
  return at + prefix_bytes + payload_bytes;
}

size_t stwi_close_encode(uint8_t *out, const uint8_t mask[4], uint16_t code, const char *reason,
                         size_t reason_bytes) {
  if (code == STWI_CLOSE_NONE)
    return stwi_frame_encode(out, STWI_OP_CLOSE, true, mask, NULL, 0);
  if (reason_bytes > STWI_CLOSE_REASON_BYTES_MAX)
    reason_bytes = STWI_CLOSE_REASON_BYTES_MAX;
  const size_t kept = stwi_utf8_prefix((const uint8_t *)reason, reason_bytes);
  uint8_t payload[STWI_CONTROL_BYTES_MAX];
  put_big_endian(payload, code, 2);
  if (kept > 0)
    memcpy(payload + 2, reason, kept);
  return stwi_frame_encode(out, STWI_OP_CLOSE, true, mask, payload, 2 + kept);
}

bool stwi_close_code_valid(uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}
