/* outbox.h: what must still reach the peer.
 *
 * Messages stand in admission order.  A cursor divides those written on the present link from
 * those that wait.  Evidence is cumulative: "everything up to number n has proof p".  A message
 * ends in exactly one way; ends without the wanted proof are reported one by one.
 * Which state follows which is one table in message.c, states x inputs.
 *
 * A message that leaves from the middle leaves a gap, until those before it have left or half of
 * the ring is gaps; then it is compacted.  It is found by its number in O(log n), and by its id in
 * O(1) where that does not name its place.  An end waits in a list through the messages themselves,
 * so ending needs no memory and cannot fail.  An outbox that was never used owns nothing; an
 * emptied one keeps at most STWI_OUTBOX_KEPT places.
 */
#ifndef STWI_CORE_OUTBOX_H
#define STWI_CORE_OUTBOX_H

#include "core/chunk.h"
#include "core/conn_config.h"
#include "core/effect.h"
#include "core/parked.h"

enum stwi_msg_input {
  STWI_MSG_WRITE,     /* written on a link */
  STWI_MSG_PROVE,     /* got the proof it wants */
  STWI_MSG_LINK_LOST, /* the link died under it */
  STWI_MSG_EXPIRE,
  STWI_MSG_CANCEL,
  STWI_MSG_DROP, /* overflow or key */
  STWI_MSG_POISON,
  STWI_MSG_HOLD,    /* by the host */
  STWI_MSG_RELEASE, /* put back into a lane by the host */
  STWI_MSG_DOUBT,   /* whether it arrived cannot be learnt any more */
  STWI_MSG_INPUT_COUNT
};

/* The table: the next state, or STW_MESSAGE_STATE_COUNT where the input is refused.
 * at_most_once: an inflight message whose link is lost becomes UNKNOWN, others QUEUED. */
stw_message_state stwi_msg_next(stw_message_state state, enum stwi_msg_input input,
                                stw_guarantee guarantee);

#define STWI_OUTBOX_KEPT 64u

struct stwi_msg_end {
  uint64_t number;
  stw_message_id id;
  stw_lane lane;
  stw_message_state state;
  stw_cause cause;
};

struct stwi_outbox_slot {
  uint64_t number;
  struct stwi_msg *msg; /* NULL: it has left */
};

struct stwi_outbox {
  struct stwi_outbox_slot *ring; /* by number, a message in the first; capacity a power of two */
  uint32_t head, count, capacity;
  uint32_t cursor;          /* offset from head of the first message not written on this link */
  uint64_t messages, bytes; /* standing (not ended) */
  uint64_t taken;           /* number of the last message taken */
  uint64_t proven[STW_PROOF_COUNT];   /* highest number with at least this proof, cumulative; */
  uint64_t short_of[STW_PROOF_COUNT]; /* but up to this one messages had settled with less before */
  uint64_t settled;                   /* everything up to this number has settled or ended */
  stwi_time next_expiry;              /* lower bound, STWI_NEVER if no ttl stands */
  uint32_t gaps;                      /* places without a message */
  uint64_t inflight;                  /* INFLIGHT messages */
  uint64_t inflight_bytes;
  uint64_t written_upto;            /* highest number written on this link, 0: none */
  struct stwi_msg *ends, *last_end; /* not yet collected, oldest first; chained through next_end */
  uint32_t end_count;
  uint64_t counts[STW_MESSAGE_STATE_COUNT]; /* messages that ended so, ever (final states) */
  uint64_t replayed;                        /* messages written again, ever */
  struct stwi_keys *keys; /* key -> latest standing message; NULL until a key is used */
  /* the company of a lane, set by stwi_lanes_init; alone, an outbox has none of it */
  struct stwi_outbox *beside; /* the other lane: it shares the bounds */
  struct stwi_parked *parked; /* held ones count as well */
  uint64_t stream;            /* of the ids given in this lane */
  stw_lane lane;
  struct stwi_keys *strangers; /* by id: those whose id does not name their place, as moved ones */
  enum stwi_unknown_fate fate; /* of INFLIGHT messages whose link is lost */
  bool bars_exactly;           /* exactly_once messages wait, and what stands behind them */
  /* store: a message is written once it is committed */
  uint64_t stored_upto;                                           /* UINT64_MAX without a store */
  void (*tell)(void *to, const struct stwi_store_change *change); /* NULL: no store */
  void *tell_to;
  /* limits, borrowed values */
  uint64_t messages_max, bytes_max;
  enum stwi_overflow overflow;
  /* poison */
  uint64_t suspect_number; /* oldest unproven when links ended with a message's fault */
  uint32_t suspect_strikes;
  stw_cause suspect_cause;
  bool is_cautious;        /* one message per barrier until the poison is found or disproved */
  uint64_t cautious_until; /* number past which caution ends */
};

void stwi_outbox_init(struct stwi_outbox *outbox, uint64_t messages_max, uint64_t bytes_max,
                      enum stwi_overflow overflow);
void stwi_outbox_fini(struct stwi_outbox *outbox);

/* Takes a list of chunks.  Messages get QUEUED and `admitted`; a key replaces the queued message
 * with the same key (DROPPED); over the bounds drop_oldest ends the oldest QUEUED ones (never the
 * newest, nor what was written on this link); is_refused ones end at once.  Numbers must grow.
 * False without memory: then nothing was taken. */
bool stwi_outbox_take(struct stwi_outbox *outbox, struct stwi_chunk *chunks, stwi_time now);
/* Lends the next message to write, NULL if none (all written, the next one held, or caution waits
 * for a proof).  Ends expired ones on the way. */
struct stwi_msg *stwi_outbox_next(struct stwi_outbox *outbox, stwi_time now);

/* Marks what next() gave as INFLIGHT: the cursor moves on. */
void stwi_outbox_wrote(struct stwi_outbox *outbox, struct stwi_msg *msg);

/* Every message <= upto that was written on this link has `proof`; where proof >= wanted they
 * settle.  What has settled with a weaker one before, on another link, gets no other any more;
 * only an accepted one may still be processed.  True if this says more than was known: settled or
 * proven[proof] has grown, though never past what was written on this link. */
bool stwi_outbox_prove(struct stwi_outbox *outbox, stw_proof proof, uint64_t upto,
                       stw_proof wanted);

/* Everything up to `upto` is committed: it may be written.  Returns how many messages that tells
 * news about. */
uint64_t stwi_outbox_stored(struct stwi_outbox *outbox, uint64_t upto);

/* The link is gone: INFLIGHT ones go back to QUEUED at their place (at_most_once, and all where
 * `fate` is not replay: UNKNOWN, parked where it is ask; those that a later message with the same
 * key has replaced: DROPPED).  The cause filed with UNKNOWN is
 * abnormal_fin; the caller knows the true one.
 * *messages and *bytes say what will be written again. */
void stwi_outbox_link_lost(struct stwi_outbox *outbox, uint64_t *messages, uint64_t *bytes);

/* A link ended with a cause that speaks against a message (too_big, bad_payload, ...), before
 * link_lost.  Strikes count per (oldest unproven inflight message, cause); the first one turns
 * caution on: until everything written so far has ended, next() gives one message per proof.  A
 * message that is struck the third time, and then was the only one inflight, is DEAD.  A message
 * that is proven clears its strikes. */
void stwi_outbox_strike(struct stwi_outbox *outbox, stw_cause cause);

/* As link_lost, where the peer will say which of them it has: all go back to QUEUED. */
void stwi_outbox_unlink(struct stwi_outbox *outbox, uint64_t *messages, uint64_t *bytes);
/* The peer says that it has everything up to `upto`, whatever link or process wrote it: that now
 * counts as written on this link.  *messages and *bytes: of those, written on an earlier link. */
void stwi_outbox_arrived(struct stwi_outbox *outbox, uint64_t upto, uint64_t *messages,
                         uint64_t *bytes);
/* The peer will never take this message, which must be the next one or INFLIGHT: it is DEAD.
 * False: there is no such message. */
bool stwi_outbox_reject(struct stwi_outbox *outbox, uint64_t number, stw_cause cause);

/* The peer has forgotten what it took: `fate` is done to messages written on an earlier link, and
 * of what it had accepted nobody will learn whether it was processed. */
void stwi_outbox_doubt(struct stwi_outbox *outbox, stw_cause cause);

/* Ends QUEUED messages whose ttl is over; gives the next time to call.  A long queue is
 * walked at most once per microsecond of its length, so an end may be told that much late; next()
 * never gives an expired message. */
stwi_time stwi_outbox_expire(struct stwi_outbox *outbox, stwi_time now);

/* OK, E_NOT_FOUND, E_STATE (written, on this link or an earlier one: it cannot be unsent). */
stw_status stwi_outbox_cancel(struct stwi_outbox *outbox, uint64_t number);

/* Lends the standing message `number`, NULL if there is none. */
struct stwi_msg *stwi_outbox_find(const struct stwi_outbox *outbox, uint64_t number);
/* Lends the first standing message with a number > after; NULL at the end. */
struct stwi_msg *stwi_outbox_after(const struct stwi_outbox *outbox, uint64_t after);

/* How many places lie before that of `number`, gaps included. */
uint32_t stwi_outbox_position(const struct stwi_outbox *outbox, uint64_t number);

bool stwi_outbox_is_settled(const struct stwi_outbox *outbox); /* nothing stands */
/* Are there written messages without the wanted proof? */
bool stwi_outbox_has_inflight(const struct stwi_outbox *outbox);
/* The number of the last one written on this link; 0 if none is inflight. */
uint64_t stwi_outbox_last_written(const struct stwi_outbox *outbox);

/* Moves up to `max` collected ends out, oldest first; returns how many. */
size_t stwi_outbox_ends(struct stwi_outbox *outbox, struct stwi_msg_end *ends, size_t max);

/* ---- both lanes of a conn, and what is parked ---- */

/* Makes both lanes empty, with common bounds.  `stream`: lowest bit 0. */
void stwi_lanes_init(struct stwi_outbox lanes[STW_LANE_COUNT], struct stwi_parked *parked,
                     const struct stwi_conn_config *config, uint64_t stream);
void stwi_lanes_fini(struct stwi_outbox lanes[STW_LANE_COUNT]); /* and what is parked */

/* As stwi_outbox_take; each message goes to the lane that it names.  A record with is_move moves
 * the message of its id to the end of that lane, unless it is gone or bytes of it were written:
 * then its number is a hole, as is that of a message whose id is there already. */
bool stwi_lanes_take(struct stwi_outbox lanes[STW_LANE_COUNT], struct stwi_chunk *chunks,
                     stwi_time now);

/* What a store kept, into empty lanes; the numbering goes on behind restored->last_number.
 * Nothing of it is PUT again.  Takes both lists; false without memory: they are freed. */
bool stwi_lanes_restore(struct stwi_outbox lanes[STW_LANE_COUNT],
                        const struct stwi_restored *restored, stwi_time now);

/* Lends the message of this id, wherever it stands or is parked; NULL if it is gone. */
struct stwi_msg *stwi_lanes_find(const struct stwi_outbox lanes[STW_LANE_COUNT], stw_message_id id);
/* HOLD and CANCEL. OK, E_NOT_FOUND, E_STATE (bytes of it were written, or HOLD of a parked one, or
 * another edit), E_MEMORY. */
stw_status stwi_lanes_edit(struct stwi_outbox lanes[STW_LANE_COUNT], stw_message_id id,
                           stw_edit edit);
/* As stwi_outbox_expire, for held ones as well. */
stwi_time stwi_lanes_expire(struct stwi_outbox lanes[STW_LANE_COUNT], stwi_time now);
/* Tells the store everything again: PUT and PARK. */
void stwi_lanes_tell_all(struct stwi_outbox lanes[STW_LANE_COUNT]);
/* Tells the store of each standing message that was written that it was: PUT. */
void stwi_lanes_tell_written(struct stwi_outbox lanes[STW_LANE_COUNT]);
/* What the bounds count: standing in the lanes or held. */
uint64_t stwi_lanes_messages(const struct stwi_outbox lanes[STW_LANE_COUNT]);
uint64_t stwi_lanes_bytes(const struct stwi_outbox lanes[STW_LANE_COUNT]);

#endif
