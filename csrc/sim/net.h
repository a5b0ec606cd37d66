/* net.h: a network in virtual time: links between callers and places, with everything that can
 * happen to them, drawn from one seed.
 *
 * A link is a pair of byte pipes.  What one end sends arrives at the other in order, in the packets
 * it was sent in, after the link's latency; links do not wait for one another, so that the last
 * words of an old link can arrive after the first of its successor.  Ends are told what happens by
 * events, taken one by one in the order of virtual time; the same seed and calls give the same
 * events.  Owner only.
 *
 * Faults: a place that refuses or swallows calls; a reset; a link that loses everything from a
 * moment on, one way (half-dead) or both (black hole), while sending still seems to work; and for a
 * packet that says it may be harmed (it is whole to its reader: a frame, not a piece of a stream)
 * being doubled, overtaken by the next, or dropped; a dropped one breaks the link a moment later,
 * since no real stream goes on past a hole.
 */
#ifndef STWI_SIM_NET_H
#define STWI_SIM_NET_H

#include "core/input.h"
#include "core/pace.h"

enum stwi_net_end { STWI_NET_CALLER, STWI_NET_CALLEE };

enum stwi_net_event_kind {
  STWI_NET_CALL,     /* callee: a link is open; `place` says where */
  STWI_NET_OPEN,     /* caller: the link is open */
  STWI_NET_BYTES,    /* data, size: lent until the next call of stwi_net_next */
  STWI_NET_WRITABLE, /* everything this end has sent has left it */
  STWI_NET_DOWN,     /* this end is over: `cause`; the last event of the end, exactly once */
  STWI_NET_TIMER     /* `token` */
};

struct stwi_net_event {
  enum stwi_net_event_kind kind;
  stwi_time at;
  uint32_t link; /* from 1 */
  enum stwi_net_end end;
  uint32_t place;
  const uint8_t *data;
  size_t size;
  stw_cause cause; /* TCP_REFUSED, ABNORMAL_RST, ABNORMAL_FIN; REQUESTED: by our own close */
  uint64_t token;
};

enum stwi_net_door { STWI_NET_DOOR_OPEN, STWI_NET_DOOR_REFUSED, STWI_NET_DOOR_SILENT };

/* Out of a million packets that may be harmed. */
struct stwi_net_harm {
  uint32_t doubled, swapped, dropped;
};

struct stwi_net_counts {
  uint64_t links, packets, bytes, swallowed, doubled, swapped, dropped, resets;
};

struct stwi_net;

struct stwi_net *stwi_net_new(uint64_t seed, uint32_t places); /* NULL without memory */
void stwi_net_free(struct stwi_net *net);

/* Latency of new links, one way: drawn for each link and way from [least, most]. */
void stwi_net_latency(struct stwi_net *net, uint64_t least_ns, uint64_t most_ns);
void stwi_net_harm(struct stwi_net *net, struct stwi_net_harm harm);
void stwi_net_door(struct stwi_net *net, uint32_t place, enum stwi_net_door door);

/* A call; answered by OPEN or DOWN, or never where the place is silent.  0 without memory. */
uint32_t stwi_net_dial(struct stwi_net *net, stwi_time now, uint32_t place);
/* Copies.  WRITABLE follows; false without memory, or where this end is over. */
bool stwi_net_send(struct stwi_net *net, stwi_time now, uint32_t link, enum stwi_net_end end,
                   const void *data, size_t size, bool may_be_harmed);
/* Ends this end at once: its DOWN is next; the other end hears of it behind what is under way, or
 * at once and without it where `abort`, or never over a swallowing way. */
void stwi_net_close(struct stwi_net *net, stwi_time now, uint32_t link, enum stwi_net_end end,
                    bool abort);

/* Both ends get ABNORMAL_RST; what is under way is lost. */
void stwi_net_reset(struct stwi_net *net, stwi_time now, uint32_t link);
/* What is sent towards an end from now on is lost. */
void stwi_net_swallow(struct stwi_net *net, uint32_t link, bool to_caller, bool to_callee);
/* The process at this end died: no event of it comes any more; the other end gets a reset. */
void stwi_net_died(struct stwi_net *net, stwi_time now, uint32_t link, enum stwi_net_end end);
/* A random link that has both ends; 0 if there is none. */
uint32_t stwi_net_any(struct stwi_net *net);

/* False without memory. */
bool stwi_net_timer(struct stwi_net *net, stwi_time at, uint64_t token);

/* Time of the next event, STWI_NEVER if there is none. */
stwi_time stwi_net_due(const struct stwi_net *net);
/* Takes the next event; false if there is none. */
bool stwi_net_next(struct stwi_net *net, struct stwi_net_event *event);

struct stwi_net_counts stwi_net_counts(const struct stwi_net *net);
/* The dice of this world: everything random in it is drawn here. */
struct stwi_random *stwi_net_random(struct stwi_net *net);

#endif
