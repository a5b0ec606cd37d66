#include "sim/world_inside.h"

static void plant_at(struct stwi_world *world, struct stwi_conn *conn) {
  const bool is_waiting = conn->state == STW_STATE_WAITING;
  switch (world->plant) {
  case STW_PLANT_NO_TIMER:
    if (is_waiting && stwi_world_plants(world, world->plant))
      conn->next_at = 0;
    break;
  case STW_PLANT_NO_HEDGE_BUDGET:
    stwi_hedge_init(&conn->hedges, world->now);
    break;
  case STW_PLANT_EARLY_RESET:
    if (conn->active != NULL && conn->active->phase == STW_PHASE_UP)
      conn->pace.attempts = 0;
    break;
  default:
    return;
  }
  stwi_conn_dirty(conn);
}

void stwi_world_plant(struct stwi_world *world) {
  for (uint32_t slot = 0; slot < world->conn_count; slot++) {
    struct stwi_conn *conn = world->conns[slot].is_open ? world->core->conns[slot] : NULL;
    if (conn != NULL && !conn->has_ended)
      plant_at(world, conn);
  }
}
