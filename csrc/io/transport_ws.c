#include "io/transport_ws.h"

#include "core/mem.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  /* libwebsockets sizes tables by the limit of descriptors: 16 bytes for each. */
  FD_LIMIT_MAX = 65536,
  FDS_OF_LWS = 3,
  HEADER_BYTES_MAX = 4096, /* of an answer; stays allocated with the connection */
  WRITE_BYTES_MAX = 64 * 1024 * 1024,
  FREE_PATIENCE_MS = 2000
};

/* ---- what libwebsockets says ---- */

static void on_destroyed(struct stwi_ws_lane *lane) {
  struct stwi_ws_link *link = lane->link;
  lane->wsi = NULL;
  if (!lane->is_handed) {
    lane->is_gone = true; /* still inside lws_client_connect_via_info: its caller goes on */
    return;
  }
  if (link->up != lane && !link->is_over && !lane->is_doomed) {
    if (!lane->is_lost) {
      const struct stwi_ws_failure failure = stwi_ws_failure(
          STW_CAUSE_TCP_RESET, "libwebsockets ended the connection without a reason");
      stwi_ws_fail(link, &failure);
    }
    stwi_ws_lane_failed(lane);
    return;
  }
  if (link->up == lane)
    link->is_over = true;
  stwi_ws_lane_free(lane);
  stwi_ws_settle(link);
}

static int on_connected(struct stwi_ws_lane *lane, struct lws *wsi) {
  stwi_ws_hand_over(lane, wsi);
  return 0;
}

/* TLS, if any, is done: the last moment before our headers, and with them secrets, are sent. */
static int on_handshake(struct stwi_ws_lane *lane, char **end, size_t room) {
  struct stwi_ws_link *link = lane->link;
  struct stwi_ws_failure failure;
  if (link->is_over || lane->is_doomed || link->attempt == NULL)
    return -1;
  if (!stwi_ws_tls_check(lane, &failure)) {
    stwi_ws_fail(link, &failure);
    lane->is_lost = true;
    return -1;
  }
  if (!stwi_ws_write_request(link->attempt, end, room)) {
    failure = stwi_ws_failure(STW_CAUSE_CONFIG, "this version of libwebsockets writes requests in "
                                                "a way that is not known");
    stwi_ws_fail(link, &failure);
    lane->is_lost = true;
    return -1;
  }
  stwi_ws_phase(link, STW_PHASE_UPGRADE);
  return 0;
}

static void doom_others(struct stwi_ws_link *link, const struct stwi_ws_lane *winner) {
  for (struct stwi_ws_lane *lane = link->lanes; lane != NULL; lane = lane->next)
    lane->is_doomed = lane != winner;
  if (winner->next != NULL || link->lanes != winner)
    stwi_ws_defer(link);
}

static int on_answer(struct stwi_ws_lane *lane, struct lws *wsi) {
  struct stwi_ws_link *link = lane->link;
  if (link->is_over || lane->is_doomed || link->attempt == NULL)
    return -1;
  char subprotocol[STWI_WS_DETAIL_BYTES];
  struct stwi_ws_failure failure;
  if (!stwi_ws_answer(link->attempt, wsi, subprotocol, sizeof subprotocol, &failure)) {
    /* The server has spoken: no other address of it will be asked. */
    stwi_ws_fail(link, &failure);
    lane->is_lost = true;
    link->is_over = true;
    stwi_ws_defer(link);
    return -1;
  }
  link->up = lane;
  link->phase = STW_PHASE_UP;
  doom_others(link, lane);
  stwi_ws_attempt_free(link);
  struct stwi_input input = {.kind = STWI_IN_READY, .u.ready.subprotocol = subprotocol};
  stwi_ws_put(link, &input);
  return 0;
}

static int on_lane(struct stwi_ws_lane *lane, struct lws *wsi, enum lws_callback_reasons reason,
                   void *in, size_t size) {
  switch (reason) {
  case LWS_CALLBACK_WSI_CREATE:
    return on_connected(lane, wsi);
  case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
    return on_handshake(lane, in, size);
  case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
    return on_answer(lane, wsi);
  case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
    return stwi_ws_readable(lane);
  case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
    return stwi_ws_bytes(lane, in, size);
  case LWS_CALLBACK_CLIENT_HTTP_WRITEABLE:
    stwi_ws_writable(lane);
    return 0;
  case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
    stwi_ws_lost(lane, in, size);
    return 0;
  case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
    stwi_ws_lost(lane, NULL, 0);
    return 0;
  case LWS_CALLBACK_WSI_DESTROY:
    on_destroyed(lane);
    return 0;
  default:
    return 0;
  }
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t size) {
  struct stwi_ws_lane *lane;
  switch (reason) {
  case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
    stwi_ws_run_deferred(lws_context_user(lws_get_context(wsi)));
    return 0;
  case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
    lane = stwi_ws_lane_of(wsi);
    if (lane != NULL && lane->link->attempt != NULL)
      stwi_ws_tls_excuse(lane->link->attempt, user, size != 0);
    return 0;
  case LWS_CALLBACK_WSI_CREATE:
  case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
  case LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP:
  case LWS_CALLBACK_RECEIVE_CLIENT_HTTP:
  case LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ:
  case LWS_CALLBACK_CLIENT_HTTP_WRITEABLE:
  case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
  case LWS_CALLBACK_CLOSED_CLIENT_HTTP:
  case LWS_CALLBACK_WSI_DESTROY:
    lane = stwi_ws_lane_of(wsi);
    return lane == NULL ? 0 : on_lane(lane, wsi, reason, in, size);
  default:
    return 0;
  }
}

const struct lws_protocols stwi_ws_protocols[] = {
    {.name = "steadwire", .callback = on_lws, .tx_packet_size = WRITE_BYTES_MAX},
    {.name = NULL},
};

/* ---- operations ---- */

static void op_dial(void *transport, uint32_t conn, uint32_t generation,
                    const struct stwi_dial *dial) {
  struct stwi_ws *ws = transport;
  struct stwi_ws_link *link = stwi_ws_link_new(ws, conn, generation);
  if (link == NULL) {
    struct stwi_input input = {.kind = STWI_IN_DOWN, .conn = conn, .link = generation};
    input.u.down.cause = STW_CAUSE_OVERLOAD_LOCAL;
    input.u.down.detail = "no memory for a link";
    ws->sink.put(ws->sink.owner, &input);
    return;
  }
  link->is_busy = true;
  stwi_ws_dial(link, dial);
  link->is_busy = false;
  if (link->is_over)
    stwi_ws_defer(link);
}

static void op_write(void *transport, uint32_t conn, uint32_t generation, uint8_t *data,
                     size_t size) {
  struct stwi_ws_link *link = stwi_ws_link_of(transport, conn, generation);
  if (link != NULL && link->up != NULL && !link->is_over && !link->up->is_lost)
    stwi_ws_write(link, data, size);
}

static void op_pause(void *transport, uint32_t conn, uint32_t generation, bool on) {
  struct stwi_ws_link *link = stwi_ws_link_of(transport, conn, generation);
  if (link == NULL || link->is_over)
    return;
  link->is_paused = on;
  if (!on && link->is_held) {
    link->is_resuming = true;
    stwi_ws_defer(link);
  }
}

static void op_cut(void *transport, uint32_t conn, uint32_t generation, bool abort) {
  struct stwi_ws_link *link = stwi_ws_link_of(transport, conn, generation);
  if (link == NULL || link->is_cut)
    return;
  link->is_cut = true;
  link->is_over = true;
  for (struct stwi_ws_lane *lane = link->lanes; lane != NULL && abort; lane = lane->next)
    stwi_ws_reset(lane);
  stwi_ws_defer(link);
}

/* ---- life of the transport ---- */

struct search {
  const struct lws_context *context;
  bool is_found;
};

static void look_for_context(uv_handle_t *handle, void *arg) {
  struct search *search = arg;
  search->is_found |= handle->data == search->context;
}

/* libwebsockets closes its connections, then the handles that lie inside the context. */
static bool is_quiet(void *owner) {
  struct stwi_ws *ws = owner;
  struct search search = {.context = ws->context};
  for (uint32_t i = 0; i < ws->lane_capacity; i++) {
    if (ws->lanes[i] != NULL)
      return false;
  }
  if (search.context != NULL)
    uv_walk(stwi_loop_uv(ws->loop), look_for_context, &search);
  return ws->handle_count == 0 && !search.is_found;
}

static void stop_dials(struct stwi_ws *ws) {
  for (size_t conn = 0; conn < ws->conn_capacity; conn++) {
    for (struct stwi_ws_link *link = ws->conns[conn]; link != NULL; link = link->next) {
      struct stwi_ws_lane *next;
      link->is_busy = true; /* it is freed below */
      for (struct stwi_ws_lane *lane = link->lanes; lane != NULL; lane = next) {
        next = lane->next;
        if (lane->wsi == NULL)
          stwi_ws_kill(lane);
      }
      link->is_over = true;
      stwi_ws_attempt_free(link);
    }
  }
}

static void release_sigpipe(void) {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  const struct timespec at_once = {0};
  while (sigtimedwait(&pipe, NULL, &at_once) == SIGPIPE)
    continue;
  pthread_sigmask(SIG_UNBLOCK, &pipe, NULL);
}

static void close_spares(struct stwi_ws *ws) {
  for (int i = 0; i < STWI_WS_SPARES; i++) {
    if (ws->spares[i] >= 0)
      close(ws->spares[i]);
    ws->spares[i] = -1;
  }
}

/* libwebsockets 4.1 closes its wake-up descriptor at once, and the same number again when the loop
 * has let go of it; by then it could be anybody's.  So the number is taken until then.  In the
 * moment between, other threads find lower ones: the spares were opened before it. */
static int destroy_once(struct stwi_ws *ws) {
  close_spares(ws);
  lws_context_destroy(ws->context);
  const int taken = ws->pipe < 0 ? -1 : fcntl(ws->gate, F_DUPFD_CLOEXEC, ws->pipe);
  if (taken < 0 || taken == ws->pipe)
    return taken;
  close(taken);
  return -1;
}

/* Later versions close it once. */
static void give_pipe_back(const struct stwi_ws *ws, int taken) {
  struct stat gate, now;
  if (taken >= 0 && fstat(ws->gate, &gate) == 0 && fstat(taken, &now) == 0 &&
      gate.st_ino == now.st_ino && gate.st_dev == now.st_dev)
    close(taken);
}

static void destroy_context(struct stwi_ws *ws) {
  const int taken = destroy_once(ws);
  /* On a foreign loop the first call only closes, and nothing calls again for us. */
  if (stwi_loop_settle(ws->loop, is_quiet, ws, FREE_PATIENCE_MS) && ws->context != NULL)
    lws_context_destroy(ws->context);
  give_pipe_back(ws, taken);
}

static void op_look(void *transport) {
  stwi_ws_look(transport);
}

static void op_free(void *transport) {
  struct stwi_ws *ws = transport;
  ws->is_freeing = true;
  stop_dials(ws);
  if (ws->context != NULL)
    destroy_context(ws);
  stwi_resolver_free(ws->resolver);
  close_spares(ws);
  if (ws->context != NULL)
    return; /* it does not let go: it may call back, so all of it stays */
  stwi_ws_links_free(ws);
  stwi_ws_profiles_free(ws);
  if (ws->gate >= 0)
    close(ws->gate);
  if (ws->has_blocked_sigpipe)
    release_sigpipe();
  stwi_free(ws->lanes);
  stwi_free(ws->lane_generations);
  stwi_free(ws->conns);
  stwi_free(ws);
}

static void log_nothing(int level, const char *line) {
  (void)level;
  (void)line;
}

/* The writes of OPENSSL raise SIGPIPE, and the host's disposition is not ours to change. */
static bool block_sigpipe(void) {
  sigset_t pipe, before;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  return pthread_sigmask(SIG_BLOCK, &pipe, &before) == 0 && sigismember(&before, SIGPIPE) == 0;
}

/* libwebsockets sizes its tables by the soft limit at this moment (a smaller
 * fd_limit_per_thread would make it search them from end to end for every event), and ignores
 * SIGPIPE for the whole process: both are put back at once.  Two engines that start together must
 * not take what the other one has set for the host's. */
static struct lws_context *create_context(struct stwi_ws *ws,
                                          const struct lws_context_creation_info *info) {
  static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
  struct sigaction pipe;
  struct rlimit before;
  pthread_mutex_lock(&one_at_a_time);
  lws_set_log_level(0, log_nothing);
  sigaction(SIGPIPE, NULL, &pipe);
  getrlimit(RLIMIT_NOFILE, &before);
  const bool is_over = before.rlim_cur > FD_LIMIT_MAX;
  if (is_over)
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){FD_LIMIT_MAX, before.rlim_max});
  ws->fd_limit = is_over ? FD_LIMIT_MAX : (int)before.rlim_cur;
  struct lws_context *context = lws_create_context(info);
  if (is_over)
    setrlimit(RLIMIT_NOFILE, &before);
  sigaction(SIGPIPE, &pipe, NULL);
  pthread_mutex_unlock(&one_at_a_time);
  return context;
}

/* The handles stand in the order in which they were made. */
static void look_for_poll(uv_handle_t *handle, void *arg) {
  if (handle->type == UV_POLL)
    uv_fileno(handle, arg);
}

/* With a foreign loop a context that could not be made whole is given back half destroyed: so there
 * must be enough. */
static bool open_spares(struct stwi_ws *ws) {
  int more[FDS_OF_LWS], count = 0;
  for (int i = 0; i < STWI_WS_SPARES; i++)
    ws->spares[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
  while (count < FDS_OF_LWS && (more[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
    count++;
  for (int i = 0; i < count; i++)
    close(more[i]);
  return count == FDS_OF_LWS;
}

static const char *start(struct stwi_ws *ws) {
  if (ws->resolver == NULL)
    return "no memory for the transport";
  if (!open_spares(ws) || !stwi_ws_gate_open(ws))
    return "no descriptors for the transport: raise RLIMIT_NOFILE";
  ws->has_blocked_sigpipe = block_sigpipe();
  void *loops[] = {stwi_loop_uv(ws->loop)};
  struct lws_context_creation_info info = {
      .port = CONTEXT_PORT_NO_LISTEN,
      /* No DO_SSL_GLOBAL_INIT: OpenSSL needs none, and each one moves an index under the feet of
       * handshakes in other contexts of the process. */
      .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
      .foreign_loops = loops,
      .gid = -1,
      .uid = -1,
      .user = ws,
      .pcontext = &ws->context,
      .pt_serv_buf_size = STWI_WS_BUFFER_BYTES + LWS_PRE,
      .max_http_header_data = HEADER_BYTES_MAX,
      .timeout_secs = STWI_WS_NO_DEADLINE_S,
  };
  ws->context = create_context(ws, &info);
  if (ws->context == NULL)
    return "libwebsockets could not start on the libuv loop: install its package "
           "libwebsockets-evlib-uv";
  uv_walk(stwi_loop_uv(ws->loop), look_for_poll, &ws->pipe);
  struct stwi_ws_failure failure;
  if (stwi_ws_profile(ws, &(struct stwi_dial){.ca_file = "", .client_cert = "", .client_key = ""},
                      &failure) == NULL)
    return "no memory for a vhost of libwebsockets";
  return NULL;
}

struct stwi_transport stwi_transport_ws_new(struct stwi_loop *loop, struct stwi_sink sink,
                                            const char **why) {
  static const struct stwi_transport_ops ops = {op_dial, op_write, op_pause,
                                                op_cut,  op_look,  op_free};
  struct stwi_ws *ws = stwi_alloc(sizeof *ws);
  if (ws == NULL) {
    *why = "no memory for the transport";
    return (struct stwi_transport){NULL, NULL};
  }
  memset(ws, 0, sizeof *ws);
  ws->loop = loop;
  ws->sink = sink;
  ws->gate = -1;
  ws->pipe = -1;
  for (int i = 0; i < STWI_WS_SPARES; i++)
    ws->spares[i] = -1;
  ws->deferred_end = &ws->deferred;
  ws->resolver = stwi_resolver_new(stwi_loop_uv(loop));
  *why = start(ws);
  if (*why != NULL) {
    op_free(ws);
    return (struct stwi_transport){NULL, NULL};
  }
  return (struct stwi_transport){&ops, ws};
}
