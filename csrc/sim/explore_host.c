#include "sim/explore_plan.h"

#include "core/conn.h"

static uint64_t roll(struct stwi_explore_life *life, uint64_t below) {
  return stwi_explore_roll(life, below);
}

/* ---- sending ---- */

static bool is_refused(const struct stwi_world *world, uint32_t slot) {
  const stw_store_health health = world->conns[slot].health;
  const bool is_ended = world->conns[slot].is_closed_told;
  const bool is_closing = stwi_world_inside(world, slot)->is_closing;
  return is_ended || is_closing || health == STW_STORE_FULL || health == STW_STORE_FAILED;
}

static void draw_message(struct stwi_explore_life *life, struct stwi_world_send *how) {
  static const char *const keys[] = {NULL, NULL, NULL, "price", "state"};
  how->key = keys[roll(life, sizeof keys / sizeof *keys)];
  how->lane = roll(life, 5) == 0 ? STW_LANE_CONTROL : STW_LANE_DATA;
  if (roll(life, 12) == 0)
    how->size = (uint32_t)roll(life, 150000);
  if (roll(life, 8) == 0)
    how->ttl_ns = roll(life, 3000) * STWI_MS + 1;
  if (roll(life, 25) == 0)
    how->marker = "poison";
  if (roll(life, 6) == 0)
    how->guarantee = STW_AT_MOST_ONCE;
  else if (life->profile == STW_EXPLORE_PROFILE_SESSION && roll(life, 2) == 0)
    how->guarantee = STW_EXACTLY_ONCE;
}

/* As the calling thread admits: nothing past the bounds, unless older ones give way. */
static void send_some(struct stwi_explore_life *life, uint32_t slot) {
  struct stwi_world *world = life->world;
  for (uint64_t count = 1 + roll(life, 8); count > 0 && world->broken[0] == '\0'; count--) {
    struct stwi_world_send how = {0};
    draw_message(life, &how);
    if (is_refused(world, slot))
      return;
    const struct stwi_conn *inside = stwi_world_inside(world, slot);
    const bool is_full = stwi_lanes_messages(inside->lanes) >= inside->config->outbox_messages;
    if (is_full && inside->config->outbox_overflow == STWI_OVERFLOW_REJECT)
      return;
    how.is_refused = is_full && inside->config->outbox_overflow == STWI_OVERFLOW_DROP_NEWEST;
    stwi_world_say_so(world, "host of conn %u: send to lane %u, key %s, %s%s", slot,
                      (unsigned)how.lane, how.key == NULL ? "none" : how.key,
                      stw_guarantee_at((size_t)how.guarantee)->name,
                      how.is_refused ? ", refused" : "");
    stwi_world_send(world, slot, &how);
  }
}

static void edit(struct stwi_explore_life *life, uint32_t slot) {
  struct stwi_world *world = life->world;
  const stw_lane lane = roll(life, 4) == 0 ? STW_LANE_CONTROL : STW_LANE_DATA;
  const uint64_t sent = world->conns[slot].lanes[lane].sent;
  if (sent == 0)
    return;
  const uint64_t number = sent - roll(life, sent < 6 ? sent : 6);
  const stw_edit what = roll(life, 3) == 0 ? STW_EDIT_HOLD : STW_EDIT_CANCEL;
  world->faults[STW_EXPLORE_EDIT]++;
  stwi_world_say_so(world, "host of conn %u: %s message %llu of lane %u", slot,
                    stw_edit_at((size_t)what)->name, (unsigned long long)number, (unsigned)lane);
  stwi_world_edit(world, slot, lane, number, what);
}

/* ---- the rest ---- */

static void close_or_open(struct stwi_explore_life *life, uint32_t slot) {
  struct stwi_world *world = life->world;
  if (world->conns[slot].is_closed_told) {
    stwi_world_say_so(world, "host of conn %u: open again", slot);
    stwi_world_budget_call(world, 1);
    stwi_world_do(world, slot, STWI_IN_REOPEN);
    return;
  }
  if (roll(life, 3) != 0)
    return;
  const uint64_t timeout = roll(life, 4000);
  world->faults[STW_EXPLORE_HOST_CLOSE]++;
  stwi_world_say_so(world, "host of conn %u: close within %llu ms", slot,
                    (unsigned long long)timeout);
  stwi_world_close(world, slot, timeout * STWI_MS);
}

static void supply(struct stwi_explore_life *life, uint32_t slot) {
  stwi_world_supply(life->world, slot, "token", roll(life, 2) * (500 + roll(life, 20000)));
}

static void kick(struct stwi_explore_life *life, uint32_t slot) {
  life->world->faults[STW_EXPLORE_KICK]++;
  stwi_world_say_so(life->world, "host of conn %u: kick", slot);
  stwi_world_budget_call(life->world, 1);
  stwi_world_do(life->world, slot, STWI_IN_KICK);
}

static void change_opening(struct stwi_explore_life *life, uint32_t slot) {
  const char *text = roll(life, 4) == 0 ? NULL : "o:subscribe";
  stwi_world_say_so(life->world, "host of conn %u: %s an opening message", slot,
                    text == NULL ? "remove" : "set");
  stwi_world_opening(life->world, slot, roll(life, 2) == 0 ? "x" : "y", text);
}

static void be_full(struct stwi_explore_life *life, uint32_t slot) {
  const bool is_full = roll(life, 2) == 0;
  life->world->faults[STW_EXPLORE_HOST_FULL] += is_full;
  stwi_world_say_so(life->world, "host of conn %u: %s", slot, is_full ? "full" : "has room");
  stwi_world_inbound(life->world, slot, is_full);
}

void stwi_explore_host_acts(struct stwi_explore_life *life) {
  const uint32_t slot = life->conns[roll(life, life->count)].slot;
  switch (roll(life, 16)) {
  case 0:
    kick(life, slot);
    break;
  case 1:
    be_full(life, slot);
    break;
  case 2:
    change_opening(life, slot);
    break;
  case 3:
    supply(life, slot);
    break;
  case 4:
    close_or_open(life, slot);
    break;
  case 5:
  case 6:
    edit(life, slot);
    break;
  default:
    send_some(life, slot);
    break;
  }
}

static void duties(struct stwi_explore_life *life, uint32_t slot) {
  struct stwi_world *world = life->world;
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  if (inside->credentials.is_waiting || inside->is_refreshing)
    stwi_world_supply(world, slot, "token", 0);
  inside = stwi_world_inside(world, slot);
  if (inside->active != NULL && inside->active->phase == STW_PHASE_OPENING &&
      inside->config->ready_when.kind == STWI_MATCH_HOST)
    stwi_world_do(world, slot, STWI_IN_HOST_READY);
  if (life->profile != STW_EXPLORE_PROFILE_SESSION)
    return;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    const uint64_t number = world->conns[slot].inbound_ids[lane].number;
    if (number > stwi_world_inside(world, slot)->saved.processed[lane])
      stwi_world_processed(world, slot, (stw_lane)lane, number);
  }
}

void stwi_explore_host_duties(struct stwi_explore_life *life) {
  for (uint32_t i = 0; i < life->count && life->world->broken[0] == '\0'; i++) {
    if (!life->world->is_mended && life->is_flaky && roll(life, 2) == 0)
      continue;
    duties(life, life->conns[i].slot);
  }
}
