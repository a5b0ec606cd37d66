/* The table of links, what is put, what is deferred, and how a link ends. */
#include "io/transport_xmpp.h"

#include "core/mem.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the table ---- */

struct stwi_xmpp_link *stwi_xmpp_link_of(const struct stwi_xmpp *xmpp, uint32_t conn,
                                         uint32_t generation) {
  struct stwi_xmpp_link *link = conn < xmpp->conn_capacity ? xmpp->conns[conn] : NULL;
  while (link != NULL && link->link != generation)
    link = link->next;
  return link;
}

struct stwi_xmpp_link *stwi_xmpp_link_after(const struct stwi_xmpp *xmpp, size_t *conn,
                                            const struct stwi_xmpp_link *link) {
  if (link != NULL && link->next != NULL)
    return link->next;
  if (link != NULL)
    (*conn)++;
  while (*conn < xmpp->conn_capacity && xmpp->conns[*conn] == NULL)
    (*conn)++;
  return *conn < xmpp->conn_capacity ? xmpp->conns[*conn] : NULL;
}

static bool grow_conns(struct stwi_xmpp *xmpp, uint32_t conn) {
  if (conn < xmpp->conn_capacity)
    return true;
  size_t capacity = xmpp->conn_capacity == 0 ? 16 : xmpp->conn_capacity;
  while (capacity <= conn)
    capacity *= 2;
  struct stwi_xmpp_link **conns =
      stwi_realloc(xmpp->conns, capacity * sizeof(struct stwi_xmpp_link *));
  if (conns == NULL)
    return false;
  for (size_t i = xmpp->conn_capacity; i < capacity; i++)
    conns[i] = NULL;
  xmpp->conns = conns;
  xmpp->conn_capacity = capacity;
  return true;
}

struct stwi_xmpp_link *stwi_xmpp_link_new(struct stwi_xmpp *xmpp, uint32_t conn,
                                          uint32_t generation) {
  if (!grow_conns(xmpp, conn))
    return NULL;
  struct stwi_xmpp_link *link = stwi_alloc(sizeof *link);
  struct stwi_xmpp_attempt *attempt = stwi_alloc(sizeof *attempt);
  if (link == NULL || attempt == NULL) {
    stwi_free(link);
    stwi_free(attempt);
    return NULL;
  }
  memset(attempt, 0, sizeof *attempt);
  memset(link, 0, sizeof *link);
  link->xmpp = xmpp;
  link->next = xmpp->conns[conn];
  link->attempt = attempt;
  link->fd = -1;
  link->conn = conn;
  link->link = generation;
  xmpp->conns[conn] = link;
  return link;
}

static void unlink_link(struct stwi_xmpp_link *link) {
  struct stwi_xmpp *xmpp = link->xmpp;
  struct stwi_xmpp_link **at = &xmpp->conns[link->conn];
  while (*at != link)
    at = &(*at)->next;
  *at = link->next;
  if (!link->is_deferred)
    return;
  at = &xmpp->deferred;
  while (*at != link)
    at = &(*at)->next_deferred;
  *at = link->next_deferred;
  if (*at == NULL)
    xmpp->deferred_end = at;
}

/* ---- waiting for the socket ---- */

static void on_closed(uv_handle_t *handle) {
  struct stwi_xmpp *xmpp = handle->data;
  xmpp->handle_count--;
  stwi_free(handle);
}

void stwi_xmpp_unwatch(struct stwi_xmpp_link *link) {
  if (link->poll == NULL)
    return;
  link->poll->data = link->xmpp;
  uv_close((uv_handle_t *)link->poll, on_closed);
  link->poll = NULL;
  link->poll_events = 0;
}

bool stwi_xmpp_watch(struct stwi_xmpp_link *link, int events, uv_poll_cb callback) {
  if (link->poll == NULL) {
    uv_poll_t *poll = stwi_alloc(sizeof *poll);
    if (poll == NULL || uv_poll_init(stwi_loop_uv(link->xmpp->loop), poll, link->fd) != 0) {
      stwi_free(poll);
      return false;
    }
    poll->data = link;
    link->poll = poll;
    link->xmpp->handle_count++;
  }
  if (events == link->poll_events)
    return true;
  link->poll_events = events;
  return (events == 0 ? uv_poll_stop(link->poll) : uv_poll_start(link->poll, events, callback)) ==
         0;
}

/* ---- ends ---- */

void stwi_xmpp_attempt_free(struct stwi_xmpp_link *link) {
  struct stwi_xmpp_attempt *attempt = link->attempt;
  if (attempt == NULL)
    return;
  link->attempt = NULL;
  if (attempt->srv != NULL)
    stwi_srv_cancel(attempt->srv);
  if (attempt->lookup != NULL)
    stwi_resolve_cancel(attempt->lookup);
  stwi_free(attempt->security.name);
  stwi_free(attempt->security.ca_file);
  stwi_free(attempt->security.client_cert);
  stwi_free(attempt->security.client_key);
  stwi_free(attempt);
}

void stwi_xmpp_reset(const struct stwi_xmpp_link *link) {
  if (link->fd < 0)
    return;
  const struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  /* Dissolves the association: RST leaves now. */
  connect(link->fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
}

static void close_all(struct stwi_xmpp_link *link) {
  stwi_xmpp_unwatch(link);
  if (link->job != NULL)
    stwi_xmpp_pool_cancel(link->xmpp->pool, link->job, false);
  link->job = NULL;
  if (link->socket != NULL)
    stwi_xmpp_socket_free(link->socket); /* closes the descriptor */
  else if (link->fd >= 0)
    close(link->fd);
  link->socket = NULL;
  link->fd = -1;
  SSL_free(link->ssl);
  link->ssl = NULL;
}

void stwi_xmpp_link_free(struct stwi_xmpp_link *link) {
  unlink_link(link);
  stwi_xmpp_attempt_free(link);
  close_all(link);
  stwi_xml_stream_free(link->parser);
  stwi_free(link->domain);
  stwi_free(link->out);
  stwi_free(link);
}

void stwi_xmpp_fail(struct stwi_xmpp_link *link, stw_cause cause, const char *format, ...) {
  va_list values;
  if (link->is_over)
    return;
  link->is_over = true;
  link->failure.cause = cause;
  va_start(values, format);
  vsnprintf(link->failure.detail, sizeof link->failure.detail, format, values);
  va_end(values);
}

/* close_notify, then FIN behind it. */
static void say_goodbye(const struct stwi_xmpp_link *link) {
  if (link->ssl == NULL || link->fd < 0 || !SSL_is_init_finished(link->ssl))
    return;
  SSL_shutdown(link->ssl);
  ERR_clear_error();
}

void stwi_xmpp_settle(struct stwi_xmpp_link *link) {
  if (!link->is_over || link->is_busy)
    return;
  struct stwi_input input = {.kind = STWI_IN_DOWN};
  const struct stwi_xmpp_failure failure = link->failure;
  input.u.down.cause = link->is_cut ? STW_CAUSE_REQUESTED : failure.cause;
  input.u.down.detail = link->is_cut ? "cut by this side" : failure.detail;
  say_goodbye(link);
  close_all(link);
  link->is_busy = true; /* nobody else ends it while it is told */
  stwi_xmpp_put(link, &input);
  stwi_xmpp_link_free(link);
}

/* ---- what is put ---- */

void stwi_xmpp_put(struct stwi_xmpp_link *link, struct stwi_input *input) {
  if (link->xmpp->is_freeing)
    return;
  input->conn = link->conn;
  input->link = link->link;
  stwi_loop_dirty(link->xmpp->loop);
  link->xmpp->sink.put(link->xmpp->sink.owner, input);
}

void stwi_xmpp_phase(struct stwi_xmpp_link *link, stw_phase phase) {
  if (phase <= link->phase || link->is_over)
    return;
  link->phase = phase;
  struct stwi_input input = {.kind = STWI_IN_PHASE, .u.phase.phase = phase};
  stwi_xmpp_put(link, &input);
}

/* ---- deferred work ---- */

void stwi_xmpp_defer(struct stwi_xmpp_link *link) {
  struct stwi_xmpp *xmpp = link->xmpp;
  if (link->is_deferred || xmpp->is_freeing)
    return;
  link->is_deferred = true;
  link->next_deferred = NULL;
  *xmpp->deferred_end = link;
  xmpp->deferred_end = &link->next_deferred;
  uv_async_send(xmpp->again);
}

static size_t count_deferred(const struct stwi_xmpp *xmpp) {
  size_t count = 0;
  for (const struct stwi_xmpp_link *link = xmpp->deferred; link != NULL; link = link->next_deferred)
    count++;
  return count;
}

void stwi_xmpp_run_deferred(struct stwi_xmpp *xmpp) {
  for (size_t count = count_deferred(xmpp); count > 0 && xmpp->deferred != NULL; count--) {
    struct stwi_xmpp_link *link = xmpp->deferred;
    xmpp->deferred = link->next_deferred;
    if (xmpp->deferred == NULL)
      xmpp->deferred_end = &xmpp->deferred;
    link->is_deferred = false;
    if (link->wants_read && !link->is_over)
      stwi_xmpp_read(link);
    else
      stwi_xmpp_settle(link);
  }
}
