#include "core/frame.h"

#include "core/mem.h"
#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct stwi_item feed(struct stwi_decoder *decoder, const void *bytes, size_t size) {
  const uint8_t *at = bytes;
  const struct stwi_item item = stwi_decoder_next(decoder, &at, &size);
  assert_int_equal(size, 0);
  return item;
}

static void start(struct stwi_decoder *decoder) {
  stwi_decoder_init(decoder, STWI_FRAME_CLIENT, 1 << 20);
}

static void detached_message_outlives_the_next_one(void **unused) {
  (void)unused;
  struct stwi_decoder decoder;
  start(&decoder);
  assert_int_equal(feed(&decoder, "\x82\x06one", 5).kind, STWI_ITEM_NONE);
  struct stwi_item item = feed(&decoder, "two", 3);
  assert_int_equal(item.kind, STWI_ITEM_BINARY);
  uint8_t *held = stwi_decoder_detach(&decoder, &item);
  assert_ptr_equal(held, item.data);
  assert_int_equal(stwi_decoder_held_bytes(&decoder), 0);
  assert_int_equal(feed(&decoder, "\x82\x06thr", 5).kind, STWI_ITEM_NONE);
  const struct stwi_item next = feed(&decoder, "ee!", 3);
  assert_memory_equal(next.data, "three!", 6);
  assert_memory_equal(held, "onetwo", 6);
  stwi_free(held);
  stwi_decoder_fini(&decoder);
  assert_int_equal(failing_mem_live, 0);
}

static void item_that_lies_in_the_input_has_no_buffer(void **unused) {
  (void)unused;
  struct stwi_decoder decoder;
  start(&decoder);
  const struct stwi_item item = feed(&decoder, "\x82\x03one", 5);
  assert_int_equal(item.kind, STWI_ITEM_BINARY);
  assert_null(stwi_decoder_detach(&decoder, &item));
  stwi_decoder_fini(&decoder);
}

static void buffer_with_half_a_message_stays(void **unused) {
  (void)unused;
  struct stwi_decoder decoder;
  start(&decoder);
  assert_int_equal(feed(&decoder, "\x02\x03one\x89\x04pi", 9).kind, STWI_ITEM_NONE);
  const struct stwi_item ping = feed(&decoder, "ng", 2);
  assert_int_equal(ping.kind, STWI_ITEM_PING);
  assert_memory_equal(ping.data, "ping", 4);
  assert_null(stwi_decoder_detach(&decoder, &ping));
  const struct stwi_item item = feed(&decoder, "\x80\x03two", 5);
  assert_memory_equal(item.data, "onetwo", 6);
  stwi_decoder_fini(&decoder);
  assert_int_equal(failing_mem_live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(detached_message_outlives_the_next_one),
      cmocka_unit_test(item_that_lies_in_the_input_has_no_buffer),
      cmocka_unit_test(buffer_with_half_a_message_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
