/* keys.h: which message is the latest one with a key, or with an id.
 *
 * Open addressing with linear probing; keys and ids themselves lie in the messages.  An entry stays
 * while its message stands, written or not, so that a replay can tell that a later message has
 * replaced an earlier one without asking for memory.
 */
#ifndef STWI_CORE_KEYS_H
#define STWI_CORE_KEYS_H

#include "core/chunk.h"

/* What messages are told apart by. */
struct stwi_keys_by {
  uint32_t (*hash)(const struct stwi_msg *msg);
  bool (*is_same)(const struct stwi_msg *a, const struct stwi_msg *b);
};
extern const struct stwi_keys_by stwi_by_key, stwi_by_id;

struct stwi_key_slot {
  struct stwi_msg *msg; /* NULL: free */
  uint32_t hash;
};

struct stwi_keys {
  const struct stwi_keys_by *kind;
  struct stwi_key_slot *slots;
  uint32_t count, capacity; /* capacity: 0 or a power of two */
};

/* Makes room for `more` keys; *keys is made, of this kind, where it is NULL.  False without memory:
 * every entry is still there. */
bool stwi_keys_reserve(struct stwi_keys **keys, const struct stwi_keys_by *kind, uint32_t more);
void stwi_keys_free(struct stwi_keys *keys); /* NULL is fine */

/* Makes `msg` the latest one with its key and lends the one that was, NULL if none.  Room must have
 * been reserved. */
struct stwi_msg *stwi_keys_put(struct stwi_keys *keys, struct stwi_msg *msg);

/* Lends the latest message with the key of `msg`, NULL if that one has ended. */
struct stwi_msg *stwi_keys_latest(const struct stwi_keys *keys, const struct stwi_msg *msg);

/* Lends the message with this id (by_id), NULL if there is none; `keys` NULL: there is none. */
struct stwi_msg *stwi_keys_find_id(const struct stwi_keys *keys, stw_message_id id);

/* Forgets `msg` where it is the latest one with its key. */
void stwi_keys_remove(struct stwi_keys *keys, const struct stwi_msg *msg);

#endif
