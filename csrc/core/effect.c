#include "core/effect.h"

#include "core/mem.h"

#include <string.h>

enum { FIRST_CAPACITY = 32 };

void stwi_effects_init(struct stwi_effects *effects) {
  *effects = (struct stwi_effects){0};
}

void stwi_effects_fini(struct stwi_effects *effects) {
  stwi_free(effects->items);
  stwi_effects_init(effects);
}

static bool grow(struct stwi_effects *effects) {
  if (effects->capacity > SIZE_MAX / 2 / sizeof *effects->items)
    return false;
  const size_t capacity = effects->capacity == 0 ? FIRST_CAPACITY : effects->capacity * 2;
  struct stwi_effect *items = stwi_realloc(effects->items, capacity * sizeof *items);
  if (items == NULL)
    return false;
  effects->items = items;
  effects->capacity = capacity;
  return true;
}

struct stwi_effect *stwi_effects_add(struct stwi_effects *effects, enum stwi_effect_kind kind,
                                     uint32_t conn, uint32_t link) {
  if (effects->count == effects->capacity && !grow(effects))
    return NULL;
  struct stwi_effect *effect = &effects->items[effects->count++];
  /* The two of the hot path are filled by their maker: an event's union is large. */
  if (kind != STWI_FX_MESSAGE && kind != STWI_FX_WRITE)
    memset(&effect->u, 0, sizeof effect->u);
  effect->kind = kind;
  effect->conn = conn;
  effect->link = link;
  return effect;
}
