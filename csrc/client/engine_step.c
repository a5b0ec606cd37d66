#include "client/engine_inside.h"

#include <stdlib.h>
#include <string.h>

#include "client/mailbox.h"
#include "io/clock.h"

#define TEXT_BYTES 200u
#define PENDING_KEPT 16u

struct stwi_pending {
  struct stwi_pending *next;
  struct stwi_input input;
  char text[TEXT_BYTES];
};

/* ---- effects ---- */

struct stwi_port *stwi_engine_port_at(struct stwi_engine *engine, uint32_t slot) {
  return slot < engine->place_count ? engine->places[slot].port : NULL;
}

void stwi_engine_lock_mailbox(struct stwi_engine *engine, struct stwi_mailbox *mailbox) {
  if (engine->locked == mailbox)
    return;
  if (engine->locked != NULL)
    stwi_mailbox_unlock(engine->locked);
  engine->locked = mailbox;
  if (mailbox != NULL)
    pthread_mutex_lock(&mailbox->lock);
}

static bool queue_input(struct stwi_engine *engine, const struct stwi_input *input);

void stwi_engine_put_event(struct stwi_engine *engine, struct stwi_port *port,
                           const stw_event *event) {
  stwi_engine_lock_mailbox(engine, port->mailbox);
  stwi_mailbox_put(port->mailbox, port, event);
}

/* What stw_conn_processed may name from now on. */
static void note_arrived(struct stwi_port *port, const stw_event *event) {
  _Atomic uint64_t *arrived = &port->arrived[event->u.message.lane];
  if (atomic_load(arrived) < event->u.message.id.number)
    atomic_store(arrived, event->u.message.id.number);
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
  event.u.message.is_replayed = effect->u.message.is_replayed;
  event.u.message.lane = effect->u.message.lane;
  event.u.message.id = effect->u.message.id;
  if (event.u.message.id.number > 0)
    note_arrived(port, &event);
  stwi_engine_put_event(engine, port, &event);
  if (port->box_was_full || !stwi_box_is_full(&port->box))
    return;
  struct stwi_input full = {.kind = STWI_IN_INBOUND, .conn = effect->conn};
  full.u.inbound.is_full = true;
  port->box_was_full = queue_input(engine, &full);
}

static bool is_final(stw_state state) {
  return state == STW_STATE_CLOSED || state == STW_STATE_FAILED;
}

/* The core had no memory for the conn: it has ended before it began. */
void stwi_engine_publish_stillborn(struct stwi_port *port, stwi_time now) {
  port->is_stillborn = port->is_refusing = true;
  port->view.state = STW_STATE_FAILED;
  port->view.cause = STW_CAUSE_OVERLOAD_LOCAL;
  port->view.since_ns = now;
}

/* What the host has asked for and the core does not know yet goes before what the core says. */
static void publish_view(struct stwi_engine *engine, struct stwi_port *port, stwi_time now) {
  if (!stwi_core_view(engine->core, port->slot, &port->view))
    stwi_engine_publish_stillborn(port, now);
  if (port->is_stillborn)
    return;
  if (port->is_reopening) {
    port->view.state = STW_STATE_CONNECTING;
    port->view.is_closing = false;
  }
  port->is_refusing = port->view.is_closing || port->is_close_asked || is_final(port->view.state);
}

/* What admission and lookers read.  True: a sender was refused and there is room again. */
static bool publish(struct stwi_engine *engine, struct stwi_port *port, stwi_time now) {
  stwi_port_lock(port);
  publish_view(engine, port, now);
  stwi_core_metrics(engine->core, port->slot, now, port->metrics);
  const uint64_t *metrics = port->metrics;
  port->released_messages = metrics[STW_METRIC_SENT] - metrics[STW_METRIC_OUTBOX_MESSAGES];
  port->released_bytes = metrics[STW_METRIC_SENT_BYTES] - metrics[STW_METRIC_OUTBOX_BYTES];
  bool has_room = port->wants_room && !port->is_refusing && stwi_port_has_room(port);
  if (has_room)
    port->wants_room = false;
  pthread_mutex_unlock(&port->lock);
  return has_room;
}

void stwi_engine_publish(struct stwi_engine *engine, struct stwi_port *port, stwi_time now) {
  if (!publish(engine, port, now))
    return;
  stw_event event = {.kind = STW_EVENT_OUTBOX_ROOM, .conn = port->handle, .at_ns = now};
  stwi_engine_put_event(engine, port, &event);
}

/* A host looks after the event: so view and metrics are published before it. */
static void on_event(struct stwi_engine *engine, struct stwi_port *port,
                     const struct stwi_effect *effect, stwi_time now) {
  stwi_engine_publish(engine, port, now);
  stwi_engine_put_event(engine, port, &effect->u.event);
}

static void perform_one(struct stwi_engine *engine, const struct stwi_effect *effect,
                        stwi_time now) {
  const struct stwi_transport *to = &engine->transport;
  struct stwi_port *port = stwi_engine_port_at(engine, effect->conn);
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
  case STWI_FX_RESTART:
    if (to->ops->restart != NULL)
      to->ops->restart(to->self, effect->conn, effect->link);
    break;
  case STWI_FX_LOOK:
    if (to->ops->ask_kernel != NULL)
      to->ops->ask_kernel(to->self, effect->conn, effect->link);
    break;
  case STWI_FX_CUT:
    to->ops->cut(to->self, effect->conn, effect->link, effect->u.cut.abort);
    break;
  case STWI_FX_MESSAGE:
    if (port != NULL)
      put_message(engine, port, effect, now);
    break;
  case STWI_FX_EVENT:
    if (port != NULL)
      on_event(engine, port, effect, now);
    break;
  case STWI_FX_STORE:
    stwi_engine_store_add(engine, effect);
    break;
  case STWI_FX_PUBLISH:
    if (port != NULL)
      stwi_engine_publish(engine, port, now);
    break;
  }
}

static void free_pending(struct stwi_pending *pending) {
  while (pending != NULL) {
    struct stwi_pending *next = pending->next;
    free(pending);
    pending = next;
  }
}

void stwi_engine_free_pending(struct stwi_engine *engine) {
  free_pending(engine->pending_first);
  free_pending(engine->pending_free);
  engine->pending_first = engine->pending_last = engine->pending_free = NULL;
}

static void give_entropy(struct stwi_engine *engine) {
  size_t size;
  uint8_t *bytes = stwi_core_entropy_want(engine->core, &size);
  if (size == 0)
    return;
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
  if (pending == NULL)
    return malloc(sizeof *pending);
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

bool stwi_engine_keep_pending(struct stwi_engine *engine) {
  while (engine->pending_kept < PENDING_KEPT) {
    struct stwi_pending *pending = malloc(sizeof *pending);
    if (pending == NULL)
      return false;
    keep_pending(engine, pending);
  }
  return true;
}

/* Inputs that arrive while effects are performed wait for their own step.  False without memory. */
static bool queue_input(struct stwi_engine *engine, const struct stwi_input *input) {
  struct stwi_pending *pending = new_pending(engine);
  if (pending == NULL)
    return false;
  pending->next = NULL;
  pending->input = *input;
  const char *text = NULL;
  if (input->kind == STWI_IN_DOWN)
    text = input->u.down.detail;
  if (input->kind == STWI_IN_READY)
    text = input->u.ready.subprotocol;
  size_t size = text == NULL ? 0 : strnlen(text, TEXT_BYTES - 1);
  if (size > 0)
    memcpy(pending->text, text, size);
  pending->text[size] = '\0';
  if (input->kind == STWI_IN_DOWN)
    pending->input.u.down.detail = pending->text;
  if (input->kind == STWI_IN_READY)
    pending->input.u.ready.subprotocol = pending->text;
  if (engine->pending_last != NULL) {
    engine->pending_last->next = pending;
  } else {
    engine->pending_first = pending;
  }
  engine->pending_last = pending;
  return true;
}

void stwi_engine_step(struct stwi_engine *engine, const struct stwi_input *input, stwi_time now) {
  engine->is_stepping = true;
  step_once(engine, input, now);
  while (engine->pending_first != NULL) {
    struct stwi_pending *pending = engine->pending_first;
    engine->pending_first = pending->next;
    if (engine->pending_first == NULL)
      engine->pending_last = NULL;
    step_once(engine, &pending->input, now);
    keep_pending(engine, pending);
  }
  engine->is_stepping = false;
}

void stwi_engine_return_if_left(struct stwi_engine *engine, uint32_t slot) {
  struct stwi_place *place = &engine->places[slot];
  if (!place->is_leaving || place->links > 0)
    return;
  place->is_leaving = false;
  stwi_engine_return_slot(engine, slot);
}

void stwi_engine_put(void *owner, const struct stwi_input *input) {
  struct stwi_engine *engine = owner;
  if (input->kind == STWI_IN_DOWN) {
    engine->places[input->conn].links--;
    stwi_engine_return_if_left(engine, input->conn);
  }
  if (engine->is_stepping) {
    queue_input(engine, input);
    return;
  }
  stwi_engine_step(engine, input, stwi_loop_now(engine->loop));
  stwi_engine_lock_mailbox(engine, NULL);
  stwi_loop_dirty(engine->loop);
}
