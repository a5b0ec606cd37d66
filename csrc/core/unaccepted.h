/* unaccepted.h: the messages of one inbound lane that arrived and are not accepted yet, as far as
 * the sender's window counts them: their numbers and sizes.
 *
 * As large as the owner lets it become, which bounds it by the window it has announced.
 */
#ifndef STWI_CORE_UNACCEPTED_H
#define STWI_CORE_UNACCEPTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stwi_unaccepted_entry {
  uint64_t number, size;
};

struct stwi_unaccepted {                 /* all zero: none, and nothing reserved */
  struct stwi_unaccepted_entry *entries; /* owned, of core/mem.h */
  size_t first, count, capacity;
  uint64_t bytes;
};

/* Message `number`, above all before it, arrived.  False without memory: nothing was added. */
bool stwi_unaccepted_add(struct stwi_unaccepted *unaccepted, uint64_t number, uint64_t size);
/* Everything up to `upto` is accepted: gives how many messages and bytes that were. */
void stwi_unaccepted_accept(struct stwi_unaccepted *unaccepted, uint64_t upto, uint64_t *messages,
                            uint64_t *bytes);
/* The sender has taken back from..to: it counts them no longer. */
void stwi_unaccepted_drop(struct stwi_unaccepted *unaccepted, uint64_t from, uint64_t to);
/* Forgets all.  Idempotent. */
void stwi_unaccepted_fini(struct stwi_unaccepted *unaccepted);

#endif
