/* An established connection: bytes in, bytes out, and how it ended. */
#include "io/transport_ws.h"

#include "core/cause.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
  /* A peer that sends without end must not keep us in one callback. */
  LAST_READS_MAX = 64,
  TLS_READS_MAX = 8,
  TLS_RECORD_BYTES = 16 * 1024
};

/* ---- the end ---- */

static bool is_reset(int fd) {
  struct tcp_info info = {0};
  socklen_t size = sizeof info;
  /* A FIN leaves CLOSE_WAIT or later; only a reset or a timeout leads straight to CLOSE.  Whoever
   * has read the socket's error before does not matter. */
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_CLOSE;
}

static bool is_open(int fd) {
  struct tcp_info info = {0};
  socklen_t size = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
         info.tcpi_state == TCP_ESTABLISHED;
}

static void put_bytes(struct stwi_ws_link *link, const uint8_t *data, size_t size) {
  struct stwi_input input = {.kind = STWI_IN_BYTES, .u.bytes = {data, size}};
  stwi_ws_put(link, &input);
}

/* On an error libwebsockets closes without a read; the last frames may still be in the socket. */
static void read_rest(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  uint8_t *buffer = link->ws->buffer;
  const int fd = lws_get_socket_fd(lane->wsi);
  SSL *ssl = lws_get_ssl(lane->wsi);
  for (int i = 0; i < LAST_READS_MAX && !link->is_paused && !link->is_cut; i++) {
    const ssize_t size = ssl != NULL
                             ? SSL_read(ssl, buffer, STWI_WS_BUFFER_BYTES)
                             : recv(fd, buffer, STWI_WS_BUFFER_BYTES, MSG_DONTWAIT);
    if (size <= 0)
      break;
    put_bytes(link, buffer, (size_t)size);
  }
  if (ssl != NULL)
    ERR_clear_error();
}

static void end_stream(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  const int fd = lws_get_socket_fd(lane->wsi);
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  read_rest(lane);
  if (link->is_cut)
    return;
  link->is_over = true;
  link->cause = is_reset(fd) ? STW_CAUSE_ABNORMAL_RST : STW_CAUSE_ABNORMAL_FIN;
  link->detail = stwi_ws_tls_alert(lane);
  if (link->detail != NULL)
    return;
  if (link->cause == STW_CAUSE_ABNORMAL_FIN)
    link->detail = "the peer ended the connection";
  else
    link->detail = error == ETIMEDOUT ? "the peer no longer acknowledged what was sent"
                                      : "the connection was reset";
}

static struct stwi_ws_failure why_upgrade_failed(struct stwi_ws_lane *lane, const char *text,
                                                 size_t size) {
  char value[8];
  unsigned status = 0;
  if (lws_hdr_copy(lane->wsi, value, sizeof value, WSI_TOKEN_HTTP) > 0 ||
      lws_hdr_copy_fragment(lane->wsi, value, sizeof value, WSI_TOKEN_HTTP, 0) > 0)
    status = (unsigned)strtoul(value, NULL, 10);
  const bool is_bad = is_open(lws_get_socket_fd(lane->wsi)) ||
                      (text != NULL && memmem(text, size, "pars", 4) != NULL) ||
                      (text != NULL && memmem(text, size, "missing", 7) != NULL);
  if (!is_bad)
    return stwi_ws_failure(STW_CAUSE_UPGRADE_EOF,
                           "the connection ended before the upgrade was answered");
  if (status >= 300 && status < 600) {
    struct stwi_ws_failure failure =
        stwi_ws_failure(stwi_cause_of_http((uint16_t)status), "the server answered %u", status);
    failure.http_status = (uint16_t)status;
    return failure;
  }
  return stwi_ws_failure(STW_CAUSE_UPGRADE_INVALID,
                         "the answer is not HTTP/1.1, or its header is over 4096 bytes");
}

static struct stwi_ws_failure why_not(struct stwi_ws_lane *lane, const char *text, size_t size) {
  struct stwi_ws_failure failure;
  const SSL *ssl = lws_get_ssl(lane->wsi);
  const bool is_in_tls = ssl != NULL && !SSL_is_init_finished(ssl);
  if (stwi_ws_tls_why(lane, &failure))
    return failure;
  if (is_reset(lws_get_socket_fd(lane->wsi)))
    return stwi_ws_failure(STW_CAUSE_TCP_RESET, "the connection was reset during the %s",
                           is_in_tls ? "TLS handshake" : "upgrade");
  if (is_in_tls)
    return stwi_ws_failure(STW_CAUSE_TCP_RESET,
                           "the peer ended the connection during the TLS handshake");
  return why_upgrade_failed(lane, text, size);
}

void stwi_ws_lost(struct stwi_ws_lane *lane, const char *text, size_t size) {
  struct stwi_ws_link *link = lane->link;
  if (lane->is_lost || lane->is_doomed || link->is_over || link->ws->is_freeing)
    return;
  lane->is_lost = true;
  if (lane->wsi == NULL)
    return;
  if (link->up == lane) {
    end_stream(lane);
  } else if (link->attempt != NULL) {
    const struct stwi_ws_failure failure = why_not(lane, text, size);
    stwi_ws_fail(link, &failure);
  }
}

void stwi_ws_reset(struct stwi_ws_lane *lane) {
  const int fd = lane->wsi != NULL ? lws_get_socket_fd(lane->wsi) : lane->fd;
  if (fd < 0)
    return;
  const struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  /* Dissolves the association: RST leaves now, not when libwebsockets comes to close. */
  connect(fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
}

static void kill_wsi(struct stwi_ws_lane *lane) {
  const struct stwi_ws_link *link = lane->link;
  SSL *ssl = lws_get_ssl(lane->wsi);
  if (link->up == lane && ssl != NULL) {
    SSL_shutdown(ssl);
    ERR_clear_error();
  }
  /* libwebsockets would go on for 5 s to send what it has buffered: nothing must be left to wait
   * for.  Without such bytes the close is a FIN. */
  if (lws_partial_buffered(lane->wsi))
    stwi_ws_reset(lane);
  lws_set_timeout(lane->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_SYNC);
}

void stwi_ws_kill(struct stwi_ws_lane *lane) {
  if (lane->wsi == NULL)
    stwi_ws_lane_drop(lane);
  else
    kill_wsi(lane);
}

/* ---- in ---- */

int stwi_ws_bytes(struct stwi_ws_lane *lane, const uint8_t *data, size_t size) {
  struct stwi_ws_link *link = lane->link;
  if (link->up != lane || link->is_over)
    return 0;
  link->ws->read_size = size;
  put_bytes(link, data, size);
  return 0;
}

static int end_read(struct stwi_ws_lane *lane) {
  stwi_ws_lost(lane, NULL, 0);
  if (lws_partial_buffered(lane->wsi))
    stwi_ws_reset(lane);
  return -1;
}

static int read_once(struct stwi_ws_lane *lane) {
  struct stwi_ws *ws = lane->link->ws;
  char *buffer = (char *)ws->buffer;
  int size = STWI_WS_BUFFER_BYTES;
  ws->read_size = 0;
  return lws_http_client_read(lane->wsi, &buffer, &size);
}

/* While there is something to read libwebsockets looks at nothing else: without this a peer that
 * never stops sending would keep what we send waiting for ever. */
static int flush(struct stwi_ws_lane *lane) {
  if (!lane->link->is_writing || !lws_partial_buffered(lane->wsi))
    return 0;
  if (lws_write(lane->wsi, NULL, 0, LWS_WRITE_RAW) < 0)
    return -1;
  stwi_ws_writable(lane);
  return 0;
}

static int read_all(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  const bool is_tls = lws_get_ssl(lane->wsi) != NULL;
  int reads = 0;
  do {
    if (read_once(lane) < 0)
      return end_read(lane);
    /* TLS comes in records, and each wait for the next one costs three system calls. */
  } while (is_tls && ++reads < TLS_READS_MAX && link->ws->read_size >= TLS_RECORD_BYTES &&
           !link->is_paused && !link->is_over);
  if (link->is_over)
    return 0;
  return flush(lane) < 0 ? end_read(lane) : 0;
}

int stwi_ws_readable(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  if (link->up != lane || link->is_over)
    return 0; /* it is being killed */
  if (link->is_paused) {
    link->is_held = true;
    return 0;
  }
  return read_all(lane);
}

void stwi_ws_resume(struct stwi_ws_link *link) {
  link->is_resuming = false;
  if (link->is_paused || link->is_over || link->up == NULL || !link->is_held)
    return;
  link->is_held = false;
  if (read_all(link->up) < 0)
    stwi_ws_kill(link->up);
}

/* ---- out ---- */

void stwi_ws_writable(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  if (link->up != lane || link->is_over || !link->is_writing || lws_partial_buffered(lane->wsi))
    return;
  link->is_writing = false;
  struct stwi_input input = {.kind = STWI_IN_WRITABLE};
  stwi_ws_put(link, &input);
}

void stwi_ws_write(struct stwi_ws_link *link, uint8_t *data, size_t size) {
  struct stwi_ws_lane *lane = link->up;
  link->is_writing = true;
  if (lws_write(lane->wsi, data, size, LWS_WRITE_RAW) >= 0) {
    stwi_ws_writable(lane);
    return;
  }
  link->is_broken = true;
  stwi_ws_defer(link);
}
