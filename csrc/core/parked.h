/* parked.h: messages out of the sequence, oldest first: held by the host, dead letters, and those
 * whose fate waits for a decision.
 *
 * A parked message has no place in a lane.  Held ones count against the bounds of the outbox; dead
 * letters and those of unknown fate (letters) have bounds of their own, in number and in bytes: the
 * oldest is forgotten first, the newest is kept whatever its size.  A letter has no ttl any more.
 *
 * A message lies in the chunk it was admitted with, which is freed when its last message has gone.
 * A parked one may stay for days, so that its few bytes would keep a large chunk: where its chunk
 * is more than twice as large as the message, stwi_parked_shrink gives it one of its own.  So what
 * is parked costs at most twice its bytes and some 200 bytes for each message.
 *
 * Finding by id and removing are O(1) over many calls: a removed one leaves a gap, and gaps are
 * closed when half of the list is gaps.
 */
#ifndef STWI_CORE_PARKED_H
#define STWI_CORE_PARKED_H

#include "core/chunk.h"

struct stwi_parking {
  struct stwi_msg *msg; /* NULL: a gap */
  uint64_t serial;      /* grows from 1 in the order of parking */
};

struct stwi_parked {
  struct stwi_parking *items; /* by serial */
  uint32_t used, capacity;    /* items, gaps included */
  uint32_t count;             /* messages */
  uint32_t oldest;            /* before it are no letters */
  struct stwi_keys *ids;      /* id -> message; NULL until there is one */
  uint64_t serial;            /* of the last one parked */
  uint64_t held, held_bytes;
  uint64_t letters, letters_max;
  uint64_t letter_bytes, letter_bytes_max;
  stwi_time next_expiry; /* of held ones: a lower bound, STWI_NEVER if none has a ttl */
};

void stwi_parked_init(struct stwi_parked *parked, uint64_t letters_max, uint64_t letter_bytes_max);
void stwi_parked_fini(struct stwi_parked *parked); /* gives the chunks up */

/* Makes room for one more.  False without memory. */
bool stwi_parked_reserve(struct stwi_parked *parked);
/* Parks a message that is HELD, DEAD or UNKNOWN and keeps its chunk.  Room must be reserved. */
void stwi_parked_put(struct stwi_parked *parked, struct stwi_msg *msg);
/* Takes it out again; its chunk's hold passes to the caller. */
void stwi_parked_remove(struct stwi_parked *parked, struct stwi_msg *msg);
bool stwi_parked_has(const struct stwi_parked *parked, const struct stwi_msg *msg);

/* Where that pays, copies it into a chunk of its own and gives its hold of the old one up; without
 * memory nothing happens.  `msg` is not to be used any more unless the caller holds its chunk. */
void stwi_parked_shrink(struct stwi_parked *parked, struct stwi_msg *msg);

/* Lends the oldest letter where there are too many, else NULL. */
struct stwi_msg *stwi_parked_surplus(struct stwi_parked *parked);
/* Lends the message with this id, NULL if there is none. */
struct stwi_msg *stwi_parked_find(const struct stwi_parked *parked, stw_message_id id);
/* Lends the first one with a serial > after, NULL at the end. */
const struct stwi_parking *stwi_parked_after(const struct stwi_parked *parked, uint64_t after);
/* The serial of a message that is parked. */
uint64_t stwi_parked_serial(const struct stwi_parked *parked, const struct stwi_msg *msg);
/* How many items lie before that of `serial`, gaps included. */
uint32_t stwi_parked_position(const struct stwi_parked *parked, uint64_t serial);

#endif
