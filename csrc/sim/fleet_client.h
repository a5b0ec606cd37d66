/* fleet_client.h: a client of the policy steadwire: the real engine core, with one conn of profile
 * session, in the world of a fleet.
 */
#ifndef STWI_SIM_FLEET_CLIENT_H
#define STWI_SIM_FLEET_CLIENT_H

#include "sim/fleet_world.h"

/* Simulates the client from its first dial to the end of time.  E_MEMORY; E_STATE: the core broke
 * a promise, *why (static) says which. */
stw_status stwi_fleet_client_run(const struct stwi_fleet_options *options, uint64_t client,
                                 struct stwi_fleet_tally *tally, struct stwi_fleet_log *log,
                                 const char **why);

#endif
