/* keys.h: which standing message is the latest one with a key.
 *
 * Open addressing with linear probing; the keys themselves lie in the messages.  An entry stays
 * while its message stands, written or not, so that a replay can tell that a later message has
 * replaced an earlier one without asking for memory.
 */
#ifndef STWI_CORE_KEYS_H
#define STWI_CORE_KEYS_H

#include "core/chunk.h"

struct stwi_key_slot {
  struct stwi_msg *msg; /* NULL: free */
  uint32_t hash;
};

struct stwi_keys {
  struct stwi_key_slot *slots;
  uint32_t count, capacity; /* capacity: 0 or a power of two */
};

/* Makes room for `more` keys; *keys is made where it is NULL.  False without memory: every entry is
 * still there. */
bool stwi_keys_reserve(struct stwi_keys **keys, uint32_t more);
void stwi_keys_free(struct stwi_keys *keys); /* NULL is fine */

/* Makes `msg` the latest one with its key and lends the one that was, NULL if none.  Room must have
 * been reserved. */
struct stwi_msg *stwi_keys_put(struct stwi_keys *keys, struct stwi_msg *msg);

/* Lends the latest message with the key of `msg`, NULL if that one has ended. */
struct stwi_msg *stwi_keys_latest(const struct stwi_keys *keys, const struct stwi_msg *msg);

/* Forgets `msg` where it is the latest one with its key. */
void stwi_keys_remove(struct stwi_keys *keys, const struct stwi_msg *msg);

#endif
