#include "client/engine_inside.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/budgets.h"
#include "client/error.h"
#include "client/mailbox.h"
#include "io/clock.h"
#include "io/envelope.h"

#define WHY_BYTES 200u
#define STOP_PATIENCE (2 * STWI_S) /* for the files of all its conns */

void stwi_engine_hold(struct stwi_engine *engine) {
  atomic_fetch_add(&engine->refs, 1);
}

void stwi_engine_drop(struct stwi_engine *engine) {
  if (atomic_fetch_sub(&engine->refs, 1) != 1)
    return;
  pthread_mutex_destroy(&engine->lock);
  free(engine->free_slots);
  free(engine->places);
  free(engine);
}

/* ---- commands ---- */

struct stwi_command *stwi_command_new(enum stwi_command_kind kind, struct stwi_port *port,
                                      size_t text_bytes) {
  struct stwi_command *command = calloc(1, sizeof *command + text_bytes);
  if (command == NULL)
    return NULL;
  command->kind = kind;
  command->port = port;
  if (port != NULL)
    stwi_port_hold(port);
  return command;
}

void stwi_command_free(struct stwi_command *command) {
  if (command->port != NULL)
    stwi_port_drop(command->port);
  if (command->query != NULL)
    stwi_query_drop(command->query);
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
  if (!is_taken)
    stwi_command_free(command);
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
    if (was_empty)
      stwi_loop_wake(engine->loop);
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

void stwi_engine_return_slot(struct stwi_engine *engine, uint32_t slot) {
  pthread_mutex_lock(&engine->lock);
  engine->free_slots[engine->free_count++] = slot;
  pthread_mutex_unlock(&engine->lock);
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
  char text[WHY_BYTES];
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
    if (command->kind == STWI_COMMAND_OPEN) {
      stwi_conn_config_free(command->input.u.open.config);
      stwi_port_store_leave(command->port);
    }
    if (command->kind == STWI_COMMAND_QUERY) {
      stwi_query_look(command->query, NULL, UINT32_MAX, 0);
      stwi_query_tell(command->query);
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
  struct stwi_sink sink = {engine, stwi_engine_put};
  engine->transport = start->make(start->arg, engine->loop, sink, &why);
  bool is_up = engine->transport.ops != NULL;
  tell_started(start, is_up ? NULL : why); /* `start` is gone after this */
  if (!is_up)
    return NULL;
  stwi_engine_watch_begin(engine);
  stwi_loop_run(engine->loop);
  engine->is_stepping = true; /* what the dying transport says is of no interest */
  stwi_engine_watch_end(engine);
  engine->transport.ops->free(engine->transport.self);
  drop_commands(engine);
  return NULL;
}

static uint32_t patience_left(stwi_time end) {
  const stwi_time now = stwi_clock_monotonic();
  return now < end ? (uint32_t)((end - now) / STWI_MS) : 0;
}

static void free_parts(struct stwi_engine *engine) {
  stwi_engine_free_pending(engine);
  const stwi_time end = stwi_clock_monotonic() + STOP_PATIENCE;
  for (uint32_t slot = 0; slot < engine->place_count; slot++) {
    struct stwi_port *port = engine->places[slot].port;
    if (port == NULL)
      continue;
    stwi_engine_store_leave(engine, port);
    stwi_port_store_close(port, patience_left(end));
    stwi_port_drop(port);
    engine->places[slot].port = NULL;
  }
  stwi_core_free(engine->core);
  stwi_effects_fini(&engine->effects);
  if (engine->loop != NULL)
    stwi_loop_free(engine->loop);
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
  while (!start->is_done)
    pthread_cond_wait(&start->done, &start->lock);
  pthread_mutex_unlock(&start->lock);
  if (start->why == NULL)
    return STW_OK;
  pthread_join(engine->thread, NULL);
  return stwi_error(STW_E_SYSTEM, "the engine cannot start: %s", start->why);
}

stw_status stwi_engine_start(struct stwi_engine **out, stwi_transport_maker make, void *arg) {
  struct stwi_engine *engine = calloc(1, sizeof *engine);
  if (engine == NULL)
    return stwi_error(STW_E_MEMORY, "no memory for an engine");
  atomic_init(&engine->refs, 1);
  pthread_mutex_init(&engine->lock, NULL);
  stwi_effects_init(&engine->effects);
  engine->open_store = stwi_store_sqlite_open;
  struct stwi_loop_hooks hooks = {engine, stwi_engine_turn};
  engine->loop = stwi_loop_new(&hooks);
  engine->core = stwi_core_new(&stwi_envelope);
  const struct stwi_budgets budgets = stwi_budgets_shared();
  if (engine->core != NULL)
    stwi_core_share_budgets(engine->core, &budgets);
  stw_status status;
  struct start start = {.engine = engine, .make = make == NULL ? make_ws : make, .arg = arg};
  pthread_mutex_init(&start.lock, NULL);
  pthread_cond_init(&start.done, NULL);
  if (engine->loop == NULL || engine->core == NULL || !stwi_engine_keep_pending(engine)) {
    status =
        stwi_error(STW_E_SYSTEM, "no memory or descriptors for an event loop; raise ulimit -n");
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
  if (is_first)
    stwi_loop_wake(engine->loop);
  pthread_mutex_unlock(&engine->lock);
  if (!is_first)
    return;
  pthread_join(engine->thread, NULL);
  free_parts(engine);
}
