#include "world_inside.h"

#include <stdlib.h>
#include <string.h>

struct world_server *world_server(struct world *world, const char *name) {
  struct world_server *server = &world->servers[world->server_count++];
  snprintf(server->name, sizeof server->name, "%s", name);
  server->has_echo = true;
  server->latency_ns = STWI_MS;
  server->close_code = 1002;
  server->session_options.struct_size = sizeof server->session_options;
  server->session_options.says_processed = true;
  return server;
}

uint64_t world_latency(struct world *world, const struct world_server *server) {
  return server->latency_ns + stwi_random_below(&world->random, server->jitter_ns + 1);
}

void world_down(struct world *world, struct world_link *link, stw_cause cause, uint16_t status,
                uint64_t retry_after_ms, uint64_t after_ns) {
  if (link->is_down_due)
    return;
  link->is_down_due = true;
  const struct stwi_input input = {
      .kind = STWI_IN_DOWN,
      .u.down = {.cause = cause, .http_status = status, .retry_after_ms = retry_after_ms}};
  world_to_core(world, link, &input, after_ns);
}

/* ---- attempts ---- */

static struct world_server *find_server(struct world *world, const char *host) {
  for (uint32_t i = 0; i < world->server_count; i++)
    if (strcmp(world->servers[i].name, host) == 0)
      return &world->servers[i];
  return NULL;
}

static void phase(struct world *world, struct world_link *link, stw_phase phase, uint64_t after) {
  const struct stwi_input input = {.kind = STWI_IN_PHASE, .u.phase.phase = phase};
  world_to_core(world, link, &input, after);
}

void world_dial(struct world *world, struct world_link *link, const struct stwi_dial *dial) {
  static struct world_server nowhere = {.name = "nowhere"};
  link->server = find_server(world, dial->host);
  if (link->server == NULL) {
    link->server = &nowhere;
    world_down(world, link, STW_CAUSE_DNS_NXDOMAIN, 0, 0, STWI_MS);
    return;
  }
  struct world_server *server = link->server;
  server->dials++;
  link->is_session = world_session_is_offered(server, dial->subprotocols);
  link->is_optimistic = server->session_options.takes_optimistic;
  link->eats_to_server = server->eats_to_server;
  link->eats_to_client = server->eats_to_client;
  phase(world, link, STW_PHASE_TCP, 0);
  switch (server->door) {
  case WORLD_DOOR_BLACKHOLE:
    return;
  case WORLD_DOOR_REFUSED:
    world_down(world, link, STW_CAUSE_TCP_REFUSED, 0, 0, 2 * world_latency(world, server));
    return;
  case WORLD_DOOR_CAUSE:
    world_down(world, link, server->door_cause, 0, 0, 2 * world_latency(world, server));
    return;
  case WORLD_DOOR_OPEN:
  case WORLD_DOOR_NO_UPGRADE:
  case WORLD_DOOR_HTTP:
    break;
  }
  phase(world, link, STW_PHASE_UPGRADE, 2 * world_latency(world, server));
  world_wire_put(world, (struct world_wire){.at = world->now + 3 * world_latency(world, server),
                                            .kind = WORLD_AT_SERVER,
                                            .link = link});
}

void world_server_end(struct world *world, struct world_link *link, uint16_t code,
                      const char *reason) {
  uint8_t frame[200];
  if (link->is_dead || link->has_close_sent)
    return;
  link->has_close_sent = true;
  const size_t size = stwi_close_encode(frame, NULL, code, reason, strlen(reason));
  const struct stwi_input input = {.kind = STWI_IN_BYTES, .u.bytes = {frame, size}};
  world_to_core(world, link, &input, world_latency(world, link->server));
}

static void reset_link(struct world *world, struct world_link *link, stw_cause cause) {
  if (link->is_dead)
    return;
  link->is_dead = true;
  world_session_gone(link);
  world_down(world, link, cause, 0, 0, world_latency(world, link->server));
}

/* True: go on and accept. */
static bool may_log_in(struct world *world, struct world_link *link) {
  if (link->server->login == WORLD_LOGIN_MANY)
    return true;
  for (struct world_link *old = link->next; old != NULL; old = old->next) {
    if (!old->is_accepted || old->is_dead || old->has_close_sent || old->server != link->server)
      continue;
    if (link->server->login == WORLD_LOGIN_OLD_WINS) {
      world_down(world, link, STW_CAUSE_HTTP_4XX, 409, 0, world_latency(world, link->server));
      return false;
    }
    world_server_end(world, old, 4409, "logged in elsewhere");
  }
  return true;
}

void world_at_door(struct world *world, struct world_link *link) {
  struct world_server *server = link->server;
  const uint64_t after = world_latency(world, server);
  if (server->door == WORLD_DOOR_REFUSED) {
    reset_link(world, link, STW_CAUSE_UPGRADE_EOF);
    return;
  }
  if (server->door == WORLD_DOOR_HTTP) {
    world_down(world, link, stwi_cause_of_http(server->http_status), server->http_status,
               server->retry_after_ms, after);
    return;
  }
  if (server->door == WORLD_DOOR_BLACKHOLE || server->door == WORLD_DOOR_NO_UPGRADE ||
      !may_log_in(world, link))
    return;
  stwi_decoder_init(&link->decoder, STWI_FRAME_SERVER, 64 * 1024 * 1024);
  link->is_accepted = true;
  link->accepted_at = world->now;
  server->accepts++;
  const char *subprotocol = link->is_session ? STWI_SESSION_SUBPROTOCOL : "";
  const struct stwi_input input = {.kind = STWI_IN_READY,
                                   .u.ready = {subprotocol, server->network}};
  world_to_core(world, link, &input, after);
}

/* ---- frames ---- */

void world_server_send(struct world *world, struct world_link *link, unsigned opcode,
                       const void *payload, size_t size) {
  if (link->is_dead || link->has_close_sent)
    return;
  uint8_t *frame = malloc(stwi_frame_size(size, false));
  const size_t used = stwi_frame_encode(frame, opcode, true, NULL, payload, size);
  const struct stwi_input input = {.kind = STWI_IN_BYTES, .u.bytes = {frame, used}};
  world_to_core(world, link, &input, world_latency(world, link->server));
  free(frame);
}

static bool has_text(const struct stwi_item *item, const char *text) {
  return text != NULL && memmem(item->data, item->size, text, strlen(text)) != NULL;
}

static void on_message(struct world *world, struct world_link *link, const struct stwi_item *item) {
  struct world_server *server = link->server;
  if (link->is_session) {
    world_session_read(world, link, item->data, item->size);
    return;
  }
  if (has_text(item, server->rejects)) {
    world_server_end(world, link, server->reject_code, "not this one");
    return;
  }
  if (item->size > 0 && item->data[0] == 'o') {
    link->openings++;
    link->openings_before += link->messages == 0;
    if (server->opening_reply != NULL)
      world_server_send(world, link, STWI_OP_TEXT, server->opening_reply,
                        strlen(server->opening_reply));
    return;
  }
  world_check_received(world, link, item->data, item->size);
  if (server->has_echo)
    world_server_send(world, link, STWI_OP_TEXT, item->data, item->size);
}

static void hold_pong(struct world_link *link, const struct stwi_item *item) {
  if (link->held_count == 64)
    return;
  link->held_size[link->held_count] = (uint8_t)item->size;
  memcpy(link->held[link->held_count++], item->data, item->size);
}

static void on_ping(struct world *world, struct world_link *link, const struct stwi_item *item) {
  link->pings++;
  link->server->pings++;
  link->server->has_been_mute |= link->server->pong != WORLD_PONG_ANSWER;
  switch (link->server->pong) {
  case WORLD_PONG_ANSWER:
    world_server_send(world, link, STWI_OP_PONG, item->data, item->size);
    break;
  case WORLD_PONG_NEVER:
    break;
  case WORLD_PONG_HOLD:
    hold_pong(link, item);
    break;
  case WORLD_PONG_LAST:
    link->held_count = 0;
    hold_pong(link, item);
    break;
  case WORLD_PONG_CLOSE:
    if (link->server->close_code == 0)
      reset_link(world, link, STW_CAUSE_ABNORMAL_RST);
    else
      world_server_end(world, link, link->server->close_code, "no pings here");
    break;
  }
}

static void release(struct world *world, struct world_link *link) {
  for (uint32_t i = 0; i < link->held_count; i++)
    world_server_send(world, link, STWI_OP_PONG, link->held[i], link->held_size[i]);
  link->held_count = 0;
}

static void on_close(struct world *world, struct world_link *link, const struct stwi_item *item) {
  if (link->server->is_mute_to_close)
    return;
  world_server_end(world, link, item->close_code, "");
  reset_link(world, link, STW_CAUSE_ABNORMAL_FIN);
}

static void on_item(struct world *world, struct world_link *link, const struct stwi_item *item) {
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
    world_break(world, "the core wrote a bad frame on link %u: %s", link->gen, item->why);
    break;
  default:
    break;
  }
}

void world_server_read(struct world *world, struct world_link *link, const uint8_t *bytes,
                       size_t size) {
  if (!link->is_accepted)
    return;
  link->bytes_in += size;
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
  if (link->server->pong == WORLD_PONG_LAST)
    release(world, link);
  if (limit != 0 && link->bytes_in > limit)
    reset_link(world, link, STW_CAUSE_ABNORMAL_RST);
}

void world_server_gone(struct world_link *link) {
  world_session_gone(link);
  link->is_dead = true;
}

/* ---- what servers and the path do ---- */

#define FOR_LINKS(world, server, link)                                                             \
  for (uint32_t slot_ = 0; slot_ < (world)->conn_count; slot_++)                                   \
    for (struct world_link *link = (world)->conns[slot_].links; link != NULL; link = link->next)   \
      if (link->server == (server) && link->is_accepted && !link->is_dead)

void world_kill(struct world *world, struct world_server *server, stw_cause cause) {
  server->door = WORLD_DOOR_REFUSED;
  FOR_LINKS(world, server, link) reset_link(world, link, cause);
}

void world_restart(struct world *world, struct world_server *server) {
  (void)world;
  server->door = WORLD_DOOR_OPEN;
}

void world_server_close(struct world *world, struct world_server *server, uint16_t code,
                        const char *reason) {
  FOR_LINKS(world, server, link) world_server_end(world, link, code, reason);
}

void world_server_text(struct world *world, struct world_server *server, const char *text) {
  FOR_LINKS(world, server, link) world_server_send(world, link, STWI_OP_TEXT, text, strlen(text));
}

void world_server_bytes(struct world *world, struct world_server *server, const void *bytes,
                        size_t size) {
  const struct stwi_input input = {.kind = STWI_IN_BYTES, .u.bytes = {bytes, size}};
  FOR_LINKS(world, server, link) {
    server->has_been_mute |= !link->has_ponged; /* if it breaks the protocol, it ends the link */
    world_to_core(world, link, &input, world_latency(world, server));
  }
}

void world_swallow(struct world *world, struct world_server *server, bool to_server,
                   bool to_client) {
  FOR_LINKS(world, server, link) {
    server->has_been_mute = true;
    link->eats_to_server = link->eats_to_server || to_server; /* a stream with a hole never heals */
    link->eats_to_client = link->eats_to_client || to_client;
  }
}

void world_release_pongs(struct world *world, struct world_server *server) {
  FOR_LINKS(world, server, link) release(world, link);
}

void world_freeze(struct world *world, struct world_server *server, uint64_t for_ns) {
  if (server->frozen_until < world->now + for_ns)
    server->frozen_until = world->now + for_ns;
}
