/* outbox_inside.h: what the files of the outbox share.  Nobody else includes it.
 *
 * outbox_ring.c  the places of a lane: where messages stand, how they are found
 * outbox.c       what happens to them
 * poison.c       which of them a peer cannot bear
 * lanes.c        both lanes and what is parked
 */
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

/* ---- places ---- */

static inline struct stwi_outbox_slot *stwi_outbox_slot(const struct stwi_outbox *outbox,
                                                        uint32_t offset) {
  return &outbox->ring[(outbox->head + offset) & (outbox->capacity - 1)];
}

/* Lends the message at the offset, NULL if it has left. */
static inline struct stwi_msg *stwi_outbox_at(const struct stwi_outbox *outbox, uint32_t offset) {
  return stwi_outbox_slot(outbox, offset)->msg;
}

/* The offset of the first place with a number > after. */
uint32_t stwi_outbox_seek(const struct stwi_outbox *outbox, uint64_t after);
/* Its id does not name its place: it was moved, or comes from elsewhere. */
bool stwi_outbox_is_stranger(const struct stwi_outbox *outbox, const struct stwi_msg *msg);
/* Lends the standing stranger of this id, NULL if there is none. */
struct stwi_msg *stwi_outbox_find_stranger(const struct stwi_outbox *outbox, stw_message_id id);

/* Room for what comes. */
struct stwi_outbox_need {
  uint64_t messages, keyed, strangers;
};
/* False without memory. */
bool stwi_outbox_reserve(struct stwi_outbox *outbox, const struct stwi_outbox_need *need);
/* Takes a stamped message into its place, for which there is room. */
void stwi_outbox_place(struct stwi_outbox *outbox, struct stwi_msg *msg);
/* The message at the offset stands there no longer; the chunk's hold passes to the caller. */
void stwi_outbox_vacate(struct stwi_outbox *outbox, uint32_t offset);
/* Gives the first place back, with its message if there is one. */
void stwi_outbox_pop(struct stwi_outbox *outbox);
/* Keeps the promises about the ring after messages have left: once per batch. */
void stwi_outbox_tidy(struct stwi_outbox *outbox);

/* ---- messages ---- */

/* Takes one new message, for which there is room. */
void stwi_outbox_take_one(struct stwi_outbox *outbox, struct stwi_msg *msg, stwi_time now);
void stwi_outbox_file_end(struct stwi_outbox *outbox, struct stwi_msg *msg, stw_cause cause);
void stwi_outbox_tell(struct stwi_outbox *outbox, enum stwi_store_op op,
                      const struct stwi_msg *msg);
/* Forgets letters beyond their bound. */
void stwi_outbox_forget_surplus(struct stwi_outbox *outbox);

/* INFLIGHT messages of both lanes: what a link that ends may be blamed on. */
uint64_t stwi_outbox_inflight(const struct stwi_outbox *outbox);

#endif
