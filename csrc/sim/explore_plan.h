/* explore_plan.h: one life: which conns with which options meet which servers, and who does what.
 *
 * Everything is drawn from the seed of the life.  Owner only.
 */
#ifndef STWI_SIM_EXPLORE_PLAN_H
#define STWI_SIM_EXPLORE_PLAN_H

#include "sim/world.h"

#define STWI_EXPLORE_CONNS_MAX 3u

struct stwi_explore_conn {
  uint64_t seed;     /* of its options: those of every process in its slot */
  const char *names; /* of its servers */
  bool has_store, is_forgotten;
  uint32_t lag, slot;
};

struct stwi_explore_life {
  struct stwi_world *world;
  struct stwi_random dice;
  stw_explore_profile profile; /* PLAIN or SESSION */
  struct stwi_explore_conn conns[STWI_EXPLORE_CONNS_MAX];
  uint32_t count;
  bool is_flaky;  /* its hosts answer when they feel like it */
  bool was_plain; /* a server has spoken no steadwire.v1 for a while */
};

/* A number below `below`, of this life. */
uint64_t stwi_explore_roll(struct stwi_explore_life *life, uint64_t below);

/* Makes the servers and opens the conns. */
void stwi_explore_begin(struct stwi_explore_life *life);
/* The options of a conn; NULL without memory. */
struct stwi_conn_config *stwi_explore_config(const struct stwi_explore_life *life, uint32_t index);

/* explore_host.c: what hosts do */
void stwi_explore_host_acts(struct stwi_explore_life *life);
/* What every host does by itself: answers, says ready, processed; always, unless it is flaky. */
void stwi_explore_host_duties(struct stwi_explore_life *life);

/* explore_faults.c: what goes wrong, and how it is mended */
void stwi_explore_fault(struct stwi_explore_life *life);
void stwi_explore_mend(struct stwi_explore_life *life);

#endif
