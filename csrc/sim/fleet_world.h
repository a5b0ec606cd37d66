/* fleet_world.h: what the clients of a fleet have in common, whatever their policy: a path, flows,
 * an application that talks both ways, what is measured, and the log.
 *
 * A policy gets what happens and answers with dials, sends and hang-ups; the world keeps the time.
 */
#ifndef STWI_SIM_FLEET_WORLD_H
#define STWI_SIM_FLEET_WORLD_H

#include "sim/fleet_ledger.h"
#include "sim/fleet_wire.h"

#include <stdio.h>

/* IP, TCP with timestamps and a TLS record around a packet. */
#define STWI_FLEET_OVERHEAD_BYTES 74u

struct stwi_fleet_options {
  const struct stwi_path_profile *profile;
  uint64_t seed, interval_ns, idle_interval_ns;
  bool is_idle_learnt;
  stwi_time end;
  bool has_no_hints, has_no_drain, has_no_hedge, is_event_level;
  const struct stwi_path_step *steps;
  size_t step_count;
};

/* Lines of text; a fleet without a log has none. */
struct stwi_fleet_log {
  char *text;
  size_t size, capacity;
  bool is_on, is_out_of_memory;
};

enum stwi_fleet_stream { /* beside those of the path */
                         STWI_FLEET_STREAM_DOWN = 100,
                         STWI_FLEET_STREAM_UP,
                         STWI_FLEET_STREAM_CLIENT,
                         STWI_FLEET_STREAM_SERVER
};

struct stwi_fleet_world {
  const struct stwi_fleet_options *options;
  struct stwi_fleet_tally *tally;
  struct stwi_fleet_log *log;
  uint64_t client;
  stwi_time now;
  struct stwi_path path;
  stwi_time path_at;
  struct stwi_fleet_wire wire;
  struct stwi_random talk[2]; /* by way */
  stwi_time talk_at[2];
  struct stwi_fleet_ledger ledgers[2];
  stwi_time drained_at; /* links from before belong to a process that goes; 0: none does */
  bool has_drained;     /* the flow in use was among them */
  uint32_t in_use;      /* the flow that the client uses; STWI_FLEET_LINKS_MAX: none */
};

/* What a policy does with what happens.  `of` is the policy's own client. */
struct stwi_fleet_policy {
  stwi_time (*due)(void *of);
  void (*timer)(void *of);
  void (*event)(void *of, const struct stwi_fleet_event *event);
  void (*told)(void *of, enum stwi_path_kind kind); /* NET_DOWN, NET_UP, NET_CHANGED, WAKE */
  void (*drain)(void *of);
  void (*stop)(void *of, uint32_t link); /* the process at its end goes */
  void (*talk)(void *of, enum stwi_fleet_way way, uint64_t number);
  /* Lives through the heartbeats that are over before `until`, where nothing else is under way;
   * what is left is the same as with every step of them.  NULL: the policy cannot. */
  void (*skip)(void *of, stwi_time until);
};

void stwi_fleet_world_init(struct stwi_fleet_world *world, const struct stwi_fleet_options *options,
                           uint64_t client, struct stwi_fleet_tally *tally,
                           struct stwi_fleet_log *log);
void stwi_fleet_world_run(struct stwi_fleet_world *world, const struct stwi_fleet_policy *policy,
                          void *of);
void stwi_fleet_world_fini(struct stwi_fleet_world *world);

/* The client uses this flow from now on; STWI_FLEET_LINKS_MAX: none. */
void stwi_fleet_use(struct stwi_fleet_world *world, uint32_t link);
/* The client looks elsewhere: it has seen that something is wrong; `is_alarm`: by itself. */
void stwi_fleet_noticed(struct stwi_fleet_world *world, bool is_alarm);
void stwi_fleet_world_arrived(struct stwi_fleet_world *world, enum stwi_fleet_way way,
                              uint64_t number);
void stwi_fleet_heartbeat(struct stwi_fleet_world *world, size_t bytes);
/* When a proxy on the way forgets the flow in use unless something comes over it. */
stwi_time stwi_fleet_forgets(const struct stwi_fleet_world *world);
void stwi_fleet_say(struct stwi_fleet_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
