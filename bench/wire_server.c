/* wire_server: the peer of every client in `./dev bench wire`: small, fast, one thread, one epoll.
 *
 *   /echo                      sends each data frame back
 *   /sink                      counts data messages; answers a text message with the count, as text
 *   /source?size=S&count=N     from the first message on it receives: N binary messages of S bytes,
 *                              then the text N; count=0 (the default) streams until the client goes
 *   /reset                     resets the connection (RST) when a message comes
 *   GET /stats (no upgrade)    JSON: open connections, PINGs and data messages so far
 *
 * Every mode answers PING with PONG (payload echoed) and CLOSE with CLOSE.  Prints "ready PORT" and
 * serves loopback until killed.  Input is parsed as a stream, so a connection that waits holds no
 * buffer.  A client that does not read is no longer read from: memory per connection is bounded.
 * Malformed input ends the connection.
 */
#include "wire_util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  READ_BYTES = 256 << 10,
  BLOCK_BYTES = 256 << 10, /* of whole frames, which /source writes again and again */
  OUT_PAUSE = 1 << 20,     /* above it a connection is not read from */
  HEAD_MAX = 14,
  SMALL_MAX = 125, /* payload of control frames and of the text commands */
  REQUEST_MAX = 4096,
  EVENTS = 256
};
enum { OPCODE_TEXT = 1, OPCODE_BINARY = 2, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

typedef enum { MODE_REQUEST, MODE_ECHO, MODE_SINK, MODE_SOURCE, MODE_RESET } mode;

typedef struct {
  int fd;
  mode mode;
  uint32_t events; /* what epoll waits for */
  bool is_over;    /* close once `out` is written */
  char *request;   /* only before the upgrade */
  size_t request_bytes;
  /* input: the frame being read */
  uint8_t head[HEAD_MAX];
  uint8_t head_bytes;
  bool in_payload;
  uint64_t left; /* payload bytes still to come */
  uint64_t mask; /* the key twice, turned so that the next payload byte meets its first byte */
  uint8_t small[SMALL_MAX];
  uint8_t small_bytes;
  /* output */
  uint8_t *out;
  size_t out_at, out_bytes, out_capacity;
  uint64_t msgs; /* of /sink */
  /* /source */
  uint8_t *block;
  size_t block_bytes, block_at, frame_bytes;
  uint64_t block_frames;
  size_t size;
  uint64_t count, sent; /* count 0: no end */
  bool is_streaming;
} peer;

static struct {
  int epoll_fd;
  int listen_fd;
  uint64_t open, pings, msgs;
  uint8_t in[READ_BYTES];
} server;

static void peer_free(peer *self) {
  close(self->fd);
  server.open--;
  free(self->request);
  free(self->out);
  free(self->block);
  free(self);
}

static uint8_t *out_reserve(peer *self, size_t bytes) {
  if (self->out_bytes + bytes > self->out_capacity) {
    size_t capacity = (self->out_bytes + bytes) * 2;
    uint8_t *grown = realloc(self->out, capacity);
    if (grown == NULL)
      wire_die("out of memory");
    self->out = grown;
    self->out_capacity = capacity;
  }
  return self->out + self->out_bytes;
}

static size_t write_head(uint8_t *out, uint8_t first, uint64_t payload) {
  out[0] = first;
  if (payload < 126) {
    out[1] = (uint8_t)payload;
    return 2;
  }
  unsigned length_bytes = payload <= UINT16_MAX ? 2 : 8;
  out[1] = length_bytes == 2 ? 126 : 127;
  for (unsigned i = 0; i < length_bytes; i++)
    out[2 + i] = (uint8_t)(payload >> (8 * (length_bytes - 1 - i)));
  return 2 + length_bytes;
}

static void put_frame(peer *self, unsigned opcode, const void *payload, size_t bytes) {
  uint8_t *out = out_reserve(self, HEAD_MAX + bytes);
  size_t head = write_head(out, (uint8_t)(0x80u | opcode), bytes);
  memcpy(out + head, payload, bytes);
  self->out_bytes += head + bytes;
}

static void put_count(peer *self, uint64_t count) {
  char text[24];
  int bytes = snprintf(text, sizeof text, "%" PRIu64, count);
  put_frame(self, OPCODE_TEXT, text, (size_t)bytes);
}

static void unmask(peer *self, uint8_t *out, const uint8_t *in, size_t bytes) {
  size_t at = 0;
  for (; at + 8 <= bytes; at += 8) {
    uint64_t word;
    memcpy(&word, in + at, 8);
    word ^= self->mask;
    memcpy(out + at, &word, 8);
  }
  uint64_t mask = self->mask;
  for (; at < bytes; at++) {
    out[at] = (uint8_t)(in[at] ^ (uint8_t)mask);
    mask = mask >> 8 | mask << 56;
  }
  self->mask = mask;
}

/* ---- upgrade ---- */

static const char *find_header(const char *request, const char *name) {
  size_t bytes = strlen(name);
  for (const char *line = strstr(request, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n"))
    if (strncasecmp(line + 2, name, bytes) == 0 && line[2 + bytes] == ':') {
      const char *value = line + 3 + bytes;
      return value + strspn(value, " \t");
    }
  return NULL;
}

static uint64_t query_number(const char *target, const char *key) {
  const char *at = strstr(target, key);
  return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10);
}

static void build_block(peer *self) {
  uint8_t head[HEAD_MAX];
  size_t head_bytes = write_head(head, 0x80 | OPCODE_BINARY, self->size);
  self->frame_bytes = head_bytes + self->size;
  self->block_frames = BLOCK_BYTES / self->frame_bytes + (self->frame_bytes > BLOCK_BYTES);
  self->block_bytes = self->block_frames * self->frame_bytes;
  self->block = wire_alloc(self->block_bytes);
  for (size_t at = 0; at < self->block_bytes; at += self->frame_bytes) {
    memcpy(self->block + at, head, head_bytes);
    for (size_t i = 0; i < self->size; i++)
      self->block[at + head_bytes + i] = (uint8_t)('a' + i % 26);
  }
}

static void put_text(peer *self, const char *text) {
  size_t bytes = strlen(text);
  memcpy(out_reserve(self, bytes), text, bytes);
  self->out_bytes += bytes;
}

static void answer_http(peer *self, const char *target) {
  char body[128] = "not found\n", answer[256];
  bool is_stats = strncmp(target, "/stats", 6) == 0;
  if (is_stats)
    snprintf(body, sizeof body,
             "{\"open\": %" PRIu64 ", \"pings\": %" PRIu64 ", \"messages\": %" PRIu64 "}\n",
             server.open - 1, server.pings, server.msgs);
  snprintf(answer, sizeof answer,
           "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
           is_stats ? "200 OK" : "404 Not Found", strlen(body), body);
  put_text(self, answer);
  self->is_over = true;
}

/* Fills in the mode of the target; false where there is none. */
static bool choose_mode(peer *self, const char *target) {
  static const struct {
    const char *path;
    mode mode;
  } paths[] = {
      {"/echo", MODE_ECHO}, {"/sink", MODE_SINK}, {"/source", MODE_SOURCE}, {"/reset", MODE_RESET}};
  size_t bytes = strcspn(target, "? ");
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
    if (strlen(paths[i].path) == bytes && memcmp(paths[i].path, target, bytes) == 0) {
      self->mode = paths[i].mode;
      return true;
    }
  return false;
}

static void upgrade(peer *self) {
  char *target = strchr(self->request, ' ');
  const char *key = find_header(self->request, "Sec-WebSocket-Key");
  if (target == NULL) {
    self->is_over = true;
    return;
  }
  target++;
  target[strcspn(target, " \r")] = 0;
  if (key == NULL || !choose_mode(self, target)) {
    answer_http(self, target);
    return;
  }
  self->size = (size_t)query_number(target, "size=");
  self->count = query_number(target, "count=");
  if (self->size > WIRE_SIZE_MAX)
    self->size = WIRE_SIZE_MAX;
  if (self->mode == MODE_SOURCE)
    build_block(self);

  char accept[64], answer[256];
  uint8_t digest[SHA_DIGEST_LENGTH], coded[64];
  int bytes = snprintf(accept, sizeof accept, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
                       (int)strcspn(key, " \r"), key);
  SHA1((const uint8_t *)accept, (size_t)bytes, digest);
  EVP_EncodeBlock(coded, digest, sizeof digest);
  snprintf(answer, sizeof answer,
           "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Accept: %s\r\n\r\n",
           coded);
  put_text(self, answer);
}

/* Takes the request from `in`; returns the bytes used. */
static size_t on_request(peer *self, const uint8_t *in, size_t bytes) {
  if (self->request == NULL)
    self->request = wire_alloc(REQUEST_MAX + 1);
  size_t before = self->request_bytes;
  size_t room = REQUEST_MAX - before;
  size_t part = bytes < room ? bytes : room;
  memcpy(self->request + before, in, part);
  self->request_bytes += part;
  self->request[self->request_bytes] = 0;
  char *end = strstr(self->request, "\r\n\r\n");
  if (end == NULL) {
    self->is_over = self->request_bytes == REQUEST_MAX;
    return part;
  }
  end[2] = 0;
  size_t used = (size_t)(end + 4 - self->request) - before;
  upgrade(self);
  free(self->request);
  self->request = NULL;
  return used;
}

/* ---- frames ---- */

static unsigned opcode_of(const peer *self) {
  return self->head[0] & 0x0f;
}

/* Whether the payload of the current frame is kept in `small`, rather than streamed. */
static bool is_small(const peer *self) {
  return opcode_of(self) >= OPCODE_CLOSE ||
         (opcode_of(self) == OPCODE_TEXT && self->mode != MODE_ECHO);
}

static void reset_peer(peer *self) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(self->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  self->out_at = self->out_bytes = 0;
  self->is_over = true;
}

static void on_control(peer *self) {
  if (opcode_of(self) == OPCODE_PING) {
    server.pings++;
    put_frame(self, OPCODE_PONG, self->small, self->small_bytes);
  } else if (opcode_of(self) == OPCODE_CLOSE) {
    put_frame(self, OPCODE_CLOSE, self->small, self->small_bytes < 2 ? 0 : 2);
    self->is_streaming = false;
    self->is_over = true;
  }
}

static void on_frame_end(peer *self) {
  self->in_payload = false;
  self->head_bytes = 0;
  if (opcode_of(self) >= OPCODE_CLOSE) {
    on_control(self);
    return;
  }
  if ((self->head[0] & 0x80) == 0)
    return;
  server.msgs++;
  if (self->mode == MODE_SINK && opcode_of(self) == OPCODE_TEXT)
    put_count(self, self->msgs);
  else if (self->mode == MODE_SINK)
    self->msgs++;
  else if (self->mode == MODE_SOURCE)
    self->is_streaming = true;
  else if (self->mode == MODE_RESET)
    reset_peer(self);
}

/* Parses the head once it is whole; false where it breaks the protocol. */
static bool on_head(peer *self, size_t length_bytes) {
  const uint8_t *length = self->head + 2;
  self->left = self->head[1] & 0x7f;
  if (length_bytes > 0) {
    self->left = 0;
    for (size_t i = 0; i < length_bytes; i++)
      self->left = self->left << 8 | length[i];
  }
  uint32_t key;
  memcpy(&key, length + length_bytes, 4);
  self->mask = (uint64_t)key << 32 | key;
  self->in_payload = true;
  self->small_bytes = 0;
  if ((self->head[0] & 0x70) != 0)
    return false;
  if (is_small(self))
    return self->left <= SMALL_MAX;
  if (self->mode == MODE_ECHO)
    self->out_bytes += write_head(out_reserve(self, HEAD_MAX), self->head[0], self->left);
  return true;
}

static size_t on_payload(peer *self, const uint8_t *in, size_t bytes) {
  size_t part = bytes < self->left ? bytes : (size_t)self->left;
  if (is_small(self)) {
    unmask(self, self->small + self->small_bytes, in, part);
    self->small_bytes = (uint8_t)(self->small_bytes + part);
  } else if (self->mode == MODE_ECHO) {
    unmask(self, out_reserve(self, part), in, part);
    self->out_bytes += part;
  }
  self->left -= part;
  if (self->left == 0)
    on_frame_end(self);
  return part;
}

static size_t length_bytes_of(const peer *self) {
  unsigned code = self->head[1] & 0x7f;
  return code == 126 ? 2 : code == 127 ? 8 : 0;
}

/* Takes head bytes; returns the bytes used, 0 where the input breaks the protocol. */
static size_t take_head(peer *self, const uint8_t *in, size_t bytes) {
  size_t used = 0;
  for (;;) {
    size_t need = self->head_bytes < 2 ? 2 : 6 + length_bytes_of(self);
    size_t part = need - self->head_bytes;
    if (part > bytes - used)
      part = bytes - used;
    memcpy(self->head + self->head_bytes, in + used, part);
    self->head_bytes = (uint8_t)(self->head_bytes + part);
    used += part;
    if (self->head_bytes < need)
      return used;
    if (need > 2)
      break;
    if ((self->head[1] & 0x80) == 0)
      return 0;
  }
  if (!on_head(self, length_bytes_of(self)))
    return 0;
  if (self->left == 0)
    on_frame_end(self);
  return used;
}

static void on_input(peer *self, const uint8_t *in, size_t bytes) {
  size_t at = 0;
  while (at < bytes && !self->is_over) {
    size_t used;
    if (self->mode == MODE_REQUEST)
      used = on_request(self, in + at, bytes - at);
    else if (self->in_payload)
      used = on_payload(self, in + at, bytes - at);
    else
      used = take_head(self, in + at, bytes - at);
    if (used == 0)
      self->is_over = true;
    at += used;
  }
}

/* ---- the loop ---- */

/* Sends from a buffer; returns the bytes taken, or -1 where the connection is gone. */
static ssize_t send_some(const peer *self, const uint8_t *from, size_t bytes) {
  ssize_t done = send(self->fd, from, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
  return done < 0 && errno == EAGAIN ? 0 : done;
}

/* Starts the next block of /source, or ends the stream; false where there is nothing to stream. */
static bool next_block(peer *self) {
  if (!self->is_streaming)
    return false;
  uint64_t frames = self->block_frames;
  if (self->count > 0 && self->count - self->sent < frames)
    frames = self->count - self->sent;
  self->block_bytes = frames * self->frame_bytes;
  self->sent += frames;
  if (self->count > 0 && self->sent == self->count) {
    self->is_streaming = false;
    put_count(self, self->count);
  }
  return frames > 0;
}

/* Writes what the socket takes; a block that has begun goes before `out`, so that frames stay
 * whole. False where the connection is gone. */
static bool flush(peer *self) {
  for (unsigned turn = 0; turn < 8; turn++) {
    bool has_block = self->block_at > 0;
    bool has_out = self->out_at < self->out_bytes;
    if (!has_block && !has_out && !next_block(self))
      break;
    if (has_out && !has_block) {
      ssize_t done = send_some(self, self->out + self->out_at, self->out_bytes - self->out_at);
      if (done < 0)
        return false;
      self->out_at += (size_t)done;
      if (self->out_at < self->out_bytes)
        return true;
      self->out_at = self->out_bytes = 0;
    } else {
      ssize_t done =
          send_some(self, self->block + self->block_at, self->block_bytes - self->block_at);
      if (done < 0)
        return false;
      self->block_at += (size_t)done;
      if (self->block_at < self->block_bytes)
        return true;
      self->block_at = 0;
    }
  }
  return true;
}

static void watch(peer *self, int operation, uint32_t events) {
  if (operation == EPOLL_CTL_MOD && self->events == events)
    return;
  self->events = events;
  struct epoll_event event = {.events = events, .data.ptr = self};
  epoll_ctl(server.epoll_fd, operation, self->fd, &event);
}

/* Serves one connection that epoll has named; frees it where it has ended. */
static void serve(peer *self, uint32_t events) {
  if ((events & EPOLLIN) != 0) {
    ssize_t got = recv(self->fd, server.in, sizeof server.in, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
      peer_free(self);
      return;
    }
    if (got > 0)
      on_input(self, server.in, (size_t)got);
  } else if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    peer_free(self);
    return;
  }
  bool is_alive = flush(self);
  size_t pending = self->out_bytes - self->out_at;
  bool is_writing = pending > 0 || self->block_at > 0 || self->is_streaming;
  if (!is_alive || (self->is_over && !is_writing)) {
    peer_free(self);
    return;
  }
  bool is_reading = pending < OUT_PAUSE && !self->is_over;
  watch(self, EPOLL_CTL_MOD, (is_reading ? EPOLLIN : 0u) | (is_writing ? EPOLLOUT : 0u));
}

static void accept_all(void) {
  for (;;) {
    int fd = accept4(server.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
      return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer *self = wire_alloc(sizeof *self);
    memset(self, 0, sizeof *self);
    self->fd = fd;
    server.open++;
    watch(self, EPOLL_CTL_ADD, EPOLLIN);
  }
}

static unsigned listen_on_loopback(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  server.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  if (bind(server.listen_fd, (struct sockaddr *)&address, bytes) != 0 ||
      listen(server.listen_fd, 4096) != 0 ||
      getsockname(server.listen_fd, (struct sockaddr *)&address, &bytes) != 0)
    wire_die("cannot listen: %s", strerror(errno));
  return ntohs(address.sin_port);
}

int main(void) {
  unsigned port = listen_on_loopback();
  server.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(server.epoll_fd, EPOLL_CTL_ADD, server.listen_fd, &event);
  printf("ready %u\n", port);
  fflush(stdout);
  struct epoll_event events[EVENTS];
  for (;;) {
    int count = epoll_wait(server.epoll_fd, events, EVENTS, -1);
    if (count < 0 && errno != EINTR)
      wire_die("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr == NULL)
        accept_all();
      else
        serve(events[i].data.ptr, events[i].events);
    }
  }
}
