#include "core/frame.h"

#include "failing_mem.h"
#include "frame_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define WIRE(literal) (const uint8_t *)(literal), sizeof(literal) - 1

enum { LIMIT = 1 << 20 };

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

/* ---- rules ---- */

/* Wire that is refused at its last byte. */
struct refusal {
  const uint8_t *wire;
  size_t size;
  uint16_t close_code;
  const char *why;
};

static const struct refusal client_refusals[] = {
    {WIRE("\xc1\x00"), 1002, "reserved bit"},
    {WIRE("\xa1\x00"), 1002, "reserved bit"},
    {WIRE("\x91\x00"), 1002, "reserved bit"},
    {WIRE("\xf2\x00"), 1002, "reserved bit"},
    {WIRE("\xc9\x00"), 1002, "reserved bit"},
    {WIRE("\x01\x00\xc0\x00"), 1002, "reserved bit"},
    {WIRE("\x81\x80"), 1002, "masked frame"},
    {WIRE("\x89\x80"), 1002, "masked frame"},
    {WIRE("\x83\x00"), 1002, "reserved data opcode"},
    {WIRE("\x84\x00"), 1002, "reserved data opcode"},
    {WIRE("\x85\x00"), 1002, "reserved data opcode"},
    {WIRE("\x86\x00"), 1002, "reserved data opcode"},
    {WIRE("\x87\x00"), 1002, "reserved data opcode"},
    {WIRE("\x8b\x00"), 1002, "reserved control opcode"},
    {WIRE("\x8c\x00"), 1002, "reserved control opcode"},
    {WIRE("\x8d\x00"), 1002, "reserved control opcode"},
    {WIRE("\x8e\x00"), 1002, "reserved control opcode"},
    {WIRE("\x8f\x00"), 1002, "reserved control opcode"},
    {WIRE("\x08\x00"), 1002, "fragmented control"},
    {WIRE("\x09\x00"), 1002, "fragmented control"},
    {WIRE("\x0a\x00"), 1002, "fragmented control"},
    {WIRE("\x89\x7e"), 1002, "longer than 125"},
    {WIRE("\x88\x7f"), 1002, "longer than 125"},
    {WIRE("\x80\x00"), 1002, "continuation of no message"},
    {WIRE("\x00\x00"), 1002, "continuation of no message"},
    {WIRE("\x81\x01x\x80\x00"), 1002, "continuation of no message"},
    {WIRE("\x01\x00\x81\x00"), 1002, "inside a fragmented"},
    {WIRE("\x02\x01x\x02\x00"), 1002, "inside a fragmented"},
    {WIRE("\x82\x7e\x00\x7d"), 1002, "shortest"},
    {WIRE("\x82\x7e\x00\x00"), 1002, "shortest"},
    {WIRE("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff"), 1002, "shortest"},
    {WIRE("\x82\x7f\x00\x00\x00\x00\x00\x00\x00\x01"), 1002, "shortest"},
    {WIRE("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), 1002, "top bit"},
    {WIRE("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), 1002, "top bit"},
    {WIRE("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), 1009, "limit"},
    {WIRE("\x82\x7f\x00\x00\x00\x00\x00\x10\x00\x01"), 1009, "limit"},
    {WIRE("\x02\x01x\x00\x7f\x00\x00\x00\x00\x00\x10\x00\x00"), 1009, "limit"},
    {WIRE("\x81\x01\xff"), 1007, "text"},
    {WIRE("\x81\x03\xed\xa0"), 1007, "text"},
    {WIRE("\x81\x02\xe2\x82"), 1007, "text"},
    {WIRE("\x01\x02\xe2\x82\x80\x00"), 1007, "text"},
    {WIRE("\x01\x02\xe2\x82\x80\x01x"), 1007, "text"},
    {WIRE("\x01\x01\xe2\x89\x00\x80\x01\x28"), 1007, "text"},
    {WIRE("\x88\x01\x03"), 1002, "half a code"},
    {WIRE("\x88\x02\x00\x00"), 1002, "code not allowed"},
    {WIRE("\x88\x02\x03\xe7"), 1002, "code not allowed"},    /* 999 */
    {WIRE("\x88\x02\x03\xec"), 1002, "code not allowed"},    /* 1004 */
    {WIRE("\x88\x02\x03\xed"), 1002, "code not allowed"},    /* 1005 */
    {WIRE("\x88\x02\x03\xee"), 1002, "code not allowed"},    /* 1006 */
    {WIRE("\x88\x05\x13\x88zzz"), 1002, "code not allowed"}, /* 5000 */
    {WIRE("\x88\x03\x03\xe8\xff"), 1007, "close reason"},
    {WIRE("\x88\x04\x03\xe8\xe2\x82"), 1007, "close reason"},
};

static const struct refusal server_refusals[] = {
    {WIRE("\x81\x00"), 1002, "unmasked frame"},
    {WIRE("\x89\x01"), 1002, "unmasked frame"},
    {WIRE("\xc1\x80"), 1002, "reserved bit"},
    {WIRE("\x89\xfe"), 1002, "longer than 125"},
    {WIRE("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 1002, "top bit"},
    {WIRE("\x82\xff\x00\x00\x00\x00\x00\x10\x00\x01\x00\x00\x00\x00"), 1009, "limit"},
    {WIRE("\x81\x81\x00\x00\x00\x00\xff"), 1007, "text"},
    {WIRE("\x81\x81\x80\x00\x00\x00\x41"), 1007, "text"},
    {WIRE("\x88\x81\x00\x00\x00\x00\x03"), 1002, "half a code"},
};

static void assert_refused(enum stwi_frame_role role, const struct refusal *refusal) {
  for (size_t piece = 1; piece <= refusal->size; piece++) {
    struct record record = decode(role, LIMIT, refusal->wire, refusal->size, piece);
    assert_true(record.count > 0);
    const struct said *last = &record.items[record.count - 1];
    assert_int_equal(last->kind, STWI_ITEM_ERROR);
    assert_int_equal(last->close_code, refusal->close_code);
    assert_non_null(strstr(last->why, refusal->why));
    assert_non_null(strstr(last->why, "RFC 6455 section"));
    forget(&record);
  }
}

static void each_rule_of_the_rfc_is_enforced_by_a_client(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(client_refusals); i++)
    assert_refused(STWI_FRAME_CLIENT, &client_refusals[i]);
}

static void each_rule_of_the_rfc_is_enforced_by_a_server(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(server_refusals); i++)
    assert_refused(STWI_FRAME_SERVER, &server_refusals[i]);
}

static void nothing_is_refused_before_it_is_certain(void **state) {
  (void)state;
  for (size_t i = 0; i < COUNT(client_refusals); i++) {
    const struct refusal *refusal = &client_refusals[i];
    struct record record = decode(STWI_FRAME_CLIENT, LIMIT, refusal->wire, refusal->size - 1, 1);
    for (size_t k = 0; k < record.count; k++)
      assert_int_not_equal(record.items[k].kind, STWI_ITEM_ERROR);
    forget(&record);
  }
}

struct accepted {
  const uint8_t *wire;
  size_t size;
  enum stwi_item_kind kind;
  const char *data;
  uint16_t close_code;
};

static void each_form_the_rfc_allows_is_accepted(void **state) {
  (void)state;
  static const struct accepted cases[] = {
      {WIRE("\x81\x05Hello"), STWI_ITEM_TEXT, "Hello", 0},
      {WIRE("\x01\x03Hel\x80\x02lo"), STWI_ITEM_TEXT, "Hello", 0},
      {WIRE("\x01\x00\x00\x00\x80\x05Hello"), STWI_ITEM_TEXT, "Hello", 0},
      {WIRE("\x01\x05Hello\x80\x00"), STWI_ITEM_TEXT, "Hello", 0},
      {WIRE("\x01\x00\x80\x00"), STWI_ITEM_TEXT, "", 0},
      {WIRE("\x81\x00"), STWI_ITEM_TEXT, "", 0},
      {WIRE("\x01\x02\xe2\x82\x80\x01\xac"), STWI_ITEM_TEXT, "\xe2\x82\xac", 0},
      {WIRE("\x82\x02\xff\xfe"), STWI_ITEM_BINARY, "\xff\xfe", 0},
      {WIRE("\x82\x00"), STWI_ITEM_BINARY, "", 0},
      {WIRE("\x02\x01\xff\x80\x01\xfe"), STWI_ITEM_BINARY, "\xff\xfe", 0},
      {WIRE("\x89\x02hi"), STWI_ITEM_PING, "hi", 0},
      {WIRE("\x89\x01\xff"), STWI_ITEM_PING, "\xff", 0},
      {WIRE("\x8a\x00"), STWI_ITEM_PONG, "", 0},
      {WIRE("\x88\x00"), STWI_ITEM_CLOSE, "", 1005},
      {WIRE("\x88\x02\x03\xe8"), STWI_ITEM_CLOSE, "", 1000},
      {WIRE("\x88\x06\x03\xf4later"), STWI_ITEM_CLOSE, "late", 1012},
      {WIRE("\x88\x05\x13\x87\xe2\x82\xac"), STWI_ITEM_CLOSE, "\xe2\x82\xac", 4999},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    for (size_t piece = 1; piece <= cases[i].size; piece++) {
      struct record record = decode(STWI_FRAME_CLIENT, LIMIT, cases[i].wire, cases[i].size, piece);
      assert_int_equal(record.count, 1);
      assert_int_equal(record.items[0].kind, cases[i].kind);
      assert_int_equal(record.items[0].close_code, cases[i].close_code);
      assert_int_equal(record.items[0].size, strlen(cases[i].data));
      assert_memory_equal(record.items[0].data, cases[i].data, record.items[0].size);
      assert_null(record.items[0].why);
      forget(&record);
    }
  }
}

static void the_masked_example_of_the_rfc_is_decoded(void **state) {
  (void)state;
  static const uint8_t wire[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
  for (size_t piece = 1; piece < sizeof wire; piece++) {
    struct record record = decode(STWI_FRAME_SERVER, LIMIT, wire, sizeof wire - 1, piece);
    assert_int_equal(record.count, 1);
    assert_int_equal(record.items[0].kind, STWI_ITEM_TEXT);
    assert_memory_equal(record.items[0].data, "Hello", 5);
    forget(&record);
  }
}

static void empty_masked_frames_are_decoded(void **state) {
  (void)state;
  static const uint8_t wire[] = "\x89\x80\x37\xfa\x21\x3d\x81\x80\x37\xfa\x21\x3d";
  for (size_t piece = 1; piece < sizeof wire; piece++) {
    struct record record = decode(STWI_FRAME_SERVER, LIMIT, wire, sizeof wire - 1, piece);
    assert_int_equal(record.count, 2);
    assert_int_equal(record.items[0].kind, STWI_ITEM_PING);
    assert_int_equal(record.items[0].size, 0);
    assert_int_equal(record.items[1].kind, STWI_ITEM_TEXT);
    assert_int_equal(record.items[1].size, 0);
    forget(&record);
  }
}

static void control_frames_come_between_fragments(void **state) {
  (void)state;
  static const uint8_t wire[] = "\x01\x03Hel\x89\x04ping\x00\x00\x8a\x00\x80\x02lo";
  for (size_t piece = 1; piece < sizeof wire; piece++) {
    struct record record = decode(STWI_FRAME_CLIENT, LIMIT, wire, sizeof wire - 1, piece);
    assert_int_equal(record.count, 3);
    assert_int_equal(record.items[0].kind, STWI_ITEM_PING);
    assert_memory_equal(record.items[0].data, "ping", 4);
    assert_int_equal(record.items[1].kind, STWI_ITEM_PONG);
    assert_int_equal(record.items[1].size, 0);
    assert_int_equal(record.items[2].kind, STWI_ITEM_TEXT);
    assert_int_equal(record.items[2].size, 5);
    assert_memory_equal(record.items[2].data, "Hello", 5);
    forget(&record);
  }
}

static void after_close_and_error_the_decoder_is_deaf(void **state) {
  (void)state;
  static const struct {
    const uint8_t *wire;
    size_t size;
    enum stwi_item_kind kind;
  } cases[] = {
      {WIRE("\x88\x02\x03\xe8\x81\x02hi\x89\x00"), STWI_ITEM_CLOSE},
      {WIRE("\x01\x02hi\x88\x00\x80\x02hi"), STWI_ITEM_CLOSE},
      {WIRE("\x83\x00\x81\x02hi"), STWI_ITEM_ERROR},
      {WIRE("\x81\x02\xff\xff\x81\x02hi"), STWI_ITEM_ERROR},
      {WIRE("\x88\x01x\x81\x02hi"), STWI_ITEM_ERROR},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    struct stwi_decoder d;
    struct record record = {0};
    stwi_decoder_init(&d, STWI_FRAME_CLIENT, LIMIT);
    feed(&d, cases[i].wire, cases[i].size, &record);
    assert_int_equal(record.count, 1);
    assert_int_equal(record.items[0].kind, cases[i].kind);
    feed(&d, WIRE("\x81\x02hi"), &record);
    assert_int_equal(record.count, 1);
    assert_false(stwi_decoder_mid_message(&d));
    assert_int_equal(stwi_decoder_held_bytes(&d), 0);
    stwi_decoder_fini(&d);
    feed(&d, WIRE("\x81\x02hi"), &record);
    assert_int_equal(record.count, 1);
    forget(&record);
  }
}

static void close_codes_of_the_registry_are_valid(void **state) {
  (void)state;
  for (unsigned code = 0; code <= UINT16_MAX; code++) {
    const bool reserved = code == 1004 || code == 1005 || code == 1006;
    const bool expected =
        (code >= 1000 && code <= 1014 && !reserved) || (code >= 3000 && code <= 4999);
    if (stwi_close_code_valid((uint16_t)code) != expected)
      fail_msg("close code %u judged wrongly", code);
  }
}

/* ---- failing early ---- */

static void bad_text_is_refused_before_its_frame_has_arrived(void **state) {
  (void)state;
  struct stwi_decoder d;
  struct record record = {0};
  stwi_decoder_init(&d, STWI_FRAME_CLIENT, LIMIT);
  feed(&d, WIRE("\x81\x7e\x10\x00\xce\xba\xf4"), &record);
  assert_int_equal(record.count, 0);
  feed(&d, WIRE("\x90"), &record);
  assert_int_equal(record.count, 1);
  assert_int_equal(record.items[0].close_code, 1007);
  assert_int_equal(stwi_decoder_held_bytes(&d), 0);
  stwi_decoder_fini(&d);
  forget(&record);
}

static void a_bad_header_is_refused_before_its_length_has_arrived(void **state) {
  (void)state;
  struct record record = decode(STWI_FRAME_CLIENT, LIMIT, WIRE("\x83\x7f"), 2);
  assert_int_equal(record.count, 1);
  assert_int_equal(record.items[0].close_code, 1002);
  forget(&record);
}

/* ---- memory ---- */

static void a_whole_message_is_lent_from_the_input(void **state) {
  (void)state;
  static const uint8_t wire[] = "\x81\x05Hello\x82\x02hi\x89\x01p\x88\x03\x03\xe8r";
  static const size_t places[] = {2, 9, 13, 18};
  struct stwi_decoder d;
  stwi_decoder_init(&d, STWI_FRAME_CLIENT, LIMIT);
  const uint8_t *at = wire;
  size_t left = sizeof wire - 1;
  for (size_t i = 0; i < COUNT(places); i++) {
    const struct stwi_item item = stwi_decoder_next(&d, &at, &left);
    assert_ptr_equal(item.data, wire + places[i]);
    assert_int_equal(stwi_decoder_held_bytes(&d), 0);
  }
  assert_int_equal(left, 0);
  stwi_decoder_fini(&d);
}

static void no_input_gives_none(void **state) {
  (void)state;
  struct stwi_decoder d;
  const uint8_t *at = NULL;
  size_t left = 0;
  stwi_decoder_init(&d, STWI_FRAME_CLIENT, LIMIT);
  assert_int_equal(stwi_decoder_next(&d, &at, &left).kind, STWI_ITEM_NONE);
  assert_null(at);
  stwi_decoder_fini(&d);
}

static void an_idle_decoder_is_small_and_holds_nothing(void **state) {
  (void)state;
  struct stwi_decoder d;
  struct record record = {0};
  assert_true(sizeof d <= 128);
  stwi_decoder_init(&d, STWI_FRAME_SERVER, LIMIT);
  assert_false(stwi_decoder_mid_message(&d));
  uint8_t wire[64];
  const size_t size = stwi_frame_encode(wire, STWI_OP_TEXT, true, key, "Hello", 5);
  feed(&d, wire, size - 1, &record);
  assert_true(stwi_decoder_mid_message(&d));
  assert_int_equal(stwi_decoder_held_bytes(&d), 5);
  feed(&d, wire + size - 1, 1, &record);
  assert_int_equal(record.count, 1);
  assert_false(stwi_decoder_mid_message(&d));
  assert_int_equal(stwi_decoder_held_bytes(&d), 0);
  assert_int_equal(failing_mem_live, 0);
  stwi_decoder_fini(&d);
  forget(&record);
}

static void an_announced_length_reserves_nothing(void **state) {
  (void)state;
  struct stwi_decoder d;
  struct record record = {0};
  stwi_decoder_init(&d, STWI_FRAME_CLIENT, UINT64_MAX);
  feed(&d, WIRE("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), &record);
  assert_int_equal(record.count, 0);
  assert_true(stwi_decoder_mid_message(&d));
  assert_int_equal(stwi_decoder_held_bytes(&d), 0);
  feed(&d, WIRE("x"), &record);
  assert_int_equal(stwi_decoder_held_bytes(&d), 64 * 1024);
  assert_int_equal(record.count, 0);
  stwi_decoder_fini(&d);
  assert_int_equal(failing_mem_live, 0);
  forget(&record);
}

static void memory_grows_with_what_arrived(void **state) {
  (void)state;
  enum { MESSAGE = 1000 * 1000, PIECE = 3000 };
  uint8_t *payload = calloc(1, MESSAGE);
  uint8_t *wire = malloc(stwi_frame_size(MESSAGE, false));
  assert_non_null(payload);
  assert_non_null(wire);
  struct stwi_decoder d;
  struct record record = {0};
  stwi_decoder_init(&d, STWI_FRAME_CLIENT, MESSAGE);
  const size_t size = stwi_frame_encode(wire, STWI_OP_BINARY, true, NULL, payload, MESSAGE);
  for (size_t at = 0; at < size; at += PIECE) {
    feed(&d, wire + at, size - at < PIECE ? size - at : PIECE, &record);
    const size_t bound = 2 * (at + PIECE) > 64 * 1024 ? 2 * (at + PIECE) : 64 * 1024;
    assert_true(stwi_decoder_held_bytes(&d) <= bound);
  }
  assert_int_equal(record.count, 1);
  assert_int_equal(record.items[0].size, MESSAGE);
  assert_int_equal(stwi_decoder_held_bytes(&d), 0);
  stwi_decoder_fini(&d);
  forget(&record);
  free(wire);
  free(payload);
}

static void one_large_piece_is_reserved_at_once(void **state) {
  (void)state;
  enum { MESSAGE = 300 * 1000, PIECE = 200 * 1000 };
  uint8_t *wire = calloc(1, MESSAGE + 10);
  assert_non_null(wire);
  struct stwi_decoder d;
  struct record record = {0};
  memcpy(wire, "\x82\x7f\x00\x00\x00\x00\x00\x04\x93\xe0", 10);
  stwi_decoder_init(&d, STWI_FRAME_CLIENT, LIMIT);
  feed(&d, wire, 10 + PIECE, &record);
  assert_int_equal(stwi_decoder_held_bytes(&d), PIECE);
  feed(&d, wire + 10 + PIECE, MESSAGE - PIECE, &record);
  assert_int_equal(record.count, 1);
  assert_int_equal(record.items[0].size, MESSAGE);
  stwi_decoder_fini(&d);
  forget(&record);
  free(wire);
}

/* While every input ends within a message the decoder is never idle; a large buffer goes anyway. */
static void only_a_small_buffer_is_kept_while_traffic_flows(void **state) {
  (void)state;
  static const struct {
    size_t message_bytes;
    size_t kept_bytes;
  } cases[] = {{1000, 1000}, {STWI_DECODER_KEPT_BYTES_MAX + 1, 2}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    const size_t bytes = cases[i].message_bytes;
    uint8_t *wire = calloc(1, stwi_frame_size(bytes, false) + 4);
    assert_non_null(wire);
    struct stwi_decoder d;
    struct record record = {0};
    stwi_decoder_init(&d, STWI_FRAME_CLIENT, LIMIT);
    uint8_t *payload = calloc(1, bytes);
    assert_non_null(payload);
    const size_t size = stwi_frame_encode(wire, STWI_OP_BINARY, true, NULL, payload, bytes);
    memcpy(wire + size, "\x82\x02h", 3);
    feed(&d, wire, size - 1, &record);
    feed(&d, wire + size - 1, 1 + 3, &record);
    assert_int_equal(record.count, 1);
    assert_int_equal(stwi_decoder_held_bytes(&d), cases[i].kept_bytes);
    feed(&d, WIRE("i"), &record);
    assert_int_equal(record.count, 2);
    assert_memory_equal(record.items[1].data, "hi", 2);
    assert_int_equal(stwi_decoder_held_bytes(&d), 0);
    stwi_decoder_fini(&d);
    forget(&record);
    free(payload);
    free(wire);
  }
}

static void a_large_message_stays_whole_while_controls_interleave(void **state) {
  (void)state;
  enum { FRAGMENT = 200 * 1000 };
  const size_t room = 2 * stwi_frame_size(FRAGMENT, false) + 8;
  uint8_t *payload = malloc(FRAGMENT);
  uint8_t *wire = malloc(room);
  assert_non_null(payload);
  assert_non_null(wire);
  memset(payload, 'z', FRAGMENT);
  size_t size = stwi_frame_encode(wire, STWI_OP_TEXT, false, NULL, payload, FRAGMENT);
  size += stwi_frame_encode(wire + size, STWI_OP_PING, true, NULL, "ping", 4);
  size += stwi_frame_encode(wire + size, STWI_OP_CONTINUATION, true, NULL, payload, FRAGMENT);
  struct record record = decode(STWI_FRAME_CLIENT, LIMIT, wire, size, FRAGMENT + 10 + 3);
  assert_int_equal(record.count, 2);
  assert_memory_equal(record.items[0].data, "ping", 4);
  assert_int_equal(record.items[1].size, 2 * FRAGMENT);
  assert_memory_equal(record.items[1].data, payload, FRAGMENT);
  assert_memory_equal(record.items[1].data + FRAGMENT, payload, FRAGMENT);
  forget(&record);
  free(wire);
  free(payload);
}

static void the_limit_counts_fragments_together(void **state) {
  (void)state;
  static const uint8_t fits[] = "\x02\x02xx\x00\x00\x89\x05pings\x00\x02xx\x80\x01x\x82\x05xxxxx";
  struct record record = decode(STWI_FRAME_CLIENT, 5, fits, sizeof fits - 1, sizeof fits);
  assert_int_equal(record.count, 3);
  assert_int_equal(record.items[1].size, 5);
  assert_int_equal(record.items[2].size, 5);
  forget(&record);
  record = decode(STWI_FRAME_CLIENT, 5, WIRE("\x02\x02xx\x00\x02xx\x80\x02"), 99);
  assert_int_equal(record.count, 1);
  assert_int_equal(record.items[0].close_code, 1009);
  forget(&record);
}

static void tiny_fragments_do_not_move_the_message_each_time(void **state) {
  (void)state;
  enum { FRAGMENTS = 100 * 1000 };
  uint8_t *wire = malloc(3 * FRAGMENTS);
  assert_non_null(wire);
  for (size_t i = 0; i < FRAGMENTS; i++)
    memcpy(wire + 3 * i, i == 0 ? "\x02\x01x" : "\x00\x01x", 3);
  struct stwi_decoder d;
  struct record record = {0};
  stwi_decoder_init(&d, STWI_FRAME_CLIENT, LIMIT);
  const long calls_before = failing_mem_calls;
  feed(&d, wire, 3 * FRAGMENTS, &record);
  assert_true(failing_mem_calls - calls_before < 20);
  assert_true(stwi_decoder_held_bytes(&d) < 2 * FRAGMENTS);
  feed(&d, WIRE("\x80\x00"), &record);
  assert_int_equal(record.count, 1);
  assert_int_equal(record.items[0].size, FRAGMENTS);
  stwi_decoder_fini(&d);
  forget(&record);
  free(wire);
}

static void a_million_empty_fragments_cost_nothing(void **state) {
  (void)state;
  enum { FRAGMENTS = 1000 * 1000 };
  uint8_t *wire = calloc(2, FRAGMENTS);
  assert_non_null(wire);
  wire[0] = STWI_OP_TEXT;
  struct stwi_decoder d;
  stwi_decoder_init(&d, STWI_FRAME_CLIENT, LIMIT);
  const uint8_t *at = wire;
  size_t left = 2 * FRAGMENTS;
  assert_int_equal(stwi_decoder_next(&d, &at, &left).kind, STWI_ITEM_NONE);
  assert_int_equal(left, 0);
  assert_int_equal(stwi_decoder_held_bytes(&d), 0);
  assert_true(stwi_decoder_mid_message(&d));
  stwi_decoder_fini(&d);
  free(wire);
}

static void each_failing_allocation_is_a_refusal(void **state) {
  (void)state;
  /* Three allocations: a fragment, a parked control frame, a second fragment. */
  static const uint8_t wire[] = "\x01\x03Hel\x89\x04ping\x80\x0alo, world!";
  for (long after = 0; after <= 3; after++) {
    struct stwi_decoder d;
    struct record record = {0};
    stwi_decoder_init(&d, STWI_FRAME_CLIENT, LIMIT);
    failing_mem_after = after;
    for (size_t i = 0; i < sizeof wire - 1; i++)
      feed(&d, wire + i, 1, &record);
    failing_mem_after = -1;
    const struct said *last = &record.items[record.count - 1];
    if (after == 3) {
      assert_int_equal(last->kind, STWI_ITEM_TEXT);
      assert_memory_equal(last->data, "Hello, world!", 13);
    } else {
      assert_int_equal(last->kind, STWI_ITEM_ERROR);
      assert_int_equal(last->close_code, 1009);
      assert_non_null(strstr(last->why, "no memory"));
    }
    assert_int_equal(stwi_decoder_held_bytes(&d), 0);
    assert_int_equal(failing_mem_live, 0);
    stwi_decoder_fini(&d);
    forget(&record);
  }
}

/* ---- encoding ---- */

static void a_frame_has_the_shortest_header(void **state) {
  (void)state;
  static const struct {
    size_t payload_bytes;
    const uint8_t *header;
    size_t header_bytes;
  } cases[] = {
      {0, WIRE("\x82\x00")},
      {125, WIRE("\x82\x7d")},
      {126, WIRE("\x82\x7e\x00\x7e")},
      {65535, WIRE("\x82\x7e\xff\xff")},
      {65536, WIRE("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00")},
  };
  uint8_t *payload = malloc(65536);
  uint8_t *out = malloc(65536 + STWI_FRAME_HEADER_BYTES_MAX);
  assert_non_null(payload);
  assert_non_null(out);
  memset(payload, 0xa5, 65536);
  for (size_t i = 0; i < COUNT(cases); i++) {
    const size_t bytes = cases[i].payload_bytes;
    const size_t header = cases[i].header_bytes;
    assert_int_equal(stwi_frame_size(bytes, false), header + bytes);
    assert_int_equal(stwi_frame_encode(out, STWI_OP_BINARY, true, NULL, payload, bytes),
                     header + bytes);
    assert_memory_equal(out, cases[i].header, header);
    assert_memory_equal(out + header, payload, bytes);

    assert_int_equal(stwi_frame_size(bytes, true), header + 4 + bytes);
    assert_int_equal(stwi_frame_encode(out, STWI_OP_BINARY, true, key, payload, bytes),
                     header + 4 + bytes);
    assert_int_equal(out[1], cases[i].header[1] | 0x80);
    assert_memory_equal(out + header, key, 4);
    for (size_t k = 0; k < bytes; k++)
      assert_int_equal(out[header + 4 + k], 0xa5 ^ key[k % 4]);
  }
  free(out);
  free(payload);
}

static void fin_and_opcode_are_written(void **state) {
  (void)state;
  uint8_t out[8];
  assert_int_equal(stwi_frame_encode(out, STWI_OP_TEXT, false, NULL, "x", 1), 3);
  assert_memory_equal(out, "\x01\x01x", 3);
  assert_int_equal(stwi_frame_encode(out, STWI_OP_CONTINUATION, true, NULL, NULL, 0), 2);
  assert_memory_equal(out, "\x80\x00", 2);
  assert_int_equal(stwi_frame_encode(out, STWI_OP_PONG, true, key, NULL, 0), 6);
  assert_memory_equal(out, "\x8a\x80\x37\xfa\x21\x3d", 6);
}

static void a_close_reason_is_cut_to_valid_text(void **state) {
  (void)state;
  char exact[124];
  char too_long[200];
  char across[200];
  memset(exact, 'a', 123);
  exact[123] = '\0';
  memset(too_long, 'a', sizeof too_long - 1);
  too_long[sizeof too_long - 1] = '\0';
  memcpy(across, too_long, sizeof across);
  memcpy(across + 121, "\xe2\x82\xac", 3);
  const struct {
    const char *reason;
    size_t kept;
  } cases[] = {{"", 0},       {"bye", 3},         {exact, 123},        {too_long, 123},
               {across, 121}, {"ok\xff rest", 2}, {"half \xe2\x82", 5}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    uint8_t out[2 + 125];
    const size_t size =
        stwi_close_encode(out, NULL, 1001, cases[i].reason, strlen(cases[i].reason));
    assert_int_equal(size, 2 + 2 + cases[i].kept);
    assert_int_equal(out[0], 0x88);
    assert_int_equal(out[1], 2 + cases[i].kept);
    assert_memory_equal(out + 2, "\x03\xe9", 2);
    assert_memory_equal(out + 4, cases[i].reason, cases[i].kept);
  }
}

static void a_close_without_code_is_empty(void **state) {
  (void)state;
  uint8_t out[2 + 4 + 125];
  assert_int_equal(stwi_close_encode(out, NULL, 1005, "ignored", 7), 2);
  assert_memory_equal(out, "\x88\x00", 2);
  assert_int_equal(stwi_close_encode(out, key, 1000, NULL, 0), 8);
  assert_memory_equal(out, "\x88\x82\x37\xfa\x21\x3d\x34\x12", 8);
}

static void two_pieces_make_the_frame_of_one(void **unused) {
  (void)unused;
  static const uint8_t mask[4] = {1, 2, 3, 4};
  static const char text[] = "a prefix and a payload";
  for (size_t cut = 0; cut < sizeof text; cut++) {
    for (unsigned form = 0; form < 4; form++) {
      uint8_t one[64], two[64];
      const uint8_t *four = form & 1 ? mask : NULL;
      const bool fin = form & 2;
      const size_t size = stwi_frame_encode(one, STWI_OP_BINARY, fin, four, text, sizeof text);
      assert_int_equal(stwi_frame_encode_two(two, STWI_OP_BINARY, fin, four, text, cut, text + cut,
                                             sizeof text - cut),
                       size);
      assert_memory_equal(one, two, size);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(two_pieces_make_the_frame_of_one),
      cmocka_unit_test(each_rule_of_the_rfc_is_enforced_by_a_client),
      cmocka_unit_test(each_rule_of_the_rfc_is_enforced_by_a_server),
      cmocka_unit_test(nothing_is_refused_before_it_is_certain),
      cmocka_unit_test(each_form_the_rfc_allows_is_accepted),
      cmocka_unit_test(the_masked_example_of_the_rfc_is_decoded),
      cmocka_unit_test(empty_masked_frames_are_decoded),
      cmocka_unit_test(control_frames_come_between_fragments),
      cmocka_unit_test(after_close_and_error_the_decoder_is_deaf),
      cmocka_unit_test(close_codes_of_the_registry_are_valid),
      cmocka_unit_test(bad_text_is_refused_before_its_frame_has_arrived),
      cmocka_unit_test(a_bad_header_is_refused_before_its_length_has_arrived),
      cmocka_unit_test(a_whole_message_is_lent_from_the_input),
      cmocka_unit_test(no_input_gives_none),
      cmocka_unit_test(an_idle_decoder_is_small_and_holds_nothing),
      cmocka_unit_test(an_announced_length_reserves_nothing),
      cmocka_unit_test(memory_grows_with_what_arrived),
      cmocka_unit_test(one_large_piece_is_reserved_at_once),
      cmocka_unit_test(only_a_small_buffer_is_kept_while_traffic_flows),
      cmocka_unit_test(a_large_message_stays_whole_while_controls_interleave),
      cmocka_unit_test(the_limit_counts_fragments_together),
      cmocka_unit_test(tiny_fragments_do_not_move_the_message_each_time),
      cmocka_unit_test(a_million_empty_fragments_cost_nothing),
      cmocka_unit_test(each_failing_allocation_is_a_refusal),
      cmocka_unit_test(a_frame_has_the_shortest_header),
      cmocka_unit_test(fin_and_opcode_are_written),
      cmocka_unit_test(a_close_reason_is_cut_to_valid_text),
      cmocka_unit_test(a_close_without_code_is_empty),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
