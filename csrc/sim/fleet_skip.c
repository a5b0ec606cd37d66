#include "sim/fleet_skip.h"

/* A beat is a question that leaves, arrives, and is answered. */
enum { STEPS = 3 };

struct spell {
  struct stwi_fleet_world *world;
  struct stwi_fleet_flow *flow;
  struct stwi_quiet quiet;
  struct stwi_effects *effects;
  stwi_time until;
};

/* False, and nothing has happened: it is not only a beat. */
static bool beat(const struct spell *spell) {
  struct stwi_fleet_world *world = spell->world;
  const stwi_time asks = stwi_quiet_asks(&spell->quiet);
  if (asks >= spell->until || asks >= stwi_fleet_forgets(world))
    return false;
  const struct stwi_random dice = world->path.dice;
  const stwi_time there = asks + stwi_path_one_way(&world->path);
  const stwi_time back = there + stwi_path_one_way(&world->path);
  if (back >= spell->until || !stwi_quiet_beat(&spell->quiet, back, spell->effects)) {
    world->path.dice = dice;
    return false;
  }
  spell->flow->used_at = there;
  world->now = back;
  return true;
}

static void count(const struct stwi_fleet_world *world, uint64_t beats) {
  const uint64_t bytes = stwi_quiet_question_bytes() + stwi_quiet_answer_bytes();
  stwi_fleet_tally_add(world->tally, STW_FLEET_HEARTBEAT_BYTES,
                       beats * (bytes + 2 * STWI_FLEET_OVERHEAD_BYTES));
  stwi_fleet_tally_add(world->tally, STW_FLEET_EVENTS, STEPS * beats);
}

void stwi_fleet_skip(struct stwi_fleet_world *world, struct stwi_core *core,
                     struct stwi_effects *effects, stwi_time until) {
  struct spell spell = {.world = world, .effects = effects, .until = until};
  if (world->in_use == STWI_FLEET_LINKS_MAX || !stwi_path_is_up(&world->path) ||
      !stwi_fleet_serves(&world->wire, world->in_use) || !stwi_core_is_quiet(core, 0, &spell.quiet))
    return;
  uint64_t beats = 0;
  spell.flow = &world->wire.flows[world->in_use];
  while (beat(&spell))
    beats++;
  if (beats == 0)
    return;
  stwi_quiet_over(&spell.quiet);
  count(world, beats);
}
