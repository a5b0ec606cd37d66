#include "client/spare.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#define BLOCKS_MAX 32u
#define WASTE_MAX 4u /* a block may be so many times larger than what is wanted */

static struct {
  atomic_flag is_busy;
  size_t count, bytes;
  struct {
    void *memory;
    size_t size;
  } blocks[BLOCKS_MAX];
} stock = {.is_busy = ATOMIC_FLAG_INIT};

static bool enter(void) {
  return !atomic_flag_test_and_set_explicit(&stock.is_busy, memory_order_acquire);
}

static void leave(void) {
  atomic_flag_clear_explicit(&stock.is_busy, memory_order_release);
}

/* The latest block that fits: it is the likeliest to be in the cache. */
static void *find(size_t *size) {
  for (size_t i = stock.count; i-- > 0;) {
    if (stock.blocks[i].size < *size || stock.blocks[i].size / WASTE_MAX > *size)
      continue;
    void *memory = stock.blocks[i].memory;
    *size = stock.blocks[i].size;
    stock.bytes -= *size;
    stock.count--;
    for (; i < stock.count; i++)
      stock.blocks[i] = stock.blocks[i + 1];
    return memory;
  }
  return NULL;
}

static bool keep(void *block, size_t size) {
  if (stock.count == BLOCKS_MAX || stock.bytes + size > STWI_SPARE_BYTES_MAX)
    return false;
  stock.blocks[stock.count].memory = block;
  stock.blocks[stock.count].size = size;
  stock.count++;
  stock.bytes += size;
  return true;
}

void *stwi_spare_take(size_t *size) {
  void *block = NULL;
  if (*size >= STWI_SPARE_SIZE_MIN && enter()) {
    block = find(size);
    leave();
  }
  return block != NULL ? block : malloc(*size);
}

void stwi_spare_give(void *block, size_t size) {
  bool is_kept = false;
  if (size >= STWI_SPARE_SIZE_MIN && enter()) {
    is_kept = keep(block, size);
    leave();
  }
  if (!is_kept)
    free(block);
}
