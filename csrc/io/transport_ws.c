#include "io/transport_ws.h"

#include "core/mem.h"
#include "io/path.h"
#include "io/sigpipe.h"
#include "io/tcp_state.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { WRITE_BYTES_MAX = 64 * 1024 * 1024 };

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
  struct stwi_interfaces interfaces = stwi_interfaces_read();
  struct stwi_input input = {.kind = STWI_IN_READY, .u.ready.subprotocol = subprotocol};
  input.u.ready.network = stwi_path_network(lws_get_socket_fd(wsi), &interfaces);
  stwi_interfaces_free(&interfaces);
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

static void op_ask_kernel(void *transport, uint32_t conn, uint32_t generation) {
  struct stwi_ws_link *link = stwi_ws_link_of(transport, conn, generation);
  if (link == NULL || link->up == NULL || link->is_over || link->up->wsi == NULL)
    return;
  const struct stwi_tcp_state state = stwi_tcp_state(lws_get_socket_fd(link->up->wsi));
  struct stwi_input input = {.kind = STWI_IN_LOOKED,
                             .u.looked = {state.is_unacked, state.ack_ms * STWI_MS}};
  stwi_ws_put(link, &input);
}

static void op_look(void *transport) {
  stwi_ws_look(transport);
}

static void op_free(void *transport) {
  struct stwi_ws *ws = transport;
  ws->is_freeing = true;
  stop_dials(ws);
  if (ws->context != NULL)
    stwi_ws_context_free(ws);
  stwi_resolver_free(ws->resolver);
  if (ws->context != NULL)
    return; /* it does not let go: it may call back, so all of it stays */
  stwi_ws_links_free(ws);
  stwi_ws_profiles_free(ws);
  if (ws->gate >= 0)
    close(ws->gate);
  if (ws->has_blocked_sigpipe)
    stwi_sigpipe_release();
  stwi_free(ws->lanes);
  stwi_free(ws->lane_generations);
  stwi_free(ws->conns);
  stwi_free(ws);
}

static const char *start(struct stwi_ws *ws) {
  if (ws->resolver == NULL)
    return "no memory for the transport";
  if (!stwi_ws_gate_open(ws))
    return STWI_WS_NO_DESCRIPTORS;
  ws->has_blocked_sigpipe = stwi_sigpipe_block();
  const char *missing = stwi_ws_context_new(ws);
  if (missing != NULL)
    return missing;
  struct stwi_ws_failure failure;
  if (stwi_ws_profile(ws, &(struct stwi_dial){.ca_file = "", .client_cert = "", .client_key = ""},
                      &failure) == NULL)
    return "no memory for a vhost of libwebsockets";
  return NULL;
}

struct stwi_transport stwi_transport_ws_new(struct stwi_loop *loop, struct stwi_sink sink,
                                            const char **why) {
  static const struct stwi_transport_ops ops = {.dial = op_dial,
                                                .write = op_write,
                                                .pause = op_pause,
                                                .cut = op_cut,
                                                .ask_kernel = op_ask_kernel,
                                                .look = op_look,
                                                .free = op_free};
  struct stwi_ws *ws = stwi_alloc(sizeof *ws);
  if (ws == NULL) {
    *why = "no memory for the transport";
    return (struct stwi_transport){NULL, NULL};
  }
  memset(ws, 0, sizeof *ws);
  ws->loop = loop;
  ws->sink = sink;
  ws->gate = -1;
  ws->deferred_end = &ws->deferred;
  ws->resolver = stwi_resolver_new(stwi_loop_uv(loop));
  *why = start(ws);
  if (*why != NULL) {
    op_free(ws);
    return (struct stwi_transport){NULL, NULL};
  }
  return (struct stwi_transport){&ops, ws};
}
