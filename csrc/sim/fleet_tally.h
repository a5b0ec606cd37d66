/* fleet_tally.h: what a fleet measures: who had service while the path was usable, how long a
 * fault took to be seen and to be over, which messages came late.
 *
 * Times are of the virtual clock.  Sums are whole numbers, so that parts of a fleet add up to the
 * same in any order.  Owner only.
 */
#ifndef STWI_SIM_FLEET_TALLY_H
#define STWI_SIM_FLEET_TALLY_H

#include <steadwire/sim_fleet.h>

#include "sim/path.h"

#define STWI_FLEET_LATE (2 * STWI_S)

struct stwi_fleet_tally {
  uint64_t values[STW_FLEET_VALUES];
  /* of the client under way */
  stwi_time at;
  bool is_usable, is_serving, has_served;
  uint64_t total_ns, usable_ns, lost_ns;
  uint64_t lost_by_ns[STWI_PATH_SOURCE_COUNT];
  uint64_t false_alarm_ns;
  /* the fault that is not over */
  bool has_fault, is_noticed, is_silent;
  enum stwi_path_source source;
  enum stwi_path_source last_break; /* whom to blame without a fault: flows that survive stall */
  uint64_t usable_at_fault, lost_at_plan;
  bool is_false_alarm; /* service is missing because a flow was left for nothing */
};

/* A client begins; nothing counts before its first service. */
void stwi_fleet_tally_begin(struct stwi_fleet_tally *tally);
/* Time passes up to `now`; from then on the path is usable or not, and there is service or not. */
void stwi_fleet_tally_set(struct stwi_fleet_tally *tally, stwi_time now, bool is_usable,
                          bool is_serving);
/* The flow in use has ended; `is_silent`: nobody tells. */
void stwi_fleet_tally_fault(struct stwi_fleet_tally *tally, stwi_time now,
                            enum stwi_path_source source, bool is_silent);
/* The client does something about it. */
void stwi_fleet_tally_noticed(struct stwi_fleet_tally *tally, stwi_time now);
/* The server's process is about to end; and it ends, when the client has moved already: a fault
 * that took what service was lost between. */
void stwi_fleet_tally_planned(struct stwi_fleet_tally *tally, stwi_time now);
void stwi_fleet_tally_moved(struct stwi_fleet_tally *tally, stwi_time now);
/* It has left a flow that served. */
void stwi_fleet_tally_left(struct stwi_fleet_tally *tally);
void stwi_fleet_tally_end(struct stwi_fleet_tally *tally, stwi_time now);

void stwi_fleet_tally_add(struct stwi_fleet_tally *tally, stw_fleet_count count, uint64_t by);

#endif
