/* utf8: incremental validation of UTF-8 (RFC 3629), for text that arrives in pieces.
 *
 * A small automaton whose whole state is one byte.  It refuses overlong forms, surrogates and code
 * points above U+10FFFF at the first byte that cannot belong to valid text, which is what the
 * "fail fast" cases of the Autobahn suite ask for.  Runs of ASCII are skipped 32 bytes at a time.
 */
#ifndef STEADWIRE_CORE_UTF8_H
#define STEADWIRE_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The state at the start of a text and at every border between code points.  A text may end only
 * here. */
#define STWI_UTF8_BORDER 0

/* The state after a byte that no valid text can have there; nothing leads out of it. */
#define STWI_UTF8_INVALID 6

/* Gives the state after `size` more bytes of a text whose state was `state`.  Borrows `bytes`;
 * size 0 is allowed, then `bytes` is not read.  Any thread. */
uint8_t stwi_utf8_feed(uint8_t state, const uint8_t *bytes, size_t size);

/* Answers how many bytes of `bytes` (borrowed, at most `size` of them are read) are valid UTF-8
 * that ends at a border: where a text can be cut.  Any thread. */
size_t stwi_utf8_prefix(const uint8_t *bytes, size_t size);

/* True if the `size` bytes are a complete valid text; the empty text is.  Any thread. */
static inline bool stwi_utf8_valid(const uint8_t *bytes, size_t size) {
  return stwi_utf8_feed(STWI_UTF8_BORDER, bytes, size) == STWI_UTF8_BORDER;
}

#endif
