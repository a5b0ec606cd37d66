#include "utf8.h"

#include <string.h>

/* States are bit offsets into a row, so that one shift is the whole transition: the row of a byte's
 * class holds, at the offset of each state, the next state.  The chain from byte to byte is a
 * single shift, and a row is picked without waiting for it. */
enum {
  BORDER = STWI_UTF8_BORDER,
  INVALID = STWI_UTF8_INVALID,
  TAIL_1 = 12,   /* one continuation byte missing */
  TAIL_2 = 18,   /* two */
  TAIL_3 = 24,   /* three */
  AFTER_E0 = 30, /* 80..9F would be overlong */
  AFTER_ED = 36, /* A0..BF would be a surrogate */
  AFTER_F0 = 42, /* 80..8F would be overlong */
  AFTER_F4 = 48, /* 90..BF would be above U+10FFFF */
  STATE_BITS = 63
};

#define NEXT(from, to) ((uint64_t)(to) << (from))
#define ROW(border, tail_1, tail_2, tail_3, e0, ed, f0, f4)                                        \
  (NEXT(BORDER, border) | NEXT(INVALID, INVALID) | NEXT(TAIL_1, tail_1) | NEXT(TAIL_2, tail_2) |   \
   NEXT(TAIL_3, tail_3) | NEXT(AFTER_E0, e0) | NEXT(AFTER_ED, ed) | NEXT(AFTER_F0, f0) |           \
   NEXT(AFTER_F4, f4))
#define LEAD(to) ROW(to, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID)

enum byte_class {
  ASCII,   /* 00..7F */
  NEVER,   /* C0, C1, F5..FF */
  CONT_8,  /* 80..8F */
  CONT_9,  /* 90..9F */
  CONT_AB, /* A0..BF */
  LEAD_2,  /* C2..DF */
  LEAD_E0,
  LEAD_3, /* E1..EC, EE, EF */
  LEAD_ED,
  LEAD_F0,
  LEAD_4, /* F1..F3 */
  LEAD_F4,
  CLASSES
};

static const uint64_t rows[CLASSES] = {
    [ASCII] = LEAD(BORDER),
    [NEVER] = LEAD(INVALID),
    [CONT_8] = ROW(INVALID, BORDER, TAIL_1, TAIL_2, INVALID, TAIL_1, INVALID, TAIL_2),
    [CONT_9] = ROW(INVALID, BORDER, TAIL_1, TAIL_2, INVALID, TAIL_1, TAIL_2, INVALID),
    [CONT_AB] = ROW(INVALID, BORDER, TAIL_1, TAIL_2, TAIL_1, INVALID, TAIL_2, INVALID),
    [LEAD_2] = LEAD(TAIL_1),
    [LEAD_E0] = LEAD(AFTER_E0),
    [LEAD_3] = LEAD(TAIL_2),
    [LEAD_ED] = LEAD(AFTER_ED),
    [LEAD_F0] = LEAD(AFTER_F0),
    [LEAD_4] = LEAD(TAIL_3),
    [LEAD_F4] = LEAD(AFTER_F4),
};

#define TIMES_4(c) c, c, c, c
#define TIMES_16(c) TIMES_4(c), TIMES_4(c), TIMES_4(c), TIMES_4(c)
#define TIMES_64(c) TIMES_16(c), TIMES_16(c), TIMES_16(c), TIMES_16(c)

static const uint8_t classes[256] = {
    TIMES_64(ASCII),
    TIMES_64(ASCII),
    TIMES_16(CONT_8),
    TIMES_16(CONT_9),
    TIMES_16(CONT_AB),
    TIMES_16(CONT_AB),
    NEVER,
    NEVER,
    LEAD_2,
    LEAD_2,
    TIMES_4(LEAD_2),
    TIMES_4(LEAD_2),
    TIMES_4(LEAD_2),
    TIMES_16(LEAD_2),
    LEAD_E0,
    LEAD_3,
    LEAD_3,
    LEAD_3,
    TIMES_4(LEAD_3),
    TIMES_4(LEAD_3),
    LEAD_3,
    LEAD_ED,
    LEAD_3,
    LEAD_3,
    LEAD_F0,
    LEAD_4,
    LEAD_4,
    LEAD_4,
    LEAD_F4,
    NEVER,
    NEVER,
    NEVER,
    TIMES_4(NEVER),
    TIMES_4(NEVER),
};

static uint64_t step(uint64_t state, uint8_t byte) {
  return (rows[classes[byte]] >> state) & STATE_BITS;
}

static bool has_high_bit(uint64_t word) {
  return (word & UINT64_C(0x8080808080808080)) != 0;
}

/* How many bytes at the start are surely ASCII: all of them, or a number of whole words. */
static size_t skip_ascii(const uint8_t *bytes, size_t size) {
  uint64_t words[4];
  size_t at = 0;
  for (; size - at >= sizeof words; at += sizeof words) {
    memcpy(words, bytes + at, sizeof words);
    if (has_high_bit(words[0] | words[1] | words[2] | words[3]))
      break;
  }
  for (; size - at >= sizeof words[0]; at += sizeof words[0]) {
    memcpy(words, bytes + at, sizeof words[0]);
    if (has_high_bit(words[0]))
      return at;
  }
  if (size < sizeof words[0])
    return at;
  memcpy(words, bytes + size - sizeof words[0], sizeof words[0]);
  return has_high_bit(words[0]) ? at : size;
}

uint8_t stwi_utf8_feed(uint8_t state, const uint8_t *bytes, size_t size) {
  /* Long enough that mixed text does not pay for a try at skipping after each code point. */
  enum { RUN = 64 };
  uint64_t now = state;
  for (size_t at = 0; at < size && now != INVALID;) {
    if (now == BORDER)
      at += skip_ascii(bytes + at, size - at);
    const size_t end = size - at < RUN ? size : at + RUN;
    for (; at < end; at++)
      now = step(now, bytes[at]);
  }
  return (uint8_t)now;
}

size_t stwi_utf8_prefix(const uint8_t *bytes, size_t size) {
  size_t border = 0;
  uint64_t now = BORDER;
  for (size_t at = 0; at < size && now != INVALID; at++) {
    now = step(now, bytes[at]);
    if (now == BORDER)
      border = at + 1;
  }
  return border;
}
