#include "sim/world_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLANTED_ATTEMPTS 20u

struct stwi_world_server *stwi_world_server(struct stwi_world *world, const char *name) {
  struct stwi_world_server *server = &world->servers[world->server_count++];
  snprintf(server->name, sizeof server->name, "%s", name);
  server->has_echo = true;
  server->latency_ns = STWI_MS;
  server->close_code = 1002;
  server->session_options.struct_size = sizeof server->session_options;
  server->session_options.says_processed = true;
  return server;
}

uint64_t stwi_world_latency(struct stwi_world *world, const struct stwi_world_server *server) {
  return server->latency_ns + stwi_random_below(&world->random, server->jitter_ns + 1);
}

void stwi_world_down(struct stwi_world *world, struct stwi_world_link *link, stw_cause cause,
                     uint16_t status, uint64_t retry_after_ms, uint64_t after_ns) {
  if (link->is_down_due)
    return;
  link->is_down_due = true;
  const struct stwi_input input = {
      .kind = STWI_IN_DOWN,
      .u.down = {.cause = cause, .http_status = status, .retry_after_ms = retry_after_ms}};
  stwi_world_to_core(world, link, &input, after_ns);
}

/* ---- attempts ---- */

static struct stwi_world_server *find_server(struct stwi_world *world, const char *host) {
  for (uint32_t i = 0; i < world->server_count; i++)
    if (strcmp(world->servers[i].name, host) == 0)
      return &world->servers[i];
  return NULL;
}

/* One that does not answer in time is as good as none. */
static uint64_t resolver_time(struct stwi_world *world, const struct stwi_world_server *server) {
  return server->resolve_ns == 0 ? 0 : stwi_random_below(&world->random, server->resolve_ns);
}

static void phase(struct stwi_world *world, struct stwi_world_link *link, stw_phase phase,
                  uint64_t after) {
  const struct stwi_input input = {.kind = STWI_IN_PHASE, .u.phase.phase = phase};
  stwi_world_to_core(world, link, &input, after);
}

void stwi_world_dial(struct stwi_world *world, struct stwi_world_link *link,
                     const struct stwi_dial *dial) {
  link->server = find_server(world, dial->host);
  if (link->server == NULL) {
    link->server = &world->nowhere;
    stwi_world_down(world, link, STW_CAUSE_DNS_NXDOMAIN, 0, 0, STWI_MS);
    return;
  }
  struct stwi_world_server *server = link->server;
  server->dials++;
  const unsigned attempts = world->plant == STW_PLANT_NO_BUDGET ? PLANTED_ATTEMPTS : 1;
  for (unsigned i = 0; i < attempts; i++)
    stwi_world_budget_dial(world, server);
  if (world->is_mended && world->plant == STW_PLANT_NEVER_BACK)
    return;
  link->is_session = stwi_world_session_is_offered(server, dial->subprotocols);
  link->is_optimistic =
      (server->memory == NULL ? server : server->memory)->session_options.takes_optimistic;
  link->eats_to_server = server->eats_to_server;
  link->eats_to_client = server->eats_to_client;
  if (server->is_resolver_mute)
    return;
  const uint64_t resolved = resolver_time(world, server);
  if (server->is_unresolved) {
    stwi_world_down(world, link, STW_CAUSE_DNS_NXDOMAIN, 0, 0, resolved);
    return;
  }
  phase(world, link, STW_PHASE_TCP, resolved);
  switch (server->door) {
  case STWI_WORLD_DOOR_BLACKHOLE:
    return;
  case STWI_WORLD_DOOR_REFUSED:
    stwi_world_down(world, link, STW_CAUSE_TCP_REFUSED, 0, 0,
                    resolved + 2 * stwi_world_latency(world, server));
    return;
  case STWI_WORLD_DOOR_CAUSE:
    stwi_world_down(world, link, server->door_cause, 0, 0, 2 * stwi_world_latency(world, server));
    return;
  case STWI_WORLD_DOOR_OPEN:
  case STWI_WORLD_DOOR_NO_UPGRADE:
  case STWI_WORLD_DOOR_HTTP:
    break;
  }
  phase(world, link, STW_PHASE_UPGRADE, resolved + 2 * stwi_world_latency(world, server));
  stwi_world_wire_put(world, (struct stwi_world_wire){.at = world->now + resolved +
                                                            3 * stwi_world_latency(world, server),
                                                      .kind = STWI_WORLD_AT_SERVER,
                                                      .link = link});
}

void stwi_world_server_end(struct stwi_world *world, struct stwi_world_link *link, uint16_t code,
                           const char *reason) {
  uint8_t frame[200];
  if (link->is_dead || link->has_close_sent)
    return;
  link->has_close_sent = true;
  stwi_world_budget_young(world, link);
  const size_t size = stwi_close_encode(frame, NULL, code, reason, strlen(reason));
  const struct stwi_input input = {.kind = STWI_IN_BYTES, .u.bytes = {frame, size}};
  stwi_world_to_core(world, link, &input, stwi_world_latency(world, link->server));
}

static void reset_link(struct stwi_world *world, struct stwi_world_link *link, stw_cause cause) {
  if (link->is_dead)
    return;
  stwi_world_budget_young(world, link);
  link->is_dead = true;
  stwi_world_session_gone(link);
  stwi_world_down(world, link, cause, 0, 0, stwi_world_latency(world, link->server));
}

/* True: go on and accept. */
static bool may_log_in(struct stwi_world *world, struct stwi_world_link *link) {
  if (link->server->login == STWI_WORLD_LOGIN_MANY)
    return true;
  for (struct stwi_world_link *old = link->next; old != NULL; old = old->next) {
    if (!old->is_accepted || old->is_dead || old->has_close_sent || old->server != link->server)
      continue;
    if (link->server->login == STWI_WORLD_LOGIN_OLD_WINS) {
      stwi_world_down(world, link, STW_CAUSE_HTTP_4XX, 409, 0,
                      stwi_world_latency(world, link->server));
      return false;
    }
    stwi_world_server_end(world, old, 4409, "logged in elsewhere");
  }
  return true;
}

void stwi_world_at_door(struct stwi_world *world, struct stwi_world_link *link) {
  struct stwi_world_server *server = link->server;
  const uint64_t after = stwi_world_latency(world, server);
  if (server->door == STWI_WORLD_DOOR_REFUSED) {
    reset_link(world, link, STW_CAUSE_UPGRADE_EOF);
    return;
  }
  if (server->door == STWI_WORLD_DOOR_HTTP) {
    stwi_world_down(world, link, stwi_cause_of_http(server->http_status), server->http_status,
                    server->retry_after_ms, after);
    return;
  }
  if (server->door == STWI_WORLD_DOOR_BLACKHOLE || server->door == STWI_WORLD_DOOR_NO_UPGRADE ||
      !may_log_in(world, link))
    return;
  stwi_decoder_init(&link->decoder, STWI_FRAME_SERVER, 64 * 1024 * 1024);
  link->is_accepted = true;
  link->accepted_at = world->now;
  server->accepts++;
  const char *subprotocol = link->is_session ? STWI_SESSION_SUBPROTOCOL : "";
  const struct stwi_input input = {
      .kind = STWI_IN_READY, .u.ready = {.subprotocol = subprotocol, .network = server->network}};
  stwi_world_to_core(world, link, &input, after);
  if (server->throws_out && server->throw_out_code == 0)
    reset_link(world, link, STW_CAUSE_ABNORMAL_RST);
  else if (server->throws_out)
    stwi_world_server_end(world, link, server->throw_out_code, "not now");
}

/* ---- frames ---- */

void stwi_world_server_send(struct stwi_world *world, struct stwi_world_link *link, unsigned opcode,
                            const void *payload, size_t size) {
  if (link->is_dead || link->has_close_sent)
    return;
  uint8_t *frame = malloc(stwi_frame_size(size, false));
  if (!stwi_world_has(world, frame != NULL))
    return;
  const size_t used = stwi_frame_encode(frame, opcode, true, NULL, payload, size);
  const struct stwi_input input = {.kind = STWI_IN_BYTES, .u.bytes = {frame, used}};
  stwi_world_to_core(world, link, &input, stwi_world_latency(world, link->server));
  free(frame);
}

static bool has_text(const struct stwi_item *item, const char *text) {
  return text != NULL && memmem(item->data, item->size, text, strlen(text)) != NULL;
}

static void on_message(struct stwi_world *world, struct stwi_world_link *link,
                       const struct stwi_item *item) {
  struct stwi_world_server *server = link->server;
  if (link->is_session) {
    stwi_world_session_read(world, link, item->data, item->size);
    return;
  }
  if (has_text(item, server->rejects)) {
    stwi_world_server_end(world, link, server->reject_code, "not this one");
    return;
  }
  if (item->size > 0 && item->data[0] == 'o') {
    link->openings++;
    link->openings_before += link->messages == 0;
    if (server->opening_reply != NULL)
      stwi_world_server_send(world, link, STWI_OP_TEXT, server->opening_reply,
                             strlen(server->opening_reply));
    return;
  }
  stwi_world_check_received(world, link, STW_LANE_COUNT, item->data, item->size);
  if (server->has_echo)
    stwi_world_server_send(world, link, STWI_OP_TEXT, item->data, item->size);
}

static void hold_pong(struct stwi_world_link *link, const struct stwi_item *item) {
  if (link->held_count == 64)
    return;
  link->held_size[link->held_count] = (uint8_t)item->size;
  memcpy(link->held[link->held_count++], item->data, item->size);
}

static void on_ping(struct stwi_world *world, struct stwi_world_link *link,
                    const struct stwi_item *item) {
  link->pings++;
  link->server->pings++;
  link->server->has_been_mute |= link->server->pong != STWI_WORLD_PONG_ANSWER;
  switch (link->server->pong) {
  case STWI_WORLD_PONG_ANSWER:
    stwi_world_server_send(world, link, STWI_OP_PONG, item->data, item->size);
    break;
  case STWI_WORLD_PONG_NEVER:
    break;
  case STWI_WORLD_PONG_HOLD:
    hold_pong(link, item);
    break;
  case STWI_WORLD_PONG_LAST:
    link->held_count = 0;
    hold_pong(link, item);
    break;
  case STWI_WORLD_PONG_CLOSE:
    if (link->server->close_code == 0)
      reset_link(world, link, STW_CAUSE_ABNORMAL_RST);
    else
      stwi_world_server_end(world, link, link->server->close_code, "no pings here");
    break;
  }
}

static void release(struct stwi_world *world, struct stwi_world_link *link) {
  for (uint32_t i = 0; i < link->held_count; i++)
    stwi_world_server_send(world, link, STWI_OP_PONG, link->held[i], link->held_size[i]);
  link->held_count = 0;
}

static void on_close(struct stwi_world *world, struct stwi_world_link *link,
                     const struct stwi_item *item) {
  if (link->server->is_mute_to_close)
    return;
  stwi_world_server_end(world, link, item->close_code, "");
  reset_link(world, link, STW_CAUSE_ABNORMAL_FIN);
}

static void on_item(struct stwi_world *world, struct stwi_world_link *link,
                    const struct stwi_item *item) {
  switch (item->kind) {
  case STWI_ITEM_TEXT:
  case STWI_ITEM_BINARY:
    on_message(world, link, item);
    break;
  case STWI_ITEM_PING:
    on_ping(world, link, item);
    break;
  case STWI_ITEM_CLOSE:
    on_close(world, link, item);
    break;
  case STWI_ITEM_ERROR:
    stwi_world_break(world, STW_RULE_FRAMES, "the core wrote a bad frame on link %u: %s", link->gen,
                     item->why);
    break;
  default:
    break;
  }
}

void stwi_world_server_read(struct stwi_world *world, struct stwi_world_link *link,
                            const uint8_t *bytes, size_t size) {
  if (!link->is_accepted)
    return;
  link->bytes_in += size;
  stwi_world_looked(world, STW_RULE_FRAMES);
  const uint64_t limit = link->server->drop_after;
  if (limit != 0 && link->bytes_in > limit) {
    const uint64_t over = link->bytes_in - limit;
    size -= over < size ? (size_t)over : size;
  }
  while (!link->is_dead && !link->has_close_sent) {
    const struct stwi_item item = stwi_decoder_next(&link->decoder, &bytes, &size);
    if (item.kind == STWI_ITEM_NONE)
      break;
    on_item(world, link, &item);
  }
  if (link->server->pong == STWI_WORLD_PONG_LAST)
    release(world, link);
  if (limit != 0 && link->bytes_in > limit)
    reset_link(world, link, STW_CAUSE_ABNORMAL_RST);
}

void stwi_world_server_gone(struct stwi_world_link *link) {
  stwi_world_session_gone(link);
  link->is_dead = true;
}

/* ---- what servers and the path do ---- */

#define FOR_LINKS(world, server, link)                                                             \
  for (uint32_t slot_ = 0; slot_ < (world)->conn_count; slot_++)                                   \
    for (struct stwi_world_link *link = (world)->conns[slot_].links; link != NULL;                 \
         link = link->next)                                                                        \
      if (link->server == (server) && link->is_accepted && !link->is_dead)

void stwi_world_kill(struct stwi_world *world, struct stwi_world_server *server, stw_cause cause) {
  server->door = STWI_WORLD_DOOR_REFUSED;
  FOR_LINKS(world, server, link) reset_link(world, link, cause);
}

void stwi_world_restart(struct stwi_world *world, struct stwi_world_server *server) {
  (void)world;
  server->door = STWI_WORLD_DOOR_OPEN;
}

void stwi_world_server_close(struct stwi_world *world, struct stwi_world_server *server,
                             uint16_t code, const char *reason) {
  FOR_LINKS(world, server, link) stwi_world_server_end(world, link, code, reason);
}

void stwi_world_server_text(struct stwi_world *world, struct stwi_world_server *server,
                            const char *text) {
  FOR_LINKS(world, server, link)
  stwi_world_server_send(world, link, STWI_OP_TEXT, text, strlen(text));
}

void stwi_world_server_bytes(struct stwi_world *world, struct stwi_world_server *server,
                             const void *bytes, size_t size) {
  const struct stwi_input input = {.kind = STWI_IN_BYTES, .u.bytes = {bytes, size}};
  FOR_LINKS(world, server, link) {
    server->has_been_mute |= !link->has_ponged; /* if it breaks the protocol, it ends the link */
    stwi_world_to_core(world, link, &input, stwi_world_latency(world, server));
  }
}

void stwi_world_swallow(struct stwi_world *world, struct stwi_world_server *server, bool to_server,
                        bool to_client) {
  FOR_LINKS(world, server, link) {
    server->has_been_mute = true;
    link->eats_to_server = link->eats_to_server || to_server; /* a stream with a hole never heals */
    link->eats_to_client = link->eats_to_client || to_client;
  }
}

void stwi_world_release_pongs(struct stwi_world *world, struct stwi_world_server *server) {
  FOR_LINKS(world, server, link) release(world, link);
}

void stwi_world_freeze(struct stwi_world *world, struct stwi_world_server *server,
                       uint64_t for_ns) {
  if (server->frozen_until < world->now + for_ns)
    server->frozen_until = world->now + for_ns;
}
