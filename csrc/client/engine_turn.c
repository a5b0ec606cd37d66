#include "client/engine_inside.h"

#include <stdlib.h>
#include <string.h>

#include "io/clock.h"

static bool reserve_place(struct stwi_engine *engine, uint32_t slot) {
  if (slot < engine->place_count)
    return true;
  uint32_t count = engine->place_count == 0 ? 16 : engine->place_count;
  while (count <= slot)
    count *= 2;
  struct stwi_place *places = realloc(engine->places, count * sizeof *places);
  if (places == NULL)
    return false;
  memset(places + engine->place_count, 0, (count - engine->place_count) * sizeof *places);
  engine->places = places;
  engine->place_count = count;
  return true;
}

static void bear_still(struct stwi_engine *engine, struct stwi_command *command, stwi_time now) {
  struct stwi_port *port = command->port;
  stwi_conn_config_free(command->input.u.open.config);
  stwi_port_store_leave(port);
  stwi_port_lock(port);
  stwi_engine_publish_stillborn(port, now);
  pthread_mutex_unlock(&port->lock);
  stw_event event = {.kind = STW_EVENT_CLOSED, .conn = port->handle, .at_ns = now};
  event.u.closed.cause = STW_CAUSE_OVERLOAD_LOCAL;
  event.u.closed.detail = "no memory for another conn; free some, then open it again";
  stwi_engine_put_event(engine, port, &event);
}

static void on_open(struct stwi_engine *engine, struct stwi_command *command, stwi_time now) {
  struct stwi_port *port = command->port;
  if (!reserve_place(engine, port->slot)) {
    bear_still(engine, command, now);
    return;
  }
  stwi_port_hold(port);
  engine->places[port->slot].port = port;
  stwi_engine_store_begin(engine, port, now);
  command->input.u.open.restored = &port->file->restored;
  stwi_engine_step(engine, &command->input, now);
  stwi_port_store_begun(port);
  stwi_engine_store_collect(engine, port, now);
}

static void forget(struct stwi_engine *engine, struct stwi_port *port, stwi_time now) {
  if (stwi_engine_port_at(engine, port->slot) != port) { /* it never came to the core */
    stwi_engine_return_slot(engine, port->slot);
    return;
  }
  struct stwi_input input = {.kind = STWI_IN_FORGET, .conn = port->slot};
  stwi_engine_step(engine, &input, now);
  stwi_engine_lock_mailbox(engine, NULL);
  stwi_engine_store_leave(engine, port);
  engine->places[port->slot].port = NULL;
  engine->places[port->slot].is_leaving = true;
  stwi_engine_return_if_left(engine, port->slot);
  stwi_port_drop(port);
}

static void submit(struct stwi_engine *engine, struct stwi_port *port, struct stwi_chunk *chunks,
                   stwi_time now) {
  if (chunks == NULL)
    return;
  struct stwi_input input = {.kind = STWI_IN_SUBMIT, .conn = port->slot};
  input.u.submit.chunks = chunks;
  if (stwi_engine_port_at(engine, port->slot) == port) {
    stwi_engine_step(engine, &input, now);
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
    stwi_port_lock(port);
    port->is_reopening = false;
    pthread_mutex_unlock(&port->lock);
  }
  stwi_engine_step(engine, &command->input, now);
}

/* What was sent before is seen by it: a port that another thread has marked as submitted may not
 * have reached the engine's list yet.  An edit is judged, then done; who asked for it waits until
 * it is. */
static void on_query(struct stwi_engine *engine, struct stwi_command *command, bool is_known,
                     stwi_time now) {
  struct stwi_query *query = command->query;
  struct stwi_port *port = command->port;
  if (is_known)
    submit(engine, port, stwi_port_collect_early(port, false), now);
  stwi_query_look(query, is_known ? engine->core : NULL, port->slot, now);
  if (query->kind == STWI_QUERY_EDIT && query->status == STW_OK) {
    stwi_engine_step(engine, &command->input, now);
    stwi_engine_publish(engine, port, now);
  }
  stwi_query_tell(query);
}

static void on_command(struct stwi_engine *engine, struct stwi_command *command, stwi_time now) {
  struct stwi_port *port = command->port;
  bool is_known = port == NULL || stwi_engine_port_at(engine, port->slot) == port;
  if (port != NULL)
    command->input.conn = port->slot;
  switch (command->kind) {
  case STWI_COMMAND_OPEN:
    on_open(engine, command, now);
    break;
  case STWI_COMMAND_INPUT:
    if (is_known)
      on_input(engine, command, now);
    break;
  case STWI_COMMAND_QUERY:
    on_query(engine, command, is_known, now);
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
  stwi_engine_step(engine, &input, now);
}

static void tell_processed(struct stwi_engine *engine, struct stwi_port *port,
                           const struct stwi_news *news, stwi_time now) {
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++) {
    struct stwi_input input = {.kind = STWI_IN_PROCESSED, .conn = port->slot};
    input.u.processed.lane = (stw_lane)lane;
    input.u.processed.number = news->processed[lane];
    if (input.u.processed.number > 0)
      stwi_engine_step(engine, &input, now);
  }
}

/* Gives a list of the ports to be forgotten, still held by the caller. */
static struct stwi_port *take_submitted(struct stwi_engine *engine, struct stwi_port *port,
                                        stwi_time now) {
  struct stwi_port *forgotten = NULL;
  for (port = in_order(port); port != NULL;) {
    struct stwi_port *next = port->next_submitted;
    struct stwi_news news = stwi_port_collect(port);
    submit(engine, port, news.chunks, now);
    if (stwi_engine_port_at(engine, port->slot) == port) {
      if (news.has_processed)
        tell_processed(engine, port, &news, now);
      if (news.has_store_news)
        stwi_engine_store_collect(engine, port, now);
      if (news.has_box_room)
        tell_room(engine, port, now);
      if (news.wants_room && news.chunks == NULL)
        stwi_engine_publish(engine, port, now);
    }
    if (news.is_forgotten) {
      port->next_forgotten = forgotten;
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
    if (c->kind == STWI_COMMAND_OPEN)
      on_command(engine, c, now);
  }
  struct stwi_port *forgotten = take_submitted(engine, submitted, now);
  while (command != NULL) {
    struct stwi_command *next = command->next;
    if (command->kind != STWI_COMMAND_OPEN)
      on_command(engine, command, now);
    stwi_command_free(command);
    command = next;
  }
  while (forgotten != NULL) { /* last: what was asked of a conn came before its end */
    struct stwi_port *next = forgotten->next_forgotten;
    forget(engine, forgotten, now);
    stwi_port_drop(forgotten);
    forgotten = next;
  }
}

static void step_turns(struct stwi_engine *engine, stwi_time now) {
  struct stwi_input input = {.kind = STWI_IN_TURN};
  do {
    stwi_engine_step(engine, &input, now);
  } while (stwi_core_has_more(engine->core));
}

/* From here on commands and messages are refused, so whatever was taken is known before CLOSED
 * says what was not delivered. */
static void close_down(struct stwi_engine *engine, stwi_time now) {
  take_commands(engine, now);
  for (uint32_t slot = 0; slot < engine->place_count; slot++) {
    struct stwi_port *port = engine->places[slot].port;
    if (port != NULL)
      submit(engine, port, stwi_port_collect_early(port, true), now);
  }
  struct stwi_input stop = {.kind = STWI_IN_STOP};
  stwi_engine_step(engine, &stop, now);
  step_turns(engine, now);
  stwi_engine_store_flush(engine, now);
  stwi_engine_lock_mailbox(engine, NULL);
  stwi_loop_stop(engine->loop);
}

void stwi_engine_turn(void *owner, stwi_time now) {
  struct stwi_engine *engine = owner;
  stwi_engine_watch_time(engine, now);
  take_commands(engine, now);
  step_turns(engine, now);
  stwi_engine_store_flush(engine, now);
  stwi_engine_lock_mailbox(engine, NULL);
  stwi_loop_deadline(engine->loop, stwi_core_deadline(engine->core));
  pthread_mutex_lock(&engine->lock);
  bool is_stopping = engine->is_stopping;
  pthread_mutex_unlock(&engine->lock);
  if (is_stopping)
    close_down(engine, now);
}
