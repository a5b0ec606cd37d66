/* path.h: what happens to the network of one client, in the order of virtual time.
 *
 * Each kind of fault has its own stream of random numbers, seeded by (seed, client, stream), so
 * that no kind moves another and no client depends on those simulated before it.  The clock is that
 * of a machine that is awake: a sleep takes no time, only its consequences are told.
 *
 * Sources of the figures: mahimahi driving traces and NUWiNS pings for gaps and round trips; the
 * rates of outages, handovers, sleeps and silent deaths are assumptions (docs/fault_model.md).
 */
#ifndef STWI_SIM_PATH_H
#define STWI_SIM_PATH_H

#include "core/pace.h"

enum stwi_path_source {
  STWI_PATH_GAP,      /* the radio is gone for a moment; flows survive */
  STWI_PATH_OUTAGE,   /* no network for a while; half of them end every flow */
  STWI_PATH_KILL,     /* every flow is forgotten on the way, and nobody is told */
  STWI_PATH_HANDOVER, /* another network, another address */
  STWI_PATH_SLEEP,    /* the machine slept; four in five end every flow */
  STWI_PATH_DEPLOY,   /* the server's process is replaced; others serve */
  STWI_PATH_CRASH,    /* its machine is gone without a word; others serve */
  STWI_PATH_SOURCE_COUNT
};

/* One profile of clients: every parameter of the fault model that differs between them. */
struct stwi_path_profile {
  const char *name;
  double calm_gaps_per_hour, driving_gaps_per_hour; /* driving: two hours of every day */
  double per_day[STWI_PATH_SOURCE_COUNT];           /* GAP: 0, see above */
  uint64_t rtt_ns;                                  /* median */
  double rtt_sigma;                                 /* of its logarithm */
  uint64_t handshake_ns;                            /* median: TCP, TLS and upgrade */
  double handshake_sigma;
  uint64_t rto_ns; /* first retransmission of a flow; doubles */
};
/* Walks the table; NULL at the end. */
const struct stwi_path_profile *stwi_path_profile_at(size_t index);

enum stwi_path_kind {
  STWI_PATH_BREAKS, /* packets are lost from now on; `ends_flows` */
  STWI_PATH_MENDS,
  STWI_PATH_DIES, /* flows end without a word, the path goes on; `ends_flows` unless they survive */
  STWI_PATH_NET_DOWN, /* what the operating system says, a moment after it happened */
  STWI_PATH_NET_UP,
  STWI_PATH_NET_CHANGED,
  STWI_PATH_WAKE,
  STWI_PATH_DRAIN, /* the server's process asks its clients to move, ... */
  STWI_PATH_STOP   /* ... and ends what links it still has */
};

struct stwi_path_event {
  enum stwi_path_kind kind;
  enum stwi_path_source source;
  bool ends_flows;
  bool is_told; /* the system or the server will tell of it */
};

/* One interval of a trace. */
struct stwi_path_step {
  stwi_time at;
  uint64_t rtt_ns;  /* 0: the profile's */
  uint32_t address; /* a change of it ends every flow */
  bool is_up;
};

struct stwi_path_stream {
  struct stwi_random random;
  stwi_time due;
  stwi_time ends_at;
  uint8_t phase;
  bool ends_flows, is_visible;
};

struct stwi_path {
  const struct stwi_path_profile *profile;
  struct stwi_path_stream streams[STWI_PATH_SOURCE_COUNT];
  struct stwi_random dice;            /* round trips */
  const struct stwi_path_step *steps; /* a trace in place of the streams; NULL: none */
  size_t step_count, step_at;
  uint8_t step_phase;
  uint32_t broken; /* faults that hold the path down now */
  bool is_behind_proxy;
};

/* Uniform in [0, 1), and the usual shapes on top of it. */
double stwi_path_uniform(struct stwi_random *random);
uint64_t stwi_path_exponential(struct stwi_random *random, double mean_ns);
uint64_t stwi_path_pareto(struct stwi_random *random, uint64_t least_ns, double alpha);
uint64_t stwi_path_lognormal(struct stwi_random *random, uint64_t median_ns, double sigma);

/* Borrows `profile`. */
void stwi_path_init(struct stwi_path *path, const struct stwi_path_profile *profile, uint64_t seed,
                    uint64_t client);
/* ... and `steps`, in ascending order, which take the place of every fault. */
void stwi_path_replay(struct stwi_path *path, const struct stwi_path_step *steps, size_t count);
stwi_time stwi_path_due(const struct stwi_path *path); /* of the next event */
/* Takes it. */
struct stwi_path_event stwi_path_take(struct stwi_path *path);
/* Packets get through. */
bool stwi_path_is_up(const struct stwi_path *path);
uint64_t stwi_path_one_way(struct stwi_path *path);   /* of one packet */
uint64_t stwi_path_handshake(struct stwi_path *path); /* of one attempt */

#endif
