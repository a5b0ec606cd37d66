/* outbox_inside.h: what outbox.c, lanes.c and poison.c share.  Nobody else includes it. */
#ifndef STWI_CORE_OUTBOX_INSIDE_H
#define STWI_CORE_OUTBOX_INSIDE_H

#include "core/outbox.h"

/* Ends `msg`, which stands, by `input` of the table, and files its end. */
void stwi_outbox_end(struct stwi_outbox *outbox, struct stwi_msg *msg, enum stwi_msg_input input,
                     stw_cause cause);

/* Everything up to `upto` was proven on this link: its strikes are void. */
void stwi_poison_proven(struct stwi_outbox *outbox, uint64_t upto);

/* Caution ends with the last message it was meant for. */
void stwi_poison_calm(struct stwi_outbox *outbox);

/* Takes a stamped message into its place, for which there is room, and tells the store. */
void stwi_outbox_place(struct stwi_outbox *outbox, struct stwi_msg *msg);
/* Takes one new message, for which there is room. */
void stwi_outbox_take_one(struct stwi_outbox *outbox, struct stwi_msg *msg, stwi_time now);
/* Takes a standing message, or the place that a parked one has left, out of the ring; the chunk's
 * hold of the place passes to the caller.  False where the ring has no such place any more. */
bool stwi_outbox_pull(struct stwi_outbox *outbox, struct stwi_msg *msg);
bool stwi_outbox_reserve(struct stwi_outbox *outbox, uint64_t messages, uint64_t keyed);
void stwi_outbox_file_end(struct stwi_outbox *outbox, struct stwi_msg *msg, stw_cause cause);
/* Gives memory back where nothing is left. */
void stwi_outbox_tidy(struct stwi_outbox *outbox);
void stwi_outbox_tell(struct stwi_outbox *outbox, enum stwi_store_op op,
                      const struct stwi_msg *msg);
/* Forgets letters beyond their bound. */
void stwi_outbox_forget_surplus(struct stwi_outbox *outbox);

/* INFLIGHT messages of both lanes: what a link that ends may be blamed on. */
uint64_t stwi_outbox_inflight(const struct stwi_outbox *outbox);

#endif
