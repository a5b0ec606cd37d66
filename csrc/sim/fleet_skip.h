/* fleet_skip.h: the heartbeats of a client to which nothing else happens, without a step of the
 * simulation for each packet.
 *
 * The same dice are thrown in the same order, and the client's own core takes the answers; so what
 * is measured and logged is the same, byte for byte, as with every step.  What could come of a beat
 * but the next one (a late answer, a fault, a message) is left to the simulation.
 */
#ifndef STWI_SIM_FLEET_SKIP_H
#define STWI_SIM_FLEET_SKIP_H

#include "core/quiet.h"
#include "sim/fleet_world.h"

/* Nothing is under way on the wires of `world`, and nothing happens to it before `until` but what
 * `core` does, which has one conn, in slot 0.  Appends to `effects` what it tells. */
void stwi_fleet_skip(struct stwi_fleet_world *world, struct stwi_core *core,
                     struct stwi_effects *effects, stwi_time until);

#endif
