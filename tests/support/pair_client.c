#include "pair.h"

#include "core/conn_config.h"
#include "core/mem.h"
#include "io/envelope.h"

#include <stdlib.h>
#include <string.h>

#define TURNS_MAX 1000u

/* ---- the conn's options ---- */

static char *copy_text(const char *text) {
  const size_t size = strlen(text) + 1;
  char *copy = stwi_alloc(size);
  memcpy(copy, text, size);
  return copy;
}

static void add_url(struct stwi_conn_config *config, const char *text) {
  const char *why;
  if (stwi_url_parse(text, &config->urls[config->url_count++], &why) != STW_OK)
    pair_broke(why);
}

static struct stwi_conn_config *make_config(void) {
  struct stwi_conn_config *config = stwi_alloc(sizeof *config);
  *config = (struct stwi_conn_config){
      .urls = stwi_alloc(NODES * sizeof *config->urls),
      .open_timeout_ns = STWI_S,
      .close_timeout_ns = STWI_S,
      .heartbeat_interval_ns = 500 * STWI_MS,
      .has_heartbeat = true,
      .retry_window_ns = 50 * STWI_MS,
      .retry_cap_ns = STWI_S,
      .has_hedge = true,
      .outbox_messages = OUTBOX_MESSAGES,
      .outbox_bytes = 64u * 1024 * 1024,
      .guarantee = STW_EXACTLY_ONCE,
      .profile = STWI_PROFILE_SESSION,
      .unknown_fate = w.replays ? STWI_UNKNOWN_REPLAY : STWI_UNKNOWN_FAIL,
      .dead_letters = 100,
      .has_inbound_from = w.gives_cursor,
      .outbox_path = copy_text("model"),
      .is_durable = w.plan.lag == 0,
      .max_message = 1024u * 1024,
      .inbound_buffer = 1024u * 1024,
      .ready_timeout_ns = STWI_S,
      .credentials_timeout_ns = STWI_S,
  };
  if (!stwi_conn_config_fill(config))
    abort();
  memcpy(config->inbound_from, w.cursor, sizeof w.cursor);
  add_url(config, "ws://0/");
  if (!w.plan.has_one_node)
    add_url(config, "ws://1/");
  return config;
}

/* ---- links ---- */

static struct dialled *find_link(uint32_t link) {
  for (size_t i = 0; i < w.dialled_count; i++)
    if (w.dialled[i].link == link)
      return &w.dialled[i];
  return NULL;
}

static struct dialled *find_gen(uint32_t gen) {
  for (size_t i = 0; i < w.dialled_count; i++)
    if (w.dialled[i].gen == gen)
      return &w.dialled[i];
  pair_broke("an effect for a link that is over");
  return NULL;
}

static void dial(const struct stwi_effect *effect) {
  if (w.dialled_count == LINKS_MAX) {
    pair_broke("the core dials more links than it may");
    return;
  }
  const uint32_t place = effect->u.dial.host[0] == '0' ? 0 : 1;
  w.dialled[w.dialled_count++] =
      (struct dialled){.link = stwi_net_dial(w.net, w.now, place), .gen = effect->link};
}

static void perform_on_link(const struct stwi_effect *effect) {
  const struct dialled *link = find_gen(effect->link);
  if (link == NULL)
    return;
  if (effect->kind == STWI_FX_WRITE)
    pair_send_frames(link->link, STWI_NET_CALLER, effect->u.write.data, effect->u.write.size);
  else if (effect->kind == STWI_FX_CUT)
    stwi_net_close(w.net, w.now, link->link, STWI_NET_CALLER, effect->u.cut.abort);
}

static void perform_store(const struct stwi_effect *effect) {
  pair_host_change(&effect->u.store);
  w.told_serial = effect->u.store.serial;
  if (!stwi_model_add(w.store, &effect->u.store))
    pair_broke("the model store has no memory");
}

static void perform(const struct stwi_effect *effect) {
  switch (effect->kind) {
  case STWI_FX_DIAL:
    dial(effect);
    break;
  case STWI_FX_WRITE:
  case STWI_FX_CUT:
  case STWI_FX_PAUSE:
    perform_on_link(effect);
    break;
  case STWI_FX_MESSAGE:
    pair_note(&w.pending, pair_stream_of(true, effect->u.message.lane), effect->u.message.lane,
              effect->u.message.id.number, effect->u.message.data, effect->u.message.size);
    break;
  case STWI_FX_STORE:
    perform_store(effect);
    break;
  case STWI_FX_EVENT:
    pair_host_event(&effect->u.event);
    break;
  case STWI_FX_RESTART:
  case STWI_FX_LOOK:
  case STWI_FX_PUBLISH:
    break;
  }
}

/* ---- steps ---- */

static void give_entropy(void) {
  size_t size;
  uint8_t *bytes = stwi_core_entropy_want(w.core, &size);
  for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
    const uint64_t value = stwi_random_next(stwi_net_random(w.net));
    memcpy(bytes + i, &value, sizeof value);
  }
  if (size > 0)
    stwi_core_entropy_given(w.core);
}

void pair_client_step(const struct stwi_input *input) {
  give_entropy();
  w.effects.count = 0;
  w.has_input = true;
  stwi_core_step(w.core, input, 1, w.now, &w.effects);
  for (size_t i = 0; i < w.effects.count; i++)
    perform(&w.effects.items[i]);
}

static void wait_for_store(void) {
  const stwi_time due = stwi_model_due(w.store);
  if (due == STWI_NEVER || w.store_at <= due)
    return;
  w.store_at = due > w.now ? due : w.now;
  pair_timer(STORE, w.life, w.store_at - w.now);
}

static void wait_for_core(void) {
  const stwi_time due = stwi_core_deadline(w.core);
  if (due == STWI_NEVER || w.tick_at <= due)
    return;
  w.tick_at = due;
  pair_timer(TICK, w.life, due - w.now);
}

void pair_client_turn(void) {
  const struct stwi_input turn = {.kind = STWI_IN_TURN};
  unsigned turns = 0;
  if (!w.has_input && stwi_core_deadline(w.core) > w.now && stwi_model_due(w.store) >= w.store_at)
    return;
  do {
    pair_client_step(&turn);
    if (++turns > TURNS_MAX)
      pair_broke("the core never comes to rest");
  } while (w.broken[0] == '\0' &&
           (stwi_core_has_more(w.core) || stwi_core_deadline(w.core) <= w.now));
  w.has_input = false;
  stwi_model_flush(w.store, w.now, pair_roll(5) * STWI_MS);
  wait_for_store();
  wait_for_core();
}

void pair_client_stored(void) {
  struct stwi_input input;
  w.store_at = STWI_NEVER;
  if (!stwi_model_commit(w.store, w.now, &input)) {
    wait_for_store();
    return;
  }
  memcpy(w.committed, input.u.stored.upto, sizeof w.committed);
  w.health = input.u.stored.health;
  if (w.plan.bug == CLAIMS_COMMIT) {
    input.u.stored.serial = w.told_serial;
    memcpy(input.u.stored.upto, w.last, sizeof w.last);
  }
  pair_client_step(&input);
  pair_host_safe();
}

static void on_bytes(struct dialled *link, const struct stwi_net_event *event) {
  struct stwi_input input = {.kind = STWI_IN_BYTES, .link = link->gen};
  if (!link->is_ready) {
    link->is_ready = true;
    input.kind = STWI_IN_READY;
    input.u.ready.subprotocol = STWI_SESSION_SUBPROTOCOL;
    pair_client_step(&input);
    return;
  }
  const size_t cut = pair_roll(4) == 0 ? (size_t)pair_roll(event->size) : event->size;
  input.u.bytes.data = event->data;
  input.u.bytes.size = cut;
  if (cut > 0)
    pair_client_step(&input);
  link = find_link(event->link);
  if (cut == event->size || link == NULL)
    return;
  input.u.bytes.data = event->data + cut;
  input.u.bytes.size = event->size - cut;
  pair_client_step(&input);
}

static void on_down(struct dialled *link, const struct stwi_net_event *event) {
  const struct stwi_input input = {
      .kind = STWI_IN_DOWN, .link = link->gen, .u.down = {.cause = event->cause}};
  *link = w.dialled[--w.dialled_count];
  pair_client_step(&input);
}

void pair_client_event(const struct stwi_net_event *event) {
  struct dialled *link = find_link(event->link);
  if (link == NULL)
    return;
  struct stwi_input input = {.kind = STWI_IN_WRITABLE, .link = link->gen};
  if (event->kind == STWI_NET_OPEN) {
    input.kind = STWI_IN_PHASE;
    input.u.phase.phase = STW_PHASE_UPGRADE;
    pair_client_step(&input);
  } else if (event->kind == STWI_NET_BYTES) {
    on_bytes(link, event);
  } else if (event->kind == STWI_NET_WRITABLE) {
    pair_client_step(&input);
  } else if (event->kind == STWI_NET_DOWN) {
    on_down(link, event);
  }
}

/* ---- lives ---- */

void pair_client_start(void) {
  struct stwi_restored restored;
  if (!stwi_model_open(w.store, &restored, &w.stream))
    pair_broke("the model store has no memory");
  w.core = stwi_core_new(&stwi_envelope);
  stwi_effects_init(&w.effects);
  w.tick_at = w.store_at = STWI_NEVER;
  w.health = STW_STORE_OK;
  w.told_serial = 0;
  w.dialled_count = 0;
  pair_host_restored(&restored);
  const struct stwi_input open = {.kind = STWI_IN_OPEN,
                                  .u.open = {.config = make_config(),
                                             .stream = w.stream,
                                             .restored = &restored,
                                             .seed = stwi_random_next(stwi_net_random(w.net)),
                                             .handle = {1}}};
  pair_client_step(&open);
  pair_timer(CLIENT_COMMIT, w.life, STWI_MS);
}

void pair_client_stop(void) {
  pair_forget_effects(&w.pending);
  stwi_core_free(w.core);
  stwi_effects_fini(&w.effects);
}

void pair_client_crash(bool is_power_lost) {
  for (size_t i = 0; i < w.dialled_count; i++)
    stwi_net_died(w.net, w.now, w.dialled[i].link, STWI_NET_CALLER);
  pair_host_note_standing();
  stwi_model_crash(w.store, is_power_lost);
  pair_host_judge_lost(is_power_lost);
  pair_client_stop();
  w.life++;
  pair_client_start();
}

void pair_client_close(void) {
  const struct stwi_input forget = {.kind = STWI_IN_FORGET};
  pair_client_step(&forget);
  for (size_t i = 0; i < w.dialled_count; i++)
    stwi_net_died(w.net, w.now, w.dialled[i].link, STWI_NET_CALLER);
  stwi_model_close(w.store);
  pair_client_stop();
  w.life++;
  pair_client_start();
}
