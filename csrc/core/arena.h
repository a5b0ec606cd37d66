/* arena.h: memory for the bytes one step wants written.
 *
 * Reset at the start of each step.  One block is kept between steps; what a rush needed beyond it
 * is given back at the reset.
 */
#ifndef STWI_CORE_ARENA_H
#define STWI_CORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stwi_arena_block;

#define STWI_ARENA_ADOPTED_MAX 8u

struct stwi_arena {
  struct stwi_arena_block *first; /* the one being filled */
  size_t given;                   /* bytes since the reset */
  void *adopted[STWI_ARENA_ADOPTED_MAX];
  uint32_t adopted_count;
};

void stwi_arena_init(struct stwi_arena *arena);
void stwi_arena_fini(struct stwi_arena *arena);
void stwi_arena_reset(struct stwi_arena *arena);
/* Lends `size` bytes until the reset; NULL without memory. */
uint8_t *stwi_arena_take(struct stwi_arena *arena, size_t size);
/* Takes memory of stwi_alloc and frees it at the reset; only while there is a place for it. */
void stwi_arena_adopt(struct stwi_arena *arena, void *memory);
bool stwi_arena_has_place(const struct stwi_arena *arena);
/* Gives the end of the last take back: it used only `used` bytes. */
void stwi_arena_trim(struct stwi_arena *arena, const uint8_t *taken, size_t used);

#endif
