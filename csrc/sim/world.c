#include "sim/world_inside.h"

#include "core/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURNS_MAX 10000u
#define WAKES_MAX 1000u /* within a second, for each conn */

bool stwi_world_has(struct stwi_world *world, bool has_memory) {
  if (!has_memory && world->broken[0] == '\0') {
    world->is_out_of_memory = true;
    snprintf(world->broken, sizeof world->broken, "no memory for this world");
  }
  return has_memory;
}

bool stwi_world_grow(struct stwi_world *world, void **items, size_t count, size_t *capacity,
                     size_t size) {
  if (count < *capacity)
    return true;
  const size_t more = *capacity == 0 ? 64 : 2 * *capacity;
  void *grown = realloc(*items, more * size);
  if (!stwi_world_has(world, grown != NULL))
    return false;
  *items = grown;
  *capacity = more;
  return true;
}

bool stwi_world_plants(struct stwi_world *world, stw_explore_plant plant) {
  if (world->plant != plant || world->is_planted)
    return false;
  world->is_planted = true;
  return true;
}

static double seconds(const struct stwi_world *world) {
  return (double)(world->now - STWI_WORLD_START) / 1e9;
}

void stwi_world_say_so(struct stwi_world *world, const char *format, ...) {
  struct stwi_world_log *log = &world->log;
  char words[256];
  va_list arguments;
  if (!log->is_on)
    return;
  va_start(arguments, format);
  vsnprintf(words, sizeof words, format, arguments);
  va_end(arguments);
  void *text = log->text;
  while (log->size + sizeof words + 32 > log->capacity) {
    if (!stwi_world_grow(world, &text, log->capacity, &log->capacity, 1))
      return;
    log->text = text;
  }
  log->size += (size_t)snprintf(log->text + log->size, log->capacity - log->size, "%10.3f  %s\n",
                                seconds(world), words);
}

void stwi_world_break(struct stwi_world *world, stw_explore_rule rule, const char *format, ...) {
  if (world->broken[0] != '\0')
    return;
  char text[STWI_WORLD_BROKEN_BYTES / 2];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  world->broken_rule = rule;
  world->broken_at = world->now;
  snprintf(world->broken, sizeof world->broken, "at %.3f s: %s", seconds(world), text);
  stwi_world_say_so(world, "BROKEN: %s", text);
}

struct stwi_world *stwi_world_new(uint64_t seed, const struct stwi_session_codec *codec) {
  struct stwi_world *world = calloc(1, sizeof *world);
  if (world == NULL)
    return NULL;
  world->codec = codec;
  world->core = stwi_core_new(codec);
  stwi_effects_init(&world->effects);
  stwi_random_seed(&world->random, seed);
  world->now = STWI_WORLD_START;
  if (world->core != NULL)
    return world;
  free(world);
  return NULL;
}

static void free_links(struct stwi_world_link *link) {
  while (link != NULL) {
    struct stwi_world_link *next = link->next;
    stwi_decoder_fini(&link->decoder);
    for (size_t i = 0; i < link->unread_count; i++)
      free(link->unread[i].bytes);
    free(link->unread);
    free(link);
    link = next;
  }
}

/* Something of theirs may still be under way; it reaches nobody. */
void stwi_world_retire_links(struct stwi_world *world, struct stwi_world_conn *conn) {
  while (conn->links != NULL) {
    struct stwi_world_link *link = conn->links;
    conn->links = link->next;
    link->is_dead = link->is_retired = true;
    link->next = world->retired;
    world->retired = link;
  }
}

void stwi_world_free(struct stwi_world *world) {
  if (world == NULL)
    return;
  stwi_core_free(world->core);
  stwi_effects_fini(&world->effects);
  for (uint32_t i = 0; i < world->conn_count; i++) {
    free_links(world->conns[i].links);
    for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
      free(world->conns[i].lanes[lane].messages);
    stwi_model_free(world->conns[i].store);
  }
  free_links(world->retired);
  for (size_t i = 0; i < world->wire_count; i++)
    free(world->wires[i].bytes);
  for (uint32_t i = 0; i < world->server_count; i++)
    stwi_world_session_forget(&world->servers[i]);
  free(world->wires);
  free(world->events);
  free(world->log.text);
  free(world->conns);
  free(world);
}

/* ---- steps ---- */

static void give_entropy(struct stwi_world *world) {
  size_t size;
  uint8_t *bytes = stwi_core_entropy_want(world->core, &size);
  for (size_t i = 0; i + 8 <= size; i += 8) {
    const uint64_t value = stwi_random_next(&world->random);
    memcpy(bytes + i, &value, 8);
  }
  if (size > 0)
    stwi_core_entropy_given(world->core);
}

void stwi_world_step(struct stwi_world *world, const struct stwi_input *inputs, size_t count) {
  give_entropy(world);
  world->effects.count = 0;
  world->steps++;
  stwi_core_step(world->core, inputs, count, world->now, &world->effects);
  for (size_t i = 0; i < world->effects.count && world->broken[0] == '\0'; i++)
    stwi_world_perform(world, &world->effects.items[i]);
}

void stwi_world_turn(struct stwi_world *world) {
  if (world->plant != STW_PLANT_NONE)
    stwi_world_plant(world);
  const struct stwi_input input = {.kind = STWI_IN_TURN};
  uint32_t turns = 0;
  stwi_world_looked(world, STW_RULE_REST);
  do {
    if (world->broken[0] != '\0')
      return;
    if (turns++ > TURNS_MAX)
      stwi_world_break(world, STW_RULE_REST, "the core never comes to rest");
    stwi_world_step(world, &input, 1);
  } while (stwi_core_has_more(world->core) || stwi_core_deadline(world->core) <= world->now);
  stwi_world_check_turn(world);
  stwi_world_flush_stores(world);
}

void stwi_world_input(struct stwi_world *world, const struct stwi_input *input) {
  stwi_world_step(world, input, 1);
  stwi_world_turn(world);
}

/* Everything due now in one batch, or one by one: both must be right. */
static void deliver_due(struct stwi_world *world) {
  struct stwi_world_wire wire;
  while (world->broken[0] == '\0' && stwi_world_wire_take(world, &wire)) {
    stwi_world_deliver(world, &wire);
    free(wire.bytes);
    if (stwi_random_below(&world->random, 2) == 0)
      stwi_world_turn(world);
  }
}

/* Nothing happened but a time that the core had asked for. */
static void count_wake(struct stwi_world *world) {
  stwi_world_looked(world, STW_RULE_WAKES);
  if (world->now - world->wakes_from >= STWI_S) {
    world->wakes_from = world->now;
    world->wakes = 0;
  }
  if (++world->wakes > WAKES_MAX * world->conn_count)
    stwi_world_break(world, STW_RULE_WAKES, "the core wakes %llu times within a second",
                     (unsigned long long)world->wakes);
}

/* Moves to the next thing that happens, at most to `end`. */
static void advance(struct stwi_world *world, stwi_time end) {
  stwi_time next = stwi_world_wire_first(world);
  if (stwi_core_deadline(world->core) < next) {
    next = stwi_core_deadline(world->core);
    if (next <= end)
      count_wake(world);
  }
  world->now = next > end ? end : next > world->now ? next : world->now;
  deliver_due(world);
  if (world->broken[0] == '\0')
    stwi_world_turn(world);
}

bool stwi_world_run_until(struct stwi_world *world, stwi_world_condition *condition, void *context,
                          uint64_t for_ns) {
  const stwi_time end = world->now + for_ns;
  stwi_world_turn(world);
  while (world->broken[0] == '\0') {
    if (condition(world, context))
      return true;
    const bool is_idle =
        stwi_world_wire_first(world) > end && stwi_core_deadline(world->core) > end;
    advance(world, end);
    if (is_idle)
      return condition(world, context);
  }
  return false;
}

static bool never(struct stwi_world *world, void *context) {
  (void)world;
  (void)context;
  return false;
}

void stwi_world_run(struct stwi_world *world, uint64_t for_ns) {
  stwi_world_run_until(world, never, NULL, for_ns);
}

struct wanted {
  uint32_t conn;
  stw_state state;
};

static bool is_in_state(struct stwi_world *world, void *context) {
  const struct wanted *wanted = context;
  return stwi_world_state(world, wanted->conn) == wanted->state;
}

bool stwi_world_run_to(struct stwi_world *world, uint32_t conn, stw_state state, uint64_t for_ns) {
  struct wanted wanted = {conn, state};
  return stwi_world_run_until(world, is_in_state, &wanted, for_ns);
}

static bool is_settled(struct stwi_world *world, void *context) {
  return stwi_conn_is_delivered(stwi_world_inside(world, *(uint32_t *)context));
}

bool stwi_world_run_settled(struct stwi_world *world, uint32_t conn, uint64_t for_ns) {
  return stwi_world_run_until(world, is_settled, &conn, for_ns);
}

/* ---- looking ---- */

stw_state stwi_world_state(struct stwi_world *world, uint32_t conn) {
  return world->conns[conn].state;
}

uint64_t stwi_world_metric(struct stwi_world *world, uint32_t conn, stw_metric metric) {
  uint64_t values[STW_METRIC_COUNT] = {0};
  stwi_core_metrics(world->core, conn, world->now, values);
  return values[metric];
}

size_t stwi_world_count(const struct stwi_world *world, uint32_t conn, stw_event_kind kind) {
  size_t count = 0;
  for (size_t i = 0; i < world->event_count; i++)
    count += world->events[i].conn == conn && world->events[i].event.kind == kind;
  return count;
}

const struct stwi_world_event *stwi_world_event(const struct stwi_world *world, uint32_t conn,
                                                stw_event_kind kind, int nth) {
  if (nth < 0)
    nth += (int)stwi_world_count(world, conn, kind);
  for (size_t i = 0; nth >= 0 && i < world->event_count; i++) {
    const struct stwi_world_event *event = &world->events[i];
    if (event->conn == conn && event->event.kind == kind && nth-- == 0)
      return event;
  }
  return NULL;
}

const struct stwi_world_event *stwi_world_change(const struct stwi_world *world, uint32_t conn,
                                                 stw_state state) {
  for (size_t i = world->event_count; i > 0; i--) {
    const struct stwi_world_event *event = &world->events[i - 1];
    const bool is_change = event->conn == conn && event->event.kind == STW_EVENT_STATE;
    if (is_change && event->event.u.state.to == state)
      return event;
  }
  return NULL;
}

struct stwi_world_link *stwi_world_live(struct stwi_world *world, uint32_t conn) {
  struct stwi_world_link *link = world->conns[conn].links;
  while (link != NULL && (!link->is_ready || link->is_over))
    link = link->next;
  return link;
}

const struct stwi_conn *stwi_world_inside(const struct stwi_world *world, uint32_t conn) {
  return world->core->conns[conn];
}
