#include "sim/peers.h"

#include <string.h>

/* Sources.
 *
 * fixed         setInterval-like loops; the usual worst case.
 * exponential, full, equal, decorrelated
 *               "Exponential Backoff And Jitter", AWS architecture blog, 2015; base 1 s, cap 30 s.
 * grpc          grpc/grpc doc/connection-backoff.md: a lost link is dialled again at once; the time
 *               to the next attempt counts from the start of the last one; the first is not
 *               jittered; minimum connect timeout 20 s.  Keepalive is off by default.
 * socketio      socket.io-client manager.ts: reconnectionDelay 1000, reconnectionDelayMax 5000,
 *               randomizationFactor 0.5, timeout 20000, through its Backoff; engine.io server:
 *               pingInterval 25000, pingTimeout 20000.
 * phoenix       phoenix socket.js: reconnectAfterMs, heartbeatIntervalMs 30000, and a heartbeat is
 *               late when the next one is due.  No limit for an attempt: that of Chromium, 240 s
 *               (net/websockets/websocket_stream.cc).
 * signalr       @microsoft/signalr DefaultReconnectPolicy.ts; HubConnection.ts: keep-alive 15 s,
 *               server timeout 30 s; handshake timeout 15 s of the server's HubOptions.
 * websockets    Python websockets 17, client.py: backoff(); asyncio/client.py: ping_interval 20,
 *               ping_timeout 20, open_timeout 10.  A lost link is dialled again at once.
 */
static const struct stwi_peer peers[] = {
#define STW_X(name, slug, base, cap, patience, interval, timeout, text)                            \
  {STWI_PEER_##name,                                                                               \
   slug,                                                                                           \
   text,                                                                                           \
   (base)*STWI_MS,                                                                                 \
   (cap)*STWI_MS,                                                                                  \
   (patience)*STWI_MS,                                                                             \
   (interval)*STWI_MS,                                                                             \
   (timeout)*STWI_MS},
    STWI_PEER_LIST(STW_X)
#undef STW_X
};

const struct stwi_peer *stwi_peer_at(size_t kind) {
  return kind < STWI_PEER_COUNT ? &peers[kind] : NULL;
}

const struct stwi_peer *stwi_peer_named(const char *name) {
  for (size_t kind = 0; kind < STWI_PEER_COUNT; kind++) {
    if (strcmp(peers[kind].name, name) == 0)
      return &peers[kind];
  }
  return NULL;
}

void stwi_peer_init(struct stwi_peer_retry *retry, enum stwi_peer_kind kind) {
  *retry = (struct stwi_peer_retry){.peer = &peers[kind]};
}

void stwi_peer_reset(struct stwi_peer_retry *retry) {
  stwi_peer_init(retry, retry->peer->kind);
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* Uniform in [from, to). */
static uint64_t between(struct stwi_random *random, uint64_t from, uint64_t to) {
  return from + stwi_random_below(random, to - from);
}

/* base * 2^(failures - 1), at most `cap`. */
static uint64_t doubled(const struct stwi_peer_retry *retry, uint64_t cap) {
  const uint32_t bits = retry->failures - 1;
  const uint64_t base = retry->peer->base_ns;
  return bits >= 32 ? cap : least(base << bits, cap);
}

/* The last delay times a factor in thousandths; the base for the first. */
static uint64_t grown(const struct stwi_peer_retry *retry, uint64_t thousandths, bool is_first) {
  if (is_first)
    return retry->peer->base_ns;
  return least(retry->delay_ns * thousandths / 1000, retry->peer->cap_ns);
}

/* Its Backoff draws once, for the size of the deviation and, by an even or odd tenth, for its side;
 * the cap comes last. */
static uint64_t socketio(const struct stwi_peer_retry *retry, struct stwi_random *random) {
  enum { PARTS = 1000000 };
  const uint64_t delay = doubled(retry, UINT64_MAX / PARTS);
  const uint64_t drawn = stwi_random_below(random, PARTS);
  const uint64_t deviation = delay / 2 * drawn / PARTS;
  const bool is_even = drawn * 10 / PARTS % 2 == 0;
  return least(is_even ? delay - deviation : delay + deviation, retry->peer->cap_ns);
}

static uint64_t phoenix(const struct stwi_peer_retry *retry) {
  static const uint64_t steps_ms[] = {10, 50, 100, 150, 200, 250, 500, 1000, 2000};
  const uint32_t step = retry->failures - 1;
  return step < sizeof steps_ms / sizeof steps_ms[0] ? steps_ms[step] * STWI_MS
                                                     : retry->peer->cap_ns;
}

static uint64_t signalr(const struct stwi_peer_retry *retry) {
  static const uint64_t steps_ms[] = {0, 2000, 10000, 30000};
  const uint32_t step = retry->failures - 1;
  return step < sizeof steps_ms / sizeof steps_ms[0] ? steps_ms[step] * STWI_MS : STWI_NEVER;
}

/* delay_ns is kept without its jitter: the backoff grows from it. */
static stwi_time grpc(struct stwi_peer_retry *retry, stwi_time began, stwi_time now,
                      struct stwi_random *random) {
  if (retry->failures == 1)
    return now;
  const bool is_first = retry->failures == 2;
  retry->delay_ns = grown(retry, 1600, is_first);
  const uint64_t jitter = is_first ? 0 : retry->delay_ns / 5;
  const stwi_time at = began + retry->delay_ns - jitter + stwi_random_below(random, 2 * jitter + 1);
  return at > now ? at : now;
}

static uint64_t websockets(const struct stwi_peer_retry *retry, struct stwi_random *random) {
  switch (retry->failures) {
  case 1:
    return 0;
  case 2:
    return stwi_random_below(random, 5 * STWI_S);
  default:
    return grown(retry, 1618, retry->failures == 3);
  }
}

static uint64_t delay_of(const struct stwi_peer_retry *retry, struct stwi_random *random) {
  const struct stwi_peer *peer = retry->peer;
  const uint64_t delay = doubled(retry, peer->cap_ns);
  switch (peer->kind) {
  case STWI_PEER_EXPONENTIAL:
    return delay;
  case STWI_PEER_FULL_JITTER:
    return stwi_random_below(random, delay);
  case STWI_PEER_EQUAL_JITTER:
    return between(random, delay / 2, delay);
  case STWI_PEER_DECORRELATED:
    return least(between(random, peer->base_ns, 3 * grown(retry, 1000, retry->failures == 1)),
                 peer->cap_ns);
  case STWI_PEER_SOCKETIO:
    return socketio(retry, random);
  case STWI_PEER_PHOENIX:
    return phoenix(retry);
  case STWI_PEER_SIGNALR:
    return signalr(retry);
  case STWI_PEER_WEBSOCKETS:
    return websockets(retry, random);
  case STWI_PEER_FIXED:
  case STWI_PEER_GRPC:
  case STWI_PEER_COUNT:
    break;
  }
  return peer->base_ns;
}

stwi_time stwi_peer_next(struct stwi_peer_retry *retry, stwi_time began, stwi_time now,
                         struct stwi_random *random) {
  if (retry->failures < UINT32_MAX)
    retry->failures++;
  if (retry->peer->kind == STWI_PEER_GRPC)
    return grpc(retry, began, now, random);
  const uint64_t delay = delay_of(retry, random);
  if (delay == STWI_NEVER)
    return STWI_NEVER;
  retry->delay_ns = delay;
  return now + delay;
}
