/* io_world.h: a loop with a transport on it, whatever it puts recorded, and peers as threads.
 *
 * A peer is a function on its own thread that gets one accepted socket (blocking) and closes it by
 * returning.  The test runs the loop until something it waits for has happened; a guard ends a test
 * that waits in vain, it is never waited for.
 */
#ifndef TESTS_IO_WORLD_H
#define TESTS_IO_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/clock.h"
#include "io/loop.h"
#include "io/transport.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { WORLD_GUARD_S = 20, WORLD_BYTES_MAX = 8 * 1024 * 1024, WORLD_LINKS = 64 };

/* What one link (its generation is the index) was told. */
struct seen {
  stw_phase phases[8];
  size_t phase_count;
  bool is_ready, is_down;
  char subprotocol[64];
  uint8_t *bytes;
  size_t size;
  size_t writable_count, element_count;
  size_t path_count, look_count;
  stw_network path; /* the last one told */
  bool is_unacked;  /* likewise */
  stw_cause cause;
  uint16_t http_status;
  uint64_t retry_after_ms;
  char detail[256];
};

struct world {
  struct stwi_loop *loop;
  struct stwi_transport transport;
  struct seen links[WORLD_LINKS];
  bool (*until)(struct world *world);
  size_t turn_count;
  bool is_stuck;
  bool echoes; /* what comes is written back at once, from inside the sink */
  void (*on_input)(struct world *world, const struct stwi_input *input);
};

static inline void world_put(void *owner, const struct stwi_input *input) {
  struct world *world = owner;
  struct seen *seen = &world->links[input->link];
  assert_false(seen->is_down); /* DOWN is the last, and comes once */
  switch (input->kind) {
  case STWI_IN_PHASE:
    assert_true(seen->phase_count < 8);
    assert_true(seen->phase_count == 0 ||
                seen->phases[seen->phase_count - 1] < input->u.phase.phase);
    assert_false(seen->is_ready);
    seen->phases[seen->phase_count++] = input->u.phase.phase;
    break;
  case STWI_IN_READY:
    assert_false(seen->is_ready);
    seen->is_ready = true;
    snprintf(seen->subprotocol, sizeof seen->subprotocol, "%s", input->u.ready.subprotocol);
    break;
  case STWI_IN_BYTES:
    assert_true(seen->is_ready);
    if (seen->bytes == NULL)
      seen->bytes = malloc(WORLD_BYTES_MAX);
    assert_true(seen->size + input->u.bytes.size <= WORLD_BYTES_MAX);
    memcpy(seen->bytes + seen->size, input->u.bytes.data, input->u.bytes.size);
    seen->size += input->u.bytes.size;
    break;
  case STWI_IN_ELEMENT:
    assert_true(seen->is_ready);
    seen->element_count++;
    break;
  case STWI_IN_WRITABLE:
    seen->writable_count++;
    break;
  case STWI_IN_PATH:
    seen->path_count++;
    seen->path = input->u.network.what;
    break;
  case STWI_IN_LOOKED:
    seen->look_count++;
    seen->is_unacked = input->u.looked.is_unacked;
    break;
  case STWI_IN_DOWN:
    seen->is_down = true;
    seen->cause = input->u.down.cause;
    seen->http_status = input->u.down.http_status;
    seen->retry_after_ms = input->u.down.retry_after_ms;
    snprintf(seen->detail, sizeof seen->detail, "%s", input->u.down.detail);
    break;
  default:
    fail_msg("input %d is not a transport's", (int)input->kind);
  }
  if (world->on_input != NULL)
    world->on_input(world, input);
}

static inline void world_turn(void *owner, stwi_time now) {
  struct world *world = owner;
  (void)now;
  world->turn_count++;
  if (world->until != NULL && world->until(world))
    stwi_loop_stop(world->loop);
}

typedef struct stwi_transport world_make(struct stwi_loop *loop, struct stwi_sink sink,
                                         const char **why);

static inline void world_open_with(struct world *world, world_make *make) {
  memset(world, 0, sizeof *world);
  const struct stwi_loop_hooks hooks = {world, world_turn};
  world->loop = stwi_loop_new(&hooks);
  assert_non_null(world->loop);
  const char *why = NULL;
  world->transport = make(world->loop, (struct stwi_sink){world, world_put}, &why);
  if (why != NULL)
    fail_msg("%s", why);
  assert_non_null(world->transport.ops);
}

static inline void world_open(struct world *world) {
  world_open_with(world, stwi_transport_ws_new);
}

static inline void world_close(struct world *world) {
  if (world->transport.ops != NULL)
    world->transport.ops->free(world->transport.self);
  stwi_loop_free(world->loop);
  for (size_t i = 0; i < WORLD_LINKS; i++)
    free(world->links[i].bytes);
}

static inline void world_guard(uv_timer_t *timer) {
  struct world *world = timer->data;
  world->is_stuck = true;
  stwi_loop_stop(world->loop);
}

static inline void world_run(struct world *world, bool (*until)(struct world *world)) {
  uv_timer_t guard;
  uv_timer_init(stwi_loop_uv(world->loop), &guard);
  guard.data = world;
  uv_timer_start(&guard, world_guard, WORLD_GUARD_S * 1000, 0);
  world->until = until;
  world->is_stuck = false;
  if (!until(world))
    stwi_loop_run(world->loop);
  world->until = NULL;
  uv_close((uv_handle_t *)&guard, NULL);
  uv_run(stwi_loop_uv(world->loop), UV_RUN_NOWAIT);
  assert_false(world->is_stuck);
}

static inline bool link_1_is_ready(struct world *world) {
  return world->links[1].is_ready;
}

static inline bool link_1_is_down(struct world *world) {
  return world->links[1].is_down;
}

static inline bool link_1_is_ready_or_down(struct world *world) {
  return world->links[1].is_ready || world->links[1].is_down;
}

static inline bool link_2_is_ready(struct world *world) {
  return world->links[2].is_ready;
}

static inline bool link_1_has_5(struct world *world) {
  return world->links[1].size >= 5;
}

static inline struct stwi_dial plain_dial(uint16_t port) {
  return (struct stwi_dial){.host = "127.0.0.1",
                            .port = port,
                            .path = "/",
                            .subprotocols = "",
                            .ca_file = "",
                            .client_cert = "",
                            .client_key = "",
                            .server_name = "",
                            .proxy = ""};
}

static inline void world_dial(struct world *world, uint32_t link, const struct stwi_dial *dial) {
  world->transport.ops->dial(world->transport.self, 7, link, dial);
}

/* Copies `text`, so that the headroom the transport may use is there. */
static inline void world_write(struct world *world, uint32_t link, const void *data, size_t size) {
  uint8_t *copy = malloc(STWI_WRITE_HEADROOM + size);
  memcpy(copy + STWI_WRITE_HEADROOM, data, size);
  world->transport.ops->write(world->transport.self, 7, link, copy + STWI_WRITE_HEADROOM, size);
  free(copy);
}

/* ---- peers ---- */

struct peer {
  int listener;
  uint16_t port;
  pthread_t thread;
  int accept_count; /* how many connections are served before the thread ends */
  void (*serve)(struct peer *peer, int fd);
  const char *answer; /* used by some */
  char request[16 * 1024];
  bool has_started;
  _Atomic int served;
  _Atomic bool is_released; /* set by a test that tells the peer to go on */
};

static inline void *peer_main(void *arg) {
  struct peer *peer = arg;
  for (int i = 0; i < peer->accept_count; i++) {
    const int fd = accept(peer->listener, NULL, NULL);
    if (fd < 0)
      break;
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer->serve(peer, fd);
    close(fd);
    peer->served++;
  }
  return NULL;
}

static inline int listen_on(const char *host, uint16_t *port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(*port)};
  socklen_t size = sizeof at;
  assert_int_equal(inet_pton(AF_INET, host, &at.sin_addr), 1);
  assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
  assert_int_equal(listen(fd, 128), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
  *port = ntohs(at.sin_port);
  return fd;
}

static inline void peer_start(struct peer *peer, void (*serve)(struct peer *peer, int fd)) {
  peer->serve = serve;
  if (peer->accept_count == 0)
    peer->accept_count = 1;
  peer->port = 0;
  peer->listener = listen_on("127.0.0.1", &peer->port);
  peer->has_started = pthread_create(&peer->thread, NULL, peer_main, peer) == 0;
  assert_true(peer->has_started);
}

static inline void peer_stop(struct peer *peer) {
  shutdown(peer->listener, SHUT_RDWR);
  pthread_join(peer->thread, NULL);
  close(peer->listener);
}

static inline bool send_all(int fd, const void *data, size_t size) {
  const char *at = data;
  while (size > 0) {
    const ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
    if (sent <= 0)
      return false;
    at += sent;
    size -= (size_t)sent;
  }
  return true;
}

static inline bool send_text(int fd, const char *text) {
  return send_all(fd, text, strlen(text));
}

/* Reads a header up to its empty line into `text`. */
static inline bool read_header(int fd, char *text, size_t room) {
  size_t size = 0;
  while (size + 1 < room) {
    if (recv(fd, text + size, 1, 0) != 1)
      return false;
    text[++size] = '\0';
    if (size >= 4 && memcmp(text + size - 4, "\r\n\r\n", 4) == 0)
      return true;
  }
  return false;
}

/* Waits until the other end has closed. */
static inline void read_to_end(int fd) {
  char sink[4096];
  while (recv(fd, sink, sizeof sink, 0) > 0)
    continue;
}

static inline void accept_of(const char *request, char *accept) {
  static const char name[] = "Sec-WebSocket-Key: ";
  const char *key = strstr(request, name);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  char both[128];
  accept[0] = '\0';
  if (key == NULL)
    return;
  snprintf(both, sizeof both, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + sizeof name - 1);
  EVP_Digest(both, strlen(both), digest, &size, EVP_sha1(), NULL);
  EVP_EncodeBlock((unsigned char *)accept, digest, (int)size);
}

/* The usual 101, with `more` header lines and, in the same segment, `data`. */
static inline size_t make_upgrade(const char *request, const char *more, const char *data,
                                  char *answer, size_t room) {
  char accept[64];
  accept_of(request, accept);
  return (size_t)snprintf(answer, room,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n%s",
                          accept, more, data);
}

static inline bool upgrade(struct peer *peer, int fd, const char *more, const char *data) {
  char answer[8 * 1024];
  if (!read_header(fd, peer->request, sizeof peer->request))
    return false;
  make_upgrade(peer->request, more, data, answer, sizeof answer);
  return send_text(fd, answer);
}

static inline void serve_echo(struct peer *peer, int fd) {
  char buffer[64 * 1024];
  ssize_t size;
  if (!upgrade(peer, fd, "", ""))
    return;
  while ((size = recv(fd, buffer, sizeof buffer, 0)) > 0)
    send_all(fd, buffer, (size_t)size);
}

/* Upgrades with "early" in the same segment. */
static inline void serve_push(struct peer *peer, int fd) {
  if (upgrade(peer, fd, "", "early"))
    read_to_end(fd);
}

#endif
