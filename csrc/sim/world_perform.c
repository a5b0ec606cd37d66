#include "sim/world_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stwi_world_link *stwi_world_link_find(struct stwi_world *world, uint32_t conn,
                                             uint32_t gen) {
  struct stwi_world_link *link = world->conns[conn].links;
  while (link != NULL && link->gen != gen)
    link = link->next;
  return link;
}

static void perform_dial(struct stwi_world *world, const struct stwi_effect *effect) {
  struct stwi_world_conn *conn = &world->conns[effect->conn];
  struct stwi_world_link *link = calloc(1, sizeof *link);
  if (!stwi_world_has(world, link != NULL))
    return;
  world->links++;
  stwi_world_looked(world, STW_RULE_LINKS);
  link->conn = effect->conn;
  link->gen = effect->link;
  link->next = conn->links;
  conn->links = link;
  if (link->next != NULL && link->next->gen >= link->gen)
    stwi_world_break(world, STW_RULE_LINKS, "link %u dialled after link %u", link->gen,
                     link->next->gen);
  uint32_t pending = 0;
  for (const struct stwi_world_link *other = conn->links; other != NULL; other = other->next)
    pending += !other->is_over && !other->is_cut && !other->has_written && !other->is_ready;
  if (pending > STWI_ATTEMPTS_MAX)
    stwi_world_break(world, STW_RULE_LINKS, "%u attempts at once", pending);
  stwi_world_say_so(world, "conn %u dials link %u to %s", link->conn, link->gen,
                    effect->u.dial.host);
  stwi_world_dial(world, link, &effect->u.dial);
}

static bool is_host_message(int first) {
  return first == 'm' || first == 'c';
}

/* Length of the masked frame at `at`, header included; *is_message: one of the host's. */
static size_t frame_length(const uint8_t *at, bool *is_message) {
  size_t header = 2, size = at[1] & 0x7fu;
  if (size >= 126) {
    const size_t bytes = size == 126 ? 2 : 8;
    size = 0;
    for (size_t i = 0; i < bytes; i++)
      size = size << 8 | at[header++];
  }
  const uint8_t mask = at[header];
  header += 4;
  *is_message = (at[0] & 0x0fu) <= STWI_OP_BINARY && size > 0 && is_host_message(at[header] ^ mask);
  return header + size;
}

static void check_frames(struct stwi_world *world, const struct stwi_effect *effect) {
  const stw_state state = world->conns[effect->conn].state;
  const bool is_live =
      state == STW_STATE_ONLINE || state == STW_STATE_SUSPECT || state == STW_STATE_MIGRATING;
  bool is_message;
  stwi_world_looked(world, STW_RULE_CANDIDATE);
  for (size_t at = 0; at < effect->u.write.size && !is_live;) {
    at += frame_length(effect->u.write.data + at, &is_message);
    if (is_message)
      stwi_world_break(world, STW_RULE_CANDIDATE, "conn %u wrote a message in state %s",
                       effect->conn, stw_state_at((size_t)state)->name);
  }
}

static void check_write(struct stwi_world *world, const struct stwi_world_link *link) {
  stwi_world_looked(world, STW_RULE_WRITE);
  if (!link->is_ready)
    stwi_world_break(world, STW_RULE_CANDIDATE, "a write on link %u, which is not ready",
                     link->gen);
  if (link->is_writing)
    stwi_world_break(world, STW_RULE_WRITE,
                     "a second write on link %u before the first was answered", link->gen);
  for (const struct stwi_world_link *old = link->next; old != NULL; old = old->next)
    if (old->is_ready && !old->is_cut && !old->is_over)
      stwi_world_break(world, STW_RULE_CANDIDATE, "a write on link %u before link %u was fenced",
                       link->gen, old->gen);
}

static void perform_write(struct stwi_world *world, struct stwi_world_link *link,
                          const struct stwi_effect *effect) {
  check_write(world, link);
  check_frames(world, effect);
  struct stwi_world_server *server = link->server;
  link->is_writing = link->has_written = true;
  /* The performer may use the headroom. */
  memset(effect->u.write.data - STWI_WRITE_HEADROOM, 0xa5, STWI_WRITE_HEADROOM);
  stwi_time at = world->now + stwi_world_latency(world, server);
  if (at < link->to_server_at)
    at = link->to_server_at;
  if (server->bytes_per_s != 0)
    at += effect->u.write.size * STWI_S / server->bytes_per_s;
  link->to_server_at = at;
  struct stwi_world_wire wire = {
      .at = at, .kind = STWI_WORLD_TO_SERVER, .link = link, .size = effect->u.write.size};
  wire.bytes = malloc(wire.size);
  if (!stwi_world_has(world, wire.bytes != NULL))
    return;
  memcpy(wire.bytes, effect->u.write.data, wire.size);
  stwi_world_wire_put(world, wire);
  if (server->is_write_stuck)
    return;
  const struct stwi_input input = {.kind = STWI_IN_WRITABLE, .conn = link->conn, .link = link->gen};
  stwi_world_wire_put(world, (struct stwi_world_wire){.at = world->now + server->write_delay_ns,
                                                      .kind = STWI_WORLD_TO_CORE,
                                                      .link = link,
                                                      .input = input});
}

/* It was asked as soon as it was there; nobody gives up waiting for an answer before that. */
static bool had_time_to_answer(const struct stwi_world *world, const struct stwi_world_link *link) {
  const struct stwi_conn *inside = stwi_world_inside(world, link->conn);
  const uint64_t fixed = inside == NULL ? 0 : inside->config->heartbeat_timeout_ns;
  return world->now - link->accepted_at >= (fixed == 0 ? 1200 * STWI_MS : fixed);
}

static void perform_cut(struct stwi_world *world, struct stwi_world_link *link,
                        const struct stwi_effect *effect) {
  stwi_world_say_so(world, "conn %u cuts link %u%s", link->conn, link->gen,
                    effect->u.cut.abort ? ", aborting" : "");
  link->is_cut = true;
  link->ended_at = world->now;
  link->server->has_been_mute |= !link->has_ponged && had_time_to_answer(world, link);
  stwi_world_wire_unpause(world, link);
  if (!world->has_late_inputs)
    link->is_over = true;
  const struct stwi_input input = {.kind = STWI_IN_DOWN,
                                   .conn = link->conn,
                                   .link = link->gen,
                                   .u.down = {.cause = STW_CAUSE_SUPERSEDED}};
  if (!link->is_down_due) {
    link->is_down_due = true;
    stwi_world_to_core(world, link, &input, STWI_MS);
  }
  /* A reset overtakes what the server has not read yet; a FIN does not. */
  const bool overtakes = effect->u.cut.abort && stwi_random_below(&world->random, 2) == 0;
  stwi_time at = world->now + stwi_world_latency(world, link->server);
  if (!overtakes && at < link->to_server_at)
    at = link->to_server_at;
  stwi_world_wire_put(world,
                      (struct stwi_world_wire){.at = at, .kind = STWI_WORLD_GONE, .link = link});
}

/* What never reaches the server's machine is never acknowledged by it; a stopped process is. */
static void perform_look(struct stwi_world *world, struct stwi_world_link *link) {
  const bool is_unacked = link->swallowed_at != 0;
  world->looks++;
  const struct stwi_input input = {
      .kind = STWI_IN_LOOKED,
      .u.looked = {is_unacked, is_unacked ? world->now - link->swallowed_at : 0}};
  stwi_world_to_core(world, link, &input, 0);
}

static void perform_on_link(struct stwi_world *world, const struct stwi_effect *effect) {
  struct stwi_world_link *link = stwi_world_link_find(world, effect->conn, effect->link);
  stwi_world_looked(world, STW_RULE_FENCED);
  if (link == NULL || link->is_cut || link->is_over) {
    stwi_world_break(world, STW_RULE_FENCED, "effect %d for link %u, which is %s",
                     (int)effect->kind, effect->link,
                     link == NULL   ? "unknown"
                     : link->is_cut ? "cut"
                                    : "over");
    return;
  }
  switch (effect->kind) {
  case STWI_FX_WRITE:
    perform_write(world, link, effect);
    break;
  case STWI_FX_LOOK:
    perform_look(world, link);
    break;
  case STWI_FX_PAUSE:
    link->is_paused = effect->u.pause.on;
    link->paused_at = link->is_paused ? world->now : 0;
    if (!link->is_paused)
      stwi_world_wire_unpause(world, link);
    break;
  default:
    perform_cut(world, link, effect);
    if (link->is_ready && stwi_world_plants(world, STW_PLANT_SENT_ON_FENCED))
      perform_on_link(
          world,
          &(struct stwi_effect){.kind = STWI_FX_WRITE, .conn = effect->conn, .link = effect->link});
    break;
  }
}

/* In a session every number comes once and in order; those that never come are told before. */
static void check_inbound(struct stwi_world *world, const struct stwi_effect *effect) {
  struct stwi_world_conn *conn = &world->conns[effect->conn];
  const stw_message_id id = effect->u.message.id;
  const stw_lane lane = effect->u.message.lane;
  stw_message_id *last = &conn->inbound_ids[lane];
  conn->replayed_inbound += effect->u.message.is_replayed;
  if (id.number == 0)
    return;
  stwi_world_looked(world, STW_RULE_INBOUND);
  stwi_world_looked(world, STW_RULE_GAPS);
  if ((id.stream & 1) != (uint64_t)lane)
    stwi_world_break(world, STW_RULE_INBOUND, "conn %u: an inbound id of another lane",
                     effect->conn);
  const bool is_same = id.stream == last->stream || last->stream == 0;
  if (is_same && id.number <= last->number)
    stwi_world_break(world, STW_RULE_INBOUND, "conn %u: inbound message %llu after %llu",
                     effect->conn, (unsigned long long)id.number, (unsigned long long)last->number);
  if (id.number > (is_same ? last->number : 0) + 1)
    stwi_world_break(world, STW_RULE_GAPS, "conn %u: inbound message %llu after %llu, and no gap",
                     effect->conn, (unsigned long long)id.number,
                     (unsigned long long)(is_same ? last->number : 0));
  *last = id;
}

static void perform_message(struct stwi_world *world, const struct stwi_effect *effect) {
  const bool is_numbered = effect->u.message.id.number != 0;
  if (is_numbered && stwi_world_plants(world, STW_PLANT_GAP_UNTOLD))
    return;
  check_inbound(world, effect);
  struct stwi_world_conn *conn = &world->conns[effect->conn];
  const struct stwi_world_link *link = stwi_world_link_find(world, effect->conn, effect->link);
  if (link == NULL || !link->is_ready)
    stwi_world_break(world, STW_RULE_INBOUND, "a message from link %u, which is not ready",
                     effect->link);
  stwi_world_looked(world, STW_RULE_PAUSED);
  if (link != NULL && link->paused_at != 0 && link->paused_at < world->now)
    stwi_world_break(world, STW_RULE_PAUSED, "a message from link %u, which is paused",
                     effect->link);
  conn->inbound++;
  world->deliveries++;
  size_t size = effect->u.message.size;
  if (size > sizeof conn->last_inbound - 1)
    size = sizeof conn->last_inbound - 1;
  memcpy(conn->last_inbound, effect->u.message.data, size);
  conn->last_inbound[size] = '\0';
}

static const char *detail_of(const stw_event *event) {
  switch (event->kind) {
  case STW_EVENT_STATE:
    return event->u.state.detail;
  case STW_EVENT_RETRY:
    return event->u.retry.detail;
  case STW_EVENT_CLOSED:
    return event->u.closed.detail;
  case STW_EVENT_MESSAGE_ENDED:
    return event->u.ended.detail;
  default:
    return "";
  }
}

static void log_event(struct stwi_world *world, const struct stwi_effect *effect) {
  const char *detail = detail_of(&effect->u.event);
  if (world->is_unlogged && detail != NULL && strnlen(detail, 160) < 160)
    return;
  void *events = world->events;
  if (!stwi_world_grow(world, &events, world->event_count, &world->event_capacity,
                       sizeof *world->events))
    return;
  world->events = events;
  struct stwi_world_event *event = &world->events[world->event_count++];
  memset(event, 0, sizeof *event);
  event->at = world->now;
  event->conn = effect->conn;
  event->event = effect->u.event;
  snprintf(event->detail, sizeof event->detail, "%s", detail == NULL ? "(null)" : detail);
}

/* What a planted mistake keeps from whoever looks. */
static bool is_kept_back(struct stwi_world *world, const stw_event *event) {
  switch (event->kind) {
  case STW_EVENT_MESSAGE_ENDED:
    return stwi_world_plants(world, STW_PLANT_END_UNTOLD);
  case STW_EVENT_RESUMED:
    return stwi_world_plants(world, STW_PLANT_UNPAIRED);
  case STW_EVENT_STATE:
    return event->u.state.to == STW_STATE_SUSPECT &&
           stwi_world_plants(world, STW_PLANT_CHANGE_UNTOLD);
  default:
    return false;
  }
}

static void perform_event(struct stwi_world *world, const struct stwi_effect *effect) {
  const stw_event *event = &effect->u.event;
  if (is_kept_back(world, event))
    return;
  log_event(world, effect);
  stwi_world_log_event(world, effect->conn, event, detail_of(event));
  stwi_world_check_event(world, effect->conn, event);
  if (event->kind == STW_EVENT_CLOSED && stwi_world_plants(world, STW_PLANT_AFTER_CLOSED))
    stwi_world_check_event(world, effect->conn, event);
}

#define DIGEST_PRIME 1099511628211u

static void digest(struct stwi_world *world, const struct stwi_effect *effect) {
  uint64_t what = (uint64_t)effect->kind << 56 ^ (uint64_t)effect->conn << 40 ^ effect->link;
  if (effect->kind == STWI_FX_EVENT)
    what ^= (uint64_t)effect->u.event.kind << 48;
  if (effect->kind == STWI_FX_WRITE)
    what ^= (uint64_t)effect->u.write.size << 20;
  world->digest = (world->digest ^ what) * DIGEST_PRIME;
  world->digest = (world->digest ^ world->now) * DIGEST_PRIME;
}

void stwi_world_perform(struct stwi_world *world, const struct stwi_effect *effect) {
  digest(world, effect);
  if (effect->conn >= world->conn_count || !world->conns[effect->conn].is_open) {
    stwi_world_break(world, STW_RULE_RELEASED, "effect %d for the unknown conn %u",
                     (int)effect->kind, effect->conn);
    return;
  }
  switch (effect->kind) {
  case STWI_FX_DIAL:
    perform_dial(world, effect);
    break;
  case STWI_FX_WRITE:
  case STWI_FX_PAUSE:
  case STWI_FX_LOOK:
  case STWI_FX_CUT:
    perform_on_link(world, effect);
    break;
  case STWI_FX_RESTART:
    stwi_world_break(world, STW_RULE_RELEASED, "a WebSocket has no stream to begin anew");
    break;
  case STWI_FX_MESSAGE:
    perform_message(world, effect);
    break;
  case STWI_FX_EVENT:
    perform_event(world, effect);
    break;
  case STWI_FX_STORE:
    if (!world->conns[effect->conn].is_dying)
      stwi_world_store_change(world, effect->conn, &effect->u.store);
    world->conns[effect->conn].is_touched = true;
    break;
  case STWI_FX_PUBLISH:
    world->conns[effect->conn].is_touched = true;
    break;
  }
}
