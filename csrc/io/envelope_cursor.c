#include "io/envelope_cursor.h"

#include <string.h>

#include "core/utf8.h"

/* First bytes (msgpack specification, "Formats"). */
enum {
  FIXMAP = 0x80,
  FIXARRAY = 0x90,
  FIXSTR = 0xa0,
  NIL = 0xc0,
  NEVER_USED = 0xc1,
  FALSE_ = 0xc2,
  TRUE_ = 0xc3,
  BIN8 = 0xc4,
  EXT8 = 0xc7,
  EXT32 = 0xc9,
  FLOAT32 = 0xca,
  FLOAT64 = 0xcb,
  UINT8 = 0xcc,
  INT8 = 0xd0,
  FIXEXT1 = 0xd4,
  FIXEXT16 = 0xd8,
  STR8 = 0xd9,
  ARRAY16 = 0xdc,
  MAP16 = 0xde,
  NEGATIVE_FIXINT = 0xe0
};

static bool fail(struct stwi_cursor *c, const char *why) {
  if (c->why == NULL)
    c->why = why;
  return false;
}

static bool fail_cut(struct stwi_cursor *c) {
  return fail(c, "the frame ends inside a value");
}

static bool take_first(struct stwi_cursor *c, uint8_t *first) {
  if (c->at == c->end)
    return fail_cut(c);
  *first = *c->at++;
  return true;
}

/* `width` bytes, big endian. */
static bool take_number(struct stwi_cursor *c, unsigned width, uint64_t *value) {
  if (stwi_cursor_left(c) < width)
    return fail_cut(c);
  uint64_t sum = 0;
  for (unsigned i = 0; i < width; i++)
    sum = sum << 8 | c->at[i];
  c->at += width;
  *value = sum;
  return true;
}

static bool take_bytes(struct stwi_cursor *c, uint64_t size, const uint8_t **bytes) {
  if (size > stwi_cursor_left(c))
    return fail_cut(c);
  *bytes = c->at;
  c->at += size;
  return true;
}

/* Rest of an integer after its first byte; a negative one is refused. */
static bool take_integer(struct stwi_cursor *c, uint8_t first, uint64_t *value) {
  if (first < FIXMAP) {
    *value = first;
    return true;
  }
  if (first < UINT8 || first > INT8 + 3)
    return false;
  const bool is_signed = first >= INT8;
  const unsigned width = 1u << (first - (is_signed ? INT8 : UINT8));
  return take_number(c, width, value) && !(is_signed && (*value >> (8 * width - 1)) != 0);
}

bool stwi_cursor_uint(struct stwi_cursor *c, uint64_t *value) {
  uint8_t first;
  return take_first(c, &first) && take_integer(c, first, value);
}

bool stwi_cursor_bool(struct stwi_cursor *c, bool *value) {
  uint8_t first;
  if (!take_first(c, &first) || (first != FALSE_ && first != TRUE_))
    return false;
  *value = first == TRUE_;
  return true;
}

static bool take_text(struct stwi_cursor *c, uint8_t first, struct stwi_text *text) {
  uint64_t size = first & 0x1f;
  if ((first & 0xe0) != FIXSTR) {
    if (first < STR8 || first > STR8 + 2)
      return false;
    if (!take_number(c, 1u << (first - STR8), &size))
      return false;
  }
  const uint8_t *bytes;
  if (!take_bytes(c, size, &bytes))
    return false;
  if (!stwi_utf8_valid(bytes, (size_t)size))
    return fail(c, "a string is not UTF-8");
  *text = (struct stwi_text){(const char *)bytes, (size_t)size};
  return true;
}

bool stwi_cursor_text(struct stwi_cursor *c, struct stwi_text *text) {
  uint8_t first;
  return take_first(c, &first) && take_text(c, first, text);
}

static bool take_bin(struct stwi_cursor *c, uint8_t first, const uint8_t **bytes, size_t *size) {
  uint64_t count;
  if (first < BIN8 || first > BIN8 + 2 || !take_number(c, 1u << (first - BIN8), &count) ||
      !take_bytes(c, count, bytes))
    return false;
  *size = (size_t)count;
  return true;
}

bool stwi_cursor_bin(struct stwi_cursor *c, const uint8_t **bytes, size_t *size) {
  uint8_t first;
  return take_first(c, &first) && take_bin(c, first, bytes, size);
}

static bool take_count(struct stwi_cursor *c, uint8_t first, uint8_t fix, uint8_t wide,
                       uint32_t *count) {
  uint64_t value = first & 0x0f;
  if ((first & 0xf0) != fix) {
    if (first < wide || first > wide + 1)
      return false;
    if (!take_number(c, 2u << (first - wide), &value))
      return false;
  }
  if (value * (fix == FIXMAP ? 2 : 1) > stwi_cursor_left(c))
    return fail(c, "an array or map announces more elements than the frame has bytes");
  *count = (uint32_t)value;
  return true;
}

bool stwi_cursor_array(struct stwi_cursor *c, uint32_t *count) {
  uint8_t first;
  return take_first(c, &first) && take_count(c, first, FIXARRAY, ARRAY16, count);
}

static bool take_map(struct stwi_cursor *c, uint8_t first, uint32_t *count) {
  if (!take_count(c, first, FIXMAP, MAP16, count))
    return false;
  return *count <= STWI_ENVELOPE_MAP_MAX || fail(c, "a map has more than 64 entries");
}

bool stwi_cursor_map(struct stwi_cursor *c, uint32_t *count) {
  uint8_t first;
  return take_first(c, &first) && take_map(c, first, count);
}

bool stwi_cursor_key(struct stwi_cursor *c, struct stwi_key_set *seen, struct stwi_text *key) {
  if (!stwi_cursor_text(c, key))
    return fail(c, "a map's key is not a string");
  if (key->size > STWI_ENVELOPE_KEY_BYTES_MAX)
    return fail(c, "a map's key is longer than 64 bytes");
  for (uint32_t i = 0; i < seen->count; i++)
    if (seen->keys[i].size == key->size && memcmp(seen->keys[i].data, key->data, key->size) == 0)
      return fail(c, "a map has the same key twice");
  seen->keys[seen->count++] = *key;
  return true;
}

static bool skip_map(struct stwi_cursor *c, uint8_t first, unsigned depth) {
  uint32_t count;
  if (!take_map(c, first, &count))
    return false;
  struct stwi_key_set seen;
  seen.count = 0;
  struct stwi_text key;
  for (uint32_t i = 0; i < count; i++)
    if (!stwi_cursor_key(c, &seen, &key) || !stwi_cursor_skip(c, depth + 1))
      return false;
  return true;
}

static bool skip_array(struct stwi_cursor *c, uint8_t first, unsigned depth) {
  uint32_t count;
  if (!take_count(c, first, FIXARRAY, ARRAY16, &count))
    return false;
  for (uint32_t i = 0; i < count; i++)
    if (!stwi_cursor_skip(c, depth + 1))
      return false;
  return true;
}

/* nil, booleans, numbers, strings, bin; the first byte is no array's and no map's. */
static bool skip_scalar(struct stwi_cursor *c, uint8_t first) {
  uint64_t number;
  struct stwi_text text;
  const uint8_t *bytes;
  size_t size;
  if (first < FIXMAP || first >= NEGATIVE_FIXINT || first == NIL || first == FALSE_ ||
      first == TRUE_)
    return true;
  if (first == FLOAT32 || first == FLOAT64)
    return take_number(c, first == FLOAT32 ? 4 : 8, &number);
  if (first >= UINT8 && first < FIXEXT1)
    return take_number(c, 1u << ((first - UINT8) & 3), &number);
  if (first >= BIN8 && first < EXT8)
    return take_bin(c, first, &bytes, &size);
  if ((first & 0xe0) == FIXSTR || (first >= STR8 && first < ARRAY16))
    return take_text(c, first, &text);
  return fail(c, first == NEVER_USED ? "the byte 0xc1 is no msgpack" : "ext values are refused");
}

bool stwi_cursor_skip(struct stwi_cursor *c, unsigned depth) {
  uint8_t first;
  if (!take_first(c, &first))
    return false;
  const bool is_map = (first & 0xf0) == FIXMAP || first == MAP16 || first == MAP16 + 1;
  const bool is_array = (first & 0xf0) == FIXARRAY || first == ARRAY16 || first == ARRAY16 + 1;
  if (!is_map && !is_array)
    return skip_scalar(c, first);
  if (depth >= STWI_ENVELOPE_DEPTH_MAX)
    return fail(c, "more than 16 arrays and maps inside each other");
  return is_map ? skip_map(c, first, depth) : skip_array(c, first, depth);
}
