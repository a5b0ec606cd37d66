/* outbox_inside.h: what outbox.c and poison.c share.  Nobody else includes it. */
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

/* INFLIGHT messages of both lanes: what a link that ends may be blamed on. */
uint64_t stwi_outbox_inflight(const struct stwi_outbox *outbox);

#endif
