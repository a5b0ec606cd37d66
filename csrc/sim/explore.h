/* explore.h: lives from seeds: what steadwire/sim_explore.h promises, and the world after a life
 * for those who look closer.
 */
#ifndef STWI_SIM_EXPLORE_H
#define STWI_SIM_EXPLORE_H

#include "sim/world.h"

/* Lives the life of `seed` to its end and lends the world, `broken` or not, to be freed by the
 * caller; NULL without memory. */
struct stwi_world *stwi_explore_live(uint64_t seed, stw_explore_profile profile,
                                     stw_explore_plant plant, bool has_trace, uint32_t *conns);

#endif
