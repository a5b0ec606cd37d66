/* opening.h: the messages the engine itself sends first on every new link, and when that is enough.
 *
 * Ordered by first setting, found by key, changeable while live.
 */
#ifndef STWI_CORE_OPENING_H
#define STWI_CORE_OPENING_H

#include "core/conn_config.h"

struct stwi_opening_item {
  struct stwi_opening_item *next;
  size_t size;
  bool is_text;
  bool is_due; /* to be written on the present link */
  uint8_t key_size;
  uint8_t bytes[]; /* key, then body */
};

struct stwi_opening {
  struct stwi_opening_item *first;
};

void stwi_opening_init(struct stwi_opening *opening);
void stwi_opening_fini(struct stwi_opening *opening);
/* Sets or (data NULL) removes.  Copies.  E_MEMORY. A key keeps its place when its data changes. */
stw_status stwi_opening_set(struct stwi_opening *opening, const char *key, const void *data,
                            size_t size, bool is_text);
const struct stwi_opening_item *stwi_opening_find(const struct stwi_opening *opening,
                                                  const char *key);
const uint8_t *stwi_opening_body(const struct stwi_opening_item *item);

/* Does this inbound message satisfy ready_when?  NONE and HOST never match a message. */
bool stwi_match_message(const struct stwi_match *match, const uint8_t *data, size_t size);

#endif
