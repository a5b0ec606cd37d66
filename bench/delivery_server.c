/* delivery_server: the peer of delivery_session in `./dev bench delivery`.
 *
 * Sends every message back, to clients of plain WebSocket and of steadwire.v1 alike, whichever the
 * upgrade asks for: the same loop, the same sockets, so that what differs is the session.  One
 * client at a time; prints "ready PORT" and serves loopback until killed.  Frames must be final and
 * at most WIRE_SIZE_MAX long: a benchmark's client sends no others.
 */
#include "wire_util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <steadwire/session.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN_BYTES = 2 * WIRE_SIZE_MAX, OUT_BYTES = 4 * WIRE_SIZE_MAX, HEAD_MAX = 14, KEY_BYTES = 24 };
enum { OPCODE_TEXT = 1, OPCODE_BINARY = 2, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };

typedef struct {
  int fd;
  bool is_session;
  stw_session *session;
  uint32_t link;
  uint8_t *in, *out;
  size_t in_bytes, out_bytes;
} peer;

static void flush_out(peer *self) {
  size_t at = 0;
  while (at < self->out_bytes) {
    const ssize_t sent = send(self->fd, self->out + at, self->out_bytes - at, MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR)
      break;
    at += sent > 0 ? (size_t)sent : 0;
  }
  self->out_bytes = 0;
}

static void put_frame(peer *self, unsigned opcode, const void *data, size_t size) {
  if (self->out_bytes + HEAD_MAX + size > OUT_BYTES)
    flush_out(self);
  uint8_t *at = self->out + self->out_bytes;
  *at++ = (uint8_t)(0x80 | opcode);
  if (size < 126) {
    *at++ = (uint8_t)size;
  } else if (size < 65536) {
    *at++ = 126;
    *at++ = (uint8_t)(size >> 8);
    *at++ = (uint8_t)size;
  } else {
    *at++ = 127;
    for (int shift = 56; shift >= 0; shift -= 8)
      *at++ = (uint8_t)((uint64_t)size >> shift);
  }
  memcpy(at, data, size);
  self->out_bytes = (size_t)(at + size - self->out);
}

/* ---- the session ---- */

static void put_session(peer *self) {
  const void *data;
  size_t size = 0;
  while (stw_session_take(self->session, self->link, wire_now(), &data, &size) == STW_OK &&
         size > 0)
    put_frame(self, OPCODE_BINARY, data, size);
}

static void begin_session(peer *self, const uint8_t *data, size_t size) {
  const stw_session_options options = {.struct_size = sizeof options, .takes_optimistic = true};
  stw_session_claim claim = {.struct_size = sizeof claim, .hello = data, .hello_size = size};
  stw_refusal refusal = STW_REFUSAL_NONE;
  claim.incarnation = 1;
  if (getrandom(claim.random, sizeof claim.random, 0) != (ssize_t)sizeof claim.random)
    wire_die("no randomness");
  self->session = stw_session_new(&options);
  if (self->session == NULL)
    wire_die("session: %s", stw_last_error());
  const stw_status status =
      stw_session_open(self->session, &claim, wire_now(), &self->link, &refusal);
  if (status != STW_OK || refusal != STW_REFUSAL_NONE)
    wire_die("session: %s", stw_last_error());
  put_session(self);
}

static void on_session(peer *self, const uint8_t *data, size_t size) {
  if (self->session == NULL) {
    begin_session(self, data, size);
    return;
  }
  stw_session_item item;
  uint64_t number;
  if (stw_session_receive(self->session, self->link, data, size, wire_now(), &item) != STW_OK)
    wire_die("session: %s", stw_last_error());
  if (item.kind != STW_SESSION_MESSAGE)
    return;
  const stw_status status = stw_session_send(self->session, item.lane, item.u.message.data,
                                             item.u.message.size, item.u.message.is_text, &number);
  if (status != STW_OK)
    wire_die("session: %s", stw_last_error());
}

/* ---- frames ---- */

static void unmask(uint8_t *data, size_t size, const uint8_t *mask) {
  uint64_t wide;
  uint32_t key;
  memcpy(&key, mask, sizeof key);
  wide = (uint64_t)key << 32 | key;
  size_t at = 0;
  for (uint64_t word; at + sizeof word <= size; at += sizeof word) {
    memcpy(&word, data + at, sizeof word);
    word ^= wide;
    memcpy(data + at, &word, sizeof word);
  }
  for (; at < size; at++)
    data[at] ^= mask[at & 3];
}

static bool on_frame(peer *self, unsigned opcode, uint8_t *data, size_t size) {
  if (opcode == OPCODE_CLOSE) {
    put_frame(self, OPCODE_CLOSE, data, size);
    return false;
  }
  if (opcode == OPCODE_PING)
    put_frame(self, OPCODE_PONG, data, size);
  else if (opcode == OPCODE_PONG)
    return true;
  else if (self->is_session)
    on_session(self, data, size);
  else
    put_frame(self, opcode, data, size);
  return true;
}

/* The size of the whole frame at `at`, 0 while it is not all there. */
static size_t frame_at(const uint8_t *at, size_t left, size_t *head, size_t *size) {
  if (left < 2)
    return 0;
  *size = at[1] & 0x7f;
  *head = 6;
  if (*size == 126) {
    *head = 8;
    if (left < 4)
      return 0;
    *size = (size_t)at[2] << 8 | at[3];
  } else if (*size == 127) {
    *head = 14;
    if (left < 10)
      return 0;
    *size = 0;
    for (int i = 2; i < 10; i++)
      *size = *size << 8 | at[i];
  }
  if (*size > WIRE_SIZE_MAX || (at[0] & 0x80) == 0)
    wire_die("a frame of %zu bytes that is not final or too large", *size);
  return left < *head + *size ? 0 : *head + *size;
}

static bool take_frames(peer *self) {
  size_t at = 0, whole, head = 0, size = 0;
  bool is_open = true;
  while (is_open && (whole = frame_at(self->in + at, self->in_bytes - at, &head, &size)) > 0) {
    uint8_t *frame = self->in + at;
    unmask(frame + head, size, frame + head - 4);
    is_open = on_frame(self, frame[0] & 0x0f, frame + head, size);
    at += whole;
  }
  memmove(self->in, self->in + at, self->in_bytes - at);
  self->in_bytes -= at;
  if (self->session != NULL)
    put_session(self);
  flush_out(self);
  return is_open;
}

static bool read_more(peer *self) {
  const ssize_t size = recv(self->fd, self->in + self->in_bytes, IN_BYTES - self->in_bytes, 0);
  if (size <= 0)
    return false;
  self->in_bytes += (size_t)size;
  return true;
}

/* ---- the upgrade ---- */

static bool upgrade(peer *self) {
  static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  char *end;
  do {
    if (!read_more(self))
      return false;
    self->in[self->in_bytes] = '\0';
    end = strstr((char *)self->in, "\r\n\r\n");
  } while (end == NULL);
  const char *key = strcasestr((char *)self->in, "sec-websocket-key: ");
  if (key == NULL)
    return false;
  char both[KEY_BYTES + sizeof guid], accept[64];
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned digest_size = 0;
  snprintf(both, sizeof both, "%.*s%s", KEY_BYTES, key + strlen("sec-websocket-key: "), guid);
  EVP_Digest(both, strlen(both), digest, &digest_size, EVP_sha1(), NULL);
  EVP_EncodeBlock((unsigned char *)accept, digest, (int)digest_size);
  self->is_session = strstr((char *)self->in, "steadwire.v1") != NULL;
  const int size =
      snprintf((char *)self->out, OUT_BYTES,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
               accept, self->is_session ? "Sec-WebSocket-Protocol: steadwire.v1\r\n" : "");
  self->out_bytes = (size_t)size;
  flush_out(self);
  const size_t used = (size_t)(end + 4 - (char *)self->in);
  memmove(self->in, self->in + used, self->in_bytes - used);
  self->in_bytes -= used;
  return true;
}

static void serve(peer *self) {
  const int on = 1;
  setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  self->in_bytes = self->out_bytes = 0;
  self->session = NULL;
  if (upgrade(self))
    while (take_frames(self) && read_more(self))
      continue;
  stw_session_free(self->session);
  close(self->fd);
}

int main(void) {
  static peer self;
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof address;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  self.in = wire_alloc(IN_BYTES + 1);
  self.out = wire_alloc(OUT_BYTES);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
      listen(listener, 8) != 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0)
    wire_die("cannot listen");
  printf("ready %u\n", (unsigned)ntohs(address.sin_port));
  fflush(stdout);
  while ((self.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
    serve(&self);
  return 1;
}
