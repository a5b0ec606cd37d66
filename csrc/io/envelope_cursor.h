/* envelope_cursor: reads msgpack values from borrowed bytes, one after the other.
 *
 * Each function takes one value and answers false where there is none of its kind.  The first
 * failure that has a reason of its own (a broken encoding rather than a value of another kind)
 * stays in `why`; after any failure the cursor is not used again.
 */
#ifndef STWI_IO_ENVELOPE_CURSOR_H
#define STWI_IO_ENVELOPE_CURSOR_H

#include "io/envelope.h"

struct stwi_cursor {
  const uint8_t *at, *end;
  const char *why; /* NULL, or a static sentence */
};

/* The keys of a map that were read so far; borrowed. */
struct stwi_key_set {
  uint32_t count;
  struct stwi_text keys[STWI_ENVELOPE_MAP_MAX];
};

static inline size_t stwi_cursor_left(const struct stwi_cursor *c) {
  return (size_t)(c->end - c->at);
}

/* 0 to 2^64 - 1 in any width, signed or not. */
bool stwi_cursor_uint(struct stwi_cursor *c, uint64_t *value);
bool stwi_cursor_bool(struct stwi_cursor *c, bool *value);
/* Valid UTF-8; lent by the bytes. */
bool stwi_cursor_text(struct stwi_cursor *c, struct stwi_text *text);
bool stwi_cursor_bin(struct stwi_cursor *c, const uint8_t **bytes, size_t *size);
/* The head of an array or a map: at least one byte is left for each element, two for each entry. */
bool stwi_cursor_array(struct stwi_cursor *c, uint32_t *count);
bool stwi_cursor_map(struct stwi_cursor *c, uint32_t *count);
/* A key of a map: a string that is not in `seen` yet; adds it. */
bool stwi_cursor_key(struct stwi_cursor *c, struct stwi_key_set *seen, struct stwi_text *key);
/* Any value, whole; `depth` is how many arrays and maps are around it. */
bool stwi_cursor_skip(struct stwi_cursor *c, unsigned depth);

#endif
