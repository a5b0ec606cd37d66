/* How a connection ends: by us, or by the other end, and then why. */
#include "io/transport_ws.h"

#include "core/cause.h"
#include "io/tcp_state.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
  /* A peer that sends without end must not keep us in one callback. */
  LAST_READS_MAX = 64
};

/* On an error libwebsockets closes without a read; the last words may still be in the socket. */
static size_t read_rest(struct stwi_ws_lane *lane) {
  uint8_t *buffer = lane->link->ws->buffer;
  SSL *ssl = lws_get_ssl(lane->wsi);
  if (ssl == NULL) {
    const ssize_t size =
        recv(lws_get_socket_fd(lane->wsi), buffer, STWI_WS_BUFFER_BYTES, MSG_DONTWAIT);
    return size > 0 ? (size_t)size : 0;
  }
  const int size = SSL_read(ssl, buffer, STWI_WS_BUFFER_BYTES);
  ERR_clear_error();
  return size > 0 ? (size_t)size : 0;
}

static void put_rest(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  for (int i = 0; i < LAST_READS_MAX && !link->is_paused && !link->is_cut; i++) {
    const size_t size = read_rest(lane);
    if (size == 0)
      break;
    stwi_ws_put_bytes(link, link->ws->buffer, size);
  }
}

static void end_stream(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  const int fd = lws_get_socket_fd(lane->wsi);
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  put_rest(lane);
  if (link->is_cut)
    return;
  link->is_over = true;
  link->cause = stwi_tcp_state(fd).is_reset ? STW_CAUSE_ABNORMAL_RST : STW_CAUSE_ABNORMAL_FIN;
  link->detail = stwi_ws_tls_alert(lane);
  if (link->detail != NULL)
    return;
  if (link->cause == STW_CAUSE_ABNORMAL_FIN)
    link->detail = "the peer ended the connection";
  else
    link->detail = error == ETIMEDOUT ? "the peer no longer acknowledged what was sent"
                                      : "the connection was reset";
}

static unsigned status_in(const char *text) {
  return (unsigned)strtoul(text, NULL, 10);
}

/* Of an answer that libwebsockets has read as far as it could. */
static unsigned parsed_status(struct stwi_ws_lane *lane) {
  char value[8];
  const int size = lws_hdr_copy_fragment(lane->wsi, value, sizeof value, WSI_TOKEN_HTTP, 0);
  return size > 0 ? status_in(value) : 0;
}

/* Of an answer that libwebsockets has not looked at. */
static unsigned unread_status(struct stwi_ws_lane *lane) {
  static const char begin[] = "HTTP/1.1 ";
  const char *text = (const char *)lane->link->ws->buffer;
  const size_t size = read_rest(lane), begin_size = sizeof begin - 1;
  if (size < begin_size + 4 || memcmp(text, begin, begin_size) != 0)
    return 0;
  const char digits[] = {text[begin_size], text[begin_size + 1], text[begin_size + 2], '\0'};
  return status_in(digits);
}

static bool is_refusal(unsigned status) {
  return status >= 300 && status < 600;
}

static struct stwi_ws_failure refusal(unsigned status) {
  struct stwi_ws_failure failure =
      stwi_ws_failure(stwi_cause_of_http((uint16_t)status), "the server answered %u", status);
  failure.http_status = (uint16_t)status;
  return failure;
}

/* libwebsockets says only in words that it could not read an answer, and says nothing when one
 * ends before it looked like a header. */
static bool is_unreadable(struct stwi_ws_lane *lane, const char *text, size_t size) {
  const struct stwi_tcp_state state = stwi_tcp_state(lws_get_socket_fd(lane->wsi));
  if (state.is_open)
    return true;
  if (lws_get_ssl(lane->wsi) == NULL && state.has_received &&
      lws_hdr_total_length(lane->wsi, WSI_TOKEN_HTTP) <= 0 &&
      lws_hdr_total_length(lane->wsi, WSI_TOKEN_HTTP1_0) <= 0)
    return true;
  return text != NULL &&
         (memmem(text, size, "pars", 4) != NULL || memmem(text, size, "missing", 7) != NULL);
}

/* The kernel tells recv() of a reset a moment before TCP_INFO shows it, so what is left unread says
 * more about an answer than the state of the socket. */
static struct stwi_ws_failure why_not_upgraded(struct stwi_ws_lane *lane, const char *text,
                                               size_t size) {
  const unsigned unread = unread_status(lane), parsed = parsed_status(lane);
  const bool is_bad = unread == 0 && is_unreadable(lane, text, size);
  if (is_refusal(unread))
    return refusal(unread);
  if (is_refusal(parsed) && is_bad)
    return refusal(parsed);
  if (is_bad)
    return stwi_ws_failure(STW_CAUSE_UPGRADE_INVALID,
                           "the answer is not HTTP/1.1, or its header is over 4096 bytes");
  if (stwi_tcp_state(lws_get_socket_fd(lane->wsi)).is_reset)
    return stwi_ws_failure(STW_CAUSE_TCP_RESET, "the connection was reset during the upgrade");
  return stwi_ws_failure(STW_CAUSE_UPGRADE_EOF,
                         "the connection ended before the upgrade was answered");
}

static struct stwi_ws_failure why_not(struct stwi_ws_lane *lane, const char *text, size_t size) {
  struct stwi_ws_failure failure;
  SSL *ssl = lws_get_ssl(lane->wsi);
  const bool is_in_tls = ssl != NULL && !SSL_is_init_finished(ssl);
  char byte;
  /* Behind a reset an alert may still be unread. */
  if (ssl != NULL && stwi_tcp_state(lws_get_socket_fd(lane->wsi)).is_reset)
    SSL_peek(ssl, &byte, sizeof byte);
  const bool is_tls = stwi_ws_tls_why(lane, &failure);
  ERR_clear_error();
  if (is_tls)
    return failure;
  if (is_in_tls)
    return stwi_ws_failure(STW_CAUSE_TCP_RESET,
                           "the peer ended the connection during the TLS handshake");
  return why_not_upgraded(lane, text, size);
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
