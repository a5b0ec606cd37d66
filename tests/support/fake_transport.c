#include "fake_transport.h"

#include "client/engine.h"
#include "client/handle.h"
#include "core/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

enum { PATIENCE_S = 20 };

enum action_kind { ACTION_SEND, ACTION_CLOSE, ACTION_DROP };

struct fake_action {
  struct fake_action *next;
  enum action_kind kind;
  uint16_t port;
  uint16_t code;
  stw_cause cause;
  size_t size;
  uint8_t data[];
};

struct fake_link {
  struct fake_link *next;
  uint32_t conn, gen;
  uint16_t port;
  bool is_new, is_up, is_paused, is_cut, is_dropped, is_closing, owes_writable;
  stw_cause cause;
  struct stwi_decoder decoder;
  uint8_t *out; /* what the server has written and the client has not read */
  size_t out_size, out_room;
};

struct fake_transport {
  struct fake_server *server;
  struct stwi_sink sink;
  struct stwi_loop *loop;
  uv_async_t *async;
  struct fake_link *links;
  bool is_freed;
};

static void *take(void *memory, size_t size) {
  void *taken = reallocarray(memory, 1, size);
  assert(taken != NULL);
  return taken;
}

/* ---- the server's end of a link ---- */

static uint8_t *make_room(struct fake_link *link, size_t size) {
  if (link->out_room - link->out_size < size) {
    link->out_room = 2 * (link->out_size + size);
    link->out = take(link->out, link->out_room);
  }
  return link->out + link->out_size;
}

static void say(struct fake_link *link, unsigned opcode, const void *data, size_t size) {
  uint8_t *at = make_room(link, stwi_frame_size(size, false));
  link->out_size += stwi_frame_encode(at, opcode, true, NULL, data, size);
}

static void say_close(struct fake_link *link, uint16_t code) {
  uint8_t *at = make_room(link, stwi_frame_size(STWI_CONTROL_BYTES_MAX, false));
  link->out_size += stwi_close_encode(at, NULL, code, NULL, 0);
  link->is_closing = true;
}

static void remember(struct fake_server *server, const struct fake_link *link,
                     const struct stwi_item *item) {
  if (server->count == server->capacity) {
    server->capacity = server->capacity == 0 ? 64 : 2 * server->capacity;
    server->messages = take(server->messages, server->capacity * sizeof *server->messages);
  }
  struct fake_message *message = &server->messages[server->count++];
  message->port = link->port;
  message->is_text = item->kind == STWI_ITEM_TEXT;
  message->size = item->size;
  message->data = take(NULL, item->size + 1);
  if (item->size > 0)
    memcpy(message->data, item->data, item->size);
}

static void on_item(struct fake_server *server, struct fake_link *link,
                    const struct stwi_item *item) {
  const struct fake_manner *manner = &server->manner;
  switch (item->kind) {
  case STWI_ITEM_TEXT:
  case STWI_ITEM_BINARY:
    remember(server, link, item);
    if (!manner->is_silent)
      say(link, item->kind == STWI_ITEM_TEXT ? STWI_OP_TEXT : STWI_OP_BINARY, item->data,
          item->size);
    break;
  case STWI_ITEM_PING:
    if (!manner->is_silent && !manner->is_mute)
      say(link, STWI_OP_PONG, item->data, item->size);
    break;
  case STWI_ITEM_CLOSE:
    if (!link->is_closing)
      say_close(link, item->close_code);
    break;
  case STWI_ITEM_PONG:
    break;
  default: /* the client under test wrote nonsense */
    abort();
  }
}

static void hear(struct fake_server *server, struct fake_link *link, const uint8_t *data,
                 size_t size) {
  for (;;) {
    const struct stwi_item item = stwi_decoder_next(&link->decoder, &data, &size);
    if (item.kind == STWI_ITEM_NONE)
      return;
    on_item(server, link, &item);
  }
}

static void act(struct fake_link *link, const struct fake_action *action) {
  if (link->is_new || link->is_cut || (action->port != 0 && action->port != link->port))
    return;
  if (action->kind == ACTION_DROP) {
    link->is_dropped = true;
    link->cause = action->cause;
  } else if (!link->is_up || link->is_closing) {
    return;
  } else if (action->kind == ACTION_SEND) {
    say(link, STWI_OP_BINARY, action->data, action->size);
  } else {
    say_close(link, action->code);
  }
}

static void take_actions(struct fake_transport *transport) {
  struct fake_server *server = transport->server;
  while (server->action_first != NULL) {
    struct fake_action *action = server->action_first;
    server->action_first = action->next;
    for (struct fake_link *link = transport->links; link != NULL; link = link->next)
      act(link, action);
    free(action);
  }
  server->action_last = NULL;
}

/* ---- inputs for the engine ---- */

static void put(struct fake_transport *transport, uint32_t conn, uint32_t gen,
                struct stwi_input *input) {
  input->conn = conn;
  input->link = gen;
  transport->sink.put(transport->sink.owner, input);
}

static void free_link(struct fake_link *link) {
  stwi_decoder_fini(&link->decoder);
  free(link->out);
  free(link);
}

static void unlink_link(struct fake_transport *transport, struct fake_link *link) {
  struct fake_link **place = &transport->links;
  while (*place != link)
    place = &(*place)->next;
  *place = link->next;
}

static void put_down(struct fake_transport *transport, struct fake_link *link) {
  struct stwi_input input = {.kind = STWI_IN_DOWN};
  input.u.down.cause = link->is_cut ? STW_CAUSE_REQUESTED : link->cause;
  input.u.down.detail = link->is_cut ? "cut by this side" : "the fake server ended it";
  const uint32_t conn = link->conn, gen = link->gen;
  unlink_link(transport, link);
  free_link(link);
  put(transport, conn, gen, &input);
}

static void put_ready(struct fake_transport *transport, struct fake_link *link) {
  const uint32_t conn = link->conn, gen = link->gen;
  for (stw_phase phase = STW_PHASE_DNS; phase <= STW_PHASE_UPGRADE; phase++) {
    struct stwi_input input = {.kind = STWI_IN_PHASE, .u.phase.phase = phase};
    put(transport, conn, gen, &input);
  }
  struct stwi_input input = {.kind = STWI_IN_READY, .u.ready.subprotocol = ""};
  put(transport, conn, gen, &input);
}

static void put_bytes(struct fake_transport *transport, struct fake_link *link) {
  uint8_t *data = link->out;
  struct stwi_input input = {.kind = STWI_IN_BYTES, .u.bytes = {data, link->out_size}};
  link->out = NULL;
  link->out_size = link->out_room = 0;
  put(transport, link->conn, link->gen, &input);
  free(data);
}

enum step { STEP_NONE, STEP_DOWN, STEP_READY, STEP_BYTES, STEP_WRITABLE };

/* Under the server's lock: what is next for a link. */
static enum step next_step(struct fake_server *server, struct fake_link *link) {
  if (link->is_cut)
    return STEP_DOWN;
  if (link->is_new && server->manner.hangs)
    return STEP_NONE;
  if (link->is_new && server->manner.refuses) {
    link->cause = STW_CAUSE_TCP_REFUSED;
    return STEP_DOWN;
  }
  if (link->is_new) {
    link->is_new = false;
    link->is_up = true;
    server->live++;
    return STEP_READY;
  }
  if (link->out_size > 0 && !link->is_paused)
    return STEP_BYTES;
  if (link->is_dropped || (link->is_closing && link->out_size == 0)) {
    if (!link->is_dropped)
      link->cause = STW_CAUSE_ABNORMAL_FIN;
    return STEP_DOWN;
  }
  if (link->owes_writable && !server->manner.holds_writes) {
    link->owes_writable = false;
    return STEP_WRITABLE;
  }
  return STEP_NONE;
}

static void perform(struct fake_transport *transport, struct fake_link *link, enum step step) {
  struct stwi_input writable = {.kind = STWI_IN_WRITABLE};
  switch (step) {
  case STEP_DOWN:
    put_down(transport, link);
    break;
  case STEP_READY:
    put_ready(transport, link);
    break;
  case STEP_BYTES:
    put_bytes(transport, link);
    break;
  case STEP_WRITABLE:
    put(transport, link->conn, link->gen, &writable);
    break;
  case STEP_NONE:
    break;
  }
}

/* One step of the first link that has one; the list may be another after it. */
static bool step_one(struct fake_transport *transport) {
  struct fake_server *server = transport->server;
  enum step step = STEP_NONE;
  pthread_mutex_lock(&server->lock);
  take_actions(transport);
  struct fake_link *link = transport->links;
  while (link != NULL && (step = next_step(server, link)) == STEP_NONE)
    link = link->next;
  if (step == STEP_DOWN && link->is_up)
    server->live--;
  pthread_cond_broadcast(&server->changed);
  pthread_mutex_unlock(&server->lock);
  if (link != NULL)
    perform(transport, link, step);
  return link != NULL;
}

static void on_async(uv_async_t *async) {
  struct fake_transport *transport = async->data;
  while (!transport->is_freed && step_one(transport))
    continue;
}

/* ---- operations ---- */

static struct fake_link *find(struct fake_transport *transport, uint32_t conn, uint32_t gen) {
  struct fake_link *link = transport->links;
  while (link != NULL && (link->conn != conn || link->gen != gen))
    link = link->next;
  return link;
}

static void op_dial(void *self, uint32_t conn, uint32_t gen, const struct stwi_dial *dial) {
  struct fake_transport *transport = self;
  assert(find(transport, conn, gen) == NULL);
  struct fake_link *link = take(NULL, sizeof *link);
  memset(link, 0, sizeof *link);
  link->conn = conn;
  link->gen = gen;
  link->port = dial->port;
  link->is_new = true;
  stwi_decoder_init(&link->decoder, STWI_FRAME_SERVER, UINT32_MAX);
  struct fake_link **end = &transport->links;
  while (*end != NULL)
    end = &(*end)->next;
  *end = link;
  pthread_mutex_lock(&transport->server->lock);
  transport->server->dials++;
  pthread_cond_broadcast(&transport->server->changed);
  pthread_mutex_unlock(&transport->server->lock);
  uv_async_send(transport->async);
}

static void op_write(void *self, uint32_t conn, uint32_t gen, uint8_t *data, size_t size) {
  struct fake_transport *transport = self;
  struct fake_server *server = transport->server;
  struct fake_link *link = find(transport, conn, gen);
  if (link == NULL || link->is_cut)
    return;
  assert(!link->owes_writable); /* one WRITE at a time */
  memset(data - STWI_WRITE_HEADROOM, 0xee, STWI_WRITE_HEADROOM);
  pthread_mutex_lock(&server->lock);
  hear(server, link, data, size);
  const bool is_held = server->manner.holds_writes;
  pthread_cond_broadcast(&server->changed);
  pthread_mutex_unlock(&server->lock);
  link->owes_writable = is_held;
  struct stwi_input writable = {.kind = STWI_IN_WRITABLE};
  if (!is_held)
    put(transport, conn, gen, &writable);
  uv_async_send(transport->async);
}

static void op_pause(void *self, uint32_t conn, uint32_t gen, bool on) {
  struct fake_transport *transport = self;
  struct fake_link *link = find(transport, conn, gen);
  if (link == NULL)
    return;
  link->is_paused = on;
  pthread_mutex_lock(&transport->server->lock);
  transport->server->paused += on;
  transport->server->resumed += !on;
  pthread_cond_broadcast(&transport->server->changed);
  pthread_mutex_unlock(&transport->server->lock);
  uv_async_send(transport->async);
}

static void op_cut(void *self, uint32_t conn, uint32_t gen, bool abort) {
  (void)abort;
  struct fake_transport *transport = self;
  struct fake_link *link = find(transport, conn, gen);
  if (link == NULL)
    return;
  link->is_cut = true;
  uv_async_send(transport->async);
}

static void free_async(uv_handle_t *handle) {
  free(handle);
}

static void op_free(void *self) {
  struct fake_transport *transport = self;
  struct fake_server *server = transport->server;
  pthread_mutex_lock(&server->lock);
  server->async = NULL;
  while (transport->links != NULL) {
    struct fake_link *link = transport->links;
    transport->links = link->next;
    if (link->is_up)
      server->live--;
    free_link(link);
  }
  pthread_cond_broadcast(&server->changed);
  pthread_mutex_unlock(&server->lock);
  uv_close((uv_handle_t *)transport->async, free_async);
  uv_run(stwi_loop_uv(transport->loop), UV_RUN_NOWAIT);
  free(transport);
}

static struct stwi_transport make(void *arg, struct stwi_loop *loop, struct stwi_sink sink,
                                  const char **why) {
  static const struct stwi_transport_ops ops = {
      .dial = op_dial, .write = op_write, .pause = op_pause, .cut = op_cut, .free = op_free};
  struct fake_server *server = arg;
  struct fake_transport *transport = take(NULL, sizeof *transport);
  memset(transport, 0, sizeof *transport);
  transport->server = server;
  transport->sink = sink;
  transport->loop = loop;
  transport->async = take(NULL, sizeof *transport->async);
  transport->async->data = transport;
  if (uv_async_init(stwi_loop_uv(loop), transport->async, on_async) != 0)
    abort();
  pthread_mutex_lock(&server->lock);
  server->async = transport->async;
  pthread_mutex_unlock(&server->lock);
  *why = NULL;
  return (struct stwi_transport){&ops, transport};
}

/* ---- the test's side ---- */

void fake_server_init(struct fake_server *server) {
  memset(server, 0, sizeof *server);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_mutex_init(&server->lock, NULL);
  pthread_cond_init(&server->changed, &attributes);
  pthread_condattr_destroy(&attributes);
}

void fake_server_fini(struct fake_server *server) {
  for (size_t i = 0; i < server->count; i++)
    free(server->messages[i].data);
  free(server->messages);
  while (server->action_first != NULL) {
    struct fake_action *next = server->action_first->next;
    free(server->action_first);
    server->action_first = next;
  }
  pthread_cond_destroy(&server->changed);
  pthread_mutex_destroy(&server->lock);
}

static void free_engine(void *engine) {
  stwi_engine_stop(engine);
  stwi_engine_drop(engine);
}

stw_status fake_engine_new(struct fake_server *server, stw_engine *engine) {
  struct stwi_engine *started;
  const stw_status status = stwi_engine_start(&started, make, server);
  if (status != STW_OK)
    return status;
  engine->id = stwi_handle_new(STWI_HANDLE_ENGINE, started, free_engine);
  if (engine->id != 0)
    return STW_OK;
  free_engine(started);
  return STW_E_MEMORY;
}

static void wake(struct fake_server *server) {
  if (server->async != NULL)
    uv_async_send(server->async);
}

void fake_server_be(struct fake_server *server, struct fake_manner manner) {
  pthread_mutex_lock(&server->lock);
  server->manner = manner;
  wake(server);
  pthread_mutex_unlock(&server->lock);
}

static void order(struct fake_server *server, const struct fake_action *what, const void *data,
                  size_t size) {
  struct fake_action *action = take(NULL, sizeof *action + size);
  *action = *what;
  action->next = NULL;
  action->size = size;
  if (size > 0)
    memcpy(action->data, data, size);
  pthread_mutex_lock(&server->lock);
  if (server->action_last != NULL)
    server->action_last->next = action;
  else
    server->action_first = action;
  server->action_last = action;
  wake(server);
  pthread_mutex_unlock(&server->lock);
}

void fake_server_send(struct fake_server *server, uint16_t port, const void *data, size_t size) {
  order(server, &(struct fake_action){.kind = ACTION_SEND, .port = port}, data, size);
}

void fake_server_close(struct fake_server *server, uint16_t port, uint16_t code) {
  order(server, &(struct fake_action){.kind = ACTION_CLOSE, .port = port, .code = code}, NULL, 0);
}

void fake_server_drop(struct fake_server *server, uint16_t port, stw_cause cause) {
  order(server, &(struct fake_action){.kind = ACTION_DROP, .port = port, .cause = cause}, NULL, 0);
}

static struct timespec deadline(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  at.tv_sec += PATIENCE_S;
  return at;
}

bool fake_server_has(struct fake_server *server, size_t count) {
  const struct timespec until = deadline();
  int error = 0;
  pthread_mutex_lock(&server->lock);
  while (server->count < count && error == 0)
    error = pthread_cond_timedwait(&server->changed, &server->lock, &until);
  const bool is_there = server->count >= count;
  pthread_mutex_unlock(&server->lock);
  return is_there;
}

bool fake_server_is_live(struct fake_server *server, uint32_t live) {
  const struct timespec until = deadline();
  int error = 0;
  pthread_mutex_lock(&server->lock);
  while (server->live != live && error == 0)
    error = pthread_cond_timedwait(&server->changed, &server->lock, &until);
  const bool is_right = server->live == live;
  pthread_mutex_unlock(&server->lock);
  return is_right;
}

size_t fake_server_read(struct fake_server *server, size_t index, void *data, size_t room) {
  size_t size = SIZE_MAX;
  pthread_mutex_lock(&server->lock);
  if (index < server->count) {
    const struct fake_message *message = &server->messages[index];
    size = message->size;
    if (size > 0 && room > 0)
      memcpy(data, message->data, size < room ? size : room);
  }
  pthread_mutex_unlock(&server->lock);
  return size;
}
