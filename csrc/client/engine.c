#include "client/engine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"
#include "client/mailbox.h"
#include "io/clock.h"

#define STALL_NS (1 * STWI_S)
#define SLEEP_NS (2 * STWI_S)
#define TEXT_BYTES 200u
#define PENDING_KEPT 16u

struct stwi_pending {
  struct stwi_pending *next;
  struct stwi_input input;
  char text[TEXT_BYTES];
};

void stwi_engine_hold(struct stwi_engine *engine) { atomic_fetch_add(&engine->refs, 1); }

void stwi_engine_drop(struct stwi_engine *engine) {
  if (atomic_fetch_sub(&engine->refs, 1) != 1) return;
  pthread_mutex_destroy(&engine->lock);
  free(engine->free_slots);
  free(engine->places);
  free(engine);
}

/* ---- commands ---- */

struct stwi_command *stwi_command_new(enum stwi_command_kind kind, struct stwi_port *port,
                                      size_t text_bytes) {
  struct stwi_command *command = calloc(1, sizeof *command + text_bytes);
  if (command == NULL) return NULL;
  command->kind = kind;
  command->port = port;
  if (port != NULL) stwi_port_hold(port);
  return command;
}

void stwi_command_free(struct stwi_command *command) {
  if (command->port != NULL) stwi_port_drop(command->port);
  if (command->query != NULL) stwi_query_drop(command->query);
  free(command);
}

bool stwi_engine_command(struct stwi_engine *engine, struct stwi_command *command) {
  pthread_mutex_lock(&engine->lock);
  bool is_taken = !engine->is_stopping;
  if (is_taken) {
    if (engine->command_last != NULL) {
      engine->command_last->next = command;
    } else {
      engine->command_first = command;
    }
    engine->command_last = command;
    stwi_loop_wake(engine->loop);
  }
  pthread_mutex_unlock(&engine->lock);
  if (!is_taken) stwi_command_free(command);
  return is_taken;
}

void stwi_engine_submit(struct stwi_port *port) {
  struct stwi_engine *engine = port->engine;
  pthread_mutex_lock(&engine->lock);
  if (!engine->is_stopping) {
    stwi_port_hold(port);
    bool was_empty = engine->submitted == NULL;
    port->next_submitted = engine->submitted;
    engine->submitted = port;
    if (was_empty) stwi_loop_wake(engine->loop);
  }
  pthread_mutex_unlock(&engine->lock);
}

bool stwi_engine_slot(struct stwi_engine *engine, uint32_t *slot) {
  pthread_mutex_lock(&engine->lock);
  bool is_there = true;
  if (engine->free_count > 0) {
    *slot = engine->free_slots[--engine->free_count];
  } else if (engine->slot_count < engine->free_capacity) {
    *slot = engine->slot_count++;
  } else {
    uint32_t capacity = engine->free_capacity == 0 ? 16 : 2 * engine->free_capacity;
    uint32_t *slots = realloc(engine->free_slots, capacity * sizeof *slots);
    is_there = slots != NULL;
    if (is_there) {
      engine->free_slots = slots;
      engine->free_capacity = capacity;
      *slot = engine->slot_count++;
    }
  }
  pthread_mutex_unlock(&engine->lock);
  return is_there;
}

static void return_slot(struct stwi_engine *engine, uint32_t slot) {
  pthread_mutex_lock(&engine->lock);
  engine->free_slots[engine->free_count++] = slot;
  pthread_mutex_unlock(&engine->lock);
}

/* ---- effects ---- */

static struct stwi_port *port_at(struct stwi_engine *engine, uint32_t slot) {
  return slot < engine->place_count ? engine->places[slot].port : NULL;
}

static void lock_mailbox(struct stwi_engine *engine, struct stwi_mailbox *mailbox) {
  if (engine->locked == mailbox) return;
  if (engine->locked != NULL) stwi_mailbox_unlock(engine->locked);
  engine->locked = mailbox;
  if (mailbox != NULL) pthread_mutex_lock(&mailbox->lock);
}

static bool queue_input(struct stwi_engine *engine, const struct stwi_input *input);

static void put_event(struct stwi_engine *engine, struct stwi_port *port, const stw_event *event) {
  lock_mailbox(engine, port->mailbox);
  stwi_mailbox_put(port->mailbox, port, event);
}

static void put_message(struct stwi_engine *engine, struct stwi_port *port,
                        const struct stwi_effect *effect, stwi_time now) {
  stw_event event;
  event.kind = STW_EVENT_MESSAGE;
  event.link = effect->link;
  event.conn = port->handle;
  event.at_ns = now;
  event.u.message.data = effect->u.message.data;
  event.u.message.size = effect->u.message.size;
  event.u.message.is_text = effect->u.message.is_text;
  put_event(engine, port, &event);
  if (port->box_was_full || !stwi_box_is_full(&port->box)) return;
  struct stwi_input full = {.kind = STWI_IN_INBOUND, .conn = effect->conn};
  full.u.inbound.is_full = true;
  port->box_was_full = queue_input(engine, &full);
}

static bool is_final(stw_state state) {
  return state == STW_STATE_CLOSED || state == STW_STATE_FAILED;
}

/* The core had no memory for the conn: it has ended before it began. */
static void publish_stillborn(struct stwi_port *port, stwi_time now) {
  port->is_stillborn = port->is_refusing = true;
  port->view.state = STW_STATE_FAILED;
  port->view.cause = STW_CAUSE_OVERLOAD_LOCAL;
  port->view.since_ns = now;
}

/* What the host has asked for and the core does not know yet goes before what the core says. */
static void publish_view(struct stwi_engine *engine, struct stwi_port *port, stwi_time now) {
  if (!stwi_core_view(engine->core, port->slot, &port->view)) publish_stillborn(port, now);
  if (port->is_stillborn) return;
  if (port->is_reopening) {
    port->view.state = STW_STATE_CONNECTING;
    port->view.is_closing = false;
  }
  port->is_refusing = port->view.is_closing || port->is_close_asked || is_final(port->view.state);
}

/* What admission and lookers read.  True: a sender was refused and there is room again. */
static bool publish(struct stwi_engine *engine, struct stwi_port *port, stwi_time now) {
  pthread_mutex_lock(&port->lock);
  publish_view(engine, port, now);
  stwi_core_metrics(engine->core, port->slot, now, port->metrics);
  const uint64_t *metrics = port->metrics;
  port->released_messages = metrics[STW_METRIC_SENT] - metrics[STW_METRIC_OUTBOX_MESSAGES];
  port->released_bytes = metrics[STW_METRIC_SENT_BYTES] - metrics[STW_METRIC_OUTBOX_BYTES];
  bool has_room = port->wants_room && !port->is_refusing && stwi_port_has_room(port);
  if (has_room) port->wants_room = false;
  pthread_mutex_unlock(&port->lock);
  return has_room;
}

static void on_publish(struct stwi_engine *engine, struct stwi_port *port, stwi_time now) {
  if (!publish(engine, port, now)) return;
  stw_event event = {.kind = STW_EVENT_OUTBOX_ROOM, .conn = port->handle, .at_ns = now};
  put_event(engine, port, &event);
}

/* A host reads the view after the event: so the view is published before. */
static void on_event(struct stwi_engine *engine, struct stwi_port *port,
                     const struct stwi_effect *effect, stwi_time now) {
  if (effect->u.event.kind == STW_EVENT_STATE || effect->u.event.kind == STW_EVENT_CLOSED) {
    publish(engine, port, now);
  }
  put_event(engine, port, &effect->u.event);
}

static void perform_one(struct stwi_engine *engine, const struct stwi_effect *effect,
                        stwi_time now) {
  const struct stwi_transport *to = &engine->transport;
  struct stwi_port *port = port_at(engine, effect->conn);
  switch (effect->kind) {
    case STWI_FX_DIAL:
      engine->places[effect->conn].links++;
      to->ops->dial(to->self, effect->conn, effect->link, &effect->u.dial);
      break;
    case STWI_FX_WRITE:
      to->ops->write(to->self, effect->conn, effect->link, effect->u.write.data,
                     effect->u.write.size);
      break;
    case STWI_FX_PAUSE:
      to->ops->pause(to->self, effect->conn, effect->link, effect->u.pause.on);
      break;
    case STWI_FX_CUT: to->ops->cut(to->self, effect->conn, effect->link, effect->u.cut.abort); break;
    case STWI_FX_MESSAGE:
      if (port != NULL) put_message(engine, port, effect, now);
      break;
    case STWI_FX_EVENT:
      if (port != NULL) on_event(engine, port, effect, now);
      break;
    case STWI_FX_PUBLISH:
      if (port != NULL) on_publish(engine, port, now);
      break;
  }
}

static void give_entropy(struct stwi_engine *engine) {
  size_t size;
  uint8_t *bytes = stwi_core_entropy_want(engine->core, &size);
  if (size == 0) return;
  stwi_clock_random_bytes(bytes, size);
  stwi_core_entropy_given(engine->core);
}

static void step_once(struct stwi_engine *engine, const struct stwi_input *input, stwi_time now) {
  give_entropy(engine);
  engine->effects.count = 0;
  stwi_core_step(engine->core, input, 1, now, &engine->effects);
  for (size_t i = 0; i < engine->effects.count; i++) {
    perform_one(engine, &engine->effects.items[i], now);
  }
}

static struct stwi_pending *new_pending(struct stwi_engine *engine) {
  struct stwi_pending *pending = engine->pending_free;
  if (pending == NULL) return malloc(sizeof *pending);
  engine->pending_free = pending->next;
  engine->pending_kept--;
  return pending;
}

static void keep_pending(struct stwi_engine *engine, struct stwi_pending *pending) {
  if (engine->pending_kept == PENDING_KEPT) {
    free(pending);
    return;
  }
  pending->next = engine->pending_free;
  engine->pending_free = pending;
  engine->pending_kept++;
}

static bool keep_some_pending(struct stwi_engine *engine) {
  while (engine->pending_kept < PENDING_KEPT) {
    struct stwi_pending *pending = malloc(sizeof *pending);
    if (pending == NULL) return false;
    keep_pending(engine, pending);
  }
  return true;
}

/* Inputs that arrive while effects are performed wait for their own step.  False without memory. */
static bool queue_input(struct stwi_engine *engine, const struct stwi_input *input) {
  struct stwi_pending *pending = new_pending(engine);
  if (pending == NULL) return false;
  pending->next = NULL;
  pending->input = *input;
  const char *text = NULL;
  if (input->kind == STWI_IN_DOWN) text = input->u.down.detail;
  if (input->kind == STWI_IN_READY) text = input->u.ready.subprotocol;
  size_t size = text == NULL ? 0 : strnlen(text, TEXT_BYTES - 1);
  if (size > 0) memcpy(pending->text, text, size);
  pending->text[size] = '\0';
  if (input->kind == STWI_IN_DOWN) pending->input.u.down.detail = pending->text;
  if (input->kind == STWI_IN_READY) pending->input.u.ready.subprotocol = pending->text;
  if (engine->pending_last != NULL) {
    engine->pending_last->next = pending;
  } else {
    engine->pending_first = pending;
  }
  engine->pending_last = pending;
  return true;
}

static void step(struct stwi_engine *engine, const struct stwi_input *input, stwi_time now) {
  engine->is_stepping = true;
  step_once(engine, input, now);
  while (engine->pending_first != NULL) {
    struct stwi_pending *pending = engine->pending_first;
    engine->pending_first = pending->next;
    if (engine->pending_first == NULL) engine->pending_last = NULL;
    step_once(engine, &pending->input, now);
    keep_pending(engine, pending);
  }
  engine->is_stepping = false;
}

static void return_if_left(struct stwi_engine *engine, uint32_t slot) {
  struct stwi_place *place = &engine->places[slot];
  if (!place->is_leaving || place->links > 0) return;
  place->is_leaving = false;
  return_slot(engine, slot);
}

static void put(void *owner, const struct stwi_input *input) {
  struct stwi_engine *engine = owner;
  if (input->kind == STWI_IN_DOWN) {
    engine->places[input->conn].links--;
    return_if_left(engine, input->conn);
  }
  if (engine->is_stepping) {
    queue_input(engine, input);
    return;
  }
  step(engine, input, stwi_loop_now(engine->loop));
  lock_mailbox(engine, NULL);
  stwi_loop_dirty(engine->loop);
}

/* ---- turn ---- */

static bool reserve_place(struct stwi_engine *engine, uint32_t slot) {
  if (slot < engine->place_count) return true;
  uint32_t count = engine->place_count == 0 ? 16 : engine->place_count;
  while (count <= slot) count *= 2;
  struct stwi_place *places = realloc(engine->places, count * sizeof *places);
  if (places == NULL) return false;
  memset(places + engine->place_count, 0, (count - engine->place_count) * sizeof *places);
  engine->places = places;
  engine->place_count = count;
  return true;
}

static void bear_still(struct stwi_engine *engine, struct stwi_command *command, stwi_time now) {
  struct stwi_port *port = command->port;
  stwi_conn_config_free(command->input.u.open.config);
  pthread_mutex_lock(&port->lock);
  publish_stillborn(port, now);
  pthread_mutex_unlock(&port->lock);
  stw_event event = {.kind = STW_EVENT_CLOSED, .conn = port->handle, .at_ns = now};
  event.u.closed.cause = STW_CAUSE_OVERLOAD_LOCAL;
  event.u.closed.detail = "no memory for another conn; free some, then open it again";
  put_event(engine, port, &event);
}

static void on_open(struct stwi_engine *engine, struct stwi_command *command, stwi_time now) {
  struct stwi_port *port = command->port;
  if (!reserve_place(engine, port->slot)) {
    bear_still(engine, command, now);
    return;
  }
  stwi_port_hold(port);
  engine->places[port->slot].port = port;
  step(engine, &command->input, now);
}

static void forget(struct stwi_engine *engine, struct stwi_port *port, stwi_time now) {
  if (port_at(engine, port->slot) != port) { /* it never came to the core */
    return_slot(engine, port->slot);
    return;
  }
  struct stwi_input input = {.kind = STWI_IN_FORGET, .conn = port->slot};
  step(engine, &input, now);
  lock_mailbox(engine, NULL);
  engine->places[port->slot].port = NULL;
  engine->places[port->slot].is_leaving = true;
  return_if_left(engine, port->slot);
  stwi_port_drop(port);
}

static void submit(struct stwi_engine *engine, struct stwi_port *port, struct stwi_chunk *chunks,
                   stwi_time now) {
  if (chunks == NULL) return;
  struct stwi_input input = {.kind = STWI_IN_SUBMIT, .conn = port->slot};
  input.u.submit.chunks = chunks;
  if (port_at(engine, port->slot) == port) {
    step(engine, &input, now);
  } else {
    stwi_chunk_free_list(chunks);
  }
}

/* What a host was told is taken is known before its conn closes. */
static void on_input(struct stwi_engine *engine, struct stwi_command *command, stwi_time now) {
  struct stwi_port *port = command->port;
  if (command->input.kind == STWI_IN_CLOSE) {
    submit(engine, port, stwi_port_collect_early(port, false), now);
  }
  if (command->input.kind == STWI_IN_REOPEN) {
    pthread_mutex_lock(&port->lock);
    port->is_reopening = false;
    pthread_mutex_unlock(&port->lock);
  }
  step(engine, &command->input, now);
}

static void on_command(struct stwi_engine *engine, struct stwi_command *command, stwi_time now) {
  struct stwi_port *port = command->port;
  bool is_known = port == NULL || port_at(engine, port->slot) == port;
  if (port != NULL) command->input.conn = port->slot;
  switch (command->kind) {
    case STWI_COMMAND_OPEN: on_open(engine, command, now); break;
    case STWI_COMMAND_INPUT:
      if (is_known) on_input(engine, command, now);
      break;
    case STWI_COMMAND_QUERY:
      if (command->query->kind == STWI_QUERY_CANCEL && is_known) {
        stwi_query_answer(command->query, engine->core, port->slot, now);
        if (command->query->status == STW_OK) step(engine, &command->input, now);
      } else {
        stwi_query_answer(command->query, engine->core, is_known ? port->slot : UINT32_MAX, now);
      }
      break;
  }
}

static struct stwi_port *in_order(struct stwi_port *port) {
  struct stwi_port *first = NULL;
  while (port != NULL) {
    struct stwi_port *next = port->next_submitted;
    port->next_submitted = first;
    first = port;
    port = next;
  }
  return first;
}

static void tell_room(struct stwi_engine *engine, struct stwi_port *port, stwi_time now) {
  struct stwi_input input = {.kind = STWI_IN_INBOUND, .conn = port->slot};
  input.u.inbound.is_full = false;
  step(engine, &input, now);
}

/* Gives a list of the ports to be forgotten, still held by the caller. */
static struct stwi_port *take_submitted(struct stwi_engine *engine, struct stwi_port *port,
                                        stwi_time now) {
  struct stwi_port *forgotten = NULL;
  for (port = in_order(port); port != NULL;) {
    struct stwi_port *next = port->next_submitted;
    struct stwi_news news = stwi_port_collect(port);
    submit(engine, port, news.chunks, now);
    if (port_at(engine, port->slot) == port) {
      if (news.has_box_room) tell_room(engine, port, now);
      if (news.wants_room && news.chunks == NULL) on_publish(engine, port, now);
    }
    if (news.is_forgotten) {
      port->next_submitted = forgotten;
      forgotten = port;
    } else {
      stwi_port_drop(port);
    }
    port = next;
  }
  return forgotten;
}

static void take_commands(struct stwi_engine *engine, stwi_time now) {
  pthread_mutex_lock(&engine->lock);
  struct stwi_port *submitted = engine->submitted;
  struct stwi_command *command = engine->command_first;
  engine->submitted = NULL;
  engine->command_first = engine->command_last = NULL;
  pthread_mutex_unlock(&engine->lock);
  /* Opens first: what was submitted to a new conn must find it. */
  for (struct stwi_command *c = command; c != NULL; c = c->next) {
    if (c->kind == STWI_COMMAND_OPEN) on_command(engine, c, now);
  }
  struct stwi_port *forgotten = take_submitted(engine, submitted, now);
  while (command != NULL) {
    struct stwi_command *next = command->next;
    if (command->kind != STWI_COMMAND_OPEN) on_command(engine, command, now);
    stwi_command_free(command);
    command = next;
  }
  while (forgotten != NULL) { /* last: what was asked of a conn came before its end */
    struct stwi_port *next = forgotten->next_submitted;
    forget(engine, forgotten, now);
    stwi_port_drop(forgotten);
    forgotten = next;
  }
}

/* The machine slept, or this process did not run: neither speaks against a peer. */
static void watch_time(struct stwi_engine *engine, stwi_time now) {
  uint64_t passed = now - engine->last_turn;
  stwi_time due = stwi_core_deadline(engine->core);
  if (passed > STALL_NS) {
    uint64_t boot = stwi_clock_boot();
    if (boot - engine->last_boot > passed + SLEEP_NS) {
      struct stwi_input wake = {.kind = STWI_IN_WAKE};
      step(engine, &wake, now);
    } else if (due != STWI_NEVER && now > due + STALL_NS) {
      struct stwi_input stalled = {.kind = STWI_IN_STALLED};
      stalled.u.stalled.for_ns = now - due;
      step(engine, &stalled, now);
    }
    engine->last_boot = boot;
    engine->last_turn = now;
  }
}

static void step_turns(struct stwi_engine *engine, stwi_time now) {
  struct stwi_input input = {.kind = STWI_IN_TURN};
  do {
    step(engine, &input, now);
  } while (stwi_core_has_more(engine->core));
}

/* From here on commands and messages are refused, so whatever was taken is known before CLOSED
 * says what was not delivered. */
static void close_down(struct stwi_engine *engine, stwi_time now) {
  take_commands(engine, now);
  for (uint32_t slot = 0; slot < engine->place_count; slot++) {
    struct stwi_port *port = engine->places[slot].port;
    if (port != NULL) submit(engine, port, stwi_port_collect_early(port, true), now);
  }
  struct stwi_input stop = {.kind = STWI_IN_STOP};
  step(engine, &stop, now);
  step_turns(engine, now);
  lock_mailbox(engine, NULL);
  stwi_loop_stop(engine->loop);
}

static void turn(void *owner, stwi_time now) {
  struct stwi_engine *engine = owner;
  watch_time(engine, now);
  take_commands(engine, now);
  step_turns(engine, now);
  lock_mailbox(engine, NULL);
  stwi_loop_deadline(engine->loop, stwi_core_deadline(engine->core));
  pthread_mutex_lock(&engine->lock);
  bool is_stopping = engine->is_stopping;
  pthread_mutex_unlock(&engine->lock);
  if (is_stopping) close_down(engine, now);
}

/* ---- the thread ---- */

struct start {
  struct stwi_engine *engine;
  stwi_transport_maker make;
  void *arg;
  pthread_mutex_t lock;
  pthread_cond_t done;
  bool is_done;
  const char *why;
  char text[TEXT_BYTES];
};

static struct stwi_transport make_ws(void *arg, struct stwi_loop *loop, struct stwi_sink sink,
                                     const char **why) {
  (void)arg;
  return stwi_transport_ws_new(loop, sink, why);
}

static void tell_started(struct start *start, const char *why) {
  pthread_mutex_lock(&start->lock);
  if (why != NULL) {
    snprintf(start->text, sizeof start->text, "%s", why);
    start->why = start->text;
  }
  start->is_done = true;
  pthread_cond_signal(&start->done);
  pthread_mutex_unlock(&start->lock);
}

static void drop_commands(struct stwi_engine *engine) {
  pthread_mutex_lock(&engine->lock);
  struct stwi_command *command = engine->command_first;
  struct stwi_port *submitted = engine->submitted;
  engine->command_first = engine->command_last = NULL;
  engine->submitted = NULL;
  engine->is_stopped = true;
  pthread_mutex_unlock(&engine->lock);
  while (command != NULL) {
    struct stwi_command *next = command->next;
    if (command->kind == STWI_COMMAND_OPEN) stwi_conn_config_free(command->input.u.open.config);
    if (command->kind == STWI_COMMAND_QUERY) {
      stwi_query_answer(command->query, NULL, UINT32_MAX, 0);
    }
    stwi_command_free(command);
    command = next;
  }
  while (submitted != NULL) {
    struct stwi_port *next = submitted->next_submitted;
    stwi_port_drop(submitted);
    submitted = next;
  }
}

static void *engine_thread(void *arg) {
  struct start *start = arg;
  struct stwi_engine *engine = start->engine;
  const char *why = "no memory";
  struct stwi_sink sink = {engine, put};
  engine->transport = start->make(start->arg, engine->loop, sink, &why);
  bool is_up = engine->transport.ops != NULL;
  tell_started(start, is_up ? NULL : why); /* `start` is gone after this */
  if (!is_up) return NULL;
  engine->last_turn = stwi_clock_monotonic();
  engine->last_boot = stwi_clock_boot();
  stwi_loop_run(engine->loop);
  engine->is_stepping = true; /* what the dying transport says is of no interest */
  engine->transport.ops->free(engine->transport.self);
  drop_commands(engine);
  return NULL;
}

static void free_pending(struct stwi_pending *pending) {
  while (pending != NULL) {
    struct stwi_pending *next = pending->next;
    free(pending);
    pending = next;
  }
}

static void free_parts(struct stwi_engine *engine) {
  free_pending(engine->pending_first);
  free_pending(engine->pending_free);
  engine->pending_first = engine->pending_last = engine->pending_free = NULL;
  for (uint32_t slot = 0; slot < engine->place_count; slot++) {
    if (engine->places[slot].port == NULL) continue;
    stwi_port_drop(engine->places[slot].port);
    engine->places[slot].port = NULL;
  }
  stwi_core_free(engine->core);
  stwi_effects_fini(&engine->effects);
  if (engine->loop != NULL) stwi_loop_free(engine->loop);
  engine->core = NULL;
  engine->loop = NULL;
}

/* Signals belong to the host's threads; a write to a dead TLS socket must not kill it (SIGPIPE). */
static int spawn(struct stwi_engine *engine, struct start *start) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&engine->thread, NULL, engine_thread, start);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

static stw_status run(struct stwi_engine *engine, struct start *start) {
  if (spawn(engine, start) != 0) {
    return stwi_error(STW_E_SYSTEM, "no thread for the engine; raise the limit of processes");
  }
  pthread_mutex_lock(&start->lock);
  while (!start->is_done) pthread_cond_wait(&start->done, &start->lock);
  pthread_mutex_unlock(&start->lock);
  if (start->why == NULL) return STW_OK;
  pthread_join(engine->thread, NULL);
  return stwi_error(STW_E_SYSTEM, "the engine cannot start: %s", start->why);
}

stw_status stwi_engine_start(struct stwi_engine **out, stwi_transport_maker make, void *arg) {
  struct stwi_engine *engine = calloc(1, sizeof *engine);
  if (engine == NULL) return stwi_error(STW_E_MEMORY, "no memory for an engine");
  atomic_init(&engine->refs, 1);
  pthread_mutex_init(&engine->lock, NULL);
  stwi_effects_init(&engine->effects);
  struct stwi_loop_hooks hooks = {engine, turn};
  engine->loop = stwi_loop_new(&hooks);
  engine->core = stwi_core_new();
  stw_status status;
  struct start start = {.engine = engine, .make = make == NULL ? make_ws : make, .arg = arg};
  pthread_mutex_init(&start.lock, NULL);
  pthread_cond_init(&start.done, NULL);
  if (engine->loop == NULL || engine->core == NULL || !keep_some_pending(engine)) {
    status = stwi_error(STW_E_SYSTEM, "no memory or descriptors for an event loop; raise ulimit -n");
  } else {
    status = run(engine, &start);
  }
  pthread_mutex_destroy(&start.lock);
  pthread_cond_destroy(&start.done);
  if (status != STW_OK) {
    free_parts(engine);
    stwi_engine_drop(engine);
    return status;
  }
  *out = engine;
  return STW_OK;
}

void stwi_engine_stop(struct stwi_engine *engine) {
  pthread_mutex_lock(&engine->lock);
  bool is_first = !engine->is_stopping;
  engine->is_stopping = true;
  if (is_first) stwi_loop_wake(engine->loop);
  pthread_mutex_unlock(&engine->lock);
  if (!is_first) return;
  pthread_join(engine->thread, NULL);
  free_parts(engine);
}
