/* Addresses raced (RFC 8305), TCP opened, the proxy asked, the connection handed over.
 *
 * Why TCP is ours: libwebsockets 4.1 hides the reason of a refused connect, leaks the libuv handle
 * of one that is refused at once, and reads a proxy's answer in one recv.  Its only way to take a
 * connection is to make it, so it is let connect to a Unix socket that always accepts (the gate),
 * and in its WSI_CREATE callback, before it has sent a byte, our connection takes the place of that
 * one under the same descriptor. */
#include "io/transport_ws.h"

#include "core/mem.h"
#include "io/tcp_state.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  GATE_BACKLOG = 128,
  /* RFC 8305 section 5, and once an address has answered: TLS may still be swallowed there. */
  STAGGER_MS = 250,
  STAGGER_CONNECTED_MS = 1000,
  BIG_REQUEST_BYTES = 4096,
  BIG_SEND_BUFFER_BYTES = 128 * 1024
};

/* ---- failures ---- */

struct stwi_ws_failure stwi_ws_failure(stw_cause cause, const char *format, ...) {
  struct stwi_ws_failure failure = {.cause = cause};
  va_list args;
  va_start(args, format);
  vsnprintf(failure.detail, sizeof failure.detail, format, args);
  va_end(args);
  return failure;
}

/* The farther a lane came, the more its failure tells. */
static int telling(stw_cause cause) {
  switch (cause) {
  case STW_CAUSE_NET_UNREACHABLE:
    return 1;
  case STW_CAUSE_TCP_TIMEOUT:
    return 2;
  case STW_CAUSE_TCP_REFUSED:
    return 3;
  case STW_CAUSE_OVERLOAD_LOCAL:
    return 4;
  case STW_CAUSE_TCP_RESET:
    return 5;
  case STW_CAUSE_PROXY_REFUSED:
  case STW_CAUSE_PROXY_AUTH:
    return 6;
  case STW_CAUSE_TLS_ALERT:
  case STW_CAUSE_TLS_PROTOCOL:
    return 7;
  case STW_CAUSE_TLS_EXPIRED:
  case STW_CAUSE_TLS_NAME:
  case STW_CAUSE_TLS_UNTRUSTED:
    return 8;
  case STW_CAUSE_UPGRADE_EOF:
    return 9;
  default:
    return 10;
  }
}

void stwi_ws_fail(struct stwi_ws_link *link, const struct stwi_ws_failure *failure) {
  struct stwi_ws_attempt *attempt = link->attempt;
  if (attempt == NULL ||
      (attempt->has_failed && telling(failure->cause) <= telling(attempt->failure.cause)))
    return;
  attempt->has_failed = true;
  attempt->failure = *failure;
}

static void note_errno(struct stwi_ws_lane *lane, int error) {
  const struct stwi_ws_attempt *attempt = lane->link->attempt;
  const bool is_proxy = attempt->connect != NULL;
  char address[INET6_ADDRSTRLEN];
  stwi_address_format(&attempt->addresses.items[lane->address], address);
  stw_cause cause = stwi_tcp_cause(error);
  if (is_proxy && cause == STW_CAUSE_TCP_REFUSED)
    cause = STW_CAUSE_PROXY_REFUSED;
  const struct stwi_ws_failure failure = stwi_ws_failure(
      cause, "connecting to %s%s: %s", is_proxy ? "the proxy at " : "", address, strerror(error));
  stwi_ws_fail(lane->link, &failure);
}

/* ---- handles of libuv ---- */

static void on_closed(uv_handle_t *handle) {
  struct stwi_ws *ws = handle->data;
  ws->handle_count--;
  stwi_free(handle);
}

static void close_handle(struct stwi_ws *ws, uv_handle_t *handle) {
  handle->data = ws;
  uv_close(handle, on_closed);
}

static void forget_poll(struct stwi_ws_lane *lane) {
  if (lane->poll != NULL)
    close_handle(lane->link->ws, (uv_handle_t *)lane->poll);
  lane->poll = NULL;
}

static bool poll_for(struct stwi_ws_lane *lane, int events, uv_poll_cb on_event) {
  struct stwi_ws *ws = lane->link->ws;
  if (lane->poll == NULL) {
    uv_poll_t *handle = stwi_alloc(sizeof *handle);
    if (handle == NULL)
      return false;
    if (uv_poll_init(stwi_loop_uv(ws->loop), handle, lane->fd) != 0) {
      stwi_free(handle);
      return false;
    }
    handle->data = lane;
    lane->poll = handle;
    ws->handle_count++;
  }
  return uv_poll_start(lane->poll, events, on_event) == 0;
}

/* ---- the gate ---- */

bool stwi_ws_gate_open(struct stwi_ws *ws) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  socklen_t size = sizeof name;
  ws->gate = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  /* Bound to nothing: Linux picks an unused abstract name, a NUL and five digits. */
  if (ws->gate < 0 || bind(ws->gate, (const struct sockaddr *)&name, sizeof name.sun_family) != 0 ||
      listen(ws->gate, GATE_BACKLOG) != 0 ||
      getsockname(ws->gate, (struct sockaddr *)&name, &size) != 0 ||
      size <= sizeof name.sun_family + 1)
    return false;
  const int digits = (int)(size - sizeof name.sun_family - 1);
  snprintf(ws->gate_name, sizeof ws->gate_name, "+@%.*s", digits, name.sun_path + 1);
  return true;
}

/* Nobody talks through the gate, whoever found its name. */
static void clear_gate(const struct stwi_ws *ws) {
  int fd;
  while ((fd = accept4(ws->gate, NULL, NULL, SOCK_CLOEXEC)) >= 0)
    close(fd);
}

void stwi_ws_hand_over(struct stwi_ws_lane *lane, struct lws *wsi) {
  lane->wsi = wsi;
  lane->is_handed = true;
  dup3(lane->fd, lws_get_socket_fd(wsi), O_CLOEXEC);
  close(lane->fd);
  lane->fd = -1;
}

/* The descriptor that libwebsockets would get next must fit its tables. */
static bool has_room(const struct stwi_ws_lane *lane) {
  const int fd = dup(lane->fd);
  if (fd >= 0)
    close(fd);
  return fd >= 0 && fd < lane->link->ws->fd_limit;
}

static struct lws *connect_gate(struct stwi_ws_lane *lane) {
  const struct stwi_ws *ws = lane->link->ws;
  const struct stwi_ws_attempt *attempt = lane->link->attempt;
  static const lws_retry_bo_t never = {0};
  const struct lws_client_connect_info info = {
      .context = ws->context,
      .vhost = attempt->profile->vhost,
      .address = ws->gate_name,
      .host = attempt->name,
      .path = "/",
      .method = "GET",
      .alpn = "http/1.1",
      .local_protocol_name = "steadwire",
      .ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT | stwi_ws_tls_flags(attempt),
      .opaque_user_data = stwi_ws_lane_key(lane),
      .retry_and_idle_policy = &never,
  };
  clear_gate(ws);
  struct lws *wsi = lws_client_connect_via_info(&info);
  clear_gate(ws);
  return wsi;
}

/* A short write of the request would be lost by libwebsockets: let the socket take it whole. */
static void widen(const struct stwi_ws_lane *lane) {
  const int size = BIG_SEND_BUFFER_BYTES;
  if (strlen(lane->link->attempt->request) > BIG_REQUEST_BYTES)
    setsockopt(lane->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static void pass_on(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  forget_poll(lane);
  stwi_ws_phase(link, link->attempt->profile->tls != NULL ? STW_PHASE_TLS : STW_PHASE_UPGRADE);
  if (link->is_over)
    return;
  lane->stage = STWI_WS_IN_LWS;
  widen(lane);
  if (has_room(lane) && connect_gate(lane) != NULL)
    return;
  if (lane->is_handed) {
    /* It failed inside the call, where libwebsockets reports nothing; WSI_DESTROY will follow. */
    stwi_ws_lost(lane, NULL, 0);
    return;
  }
  const struct stwi_ws_failure failure = stwi_ws_failure(
      STW_CAUSE_OVERLOAD_LOCAL,
      "no room for another connection: memory is short, or RLIMIT_NOFILE (%d when the engine was "
      "made; at most 65536 are used)",
      link->ws->fd_limit);
  stwi_ws_fail(link, &failure);
  stwi_ws_lane_failed(lane);
}

/* ---- lanes ---- */

static void next_lane(struct stwi_ws_link *link);

void stwi_ws_lane_drop(struct stwi_ws_lane *lane) {
  forget_poll(lane);
  if (lane->fd >= 0)
    close(lane->fd);
  stwi_ws_lane_free(lane);
}

void stwi_ws_lane_failed(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  stwi_ws_lane_drop(lane);
  if (link->is_over)
    stwi_ws_settle(link);
  else
    next_lane(link);
}

/* One that is not waits to be killed. */
static bool is_wanted(struct stwi_ws_lane *lane) {
  if (!lane->is_doomed && !lane->link->is_over && lane->link->attempt != NULL)
    return true;
  forget_poll(lane);
  return false;
}

static void on_proxy_answer(uv_poll_t *handle, int status, int events) {
  struct stwi_ws_lane *lane = handle->data;
  struct stwi_ws_failure failure;
  (void)status, (void)events;
  if (!is_wanted(lane))
    return;
  const int answer = stwi_ws_proxy_read(lane, &failure);
  if (answer > 0) {
    pass_on(lane);
  } else if (answer < 0) {
    stwi_ws_fail(lane->link, &failure);
    stwi_ws_lane_failed(lane);
  }
}

static void ask_proxy(struct stwi_ws_lane *lane) {
  const char *request = lane->link->attempt->connect;
  const ssize_t size = (ssize_t)strlen(request);
  lane->stage = STWI_WS_PROXYING;
  lane->proxy = stwi_alloc(sizeof *lane->proxy);
  if (lane->proxy != NULL && poll_for(lane, UV_READABLE, on_proxy_answer) &&
      send(lane->fd, request, (size_t)size, MSG_NOSIGNAL) == size) {
    memset(lane->proxy, 0, sizeof *lane->proxy);
    return;
  }
  note_errno(lane, lane->proxy == NULL ? ENOMEM : errno);
  stwi_ws_lane_failed(lane);
}

static void arm_stagger(struct stwi_ws_link *link, uint64_t ms);

static void on_tcp(uv_poll_t *handle, int status, int events) {
  struct stwi_ws_lane *lane = handle->data;
  int error = 0;
  socklen_t size = sizeof error;
  (void)events;
  if (!is_wanted(lane))
    return;
  getsockopt(lane->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (status < 0 || error != 0) {
    note_errno(lane, error != 0 ? error : ECONNRESET);
    stwi_ws_lane_failed(lane);
    return;
  }
  arm_stagger(lane->link, STAGGER_CONNECTED_MS);
  if (lane->link->attempt->connect != NULL)
    ask_proxy(lane);
  else
    pass_on(lane);
}

/* How the kernel goes on sending what is not acknowledged.  At most a second apart, so that a link
 * carries again within one of the end of a gap; alone that would end it after 15 tries. */
static void set_patience(int fd, unsigned unacked_max_ms) {
  const unsigned apart_ms = 1000;
  if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_max_ms, sizeof unacked_max_ms) == 0 &&
      unacked_max_ms > 0)
    setsockopt(fd, IPPROTO_TCP, STWI_TCP_RTO_MAX_MS, &apart_ms, sizeof apart_ms);
}

static int connect_tcp(struct stwi_ws_lane *lane, const struct stwi_address *address) {
  const int on = 1;
  lane->fd = socket(address->at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (lane->fd < 0)
    return errno;
  setsockopt(lane->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  set_patience(lane->fd, lane->link->attempt->unacked_max_ms);
  if (connect(lane->fd, &address->at.any, (socklen_t)stwi_address_size(address)) != 0 &&
      errno != EINPROGRESS)
    return errno;
  return poll_for(lane, UV_WRITABLE, on_tcp) ? 0 : ENOMEM;
}

static void start_lane(struct stwi_ws_link *link, size_t index) {
  struct stwi_ws_attempt *attempt = link->attempt;
  attempt->has_tried[index] = true;
  stwi_ws_phase(link, STW_PHASE_TCP);
  struct stwi_ws_lane *lane = stwi_ws_lane_new(link);
  if (lane == NULL) {
    const struct stwi_ws_failure failure =
        stwi_ws_failure(STW_CAUSE_OVERLOAD_LOCAL, "no memory for a connection");
    stwi_ws_fail(link, &failure);
    next_lane(link);
    return;
  }
  lane->address = (uint8_t)index;
  arm_stagger(link, STAGGER_MS);
  const int error = connect_tcp(lane, &attempt->addresses.items[index]);
  if (error != 0) {
    note_errno(lane, error);
    stwi_ws_lane_failed(lane);
  }
}

static size_t fresh_address(const struct stwi_ws_attempt *attempt) {
  size_t index = 0;
  while (index < attempt->addresses.count && attempt->has_tried[index])
    index++;
  return index;
}

static void next_lane(struct stwi_ws_link *link) {
  const size_t index = fresh_address(link->attempt);
  if (index < link->attempt->addresses.count) {
    start_lane(link, index);
  } else if (link->lanes == NULL) {
    link->is_over = true;
    stwi_ws_settle(link);
  }
}

static void on_stagger(uv_timer_t *handle) {
  struct stwi_ws_link *link = handle->data;
  if (!link->is_over && link->attempt != NULL &&
      fresh_address(link->attempt) < link->attempt->addresses.count)
    next_lane(link);
}

static void arm_stagger(struct stwi_ws_link *link, uint64_t ms) {
  struct stwi_ws_attempt *attempt = link->attempt;
  if (fresh_address(attempt) == attempt->addresses.count)
    return;
  if (attempt->stagger == NULL) {
    attempt->stagger = stwi_alloc(sizeof *attempt->stagger);
    if (attempt->stagger == NULL)
      return; /* the next address then waits for this one to fail */
    uv_timer_init(stwi_loop_uv(link->ws->loop), attempt->stagger);
    attempt->stagger->data = link;
    link->ws->handle_count++;
  }
  uv_timer_start(attempt->stagger, on_stagger, ms, 0);
}

/* ---- dial ---- */

static void on_resolved(void *owner, const struct stwi_resolved *resolved) {
  struct stwi_ws_link *link = owner;
  struct stwi_ws_attempt *attempt = link->attempt;
  attempt->lookup = NULL;
  if (link->is_over)
    return; /* it was cut, and is settled where that was deferred to */
  if (resolved->addresses != NULL) {
    attempt->addresses = *resolved->addresses;
  } else {
    const struct stwi_ws_failure failure = stwi_ws_failure(resolved->cause, "%s", resolved->detail);
    stwi_ws_fail(link, &failure);
  }
  next_lane(link);
}

static void give_up(struct stwi_ws_link *link, const struct stwi_ws_failure *failure) {
  stwi_ws_fail(link, failure);
  link->is_over = true;
}

static void resolve(struct stwi_ws_link *link, const char *host, uint16_t port) {
  struct stwi_ws_attempt *attempt = link->attempt;
  if (stwi_address_parse(&attempt->addresses.items[0], host, port)) {
    attempt->addresses.count = 1;
    next_lane(link);
    return;
  }
  stwi_ws_phase(link, STW_PHASE_DNS);
  attempt->lookup = stwi_resolve(link->ws->resolver, host, port, on_resolved, link);
  if (attempt->lookup == NULL) {
    const struct stwi_ws_failure failure =
        stwi_ws_failure(STW_CAUSE_OVERLOAD_LOCAL, "no memory to resolve a name");
    give_up(link, &failure);
  }
}

void stwi_ws_dial(struct stwi_ws_link *link, const struct stwi_dial *dial) {
  struct stwi_ws_attempt *attempt = link->attempt;
  struct stwi_ws_failure failure;
  attempt->unacked_max_ms = dial->unacked_max_ms;
  attempt->profile = stwi_ws_profile(link->ws, dial, &failure);
  if (attempt->profile == NULL || !stwi_ws_request(attempt, dial, &failure)) {
    give_up(link, &failure);
    return;
  }
  if (dial->proxy[0] == '\0') {
    resolve(link, dial->host, dial->port);
    return;
  }
  char host[256];
  uint16_t port;
  attempt->connect = stwi_ws_proxy_request(dial);
  if (attempt->connect == NULL || !stwi_ws_proxy_parse(dial->proxy, host, sizeof host, &port)) {
    failure = stwi_ws_failure(STW_CAUSE_CONFIG,
                              "the option proxy must be host:port or user:password@host:port");
    give_up(link, &failure);
    return;
  }
  resolve(link, host, port);
}

void stwi_ws_attempt_free(struct stwi_ws_link *link) {
  struct stwi_ws_attempt *attempt = link->attempt;
  if (attempt == NULL)
    return;
  link->attempt = NULL;
  if (attempt->lookup != NULL)
    stwi_resolve_cancel(attempt->lookup);
  if (attempt->stagger != NULL)
    close_handle(link->ws, (uv_handle_t *)attempt->stagger);
  stwi_free(attempt->request);
  stwi_free(attempt->connect);
  stwi_free(attempt->name);
  stwi_free(attempt->subprotocols);
  stwi_free(attempt);
}
