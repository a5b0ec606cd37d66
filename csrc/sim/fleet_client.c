#include "sim/fleet_client.h"

#include "core/chunk.h"
#include "core/conn_config.h"
#include "core/engine_core.h"
#include "core/mem.h"
#include "sim/fleet_codec.h"
#include "sim/fleet_server.h"
#include "sim/fleet_skip.h"

#include <stdlib.h>
#include <string.h>

/* A PING of the core alone in a packet: head, mask, 16 bytes. */
enum { PING_BYTES = 22, PING_HEAD = 0x89 };

struct client {
  struct stwi_fleet_world world;
  struct stwi_fleet_server server;
  struct stwi_core *core;
  struct stwi_effects effects;
  struct stwi_random random;
  stwi_time due;
  stw_state state;
  uint32_t active;   /* generation of the link in use; 0: none */
  uint32_t writable; /* generation of the link whose WRITABLE is owed; 0: none */
  uint64_t stream;
  bool is_suspicious; /* SUSPECT by itself, for lack of an answer */
  bool has_no_memory;
};

/* ---- set-up ---- */

static bool fill_url(struct stwi_conn_config *config) {
  const char *why;
  config->urls = stwi_alloc(sizeof *config->urls);
  if (config->urls == NULL || stwi_url_parse("ws://fleet/", config->urls, &why) != STW_OK)
    return false;
  config->url_count = 1;
  return true;
}

/* The defaults of the options. */
static struct stwi_conn_config *make_config(const struct stwi_fleet_options *options) {
  struct stwi_conn_config *config = stwi_alloc(sizeof *config);
  if (config == NULL)
    return NULL;
  *config = (struct stwi_conn_config){
      .open_timeout_ns = 5 * STWI_S,
      .close_timeout_ns = 5 * STWI_S,
      .heartbeat_interval_ns = options->interval_ns == 0 ? 15 * STWI_S : options->interval_ns,
      .heartbeat_idle_ns = options->idle_interval_ns,
      .is_idle_learnt = options->is_idle_learnt,
      .has_heartbeat = true,
      .retry_window_ns = STWI_S,
      .retry_cap_ns = 60 * STWI_S,
      .has_hedge = !options->has_no_hedge,
      .outbox_messages = 10000,
      .outbox_bytes = 64 * 1024 * 1024,
      .max_message = 1024 * 1024,
      .inbound_buffer = 4 * 1024 * 1024,
      .ready_timeout_ns = 5 * STWI_S,
      .credentials_timeout_ns = 5 * STWI_S,
      .profile = STWI_PROFILE_SESSION,
  };
  if (stwi_conn_config_fill(config) && fill_url(config))
    return config;
  stwi_conn_config_free(config);
  return NULL;
}

static void give_entropy(struct client *client) {
  size_t size;
  uint8_t *at = stwi_core_entropy_want(client->core, &size);
  if (size == 0)
    return;
  for (size_t i = 0; i + sizeof(uint64_t) <= size; i += sizeof(uint64_t)) {
    const uint64_t bits = stwi_random_next(&client->random);
    memcpy(at + i, &bits, sizeof bits);
  }
  stwi_core_entropy_given(client->core);
}

/* ---- effects ---- */

static void step(struct client *client, const struct stwi_input *input);

static void on_dial(struct client *client, const struct stwi_effect *effect) {
  struct stwi_fleet_world *world = &client->world;
  stwi_fleet_tally_add(world->tally, STW_FLEET_ATTEMPTS, 1);
  stwi_fleet_say(world, "dial %u", effect->link);
  const uint32_t link = stwi_fleet_dial(&world->wire, world->now, effect->link);
  if (link == STWI_FLEET_LINKS_MAX)
    client->server.broken = "more links at once than the core may have";
}

static bool is_lone_ping(const struct stwi_effect *write) {
  return write->u.write.size == PING_BYTES && write->u.write.data[0] == PING_HEAD;
}

static void on_write(struct client *client, const struct stwi_effect *effect) {
  struct stwi_fleet_world *world = &client->world;
  const uint32_t link = stwi_fleet_find(&world->wire, effect->link);
  client->writable = effect->link;
  if (link == STWI_FLEET_LINKS_MAX)
    return;
  if (is_lone_ping(effect))
    stwi_fleet_heartbeat(world, effect->u.write.size);
  stwi_fleet_send(&world->wire, world->now, link, STWI_FLEET_TO_SERVER, effect->u.write.data,
                  effect->u.write.size);
}

static void on_cut(struct client *client, const struct stwi_effect *effect) {
  struct stwi_fleet_world *world = &client->world;
  const uint32_t link = stwi_fleet_find(&world->wire, effect->link);
  if (client->writable == effect->link)
    client->writable = 0;
  if (link == STWI_FLEET_LINKS_MAX)
    return;
  stwi_fleet_say(world, "cut %u", effect->link);
  const bool serves = stwi_fleet_serves(&world->wire, link) && stwi_path_is_up(&world->path);
  const bool is_told = stwi_fleet_hang_up(&world->wire, link);
  stwi_fleet_server_gone(&client->server, link, is_told);
  if (link != world->in_use)
    return;
  if (serves && client->is_suspicious)
    stwi_fleet_tally_left(world->tally);
  stwi_fleet_use(world, STWI_FLEET_LINKS_MAX);
}

static bool is_live(stw_state state) {
  return state == STW_STATE_ONLINE || state == STW_STATE_SUSPECT || state == STW_STATE_MIGRATING;
}

static void on_state(struct client *client, const stw_event *event) {
  struct stwi_fleet_world *world = &client->world;
  const stw_state to = event->u.state.to;
  client->state = to;
  client->active = event->link;
  stwi_fleet_say(world, "state %s %s link %u", stw_state_at((size_t)to)->name,
                 stw_cause_at((size_t)event->u.state.cause)->name, event->link);
  client->is_suspicious =
      to == STW_STATE_SUSPECT && event->u.state.cause == STW_CAUSE_HEARTBEAT_TIMEOUT;
  if (to != STW_STATE_ONLINE && to != STW_STATE_MIGRATING)
    stwi_fleet_noticed(world, client->is_suspicious);
  stwi_fleet_use(world,
                 is_live(to) ? stwi_fleet_find(&world->wire, event->link) : STWI_FLEET_LINKS_MAX);
}

static void on_message(struct client *client, const struct stwi_effect *effect) {
  uint64_t number;
  if (effect->u.message.size != sizeof number)
    return;
  memcpy(&number, effect->u.message.data, sizeof number);
  stwi_fleet_world_arrived(&client->world, STWI_FLEET_TO_CLIENT, number);
}

static void perform(struct client *client, const struct stwi_effect *effect) {
  switch (effect->kind) {
  case STWI_FX_DIAL:
    on_dial(client, effect);
    break;
  case STWI_FX_WRITE:
    on_write(client, effect);
    break;
  case STWI_FX_CUT:
    on_cut(client, effect);
    break;
  case STWI_FX_MESSAGE:
    on_message(client, effect);
    break;
  case STWI_FX_EVENT:
    if (effect->u.event.kind == STW_EVENT_STATE)
      on_state(client, &effect->u.event);
    if (effect->u.event.kind == STW_EVENT_CLOSED)
      client->server.broken = "the conn ended";
    break;
  default:
    break;
  }
}

/* ---- inputs ---- */

static void perform_all(struct client *client) {
  for (size_t i = 0; i < client->effects.count; i++)
    perform(client, &client->effects.items[i]);
  client->effects.count = 0;
}

/* A socket takes what is written at once; what it says of a lone PING can wait for the next step,
 * as nothing that the core does before then depends on it. */
static bool owes_writable(const struct client *client) {
  const size_t count = client->effects.count;
  for (size_t i = 0; i < count; i++) {
    const struct stwi_effect *effect = &client->effects.items[i];
    if (effect->kind == STWI_FX_WRITE && !is_lone_ping(effect))
      return true;
  }
  return false;
}

static void step(struct client *client, const struct stwi_input *input) {
  bool is_owed;
  do {
    struct stwi_input inputs[3];
    size_t count = 0;
    if (client->writable != 0)
      inputs[count++] = (struct stwi_input){.kind = STWI_IN_WRITABLE, .link = client->writable};
    client->writable = 0;
    if (input != NULL)
      inputs[count++] = *input;
    inputs[count++] = (struct stwi_input){.kind = STWI_IN_TURN};
    stwi_core_step(client->core, inputs, count, client->world.now, &client->effects);
    is_owed = owes_writable(client);
    perform_all(client);
    give_entropy(client);
    input = NULL;
  } while (is_owed || stwi_core_has_more(client->core));
  client->due = stwi_core_deadline(client->core);
}

static stwi_time due(void *of) {
  const struct client *client = of;
  if (client->server.broken != NULL)
    return STWI_NEVER;
  return stwi_earlier(client->due, stwi_fleet_server_due(&client->server));
}

static void timer(void *of) {
  struct client *client = of;
  if (client->due <= client->world.now)
    step(client, NULL);
  else
    stwi_fleet_server_flush(&client->server);
}

/* By how many exchanges are left. */
static const stw_phase phases[] = {STW_PHASE_UP, STW_PHASE_UPGRADE, STW_PHASE_TLS, STW_PHASE_TCP};

static void on_phase(struct client *client, uint32_t link, uint8_t left) {
  struct stwi_input input = {.kind = STWI_IN_PHASE, .link = client->world.wire.flows[link].gen};
  if (left == 0) {
    stwi_fleet_server_accept(&client->server, link);
    input.kind = STWI_IN_READY;
    input.u.ready.subprotocol = STWI_SESSION_SUBPROTOCOL;
  } else {
    input.u.phase.phase = phases[left];
  }
  step(client, &input);
}

static void on_fin(struct client *client, uint32_t link) {
  const uint32_t gen = client->world.wire.flows[link].gen;
  const struct stwi_input input = {
      .kind = STWI_IN_DOWN, .link = gen, .u.down = {.cause = STW_CAUSE_ABNORMAL_FIN, .detail = ""}};
  stwi_fleet_hang_up(&client->world.wire, link);
  stwi_fleet_server_gone(&client->server, link, true);
  if (client->world.in_use == link)
    stwi_fleet_use(&client->world, STWI_FLEET_LINKS_MAX);
  step(client, &input);
}

static void on_event(void *of, const struct stwi_fleet_event *event) {
  struct client *client = of;
  const struct stwi_fleet_packet *packet = &event->packet;
  if (event->news == STWI_FLEET_PHASE) {
    on_phase(client, event->link, event->left);
  } else if (packet->kind == STWI_FLEET_FIN) {
    on_fin(client, event->link);
  } else if (packet->way == STWI_FLEET_TO_SERVER) {
    stwi_fleet_server_read(&client->server, event->link, packet->bytes, packet->size);
  } else {
    const struct stwi_input input = {.kind = STWI_IN_BYTES,
                                     .link = client->world.wire.flows[event->link].gen,
                                     .u.bytes = {packet->bytes, packet->size}};
    step(client, &input);
  }
}

static void told(void *of, enum stwi_path_kind kind) {
  struct stwi_input input = {.kind = STWI_IN_NETWORK};
  if (kind == STWI_PATH_WAKE)
    input.kind = STWI_IN_WAKE;
  else
    input.u.network.what = kind == STWI_PATH_NET_UP     ? STW_NETWORK_UP
                           : kind == STWI_PATH_NET_DOWN ? STW_NETWORK_DOWN
                                                        : STW_NETWORK_CHANGED;
  step(of, &input);
}

static void drain(void *of) {
  stwi_fleet_server_drain(&((struct client *)of)->server);
}

static void stop(void *of, uint32_t link) {
  stwi_fleet_server_stop(&((struct client *)of)->server, link);
}

static void say(struct client *client, uint64_t number) {
  struct stwi_chunk *chunk = stwi_chunk_new((uint32_t)stwi_msg_footprint(0, sizeof number));
  struct stwi_msg *msg =
      chunk == NULL ? NULL : stwi_chunk_append(chunk, NULL, 0, &number, sizeof number);
  if (msg == NULL) {
    client->has_no_memory = true;
    stwi_chunk_free(chunk);
    return;
  }
  msg->number = number;
  msg->id = (stw_message_id){client->stream, number};
  msg->guarantee = STW_AT_LEAST_ONCE;
  const struct stwi_input input = {.kind = STWI_IN_SUBMIT, .u.submit.chunks = chunk};
  step(client, &input);
}

static void talk(void *of, enum stwi_fleet_way way, uint64_t number) {
  struct client *client = of;
  if (way == STWI_FLEET_TO_CLIENT)
    stwi_fleet_server_say(&client->server, number);
  else
    say(client, number);
}

static void skip(void *of, stwi_time until) {
  struct client *client = of;
  if (client->writable != 0 || client->server.broken != NULL)
    return;
  stwi_fleet_skip(&client->world, client->core, &client->effects,
                  stwi_earlier(until, stwi_fleet_server_due(&client->server)));
  perform_all(client);
  client->due = stwi_core_deadline(client->core);
}

/* ---- a life ---- */

static bool open_conn(struct client *client, const struct stwi_fleet_options *options) {
  struct stwi_restored restored = {0};
  struct stwi_conn_config *config = make_config(options);
  client->core = config == NULL ? NULL : stwi_core_new(&stwi_fleet_codec);
  if (client->core == NULL) {
    stwi_conn_config_free(config);
    return false;
  }
  for (size_t i = 0; i < sizeof restored.session.cid; i++)
    restored.session.cid[i] = (uint8_t)stwi_random_next(&client->random);
  give_entropy(client);
  client->stream = stwi_random_next(&client->random) & ~(uint64_t)1;
  const struct stwi_input input = {.kind = STWI_IN_OPEN,
                                   .u.open = {.config = config,
                                              .stream = client->stream,
                                              .restored = &restored,
                                              .seed = stwi_random_next(&client->random),
                                              .handle = {1}}};
  step(client, &input);
  return true;
}

static stw_status live(struct client *client, const struct stwi_fleet_options *options,
                       const char **why) {
  static const struct stwi_fleet_policy policy = {due,   timer, on_event, told,
                                                  drain, stop,  talk,     skip};
  if (!open_conn(client, options))
    return STW_E_MEMORY;
  stwi_fleet_world_run(&client->world, &policy, client);
  *why = client->server.broken;
  if (client->has_no_memory || client->world.wire.is_out_of_memory)
    return STW_E_MEMORY;
  return *why == NULL ? STW_OK : STW_E_STATE;
}

stw_status stwi_fleet_client_run(const struct stwi_fleet_options *options, uint64_t number,
                                 struct stwi_fleet_tally *tally, struct stwi_fleet_log *log,
                                 const char **why) {
  struct client *client = calloc(1, sizeof *client);
  if (client == NULL)
    return STW_E_MEMORY;
  stwi_fleet_world_init(&client->world, options, number, tally, log);
  stwi_fleet_server_init(&client->server, &client->world);
  stwi_effects_init(&client->effects);
  stwi_random_seed(&client->random,
                   stwi_random_stream(options->seed, number, STWI_FLEET_STREAM_CLIENT));
  const stw_status status = live(client, options, why);
  stwi_fleet_world_fini(&client->world);
  stwi_fleet_server_fini(&client->server);
  stwi_core_free(client->core);
  stwi_effects_fini(&client->effects);
  free(client);
  return status;
}
