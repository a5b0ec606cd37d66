#include "sim/explore_plan.h"

/* By then what was dialled while a server spoke no steadwire.v1 is up. */
#define PLAIN_GONE_AFTER (8 * STWI_S)
#define YEAR_MS (365ull * 24 * 3600 * 1000)

static uint64_t roll(struct stwi_explore_life *life, uint64_t below) {
  return stwi_explore_roll(life, below);
}

static void happened(struct stwi_explore_life *life, stw_explore_fault what, const char *where) {
  life->world->faults[what]++;
  stwi_world_say_so(life->world, "-- %s: %s", stw_explore_fault_at(what)->name, where);
}

static struct stwi_world_server *any_server(struct stwi_explore_life *life) {
  return &life->world->servers[roll(life, life->world->server_count)];
}

/* ---- links ---- */

static void reset(struct stwi_explore_life *life, struct stwi_world_server *server) {
  happened(life, STW_EXPLORE_RESET, server->name);
  stwi_world_kill(life->world, server,
                  roll(life, 2) == 0 ? STW_CAUSE_ABNORMAL_RST : STW_CAUSE_ABNORMAL_FIN);
  stwi_world_restart(life->world, server);
}

static void half_dead(struct stwi_explore_life *life, struct stwi_world_server *server) {
  const bool to_server = roll(life, 2) == 0;
  happened(life, STW_EXPLORE_HALF_DEAD, server->name);
  stwi_world_swallow(life->world, server, to_server, !to_server);
}

static void black_hole(struct stwi_explore_life *life, struct stwi_world_server *server) {
  happened(life, STW_EXPLORE_BLACK_HOLE, server->name);
  stwi_world_swallow(life->world, server, true, true);
}

static void delay(struct stwi_explore_life *life, struct stwi_world_server *server) {
  happened(life, STW_EXPLORE_DELAY, server->name);
  server->latency_ns = (roll(life, 3) == 0 ? roll(life, 400) : roll(life, 30)) * STWI_MS;
  server->jitter_ns = roll(life, 2) == 0 ? roll(life, 300) * STWI_MS : 0;
}

static void slow_write(struct stwi_explore_life *life, struct stwi_world_server *server) {
  happened(life, STW_EXPLORE_SLOW_WRITE, server->name);
  server->write_delay_ns = roll(life, 3) == 0 ? 0 : roll(life, 2000) * STWI_MS;
  server->is_write_stuck = roll(life, 10) == 0;
}

static void bad_frame(struct stwi_explore_life *life, struct stwi_world_server *server) {
  static const uint8_t bad[] = {0xff, 0x00};
  static const uint8_t ping[] = {0x89, 0x02, 'h', 'i'};
  happened(life, STW_EXPLORE_BAD_FRAME, server->name);
  if (roll(life, 2) == 0)
    stwi_world_server_bytes(life->world, server, bad, sizeof bad);
  else
    stwi_world_server_bytes(life->world, server, ping, 1 + roll(life, sizeof ping));
}

/* ---- what servers do ---- */

static void shut_door(struct stwi_explore_life *life, struct stwi_world_server *server) {
  static const enum stwi_world_door doors[] = {STWI_WORLD_DOOR_OPEN, STWI_WORLD_DOOR_REFUSED,
                                               STWI_WORLD_DOOR_BLACKHOLE,
                                               STWI_WORLD_DOOR_NO_UPGRADE, STWI_WORLD_DOOR_CAUSE};
  static const stw_cause causes[] = {STW_CAUSE_TLS_NAME, STW_CAUSE_TLS_TIMEOUT,
                                     STW_CAUSE_NET_UNREACHABLE, STW_CAUSE_UPGRADE_INVALID,
                                     STW_CAUSE_TCP_RESET};
  happened(life, STW_EXPLORE_DOOR, server->name);
  server->door = doors[roll(life, sizeof doors / sizeof *doors)];
  server->door_cause = causes[roll(life, sizeof causes / sizeof *causes)];
}

static void refuse_http(struct stwi_explore_life *life, struct stwi_world_server *server) {
  static const uint16_t codes[] = {401, 403, 404, 407, 408, 429, 500, 503, 302, 600};
  static const uint64_t after_ms[] = {0, 0, 1, 700, 5000, YEAR_MS};
  happened(life, STW_EXPLORE_HTTP, server->name);
  server->door = STWI_WORLD_DOOR_HTTP;
  server->http_status = codes[roll(life, sizeof codes / sizeof *codes)];
  server->retry_after_ms = after_ms[roll(life, sizeof after_ms / sizeof *after_ms)];
}

static void resolver(struct stwi_explore_life *life, struct stwi_world_server *server) {
  happened(life, STW_EXPLORE_RESOLVER, server->name);
  server->resolve_ns = roll(life, 3) == 0 ? 0 : roll(life, 3000) * STWI_MS;
  server->is_resolver_mute = roll(life, 4) == 0;
  server->is_unresolved = roll(life, 4) == 0;
}

static void mute(struct stwi_explore_life *life, struct stwi_world_server *server) {
  happened(life, STW_EXPLORE_MUTE, server->name);
  server->pong = roll(life, 2) == 0 ? STWI_WORLD_PONG_ANSWER : (enum stwi_world_pong)roll(life, 5);
  server->close_code = roll(life, 2) == 0 ? 1002 : 0;
  server->is_mute_to_close = roll(life, 3) == 0;
  server->has_been_mute |= server->pong != STWI_WORLD_PONG_ANSWER;
  if (roll(life, 2) == 0)
    stwi_world_release_pongs(life->world, server);
}

static uint16_t any_code(struct stwi_explore_life *life) {
  static const uint16_t codes[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                   1011, 1012, 1013, 1014, 3000, 3003, 4000, 4400,
                                   4401, 4403, 4409, 4413, 4429, 4999};
  return codes[roll(life, sizeof codes / sizeof *codes)];
}

static void close_links(struct stwi_explore_life *life, struct stwi_world_server *server) {
  static const char *const hints[] = {
      "r=300;w=200",    "w=0;r=0",           "r=99999999999999999999999999;w=5",
      "r=-1;w=-1",      "r=600000;w=600000", "r=;w=",
      "r=5 r=7;w=1;w=2"};
  static const char *const words[] = {"", "bye", "\x01 odd \x7f"};
  const bool has_hint = roll(life, 2) == 0;
  happened(life, has_hint ? STW_EXPLORE_HINT : STW_EXPLORE_CLOSE, server->name);
  const char *reason = has_hint ? hints[roll(life, sizeof hints / sizeof *hints)]
                                : words[roll(life, sizeof words / sizeof *words)];
  const uint16_t code = any_code(life);
  if (roll(life, 4) == 0)
    stwi_world_session_close(life->world, server, code);
  else
    stwi_world_server_close(life->world, server, code, reason);
}

static void logins(struct stwi_explore_life *life, struct stwi_world_server *server) {
  happened(life, STW_EXPLORE_LOGIN, server->name);
  server->login = (enum stwi_world_login)roll(life, 3);
}

static void throw_out(struct stwi_explore_life *life, struct stwi_world_server *server) {
  happened(life, STW_EXPLORE_THROW_OUT, server->name);
  server->throws_out = roll(life, 2) == 0;
  server->throw_out_code = roll(life, 2) == 0 ? 0 : any_code(life);
  server->drop_after = roll(life, 3) == 0 ? 1 + roll(life, 3000) : 0;
}

static void poison(struct stwi_explore_life *life, struct stwi_world_server *server) {
  happened(life, STW_EXPLORE_POISON, server->name);
  server->rejects = roll(life, 3) == 0 ? NULL : "poison";
  server->reject_code = roll(life, 2) == 0 ? 1007 : 1009;
}

static void freeze(struct stwi_explore_life *life, struct stwi_world_server *server) {
  happened(life, STW_EXPLORE_FREEZE, server->name);
  stwi_world_freeze(life->world, server, roll(life, 6000) * STWI_MS);
}

static void goaway(struct stwi_explore_life *life, struct stwi_world_server *server) {
  static const uint64_t after_ms[] = {0, 100, 3000, UINT64_MAX};
  happened(life, STW_EXPLORE_GOAWAY, server->name);
  stwi_world_session_goaway(life->world, server, after_ms[roll(life, 4)], after_ms[roll(life, 4)]);
}

static void kill_server(struct stwi_explore_life *life, struct stwi_world_server *server) {
  const bool is_lost = server->has_sessions && roll(life, 3) == 0;
  happened(life, is_lost ? STW_EXPLORE_SERVER_LOST : STW_EXPLORE_SERVER_KILLED, server->name);
  stwi_world_kill(life->world, server, STW_CAUSE_ABNORMAL_RST);
  if (is_lost) {
    for (uint32_t i = 0; i < life->world->server_count; i++)
      stwi_world_kill(life->world, &life->world->servers[i], STW_CAUSE_ABNORMAL_RST);
    stwi_world_session_forget(&life->world->servers[0]);
  }
  for (uint32_t i = 0; i < life->world->server_count && roll(life, 2) == 0; i++)
    stwi_world_restart(life->world, &life->world->servers[i]);
}

static void refuse_sessions(struct stwi_explore_life *life, struct stwi_world_server *server) {
  static const uint32_t codes[] = {0, STW_REFUSAL_BUSY, STW_REFUSAL_VERSION, STW_REFUSAL_AUTH};
  static const char *const texts[] = {"later", "r=400;w=100", "r=99999999999;w=1"};
  happened(life, STW_EXPLORE_SERVER_REFUSES, server->name);
  server->refuses = codes[roll(life, 4)];
  server->refusal_text = texts[roll(life, 3)];
  server->is_mute_to_hello = roll(life, 4) == 0;
  server->refuses_auth = roll(life, 2) == 0;
  server->has_sessions = roll(life, 4) != 0;
  life->was_plain |= !server->has_sessions;
}

static void server_says(struct stwi_explore_life *life, struct stwi_world_server *server) {
  for (uint64_t count = roll(life, 12); count > 0; count--) {
    const stw_lane lane = roll(life, 4) == 0 ? STW_LANE_CONTROL : STW_LANE_DATA;
    if (life->profile == STW_EXPLORE_PROFILE_SESSION)
      stwi_world_session_say(life->world, &life->world->servers[0], lane, "news");
    else
      stwi_world_server_text(life->world, server, "news");
  }
}

/* ---- the machine and the process ---- */

static void crash(struct stwi_explore_life *life) {
  const uint32_t index = (uint32_t)roll(life, life->count);
  const struct stwi_explore_conn *conn = &life->conns[index];
  const bool is_power_lost = conn->has_store && roll(life, 3) == 0;
  happened(life,
           is_power_lost     ? STW_EXPLORE_POWER_LOST
           : conn->has_store ? STW_EXPLORE_CLIENT_KILLED
                             : STW_EXPLORE_CLIENT_LOST,
           conn->names);
  stwi_world_budget_call(life->world, 1);
  stwi_world_kill_host(life->world, conn->slot, stwi_explore_config(life, index), is_power_lost);
}

static void disk(struct stwi_explore_life *life) {
  struct stwi_world_conn *conn = &life->world->conns[life->conns[roll(life, life->count)].slot];
  if (conn->store == NULL)
    return;
  const bool is_sync = roll(life, 3) == 0;
  happened(life, is_sync ? STW_EXPLORE_SYNC_FAILED : STW_EXPLORE_DISK_FULL, "a store");
  if (is_sync)
    stwi_model_fail_sync(conn->store);
  else
    stwi_model_full(conn->store, conn->health != STW_STORE_FULL);
  stwi_world_network(life->world, STW_NETWORK_CHANGED); /* something to flush for */
}

static void clocks(struct stwi_explore_life *life) {
  const uint64_t for_ns = roll(life, 4) == 0 ? roll(life, 40) * STWI_S : roll(life, 3000) * STWI_MS;
  stwi_world_budget_call(life->world, life->count);
  switch (roll(life, 3)) {
  case 0:
    happened(life, STW_EXPLORE_STALL, "the process was stopped");
    stwi_world_stalled(life->world, for_ns);
    break;
  case 1:
    happened(life, STW_EXPLORE_JUMP, "the process was stopped, unnoticed");
    stwi_world_jumped(life->world, for_ns);
    break;
  default:
    happened(life, STW_EXPLORE_SLEEP, "the machine slept");
    if (roll(life, 2) == 0)
      black_hole(life, any_server(life));
    stwi_world_slept(life->world, 10 * for_ns);
    break;
  }
}

static void hint(struct stwi_explore_life *life) {
  struct stwi_world *world = life->world;
  const uint32_t slot = life->conns[roll(life, life->count)].slot;
  const struct stwi_conn *inside = stwi_world_inside(world, slot);
  stwi_world_budget_call(world, 2ull * life->count);
  const uint64_t what = roll(life, 5);
  if (what < 3)
    stwi_world_network(world, (stw_network)what);
  else if (what == 3)
    stwi_world_input(world, &(struct stwi_input){.kind = STWI_IN_NOTICED});
  else if (inside->active != NULL)
    stwi_world_input(world, &(struct stwi_input){.kind = STWI_IN_PATH,
                                                 .conn = slot,
                                                 .link = inside->active->gen,
                                                 .u.network.what = (stw_network)roll(life, 3)});
}

static void hints(struct stwi_explore_life *life) {
  if (roll(life, 8) != 0) {
    happened(life, STW_EXPLORE_NETWORK, "a hint");
    hint(life);
    return;
  }
  happened(life, STW_EXPLORE_FLOOD, "hints");
  for (unsigned i = 0; i < 100 && life->world->broken[0] == '\0'; i++)
    hint(life);
}

/* ---- all of it ---- */

static void at_link(struct stwi_explore_life *life) {
  static void (*const acts[])(struct stwi_explore_life *, struct stwi_world_server *) = {
      reset, half_dead, black_hole, delay, slow_write, bad_frame};
  acts[roll(life, sizeof acts / sizeof *acts)](life, any_server(life));
}

static void at_server(struct stwi_explore_life *life) {
  static void (*const acts[])(struct stwi_explore_life *, struct stwi_world_server *) = {
      shut_door, refuse_http, resolver, mute,        close_links, logins,
      throw_out, poison,      freeze,   kill_server, server_says, server_says};
  static void (*const session_acts[])(struct stwi_explore_life *, struct stwi_world_server *) = {
      goaway, refuse_sessions, kill_server};
  if (life->profile == STW_EXPLORE_PROFILE_SESSION && roll(life, 4) == 0)
    session_acts[roll(life, 3)](life, any_server(life));
  else
    acts[roll(life, sizeof acts / sizeof *acts)](life, any_server(life));
}

void stwi_explore_fault(struct stwi_explore_life *life) {
  switch (roll(life, 10)) {
  case 0:
    crash(life);
    break;
  case 1:
    disk(life);
    break;
  case 2:
    clocks(life);
    break;
  case 3:
    hints(life);
    break;
  case 4:
  case 5:
  case 6:
    at_link(life);
    break;
  default:
    at_server(life);
    break;
  }
}

static void mend_server(struct stwi_explore_life *life, struct stwi_world_server *server) {
  const bool was_plain = life->profile == STW_EXPLORE_PROFILE_SESSION && life->was_plain;
  server->door = STWI_WORLD_DOOR_OPEN;
  server->pong = STWI_WORLD_PONG_ANSWER;
  server->login = STWI_WORLD_LOGIN_MANY;
  server->rejects = NULL;
  server->drop_after = server->resolve_ns = 0;
  server->latency_ns = STWI_MS;
  server->jitter_ns = server->write_delay_ns = 0;
  server->is_write_stuck = server->throws_out = server->is_mute_to_close = false;
  server->is_resolver_mute = server->is_unresolved = false;
  server->refuses = 0;
  server->is_mute_to_hello = server->refuses_auth = false;
  server->has_sessions |= was_plain;
}

/* Links that nobody can find out about end: the transport gives up what is never acknowledged. */
static void end_dead_links(struct stwi_explore_life *life) {
  for (uint32_t i = 0; i < life->world->server_count; i++) {
    stwi_world_kill(life->world, &life->world->servers[i], STW_CAUSE_ABNORMAL_RST);
    stwi_world_restart(life->world, &life->world->servers[i]);
  }
}

static bool needs_transport(const struct stwi_explore_life *life) {
  for (uint32_t i = 0; i < life->count; i++) {
    const struct stwi_conn *inside = stwi_world_inside(life->world, life->conns[i].slot);
    /* whom nobody may ask, only the transport can call dead */
    if (inside->active != NULL && !stwi_conn_may_ask(inside))
      return true;
  }
  return life->was_plain;
}

void stwi_explore_mend(struct stwi_explore_life *life) {
  struct stwi_world *world = life->world;
  stwi_world_say_so(world, "-- everything is mended");
  world->is_mended = true;
  for (uint32_t i = 0; i < world->server_count; i++)
    mend_server(life, &world->servers[i]);
  if (needs_transport(life))
    end_dead_links(life);
  for (uint32_t i = 0; i < life->count && world->broken[0] == '\0'; i++) {
    struct stwi_world_conn *conn = &world->conns[life->conns[i].slot];
    if (conn->store != NULL)
      stwi_model_full(conn->store, false);
    stwi_world_inbound(world, life->conns[i].slot, false);
  }
  stwi_world_budget_call(world, 4ull * life->count);
  stwi_world_network(world, STW_NETWORK_UP);
  if (!life->was_plain)
    return;
  stwi_world_run(world, PLAIN_GONE_AFTER);
  end_dead_links(life);
}
