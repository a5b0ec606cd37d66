/* fleet_peer.h: a client of another policy in the world of a fleet: the retry rule and heartbeat of
 * sim/peers over the same flows, with an application that keeps nothing it cannot send.
 */
#ifndef STWI_SIM_FLEET_PEER_H
#define STWI_SIM_FLEET_PEER_H

#include "sim/fleet_world.h"
#include "sim/peers.h"

/* The heartbeat of `peer` in a fleet; a rule that is only a formula gets 25 s and 20 s, the usual
 * ones (Engine.IO), so that nobody is compared with a client that never notices. */
struct stwi_fleet_heartbeat {
  uint64_t interval_ns, timeout_ns; /* interval 0: none */
};
struct stwi_fleet_heartbeat stwi_fleet_peer_heartbeat(const struct stwi_peer *peer,
                                                      uint64_t interval_ns);

/* Simulates the client from its first dial to the end of time.  E_MEMORY. */
stw_status stwi_fleet_peer_run(const struct stwi_fleet_options *options,
                               const struct stwi_peer *peer, uint64_t client,
                               struct stwi_fleet_tally *tally, struct stwi_fleet_log *log);

#endif
