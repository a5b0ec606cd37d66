/* parked.h: messages out of the sequence, oldest first: held by the host, dead letters, and those
 * whose fate waits for a decision.
 *
 * A parked message has no place in a lane; its chunk lives on.  Held ones count against the bounds
 * of the outbox; dead letters and those of unknown fate (letters) are bounded by `letters_max`:
 * the oldest is forgotten first.  A letter has no ttl any more.
 */
#ifndef STWI_CORE_PARKED_H
#define STWI_CORE_PARKED_H

#include "core/chunk.h"

struct stwi_parking {
  struct stwi_msg *msg;
  uint64_t serial; /* grows from 1 in the order of parking */
};

struct stwi_parked {
  struct stwi_parking *items; /* by serial */
  uint32_t count, capacity;
  uint64_t serial; /* of the last one parked */
  uint64_t held, held_bytes;
  uint64_t letters, letters_max;
  stwi_time next_expiry; /* of held ones: a lower bound, STWI_NEVER if none has a ttl */
};

void stwi_parked_init(struct stwi_parked *parked, uint64_t letters_max);
void stwi_parked_fini(struct stwi_parked *parked); /* gives the chunks up */

/* Makes room for one more.  False without memory. */
bool stwi_parked_reserve(struct stwi_parked *parked);
/* Parks a message that is HELD, DEAD or UNKNOWN and keeps its chunk.  Room must be reserved. */
void stwi_parked_put(struct stwi_parked *parked, struct stwi_msg *msg);
/* Takes it out again; its chunk's hold passes to the caller. */
void stwi_parked_remove(struct stwi_parked *parked, const struct stwi_msg *msg);

/* Lends the oldest letter where there are too many, else NULL. */
struct stwi_msg *stwi_parked_surplus(const struct stwi_parked *parked);
/* Lends the message with this id, NULL if there is none. */
struct stwi_msg *stwi_parked_find(const struct stwi_parked *parked, stw_message_id id);
/* Lends the first one with a serial > after, NULL at the end. */
const struct stwi_parking *stwi_parked_after(const struct stwi_parked *parked, uint64_t after);

#endif
