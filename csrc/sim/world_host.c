#include "sim/world_inside.h"

#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX (8u * 1024 * 1024)

/* ---- the host ---- */

static size_t words_in(const char *names) {
  size_t count = 0;
  for (const char *at = names; *at != '\0'; at++)
    count += *at != ' ' && (at == names || at[-1] == ' ');
  return count;
}

static bool parse_urls(struct stwi_conn_config *config, const char *names) {
  config->urls = stwi_alloc((words_in(names) + 1) * sizeof *config->urls);
  if (config->urls == NULL)
    return false;
  for (const char *at = names; *at != '\0';) {
    const size_t size = strcspn(at, " ");
    char url[64];
    const char *why;
    snprintf(url, sizeof url, "ws://%.*s/", (int)size, at);
    if (stwi_url_parse(url, &config->urls[config->url_count], &why) == STW_OK)
      config->url_count++;
    at += size + strspn(at + size, " ");
  }
  return config->url_count == words_in(names);
}

struct stwi_conn_config *stwi_world_config(const char *names) {
  struct stwi_conn_config *config = stwi_alloc(sizeof *config);
  if (config == NULL)
    return NULL;
  *config = (struct stwi_conn_config){
      .open_timeout_ns = 5 * STWI_S,
      .close_timeout_ns = 5 * STWI_S,
      .heartbeat_interval_ns = 15 * STWI_S,
      .has_heartbeat = true,
      .retry_window_ns = STWI_S,
      .retry_cap_ns = 60 * STWI_S,
      .has_hedge = true,
      .outbox_messages = 10000,
      .outbox_bytes = 64 * 1024 * 1024,
      .max_message = 16 * 1024 * 1024,
      .inbound_buffer = 4 * 1024 * 1024,
      .ready_timeout_ns = 5 * STWI_S,
      .credentials_timeout_ns = 5 * STWI_S,
  };
  if (stwi_conn_config_fill(config) && parse_urls(config, names))
    return config;
  stwi_conn_config_free(config);
  return NULL;
}

/* A slot names links together with their generation: it is free when they are all gone. */
bool stwi_world_is_gone(const struct stwi_world_conn *conn) {
  for (const struct stwi_world_link *link = conn->links; link != NULL; link = link->next)
    if (!link->is_gone)
      return false;
  return true;
}

static uint32_t free_slot(struct stwi_world *world) {
  for (uint32_t i = 0; i < world->conn_count; i++)
    if (!world->conns[i].is_open && stwi_world_is_gone(&world->conns[i]))
      return i;
  void *conns = world->conns;
  if (!stwi_world_grow(world, &conns, world->conn_count, &world->conn_capacity,
                       sizeof *world->conns))
    return 0;
  world->conns = conns;
  memset(&world->conns[world->conn_count], 0, sizeof *world->conns);
  return world->conn_count++;
}

void stwi_world_open_slot(struct stwi_world *world, uint32_t slot, struct stwi_conn_config *config,
                          uint64_t stream, struct stwi_restored *restored) {
  const struct stwi_input input = {.kind = STWI_IN_OPEN,
                                   .conn = slot,
                                   .u.open = {.config = config,
                                              .stream = stream,
                                              .restored = restored,
                                              .seed = stwi_random_next(&world->random),
                                              .handle = {slot + 1}}};
  if (stwi_world_has(world, config != NULL))
    stwi_world_input(world, &input);
}

/* What was counted in the slot is over; the ledgers keep their memory. */
static void begin_slot(struct stwi_world *world, struct stwi_world_conn *conn) {
  struct stwi_world_lane lanes[STW_LANE_COUNT];
  memcpy(lanes, conn->lanes, sizeof lanes);
  stwi_model_free(conn->store);
  stwi_world_retire_links(world, conn);
  *conn = (struct stwi_world_conn){
      .is_open = true, .since = world->now, .opened_at = world->now, .life = conn->life + 1};
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    conn->lanes[lane].messages = lanes[lane].messages;
    conn->lanes[lane].capacity = lanes[lane].capacity;
  }
}

uint32_t stwi_world_open_restored(struct stwi_world *world, struct stwi_conn_config *config,
                                  struct stwi_restored *restored) {
  const uint32_t slot = free_slot(world);
  if (world->broken[0] != '\0') {
    stwi_conn_config_free(config);
    return slot;
  }
  begin_slot(world, &world->conns[slot]);
  stwi_world_open_slot(world, slot, config, stwi_random_next(&world->random) & ~(uint64_t)1,
                       restored);
  return slot;
}

uint32_t stwi_world_open_stored(struct stwi_world *world, struct stwi_conn_config *config,
                                uint32_t lag) {
  const uint32_t slot = free_slot(world);
  struct stwi_restored restored;
  uint64_t stream;
  if (world->broken[0] != '\0') {
    stwi_conn_config_free(config);
    return slot;
  }
  struct stwi_world_conn *conn = &world->conns[slot];
  begin_slot(world, conn);
  conn->store = stwi_model_new(stwi_random_next(&world->random), lag);
  conn->lag = lag;
  if (conn->store != NULL && stwi_model_open(conn->store, &restored, &stream)) {
    stwi_world_open_slot(world, slot, config, stream, &restored);
  } else {
    stwi_world_has(world, false);
    stwi_conn_config_free(config);
  }
  return slot;
}

uint32_t stwi_world_open(struct stwi_world *world, struct stwi_conn_config *config) {
  return stwi_world_open_restored(world, config, NULL);
}

uint32_t stwi_world_open_default(struct stwi_world *world, const char *names) {
  return stwi_world_open(world, stwi_world_config(names));
}

void stwi_world_forget(struct stwi_world *world, uint32_t conn) {
  stwi_world_do(world, conn, STWI_IN_FORGET);
  for (struct stwi_world_link *link = world->conns[conn].links; link != NULL; link = link->next)
    if (!link->is_cut && !link->is_over)
      stwi_world_break(world, STW_RULE_RELEASED, "link %u of a forgotten conn was not cut",
                       link->gen);
  world->conns[conn].is_open = false;
}

static struct stwi_world_message *new_message(struct stwi_world *world,
                                              struct stwi_world_conn *conn,
                                              const struct stwi_world_send *how) {
  struct stwi_world_lane *lane = &conn->lanes[how->lane];
  void *messages = lane->messages;
  if (!stwi_world_grow(world, &messages, lane->sent, &lane->capacity, sizeof *lane->messages))
    return NULL;
  lane->messages = messages;
  struct stwi_world_message *message = &lane->messages[lane->sent++];
  *message = (struct stwi_world_message){.life = conn->life, .guarantee = how->guarantee};
  return message;
}

/* The body says whose it is, m in the data, c in the control lane:
 * m:<conn>:<number>:<marker>:[<life>:] */
static struct stwi_chunk *make_message(struct stwi_world *world, uint32_t slot, uint64_t number,
                                       const struct stwi_world_send *how) {
  char head[128];
  int length =
      snprintf(head, sizeof head, "%c:%u:%llu:%s:", how->lane == STW_LANE_CONTROL ? 'c' : 'm', slot,
               (unsigned long long)number, how->marker == NULL ? "" : how->marker);
  if (world->conns[slot].life > 1)
    length += snprintf(head + length, sizeof head - (size_t)length, "%u:", world->conns[slot].life);
  uint32_t size = how->size > (uint32_t)length ? how->size : (uint32_t)length;
  size = size > BODY_MAX ? BODY_MAX : size;
  char *body = malloc(size);
  const uint8_t key_size = how->key == NULL ? 0 : (uint8_t)strlen(how->key);
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(key_size, size));
  if (!stwi_world_has(world, body != NULL) || !stwi_world_has(world, chunk != NULL)) {
    stwi_chunk_free_list(chunk);
    free(body);
    return NULL;
  }
  memset(body, '.', size);
  memcpy(body, head, (size_t)length);
  struct stwi_msg *msg = stwi_chunk_append(chunk, how->key, key_size, body, size);
  msg->number = number;
  msg->id = (stw_message_id){stwi_world_inside(world, slot)->stream | (uint64_t)how->lane, number};
  msg->lane = (uint8_t)how->lane;
  msg->ttl_ns = how->ttl_ns;
  msg->is_text = true;
  msg->guarantee = (uint8_t)how->guarantee;
  msg->is_refused = how->is_refused;
  free(body);
  return chunk;
}

uint64_t stwi_world_send(struct stwi_world *world, uint32_t slot,
                         const struct stwi_world_send *how) {
  struct stwi_world_conn *conn = &world->conns[slot];
  if (new_message(world, conn, how) == NULL)
    return 0;
  world->sends++;
  const uint64_t number = conn->lanes[how->lane].sent;
  struct stwi_chunk *chunk = make_message(world, slot, number, how);
  if (chunk == NULL)
    return 0;
  const struct stwi_input input = {.kind = STWI_IN_SUBMIT, .conn = slot, .u.submit.chunks = chunk};
  stwi_world_input(world, &input);
  return number;
}

uint64_t stwi_world_say(struct stwi_world *world, uint32_t conn) {
  return stwi_world_send(world, conn, &(struct stwi_world_send){0});
}

void stwi_world_do(struct stwi_world *world, uint32_t conn, enum stwi_input_kind kind) {
  const struct stwi_input input = {.kind = kind, .conn = conn};
  if (kind == STWI_IN_REOPEN) {
    world->conns[conn].is_closed_told = false;
    world->conns[conn].close_by = 0;
  }
  stwi_world_input(world, &input);
}

void stwi_world_close(struct stwi_world *world, uint32_t conn, uint64_t timeout_ns) {
  const struct stwi_input input = {
      .kind = STWI_IN_CLOSE, .conn = conn, .u.close.deadline = world->now + timeout_ns};
  /* the last one counts, until the handshake has begun */
  const stwi_time by = world->now + timeout_ns + STWI_CLOSE_HANDSHAKE;
  if (world->conns[conn].close_by < by && !world->conns[conn].is_closed_told)
    world->conns[conn].close_by = by;
  stwi_world_input(world, &input);
}

void stwi_world_edit(struct stwi_world *world, uint32_t conn, stw_lane lane, uint64_t number,
                     stw_edit edit) {
  const struct stwi_conn *inside = stwi_world_inside(world, conn);
  const uint64_t stream = inside == NULL ? 0 : inside->stream | (uint64_t)lane;
  const struct stwi_input input = {
      .kind = STWI_IN_EDIT, .conn = conn, .u.edit = {{stream, number}, edit}};
  stwi_world_input(world, &input);
}

void stwi_world_cancel(struct stwi_world *world, uint32_t conn, uint64_t number) {
  stwi_world_edit(world, conn, STW_LANE_DATA, number, STW_EDIT_CANCEL);
}

void stwi_world_opening(struct stwi_world *world, uint32_t conn, const char *key,
                        const char *text) {
  const struct stwi_input input = {
      .kind = STWI_IN_OPENING,
      .conn = conn,
      .u.opening = {
          .key = key, .data = text, .size = text == NULL ? 0 : strlen(text), .is_text = true}};
  stwi_world_input(world, &input);
}

void stwi_world_supply(struct stwi_world *world, uint32_t conn, const char *token,
                       uint64_t valid_ms) {
  const struct stwi_input input = {
      .kind = STWI_IN_SUPPLY, .conn = conn, .u.supply = {.token = token, .valid_ms = valid_ms}};
  stwi_world_input(world, &input);
}

void stwi_world_processed(struct stwi_world *world, uint32_t conn, stw_lane lane, uint64_t number) {
  const struct stwi_input input = {
      .kind = STWI_IN_PROCESSED, .conn = conn, .u.processed = {lane, number}};
  stwi_world_input(world, &input);
}

void stwi_world_inbound(struct stwi_world *world, uint32_t conn, bool is_full) {
  const struct stwi_input input = {
      .kind = STWI_IN_INBOUND, .conn = conn, .u.inbound.is_full = is_full};
  stwi_world_input(world, &input);
}

void stwi_world_network(struct stwi_world *world, stw_network what) {
  const struct stwi_input input = {.kind = STWI_IN_NETWORK, .u.network.what = what};
  stwi_world_input(world, &input);
}

/* The others lived on: what is due meanwhile comes at once afterwards, behind the notice. */
/* A close cannot end while nobody runs. */
static void let_pass(struct stwi_world *world, uint64_t for_ns) {
  world->now += for_ns;
  for (uint32_t slot = 0; slot < world->conn_count; slot++)
    if (world->conns[slot].close_by != 0)
      world->conns[slot].close_by += for_ns + STWI_CLOSE_HANDSHAKE;
}

void stwi_world_stalled(struct stwi_world *world, uint64_t for_ns) {
  let_pass(world, for_ns);
  const struct stwi_input input = {.kind = STWI_IN_STALLED, .u.stalled.for_ns = for_ns};
  stwi_world_input(world, &input);
}

void stwi_world_jumped(struct stwi_world *world, uint64_t for_ns) {
  let_pass(world, for_ns);
  stwi_world_turn(world);
}

void stwi_world_slept(struct stwi_world *world, uint64_t for_ns) {
  stwi_world_wire_hurry(world, for_ns);
  stwi_world_input(world, &(struct stwi_input){.kind = STWI_IN_WAKE});
}
