/* HTTP CONNECT, RFC 9110 section 9.3.6: the proxy is asked before libwebsockets sees the socket. */
#include "io/transport_ws.h"

#include "core/mem.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ANSWER_BYTES_MAX = 16 * 1024, LOGIN_BYTES_MAX = 512, REQUEST_BYTES = 2048 };

/* Where the login in front of the host ends, NULL without one. */
static const char *end_of_login(const char *proxy) {
  return strrchr(proxy, '@');
}

bool stwi_ws_proxy_parse(const char *proxy, char *host, size_t host_size, uint16_t *port) {
  const char *at = end_of_login(proxy);
  const char *begin = at != NULL ? at + 1 : proxy;
  const char *colon = strrchr(begin, ':');
  if (colon == NULL || colon == begin)
    return false;
  char *end;
  errno = 0;
  const unsigned long number = strtoul(colon + 1, &end, 10);
  if (errno != 0 || colon[1] < '0' || colon[1] > '9' || *end != '\0' || number == 0 ||
      number > 65535)
    return false;
  size_t size = (size_t)(colon - begin);
  if (*begin == '[') {
    if (size < 3 || begin[size - 1] != ']')
      return false;
    begin++;
    size -= 2;
  }
  if (size >= host_size)
    return false;
  memcpy(host, begin, size);
  host[size] = '\0';
  *port = (uint16_t)number;
  return true;
}

static bool append_login(char *request, size_t room, const char *proxy) {
  const char *at = end_of_login(proxy);
  if (at == NULL)
    return true;
  const size_t size = (size_t)(at - proxy);
  unsigned char encoded[LOGIN_BYTES_MAX * 4 / 3 + 8];
  if (size > LOGIN_BYTES_MAX)
    return false;
  EVP_EncodeBlock(encoded, (const unsigned char *)proxy, (int)size);
  const size_t used = strlen(request);
  const int written = snprintf(request + used, room - used, "Proxy-Authorization: Basic %s\r\n",
                               (const char *)encoded);
  OPENSSL_cleanse(encoded, sizeof encoded);
  return written > 0 && (size_t)written < room - used;
}

char *stwi_ws_proxy_request(const struct stwi_dial *dial) {
  char *request = stwi_alloc(REQUEST_BYTES);
  if (request == NULL)
    return NULL;
  const bool is_v6 = strchr(dial->host, ':') != NULL;
  const char *open = is_v6 ? "[" : "", *close = is_v6 ? "]" : "";
  const int written = snprintf(
      request, REQUEST_BYTES - 2, "CONNECT %s%s%s:%u HTTP/1.1\r\nHost: %s%s%s:%u\r\n", open,
      dial->host, close, (unsigned)dial->port, open, dial->host, close, (unsigned)dial->port);
  if (written <= 0 || written >= REQUEST_BYTES - 2 ||
      !append_login(request, REQUEST_BYTES - 2, dial->proxy)) {
    stwi_free(request);
    return NULL;
  }
  const size_t used = strlen(request);
  memcpy(request + used, "\r\n", sizeof "\r\n");
  return request;
}

/* Takes the bytes up to the end of the header; how many of them belong to it. */
static size_t scan(struct stwi_ws_proxy_answer *answer, const uint8_t *bytes, size_t size) {
  static const char ending[] = "\r\n\r\n";
  size_t used = 0;
  while (used < size && answer->ending < 4) {
    const char byte = (char)bytes[used++];
    if (byte == ending[answer->ending])
      answer->ending++;
    else
      answer->ending = byte == '\r';
    if (answer->line_size < sizeof answer->line - 1)
      answer->line[answer->line_size++] = byte;
  }
  answer->size += (uint32_t)used;
  return used;
}

/* 0 for what is no status line. */
static unsigned status_of(const struct stwi_ws_proxy_answer *answer) {
  const char *line = answer->line;
  if (strncmp(line, "HTTP/1.", 7) != 0 || line[7] == '\0' || line[8] != ' ')
    return 0;
  unsigned status = 0;
  for (int i = 9; i < 12; i++) {
    if (line[i] < '0' || line[i] > '9')
      return 0;
    status = status * 10 + (unsigned)(line[i] - '0');
  }
  return status;
}

static int judge(unsigned status, struct stwi_ws_failure *failure) {
  if (status >= 200 && status < 300)
    return 1;
  if (status == 0)
    *failure = stwi_ws_failure(STW_CAUSE_PROXY_REFUSED, "the proxy's answer is not HTTP");
  else if (status == 407)
    *failure = stwi_ws_failure(STW_CAUSE_PROXY_AUTH,
                               "the proxy answered 407: it wants (other) credentials");
  else
    *failure = stwi_ws_failure(STW_CAUSE_PROXY_REFUSED, "the proxy answered %u to CONNECT", status);
  failure->http_status = (uint16_t)status;
  return -1;
}

static int ended(ssize_t size, int error, struct stwi_ws_failure *failure) {
  if (size < 0 && (error == EAGAIN || error == EINTR))
    return 0;
  *failure = stwi_ws_failure(STW_CAUSE_PROXY_REFUSED,
                             "the proxy ended the connection before it answered: %s",
                             size == 0 ? "closed" : strerror(error));
  return -1;
}

int stwi_ws_proxy_read(struct stwi_ws_lane *lane, struct stwi_ws_failure *failure) {
  struct stwi_ws *ws = lane->link->ws;
  struct stwi_ws_proxy_answer *answer = lane->proxy;
  /* What follows the header is the server's already and must stay in the socket. */
  ssize_t size = recv(lane->fd, ws->buffer, sizeof ws->buffer, MSG_PEEK);
  if (size <= 0)
    return ended(size, errno, failure);
  const size_t used = scan(answer, ws->buffer, (size_t)size);
  size = recv(lane->fd, ws->buffer, used, 0);
  if (size <= 0)
    return ended(size, errno, failure);
  const unsigned status = status_of(answer);
  if (answer->ending == 4)
    return judge(status, failure);
  if (answer->size >= ANSWER_BYTES_MAX || (answer->size >= 12 && status == 0))
    return judge(0, failure);
  return 0;
}
