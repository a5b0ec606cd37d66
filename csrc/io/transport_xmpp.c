#include "io/transport_xmpp.h"

#include "core/mem.h"
#include "io/path.h"
#include "io/sigpipe.h"
#include "io/tcp_state.h"

#include <signal.h>
#include <string.h>

enum { CLOSE_PATIENCE_MS = 2000 };

/* ---- operations ---- */

/* Has it settled outside of the call that ended it. */
static void settle_later(struct stwi_xmpp_link *link) {
  if (link->is_over)
    stwi_xmpp_defer(link);
}

static void op_dial(void *transport, uint32_t conn, uint32_t generation,
                    const struct stwi_dial *dial) {
  struct stwi_xmpp *xmpp = transport;
  struct stwi_xmpp_link *link = stwi_xmpp_link_new(xmpp, conn, generation);
  if (link == NULL) {
    struct stwi_input input = {.kind = STWI_IN_DOWN, .conn = conn, .link = generation};
    input.u.down.cause = STW_CAUSE_OVERLOAD_LOCAL;
    input.u.down.detail = "no memory for a link";
    xmpp->sink.put(xmpp->sink.owner, &input);
    return;
  }
  link->is_busy = true;
  stwi_xmpp_dial(link, dial);
  link->is_busy = false;
  settle_later(link);
}

static struct stwi_xmpp_link *up_link(void *transport, uint32_t conn, uint32_t generation) {
  struct stwi_xmpp_link *link = stwi_xmpp_link_of(transport, conn, generation);
  return link != NULL && link->stage == STWI_XMPP_UP && !link->is_over ? link : NULL;
}

static void op_write(void *transport, uint32_t conn, uint32_t generation, uint8_t *data,
                     size_t size) {
  struct stwi_xmpp_link *link = up_link(transport, conn, generation);
  if (link == NULL)
    return;
  link->is_writing = true;
  stwi_xmpp_write(link, data, size);
  if (!link->is_over)
    stwi_xmpp_rearm(link);
  settle_later(link);
}

static void op_pause(void *transport, uint32_t conn, uint32_t generation, bool on) {
  struct stwi_xmpp_link *link = up_link(transport, conn, generation);
  if (link == NULL || link->is_paused == on)
    return;
  link->is_paused = on;
  stwi_xmpp_rearm(link);
  if (!on && link->wants_read)
    stwi_xmpp_defer(link);
  settle_later(link);
}

static void op_restart(void *transport, uint32_t conn, uint32_t generation) {
  struct stwi_xmpp_link *link = up_link(transport, conn, generation);
  if (link == NULL)
    return;
  stwi_xmpp_restart(link);
  settle_later(link);
}

static void op_cut(void *transport, uint32_t conn, uint32_t generation, bool abort) {
  struct stwi_xmpp_link *link = stwi_xmpp_link_of(transport, conn, generation);
  if (link == NULL || link->is_cut)
    return;
  link->is_cut = true;
  link->is_over = true;
  if (link->job != NULL) {
    stwi_xmpp_pool_cancel(link->xmpp->pool, link->job, abort);
    link->job = NULL;
  }
  if (abort)
    stwi_xmpp_reset(link);
  stwi_xmpp_defer(link);
}

static void op_ask_kernel(void *transport, uint32_t conn, uint32_t generation) {
  struct stwi_xmpp_link *link = up_link(transport, conn, generation);
  if (link == NULL)
    return;
  const struct stwi_tcp_state state = stwi_tcp_state(link->fd);
  struct stwi_input input = {.kind = STWI_IN_LOOKED,
                             .u.looked = {state.is_unacked, state.ack_ms * STWI_MS}};
  stwi_xmpp_put(link, &input);
}

/* ---- after a change of the machine's network ---- */

struct seen {
  uint32_t conn, link;
  stw_network what;
};

static stw_network look_at(const struct stwi_xmpp_link *link,
                           const struct stwi_interfaces *interfaces) {
  const struct stwi_xmpp_attempt *attempt = link->attempt;
  const struct sockaddr *peer =
      attempt == NULL ? NULL : &attempt->addresses.items[attempt->address].at.any;
  return link->fd < 0 ? STW_NETWORK_UP : stwi_path_of(link->fd, peer, interfaces);
}

/* All are looked at before any is told of: what the core does then may end other links. */
static void op_look(void *transport) {
  const struct stwi_xmpp *xmpp = transport;
  size_t count = 0, at = 0, conn = 0;
  for (const struct stwi_xmpp_link *link = stwi_xmpp_link_after(xmpp, &conn, NULL); link != NULL;
       link = stwi_xmpp_link_after(xmpp, &conn, link))
    count++;
  struct seen *all = count == 0 ? NULL : stwi_alloc(count * sizeof *all);
  if (all == NULL)
    return;
  struct stwi_interfaces interfaces = stwi_interfaces_read();
  conn = 0;
  for (const struct stwi_xmpp_link *link = stwi_xmpp_link_after(xmpp, &conn, NULL); link != NULL;
       link = stwi_xmpp_link_after(xmpp, &conn, link)) {
    if (!link->is_over)
      all[at++] = (struct seen){link->conn, link->link, look_at(link, &interfaces)};
  }
  stwi_interfaces_free(&interfaces);
  for (size_t i = 0; i < at; i++) {
    struct stwi_xmpp_link *link = stwi_xmpp_link_of(xmpp, all[i].conn, all[i].link);
    struct stwi_input input = {.kind = STWI_IN_PATH, .u.network.what = all[i].what};
    if (link != NULL && !link->is_over)
      stwi_xmpp_put(link, &input);
  }
  stwi_free(all);
}

/* ---- life ---- */

static void on_again(uv_async_t *handle);

static void on_nudge(uv_timer_t *handle) {
  const struct stwi_xmpp *xmpp = handle->data;
  on_again(xmpp->again);
}

static void on_again(uv_async_t *handle) {
  struct stwi_xmpp *xmpp = handle->data;
  if (xmpp->is_freeing)
    return;
  if (stwi_xmpp_pool_collect(xmpp->pool))
    uv_timer_start(xmpp->nudge, on_nudge, STWI_XMPP_STALL_MS, 0);
  stwi_xmpp_run_deferred(xmpp);
}

static void on_handle_closed(uv_handle_t *handle) {
  struct stwi_xmpp *xmpp = handle->data;
  xmpp->handle_count--;
  stwi_free(handle);
}

static bool has_closed(void *owner) {
  const struct stwi_xmpp *xmpp = owner;
  return xmpp->handle_count == 0;
}

static void op_free(void *transport) {
  struct stwi_xmpp *xmpp = transport;
  size_t conn = 0;
  struct stwi_xmpp_link *link;
  xmpp->is_freeing = true;
  while ((link = stwi_xmpp_link_after(xmpp, &conn, NULL)) != NULL)
    stwi_xmpp_link_free(link);
  stwi_xmpp_pool_free(xmpp->pool);
  stwi_resolver_free(xmpp->resolver);
  if (xmpp->nudge != NULL)
    uv_close((uv_handle_t *)xmpp->nudge, on_handle_closed);
  if (xmpp->again != NULL)
    uv_close((uv_handle_t *)xmpp->again, on_handle_closed);
  const bool is_closed = stwi_loop_settle(xmpp->loop, has_closed, xmpp, CLOSE_PATIENCE_MS);
  if (xmpp->has_blocked_sigpipe)
    stwi_sigpipe_release();
  if (!is_closed)
    return; /* its handles name it */
  stwi_free(xmpp->conns);
  stwi_free(xmpp);
}

static bool make_handles(struct stwi_xmpp *xmpp) {
  uv_loop_t *uv = stwi_loop_uv(xmpp->loop);
  uv_async_t *again = stwi_alloc(sizeof *again);
  uv_timer_t *nudge = stwi_alloc(sizeof *nudge);
  if (again == NULL || nudge == NULL || uv_async_init(uv, again, on_again) != 0) {
    stwi_free(again);
    stwi_free(nudge);
    return false;
  }
  uv_timer_init(uv, nudge);
  again->data = nudge->data = xmpp;
  xmpp->again = again;
  xmpp->nudge = nudge;
  xmpp->handle_count = 2;
  return true;
}

static const char *start(struct stwi_xmpp *xmpp) {
  xmpp->resolver = stwi_resolver_new(stwi_loop_uv(xmpp->loop));
  if (xmpp->resolver == NULL || !make_handles(xmpp))
    return "no memory or descriptors for the transport";
  xmpp->pool = stwi_xmpp_pool_new(xmpp->again);
  if (xmpp->pool == NULL)
    return "no memory for the transport";
  xmpp->has_blocked_sigpipe = stwi_sigpipe_block();
  return NULL;
}

struct stwi_transport stwi_transport_xmpp_new(struct stwi_loop *loop, struct stwi_sink sink,
                                              const char **why) {
  static const struct stwi_transport_ops ops = {.dial = op_dial,
                                                .write = op_write,
                                                .pause = op_pause,
                                                .cut = op_cut,
                                                .restart = op_restart,
                                                .ask_kernel = op_ask_kernel,
                                                .look = op_look,
                                                .free = op_free};
  struct stwi_xmpp *xmpp = stwi_alloc(sizeof *xmpp);
  if (xmpp == NULL) {
    *why = "no memory for the transport";
    return (struct stwi_transport){NULL, NULL};
  }
  memset(xmpp, 0, sizeof *xmpp);
  xmpp->loop = loop;
  xmpp->sink = sink;
  xmpp->deferred_end = &xmpp->deferred;
  *why = start(xmpp);
  if (*why != NULL) {
    op_free(xmpp);
    return (struct stwi_transport){NULL, NULL};
  }
  return (struct stwi_transport){&ops, xmpp};
}
