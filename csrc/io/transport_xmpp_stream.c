/* Bytes of a stream, in and out, in the clear or through TLS, never blocking. */
#include "io/transport_xmpp.h"

#include "core/mem.h"
#include "io/tcp_state.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
  /* A peer that sends without end must not keep us in one callback. */
  READS_MAX = 4,
  HEADER_BYTES_MAX = 2048,
  WRITE_BYTES_MAX = 64 * 1024 /* to OpenSSL at once; it makes records of 16 KiB */
};

/* ---- one read, one write ---- */

enum outcome { MOVED, BLOCKED, ENDED };

static enum outcome after_ssl(struct stwi_xmpp_link *link, int result) {
  const int error = SSL_get_error(link->ssl, result);
  ERR_clear_error();
  if (error == SSL_ERROR_WANT_WRITE)
    link->wants_writable = true;
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? BLOCKED : ENDED;
}

static enum outcome read_some(struct stwi_xmpp_link *link, size_t *size) {
  uint8_t *buffer = link->xmpp->buffer;
  if (link->ssl != NULL) {
    const int got = SSL_read(link->ssl, buffer, STWI_XMPP_BUFFER_BYTES);
    *size = got > 0 ? (size_t)got : 0;
    return got > 0 ? MOVED : after_ssl(link, got);
  }
  const ssize_t got = recv(link->fd, buffer, STWI_XMPP_BUFFER_BYTES, MSG_DONTWAIT);
  *size = got > 0 ? (size_t)got : 0;
  if (got > 0)
    return MOVED;
  return got < 0 && (errno == EAGAIN || errno == EINTR) ? BLOCKED : ENDED;
}

static enum outcome write_some(struct stwi_xmpp_link *link, const uint8_t *data, size_t size,
                               size_t *taken) {
  *taken = 0;
  if (link->ssl != NULL) {
    const int part = size < WRITE_BYTES_MAX ? (int)size : WRITE_BYTES_MAX;
    const int put = SSL_write(link->ssl, data, part);
    *taken = put > 0 ? (size_t)put : 0;
    return put > 0 ? MOVED : after_ssl(link, put);
  }
  const ssize_t put = send(link->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  *taken = put > 0 ? (size_t)put : 0;
  if (put >= 0)
    return MOVED;
  return errno == EAGAIN || errno == EINTR ? BLOCKED : ENDED;
}

/* ---- the end ---- */

static void end_stream(struct stwi_xmpp_link *link) {
  const bool is_reset = stwi_tcp_state(link->fd).is_reset;
  const bool is_up = link->stage == STWI_XMPP_UP;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (is_reset)
    stwi_xmpp_fail(link, is_up ? STW_CAUSE_ABNORMAL_RST : STW_CAUSE_TCP_RESET, "%s",
                   error == ETIMEDOUT ? "the peer no longer acknowledged what was sent"
                                      : "the connection was reset");
  else
    stwi_xmpp_fail(link, is_up ? STW_CAUSE_ABNORMAL_FIN : STW_CAUSE_UPGRADE_EOF,
                   is_up ? "the peer ended the connection"
                         : "the connection ended before the stream was open");
}

/* ---- in ---- */

static void refuse(struct stwi_xmpp_link *link, enum stwi_xml_status status, const char *why) {
  switch (status) {
  case STWI_XML_OK:
    break;
  case STWI_XML_TOO_BIG:
    stwi_xmpp_fail(link, STW_CAUSE_INBOUND_TOO_BIG, "%s", why);
    break;
  case STWI_XML_NO_MEMORY:
    stwi_xmpp_fail(link, STW_CAUSE_OVERLOAD_LOCAL, "%s", why);
    break;
  case STWI_XML_MALFORMED:
  case STWI_XML_RESTRICTED:
    stwi_xmpp_fail(link, STW_CAUSE_STREAM_ERROR, "what the peer sent is not XMPP: %s", why);
    break;
  }
}

static bool may_read(const struct stwi_xmpp_link *link) {
  return !link->is_over && !link->is_paused && link->stage != STWI_XMPP_SECURING;
}

static void read_all(struct stwi_xmpp_link *link) {
  const char *why = NULL;
  size_t size;
  link->wants_read = false;
  link->wants_writable = false;
  for (int i = 0; i < READS_MAX && may_read(link); i++) {
    const enum outcome outcome = read_some(link, &size);
    if (outcome == BLOCKED)
      return;
    if (outcome == ENDED) {
      end_stream(link);
      return;
    }
    const enum stwi_xml_status status =
        stwi_xml_stream_feed(link->parser, link->xmpp->buffer, size, &why);
    refuse(link, status, why);
  }
  link->wants_read = link->ssl != NULL && !link->is_over && SSL_pending(link->ssl) > 0;
}

void stwi_xmpp_read(struct stwi_xmpp_link *link) {
  link->is_busy = true;
  read_all(link);
  link->is_busy = false;
  if (!link->is_over && link->stage != STWI_XMPP_SECURING)
    stwi_xmpp_rearm(link);
  if (link->wants_read && !link->is_paused)
    stwi_xmpp_defer(link);
  stwi_xmpp_settle(link);
}

/* ---- out ---- */

static bool keep_rest(struct stwi_xmpp_link *link, const uint8_t *data, size_t size) {
  const size_t kept = link->out_size - link->out_at;
  if (link->out_at > 0) {
    memmove(link->out, link->out + link->out_at, kept);
    link->out_at = 0;
    link->out_size = kept;
  }
  if (kept + size > link->out_room) {
    uint8_t *out = stwi_realloc(link->out, kept + size);
    if (out == NULL)
      return false;
    link->out = out;
    link->out_room = kept + size;
  }
  memcpy(link->out + kept, data, size);
  link->out_size = kept + size;
  return true;
}

static void forget_out(struct stwi_xmpp_link *link) {
  stwi_free(link->out);
  link->out = NULL;
  link->out_at = link->out_size = link->out_room = 0;
}

static void tell_writable(struct stwi_xmpp_link *link) {
  struct stwi_input input = {.kind = STWI_IN_WRITABLE};
  if (!link->is_writing || link->is_over)
    return;
  link->is_writing = false;
  stwi_xmpp_put(link, &input);
}

static void write_kept(struct stwi_xmpp_link *link) {
  size_t taken;
  while (link->out_at < link->out_size) {
    const enum outcome outcome =
        write_some(link, link->out + link->out_at, link->out_size - link->out_at, &taken);
    link->out_at += taken;
    if (outcome == BLOCKED)
      return;
    if (outcome == ENDED) {
      /* What the peer said last may still be unread, and is worth more than the failed write. */
      forget_out(link);
      read_all(link);
      if (!link->is_over)
        end_stream(link);
      return;
    }
  }
  if (link->out != NULL)
    forget_out(link);
  tell_writable(link);
}

void stwi_xmpp_write(struct stwi_xmpp_link *link, const uint8_t *data, size_t size) {
  size_t taken;
  while (link->out == NULL && size > 0 && write_some(link, data, size, &taken) == MOVED) {
    data += taken;
    size -= taken;
  }
  if (size > 0 && !keep_rest(link, data, size))
    stwi_xmpp_fail(link, STW_CAUSE_OVERLOAD_LOCAL, "no memory for what the socket did not take");
  if (size == 0 && link->out == NULL)
    tell_writable(link);
}

/* ---- waiting ---- */

static void on_stream(uv_poll_t *handle, int status, int events) {
  struct stwi_xmpp_link *link = handle->data;
  if (link->is_over)
    return; /* it is settled where that was deferred to */
  link->is_busy = true;
  if (status == 0 && (events & UV_WRITABLE) != 0)
    write_kept(link);
  link->is_busy = false;
  stwi_xmpp_read(link);
}

void stwi_xmpp_rearm(struct stwi_xmpp_link *link) {
  const bool wants_writable = link->out != NULL || link->wants_writable;
  const int events = (link->is_paused ? 0 : UV_READABLE) | (wants_writable ? UV_WRITABLE : 0);
  if (!stwi_xmpp_watch(link, events, on_stream))
    stwi_xmpp_fail(link, STW_CAUSE_OVERLOAD_LOCAL, "no memory to wait for the socket");
}

/* ---- channel binding ---- */

size_t stwi_xmpp_binding(const struct stwi_xmpp_link *link, uint8_t *binding, const char **type) {
  static const char label[] = "EXPORTER-Channel-Binding"; /* RFC 9266 */
  enum { EXPORTER_BYTES = 32 };
  *type = NULL;
  if (link->ssl == NULL)
    return 0;
  if (SSL_version(link->ssl) == TLS1_2_VERSION) {
    *type = "tls-unique"; /* never a resumed session: the first Finished is ours */
    return SSL_get_finished(link->ssl, binding, STWI_XMPP_BINDING_BYTES_MAX);
  }
  if (SSL_export_keying_material(link->ssl, binding, EXPORTER_BYTES, label, sizeof label - 1, NULL,
                                 0, 0) != 1)
    return 0;
  *type = "tls-exporter";
  return EXPORTER_BYTES;
}

/* ---- the stream's header ---- */

static size_t escape(char *out, size_t room, const char *text) {
  size_t size = 0;
  for (; *text != '\0' && size + 7 < room; text++) {
    const char *entity = *text == '&'    ? "&amp;"
                         : *text == '<'  ? "&lt;"
                         : *text == '\'' ? "&apos;"
                                         : NULL;
    const size_t step = entity != NULL ? strlen(entity) : 1;
    memcpy(out + size, entity != NULL ? entity : text, step);
    size += step;
  }
  out[size] = '\0';
  return size;
}

static void send_header(struct stwi_xmpp_link *link) {
  char domain[HEADER_BYTES_MAX / 2], header[HEADER_BYTES_MAX];
  escape(domain, sizeof domain, link->domain);
  const int size =
      snprintf(header, sizeof header,
               "<?xml version='1.0'?><stream:stream xmlns='" STWI_NS_CLIENT
               "' xmlns:stream='" STWI_NS_STREAM "' to='%s' version='1.0' xml:lang='en'>",
               domain);
  stwi_xmpp_write(link, (const uint8_t *)header, (size_t)size);
}

void stwi_xmpp_open_stream(struct stwi_xmpp_link *link) {
  if (!stwi_xml_stream_reset(link->parser))
    stwi_xmpp_fail(link, STW_CAUSE_OVERLOAD_LOCAL, "no memory for a stream");
  send_header(link);
  if (!link->is_over)
    stwi_xmpp_rearm(link);
}

void stwi_xmpp_restart(struct stwi_xmpp_link *link) {
  stwi_xmpp_open_stream(link);
}
