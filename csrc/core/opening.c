#include "core/opening.h"

#include "core/mem.h"

#include <string.h>

enum { KEY_MAX = 255 };

void stwi_opening_init(struct stwi_opening *opening) {
  opening->first = NULL;
}

void stwi_opening_fini(struct stwi_opening *opening) {
  while (opening->first != NULL) {
    struct stwi_opening_item *next = opening->first->next;
    stwi_free(opening->first);
    opening->first = next;
  }
}

/* The link that leads to the item of the key, or the one at the end. */
static struct stwi_opening_item **seek(struct stwi_opening_item **link, const char *key,
                                       size_t key_size) {
  while (*link != NULL &&
         ((*link)->key_size != key_size || memcmp((*link)->bytes, key, key_size) != 0))
    link = &(*link)->next;
  return link;
}

stw_status stwi_opening_set(struct stwi_opening *opening, const char *key, const void *data,
                            size_t size, bool is_text) {
  const size_t key_size = strlen(key);
  if (key_size == 0 || key_size > KEY_MAX)
    return STW_E_ARGUMENT;
  struct stwi_opening_item **link = seek(&opening->first, key, key_size);
  struct stwi_opening_item *old = *link, *item = NULL;
  struct stwi_opening_item *rest = old == NULL ? NULL : old->next;
  if (data != NULL) {
    if (size > SIZE_MAX - sizeof *item - KEY_MAX)
      return STW_E_MEMORY;
    item = stwi_alloc(sizeof *item + key_size + size);
    if (item == NULL)
      return STW_E_MEMORY;
    *item = (struct stwi_opening_item){
        .next = rest, .size = size, .is_text = is_text, .key_size = (uint8_t)key_size};
    memcpy(item->bytes, key, key_size);
    memcpy(item->bytes + key_size, data, size);
  }
  *link = item == NULL ? rest : item;
  stwi_free(old);
  return STW_OK;
}

const struct stwi_opening_item *stwi_opening_find(const struct stwi_opening *opening,
                                                  const char *key) {
  struct stwi_opening_item *first = opening->first;
  return *seek(&first, key, strlen(key));
}

const uint8_t *stwi_opening_body(const struct stwi_opening_item *item) {
  return item->bytes + item->key_size;
}

bool stwi_match_message(const struct stwi_match *match, const uint8_t *data, size_t size) {
  const bool is_long_enough = size >= match->size;
  switch (match->kind) {
  case STWI_MATCH_EQUALS:
    return size == match->size && (size == 0 || memcmp(data, match->text, size) == 0);
  case STWI_MATCH_PREFIX:
    return is_long_enough && (match->size == 0 || memcmp(data, match->text, match->size) == 0);
  case STWI_MATCH_CONTAINS:
    return is_long_enough &&
           (match->size == 0 || memmem(data, size, match->text, match->size) != NULL);
  case STWI_MATCH_NONE:
  case STWI_MATCH_HOST:
    break;
  }
  return false;
}
