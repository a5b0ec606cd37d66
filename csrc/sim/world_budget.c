#include "sim/world_inside.h"

/* One attempt of a full rate, as core/budget.c has it: 10 and one for each conn at once, then one
 * per 6 s.  Three times that, as up to three attempts race. */
#define ATTEMPT (6 * STWI_S)
#define RACED 3u
#define BURST 10u
#define HEDGE_EACH (10 * STWI_S)
#define HEDGE_BURST 2u
#define HEDGE_OF_ATTEMPTS 5u /* 20 % */

static void fill(struct stwi_world *world, struct stwi_world_server *server) {
  const uint64_t full = RACED * (BURST + world->conn_count) * ATTEMPT;
  const uint64_t rate = RACED;
  if (server->allowance_at == 0)
    server->allowance_ns = full;
  else if (server->allowance_ns < full)
    server->allowance_ns += rate * (world->now - server->allowance_at);
  server->allowance_at = world->now;
}

void stwi_world_budget_dial(struct stwi_world *world, struct stwi_world_server *server) {
  if (!world->counts_attempts)
    return;
  fill(world, server);
  stwi_world_looked(world, STW_RULE_BUDGET);
  if (server->allowance_ns >= ATTEMPT)
    server->allowance_ns -= ATTEMPT;
  else
    stwi_world_break(world, STW_RULE_BUDGET, "%s gets more attempts than its budget has",
                     server->name);
}

void stwi_world_budget_give(struct stwi_world *world, struct stwi_world_server *server) {
  fill(world, server);
  server->allowance_ns += ATTEMPT;
}

void stwi_world_budget_young(struct stwi_world *world, const struct stwi_world_link *link) {
  struct stwi_world_server *server = link->server;
  if (!link->is_accepted || world->now - link->accepted_at >= STWI_STABLE_AFTER)
    return;
  fill(world, server);
  server->allowance_ns -= stwi_earlier(server->allowance_ns, ATTEMPT);
}

void stwi_world_budget_call(struct stwi_world *world, uint64_t attempts) {
  for (uint32_t i = 0; i < world->server_count; i++) {
    fill(world, &world->servers[i]);
    world->servers[i].allowance_ns += attempts * ATTEMPT;
  }
}

void stwi_world_budget_hedges(struct stwi_world *world, uint32_t slot) {
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  const uint64_t age = world->now - world->conns[slot].opened_at;
  const uint64_t hedges = inside->metrics[STW_METRIC_HEDGES];
  const uint64_t attempts = inside->metrics[STW_METRIC_ATTEMPTS] - hedges;
  stwi_world_looked(world, STW_RULE_HEDGES);
  if (hedges > HEDGE_BURST + age / HEDGE_EACH + (attempts + HEDGE_OF_ATTEMPTS) / HEDGE_OF_ATTEMPTS)
    stwi_world_break(world, STW_RULE_HEDGES, "conn %u: %llu hedges beside %llu attempts", slot,
                     (unsigned long long)hedges, (unsigned long long)attempts);
}
