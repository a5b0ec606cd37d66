#include "core/conn.h"

/* Each hint can cost a dial, and whoever gives them may do so without end. */
#define HINT_EACH (250 * STWI_MS)
#define HINT_BURST 4u
#define ASK_EACH (10 * STWI_S)

static void act(struct stwi_conn *conn, stw_network what) {
  switch (what) {
  case STW_NETWORK_UP:
    stwi_conn_try(conn, STWI_LINK_NET_UP, STW_CAUSE_NET_UP);
    break;
  case STW_NETWORK_DOWN:
    stwi_conn_idle_forget(conn);
    stwi_conn_apply(conn, STWI_LINK_NET_DOWN, STW_CAUSE_NET_DOWN);
    break;
  case STW_NETWORK_CHANGED:
    stwi_conn_idle_forget(conn);
    stwi_conn_apply(conn, STWI_LINK_NET_CHANGED, STW_CAUSE_IP_CHANGED);
    stwi_conn_expect_fresh(conn);
    break;
  }
}

/* As many as HINT_BURST at once, then one each HINT_EACH: of those in between the last one counts.
 */
static bool may_act(struct stwi_conn *conn) {
  const stwi_time now = conn->core->now;
  if (conn->hints_until > now + (HINT_BURST - 1) * HINT_EACH)
    return false;
  conn->hints_until = (conn->hints_until > now ? conn->hints_until : now) + HINT_EACH;
  return true;
}

void stwi_conn_network(struct stwi_conn *conn, stw_network what) {
  conn->hint_due = 0;
  if (may_act(conn)) {
    act(conn, what);
    return;
  }
  conn->hint_due = conn->hints_until - (HINT_BURST - 1) * HINT_EACH;
  conn->hinted = what;
}

void stwi_conn_hint_timer(struct stwi_conn *conn) {
  if (conn->hint_due != 0 && conn->hint_due <= conn->core->now)
    stwi_conn_network(conn, conn->hinted);
}

/* A fleet that waits for its server by a plan must not be called together by a router that repeats
 * itself: only who lacked a network, or may have, is. */
static bool lacks_network(const struct stwi_conn *conn) {
  if (conn->state == STW_STATE_OFFLINE)
    return true;
  const stw_class cls = (stw_class)stwi_cause_row(conn->cause)->info.cls;
  return conn->state == STW_STATE_WAITING &&
         (cls == STW_CLASS_LOCAL || cls == STW_CLASS_PATH || conn->cause == STW_CAUSE_TCP_TIMEOUT);
}

void stwi_conn_network_noticed(struct stwi_conn *conn) {
  if (lacks_network(conn))
    stwi_conn_network(conn, STW_NETWORK_UP);
}

/* It leads where it led, as far as can be seen from here: a question settles it. */
static void ask(struct stwi_conn *conn) {
  const stwi_time now = conn->core->now;
  if (conn->state != STW_STATE_ONLINE || conn->pulse.asked_at != 0)
    return;
  if (conn->path_asked_at != 0 && now - conn->path_asked_at < ASK_EACH)
    return;
  conn->path_asked_at = now;
  stwi_conn_probe(conn);
}

void stwi_conn_path(struct stwi_conn *conn, const struct stwi_link *link, stw_network what) {
  const bool is_active = link == conn->active;
  if (what == STW_NETWORK_UP) {
    if (is_active)
      ask(conn);
  } else if (is_active || conn->state == STW_STATE_CONNECTING) {
    stwi_conn_network(conn, what);
  }
}
