/* wire_limit: the least a correct WebSocket client can do, as the limit of every ratio.
 *
 * One thread, one epoll, one connection.  Reads are 256 KiB, all answers of a read leave in one
 * write.  Nothing of the protocol is skipped: each frame is built and masked with a fresh key (from
 * a xorshift generator, not a cryptographic one) and each received header is parsed.  Payload that
 * comes in is not copied.  See wire_util.h for its input and output.
 */
#include "wire_util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10, WRITE_BYTES = 256 << 10, HEADER_MAX = 14 };
enum { OPCODE_TEXT = 1, OPCODE_BINARY = 2, OPCODE_PING = 9 };

typedef struct {
  int fd;
  int epoll_fd;
  uint32_t epoll_mask;
  uint32_t mask_state;
  uint8_t *in;
  size_t in_bytes;
  uint8_t *out;
  size_t out_at;    /* written so far */
  size_t out_bytes; /* built so far */
  uint64_t skip;    /* payload bytes of the current frame that are still to come */
  size_t expected;  /* payload bytes of each message */
  uint64_t text_count;
  bool has_text;
  uint8_t payload[WIRE_SIZE_MAX];
} client;

static void await(client *self, uint32_t events) {
  struct epoll_event event = {.events = events};
  if (events != self->epoll_mask) {
    epoll_ctl(self->epoll_fd, EPOLL_CTL_MOD, self->fd, &event);
    self->epoll_mask = events;
  }
  if (epoll_wait(self->epoll_fd, &event, 1, 20000) <= 0)
    wire_die("no answer for 20 s");
}

static void put_frame(client *self, unsigned opcode, const void *payload, size_t bytes) {
  uint8_t *out = self->out + self->out_bytes;
  size_t head = 2;
  out[0] = (uint8_t)(0x80u | opcode);
  if (bytes < 126) {
    out[1] = (uint8_t)(0x80u | bytes);
  } else if (bytes <= UINT16_MAX) {
    out[1] = 0x80 | 126;
    out[2] = (uint8_t)(bytes >> 8);
    out[3] = (uint8_t)bytes;
    head = 4;
  } else {
    out[1] = 0x80 | 127;
    for (unsigned i = 0; i < 8; i++)
      out[2 + i] = (uint8_t)((uint64_t)bytes >> (56 - 8 * i));
    head = 10;
  }
  self->mask_state ^= self->mask_state << 13;
  self->mask_state ^= self->mask_state >> 17;
  self->mask_state ^= self->mask_state << 5;
  uint32_t key = self->mask_state;
  memcpy(out + head, &key, 4);
  out += head + 4;
  uint64_t wide = (uint64_t)key << 32 | key;
  size_t at = 0;
  for (; at + 8 <= bytes; at += 8) {
    uint64_t word;
    memcpy(&word, (const uint8_t *)payload + at, 8);
    word ^= wide;
    memcpy(out + at, &word, 8);
  }
  for (; at < bytes; at++)
    out[at] = (uint8_t)(((const uint8_t *)payload)[at] ^ (key >> (8 * (at & 3))));
  self->out_bytes += head + 4 + bytes;
}

static bool is_writing(const client *self) {
  return self->out_bytes > 0;
}

/* Writes as much of `out` as the socket takes. */
static void write_some(client *self) {
  ssize_t done = send(self->fd, self->out + self->out_at, self->out_bytes - self->out_at,
                      MSG_NOSIGNAL | MSG_DONTWAIT);
  if (done < 0) {
    if (errno == EAGAIN)
      return;
    wire_die("send: %s", strerror(errno));
  }
  self->out_at += (size_t)done;
  if (self->out_at == self->out_bytes)
    self->out_at = self->out_bytes = 0;
}

static size_t header_bytes(const uint8_t *head, size_t have, uint64_t *payload) {
  if (have < 2)
    return 0;
  *payload = head[1] & 0x7f;
  if (*payload < 126)
    return 2;
  size_t length_bytes = *payload == 126 ? 2 : 8;
  if (have < 2 + length_bytes)
    return 0;
  *payload = 0;
  for (size_t i = 0; i < length_bytes; i++)
    *payload = *payload << 8 | head[2 + i];
  return 2 + length_bytes;
}

static uint64_t number(const uint8_t *text, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; i++)
    value = value * 10 + (uint64_t)(text[i] - '0');
  return value;
}

/* Parses what has been read and returns the number of data messages that ended in it. */
static unsigned parse(client *self) {
  unsigned msgs = 0;
  size_t at = 0;
  for (;;) {
    size_t have = self->in_bytes - at;
    if (self->skip > 0) {
      size_t part = have < self->skip ? have : (size_t)self->skip;
      self->skip -= part;
      at += part;
      if (self->skip > 0)
        break;
      msgs++;
      continue;
    }
    const uint8_t *head = self->in + at;
    uint64_t payload = 0;
    size_t header = header_bytes(head, have, &payload);
    if (header == 0)
      break;
    if (head[0] == (0x80 | OPCODE_BINARY)) {
      if (payload != self->expected)
        wire_die("a message of %" PRIu64 " bytes", payload);
      at += header;
      if (payload == 0)
        msgs++;
      self->skip = payload;
      continue;
    }
    if (payload > 125)
      wire_die("unexpected frame 0x%02x", head[0]);
    if (have < header + payload)
      break;
    if (head[0] == (0x80 | OPCODE_TEXT)) {
      self->has_text = true;
      self->text_count = number(head + header, (size_t)payload);
    } else {
      wire_die("unexpected frame 0x%02x", head[0]);
    }
    at += header + (size_t)payload;
  }
  self->in_bytes -= at;
  memmove(self->in, self->in + at, self->in_bytes);
  return msgs;
}

/* Reads once, without waiting, and returns the number of messages that ended. */
static unsigned read_some(client *self) {
  ssize_t got = recv(self->fd, self->in + self->in_bytes, READ_BYTES, MSG_DONTWAIT);
  if (got == 0)
    wire_die("the server closed the connection");
  if (got < 0) {
    if (errno == EAGAIN)
      return 0;
    wire_die("recv: %s", strerror(errno));
  }
  self->in_bytes += (size_t)got;
  return parse(self);
}

static void dial(client *self, unsigned port, const wire_case *wanted, const char *path) {
  self->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(self->fd, (struct sockaddr *)&address, sizeof address) != 0)
    wire_die("connect: %s", strerror(errno));
  int on = 1;
  setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  self->in_bytes = self->out_at = self->out_bytes = 0;
  self->skip = 0;
  self->has_text = false;
  self->expected = wanted->size;
  int bytes = snprintf((char *)self->out, WRITE_BYTES,
                       "GET %s?size=%zu HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                       path, wanted->size, port);
  if (send(self->fd, self->out, (size_t)bytes, MSG_NOSIGNAL) != bytes)
    wire_die("upgrade: send");
  char answer[1024] = "";
  size_t have = 0;
  while (strstr(answer, "\r\n\r\n") == NULL) {
    ssize_t got = recv(self->fd, answer + have, sizeof answer - 1 - have, 0);
    if (got <= 0)
      wire_die("upgrade: no answer");
    have += (size_t)got;
    answer[have] = 0;
  }
  if (strstr(answer, " 101 ") == NULL)
    wire_die("upgrade refused: %s", answer);
  self->epoll_mask = EPOLLIN;
  struct epoll_event event = {.events = EPOLLIN};
  epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->fd, &event);
}

static uint64_t run_rtt(client *self, wire_meter *meter) {
  uint64_t msgs = 0;
  for (uint64_t now = wire_now(); now < meter->end_ns; msgs++) {
    put_frame(self, OPCODE_BINARY, self->payload, self->expected);
    while (is_writing(self))
      write_some(self);
    unsigned done = 0;
    while (done == 0) {
      await(self, EPOLLIN);
      done = read_some(self);
    }
    uint64_t then = wire_now();
    wire_meter_sample(meter, then - now);
    now = then;
  }
  return msgs;
}

static uint64_t run_echo(client *self, wire_meter *meter, unsigned window) {
  uint64_t msgs = 0;
  unsigned free_slots = window;
  bool is_over = false;
  while (!is_over || free_slots < window) {
    while (!is_over && free_slots > 0 && self->out_bytes < WRITE_BYTES) {
      put_frame(self, OPCODE_BINARY, self->payload, self->expected);
      free_slots--;
    }
    if (is_writing(self))
      write_some(self);
    await(self, is_writing(self) ? EPOLLIN | EPOLLOUT : EPOLLIN);
    unsigned done = read_some(self);
    msgs += done;
    free_slots += done;
    is_over = wire_now() >= meter->end_ns;
  }
  return msgs;
}

static uint64_t run_send(client *self, wire_meter *meter) {
  uint64_t msgs = 0;
  while (wire_now() < meter->end_ns) {
    if (!is_writing(self))
      for (; self->out_bytes < WRITE_BYTES; msgs++)
        put_frame(self, OPCODE_BINARY, self->payload, self->expected);
    write_some(self);
    if (is_writing(self))
      await(self, EPOLLOUT);
  }
  put_frame(self, OPCODE_TEXT, "end", 3);
  while (!self->has_text) {
    if (is_writing(self))
      write_some(self);
    await(self, is_writing(self) ? EPOLLIN | EPOLLOUT : EPOLLIN);
    read_some(self);
  }
  if (self->text_count != msgs)
    wire_die("the sink counted %" PRIu64, self->text_count);
  return msgs;
}

static uint64_t run_receive(client *self, wire_meter *meter) {
  uint64_t msgs = 0;
  put_frame(self, OPCODE_TEXT, "go", 2);
  while (is_writing(self))
    write_some(self);
  while (wire_now() < meter->end_ns) {
    await(self, EPOLLIN);
    msgs += read_some(self);
  }
  return msgs;
}

static void run_case(client *self, unsigned port, wire_meter *meter, const wire_case *wanted) {
  bool is_send = strcmp(wanted->name, "send") == 0;
  bool is_receive = strcmp(wanted->name, "receive") == 0;
  dial(self, port, wanted, is_send ? "/sink" : is_receive ? "/source" : "/echo");
  wire_meter_start(meter, wanted);
  uint64_t msgs = 0;
  if (is_send)
    msgs = run_send(self, meter);
  else if (is_receive)
    msgs = run_receive(self, meter);
  else if (strcmp(wanted->name, "rtt") == 0)
    msgs = run_rtt(self, meter);
  else if (strcmp(wanted->name, "echo") == 0)
    msgs = run_echo(self, meter, wanted->window);
  else
    wire_die("unknown case: %s", wanted->name);
  wire_meter_stop(meter, wanted, msgs);
  close(self->fd);
}

int main(int argc, char **argv) {
  if (argc != 2)
    wire_die("usage: wire_limit PORT < cases");
  unsigned port = (unsigned)strtoul(argv[1], NULL, 10);
  client *self = wire_alloc(sizeof *self);
  memset(self, 0, sizeof *self);
  self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  self->mask_state = (uint32_t)wire_now() | 1u;
  self->in = wire_alloc(2 * READ_BYTES);
  self->out = wire_alloc(WRITE_BYTES + HEADER_MAX + WIRE_SIZE_MAX + HEADER_MAX + 8);
  for (size_t i = 0; i < sizeof self->payload; i++)
    self->payload[i] = (uint8_t)('a' + i % 26);
  wire_meter meter = {.samples = NULL};
  wire_case wanted;
  while (wire_next_case(&wanted))
    run_case(self, port, &meter, &wanted);
  free(meter.samples);
  free(self->in);
  free(self->out);
  free(self);
  return 0;
}
