/* Every state, closing or not, meets every input that the world can give; what follows at once is
 * written down here, and what follows later is watched by the world. */
#include "world_test.h"

#include <string.h>

/* ---- getting into a state ---- */

static uint32_t enter_connecting(void) {
  server->door = WORLD_DOOR_NO_UPGRADE;
  return world_open_default(world, "a");
}

static uint32_t enter_online(void) {
  const uint32_t conn = open_online();
  world_run(world, 3 * STWI_S);
  return conn;
}

static uint32_t enter_suspect(void) {
  const uint32_t conn = enter_online();
  server->door = WORLD_DOOR_NO_UPGRADE;
  server->pong = WORLD_PONG_HOLD;
  world_say(world, conn);
  world_run_to(world, conn, STW_STATE_SUSPECT, 3 * STWI_S);
  return conn;
}

static uint32_t enter_migrating(void) {
  struct stwi_conn_config *config = world_config("a");
  config->max_silence_ns = 3 * STWI_S;
  config->stale_action = STWI_STALE_RELINK;
  const uint32_t conn = world_open(world, config);
  world_run(world, STWI_S);
  server->door = WORLD_DOOR_NO_UPGRADE;
  world_run_to(world, conn, STW_STATE_MIGRATING, 4 * STWI_S);
  return conn;
}

static uint32_t enter_waiting(void) {
  const uint32_t conn = enter_online();
  world_server_close(world, server, 1012, "r=2000;w=10");
  world_run_to(world, conn, STW_STATE_WAITING, STWI_S);
  return conn;
}

static uint32_t enter_offline(void) {
  const uint32_t conn = enter_online();
  world_network(world, STW_NETWORK_DOWN);
  return conn;
}

static uint32_t enter_closed(void) {
  const uint32_t conn = enter_online();
  world_close(world, conn, STWI_S);
  world_run_to(world, conn, STW_STATE_CLOSED, STWI_S);
  return conn;
}

static uint32_t enter_failed(void) {
  server->door = WORLD_DOOR_HTTP;
  server->http_status = 403;
  const uint32_t conn = world_open_default(world, "a");
  world_run_to(world, conn, STW_STATE_FAILED, STWI_S);
  server->door = WORLD_DOOR_OPEN;
  return conn;
}

static uint32_t (*const entries[STW_STATE_COUNT])(void) = {
    [STW_STATE_CONNECTING] = enter_connecting, [STW_STATE_ONLINE] = enter_online,
    [STW_STATE_SUSPECT] = enter_suspect,       [STW_STATE_MIGRATING] = enter_migrating,
    [STW_STATE_WAITING] = enter_waiting,       [STW_STATE_OFFLINE] = enter_offline,
    [STW_STATE_CLOSED] = enter_closed,         [STW_STATE_FAILED] = enter_failed,
};

/* ---- giving an input ---- */

static void give_kick(uint32_t conn) {
  world_do(world, conn, STWI_IN_KICK);
}
static void give_net_up(uint32_t conn) {
  (void)conn;
  world_network(world, STW_NETWORK_UP);
}
static void give_net_down(uint32_t conn) {
  (void)conn;
  world_network(world, STW_NETWORK_DOWN);
}
static void give_net_changed(uint32_t conn) {
  (void)conn;
  world_network(world, STW_NETWORK_CHANGED);
}
static void give_wake(uint32_t conn) {
  (void)conn;
  world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
}
static void give_stalled(uint32_t conn) {
  (void)conn;
  const struct stwi_input input = {.kind = STWI_IN_STALLED, .u.stalled.for_ns = STWI_S};
  world_input(world, &input);
}
static void give_stop(uint32_t conn) {
  (void)conn;
  world_input(world, &(struct stwi_input){.kind = STWI_IN_STOP});
}
static void give_reopen(uint32_t conn) {
  const bool was_told = world->conns[conn].is_closed_told;
  const stw_state state = world_state(world, conn);
  world_do(world, conn, STWI_IN_REOPEN);
  if (state == world_state(world, conn))
    world->conns[conn].is_closed_told = was_told;
}
static void give_ready(uint32_t conn) {
  world_do(world, conn, STWI_IN_HOST_READY);
}
static void give_send(uint32_t conn) {
  world_say(world, conn);
}
static void give_opening(uint32_t conn) {
  world_opening(world, conn, "k", "o:k");
}
static void give_supply(uint32_t conn) {
  world_supply(world, conn, "token", 0);
}
static void give_full(uint32_t conn) {
  world_inbound(world, conn, true);
  world_inbound(world, conn, false);
}
static void give_cancel(uint32_t conn) {
  world_cancel(world, conn, 1);
}
static void give_close(uint32_t conn) {
  world_close(world, conn, 0);
}

static struct world_link *newest(uint32_t conn) {
  return world->conns[conn].links;
}

static void give_link(uint32_t conn, struct stwi_input input) {
  struct world_link *link = world_live(world, conn);
  if (link == NULL)
    link = newest(conn);
  input.conn = conn;
  input.link = link->gen;
  if (input.kind == STWI_IN_DOWN && !link->is_cut)
    link->is_over = link->is_down_due = link->is_dead = true;
  world_input(world, &input);
}
static void give_reset(uint32_t conn) {
  give_link(conn, (struct stwi_input){.kind = STWI_IN_DOWN,
                                      .u.down = {.cause = STW_CAUSE_ABNORMAL_RST, .detail = ""}});
}
static void give_server_fault(uint32_t conn) {
  give_link(conn, (struct stwi_input){.kind = STWI_IN_DOWN,
                                      .u.down = {.cause = STW_CAUSE_TCP_RESET, .detail = ""}});
}
static void give_bytes(uint32_t conn) {
  static const uint8_t bytes[] = {0x81, 1, 'x'};
  give_link(conn, (struct stwi_input){.kind = STWI_IN_BYTES, .u.bytes = {bytes, sizeof bytes}});
}
static void give_phase(uint32_t conn) {
  give_link(conn, (struct stwi_input){.kind = STWI_IN_PHASE, .u.phase.phase = STW_PHASE_UPGRADE});
}
static void give_writable(uint32_t conn) {
  struct world_link *link = world_live(world, conn);
  if (link != NULL && link->is_writing)
    return;
  give_link(conn, (struct stwi_input){.kind = STWI_IN_WRITABLE});
}
static void give_unknown_down(uint32_t conn) {
  const struct stwi_input input = {.kind = STWI_IN_DOWN, .conn = conn, .link = 77};
  world_input(world, &input);
}
static void give_turn(uint32_t conn) {
  (void)conn;
  world_input(world, &(struct stwi_input){.kind = STWI_IN_TURN});
}

/* What follows at once; SAME: nothing.  By state: connecting, online, suspect, migrating, waiting,
 * offline, closed, failed. */
#define SAME STW_STATE_COUNT
#define ON STW_STATE_ONLINE
#define CON STW_STATE_CONNECTING
#define SUS STW_STATE_SUSPECT
#define OFF STW_STATE_OFFLINE
#define WAI STW_STATE_WAITING
#define CLO STW_STATE_CLOSED

struct product_row {
  const char *name;
  void (*give)(uint32_t conn);
  stw_state to[8];
};

static const struct product_row product[] = {
    {"kick", give_kick, {SAME, SAME, SAME, SAME, CON, SUS, SAME, SAME}},
    {"net_up", give_net_up, {SAME, SAME, SAME, SAME, CON, SUS, SAME, SAME}},
    {"net_down", give_net_down, {OFF, OFF, OFF, OFF, OFF, SAME, SAME, SAME}},
    {"net_changed", give_net_changed, {SAME, SUS, SAME, SUS, SAME, SAME, SAME, SAME}},
    {"wake", give_wake, {SAME, SUS, SAME, SUS, CON, SAME, SAME, SAME}},
    {"stalled", give_stalled, {SAME, SAME, SAME, SAME, SAME, SAME, SAME, SAME}},
    {"stop", give_stop, {CLO, CLO, CLO, CLO, CLO, CLO, SAME, SAME}},
    {"reopen", give_reopen, {SAME, SAME, SAME, SAME, SAME, SAME, CON, CON}},
    {"ready", give_ready, {SAME, SAME, SAME, SAME, SAME, SAME, SAME, SAME}},
    {"send", give_send, {SAME, SAME, SAME, SAME, SAME, SAME, SAME, SAME}},
    {"opening", give_opening, {SAME, SAME, SAME, SAME, SAME, SAME, SAME, SAME}},
    {"supply", give_supply, {SAME, SAME, SAME, SAME, SAME, SAME, SAME, SAME}},
    {"inbound", give_full, {SAME, SAME, SAME, SAME, SAME, SAME, SAME, SAME}},
    {"cancel", give_cancel, {SAME, SAME, SAME, SAME, SAME, SAME, SAME, SAME}},
    {"reset", give_reset, {WAI, CON, CON, CON, SAME, SAME, SAME, SAME}},
    {"server fault", give_server_fault, {WAI, WAI, CON, CON, SAME, SAME, SAME, SAME}},
    {"bytes", give_bytes, {SAME, SAME, SAME, SAME, SAME, ON, SAME, SAME}},
    {"phase", give_phase, {SAME, SAME, SAME, SAME, SAME, SAME, SAME, SAME}},
    {"writable", give_writable, {SAME, SAME, SAME, SAME, SAME, SAME, SAME, SAME}},
    {"down of an unknown link",
     give_unknown_down,
     {SAME, SAME, SAME, SAME, SAME, SAME, SAME, SAME}},
    {"turn", give_turn, {SAME, SAME, SAME, SAME, SAME, SAME, SAME, SAME}},
};

#define PRODUCT_ROWS (sizeof product / sizeof product[0])

static void begin(void) {
  world = world_new(11);
  server = world_server(world, "a");
}

static void finish(const char *name, stw_state state, bool is_closing) {
  const char *broken = world_check(world);
  if (broken != NULL) {
    world_print(world, stderr);
    fail_msg("%s in %s%s: %s", name, stw_state_at((size_t)state)->name,
             is_closing ? ", closing" : "", broken);
  }
  world_free(world);
}

static void expect(const char *name, stw_state state, stw_state wanted, stw_state is) {
  if (wanted != is)
    fail_msg("%s in %s gives %s, not %s", name, stw_state_at((size_t)state)->name,
             stw_state_at((size_t)is)->name, stw_state_at((size_t)wanted)->name);
}

static void try_input(stw_state state, const struct product_row *row) {
  begin();
  const uint32_t conn = entries[state]();
  expect("entering", state, state, world_state(world, conn));
  row->give(conn);
  const stw_state to = row->to[state - STW_STATE_CONNECTING];
  expect(row->name, state, to == SAME ? state : to, world_state(world, conn));
  server->door = WORLD_DOOR_OPEN;
  server->pong = WORLD_PONG_ANSWER;
  world_release_pongs(world, server);
  world_run(world, 70 * STWI_S);
  const stw_state end = world_state(world, conn);
  const bool was_final = state == STW_STATE_CLOSED || state == STW_STATE_FAILED;
  const bool is_final = row->give == give_stop || (was_final && row->give != give_reopen);
  /* where hedging moves for silence, it may be moving just now */
  if (!is_final && state != STW_STATE_MIGRATING)
    expect(row->name, state, ON, end);
  finish(row->name, state, false);
}

static void every_state_meets_every_input(void **unused) {
  (void)unused;
  for (unsigned state = STW_STATE_CONNECTING; state < STW_STATE_COUNT; state++)
    for (size_t i = 0; i < PRODUCT_ROWS; i++)
      try_input((stw_state)state, &product[i]);
}

/* A message keeps the closing open until its deadline, or until it is delivered. */
static void try_closing(stw_state state, const struct product_row *row) {
  begin();
  const uint32_t conn = entries[state]();
  server->door = WORLD_DOOR_BLACKHOLE;
  world_swallow(world, server, true, true);
  world_say(world, conn);
  world_close(world, conn, 4 * STWI_S);
  const stwi_time then = world->now;
  expect("closing", state, state, world_state(world, conn));
  row->give(conn);
  world_run_to(world, conn, STW_STATE_CLOSED, 10 * STWI_S);
  expect(row->name, state, STW_STATE_CLOSED, world_state(world, conn));
  assert_true(world->now - then <= 5 * STWI_S);
  world_run(world, 60 * STWI_S);
  expect(row->name, state, STW_STATE_CLOSED, world_state(world, conn));
  finish(row->name, state, true);
}

static void closing_ends_in_time_whatever_comes(void **unused) {
  (void)unused;
  for (unsigned state = STW_STATE_CONNECTING; state <= STW_STATE_OFFLINE; state++)
    for (size_t i = 0; i < PRODUCT_ROWS; i++)
      try_closing((stw_state)state, &product[i]);
}

static void closing_at_once_needs_no_more_than_a_handshake(void **unused) {
  (void)unused;
  for (unsigned state = STW_STATE_CONNECTING; state <= STW_STATE_OFFLINE; state++) {
    begin();
    const uint32_t conn = entries[state]();
    give_close(conn);
    world_run_to(world, conn, STW_STATE_CLOSED, 1001 * STWI_MS);
    expect("close", (stw_state)state, STW_STATE_CLOSED, world_state(world, conn));
    finish("close", (stw_state)state, true);
  }
}

/* ---- what the events say ---- */

static void online_tells_its_phases_and_waiting_its_delay(void **unused) {
  (void)unused;
  begin();
  const uint32_t conn = enter_waiting();
  const struct world_event *waiting = world_change(world, conn, STW_STATE_WAITING);
  assert_in_range(waiting->event.u.state.delay_ns, 2000 * STWI_MS, 2010 * STWI_MS);
  assert_int_equal(waiting->event.u.state.attempt, 1);
  assert_true(world_run_to(world, conn, STW_STATE_ONLINE, 3 * STWI_S));
  const struct world_event *online = world_change(world, conn, STW_STATE_ONLINE);
  assert_int_equal(online->event.link, 2);
  assert_string_equal(online->detail, "");
  assert_int_equal(online->event.u.state.close_code, 0);
  finish("phases", STW_STATE_ONLINE, false);
}

static void a_stopped_engine_resets_its_links(void **unused) {
  (void)unused;
  begin();
  const uint32_t conn = enter_online();
  give_stop(conn);
  expect_cause(conn, STW_STATE_CLOSED, STW_CAUSE_LOCAL_STOP);
  assert_string_equal(world_event(world, conn, STW_EVENT_CLOSED, 0)->detail,
                      "the engine was stopped");
  finish("stop", STW_STATE_ONLINE, false);
}

/* Messages end with the conn's last breath, before the last event. */
static void ends_are_told_before_closed(void **unused) {
  (void)unused;
  begin();
  const uint32_t conn = enter_online();
  world_swallow(world, server, true, true);
  world_send(world, conn, &(struct world_send){.guarantee = STW_AT_MOST_ONCE});
  give_stop(conn);
  assert_int_equal(world->conns[conn].messages[0].end, STW_MESSAGE_UNKNOWN);
  assert_int_equal(world->events[world->event_count - 1].event.kind, STW_EVENT_CLOSED);
  finish("ends", STW_STATE_ONLINE, false);
}

/* A ttl that ends after the conn did is told when it is opened again. */
static void after_closed_nothing_is_told(void **unused) {
  (void)unused;
  begin();
  const uint32_t conn = enter_online();
  world_network(world, STW_NETWORK_DOWN);
  world_send(world, conn, &(struct world_send){.ttl_ns = 5 * STWI_S});
  world_close(world, conn, 0);
  expect_state(conn, STW_STATE_CLOSED);
  const size_t events = world->event_count;
  world_inbound(world, conn, true);
  world_run(world, 60 * STWI_S);
  assert_int_equal(world->event_count, events);
  give_reopen(conn);
  world_run(world, STWI_S);
  assert_int_equal(world->conns[conn].messages[0].end, STW_MESSAGE_EXPIRED);
  assert_int_equal(world_count(world, conn, STW_EVENT_PAUSED), 1);
  finish("silence", STW_STATE_CLOSED, false);
}

static void reopened_it_starts_afresh_with_its_outbox(void **unused) {
  (void)unused;
  begin();
  const uint32_t conn = enter_online();
  world_network(world, STW_NETWORK_DOWN);
  world_say(world, conn);
  world_close(world, conn, 0);
  give_reopen(conn);
  assert_true(world_run_settled(world, conn, STWI_S));
  assert_int_equal(server->messages, 1);
  finish("reopen", STW_STATE_CLOSED, false);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_state_meets_every_input),
      cmocka_unit_test(closing_ends_in_time_whatever_comes),
      cmocka_unit_test(closing_at_once_needs_no_more_than_a_handshake),
      cmocka_unit_test(online_tells_its_phases_and_waiting_its_delay),
      cmocka_unit_test(a_stopped_engine_resets_its_links),
      cmocka_unit_test(ends_are_told_before_closed),
      cmocka_unit_test(after_closed_nothing_is_told),
      cmocka_unit_test(reopened_it_starts_afresh_with_its_outbox),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
