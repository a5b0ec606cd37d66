/* Decodes arbitrary bytes as both ends of a connection and checks what must hold for any input:
 * the items do not depend on how the input is cut, memory and sizes keep their bounds, and every
 * item that is encoded again decodes to itself at the other end.
 *
 * Input: one byte of options (bit 0: role, bits 1-3: limit), one byte that seeds the cuts, wire
 * bytes.  make_frame_corpus.py writes the seeds in corpus/frame.
 */
#include "core/frame.h"
#include "core/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static const uint64_t limits[] = {0, 1, 125, 126, 1000, 70000, 1 << 20, UINT64_MAX};

static void must(bool holds) {
  if (!holds)
    abort();
}

/* All items of one run, one after the other: head, then data. */
struct transcript {
  uint8_t *bytes;
  size_t size;
};

struct head {
  enum stwi_item_kind kind;
  unsigned close_code;
  const char *why;
  size_t size;
};

static void append(struct transcript *transcript, const void *bytes, size_t size) {
  if (size == 0)
    return;
  transcript->bytes = realloc(transcript->bytes, transcript->size + size);
  must(transcript->bytes != NULL);
  memcpy(transcript->bytes + transcript->size, bytes, size);
  transcript->size += size;
}

static void append_item(struct transcript *transcript, const struct stwi_item *item) {
  struct head head;
  memset(&head, 0, sizeof head);
  head.kind = item->kind;
  head.close_code = item->close_code;
  head.why = item->why;
  head.size = item->size;
  append(transcript, &head, sizeof head);
  append(transcript, item->data, item->size);
}

static unsigned opcode_of(enum stwi_item_kind kind) {
  return kind == STWI_ITEM_TEXT     ? STWI_OP_TEXT
         : kind == STWI_ITEM_BINARY ? STWI_OP_BINARY
         : kind == STWI_ITEM_PING   ? STWI_OP_PING
                                    : STWI_OP_PONG;
}

static size_t encode_item(uint8_t *out, const struct stwi_item *item, const uint8_t *mask) {
  if (item->kind == STWI_ITEM_CLOSE)
    return stwi_close_encode(out, mask, item->close_code, (const char *)item->data, item->size);
  return stwi_frame_encode(out, opcode_of(item->kind), true, mask, item->data, item->size);
}

static void check_encoded_again(enum stwi_frame_role role, const struct stwi_item *item) {
  static const uint8_t mask[4] = {0x9c, 0x01, 0xfe, 0x5a};
  const bool masked = role == STWI_FRAME_CLIENT; /* what a client heard, it could also say */
  uint8_t *wire = malloc(stwi_frame_size(item->size + 2, masked));
  must(wire != NULL);
  size_t left = encode_item(wire, item, masked ? mask : NULL);
  const uint8_t *at = wire;
  struct stwi_decoder peer;
  stwi_decoder_init(&peer, masked ? STWI_FRAME_SERVER : STWI_FRAME_CLIENT, item->size);
  const struct stwi_item again = stwi_decoder_next(&peer, &at, &left);
  must(left == 0 && again.kind == item->kind && again.close_code == item->close_code);
  must(again.size == item->size);
  must(item->size == 0 || memcmp(again.data, item->data, item->size) == 0);
  stwi_decoder_fini(&peer);
  free(wire);
}

static void check_item(enum stwi_frame_role role, uint64_t limit, const struct stwi_item *item) {
  if (item->kind == STWI_ITEM_ERROR) {
    must(item->close_code == 1002 || item->close_code == 1007 || item->close_code == 1009);
    must(item->why != NULL && item->size == 0);
    return;
  }
  const bool message = item->kind == STWI_ITEM_TEXT || item->kind == STWI_ITEM_BINARY;
  must(item->size <= (message ? limit : STWI_CONTROL_BYTES_MAX));
  if (item->kind == STWI_ITEM_TEXT || item->kind == STWI_ITEM_CLOSE)
    must(stwi_utf8_valid(item->data, item->size));
  check_encoded_again(role, item);
}

static size_t held_bytes_max(size_t fed) {
  const size_t kept = STWI_DECODER_KEPT_BYTES_MAX;
  const size_t grown = 2 * fed > fed + 65536 ? 2 * fed : fed + 65536;
  return grown > kept ? grown : kept;
}

/* How many bytes the next piece has: everything, one, or drawn. */
static size_t next_piece(size_t left, unsigned *cuts) {
  if (*cuts == 0)
    return left;
  if (*cuts == 1)
    return 1;
  *cuts = *cuts * 1103515245U + 12345U;
  const size_t wanted = 1 + ((*cuts >> 16) & ((*cuts >> 8 & 1) != 0 ? 0x7 : 0xff));
  *cuts |= 2; /* never one of the fixed ways */
  return wanted < left ? wanted : left;
}

static struct transcript decode(enum stwi_frame_role role, uint64_t limit, const uint8_t *wire,
                                size_t size, unsigned cuts) {
  struct transcript transcript = {0};
  struct stwi_decoder d;
  stwi_decoder_init(&d, role, limit);
  for (size_t fed = 0; fed < size;) {
    size_t left = next_piece(size - fed, &cuts);
    uint8_t *piece = malloc(left); /* its own block: reading past the piece is seen */
    must(piece != NULL);
    memcpy(piece, wire + fed, left);
    fed += left;
    const uint8_t *at = piece;
    struct stwi_item item;
    while ((item = stwi_decoder_next(&d, &at, &left)).kind != STWI_ITEM_NONE) {
      check_item(role, limit, &item);
      append_item(&transcript, &item);
    }
    must(left == 0);
    must(stwi_decoder_held_bytes(&d) <= held_bytes_max(fed));
    free(piece);
  }
  stwi_decoder_fini(&d);
  return transcript;
}

static void check_same(const struct transcript *a, const struct transcript *b) {
  must(a->size == b->size);
  must(a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
  if (size < 2)
    return 0;
  const enum stwi_frame_role role = (input[0] & 1) != 0 ? STWI_FRAME_SERVER : STWI_FRAME_CLIENT;
  const uint64_t limit = limits[input[0] >> 1 & 7];
  struct transcript whole = decode(role, limit, input + 2, size - 2, 0);
  struct transcript bytewise = decode(role, limit, input + 2, size - 2, 1);
  struct transcript cut = decode(role, limit, input + 2, size - 2, input[1] + 2U);
  check_same(&whole, &bytewise);
  check_same(&whole, &cut);
  free(whole.bytes);
  free(bytewise.bytes);
  free(cut.bytes);
  return 0;
}
