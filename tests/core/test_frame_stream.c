/* Random legal streams of both roles: what was encoded is decoded, whatever the cuts. */
#include "core/frame.h"

#include "frame_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

enum { LIMIT = 1 << 20 };

static void assert_same_records(const struct record *a, const struct record *b) {
  assert_int_equal(a->count, b->count);
  for (size_t i = 0; i < a->count; i++) {
    assert_int_equal(a->items[i].kind, b->items[i].kind);
    assert_int_equal(a->items[i].close_code, b->items[i].close_code);
    assert_ptr_equal(a->items[i].why, b->items[i].why);
    assert_int_equal(a->items[i].size, b->items[i].size);
    assert_memory_equal(a->items[i].data, b->items[i].data, a->items[i].size);
  }
}

static uint64_t random_next(uint64_t *seed) {
  uint64_t z = *seed += 0x9e3779b97f4a7c15u; /* splitmix64 */
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static size_t random_below(uint64_t *seed, size_t bound) {
  return (size_t)(random_next(seed) % bound);
}

static size_t random_size(uint64_t *seed) {
  static const size_t scales[] = {1, 10, 130, 130, 1000, 70000};
  return random_below(seed, scales[random_below(seed, COUNT(scales))]);
}

static void random_payload(uint64_t *seed, uint8_t *out, size_t size, bool text) {
  static const char *const points[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
  for (size_t at = 0; at < size;) {
    if (!text) {
      out[at++] = (uint8_t)random_next(seed);
      continue;
    }
    const char *point = points[random_below(seed, COUNT(points))];
    const size_t bytes = strlen(point) <= size - at ? strlen(point) : 1;
    memcpy(out + at, bytes == 1 ? "z" : point, bytes);
    at += bytes;
  }
}

struct stream {
  uint8_t *wire;
  size_t size;
  bool masked;
  struct record sent;
};

static void put_frame(struct stream *stream, uint64_t *seed, unsigned opcode, bool fin,
                      const uint8_t *payload, size_t size) {
  uint8_t mask[4];
  const uint64_t random = random_next(seed);
  memcpy(mask, &random, sizeof mask);
  stream->wire = realloc(stream->wire, stream->size + stwi_frame_size(size, stream->masked));
  assert_non_null(stream->wire);
  stream->size += stwi_frame_encode(stream->wire + stream->size, opcode, fin,
                                    stream->masked ? mask : NULL, payload, size);
}

static void put_random_control(struct stream *stream, uint64_t *seed) {
  uint8_t payload[STWI_CONTROL_BYTES_MAX];
  const size_t size = random_below(seed, sizeof payload + 1);
  random_payload(seed, payload, size, false);
  const bool ping = random_below(seed, 2) == 0;
  put_frame(stream, seed, ping ? STWI_OP_PING : STWI_OP_PONG, true, payload, size);
  const struct stwi_item item = {
      .kind = ping ? STWI_ITEM_PING : STWI_ITEM_PONG, .data = payload, .size = size};
  remember(&stream->sent, &item);
}

static void put_random_message(struct stream *stream, uint64_t *seed) {
  const bool text = random_below(seed, 2) == 0;
  const size_t size = random_size(seed);
  uint8_t *payload = malloc(size + 1);
  assert_non_null(payload);
  random_payload(seed, payload, size, text);
  unsigned opcode = text ? STWI_OP_TEXT : STWI_OP_BINARY;
  size_t at = 0;
  while (random_below(seed, 3) == 0) {
    const size_t piece = random_below(seed, size - at + 1);
    put_frame(stream, seed, opcode, false, payload + at, piece);
    at += piece;
    opcode = STWI_OP_CONTINUATION;
    if (random_below(seed, 2) == 0)
      put_random_control(stream, seed);
  }
  put_frame(stream, seed, opcode, true, payload + at, size - at);
  const struct stwi_item item = {
      .kind = text ? STWI_ITEM_TEXT : STWI_ITEM_BINARY, .data = payload, .size = size};
  remember(&stream->sent, &item);
  free(payload);
}

static struct stream random_stream(uint64_t *seed, bool masked) {
  struct stream stream = {.masked = masked};
  const size_t count = 1 + random_below(seed, 12);
  for (size_t i = 0; i < count; i++) {
    if (random_below(seed, 4) == 0)
      put_random_control(&stream, seed);
    else
      put_random_message(&stream, seed);
  }
  return stream;
}

static struct record decode_cut_at_random(enum stwi_frame_role role, const struct stream *stream,
                                          uint64_t *seed) {
  struct stwi_decoder d;
  struct record record = {0};
  stwi_decoder_init(&d, role, LIMIT);
  for (size_t at = 0; at < stream->size;) {
    const size_t wanted = random_size(seed);
    const size_t piece = wanted < stream->size - at ? wanted : stream->size - at;
    feed(&d, stream->wire + at, piece, &record);
    at += piece;
  }
  assert_int_equal(stwi_decoder_held_bytes(&d), 0);
  assert_false(stwi_decoder_mid_message(&d));
  stwi_decoder_fini(&d);
  return record;
}

static void what_is_encoded_is_decoded_whatever_the_cuts(void **state) {
  (void)state;
  const char *given = getenv("STEADWIRE_TEST_SEED");
  uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
  print_message("seed=%llu (STEADWIRE_TEST_SEED repeats it)\n", (unsigned long long)seed);
  for (size_t round = 0; round < 300; round++) {
    const enum stwi_frame_role role = round % 2 == 0 ? STWI_FRAME_CLIENT : STWI_FRAME_SERVER;
    struct stream stream = random_stream(&seed, role == STWI_FRAME_SERVER);
    struct record whole = decode(role, LIMIT, stream.wire, stream.size, stream.size);
    assert_same_records(&whole, &stream.sent);
    struct record cut = decode_cut_at_random(role, &stream, &seed);
    assert_same_records(&cut, &stream.sent);
    if (stream.size < 5000) {
      struct record bytewise = decode(role, LIMIT, stream.wire, stream.size, 1);
      assert_same_records(&bytewise, &stream.sent);
      forget(&bytewise);
    }
    forget(&cut);
    forget(&whole);
    forget(&stream.sent);
    free(stream.wire);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_encoded_is_decoded_whatever_the_cuts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
