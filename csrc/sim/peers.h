/* peers.h: how other clients try again: their published retry rules and default heartbeats.
 *
 * Each is a small pure object, so that a herd or a fleet of them meets the same server as ours.
 * None of them reads a close reason or Retry-After.  Where a rule names no time limit for an
 * attempt or no heartbeat, the row says so (10 s, as for all rules that are only a formula; 0).
 * Owner only.
 */
#ifndef STWI_SIM_PEERS_H
#define STWI_SIM_PEERS_H

#include "core/pace.h"

/* X(NAME, slug, base ms, cap ms, patience ms, ping interval ms, ping timeout ms, description).
 * Sources of the rules and figures: peers.c. */
#define STWI_PEER_LIST(X)                                                                          \
  X(FIXED, "fixed", 30000, 30000, 10000, 0, 0, "every 30 s")                                       \
  X(EXPONENTIAL, "exponential", 1000, 30000, 10000, 0, 0, "1, 2, 4 .. 30 s, no jitter")            \
  X(FULL_JITTER, "full-jitter", 1000, 30000, 10000, 0, 0, "U(0, 1, 2, 4 .. 30 s)")                 \
  X(EQUAL_JITTER, "equal-jitter", 1000, 30000, 10000, 0, 0, "half of 1, 2, 4 .. 30 s, half drawn") \
  X(DECORRELATED, "decorrelated", 1000, 30000, 10000, 0, 0, "U(1 s, 3 x the last), at most 30 s")  \
  X(GRPC, "grpc", 1000, 120000, 20000, 0, 0,                                                       \
    "at once, then 1 s x 1.6, 20 % jitter, at most 120 s")                                         \
  X(SOCKETIO, "socketio", 1000, 5000, 20000, 25000, 20000, "1, 2, 4, 5 s, 50 % jitter")            \
  X(PHOENIX, "phoenix", 10, 5000, 240000, 30000, 30000, "10, 50 .. 2000 ms, then 5 s, no jitter")  \
  X(SIGNALR, "signalr", 0, 30000, 15000, 15000, 30000, "0, 2, 10, 30 s, then gives up")            \
  X(WEBSOCKETS, "websockets", 3100, 90000, 10000, 20000, 20000,                                    \
    "at once, U(0, 5 s), then 3.1 s x 1.618, at most 90 s")

enum stwi_peer_kind {
#define STW_X(name, slug, base, cap, patience, interval, timeout, text) STWI_PEER_##name,
  STWI_PEER_LIST(STW_X)
#undef STW_X
      STWI_PEER_COUNT
};

struct stwi_peer {
  enum stwi_peer_kind kind;
  const char *name;
  const char *description;
  uint64_t base_ns, cap_ns;
  uint64_t patience_ns;      /* an attempt is given up after it */
  uint64_t ping_interval_ns; /* 0: no heartbeat by default */
  uint64_t ping_timeout_ns;  /* without an answer for so long after a ping the link is given up */
};

/* Lends a row; NULL past the last. */
const struct stwi_peer *stwi_peer_at(size_t kind);
/* By its name; NULL if there is none. */
const struct stwi_peer *stwi_peer_named(const char *name);

/* One client that retries so. */
struct stwi_peer_retry {
  const struct stwi_peer *peer;
  uint32_t failures; /* calls of stwi_peer_next since the last reset */
  uint64_t delay_ns; /* the last delay */
};

void stwi_peer_init(struct stwi_peer_retry *retry, enum stwi_peer_kind kind);
/* At `now` a link was lost (the first call after init or reset), or the attempt that began at
 * `began` failed: the time of the next attempt, never before `now`; STWI_NEVER: it gives up. */
stwi_time stwi_peer_next(struct stwi_peer_retry *retry, stwi_time began, stwi_time now,
                         struct stwi_random *random);
/* A link is up: back to the first delay. */
void stwi_peer_reset(struct stwi_peer_retry *retry);

#endif
