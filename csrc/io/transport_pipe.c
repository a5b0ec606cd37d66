#include "io/transport_pipe.h"

#include "core/mem.h"

#include <stdio.h>
#include <string.h>

struct bytes {
  uint8_t *data;
  size_t size, capacity;
};

struct link {
  struct link *next;
  struct stwi_pipe_end end;
  struct bytes written;  /* by the core, not yet taken by the peer */
  struct bytes incoming; /* from the peer, not yet put */
  stw_phase phase;
  size_t chunk; /* 0: whole */
  size_t left_to_peer, left_to_core;
  bool is_deaf_to_peer, is_deaf_to_core;
  bool is_holding, owes_writable;
  bool is_broken;
};

struct stwi_pipe {
  struct stwi_sink sink;
  struct link *first;
  size_t dials;
};

/* ---- bytes ---- */

static bool append(struct bytes *bytes, const void *data, size_t size) {
  if (size == 0)
    return true;
  if (bytes->size + size > bytes->capacity) {
    size_t capacity = bytes->capacity == 0 ? 256 : bytes->capacity;
    while (capacity < bytes->size + size)
      capacity *= 2;
    uint8_t *grown = stwi_realloc(bytes->data, capacity);
    if (grown == NULL)
      return false;
    bytes->data = grown;
    bytes->capacity = capacity;
  }
  memcpy(bytes->data + bytes->size, data, size);
  bytes->size += size;
  return true;
}

static void drop(struct bytes *bytes, size_t size) {
  if (size > bytes->size)
    size = bytes->size;
  bytes->size -= size;
  memmove(bytes->data, bytes->data + size, bytes->size);
}

/* ---- links ---- */

static struct link *find(const struct stwi_pipe *pipe, uint32_t conn, uint32_t generation) {
  struct link *link = pipe->first;
  while (link != NULL && (link->end.conn != conn || link->end.link != generation))
    link = link->next;
  return link;
}

static void put(struct stwi_pipe *pipe, const struct link *link, struct stwi_input *input) {
  input->conn = link->end.conn;
  input->link = link->end.link;
  pipe->sink.put(pipe->sink.owner, input);
}

static void release(struct link *link) {
  stwi_free(link->written.data);
  stwi_free(link->incoming.data);
  stwi_free(link);
}

static void unlink_it(struct stwi_pipe *pipe, const struct link *link) {
  struct link **at = &pipe->first;
  while (*at != link)
    at = &(*at)->next;
  *at = link->next;
}

static void put_down(struct stwi_pipe *pipe, struct link *link, stw_cause cause,
                     uint16_t http_status, uint64_t retry_after_ms, const char *detail) {
  struct stwi_input input = {.kind = STWI_IN_DOWN};
  input.u.down.cause = cause;
  input.u.down.http_status = http_status;
  input.u.down.retry_after_ms = retry_after_ms;
  input.u.down.detail = detail;
  unlink_it(pipe, link);
  put(pipe, link, &input);
  release(link);
}

static void put_phase(struct stwi_pipe *pipe, struct link *link, stw_phase phase) {
  if (phase <= link->phase)
    return;
  link->phase = phase;
  struct stwi_input input = {.kind = STWI_IN_PHASE, .u.phase.phase = phase};
  put(pipe, link, &input);
}

static void put_writable(struct stwi_pipe *pipe, struct link *link) {
  if (!link->owes_writable || link->is_holding || link->is_broken || link->end.is_cut)
    return;
  link->owes_writable = false;
  struct stwi_input input = {.kind = STWI_IN_WRITABLE};
  put(pipe, link, &input);
}

static size_t piece(const struct link *link) {
  size_t size = link->incoming.size;
  if (link->chunk != 0 && size > link->chunk)
    size = link->chunk;
  return size > link->left_to_core ? link->left_to_core : size;
}

/* The sink may cut or pause the link, or make others; only DOWN frees one. */
static void put_bytes(struct stwi_pipe *pipe, struct link *link) {
  while (link->incoming.size > 0 && !link->end.is_paused && !link->end.is_cut && !link->is_broken) {
    const size_t size = piece(link);
    if (size > 0) {
      struct stwi_input input = {.kind = STWI_IN_BYTES, .u.bytes = {link->incoming.data, size}};
      put(pipe, link, &input);
      drop(&link->incoming, size);
    }
    if (link->left_to_core != SIZE_MAX)
      link->left_to_core -= size;
    link->is_broken |= link->left_to_core == 0;
  }
}

/* ---- what the core asks for ---- */

static void op_dial(void *transport, uint32_t conn, uint32_t generation,
                    const struct stwi_dial *dial) {
  struct stwi_pipe *pipe = transport;
  struct link *link = stwi_alloc(sizeof *link);
  if (link == NULL) {
    struct stwi_input input = {.kind = STWI_IN_DOWN, .conn = conn, .link = generation};
    input.u.down.cause = STW_CAUSE_OVERLOAD_LOCAL;
    input.u.down.detail = "no memory for a link";
    pipe->sink.put(pipe->sink.owner, &input);
    return;
  }
  *link = (struct link){
      .end = {.conn = conn, .link = generation, .port = dial->port, .is_tls = dial->is_tls},
      .left_to_peer = SIZE_MAX,
      .left_to_core = SIZE_MAX};
  snprintf(link->end.host, sizeof link->end.host, "%s", dial->host);
  snprintf(link->end.path, sizeof link->end.path, "%s", dial->path);
  struct link **at = &pipe->first;
  while (*at != NULL)
    at = &(*at)->next;
  *at = link;
  pipe->dials++;
}

static void op_write(void *transport, uint32_t conn, uint32_t generation, uint8_t *data,
                     size_t size) {
  struct stwi_pipe *pipe = transport;
  struct link *link = find(pipe, conn, generation);
  if (link == NULL || !link->end.is_ready || link->end.is_cut || link->is_broken)
    return;
  const size_t passing = size > link->left_to_peer ? link->left_to_peer : size;
  if (!link->is_deaf_to_peer && !append(&link->written, data, passing)) {
    link->is_broken = true;
    return;
  }
  if (link->left_to_peer != SIZE_MAX)
    link->left_to_peer -= passing;
  link->is_broken = link->left_to_peer == 0;
  link->owes_writable = true;
  put_writable(pipe, link);
}

static void op_pause(void *transport, uint32_t conn, uint32_t generation, bool on) {
  struct link *link = find(transport, conn, generation);
  if (link != NULL)
    link->end.is_paused = on;
}

static void op_cut(void *transport, uint32_t conn, uint32_t generation, bool abort) {
  struct link *link = find(transport, conn, generation);
  if (link == NULL || link->end.is_cut)
    return;
  link->end.is_cut = true;
  link->end.is_abort = abort;
}

static void op_free(void *transport) {
  struct stwi_pipe *pipe = transport;
  while (pipe->first != NULL) {
    struct link *link = pipe->first;
    pipe->first = link->next;
    release(link);
  }
  stwi_free(pipe);
}

struct stwi_transport stwi_transport_pipe_new(struct stwi_sink sink) {
  static const struct stwi_transport_ops ops = {
      .dial = op_dial, .write = op_write, .pause = op_pause, .cut = op_cut, .free = op_free};
  struct stwi_pipe *pipe = stwi_alloc(sizeof *pipe);
  if (pipe == NULL)
    return (struct stwi_transport){NULL, NULL};
  *pipe = (struct stwi_pipe){.sink = sink};
  return (struct stwi_transport){&ops, pipe};
}

/* ---- what the test looks at ---- */

bool stwi_pipe_link(const struct stwi_pipe *pipe, size_t index, struct stwi_pipe_end *end) {
  const struct link *link = pipe->first;
  while (link != NULL && index > 0) {
    link = link->next;
    index--;
  }
  if (link != NULL)
    *end = link->end;
  return link != NULL;
}

size_t stwi_pipe_dials(const struct stwi_pipe *pipe) {
  return pipe->dials;
}

const uint8_t *stwi_pipe_written(const struct stwi_pipe *pipe, uint32_t conn, uint32_t generation,
                                 size_t *size) {
  const struct link *link = find(pipe, conn, generation);
  *size = link != NULL ? link->written.size : 0;
  return *size > 0 ? link->written.data : NULL;
}

void stwi_pipe_take(struct stwi_pipe *pipe, uint32_t conn, uint32_t generation, size_t size) {
  struct link *link = find(pipe, conn, generation);
  if (link != NULL && link->written.size > 0)
    drop(&link->written, size);
}

/* ---- what the test does ---- */

static struct link *find_attempt(struct stwi_pipe *pipe, uint32_t conn, uint32_t generation) {
  struct link *link = find(pipe, conn, generation);
  return link == NULL || link->end.is_ready || link->end.is_cut ? NULL : link;
}

bool stwi_pipe_phase(struct stwi_pipe *pipe, uint32_t conn, uint32_t generation, stw_phase phase) {
  struct link *link = find_attempt(pipe, conn, generation);
  if (link == NULL)
    return false;
  put_phase(pipe, link, phase);
  return true;
}

bool stwi_pipe_accept(struct stwi_pipe *pipe, uint32_t conn, uint32_t generation,
                      const char *subprotocol) {
  static const stw_phase phases[] = {STW_PHASE_DNS, STW_PHASE_TCP, STW_PHASE_TLS,
                                     STW_PHASE_UPGRADE};
  struct link *link = find_attempt(pipe, conn, generation);
  if (link == NULL)
    return false;
  for (size_t i = 0; i < 4 && !link->end.is_cut; i++) {
    if (phases[i] != STW_PHASE_TLS || link->end.is_tls)
      put_phase(pipe, link, phases[i]);
  }
  if (link->end.is_cut)
    return false;
  link->end.is_ready = true;
  struct stwi_input input = {.kind = STWI_IN_READY, .u.ready.subprotocol = subprotocol};
  put(pipe, link, &input);
  return true;
}

bool stwi_pipe_end(struct stwi_pipe *pipe, uint32_t conn, uint32_t generation, stw_cause cause,
                   uint16_t http_status, uint64_t retry_after_ms, const char *detail) {
  struct link *link = find(pipe, conn, generation);
  if (link == NULL || link->end.is_cut)
    return false;
  put_down(pipe, link, cause, http_status, retry_after_ms, detail);
  return true;
}

bool stwi_pipe_send(struct stwi_pipe *pipe, uint32_t conn, uint32_t generation, const void *data,
                    size_t size) {
  struct link *link = find(pipe, conn, generation);
  if (link == NULL || !link->end.is_ready || link->end.is_cut || link->is_broken)
    return false;
  if (link->is_deaf_to_core)
    return true;
  if (!append(&link->incoming, data, size))
    return false;
  put_bytes(pipe, link);
  return true;
}

bool stwi_pipe_chunk(struct stwi_pipe *pipe, uint32_t conn, uint32_t generation, size_t size) {
  struct link *link = find(pipe, conn, generation);
  if (link != NULL)
    link->chunk = size;
  return link != NULL;
}

bool stwi_pipe_silence(struct stwi_pipe *pipe, uint32_t conn, uint32_t generation, bool to_peer,
                       bool to_core) {
  struct link *link = find(pipe, conn, generation);
  if (link == NULL)
    return false;
  link->is_deaf_to_peer = to_peer;
  link->is_deaf_to_core = to_core;
  return true;
}

bool stwi_pipe_hold(struct stwi_pipe *pipe, uint32_t conn, uint32_t generation, bool on) {
  struct link *link = find(pipe, conn, generation);
  if (link == NULL)
    return false;
  link->is_holding = on;
  put_writable(pipe, link);
  return true;
}

bool stwi_pipe_break_after(struct stwi_pipe *pipe, uint32_t conn, uint32_t generation,
                           size_t bytes_to_peer, size_t bytes_to_core) {
  struct link *link = find(pipe, conn, generation);
  if (link == NULL)
    return false;
  link->left_to_peer = bytes_to_peer;
  link->left_to_core = bytes_to_core;
  link->is_broken |= bytes_to_peer == 0 || bytes_to_core == 0;
  return true;
}

static struct link *find_due(const struct stwi_pipe *pipe) {
  struct link *link = pipe->first;
  while (link != NULL && !link->end.is_cut && !link->is_broken &&
         (link->incoming.size == 0 || link->end.is_paused))
    link = link->next;
  return link;
}

void stwi_pipe_run(struct stwi_pipe *pipe) {
  struct link *link;
  while ((link = find_due(pipe)) != NULL) {
    if (link->end.is_cut)
      put_down(pipe, link, STW_CAUSE_REQUESTED, 0, 0, "cut by this side");
    else if (link->is_broken)
      put_down(pipe, link, STW_CAUSE_ABNORMAL_RST, 0, 0, "the connection was reset");
    else
      put_bytes(pipe, link);
  }
}
