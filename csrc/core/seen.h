/* seen.h: which numbers of one inbound lane have arrived: a cursor, for the sender numbers without
 * holes and tells each hole (GAP).
 *
 * The client's role of steadwire.v1 uses it.  The server's keeps three cursors: it may accept later
 * than it receives.  `accepted` is what the sender may forget, `processed` what
 * the application is done with.
 */
#ifndef STWI_CORE_SEEN_H
#define STWI_CORE_SEEN_H

#include <stdbool.h>
#include <stdint.h>

struct stwi_seen {
  uint64_t accepted;  /* everything up to it arrived or will never come */
  uint64_t processed; /* <= accepted */
};

enum stwi_seen_verdict {
  STWI_SEEN_NEW,       /* the cursor moved: deliver it, or tell the hole */
  STWI_SEEN_DUPLICATE, /* nothing new: drop it and acknowledge again */
  STWI_SEEN_AHEAD      /* something before it is missing: the sender broke the protocol (4400) */
};

/* Everything up to `upto` has arrived and was processed before. */
void stwi_seen_init(struct stwi_seen *seen, uint64_t upto);
/* What a message with `number` (from 1) would be; the cursor stays. */
enum stwi_seen_verdict stwi_seen_check(const struct stwi_seen *seen, uint64_t number);
/* A message with `number` arrived. */
enum stwi_seen_verdict stwi_seen_take(struct stwi_seen *seen, uint64_t number);
/* The numbers from..to (1 <= from <= to) will never come.  NEW: those after *known are missing
 * now, *known being what had been accepted. */
enum stwi_seen_verdict stwi_seen_gap(struct stwi_seen *seen, uint64_t from, uint64_t to,
                                     uint64_t *known);
/* The host has processed everything up to `number`; past what was accepted it says nothing.
 * True: the cursor moved. */
bool stwi_seen_done(struct stwi_seen *seen, uint64_t number);

#endif
