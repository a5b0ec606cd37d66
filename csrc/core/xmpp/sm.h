/* sm.h: stream management (XEP-0198 1.6), the client's side: who has which stanzas.
 *
 * Outbound.  Every stanza written since <enable/> counts; the peer says how many it has (h).  The
 * runs map those counts back to numbers of messages: a run is a row of stanzas whose messages have
 * consecutive numbers in one lane, or a row of stanzas of the engine's own, which stand for no
 * message.  Counts are 64 bits here and modulo 2^32 on the wire.
 *
 * Inbound.  Every stanza since the answer <enabled/> counts, but only once it is handled: those for
 * the host when the host says so, the engine's own when no earlier one waits for the host.  What
 * had come and was not handled when the link was lost comes again after a resume: those are the
 * repeats, and they are known by counting.  So the host gets each stanza once, and a process that
 * was killed gets again what it had not handled.  Stanzas have an index that never goes back, over
 * streams and processes; the count on the wire begins anew with each session.
 *
 * A peer that breaks the rules has lost count, and what it says later would be wrong as well:
 * BROKEN ends the session, and what is unacknowledged is written again on a new one.
 *
 * Use: init, or restore; on each link bind and enable, or resume, then `take` each element of
 * STWI_NS_SM; `wrote` before the bytes of a stanza go to the transport, since the peer may have
 * them before anybody hears of it; `received` for each stanza; `unlink` when the link is gone. What
 * is no stanza (<r/>, <a/>, white space) never counts.  Allocates nothing.  Owner only.
 */
#ifndef STWI_CORE_XMPP_SM_H
#define STWI_CORE_XMPP_SM_H

#include "core/xmpp/jid.h"
#include "core/xmpp/xml.h"

#include <steadwire/event.h>

/* XEP-0198 section 3 lets an id be as long as 4000 bytes; Prosody 0.12's have 12, ejabberd 23.01's
 * 36. A stream with a longer one works and cannot be resumed. */
#define STWI_SM_ID_MAX 1023u
#define STWI_SM_LOCATION_MAX 255u
#define STWI_SM_UNACKED_MAX 1048576u
#define STWI_SM_SAVED_RUNS 32u

struct stwi_sm_run {
  uint64_t number; /* of the first message, ascending by one; 0: stanzas of the engine's own */
  uint32_t count;
  stw_lane lane;
};

enum stwi_sm_phase {
  STWI_SM_OFF,
  STWI_SM_ENABLING, /* <enable/> is written */
  STWI_SM_ON,
  STWI_SM_RESUMING, /* <resume/> is written: no stanza may be */
  STWI_SM_PHASE_COUNT
};

struct stwi_sm {
  enum stwi_sm_phase phase;
  char id[STWI_SM_ID_MAX + 1];             /* "": there is no session to resume */
  char location[STWI_SM_LOCATION_MAX + 1]; /* where the server would like it resumed, or "" */
  uint32_t max_s;        /* how long the server keeps it without a link; 0: it did not say */
  struct stwi_jid bound; /* the address of the session */
  /* outbound, counted since <enable/> */
  uint64_t sent, acked;
  struct stwi_sm_run *runs; /* a circle lent by the owner: what is sent and not acked */
  uint32_t capacity, first, count;
  bool is_behind; /* restored: stanzas may have been written after it was saved */
  /* inbound, indexes from 1 */
  uint64_t base;     /* the last one before this session */
  uint64_t received; /* the last one that came */
  uint64_t for_host; /* the last one that the host was given */
  uint64_t handled;
  uint64_t told;    /* handled as of <resume/> */
  uint64_t repeats; /* stanzas still to come on this link that had come before */
};

/* What a process must know to resume what another one began. */
struct stwi_sm_saved {
  char id[STWI_SM_ID_MAX + 1];
  char location[STWI_SM_LOCATION_MAX + 1];
  struct stwi_jid bound;
  uint32_t max_s;
  uint64_t acked, base, handled;
  uint32_t run_count;
  struct stwi_sm_run runs[STWI_SM_SAVED_RUNS];
};

/* `runs` stay the owner's and lent until the end, or until others are.  Capacity at least 1. */
void stwi_sm_init(struct stwi_sm *sm, struct stwi_sm_run *runs, uint32_t capacity);
/* Moves to another memory, which holds at least as many runs as there are (`count`). */
void stwi_sm_lend(struct stwi_sm *sm, struct stwi_sm_run *runs, uint32_t capacity);

/* Saves as many of the oldest runs as there is place for. */
void stwi_sm_save(const struct stwi_sm *sm, struct stwi_sm_saved *saved);
/* After init.  False: the saved state does not hold together or has more runs than there is memory
 * for; nothing was restored. */
bool stwi_sm_restore(struct stwi_sm *sm, const struct stwi_sm_saved *saved);

bool stwi_sm_is_resumable(const struct stwi_sm *sm);

/* A new session under `bound` (copied), with stream management or without: what was is over. */
void stwi_sm_bind(struct stwi_sm *sm, const struct stwi_jid *bound);

/* ---- what is written; all go straight to the transport ---- */

/* <enable/>.  Phase OFF, and the link is bound. */
void stwi_sm_enable(struct stwi_sm *sm, struct stwi_xml *xml);
/* <resume/>.  Phase OFF, and resumable. */
void stwi_sm_resume(struct stwi_sm *sm, struct stwi_xml *xml);
/* <r/>: asks how many the peer has.  <a/>: says how many we have handled.  Phase ON. */
void stwi_sm_ask(const struct stwi_sm *sm, struct stwi_xml *xml);
void stwi_sm_answer(const struct stwi_sm *sm, struct stwi_xml *xml);
/* The stream error that tells the peer why the stream ends, after news BROKEN. */
struct stwi_sm_news;
void stwi_sm_complain(const struct stwi_sm_news *news, struct stwi_xml *xml);

/* ---- outbound ---- */

/* May a stanza be written now?  Of message `number` of `lane`, or number 0: of the engine's own. */
bool stwi_sm_has_room(const struct stwi_sm *sm, stw_lane lane, uint64_t number);
/* It is about to be; there must be room.  Counts nothing where stream management is off. */
void stwi_sm_wrote(struct stwi_sm *sm, stw_lane lane, uint64_t number);
uint64_t stwi_sm_unacked(const struct stwi_sm *sm);

/* ---- inbound ---- */

/* A stanza came.  False: it is a repeat, to be dropped.  True: *index is its index. */
bool stwi_sm_received(struct stwi_sm *sm, bool is_for_host, uint64_t *index);
/* The host has handled every stanza up to `index`.  True: what we tell the peer has changed. */
bool stwi_sm_handled(struct stwi_sm *sm, uint64_t index);
/* The h that we tell. */
uint32_t stwi_sm_h(const struct stwi_sm *sm);

/* ---- what the peer says ---- */

enum stwi_sm_news_kind {
  STWI_SM_IGNORED, /* an element that XEP-0198 does not know */
  STWI_SM_ENABLED, /* stanzas count; `why`: it cannot be resumed for this reason, else NULL */
  STWI_SM_REFUSED, /* the answer to <enable/>: the stream goes on without */
  STWI_SM_RESUMED, /* acked; what is unacknowledged is to be written again, in order */
  STWI_SM_RESUME_REFUSED, /* acked where has_h: the session is over, bind and enable a new one */
  STWI_SM_ACKED,          /* acked */
  STWI_SM_ASKED,          /* answer now */
  STWI_SM_BROKEN          /* `why`: complain and end the link; the session is over */
};

struct stwi_sm_news {
  enum stwi_sm_news_kind kind;
  bool has_h;
  uint32_t h;
  uint64_t acked[STW_LANE_COUNT]; /* every message written up to this number is the peer's; 0: none
                                     more */
  uint64_t own_lost; /* RESUMED, RESUME_REFUSED: stanzas of our own that the peer may not have */
  uint64_t beyond;   /* after restore: so many stanzas more than were saved as written did arrive */
  const char *why;   /* static sentence */
  bool is_too_high;  /* BROKEN: h is over what was sent, which was `sent` */
  uint32_t sent;
};

/* Takes an element of STWI_NS_SM. */
void stwi_sm_take(struct stwi_sm *sm, const struct stwi_element *element,
                  struct stwi_sm_news *news);

/* The link is gone.  A session that the peer keeps is kept, any other is over. */
void stwi_sm_unlink(struct stwi_sm *sm);
/* The session is over: closed by us, or the conn begins another. */
void stwi_sm_forget(struct stwi_sm *sm);

#endif
