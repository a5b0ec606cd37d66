#include <string.h>

#include "core/profile.h"

bool stwi_conn_is_live(const struct stwi_conn *conn) {
  return conn->state == STW_STATE_ONLINE || stwi_conn_is_beside(conn);
}

bool stwi_conn_is_beside(const struct stwi_conn *conn) {
  return conn->state == STW_STATE_SUSPECT || conn->state == STW_STATE_MIGRATING;
}

void stwi_conn_account(struct stwi_conn *conn) {
  uint64_t passed = conn->core->now - conn->metrics_at;
  conn->metrics_at = conn->core->now;
  if (conn->state == STW_STATE_IDLE || conn->state == STW_STATE_CLOSED)
    return;
  conn->metrics[STW_METRIC_OPEN_NS] += passed;
  if (stwi_conn_is_live(conn))
    conn->metrics[STW_METRIC_ONLINE_NS] += passed;
}

void stwi_conn_detail(struct stwi_conn *conn, const char *detail) {
  size_t size = detail == NULL ? 0 : strnlen(detail, sizeof conn->detail - 1);
  if (detail != conn->detail && size > 0)
    memcpy(conn->detail, detail, size);
  conn->detail[size] = '\0';
}

const char *stwi_conn_lend_text(struct stwi_conn *conn, const char *text) {
  if (text == NULL)
    return "";
  size_t size = strlen(text) + 1;
  uint8_t *copy = stwi_arena_take(&conn->core->arena, size);
  return copy == NULL ? "" : memcpy(copy, text, size);
}

static void tell_state(struct stwi_conn *conn, stw_state from) {
  const struct stwi_link *link = conn->active;
  stw_event *event = stwi_conn_event(conn, STW_EVENT_STATE, link == NULL ? 0 : link->gen);
  if (event == NULL)
    return;
  event->u.state.from = from;
  event->u.state.to = conn->state;
  event->u.state.cause = conn->cause;
  event->u.state.attempt = conn->pace.attempts;
  event->u.state.close_code = conn->close_code;
  event->u.state.http_status = conn->http_status;
  event->u.state.detail = stwi_conn_lend_text(conn, conn->detail);
  stwi_time next = conn->state == STW_STATE_CONNECTING ? conn->dial_at : conn->next_at;
  if (next > conn->core->now)
    event->u.state.delay_ns = next - conn->core->now;
  if (conn->state == STW_STATE_ONLINE && link != NULL) {
    event->u.state.resumed = conn->is_resumed;
    memcpy(event->u.state.phase_ns, link->phase_ns, sizeof link->phase_ns);
  }
}

static void tell_closed(struct stwi_conn *conn) {
  stw_event *event = stwi_conn_event(conn, STW_EVENT_CLOSED, 0);
  if (event == NULL)
    return;
  event->u.closed.cause = conn->cause;
  event->u.closed.undelivered = stwi_lanes_messages(conn->lanes);
  event->u.closed.detail = stwi_conn_lend_text(conn, conn->detail);
}

/* The link fell silent, and now nothing answers a connect either: it is the path, not a server that
 * is short of room. */
static bool is_path_silent(const struct stwi_conn *conn, stw_cause cause) {
  const bool was_silent = conn->lost_cause == STW_CAUSE_HEARTBEAT_TIMEOUT ||
                          conn->lost_cause == STW_CAUSE_IDLE_CUT_SUSPECTED;
  return was_silent && !conn->hint.is_given &&
         (cause == STW_CAUSE_TCP_TIMEOUT || cause == STW_CAUSE_DNS_TIMEOUT);
}

stwi_time stwi_conn_next_attempt(struct stwi_conn *conn, stw_cause cause) {
  const stwi_time now = conn->core->now;
  const stwi_time at =
      is_path_silent(conn, cause)
          ? stwi_pace_next(&conn->pace, STWI_PACE_SILENT, NULL, now, &conn->random)
          : stwi_cause_pace(cause, &conn->pace, &conn->hint, conn->ever_online, now, &conn->random);
  conn->hint.is_given = false;
  return at;
}

/* An attempt that is due already, for one of several that failed before, is not put off. */
static void arm_pace(struct stwi_conn *conn) {
  conn->next_at = conn->dial_at != 0 ? conn->dial_at : stwi_conn_next_attempt(conn, conn->cause);
  conn->dial_at = 0;
}

static void dial_soon(struct stwi_conn *conn) {
  if (stwi_conn_attempt_count(conn) > 0)
    return;
  conn->dial_at = conn->core->now + stwi_random_below(&conn->random, STWI_SOON_MAX + 1);
}

static void go_online(struct stwi_conn *conn) {
  conn->ever_online = true;
  if (conn->is_inbound_full)
    stwi_conn_pause(conn, true); /* not before: ready_when needs reading */
  conn->metrics[STW_METRIC_LINKS]++;
  conn->message_at = conn->core->now;
  conn->is_stale = false;
  conn->active->profile->up(conn);
  stwi_conn_replay(conn);
  stwi_conn_probe(conn); /* proves the link and measures its round trip before it is needed */
}

static void end(struct stwi_conn *conn) {
  stwi_conn_drop_attempts(conn);
  stwi_conn_cut(conn, &conn->active, conn->cause == STW_CAUSE_LOCAL_STOP);
  conn->next_at = conn->dial_at = 0;
  conn->credentials.is_waiting = false;
  conn->is_closing = false;
  stwi_conn_session_leave(conn);
}

/* Without a token the attempt that is silent stays alone. */
static void race(struct stwi_conn *conn) {
  stwi_time when;
  if (stwi_conn_attempt_count(conn) < STWI_ATTEMPTS_MAX && stwi_conn_take_token(conn, &when))
    stwi_conn_dial(conn, false);
}

static void perform_dials(struct stwi_conn *conn, unsigned actions) {
  if (actions & STWI_DO_DIAL && stwi_conn_attempt_count(conn) == 0) {
    conn->round++;
    stwi_conn_dial(conn, false);
  }
  if (actions & STWI_DO_DIAL_SOON)
    dial_soon(conn);
  if (actions & STWI_DO_RACE)
    race(conn);
  if (actions & STWI_DO_HEDGE)
    stwi_conn_dial(conn, true);
}

static void perform(struct stwi_conn *conn, unsigned actions) {
  if (actions & STWI_DO_CUT)
    stwi_conn_cut(conn, &conn->active, true);
  if (actions & STWI_DO_DROP) {
    stwi_conn_drop_attempts(conn);
    conn->dial_at = 0;
  }
  if (actions & STWI_DO_PACE)
    arm_pace(conn);
  if (actions & STWI_DO_PARK) {
    conn->next_at = conn->core->now + STWI_OFFLINE_SAFETY;
    conn->dial_at = 0;
  }
  if (actions & STWI_DO_PROBE)
    stwi_conn_probe(conn);
  if (actions & STWI_DO_END)
    end(conn);
}

static void count(struct stwi_conn *conn, stw_state from, enum stwi_link_input input) {
  if (conn->state == STW_STATE_SUSPECT && from != STW_STATE_SUSPECT) {
    conn->metrics[STW_METRIC_SUSPECTS]++;
  }
  if (input == STWI_LINK_PULSE_OK)
    conn->metrics[STW_METRIC_FALSE_ALARMS]++;
}

/* What leaves the state first (fences, timers), then the event, then what enters the new state:
 * so that a host reads the events in the order in which things were decided. */
bool stwi_conn_apply(struct stwi_conn *conn, enum stwi_link_input input, stw_cause cause) {
  const struct stwi_link_rule *rule = stwi_link_rule(conn->state, input);
  if (!rule->is_legal)
    return false;
  stw_state from = conn->state;
  stwi_conn_account(conn);
  if (input == STWI_LINK_OPEN)
    conn->has_ended = false;
  conn->state = rule->to;
  conn->cause = cause;
  if (from != rule->to && rule->to != STW_STATE_CONNECTING)
    stwi_conn_give_taken(conn);
  if (from != rule->to) {
    conn->since = conn->core->now;
    conn->next_at = conn->dial_at = 0;
  }
  if (cause == STW_CAUSE_READY || cause == STW_CAUSE_REQUESTED) {
    conn->detail[0] = '\0';
    conn->close_code = conn->http_status = 0;
  }
  perform(conn, rule->actions);
  count(conn, from, input);
  if (rule->actions & STWI_DO_COMMIT)
    stwi_conn_commit(conn);
  if (rule->actions & STWI_DO_DIAL_SOON)
    dial_soon(conn);
  if (from != rule->to)
    tell_state(conn, from);
  if (rule->actions & STWI_DO_UP)
    go_online(conn);
  perform_dials(conn, rule->actions & ~(unsigned)STWI_DO_DIAL_SOON);
  if (rule->actions & STWI_DO_END) {
    stwi_conn_tell_ends(conn);
    tell_closed(conn);
    conn->has_ended = true;
  }
  stwi_conn_dirty(conn);
  return true;
}
