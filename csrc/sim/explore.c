#include "sim/explore.h"

#include "sim/explore_plan.h"
#include "sim/fleet_codec.h"
#include "sim/world_inside.h"

#include <stdlib.h>

#define ACTS_MAX 60u
/* After a hint of ten minutes and an overload windows of ten minutes may follow, one of them for a
 * name that nobody has. */
#define BACK_WITHIN (5000 * STWI_S)

static uint64_t pause_length(struct stwi_explore_life *life) {
  static const uint64_t upto_ms[] = {1, 50, 1000, 8000};
  return stwi_explore_roll(life, upto_ms[stwi_explore_roll(life, 4)]) * STWI_MS;
}

static void act(struct stwi_explore_life *life) {
  stwi_explore_host_duties(life);
  if (life->world->broken[0] != '\0')
    return;
  if (stwi_explore_roll(life, 2) == 0)
    stwi_explore_host_acts(life);
  else
    stwi_explore_fault(life);
  stwi_world_run(life->world, pause_length(life));
}

/* ---- when the faults are over ---- */

static bool is_final(stw_state state) {
  return state == STW_STATE_CLOSED || state == STW_STATE_FAILED;
}

static bool is_back(const struct stwi_explore_life *life, uint32_t index) {
  const struct stwi_world_conn *conn = &life->world->conns[life->conns[index].slot];
  return is_final(conn->state) ||
         stwi_conn_is_live(stwi_world_inside(life->world, life->conns[index].slot));
}

static bool is_delivered(const struct stwi_explore_life *life, uint32_t index) {
  const uint32_t slot = life->conns[index].slot;
  return is_final(life->world->conns[slot].state) ||
         stwi_conn_is_delivered(stwi_world_inside(life->world, slot));
}

static bool is_all_well(struct stwi_world *world, void *context) {
  struct stwi_explore_life *life = context;
  stwi_explore_host_duties(life);
  for (uint32_t i = 0; i < life->count && world->broken[0] == '\0'; i++)
    if (!is_back(life, i) || !is_delivered(life, i))
      return false;
  return true;
}

static void come_back(struct stwi_explore_life *life) {
  struct stwi_world *world = life->world;
  const bool is_well = stwi_world_run_until(world, is_all_well, life, BACK_WITHIN);
  for (uint32_t i = 0; i < life->count && !is_well; i++) {
    const uint32_t slot = life->conns[i].slot;
    if (!is_back(life, i))
      stwi_world_break(world, STW_RULE_BACK, "conn %u is still %s, %.0f s after the last fault",
                       slot, stw_state_at((size_t)world->conns[slot].state)->name,
                       (double)BACK_WITHIN / 1e9);
    else if (!is_delivered(life, i))
      stwi_world_break(world, STW_RULE_DELIVERED,
                       "conn %u still has undelivered messages, %.0f s after the last fault", slot,
                       (double)BACK_WITHIN / 1e9);
  }
  for (uint32_t i = 0; i < life->count; i++) {
    stwi_world_looked(world, STW_RULE_BACK);
    stwi_world_looked(world, STW_RULE_DELIVERED);
  }
}

/* ---- the end ---- */

static void close_all(struct stwi_explore_life *life) {
  struct stwi_world *world = life->world;
  for (uint32_t i = 0; i < life->count && world->broken[0] == '\0'; i++)
    stwi_world_close(world, life->conns[i].slot, stwi_explore_roll(life, 3000) * STWI_MS);
  stwi_world_run(world, 8 * STWI_S);
}

static void release_all(struct stwi_explore_life *life) {
  struct stwi_world *world = life->world;
  for (uint32_t i = 0; i < life->count && world->broken[0] == '\0'; i++)
    stwi_world_forget(world, life->conns[i].slot);
  if (world->broken[0] != '\0')
    return;
  stwi_world_run(world, STWI_S);
  stwi_world_looked(world, STW_RULE_RELEASED);
  const struct stwi_core *core = world->core;
  if (stwi_core_deadline(core) != STWI_NEVER || core->lent != NULL || core->dirty != NULL)
    stwi_world_break(world, STW_RULE_RELEASED, "the core still waits for something");
  for (uint32_t i = 0; i < life->count; i++)
    if (!stwi_world_is_gone(&world->conns[life->conns[i].slot]))
      stwi_world_break(world, STW_RULE_RELEASED, "a link of conn %u is still there",
                       life->conns[i].slot);
}

static void live(struct stwi_explore_life *life) {
  struct stwi_world *world = life->world;
  stwi_explore_begin(life);
  for (uint64_t left = stwi_explore_roll(life, ACTS_MAX); left > 0 && world->broken[0] == '\0';
       left--)
    act(life);
  if (world->broken[0] == '\0')
    stwi_explore_mend(life);
  if (world->broken[0] == '\0')
    come_back(life);
  stwi_world_check(world);
  close_all(life);
  stwi_world_check(world);
  release_all(life);
}

struct stwi_world *stwi_explore_live(uint64_t seed, stw_explore_profile profile,
                                     stw_explore_plant plant, bool has_trace, uint32_t *conns) {
  struct stwi_explore_life life = {.profile = profile};
  stwi_random_seed(&life.dice, stwi_random_stream(seed, 0, 0));
  life.world = stwi_world_new(stwi_random_next(&life.dice), &stwi_fleet_codec);
  if (life.world == NULL)
    return NULL;
  if (profile == STW_EXPLORE_PROFILE_ANY)
    life.profile =
        stwi_explore_roll(&life, 2) == 0 ? STW_EXPLORE_PROFILE_PLAIN : STW_EXPLORE_PROFILE_SESSION;
  life.world->plant = plant;
  life.world->log.is_on = has_trace;
  live(&life);
  *conns = life.count;
  return life.world;
}
