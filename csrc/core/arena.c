#include "core/arena.h"

#include <assert.h>
#include <string.h>

#include "core/mem.h"

#define BLOCK_BYTES ((size_t)320 * 1024)

struct stwi_arena_block {
  struct stwi_arena_block *next;
  size_t used, size;
  _Alignas(16) uint8_t bytes[];
};

void stwi_arena_init(struct stwi_arena *arena) {
  memset(arena, 0, sizeof *arena);
}

static void free_after(struct stwi_arena_block *block) {
  while (block != NULL) {
    struct stwi_arena_block *next = block->next;
    stwi_free(block);
    block = next;
  }
}

static void free_adopted(struct stwi_arena *arena) {
  while (arena->adopted_count > 0)
    stwi_free(arena->adopted[--arena->adopted_count]);
}

void stwi_arena_fini(struct stwi_arena *arena) {
  free_adopted(arena);
  free_after(arena->first);
  stwi_arena_init(arena);
}

void stwi_arena_reset(struct stwi_arena *arena) {
  arena->given = 0;
  free_adopted(arena);
  if (arena->first == NULL)
    return;
  free_after(arena->first->next);
  arena->first->next = NULL;
  arena->first->used = 0;
  if (arena->first->size > BLOCK_BYTES) {
    stwi_free(arena->first);
    arena->first = NULL;
  }
}

static bool add_block(struct stwi_arena *arena, size_t size) {
  if (size < BLOCK_BYTES)
    size = BLOCK_BYTES;
  struct stwi_arena_block *block = stwi_alloc(sizeof *block + size);
  if (block == NULL)
    return false;
  block->next = arena->first;
  block->used = 0;
  block->size = size;
  arena->first = block;
  return true;
}

uint8_t *stwi_arena_take(struct stwi_arena *arena, size_t size) {
  size_t rounded = (size + 15) & ~(size_t)15;
  struct stwi_arena_block *block = arena->first;
  if (block == NULL || block->size - block->used < rounded) {
    if (!add_block(arena, rounded))
      return NULL;
    block = arena->first;
  }
  uint8_t *bytes = block->bytes + block->used;
  block->used += rounded;
  arena->given += rounded;
  return bytes;
}

bool stwi_arena_has_place(const struct stwi_arena *arena) {
  return arena->adopted_count < STWI_ARENA_ADOPTED_MAX;
}

void stwi_arena_adopt(struct stwi_arena *arena, void *memory) {
  assert(stwi_arena_has_place(arena));
  arena->adopted[arena->adopted_count++] = memory;
}

void stwi_arena_trim(struct stwi_arena *arena, const uint8_t *taken, size_t used) {
  struct stwi_arena_block *block = arena->first;
  size_t start = (size_t)(taken - block->bytes);
  size_t end = start + ((used + 15) & ~(size_t)15);
  arena->given -= block->used - end;
  block->used = end;
}
