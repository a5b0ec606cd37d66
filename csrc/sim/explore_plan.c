#include "sim/explore_plan.h"

uint64_t stwi_explore_roll(struct stwi_explore_life *life, uint64_t below) {
  return stwi_random_below(&life->dice, below);
}

static uint64_t some(struct stwi_random *dice, uint64_t least_ms, uint64_t more_ms) {
  return (least_ms + stwi_random_below(dice, more_ms)) * STWI_MS;
}

static bool one_in(struct stwi_random *dice, uint64_t of) {
  return stwi_random_below(dice, of) == 0;
}

static void draw_liveness(struct stwi_random *dice, struct stwi_conn_config *config) {
  config->has_heartbeat = !one_in(dice, 8);
  config->has_hedge = !one_in(dice, 5);
  if (one_in(dice, 6))
    config->heartbeat_timeout_ns = some(dice, 100, 3000);
  if (one_in(dice, 3))
    config->heartbeat_interval_ns = some(dice, 200, 6000);
  if (one_in(dice, 6)) {
    config->max_silence_ns = some(dice, 500, 6000);
    config->stale_action = (enum stwi_stale_action)stwi_random_below(dice, 3);
  }
}

static void draw_pace(struct stwi_random *dice, struct stwi_conn_config *config) {
  if (one_in(dice, 3))
    config->open_timeout_ns = some(dice, 300, 6000);
  if (one_in(dice, 3))
    config->close_timeout_ns = some(dice, 50, 4000);
  if (one_in(dice, 3))
    config->retry_window_ns = some(dice, 20, 4000);
  if (one_in(dice, 3))
    config->retry_cap_ns = some(dice, 2000, 90000);
  if (one_in(dice, 8)) {
    config->ready_when.kind = STWI_MATCH_HOST;
    config->ready_timeout_ns = some(dice, 500, 2000);
  }
  if (one_in(dice, 8)) {
    config->has_credentials = true;
    config->credentials_timeout_ns = some(dice, 200, 2000);
  }
}

static void draw_outbox(struct stwi_random *dice, struct stwi_conn_config *config) {
  config->unknown_fate = (enum stwi_unknown_fate)(one_in(dice, 3) ? stwi_random_below(dice, 3) : 0);
  config->dead_letters = stwi_random_below(dice, 4);
  config->may_downgrade = one_in(dice, 2);
  if (one_in(dice, 3)) {
    config->outbox_messages = 1 + stwi_random_below(dice, 12);
    config->outbox_overflow = (enum stwi_overflow)stwi_random_below(dice, 3);
  }
}

struct stwi_conn_config *stwi_explore_config(const struct stwi_explore_life *life, uint32_t index) {
  struct stwi_conn_config *config = stwi_world_config(life->conns[index].names);
  struct stwi_random dice;
  if (config == NULL)
    return NULL;
  stwi_random_seed(&dice, life->conns[index].seed);
  draw_liveness(&dice, config);
  draw_pace(&dice, config);
  draw_outbox(&dice, config);
  config->is_durable = life->conns[index].lag == 0;
  if (life->profile == STW_EXPLORE_PROFILE_SESSION)
    config->profile = STWI_PROFILE_SESSION;
  return config;
}

/* Sessions live in one memory that all servers share. */
static void make_servers(struct stwi_explore_life *life) {
  static const char *const names[] = {"a", "b"};
  struct stwi_world_server *first = NULL;
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
    struct stwi_world_server *server = stwi_world_server(life->world, names[i]);
    server->latency_ns = (1 + stwi_explore_roll(life, 60)) * STWI_MS / 2;
    if (life->profile != STW_EXPLORE_PROFILE_SESSION)
      continue;
    server->has_sessions = true;
    server->has_echo = stwi_explore_roll(life, 2) == 0;
    server->incarnation = 1;
    server->session_options.takes_optimistic = stwi_explore_roll(life, 2) == 0;
    server->session_options.window_messages = 1 + stwi_explore_roll(life, 60);
    server->session_options.window_bytes = 20000 + stwi_explore_roll(life, 200000);
    server->session_options.refuses_when_full = stwi_explore_roll(life, 2) == 0;
    server->session_options.ring_messages = 20 + stwi_explore_roll(life, 2000);
    server->memory = first;
    first = first == NULL ? server : first;
  }
}

static void open_conn(struct stwi_explore_life *life, uint32_t index) {
  static const char *const names[] = {"a", "a b", "b", "a b nowhere", "b a"};
  struct stwi_explore_conn *conn = &life->conns[index];
  conn->seed = stwi_random_next(&life->dice);
  conn->names = names[stwi_explore_roll(life, sizeof names / sizeof *names)];
  conn->has_store = stwi_explore_roll(life, 2) == 0;
  conn->lag = conn->has_store && stwi_explore_roll(life, 3) == 0 ? 6 : 0;
  struct stwi_conn_config *config = stwi_explore_config(life, index);
  if (conn->has_store)
    conn->slot = stwi_world_open_stored(life->world, config, conn->lag);
  else
    conn->slot = stwi_world_open(life->world, config);
  if (life->world->broken[0] != '\0')
    return;
  struct stwi_world_conn *seen = &life->world->conns[conn->slot];
  seen->commit_ns = stwi_explore_roll(life, 200) * STWI_MS;
  seen->has_admission = true;
  seen->has_sessions_only = life->profile == STW_EXPLORE_PROFILE_SESSION;
}

void stwi_explore_begin(struct stwi_explore_life *life) {
  struct stwi_world *world = life->world;
  world->has_late_inputs = stwi_explore_roll(life, 2) == 0;
  world->cuts_reads = stwi_explore_roll(life, 4) == 0;
  world->is_unlogged = true;
  world->counts_attempts = true;
  life->is_flaky = stwi_explore_roll(life, 2) == 0;
  make_servers(life);
  life->count = 1 + (uint32_t)stwi_explore_roll(life, STWI_EXPLORE_CONNS_MAX);
  for (uint32_t i = 0; i < life->count && world->broken[0] == '\0'; i++)
    open_conn(life, i);
}
