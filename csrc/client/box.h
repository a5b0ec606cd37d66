/* box.h: one conn's events inside a mailbox: an append-only queue of records in chunks.
 *
 * Not locked: the mailbox's lock guards it.  Messages are bounded by bytes; what happens at the
 * bound is the conn's inbound_overflow.  State, proof, retry and gap events coalesce, so a host
 * that sleeps costs bounded memory.
 */
#ifndef STWI_CLIENT_BOX_H
#define STWI_CLIENT_BOX_H

#include <steadwire/event.h>

#include "core/conn_config.h"

struct stwi_box_chunk;
struct stwi_box_keys;

struct stwi_box {
  struct stwi_box_chunk *first, *last;
  struct stwi_box_chunk *limbo;   /* replaced, but parts of it may be lent until the next drain */
  uint32_t offset;                /* in `first`: what was drained already */
  uint32_t chunk_bytes;           /* size of the next chunk */
  uint32_t events;                /* records waiting that are no messages */
  uint32_t ended;                 /* of them, MESSAGE_ENDED */
  struct stwi_box_chunk *reserve; /* so that a state, a proof and CLOSED need no memory */
  uint64_t messages;              /* messages waiting */
  uint64_t bytes, bytes_max;      /* of messages, footprint included */
  uint64_t held_bytes;            /* of all chunks */
  enum stwi_inbound policy;
  enum stwi_key_kind key_kind;
  uint32_t key_arg;
  uint64_t dropped; /* messages dropped since the last drain: a gap event before the next */
  uint64_t dropped_ever;
  stw_event missed; /* head of the last message that was dropped: a gap event needs a conn */
  struct stwi_box_keys *keys;
};

/* False without memory. */
bool stwi_box_init(struct stwi_box *box, const struct stwi_conn_config *config);
void stwi_box_fini(struct stwi_box *box);

/* Append; false without memory (then nothing was appended).  Copies strings and data.  Without
 * memory an event still finds its place in the reserve, or in the event before it of its kind,
 * so that CLOSED and the latest state and proof are never lost. */
bool stwi_box_message(struct stwi_box *box, const stw_event *event);
bool stwi_box_event(struct stwi_box *box, const stw_event *event);

bool stwi_box_is_empty(const struct stwi_box *box);
bool stwi_box_is_full(const struct stwi_box *box);  /* policy pause: at the bound */
bool stwi_box_has_room(const struct stwi_box *box); /* below half the bound again */

/* Lends up to `max` events; chunks used up go to *lent (a list for stwi_box_release). */
size_t stwi_box_drain(struct stwi_box *box, const stw_event **events, size_t max,
                      struct stwi_box_chunk **lent);
void stwi_box_release(struct stwi_box_chunk *lent);
/* Empties the box: its memory, parts of which may be lent, goes to *lent. */
void stwi_box_surrender(struct stwi_box *box, struct stwi_box_chunk **lent);

#endif
