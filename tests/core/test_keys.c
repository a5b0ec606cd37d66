#include "core/keys.h"

#include "core/pace.h"
#include "failing_mem.h"
#include "seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { KEYS = 300 };

static struct stwi_msg *make(struct stwi_chunk *chunk, const char *key) {
  return stwi_chunk_append(chunk, key, (uint8_t)strlen(key), NULL, 0);
}

static void the_latest_message_of_a_key_is_found(void **unused) {
  (void)unused;
  struct stwi_chunk *chunk = stwi_chunk_new(4096);
  struct stwi_keys *keys = NULL;
  struct stwi_msg *a = make(chunk, "price"), *b = make(chunk, "price"), *c = make(chunk, "pric");
  assert_true(stwi_keys_reserve(&keys, &stwi_by_key, 3));
  assert_null(stwi_keys_put(keys, a));
  assert_null(stwi_keys_put(keys, c));
  assert_ptr_equal(stwi_keys_latest(keys, b), a);
  assert_ptr_equal(stwi_keys_put(keys, b), a);
  assert_ptr_equal(stwi_keys_latest(keys, a), b);
  stwi_keys_remove(keys, a); /* no longer the latest: nothing happens */
  assert_ptr_equal(stwi_keys_latest(keys, a), b);
  stwi_keys_remove(keys, b);
  assert_null(stwi_keys_latest(keys, a));
  assert_ptr_equal(stwi_keys_latest(keys, c), c);
  assert_int_equal(keys->count, 1);
  stwi_keys_free(keys);
  stwi_keys_free(NULL);
  stwi_chunk_free(chunk);
  assert_int_equal(failing_mem_live, 0);
}

/* The pairs were found by search; that they still collide is part of the test. */
static uint32_t hash_of(const struct stwi_keys *keys, const struct stwi_msg *msg) {
  for (uint32_t i = 0; i < keys->capacity; i++)
    if (keys->slots[i].msg == msg)
      return keys->slots[i].hash;
  fail();
  return 0;
}

static void keys_of_one_hash_are_told_apart(void **unused) {
  (void)unused;
  static const char *const pairs[][2] = {{"03b06", "08f95"}, {"05f8a", "k06ab8"}};
  for (unsigned i = 0; i < 2; i++) {
    struct stwi_chunk *chunk = stwi_chunk_new(4096);
    struct stwi_msg *a = make(chunk, pairs[i][0]), *b = make(chunk, pairs[i][1]);
    struct stwi_keys *keys = NULL;
    assert_true(stwi_keys_reserve(&keys, &stwi_by_key, 2));
    assert_null(stwi_keys_put(keys, a));
    assert_null(stwi_keys_put(keys, b));
    assert_int_equal(hash_of(keys, a), hash_of(keys, b));
    stwi_keys_remove(keys, a);
    assert_null(stwi_keys_latest(keys, a));
    assert_ptr_equal(stwi_keys_latest(keys, b), b);
    stwi_keys_free(keys);
    stwi_chunk_free(chunk);
  }
}

/* Two messages for each key; the model is an array by key. */
static void random_puts_and_removes_agree_with_an_array(void **unused) {
  (void)unused;
  struct stwi_random random;
  stwi_random_seed(&random, test_seed("keys"));
  struct stwi_chunk *chunk = stwi_chunk_new(KEYS * 2 * 128);
  struct stwi_msg *twins[KEYS][2], *model[KEYS] = {NULL};
  for (unsigned i = 0; i < KEYS; i++) {
    char key[16];
    snprintf(key, sizeof key, "%u", i * 7919u);
    twins[i][0] = make(chunk, key);
    twins[i][1] = make(chunk, key);
  }
  struct stwi_keys *keys = NULL;
  for (unsigned step = 0; step < 50000; step++) {
    const unsigned i = (unsigned)stwi_random_below(&random, KEYS);
    struct stwi_msg *msg = twins[i][stwi_random_below(&random, 2)];
    if (stwi_random_below(&random, 2) == 0) {
      assert_true(stwi_keys_reserve(&keys, &stwi_by_key, 1));
      assert_ptr_equal(stwi_keys_put(keys, msg), model[i]);
      model[i] = msg;
    } else if (keys != NULL) {
      stwi_keys_remove(keys, msg);
      if (model[i] == msg)
        model[i] = NULL;
    }
    const unsigned probe = (unsigned)stwi_random_below(&random, KEYS);
    if (keys != NULL)
      assert_ptr_equal(stwi_keys_latest(keys, twins[probe][0]), model[probe]);
  }
  unsigned count = 0;
  for (unsigned i = 0; i < KEYS; i++)
    count += model[i] != NULL;
  assert_int_equal(keys->count, count);
  stwi_keys_free(keys);
  stwi_chunk_free(chunk);
  assert_int_equal(failing_mem_live, 0);
}

static void without_memory_every_entry_is_still_there(void **unused) {
  (void)unused;
  struct stwi_chunk *chunk = stwi_chunk_new(4096);
  struct stwi_msg *a = make(chunk, "a");
  struct stwi_keys *keys = NULL;
  failing_mem_after = 0;
  assert_false(stwi_keys_reserve(&keys, &stwi_by_key, 1));
  assert_null(keys);
  failing_mem_after = 1;
  assert_false(stwi_keys_reserve(&keys, &stwi_by_key, 1));
  failing_mem_after = -1;
  assert_true(stwi_keys_reserve(&keys, &stwi_by_key, 1));
  stwi_keys_put(keys, a);
  failing_mem_after = 0;
  assert_true(stwi_keys_reserve(&keys, &stwi_by_key, 1));
  assert_false(stwi_keys_reserve(&keys, &stwi_by_key, 1000));
  assert_ptr_equal(stwi_keys_latest(keys, a), a);
  failing_mem_after = -1;
  assert_false(stwi_keys_reserve(&keys, &stwi_by_key, UINT32_MAX));
  stwi_keys_free(keys);
  stwi_chunk_free(chunk);
  assert_int_equal(failing_mem_live, 0);
}

static void messages_are_found_by_id_whatever_their_stream(void **unused) {
  (void)unused;
  enum { STREAMS = 3, NUMBERS = 200 };
  struct stwi_chunk *chunk = stwi_chunk_new(STREAMS * NUMBERS * (uint32_t)stwi_msg_footprint(0, 0));
  struct stwi_keys *ids = NULL;
  assert_null(stwi_keys_find_id(ids, (stw_message_id){1, 1}));
  assert_true(stwi_keys_reserve(&ids, &stwi_by_id, STREAMS * NUMBERS));
  for (uint64_t i = 0; i < STREAMS * NUMBERS; i++) {
    struct stwi_msg *msg = stwi_chunk_append(chunk, NULL, 0, NULL, 0);
    msg->id = (stw_message_id){i % STREAMS, 1 + i / STREAMS};
    assert_null(stwi_keys_put(ids, msg));
  }
  struct stwi_msg *msg = stwi_chunk_first(chunk);
  for (uint64_t i = 0; msg != NULL; i++, msg = stwi_chunk_after(msg)) {
    assert_ptr_equal(stwi_keys_find_id(ids, msg->id), msg);
    if (i % 2 == 0)
      stwi_keys_remove(ids, msg);
  }
  assert_int_equal(ids->count, STREAMS * NUMBERS / 2);
  assert_null(stwi_keys_find_id(ids, (stw_message_id){0, 1}));
  assert_non_null(stwi_keys_find_id(ids, (stw_message_id){1, 1}));
  assert_null(stwi_keys_find_id(ids, (stw_message_id){STREAMS, 1}));
  stwi_keys_free(ids);
  stwi_chunk_free(chunk);
  assert_int_equal(failing_mem_live, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(messages_are_found_by_id_whatever_their_stream),
      cmocka_unit_test(the_latest_message_of_a_key_is_found),
      cmocka_unit_test(keys_of_one_hash_are_told_apart),
      cmocka_unit_test(random_puts_and_removes_agree_with_an_array),
      cmocka_unit_test(without_memory_every_entry_is_still_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
