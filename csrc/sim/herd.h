/* herd.h: N clients dropped in one moment, t = 0, and the server they come back to.
 *
 * Ours decide with the objects of the product: stwi_cause_pace, stwi_pace_patience, the attempt
 * budget, and stwi_hint_parse on the reason of a real close.  tests/sim/test_herd.c proves that a
 * whole engine core, in the same herd, dials at the same nanoseconds.  Others decide by
 * sim/peers.h.  Between client and server there is no latency, so attempts are refused at once.
 *
 * A client depends on others only through the server, and its stream of random numbers only on
 * (seed, client): the same seed gives the same herd, in whatever order or thread it is computed.
 * Owner only.
 */
#ifndef STWI_SIM_HERD_H
#define STWI_SIM_HERD_H

#include <steadwire/sim_herd.h>

#include "core/input.h"
#include "sim/herd_server.h"
#include "sim/peers.h"

/* X(NAME, slug, description): ours, ahead of the peers. */
#define STWI_HERD_OWN_LIST(X)                                                                      \
  X(HINTED, "steadwire", "obeys the hint in the close and Retry-After")                            \
  X(UNHINTED, "steadwire-nohint", "no hint in the close: windows of its own; obeys Retry-After")

enum stwi_herd_own {
#define STW_X(name, slug, text) STWI_HERD_##name,
  STWI_HERD_OWN_LIST(STW_X)
#undef STW_X
      STWI_HERD_OWN_COUNT
};

#define STWI_HERD_POLICY_COUNT (STWI_HERD_OWN_COUNT + STWI_PEER_COUNT)
#define STWI_HERD_PATIENCE (5 * STWI_S)   /* the product's open_timeout */
#define STWI_HERD_RETRY_CAP (60 * STWI_S) /* the product's retry_cap */
#define STWI_HERD_STOP_LEAST (1200 * STWI_S)

struct stwi_herd_attempt {
  stwi_time at;
  uint32_t client;
  enum stwi_herd_answer answer;
};

struct stwi_herd_config {
  uint32_t clients;
  uint32_t policy;
  uint64_t capacity; /* handshakes a second */
  uint64_t down_ns;  /* the server is back then, and a hint says so */
  bool is_naive;
  bool has_appointments;
  uint64_t retry_window_ns; /* ours: the first window without a hint */
  uint64_t seed;
  stwi_time stop_at; /* 0: STWI_HERD_STOP_LEAST, or twice the optimum if that is later */
  /* For tests: every attempt is also written here, as far as there is room.  May be NULL. */
  struct stwi_herd_attempt *log;
  size_t log_room;
};

struct stwi_herd {
  struct stwi_herd_config config;
  uint64_t attempts, refused, abandoned;
  uint32_t reconnected;
  stwi_time *reconnected_at; /* in their order */
  stw_herd_second *seconds;  /* within each second */
  uint32_t second_count;
  uint64_t digest; /* of every attempt, whatever the order of computing them */
};

/* When the last client could be back at best: down + N / C. */
stwi_time stwi_herd_optimum(const struct stwi_herd_config *config);

/* What the server says in the reason of its close: after `down`, over N / 0.8 C. */
void stwi_herd_reason(const struct stwi_herd_config *config, char *reason, size_t size);

/* Runs the herd to its stop, or until everybody is back.  False without memory. */
bool stwi_herd_run(struct stwi_herd *herd, const struct stwi_herd_config *config);
void stwi_herd_fini(struct stwi_herd *herd);

/* Most attempts in one second, as a multiple of the capacity. */
double stwi_herd_peak(const struct stwi_herd *herd);
/* When this share of all clients, in percent, is back; STWI_NEVER if it never was. */
stwi_time stwi_herd_time(const struct stwi_herd *herd, unsigned percent);

#endif
