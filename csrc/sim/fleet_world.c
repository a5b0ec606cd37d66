#include "sim/fleet_world.h"

#include "sim/path_model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* How often the application talks, by way. */
static const double talk_every[2] = {
    [STWI_FLEET_TO_SERVER] = STWI_PATH_TALK_UP_S, [STWI_FLEET_TO_CLIENT] = STWI_PATH_TALK_DOWN_S};

/* ---- log ---- */

static bool make_room(struct stwi_fleet_log *log, size_t room) {
  if (log->capacity - log->size > room)
    return true;
  const size_t capacity = log->capacity == 0 ? 65536 : 2 * log->capacity;
  char *text = realloc(log->text, capacity);
  log->is_out_of_memory |= text == NULL;
  if (text == NULL)
    return false;
  log->text = text;
  log->capacity = capacity;
  return true;
}

void stwi_fleet_say(struct stwi_fleet_world *world, const char *format, ...) {
  enum { LINE_MAX_BYTES = 256 };
  struct stwi_fleet_log *log = world->log;
  if (!log->is_on || !make_room(log, 2 * LINE_MAX_BYTES))
    return;
  char *at = log->text + log->size;
  int used = snprintf(at, LINE_MAX_BYTES, "%" PRIu64 " %" PRIu64 " ", world->client,
                      (uint64_t)(world->now / STWI_US));
  va_list words;
  va_start(words, format);
  used += vsnprintf(at + used, LINE_MAX_BYTES, format, words);
  va_end(words);
  at[used] = '\n';
  log->size += (size_t)used + 1;
}

static const char *const kinds[] = {
    [STWI_PATH_BREAKS] = "path_breaks", [STWI_PATH_MENDS] = "path_mends",
    [STWI_PATH_DIES] = "flows_die",     [STWI_PATH_NET_DOWN] = "net_down",
    [STWI_PATH_NET_UP] = "net_up",      [STWI_PATH_NET_CHANGED] = "net_changed",
    [STWI_PATH_WAKE] = "wake",          [STWI_PATH_DRAIN] = "drain",
    [STWI_PATH_STOP] = "stop",
};

static const char *const sources[] = {
    [STWI_PATH_GAP] = "gap",           [STWI_PATH_OUTAGE] = "outage", [STWI_PATH_KILL] = "kill",
    [STWI_PATH_HANDOVER] = "handover", [STWI_PATH_SLEEP] = "sleep",   [STWI_PATH_DEPLOY] = "deploy",
    [STWI_PATH_CRASH] = "crash",
};

/* ---- what is measured ---- */

static bool is_serving(const struct stwi_fleet_world *world) {
  return world->in_use < STWI_FLEET_LINKS_MAX && stwi_fleet_serves(&world->wire, world->in_use);
}

static void measure(struct stwi_fleet_world *world) {
  stwi_fleet_tally_set(world->tally, world->now, stwi_path_is_up(&world->path), is_serving(world));
}

void stwi_fleet_use(struct stwi_fleet_world *world, uint32_t link) {
  world->in_use = link;
  measure(world);
}

void stwi_fleet_noticed(struct stwi_fleet_world *world, bool is_alarm) {
  const uint32_t link = world->in_use;
  const bool is_false = link < STWI_FLEET_LINKS_MAX && !world->wire.flows[link].is_dead;
  if (is_alarm && is_false)
    stwi_fleet_tally_add(world->tally, STW_FLEET_FALSE_ALARMS, 1);
  stwi_fleet_tally_noticed(world->tally, world->now);
}

void stwi_fleet_world_arrived(struct stwi_fleet_world *world, enum stwi_fleet_way way,
                              uint64_t number) {
  stwi_fleet_arrived(&world->ledgers[way], number, world->now, world->tally);
}

void stwi_fleet_heartbeat(struct stwi_fleet_world *world, size_t bytes) {
  stwi_fleet_tally_add(world->tally, STW_FLEET_HEARTBEAT_BYTES, bytes + STWI_FLEET_OVERHEAD_BYTES);
}

/* ---- what happens ---- */

static void next_talk(struct stwi_fleet_world *world, unsigned way) {
  world->talk_at[way] =
      world->now + stwi_path_exponential(&world->talk[way], talk_every[way] * (double)STWI_S);
}

void stwi_fleet_world_init(struct stwi_fleet_world *world, const struct stwi_fleet_options *options,
                           uint64_t client, struct stwi_fleet_tally *tally,
                           struct stwi_fleet_log *log) {
  memset(world, 0, sizeof *world);
  world->options = options;
  world->client = client;
  world->tally = tally;
  world->log = log;
  world->in_use = STWI_FLEET_LINKS_MAX;
  stwi_path_init(&world->path, options->profile, options->seed, client);
  if (options->steps != NULL)
    stwi_path_replay(&world->path, options->steps, options->step_count);
  world->path_at = stwi_path_due(&world->path);
  stwi_fleet_wire_init(&world->wire, &world->path);
  for (unsigned way = 0; way < 2; way++) {
    const uint64_t stream =
        way == STWI_FLEET_TO_CLIENT ? STWI_FLEET_STREAM_DOWN : STWI_FLEET_STREAM_UP;
    stwi_random_seed(&world->talk[way], stwi_random_stream(options->seed, client, stream));
    next_talk(world, way);
  }
  stwi_fleet_tally_begin(tally);
}

void stwi_fleet_world_fini(struct stwi_fleet_world *world) {
  world->now = world->options->end;
  for (unsigned way = 0; way < 2; way++)
    stwi_fleet_ledger_end(&world->ledgers[way], world->now, world->tally);
  stwi_fleet_tally_end(world->tally, world->now);
  stwi_fleet_wire_fini(&world->wire);
}

/* The flow in use ends: from now on the clock of the fault runs. */
static void fault(struct stwi_fleet_world *world, enum stwi_path_source source, bool is_told) {
  const uint32_t link = world->in_use;
  if (link == STWI_FLEET_LINKS_MAX || world->wire.flows[link].is_dead)
    return;
  stwi_fleet_tally_fault(world->tally, world->now, source, !is_told);
}

/* The process ends; a client that uses another one by now has moved in time. */
static void stop(struct stwi_fleet_world *world, const struct stwi_fleet_policy *policy, void *of) {
  const uint32_t used = world->in_use;
  const bool has_moved =
      used < STWI_FLEET_LINKS_MAX && world->wire.flows[used].dialled_at >= world->drained_at;
  if (has_moved && world->has_drained)
    stwi_fleet_tally_moved(world->tally, world->now);
  for (uint32_t link = 0; link < STWI_FLEET_LINKS_MAX; link++) {
    const struct stwi_fleet_flow *flow = &world->wire.flows[link];
    if (flow->gen == 0 || flow->is_dead || flow->dialled_at >= world->drained_at)
      continue;
    if (link == world->in_use)
      fault(world, STWI_PATH_DEPLOY, true);
    if (stwi_path_is_up(&world->path) && stwi_fleet_serves(&world->wire, link))
      policy->stop(of, link);
    else
      stwi_fleet_die(&world->wire, link);
  }
}

static void take_path(struct stwi_fleet_world *world, const struct stwi_fleet_policy *policy,
                      void *of) {
  const struct stwi_path_event event = stwi_path_take(&world->path);
  world->path_at = stwi_path_due(&world->path);
  stwi_fleet_say(world, "%s %s%s", kinds[event.kind], sources[event.source],
                 event.ends_flows ? " ends_flows" : "");
  if (event.kind == STWI_PATH_BREAKS)
    world->tally->last_break = event.source;
  const bool has_hints = !world->options->has_no_hints;
  if (event.ends_flows) {
    fault(world, event.source, event.is_told && has_hints);
    stwi_fleet_die_all(&world->wire);
  }
  measure(world);
  switch (event.kind) {
  case STWI_PATH_NET_DOWN:
  case STWI_PATH_NET_UP:
  case STWI_PATH_NET_CHANGED:
  case STWI_PATH_WAKE:
    if (has_hints)
      policy->told(of, event.kind);
    break;
  case STWI_PATH_DRAIN:
    world->drained_at = world->now;
    world->has_drained = world->in_use < STWI_FLEET_LINKS_MAX;
    stwi_fleet_tally_planned(world->tally, world->now);
    if (!world->options->has_no_drain)
      policy->drain(of);
    break;
  case STWI_PATH_STOP:
    stop(world, policy, of);
    break;
  default:
    break;
  }
}

/* A proxy forgets a flow that nothing came over for a minute, and tells nobody. */
stwi_time stwi_fleet_forgets(const struct stwi_fleet_world *world) {
  if (!world->path.is_behind_proxy || world->in_use == STWI_FLEET_LINKS_MAX)
    return STWI_NEVER;
  const struct stwi_fleet_flow *flow = &world->wire.flows[world->in_use];
  return flow->is_dead ? STWI_NEVER : flow->used_at + STWI_PATH_PROXY_IDLE;
}

static void forget_idle(struct stwi_fleet_world *world) {
  stwi_fleet_say(world, "proxy_forgets");
  fault(world, STWI_PATH_KILL, false);
  stwi_fleet_die(&world->wire, world->in_use);
}

/* Before the first service there is nobody to talk to. */
static void take_talk(struct stwi_fleet_world *world, const struct stwi_fleet_policy *policy,
                      void *of, unsigned way) {
  next_talk(world, way);
  if (world->tally->has_served)
    policy->talk(of, (enum stwi_fleet_way)way, stwi_fleet_made(&world->ledgers[way], world->now));
}

/* Where several things are due at once, the path goes first. */
static void take_one(struct stwi_fleet_world *world, const struct stwi_fleet_policy *policy,
                     void *of) {
  if (world->path_at == world->now) {
    take_path(world, policy, of);
  } else if (stwi_fleet_due(&world->wire) == world->now) {
    struct stwi_fleet_event event;
    stwi_fleet_take(&world->wire, &event);
    if (event.news != STWI_FLEET_NOTHING)
      policy->event(of, &event);
  } else if (stwi_fleet_forgets(world) <= world->now) {
    forget_idle(world);
  } else if (policy->due(of) <= world->now) {
    policy->timer(of);
  } else {
    take_talk(world, policy, of, world->talk_at[0] == world->now ? 0 : 1);
  }
}

/* Whatever is not the policy's own doing. */
static stwi_time outside(const struct stwi_fleet_world *world) {
  const stwi_time talk = stwi_earlier(world->talk_at[0], world->talk_at[1]);
  return stwi_earlier(stwi_earlier(world->path_at, talk), world->options->end);
}

void stwi_fleet_world_run(struct stwi_fleet_world *world, const struct stwi_fleet_policy *policy,
                          void *of) {
  const bool may_skip = policy->skip != NULL && !world->options->is_event_level;
  uint64_t events = 0;
  for (;;) {
    if (may_skip && stwi_fleet_due(&world->wire) == STWI_NEVER)
      policy->skip(of, outside(world));
    stwi_time next = stwi_earlier(world->path_at, stwi_fleet_due(&world->wire));
    next = stwi_earlier(next, stwi_fleet_forgets(world));
    next = stwi_earlier(next, policy->due(of));
    next = stwi_earlier(next, stwi_earlier(world->talk_at[0], world->talk_at[1]));
    if (next >= world->options->end)
      break;
    world->now = next > world->now ? next : world->now;
    take_one(world, policy, of);
    measure(world);
    events++;
  }
  stwi_fleet_tally_add(world->tally, STW_FLEET_EVENTS, events);
}
