#include "core/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The definition, written from the code points instead of from the bytes: how long the code point
 * at `bytes` is, or 0 if there is no valid complete one. */
static size_t code_point_bytes(const uint8_t *bytes, size_t size) {
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const uint8_t lead = bytes[0];
  const size_t length = lead < 0x80             ? 1
                        : (lead & 0xe0) == 0xc0 ? 2
                        : (lead & 0xf0) == 0xe0 ? 3
                        : (lead & 0xf8) == 0xf0 ? 4
                                                : 0;
  if (length <= 1 || length > size)
    return length <= size ? length : 0;
  uint32_t point = lead & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; i++) {
    if ((bytes[i] & 0xc0) != 0x80)
      return 0;
    point = point << 6 | (bytes[i] & 0x3f);
  }
  const bool surrogate = point >= 0xd800 && point <= 0xdfff;
  return point >= smallest[length] && point <= 0x10ffff && !surrogate ? length : 0;
}

static size_t valid_prefix(const uint8_t *bytes, size_t size) {
  size_t at = 0;
  while (at < size) {
    const size_t step = code_point_bytes(bytes + at, size - at);
    if (step == 0)
      break;
    at += step;
  }
  return at;
}

static size_t put_code_point(uint8_t *out, uint32_t point) {
  if (point < 0x80) {
    out[0] = (uint8_t)point;
    return 1;
  }
  if (point < 0x800) {
    out[0] = (uint8_t)(0xc0 | point >> 6);
    out[1] = (uint8_t)(0x80 | (point & 0x3f));
    return 2;
  }
  if (point < 0x10000) {
    out[0] = (uint8_t)(0xe0 | point >> 12);
    out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    out[2] = (uint8_t)(0x80 | (point & 0x3f));
    return 3;
  }
  out[0] = (uint8_t)(0xf0 | point >> 18);
  out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
  out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
  out[3] = (uint8_t)(0x80 | (point & 0x3f));
  return 4;
}

static void every_code_point_is_valid_except_surrogates(void **state) {
  (void)state;
  for (uint32_t point = 0; point <= 0x10ffff; point++) {
    uint8_t bytes[4];
    const size_t size = put_code_point(bytes, point);
    const bool surrogate = point >= 0xd800 && point <= 0xdfff;
    if (stwi_utf8_valid(bytes, size) == surrogate)
      fail_msg("U+%04X judged wrongly", (unsigned)point);
  }
}

/* All sequences of up to four bytes out of every byte at which a rule changes. */
static void sequences_of_border_bytes_are_judged_as_defined(void **state) {
  (void)state;
  static const uint8_t borders[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                                    0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef,
                                    0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff};
  enum { COUNT = sizeof borders };
  for (size_t n = 0; n < (size_t)COUNT * COUNT * COUNT * COUNT; n++) {
    const uint8_t bytes[4] = {borders[n % COUNT], borders[n / COUNT % COUNT],
                              borders[n / COUNT / COUNT % COUNT],
                              borders[n / COUNT / COUNT / COUNT]};
    for (size_t size = 1; size <= sizeof bytes; size++) {
      const size_t prefix = valid_prefix(bytes, size);
      if (stwi_utf8_valid(bytes, size) != (prefix == size) ||
          stwi_utf8_prefix(bytes, size) != prefix)
        fail_msg("%02x %02x %02x %02x judged wrongly at size %zu", bytes[0], bytes[1], bytes[2],
                 bytes[3], size);
    }
  }
}

/* "As early as possible": right at the byte after which no continuation makes the text valid. */
static void invalid_text_is_known_at_the_first_impossible_byte(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t impossible; /* index of the byte */
  } cases[] = {
      {"\x80", 0},          {"\xbf", 0},         {"\xc0\xaf", 0},     {"\xc1\xbf", 0},
      {"\xf5\x80", 0},      {"\xff", 0},         {"\xe0\x80\x80", 1}, {"\xe0\x9f\xbf", 1},
      {"\xed\xa0\x80", 1},  {"\xed\xbf\xbf", 1}, {"\xf0\x80\x80", 1}, {"\xf0\x8f\xbf", 1},
      {"\xf4\x90\x80", 1},  {"\xf4\xbf", 1},     {"\xc3(", 1},        {"\xe2\x82(", 2},
      {"\xf1\x80\x80(", 3}, {"\xed\x9f\xc0", 2}, {"abc\xf8", 3},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
    const size_t at = cases[i].impossible;
    const uint8_t before = stwi_utf8_feed(STWI_UTF8_BORDER, bytes, at);
    assert_int_not_equal(before, STWI_UTF8_INVALID);
    assert_int_equal(stwi_utf8_feed(before, bytes + at, 1), STWI_UTF8_INVALID);
  }
}

static void invalid_stays_invalid(void **state) {
  (void)state;
  for (unsigned byte = 0; byte <= 0xff; byte++) {
    const uint8_t one = (uint8_t)byte;
    assert_int_equal(stwi_utf8_feed(STWI_UTF8_INVALID, &one, 1), STWI_UTF8_INVALID);
  }
}

static void empty_text_is_valid(void **state) {
  (void)state;
  assert_true(stwi_utf8_valid(NULL, 0));
  assert_int_equal(stwi_utf8_prefix(NULL, 0), 0);
}

/* Puts something foreign at every place of texts of every short length: the word-wise skipping must
 * not step over it. */
static void nothing_hides_in_ascii_of_any_length(void **state) {
  (void)state;
  enum { LONGEST = 150 };
  uint8_t text[LONGEST + 1];
  for (size_t size = 1; size <= LONGEST; size++) {
    memset(text, 'a', sizeof text);
    assert_true(stwi_utf8_valid(text, size));
    for (size_t at = 0; at < size; at++) {
      text[at] = 0xff;
      assert_int_equal(stwi_utf8_feed(STWI_UTF8_BORDER, text, size), STWI_UTF8_INVALID);
      assert_int_equal(stwi_utf8_prefix(text, size), at);
      text[at] = 0xc3;
      text[at + 1] = 0xa4;
      assert_int_equal(stwi_utf8_valid(text, size), at + 1 < size);
      text[at] = text[at + 1] = 'a';
    }
  }
}

static void pieces_are_judged_like_the_whole(void **state) {
  (void)state;
  static const char *const texts[] = {
      "plain ascii that is longer than four words of eight bytes each, so that it skips",
      "d\xc3\xa9j\xc3\xa0 vu \xe2\x82\xac \xf0\x9f\x98\x80 \xce\xba\xe1\xbd\xb9\xcf\x83",
      "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64",
      "ends in the middle \xf0\x9f\x98",
  };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    const uint8_t *bytes = (const uint8_t *)texts[i];
    const size_t size = strlen(texts[i]);
    const uint8_t whole = stwi_utf8_feed(STWI_UTF8_BORDER, bytes, size);
    for (size_t cut = 0; cut <= size; cut++) {
      const uint8_t first = stwi_utf8_feed(STWI_UTF8_BORDER, bytes, cut);
      assert_int_equal(stwi_utf8_feed(first, bytes + cut, size - cut), whole);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_code_point_is_valid_except_surrogates),
      cmocka_unit_test(sequences_of_border_bytes_are_judged_as_defined),
      cmocka_unit_test(invalid_text_is_known_at_the_first_impossible_byte),
      cmocka_unit_test(invalid_stays_invalid),
      cmocka_unit_test(empty_text_is_valid),
      cmocka_unit_test(nothing_hides_in_ascii_of_any_length),
      cmocka_unit_test(pieces_are_judged_like_the_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
