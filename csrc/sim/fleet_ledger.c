#include "sim/fleet_ledger.h"

uint64_t stwi_fleet_made(struct stwi_fleet_ledger *ledger, stwi_time now) {
  ledger->sent++;
  ledger->made[ledger->sent % STWI_FLEET_LEDGER] = now;
  return ledger->sent;
}

/* What is so old that its time was overwritten is late. */
static bool is_late(const struct stwi_fleet_ledger *ledger, uint64_t number, stwi_time now) {
  if (ledger->sent - number >= STWI_FLEET_LEDGER)
    return true;
  return now - ledger->made[number % STWI_FLEET_LEDGER] > STWI_FLEET_LATE;
}

void stwi_fleet_arrived(struct stwi_fleet_ledger *ledger, uint64_t number, stwi_time now,
                        struct stwi_fleet_tally *tally) {
  if (number <= ledger->arrived) {
    stwi_fleet_tally_add(tally, STW_FLEET_DUPLICATES, 1);
    return;
  }
  const uint64_t lost = number - ledger->arrived - 1;
  ledger->arrived = number;
  stwi_fleet_tally_add(tally, STW_FLEET_LOST_MESSAGES, lost);
  stwi_fleet_tally_add(tally, STW_FLEET_LATE, lost + is_late(ledger, number, now));
}

void stwi_fleet_ledger_end(const struct stwi_fleet_ledger *ledger, stwi_time now,
                           struct stwi_fleet_tally *tally) {
  stwi_fleet_tally_add(tally, STW_FLEET_MESSAGES, ledger->sent);
  for (uint64_t number = ledger->arrived + 1; number <= ledger->sent; number++)
    stwi_fleet_tally_add(tally, STW_FLEET_LATE, is_late(ledger, number, now));
}
