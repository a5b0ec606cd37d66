#include "client/spare.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ASKED STWI_SPARE_SIZE_MIN
#define MANY 64

static void *take(size_t asked, size_t *size) {
  *size = asked;
  void *block = stwi_spare_take(size);
  assert_non_null(block);
  assert_true(*size >= asked);
  memset(block, 0x5a, *size);
  return block;
}

/* How many of `count` blocks given can be taken again.  Blocks of the stock are recognised by their
 * size: malloc gives what was asked for. */
static size_t kept_of(size_t count, size_t given) {
  void *blocks[MANY];
  size_t size, kept = 0;
  const size_t asked = given - 1;
  for (size_t i = 0; i < count; i++) {
    blocks[i] = malloc(given);
    assert_non_null(blocks[i]);
  }
  for (size_t i = 0; i < count; i++)
    stwi_spare_give(blocks[i], given);
  for (size_t i = 0; i < count; i++) {
    blocks[i] = take(asked, &size);
    kept += size == given;
  }
  for (size_t i = 0; i < count; i++)
    free(blocks[i]);
  return kept;
}

static void block_that_was_given_is_taken_again(void **unused) {
  (void)unused;
  size_t size;
  uint8_t *block = take(2 * ASKED, &size);
  stwi_spare_give(block, size);
  uint8_t *again = take(ASKED, &size);
  assert_ptr_equal(again, block);
  assert_int_equal(size, 2 * ASKED);
  free(again);
}

static void small_blocks_are_not_kept(void **unused) {
  (void)unused;
  assert_int_equal(kept_of(MANY, ASKED - 1), 0);
}

static void stock_is_bounded(void **unused) {
  (void)unused;
  const size_t large = 300000;
  assert_in_range(kept_of(MANY, ASKED + 1), 1, MANY - 1);
  assert_int_equal(kept_of(MANY, large), STWI_SPARE_BYTES_MAX / large);
  assert_int_equal(kept_of(1, STWI_SPARE_BYTES_MAX + 1), 0);
}

static void block_much_larger_than_wanted_stays_where_it_is(void **unused) {
  (void)unused;
  size_t size;
  void *large = take(16 * ASKED, &size);
  stwi_spare_give(large, size);
  void *small = take(ASKED, &size);
  assert_ptr_not_equal(small, large);
  free(small);
  assert_ptr_equal(take(16 * ASKED, &size), large);
  free(large);
}

/* Writes its mark over whole blocks and finds it unchanged: no block has two owners. */
static void *use_blocks(void *mark) {
  for (int i = 0; i < 2000; i++) {
    size_t size = ASKED + (size_t)i % 3 * ASKED;
    uint8_t *block = stwi_spare_take(&size);
    if (block == NULL)
      return NULL;
    memset(block, *(uint8_t *)mark, size);
    for (size_t at = 0; at < size; at += 997)
      if (block[at] != *(uint8_t *)mark)
        return NULL;
    stwi_spare_give(block, size);
  }
  return mark;
}

static void threads_share_no_block(void **unused) {
  (void)unused;
  pthread_t threads[3];
  uint8_t marks[3] = {1, 2, 3};
  for (size_t i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, use_blocks, &marks[i]), 0);
  for (size_t i = 0; i < 3; i++) {
    void *answer;
    assert_int_equal(pthread_join(threads[i], &answer), 0);
    assert_ptr_equal(answer, &marks[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(block_that_was_given_is_taken_again),
      cmocka_unit_test(small_blocks_are_not_kept),
      cmocka_unit_test(stock_is_bounded),
      cmocka_unit_test(block_much_larger_than_wanted_stays_where_it_is),
      cmocka_unit_test(threads_share_no_block),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
