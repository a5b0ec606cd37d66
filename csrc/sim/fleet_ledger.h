/* fleet_ledger.h: the messages of an application in one direction, by number from 1: when each was
 * made, and whether it arrived, late or twice.
 */
#ifndef STWI_SIM_FLEET_LEDGER_H
#define STWI_SIM_FLEET_LEDGER_H

#include "sim/fleet_tally.h"

#define STWI_FLEET_LEDGER 1024u

struct stwi_fleet_ledger {
  uint64_t sent, arrived; /* the last numbers */
  stwi_time made[STWI_FLEET_LEDGER];
};

/* Makes the next message; its number. */
uint64_t stwi_fleet_made(struct stwi_fleet_ledger *ledger, stwi_time now);
/* It arrived; those before it that did not never will. */
void stwi_fleet_arrived(struct stwi_fleet_ledger *ledger, uint64_t number, stwi_time now,
                        struct stwi_fleet_tally *tally);
/* Counts what was made; what is under way at the end is late if it is so already. */
void stwi_fleet_ledger_end(const struct stwi_fleet_ledger *ledger, stwi_time now,
                           struct stwi_fleet_tally *tally);

#endif
