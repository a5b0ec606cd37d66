/* From a dial to a secured connection: name, TCP address after address, STARTTLS, TLS. */
#include "io/transport_xmpp.h"

#include "core/mem.h"
#include "io/tcp_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void try_address(struct stwi_xmpp_link *link);
static void try_target(struct stwi_xmpp_link *link);

/* This target did not answer: the next one, or the end for the last one's reason. */
static void next_target(struct stwi_xmpp_link *link, stw_cause cause, const char *detail) {
  struct stwi_xmpp_attempt *attempt = link->attempt;
  if (++attempt->target < attempt->targets.count)
    try_target(link);
  else
    stwi_xmpp_fail(link, cause, "%s", detail);
}

static void next_address(struct stwi_xmpp_link *link, const struct stwi_xmpp_failure *failure) {
  struct stwi_xmpp_attempt *attempt = link->attempt;
  stwi_xmpp_unwatch(link);
  if (link->socket != NULL)
    stwi_xmpp_socket_free(link->socket);
  link->socket = NULL;
  link->fd = -1;
  if (++attempt->address < attempt->addresses.count)
    try_address(link);
  else
    next_target(link, failure->cause, failure->detail);
}

/* ---- TLS ---- */

void stwi_xmpp_secure(struct stwi_xmpp_link *link) {
  link->stage = STWI_XMPP_SECURING;
  stwi_xmpp_phase(link, STW_PHASE_TLS);
  if (link->is_over)
    return;
  stwi_xmpp_unwatch(link);
  link->job = stwi_xmpp_pool_add(link->xmpp->pool, link, link->socket, &link->attempt->security);
  if (link->job == NULL) {
    stwi_xmpp_fail(link, STW_CAUSE_OVERLOAD_LOCAL, "no memory or no thread for a TLS handshake");
    return;
  }
  link->socket = NULL;
  link->fd = -1;
  uv_async_send(link->xmpp->again); /* it may have to wait for a thread */
}

static void take_over(struct stwi_xmpp_link *link) {
  stwi_xmpp_unwatch(link);
  stwi_xmpp_socket_take(link->socket, &link->fd, &link->ssl);
  link->socket = NULL;
  if (link->fd < 0) {
    stwi_xmpp_fail(link, STW_CAUSE_OVERLOAD_LOCAL, "no descriptor: raise RLIMIT_NOFILE");
    return;
  }
  link->stage = STWI_XMPP_OPENING;
  stwi_xmpp_phase(link, STW_PHASE_UPGRADE);
  if (!link->is_over)
    stwi_xmpp_open_stream(link);
}

void stwi_xmpp_secured(struct stwi_xmpp_link *link, struct stwi_xmpp_socket *socket,
                       const struct stwi_xmpp_failure *failure) {
  link->socket = socket;
  link->fd = stwi_xmpp_socket_fd(socket);
  link->is_busy = true;
  if (failure != NULL)
    stwi_xmpp_fail(link, failure->cause, "%s", failure->detail);
  else
    take_over(link);
  link->is_busy = false;
  stwi_xmpp_settle(link);
}

/* ---- TCP ---- */

static void on_connected(struct stwi_xmpp_link *link) {
  switch (link->attempt->tls) {
  case STWI_XMPP_TLS_DIRECT:
    stwi_xmpp_secure(link);
    break;
  case STWI_XMPP_TLS_STARTTLS:
    link->stage = STWI_XMPP_ASKING;
    stwi_xmpp_phase(link, STW_PHASE_TLS);
    if (!link->is_over)
      stwi_xmpp_open_stream(link);
    break;
  case STWI_XMPP_TLS_NONE:
    take_over(link);
    break;
  }
}

static void on_tcp(uv_poll_t *handle, int status, int events) {
  struct stwi_xmpp_link *link = handle->data;
  int error = 0;
  socklen_t size = sizeof error;
  (void)events;
  if (link->is_over)
    return; /* it is settled where that was deferred to */
  getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  link->is_busy = true;
  stwi_xmpp_unwatch(link);
  if (status < 0 || error != 0) {
    char text[INET6_ADDRSTRLEN];
    error = error != 0 ? error : ECONNRESET;
    struct stwi_xmpp_failure failure = {.cause = stwi_tcp_cause(error)};
    stwi_address_format(&link->attempt->addresses.items[link->attempt->address], text);
    snprintf(failure.detail, sizeof failure.detail, "connecting to %s: %s", text, strerror(error));
    next_address(link, &failure);
  } else {
    on_connected(link);
  }
  link->is_busy = false;
  stwi_xmpp_settle(link);
}

static void try_address(struct stwi_xmpp_link *link) {
  struct stwi_xmpp_attempt *attempt = link->attempt;
  struct stwi_xmpp_failure failure;
  link->stage = STWI_XMPP_CONNECTING;
  stwi_xmpp_phase(link, STW_PHASE_TCP);
  if (link->is_over)
    return;
  link->socket = stwi_xmpp_socket_new(&attempt->addresses.items[attempt->address],
                                      &attempt->security, attempt->unacked_max_ms, &failure);
  if (link->socket == NULL) {
    next_address(link, &failure);
    return;
  }
  link->fd = stwi_xmpp_socket_fd(link->socket);
  if (!stwi_xmpp_watch(link, UV_WRITABLE, on_tcp))
    stwi_xmpp_fail(link, STW_CAUSE_OVERLOAD_LOCAL, "no memory to wait for a connection");
}

/* ---- the name ---- */

static void on_resolved(void *owner, const struct stwi_resolved *resolved) {
  struct stwi_xmpp_link *link = owner;
  link->attempt->lookup = NULL;
  if (link->is_over)
    return; /* it was cut, and is settled where that was deferred to */
  link->is_busy = true;
  if (resolved->addresses != NULL) {
    link->attempt->addresses = *resolved->addresses;
    link->attempt->address = 0;
    try_address(link);
  } else {
    next_target(link, resolved->cause, resolved->detail);
  }
  link->is_busy = false;
  stwi_xmpp_settle(link);
}

static void try_target(struct stwi_xmpp_link *link) {
  struct stwi_xmpp_attempt *attempt = link->attempt;
  const struct stwi_srv_target *target = &attempt->targets.items[attempt->target];
  if (stwi_address_parse(&attempt->addresses.items[0], target->host, target->port)) {
    attempt->addresses.count = 1;
    attempt->address = 0;
    try_address(link);
    return;
  }
  stwi_xmpp_phase(link, STW_PHASE_DNS);
  if (link->is_over)
    return;
  attempt->lookup =
      stwi_resolve(link->xmpp->resolver, target->host, target->port, on_resolved, link);
  if (attempt->lookup == NULL)
    stwi_xmpp_fail(link, STW_CAUSE_OVERLOAD_LOCAL, "no memory to resolve a name");
}

static void on_targets(void *owner, const struct stwi_srv_targets *targets) {
  struct stwi_xmpp_link *link = owner;
  link->attempt->srv = NULL;
  if (link->is_over)
    return; /* it was cut, and is settled where that was deferred to */
  link->is_busy = true;
  if (targets->count > 0)
    link->attempt->targets = *targets; /* RFC 6120 section 3.2.1: then no fallback */
  if (targets->is_refused)
    stwi_xmpp_fail(link, STW_CAUSE_DNS_NXDOMAIN,
                   "the SRV records of %.150s say that it has no "
                   "such service",
                   link->domain);
  else
    try_target(link);
  link->is_busy = false;
  stwi_xmpp_settle(link);
}

static void ask_targets(struct stwi_xmpp_link *link) {
  struct stwi_xmpp_attempt *attempt = link->attempt;
  const bool is_direct = attempt->tls == STWI_XMPP_TLS_DIRECT;
  char name[STWI_SRV_HOST_BYTES + 32];
  stwi_xmpp_phase(link, STW_PHASE_DNS);
  if (link->is_over)
    return;
  snprintf(name, sizeof name, "_%s._tcp.%s", is_direct ? "xmpps-client" : "xmpp-client",
           link->domain);
  attempt->srv =
      stwi_srv_ask(stwi_loop_uv(link->xmpp->loop), name, link->xmpp->name_server, on_targets, link);
  if (attempt->srv == NULL)
    stwi_xmpp_fail(link, STW_CAUSE_OVERLOAD_LOCAL, "no memory to resolve a name");
}

static char *copy(const char *text) {
  const size_t size = strlen(text) + 1;
  char *copied = stwi_alloc(size);
  return copied == NULL ? NULL : memcpy(copied, text, size);
}

static bool keep(struct stwi_xmpp_link *link, const struct stwi_dial *dial) {
  struct stwi_xmpp_attempt *attempt = link->attempt;
  struct stwi_xmpp_security *security = &attempt->security;
  const struct stwi_xml_limits limits = stwi_xml_limits(dial->xmpp->element_bytes_max);
  struct stwi_xml_hooks hooks = stwi_xmpp_hooks;
  hooks.owner = link;
  attempt->tls = dial->xmpp->tls;
  attempt->unacked_max_ms = dial->unacked_max_ms;
  security->is_insecure = dial->is_insecure;
  security->is_direct = dial->xmpp->tls == STWI_XMPP_TLS_DIRECT;
  security->name = copy(dial->server_name[0] != '\0' ? dial->server_name : dial->xmpp->domain);
  security->ca_file = copy(dial->ca_file);
  security->client_cert = copy(dial->client_cert);
  security->client_key = copy(dial->client_key);
  link->domain = copy(dial->xmpp->domain);
  link->parser = stwi_xml_stream_new(&limits, &hooks);
  return security->name != NULL && security->ca_file != NULL && security->client_cert != NULL &&
         security->client_key != NULL && link->domain != NULL && link->parser != NULL;
}

void stwi_xmpp_dial(struct stwi_xmpp_link *link, const struct stwi_dial *dial) {
  struct stwi_srv_targets *targets = &link->attempt->targets;
  if (!keep(link, dial)) {
    stwi_xmpp_fail(link, STW_CAUSE_OVERLOAD_LOCAL, "no memory for a link");
    return;
  }
  targets->count = 1;
  targets->items[0].port = dial->port;
  snprintf(targets->items[0].host, sizeof targets->items[0].host, "%s", dial->host);
  if (dial->xmpp->has_srv)
    ask_targets(link);
  else
    try_target(link);
}
