#include "world_inside.h"

#include "core/mem.h"
#include "io/envelope.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TURNS_MAX 10000u
#define BODY_MAX (8u * 1024 * 1024)

void world_break(struct world *world, const char *format, ...) {
  if (world->broken[0] != '\0')
    return;
  char text[WORLD_BROKEN_BYTES / 2];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  snprintf(world->broken, sizeof world->broken, "at %.3f s: %s",
           (double)(world->now - WORLD_START) / 1e9, text);
}

struct world *world_new(uint64_t seed) {
  struct world *world = calloc(1, sizeof *world);
  if (world == NULL)
    return NULL;
  world->core = stwi_core_new(&stwi_envelope);
  stwi_effects_init(&world->effects);
  stwi_random_seed(&world->random, seed);
  world->now = WORLD_START;
  if (world->core != NULL)
    return world;
  free(world);
  return NULL;
}

static void free_links(struct world_link *link) {
  while (link != NULL) {
    struct world_link *next = link->next;
    stwi_decoder_fini(&link->decoder);
    for (size_t i = 0; i < link->unread_count; i++)
      free(link->unread[i].bytes);
    free(link->unread);
    free(link);
    link = next;
  }
}

/* Something of theirs may still be under way; it reaches nobody. */
static void retire_links(struct world *world, struct world_conn *conn) {
  while (conn->links != NULL) {
    struct world_link *link = conn->links;
    conn->links = link->next;
    link->is_dead = true;
    link->next = world->retired;
    world->retired = link;
  }
}

void world_free(struct world *world) {
  if (world == NULL)
    return;
  stwi_core_free(world->core);
  stwi_effects_fini(&world->effects);
  for (uint32_t i = 0; i < world->conn_count; i++) {
    free_links(world->conns[i].links);
    free(world->conns[i].messages);
  }
  free_links(world->retired);
  for (size_t i = 0; i < world->wire_count; i++)
    free(world->wires[i].bytes);
  for (uint32_t i = 0; i < world->server_count; i++)
    world_session_forget(&world->servers[i]);
  free(world->wires);
  free(world->events);
  free(world->conns);
  free(world);
}

/* ---- steps ---- */

static void give_entropy(struct world *world) {
  size_t size;
  uint8_t *bytes = stwi_core_entropy_want(world->core, &size);
  for (size_t i = 0; i + 8 <= size; i += 8) {
    const uint64_t value = stwi_random_next(&world->random);
    memcpy(bytes + i, &value, 8);
  }
  if (size > 0)
    stwi_core_entropy_given(world->core);
}

void world_step(struct world *world, const struct stwi_input *inputs, size_t count) {
  give_entropy(world);
  world->effects.count = 0;
  world->steps++;
  stwi_core_step(world->core, inputs, count, world->now, &world->effects);
  for (size_t i = 0; i < world->effects.count && world->broken[0] == '\0'; i++)
    world_perform(world, &world->effects.items[i]);
}

void world_turn(struct world *world) {
  const struct stwi_input input = {.kind = STWI_IN_TURN};
  uint32_t turns = 0;
  do {
    if (world->broken[0] != '\0')
      return;
    if (turns++ > TURNS_MAX)
      world_break(world, "the core never comes to rest");
    world_step(world, &input, 1);
  } while (stwi_core_has_more(world->core) || stwi_core_deadline(world->core) <= world->now);
  world_check_turn(world);
}

void world_input(struct world *world, const struct stwi_input *input) {
  world_step(world, input, 1);
  world_turn(world);
}

/* Everything due now in one batch, or one by one: both must be right. */
static void deliver_due(struct world *world) {
  struct world_wire wire;
  while (world->broken[0] == '\0' && world_wire_take(world, &wire)) {
    world_deliver(world, &wire);
    free(wire.bytes);
    if (stwi_random_below(&world->random, 2) == 0)
      world_turn(world);
  }
}

/* Moves to the next thing that happens, at most to `end`. */
static void advance(struct world *world, stwi_time end) {
  stwi_time next = world_wire_first(world);
  if (stwi_core_deadline(world->core) < next)
    next = stwi_core_deadline(world->core);
  world->now = next > end ? end : next > world->now ? next : world->now;
  deliver_due(world);
  if (world->broken[0] == '\0')
    world_turn(world);
}

bool world_run_until(struct world *world, world_condition *condition, void *context,
                     uint64_t for_ns) {
  const stwi_time end = world->now + for_ns;
  world_turn(world);
  while (world->broken[0] == '\0') {
    if (condition(world, context))
      return true;
    const bool is_idle = world_wire_first(world) > end && stwi_core_deadline(world->core) > end;
    advance(world, end);
    if (is_idle)
      return condition(world, context);
  }
  return false;
}

static bool never(struct world *world, void *context) {
  (void)world;
  (void)context;
  return false;
}

void world_run(struct world *world, uint64_t for_ns) {
  world_run_until(world, never, NULL, for_ns);
}

struct wanted {
  uint32_t conn;
  stw_state state;
};

static bool is_in_state(struct world *world, void *context) {
  const struct wanted *wanted = context;
  return world_state(world, wanted->conn) == wanted->state;
}

bool world_run_to(struct world *world, uint32_t conn, stw_state state, uint64_t for_ns) {
  struct wanted wanted = {conn, state};
  return world_run_until(world, is_in_state, &wanted, for_ns);
}

static bool is_settled(struct world *world, void *context) {
  return stwi_conn_is_delivered(world_inside(world, *(uint32_t *)context));
}

bool world_run_settled(struct world *world, uint32_t conn, uint64_t for_ns) {
  return world_run_until(world, is_settled, &conn, for_ns);
}

/* ---- the host ---- */

static size_t words_in(const char *names) {
  size_t count = 0;
  for (const char *at = names; *at != '\0'; at++)
    count += *at != ' ' && (at == names || at[-1] == ' ');
  return count;
}

static void parse_urls(struct stwi_conn_config *config, const char *names) {
  config->urls = stwi_alloc((words_in(names) + 1) * sizeof *config->urls);
  for (const char *at = names; *at != '\0';) {
    const size_t size = strcspn(at, " ");
    char url[64];
    const char *why;
    snprintf(url, sizeof url, "ws://%.*s/", (int)size, at);
    if (stwi_url_parse(url, &config->urls[config->url_count], &why) == STW_OK)
      config->url_count++;
    at += size + strspn(at + size, " ");
  }
}

struct stwi_conn_config *world_config(const char *names) {
  struct stwi_conn_config *config = stwi_alloc(sizeof *config);
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
  if (!stwi_conn_config_fill(config))
    abort();
  parse_urls(config, names);
  return config;
}

/* A slot names links together with their generation: it is free when they are all gone. */
static bool is_free(const struct world_conn *conn) {
  for (const struct world_link *link = conn->links; link != NULL; link = link->next)
    if (!link->is_gone)
      return false;
  return !conn->is_open;
}

static uint32_t free_slot(struct world *world) {
  for (uint32_t i = 0; i < world->conn_count; i++)
    if (is_free(&world->conns[i]))
      return i;
  if (world->conn_count == world->conn_capacity) {
    world->conn_capacity = world->conn_capacity == 0 ? 16 : 2 * world->conn_capacity;
    world->conns = realloc(world->conns, world->conn_capacity * sizeof *world->conns);
  }
  memset(&world->conns[world->conn_count], 0, sizeof *world->conns);
  return world->conn_count++;
}

static void open_slot(struct world *world, uint32_t slot, struct stwi_conn_config *config,
                      uint64_t stream, struct stwi_restored *restored) {
  const struct stwi_input input = {.kind = STWI_IN_OPEN,
                                   .conn = slot,
                                   .u.open = {.config = config,
                                              .stream = stream,
                                              .restored = restored,
                                              .seed = stwi_random_next(&world->random),
                                              .handle = {slot + 1}}};
  world_input(world, &input);
}

uint32_t world_open_restored(struct world *world, struct stwi_conn_config *config,
                             struct stwi_restored *restored) {
  const uint32_t slot = free_slot(world);
  struct world_conn *conn = &world->conns[slot];
  struct world_message *messages = conn->messages;
  const uint64_t capacity = conn->capacity;
  retire_links(world, conn);
  *conn = (struct world_conn){.is_open = true,
                              .messages = messages,
                              .capacity = capacity,
                              .since = world->now,
                              .opened_at = world->now};
  open_slot(world, slot, config, stwi_random_next(&world->random) & ~(uint64_t)1, restored);
  return slot;
}

uint32_t world_open(struct world *world, struct stwi_conn_config *config) {
  return world_open_restored(world, config, NULL);
}

uint32_t world_open_default(struct world *world, const char *names) {
  return world_open(world, world_config(names));
}

void world_forget(struct world *world, uint32_t conn) {
  world_do(world, conn, STWI_IN_FORGET);
  for (struct world_link *link = world->conns[conn].links; link != NULL; link = link->next)
    if (!link->is_cut && !link->is_over)
      world_break(world, "link %u of a forgotten conn was not cut", link->gen);
  world->conns[conn].is_open = false;
}

/* Copies what stands, as a store would give it back. */
static struct stwi_chunk *copy_standing(const struct stwi_outbox *outbox) {
  struct stwi_chunk *first = NULL, **last = &first;
  const struct stwi_msg *msg;
  for (uint64_t after = 0; (msg = stwi_outbox_after(outbox, after)) != NULL; after = msg->number) {
    struct stwi_chunk *chunk =
        stwi_chunk_new((uint32_t)stwi_msg_footprint(msg->key_size, msg->size));
    struct stwi_msg *copy =
        stwi_chunk_append(chunk, stwi_msg_key(msg), msg->key_size, stwi_msg_body(msg), msg->size);
    copy->number = msg->number;
    copy->id = msg->id;
    copy->lane = msg->lane;
    copy->is_text = msg->is_text;
    copy->guarantee = msg->guarantee;
    *last = chunk;
    last = &chunk->next;
  }
  return first;
}

static bool is_gone(struct world *world, void *context) {
  for (const struct world_link *link = ((struct world_conn *)context)->links; link != NULL;
       link = link->next)
    if (!link->is_gone)
      return false;
  (void)world;
  return true;
}

void world_crash(struct world *world, uint32_t slot, struct stwi_conn_config *config) {
  struct world_conn *conn = &world->conns[slot];
  const struct stwi_conn *inside = world_inside(world, slot);
  struct stwi_restored restored = {.is_unclean = true, .session = inside->saved};
  const uint64_t stream = inside->stream;
  conn->restored = stwi_lanes_messages(inside->lanes);
  struct stwi_chunk **last = &restored.chunks;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    restored.last_number[lane] = inside->lanes[lane].taken;
    while (*last != NULL)
      last = &(*last)->next;
    *last = copy_standing(&inside->lanes[lane]);
    conn->inbound_ids[lane].number = inside->saved.processed[lane];
  }
  for (uint64_t n = 1; n <= conn->sent; n++)
    if (stwi_outbox_find(&inside->lanes[STW_LANE_DATA], n) == NULL)
      conn->messages[n - 1].is_ended = true;
  world_forget(world, slot);
  world_run_until(world, is_gone, conn, STWI_S);
  retire_links(world, conn);
  conn->is_open = true;
  conn->state = STW_STATE_IDLE;
  conn->since = conn->opened_at = world->now;
  memset(conn->state_ns, 0, sizeof conn->state_ns);
  memset(conn->proven, 0, sizeof conn->proven);
  conn->settled = 0;
  conn->is_closed_told = conn->is_paused = false;
  open_slot(world, slot, config, stream, &restored);
}

static struct world_message *new_message(struct world_conn *conn) {
  if (conn->sent == conn->capacity) {
    conn->capacity = conn->capacity == 0 ? 64 : 2 * conn->capacity;
    conn->messages = realloc(conn->messages, conn->capacity * sizeof *conn->messages);
  }
  struct world_message *message = &conn->messages[conn->sent++];
  memset(message, 0, sizeof *message);
  return message;
}

uint64_t world_send(struct world *world, uint32_t slot, const struct world_send *how) {
  struct world_conn *conn = &world->conns[slot];
  struct world_message *message = new_message(conn);
  message->guarantee = how->guarantee;
  char head[128];
  int length = snprintf(head, sizeof head, "m:%u:%llu:%s:", slot, (unsigned long long)conn->sent,
                        how->marker == NULL ? "" : how->marker);
  uint32_t size = how->size > (uint32_t)length ? how->size : (uint32_t)length;
  size = size > BODY_MAX ? BODY_MAX : size;
  char *body = malloc(size);
  memset(body, '.', size);
  memcpy(body, head, (size_t)length);
  const uint8_t key_size = how->key == NULL ? 0 : (uint8_t)strlen(how->key);
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(key_size, size));
  struct stwi_msg *msg = stwi_chunk_append(chunk, how->key, key_size, body, size);
  msg->number = conn->sent;
  msg->id = (stw_message_id){world_inside(world, slot)->stream, conn->sent};
  msg->ttl_ns = how->ttl_ns;
  msg->is_text = true;
  msg->guarantee = (uint8_t)how->guarantee;
  free(body);
  const struct stwi_input input = {.kind = STWI_IN_SUBMIT, .conn = slot, .u.submit.chunks = chunk};
  world_input(world, &input);
  return conn->sent;
}

uint64_t world_say(struct world *world, uint32_t conn) {
  return world_send(world, conn, &(struct world_send){0});
}

void world_do(struct world *world, uint32_t conn, enum stwi_input_kind kind) {
  const struct stwi_input input = {.kind = kind, .conn = conn};
  if (kind == STWI_IN_REOPEN)
    world->conns[conn].is_closed_told = false;
  world_input(world, &input);
}

void world_close(struct world *world, uint32_t conn, uint64_t timeout_ns) {
  const struct stwi_input input = {
      .kind = STWI_IN_CLOSE, .conn = conn, .u.close.deadline = world->now + timeout_ns};
  world_input(world, &input);
}

void world_cancel(struct world *world, uint32_t conn, uint64_t number) {
  const struct stwi_conn *inside = world_inside(world, conn);
  const uint64_t stream = inside == NULL ? 0 : inside->stream;
  const struct stwi_input input = {
      .kind = STWI_IN_EDIT, .conn = conn, .u.edit = {{stream, number}, STW_EDIT_CANCEL}};
  world_input(world, &input);
}

void world_opening(struct world *world, uint32_t conn, const char *key, const char *text) {
  const struct stwi_input input = {
      .kind = STWI_IN_OPENING,
      .conn = conn,
      .u.opening = {
          .key = key, .data = text, .size = text == NULL ? 0 : strlen(text), .is_text = true}};
  world_input(world, &input);
}

void world_supply(struct world *world, uint32_t conn, const char *token, uint64_t valid_ms) {
  const struct stwi_input input = {
      .kind = STWI_IN_SUPPLY, .conn = conn, .u.supply = {.token = token, .valid_ms = valid_ms}};
  world_input(world, &input);
}

void world_processed(struct world *world, uint32_t conn, stw_lane lane, uint64_t number) {
  const struct stwi_input input = {
      .kind = STWI_IN_PROCESSED, .conn = conn, .u.processed = {lane, number}};
  world_input(world, &input);
}

void world_inbound(struct world *world, uint32_t conn, bool is_full) {
  const struct stwi_input input = {
      .kind = STWI_IN_INBOUND, .conn = conn, .u.inbound.is_full = is_full};
  world_input(world, &input);
}

void world_network(struct world *world, stw_network what) {
  const struct stwi_input input = {.kind = STWI_IN_NETWORK, .u.network.what = what};
  world_input(world, &input);
}

/* The others lived on: what is due meanwhile comes at once afterwards, behind the notice. */
void world_stalled(struct world *world, uint64_t for_ns) {
  world->now += for_ns;
  const struct stwi_input input = {.kind = STWI_IN_STALLED, .u.stalled.for_ns = for_ns};
  world_input(world, &input);
}

/* ---- looking ---- */

stw_state world_state(struct world *world, uint32_t conn) {
  return world->conns[conn].state;
}

uint64_t world_metric(struct world *world, uint32_t conn, stw_metric metric) {
  uint64_t values[STW_METRIC_COUNT] = {0};
  stwi_core_metrics(world->core, conn, world->now, values);
  return values[metric];
}

size_t world_count(const struct world *world, uint32_t conn, stw_event_kind kind) {
  size_t count = 0;
  for (size_t i = 0; i < world->event_count; i++)
    count += world->events[i].conn == conn && world->events[i].event.kind == kind;
  return count;
}

const struct world_event *world_event(const struct world *world, uint32_t conn, stw_event_kind kind,
                                      int nth) {
  if (nth < 0)
    nth += (int)world_count(world, conn, kind);
  for (size_t i = 0; nth >= 0 && i < world->event_count; i++) {
    const struct world_event *event = &world->events[i];
    if (event->conn == conn && event->event.kind == kind && nth-- == 0)
      return event;
  }
  return NULL;
}

const struct world_event *world_change(const struct world *world, uint32_t conn, stw_state state) {
  for (size_t i = world->event_count; i > 0; i--) {
    const struct world_event *event = &world->events[i - 1];
    const bool is_change = event->conn == conn && event->event.kind == STW_EVENT_STATE;
    if (is_change && event->event.u.state.to == state)
      return event;
  }
  return NULL;
}

struct world_link *world_live(struct world *world, uint32_t conn) {
  struct world_link *link = world->conns[conn].links;
  while (link != NULL && (!link->is_ready || link->is_over))
    link = link->next;
  return link;
}

const struct stwi_conn *world_inside(const struct world *world, uint32_t conn) {
  return world->core->conns[conn];
}

static void print_event(const struct world_event *event, FILE *out) {
  const stw_event *e = &event->event;
  fprintf(out, "%9.3f conn %u link %u %s", (double)(event->at - WORLD_START) / 1e9, event->conn,
          e->link, stw_event_kind_at((size_t)e->kind)->name);
  if (e->kind == STW_EVENT_STATE) {
    fprintf(out, " %s -> %s (%s) attempt %u delay %.3f",
            stw_state_at((size_t)e->u.state.from)->name, stw_state_at((size_t)e->u.state.to)->name,
            stw_cause_at((size_t)e->u.state.cause)->name, e->u.state.attempt,
            (double)e->u.state.delay_ns / 1e9);
  }
  if (e->kind == STW_EVENT_PROOF)
    fprintf(out, " %s %llu", stw_proof_at((size_t)e->u.proof.proof)->name,
            (unsigned long long)e->u.proof.upto);
  if (e->kind == STW_EVENT_MESSAGE_ENDED)
    fprintf(out, " %llu %s", (unsigned long long)e->u.ended.id.number,
            stw_message_state_at((size_t)e->u.ended.state)->name);
  fprintf(out, "  %s\n", event->detail);
}

void world_print(const struct world *world, FILE *out) {
  const size_t first = world->event_count > 200 ? world->event_count - 200 : 0;
  for (size_t i = first; i < world->event_count; i++)
    print_event(&world->events[i], out);
}
