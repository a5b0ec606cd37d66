/* endpoint.h: what was learnt about a server address.  Shared by all conns of an engine core, found
 * by scheme://host:port; what its attempts are paid from is in core/accounts.h.
 */
#ifndef STWI_CORE_ENDPOINT_H
#define STWI_CORE_ENDPOINT_H

#include "core/idle.h"
#include "core/pace.h"

struct stwi_endpoint {
  struct stwi_endpoint *next;
  char *key;
  uint32_t conns; /* that name it in their url list */
  bool has_pong;  /* it has answered a PING once */
  bool is_mute;   /* no_pong: it answers none; settle at written */
  stwi_time mute_since;
  uint64_t connect_ns;     /* shortest connect seen: no answer comes much sooner; 0: none seen */
  uint32_t mute_strikes;   /* links in a row that ended with an unanswered PING */
  bool is_acquitted;       /* unasked links died young too: it is not the PINGs */
  bool is_single;          /* it closes the old link when a candidate comes: never hedge */
  struct stwi_idles idles; /* how long its links may be silent */
};

struct stwi_endpoints {
  struct stwi_endpoint *first;
};

/* Finds or makes; counts one conn more.  NULL without memory. */
struct stwi_endpoint *stwi_endpoint_hold(struct stwi_endpoints *endpoints, const char *key);
/* Counts one conn less.  What was learnt stays until 64 unused endpoints are kept. */
void stwi_endpoint_drop(struct stwi_endpoints *endpoints, struct stwi_endpoint *endpoint);
void stwi_endpoints_fini(struct stwi_endpoints *endpoints);

/* A connect took so long: one round trip, and what both ends and lost packets added. */
void stwi_endpoint_connected(struct stwi_endpoint *endpoint, uint64_t ns);

/* An answered PING: it is not mute.  True: it was held to be. */
bool stwi_endpoint_ponged(struct stwi_endpoint *endpoint);
/* A link ended that was up and had not answered its PINGs.  Two in a row, and never an answer from
 * this endpoint before: it is mute.  True: the PINGs may be to blame, so the next link shows more
 * than waiting does. */
bool stwi_endpoint_mute_strike(struct stwi_endpoint *endpoint, stwi_time now);
/* A new link came up: after 10 minutes of muteness it is asked once more, which is true then. */
bool stwi_endpoint_mute_retry(struct stwi_endpoint *endpoint, stwi_time now);
/* A link that was never asked died young too: the PINGs were not to blame.  True: it was held to be
 * mute. */
bool stwi_endpoint_mute_clear(struct stwi_endpoint *endpoint);

#endif
