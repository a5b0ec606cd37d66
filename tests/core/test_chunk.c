#include "core/chunk.h"

#include "failing_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void messages_come_back_in_order_with_key_and_body(void **unused) {
  (void)unused;
  struct stwi_chunk *chunk = stwi_chunk_new(4096);
  for (uint8_t i = 0; i < 20; i++) {
    const uint8_t body[] = {i, i, i};
    struct stwi_msg *msg =
        stwi_chunk_append(chunk, "key-of-a-message-xxx", i, body, (uint32_t)(i % 4));
    assert_non_null(msg);
    msg->number = i;
  }
  assert_int_equal(chunk->count, 20);
  assert_int_equal(chunk->keyed, 19);
  uint8_t seen = 0;
  for (struct stwi_msg *msg = stwi_chunk_first(chunk); msg != NULL; msg = stwi_chunk_after(msg)) {
    const uint8_t body[] = {seen, seen, seen};
    assert_int_equal(msg->number, seen);
    assert_ptr_equal(msg->home, chunk);
    assert_int_equal((uintptr_t)msg % _Alignof(struct stwi_msg), 0);
    assert_int_equal(msg->key_size, seen);
    assert_memory_equal(stwi_msg_key(msg), "key-of-a-message-xxx", seen);
    assert_int_equal(msg->size, seen % 4);
    assert_memory_equal(stwi_msg_body(msg), body, msg->size);
    seen++;
  }
  assert_int_equal(seen, 20);
  stwi_chunk_free(chunk);
  assert_int_equal(failing_mem_live, 0);
}

static void a_list_is_walked_past_empty_chunks(void **unused) {
  (void)unused;
  static const unsigned counts[] = {0, 3, 0, 0, 1, 0};
  struct stwi_chunk *list = NULL, **end = &list;
  uint64_t number = 0;
  assert_null(stwi_chunks_first(NULL));
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    *end = stwi_chunk_new(512);
    for (unsigned k = 0; k < counts[i]; k++)
      stwi_chunk_append(*end, NULL, 0, "body", 4)->number = number++;
    end = &(*end)->next;
  }
  uint64_t seen = 0;
  for (struct stwi_msg *msg = stwi_chunks_first(list); msg != NULL; msg = stwi_chunks_after(msg))
    assert_int_equal(msg->number, seen++);
  assert_int_equal(seen, number);
  stwi_chunk_free_list(list);
  assert_int_equal(failing_mem_live, 0);
}

static void the_footprint_is_what_a_message_takes(void **unused) {
  (void)unused;
  for (uint32_t size = 0; size < 100; size++) {
    const size_t footprint = stwi_msg_footprint(3, size);
    struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)footprint);
    uint8_t body[100] = {0};
    assert_non_null(stwi_chunk_append(chunk, "abc", 3, body, size));
    assert_int_equal(chunk->used, footprint);
    assert_null(stwi_chunk_append(chunk, NULL, 0, NULL, 0));
    assert_int_equal(chunk->count, 1);
    stwi_chunk_free(chunk);
  }
}

static void one_byte_too_little_room_is_refused(void **unused) {
  (void)unused;
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(0, 64) - 1);
  uint8_t body[64] = {0};
  assert_null(stwi_chunk_append(chunk, NULL, 0, body, 64));
  assert_null(stwi_chunk_first(chunk));
  assert_null(stwi_chunk_append(chunk, NULL, 0, body, UINT32_MAX));
  stwi_chunk_free(chunk);
}

static void sizes_past_the_address_space_have_no_footprint(void **unused) {
  (void)unused;
  assert_true(stwi_msg_footprint(0, SIZE_MAX) == SIZE_MAX);
  assert_true(stwi_msg_footprint(SIZE_MAX / 2, SIZE_MAX / 2) == SIZE_MAX);
  assert_true(stwi_msg_footprint(SIZE_MAX, 0) == SIZE_MAX);
}

static void a_list_is_freed_whole(void **unused) {
  (void)unused;
  struct stwi_chunk *list = NULL;
  for (unsigned i = 0; i < 5; i++) {
    struct stwi_chunk *chunk = stwi_chunk_new(64);
    chunk->next = list;
    list = chunk;
  }
  assert_int_equal(failing_mem_live, 5);
  stwi_chunk_free_list(list);
  stwi_chunk_free_list(NULL);
  assert_int_equal(failing_mem_live, 0);
}

static void without_memory_there_is_no_chunk(void **unused) {
  (void)unused;
  failing_mem_after = 0;
  assert_null(stwi_chunk_new(64));
  failing_mem_after = -1;
}

static void a_copy_has_everything_but_its_home(void **unused) {
  (void)unused;
  struct stwi_chunk *from = stwi_chunk_new(1024), *to = NULL;
  struct stwi_msg *msg = stwi_chunk_append(from, "key", 3, "body", 4);
  msg->number = 7;
  msg->ttl_ns = 9;
  msg->state = STW_MESSAGE_HELD;
  to = stwi_chunk_new((uint32_t)stwi_msg_footprint(3, 4));
  const struct stwi_msg *copy = stwi_chunk_copy(to, msg);
  assert_ptr_equal(copy->home, to);
  assert_int_equal(copy->number, 7);
  assert_int_equal(copy->ttl_ns, 9);
  assert_int_equal(copy->state, STW_MESSAGE_HELD);
  assert_memory_equal(stwi_msg_key(copy), "key", 3);
  assert_memory_equal(stwi_msg_body(copy), "body", 4);
  assert_int_equal(to->keyed, 1);
  assert_null(stwi_chunk_copy(to, msg)); /* it is full */
  stwi_chunk_free(from);
  stwi_chunk_free(to);
}

static void *given_back;
static size_t given_size;

static void take_back(void *memory, size_t size) {
  given_back = memory;
  given_size = size;
}

static void memory_of_another_goes_back_to_it(void **unused) {
  (void)unused;
  _Alignas(16) uint8_t memory[512];
  struct stwi_chunk *chunk = stwi_chunk_in(memory, sizeof memory, take_back);
  assert_non_null(stwi_chunk_append(chunk, NULL, 0, "body", 4));
  assert_null(stwi_chunk_append(chunk, NULL, 0, memory, sizeof memory - sizeof *chunk));
  stwi_chunk_free_list(chunk);
  assert_ptr_equal(given_back, memory);
  assert_int_equal(given_size, sizeof memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(messages_come_back_in_order_with_key_and_body),
      cmocka_unit_test(a_list_is_walked_past_empty_chunks),
      cmocka_unit_test(the_footprint_is_what_a_message_takes),
      cmocka_unit_test(one_byte_too_little_room_is_refused),
      cmocka_unit_test(sizes_past_the_address_space_have_no_footprint),
      cmocka_unit_test(a_list_is_freed_whole),
      cmocka_unit_test(without_memory_there_is_no_chunk),
      cmocka_unit_test(a_copy_has_everything_but_its_home),
      cmocka_unit_test(memory_of_another_goes_back_to_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
