#include "mask.h"

#include <string.h>

enum { WORD = sizeof(uint64_t), BLOCK = 4 * WORD };

/* All loads come before the stores: the compiler may then use vectors although `out` can be `in`.
 */
static void mask_block(uint8_t *out, const uint8_t *in, uint64_t key) {
  uint64_t words[4];
  memcpy(words, in, BLOCK);
  words[0] ^= key;
  words[1] ^= key;
  words[2] ^= key;
  words[3] ^= key;
  memcpy(out, words, BLOCK);
}

static void mask_word(uint8_t *out, const uint8_t *in, uint64_t key) {
  uint64_t word;
  memcpy(&word, in, WORD);
  word ^= key;
  memcpy(out, &word, WORD);
}

void stwi_mask(uint8_t *out, const uint8_t *in, size_t size, const uint8_t key[4]) {
  uint32_t half;
  memcpy(&half, key, sizeof half);
  const uint64_t word_key = (uint64_t)half << 32 | half;

  size_t at = 0;
  for (; size - at >= BLOCK; at += BLOCK)
    mask_block(out + at, in + at, word_key);
  for (; size - at >= WORD; at += WORD)
    mask_word(out + at, in + at, word_key);
  for (; at < size; at++)
    out[at] = in[at] ^ key[at & 3];
}

void stwi_mask_turn(uint8_t key[4], size_t count) {
  const uint8_t old[4] = {key[0], key[1], key[2], key[3]};
  for (size_t i = 0; i < 4; i++)
    key[i] = old[(i + count) & 3];
}
