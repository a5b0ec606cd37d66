#include "core/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

enum { LONGEST = 200 };

static void fill(uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    bytes[i] = (uint8_t)(i * 7 + 1);
}

static void the_example_of_the_rfc_is_reproduced(void **state) {
  (void)state;
  uint8_t out[5];
  stwi_mask(out, (const uint8_t *)"Hello", sizeof out, key); /* RFC 6455 section 5.7 */
  assert_memory_equal(out, "\x7f\x9f\x4d\x51\x58", sizeof out);
}

static void every_size_and_alignment_equals_the_definition(void **state) {
  (void)state;
  uint8_t in[LONGEST + 8];
  uint8_t out[LONGEST + 8];
  fill(in, sizeof in);
  for (size_t size = 0; size <= LONGEST; size++) {
    for (size_t shift = 0; shift < 8; shift++) {
      memset(out, 0xee, sizeof out);
      stwi_mask(out + 7 - shift, in + shift, size, key);
      for (size_t i = 0; i < size; i++)
        assert_int_equal(out[7 - shift + i], in[shift + i] ^ key[i % 4]);
      assert_int_equal(out[7 - shift + size], 0xee);
    }
  }
}

static void masking_in_place_twice_gives_the_input_back(void **state) {
  (void)state;
  uint8_t before[LONGEST];
  uint8_t bytes[LONGEST];
  fill(before, sizeof before);
  fill(bytes, sizeof bytes);
  stwi_mask(bytes, bytes, sizeof bytes, key);
  assert_memory_not_equal(bytes, before, sizeof bytes);
  stwi_mask(bytes, bytes, sizeof bytes, key);
  assert_memory_equal(bytes, before, sizeof bytes);
}

static void pieces_with_a_turned_key_equal_the_whole(void **state) {
  (void)state;
  uint8_t in[LONGEST];
  uint8_t whole[LONGEST];
  uint8_t pieces[LONGEST];
  fill(in, sizeof in);
  stwi_mask(whole, in, sizeof in, key);
  for (size_t cut = 0; cut <= LONGEST; cut++) {
    uint8_t turned[4];
    memcpy(turned, key, sizeof turned);
    stwi_mask(pieces, in, cut, turned);
    stwi_mask_turn(turned, cut);
    stwi_mask(pieces + cut, in + cut, LONGEST - cut, turned);
    assert_memory_equal(pieces, whole, sizeof whole);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_example_of_the_rfc_is_reproduced),
      cmocka_unit_test(every_size_and_alignment_equals_the_definition),
      cmocka_unit_test(masking_in_place_twice_gives_the_input_back),
      cmocka_unit_test(pieces_with_a_turned_key_equal_the_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
