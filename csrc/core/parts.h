/* parts: one inbound message being put together from its PART frames (docs/protocol.md).
 *
 * Bounds are the caller's: it knows how large a message may be, and whose number may come.
 */
#ifndef STWI_CORE_PARTS_H
#define STWI_CORE_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stwi_parts { /* all zero: none has come */
  uint64_t number;  /* of the message */
  bool is_begun;
  uint8_t *data; /* owned, of core/mem.h; NULL while it has no byte */
  size_t size, capacity;
};

/* Adds the next part of message `number`; copies `data`.  False without memory: nothing was added.
 */
bool stwi_parts_add(struct stwi_parts *parts, uint64_t number, const uint8_t *data, size_t size);

/* Forgets the message.  Idempotent. */
void stwi_parts_drop(struct stwi_parts *parts);

#endif
