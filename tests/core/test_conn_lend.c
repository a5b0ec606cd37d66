/* What the decoder has put together may lie right behind the bytes that completed it: it is not
 * part of them, and dies with the decoder's next call. */
#include "core/mem.h"
#include "world_test.h"

#include <stdlib.h>
#include <string.h>

/* A heap without heads or tails, as that of a sanitizer is: the next block that is asked for while
 * `is_next_behind` stands directly behind `second`. */
static uint8_t pool[1 << 16];
static const size_t second_size = 3;
static bool is_next_behind, is_behind_used;

static uint8_t *behind(void) {
  return pool + second_size;
}

void *stwi_alloc(size_t size) {
  return stwi_realloc(NULL, size);
}

void *stwi_realloc(void *memory, size_t size) {
  if (memory == NULL && is_next_behind && size <= sizeof pool - second_size) {
    is_next_behind = false;
    is_behind_used = true;
    return behind();
  }
  assert_ptr_not_equal(memory, behind());
  return realloc(memory, size == 0 ? 1 : size);
}

void stwi_free(void *memory) {
  if (memory == behind()) {
    is_behind_used = false;
    memset(memory, '?', sizeof pool - second_size);
    return;
  }
  free(memory);
}

static void give(uint32_t conn, const uint8_t *bytes, size_t size) {
  const struct stwi_input input = {
      .kind = STWI_IN_BYTES, .conn = conn, .link = 1, .u.bytes = {bytes, size}};
  world_input(world, &input);
}

static void what_lies_behind_the_bytes_is_copied(void **unused) {
  (void)unused;
  static const uint8_t first[] = {0x81, 8, 'a', 'd', 'j', 'a', 'c'};
  const uint32_t conn = open_online();
  world_run(world, STWI_S);
  is_next_behind = true;
  give(conn, first, sizeof first);
  assert_true(is_behind_used);
  memcpy(pool, "ent", second_size);
  give(conn, pool, second_size);
  assert_int_equal(world->conns[conn].inbound, 1);
  assert_string_equal(world->conns[conn].last_inbound, "adjacent");
}

int main(void) {
  const struct CMUnitTest tests[] = {WORLD_TEST(what_lies_behind_the_bytes_is_copied)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
