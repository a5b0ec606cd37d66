#include <stdio.h>
#include <string.h>

#include "core/profile.h"

static bool is_due(const struct stwi_conn *conn, stwi_time at) {
  return at != 0 && at <= conn->core->now;
}

/* The endpoints' budgets have the last word: the next one with a token, from the one on that would
 * be dialled; without any the dial moves to when there is one. */
static bool budget_allows(struct stwi_conn *conn, stwi_time *at) {
  uint32_t count = (uint32_t)conn->config->url_count;
  stwi_time first = STWI_NEVER;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t index = (stwi_conn_endpoint_for(conn) + i) % count;
    struct stwi_endpoint *endpoint = conn->endpoints[index];
    stwi_time when;
    if (stwi_budget_allows(&endpoint->budget, endpoint->conns, conn->core->now, &when)) {
      conn->endpoint_at = (conn->endpoint_at + i) % count;
      return true;
    }
    if (when < first)
      first = when;
  }
  *at = first;
  return false;
}

static void dial_timer(struct stwi_conn *conn) {
  if (!is_due(conn, conn->dial_at))
    return;
  conn->dial_at = 0;
  bool is_alone = stwi_conn_attempt_count(conn) == 0;
  if (stwi_conn_is_live(conn)) {
    if (is_alone && conn->state != STW_STATE_ONLINE) {
      stwi_conn_apply(conn, STWI_LINK_CANDIDATE_FAILED, conn->cause);
    }
  } else if (budget_allows(conn, &conn->dial_at)) {
    if (!is_alone)
      conn->round++;
    stwi_conn_apply(conn, is_alone ? STWI_LINK_TIMER : STWI_LINK_ATTEMPT_SILENT, conn->cause);
  }
}

static void wait_timer(struct stwi_conn *conn) {
  if (!is_due(conn, conn->next_at))
    return;
  if (budget_allows(conn, &conn->next_at)) {
    stwi_conn_apply(conn, STWI_LINK_TIMER, STW_CAUSE_RETRY_DUE);
  }
}

void stwi_conn_try(struct stwi_conn *conn, enum stwi_link_input input, stw_cause cause) {
  if (conn->state != STW_STATE_WAITING || budget_allows(conn, &conn->next_at))
    stwi_conn_apply(conn, input, cause);
}

static void token_timer(struct stwi_conn *conn) {
  struct stwi_credentials *credentials = &conn->credentials;
  if (!credentials->is_waiting || credentials->deadline > conn->core->now)
    return;
  credentials->is_waiting = false;
  if (stwi_conn_attempt_count(conn) > 0)
    return; /* dialled with earlier ones: it decides */
  if (stwi_conn_is_live(conn)) {
    conn->dial_at = conn->core->now + STWI_S;
    return;
  }
  stwi_conn_detail(conn, "the host supplied no credentials within credentials_timeout");
  stwi_conn_apply(conn, STWI_LINK_LINK_FAILED, STW_CAUSE_TOKEN_FAILED);
}

/* Once the server is reached, the pace says how long it may take. */
static uint64_t patience_of(const struct stwi_conn *conn, const struct stwi_link *link) {
  uint64_t patience = conn->config->open_timeout_ns;
  return link->phase < STW_PHASE_TLS ? patience : stwi_pace_patience(&conn->pace, patience);
}

/* A server that was reached and is silent while its clients come back would only get the same
 * client twice; another endpoint may still answer. */
static bool may_race(const struct stwi_conn *conn, const struct stwi_link *link) {
  if (link->has_raced)
    return false;
  if (link->phase < STW_PHASE_TLS || conn->pace.attempts == 0)
    return true;
  return stwi_conn_attempt_count(conn) < conn->config->url_count;
}

static void attempt_timer(struct stwi_conn *conn, struct stwi_link *link) {
  stwi_time now = conn->core->now;
  uint64_t patience = patience_of(conn, link);
  if (now - link->dialled_at >= patience) {
    char detail[120];
    snprintf(detail, sizeof detail, "no progress in phase %s within %s (%llu ms)",
             stw_phase_at((size_t)link->phase)->name,
             patience == conn->config->open_timeout_ns ? "open_timeout" : "a longer open_timeout",
             (unsigned long long)(patience / STWI_MS));
    struct stwi_link_end end = {.cause = stwi_cause_of_phase_timeout(link->phase),
                                .detail = detail};
    stwi_conn_link_over(conn, link, &end);
    return;
  }
  if (!may_race(conn, link) || now - link->phase_since < STWI_ATTEMPT_SILENCE)
    return;
  link->has_raced = true;
  stwi_time later;
  if (stwi_conn_is_live(conn) || budget_allows(conn, &later))
    stwi_conn_apply(conn, STWI_LINK_ATTEMPT_SILENT, conn->cause);
}

static void attempt_timers(struct stwi_conn *conn) {
  for (uint32_t i = 0; i < STWI_ATTEMPTS_MAX; i++) {
    if (conn->attempts[i] != NULL)
      attempt_timer(conn, conn->attempts[i]);
  }
}

/* WELCOME within the time of one attempt, or another link. */
static void resume_timer(struct stwi_conn *conn) {
  struct stwi_link *link = conn->active;
  if (link == NULL || link->phase != STW_PHASE_RESUME)
    return;
  if (conn->core->now - link->phase_since < conn->config->open_timeout_ns)
    return;
  struct stwi_link_end end = {
      .cause = stwi_cause_of_phase_timeout(STW_PHASE_RESUME),
      .detail = "the server did not answer HELLO within open_timeout",
  };
  stwi_conn_link_over(conn, link, &end);
}

static void opening_timer(struct stwi_conn *conn) {
  struct stwi_link *link = conn->active;
  if (link == NULL || link->phase != STW_PHASE_OPENING)
    return;
  if (conn->core->now - link->phase_since < conn->config->ready_timeout_ns)
    return;
  struct stwi_link_end end = {
      .cause = STW_CAUSE_READY_TIMEOUT,
      .detail = "ready_when did not match within ready_timeout",
  };
  stwi_conn_link_over(conn, link, &end);
}

/* Proof plus 2 s: only then was it a success (a server that accepts and throws out again is not).
 */
static stwi_time stable_at(const struct stwi_conn *conn) {
  const struct stwi_link *link = conn->active;
  if (link == NULL || link->phase != STW_PHASE_UP || link->is_stable)
    return STWI_NEVER;
  if (!link->has_pong && stwi_conn_may_ask(conn))
    return STWI_NEVER;
  return link->up_at + STWI_STABLE_AFTER;
}

static void stable_timer(struct stwi_conn *conn) {
  if (stable_at(conn) > conn->core->now)
    return;
  conn->active->is_stable = true;
  stwi_pace_reset(&conn->pace);
  stwi_credentials_accepted(&conn->credentials);
}

void stwi_conn_call_dead(struct stwi_conn *conn, const char *detail) {
  conn->lost_cause = STW_CAUSE_HEARTBEAT_TIMEOUT;
  conn->metrics[STW_METRIC_LINKS_LOST]++;
  stwi_conn_detail(conn, detail);
  stwi_conn_apply(conn, STWI_LINK_PULSE_DEAD, STW_CAUSE_HEARTBEAT_TIMEOUT);
}

static void pulse_dead(struct stwi_conn *conn) {
  struct stwi_link *link = conn->active;
  stwi_conn_learn_mute(conn, link);
  stwi_conn_learn_slow(conn, link);
  char detail[120];
  snprintf(detail, sizeof detail, "no answer for %llu ms on link %u",
           (unsigned long long)((conn->core->now - conn->since) / STWI_MS), link->gen);
  stwi_conn_call_dead(conn, detail);
}

static void pulse_late(struct stwi_conn *conn) {
  char detail[120];
  snprintf(detail, sizeof detail, "no answer for %llu ms: asking, and dialling a second link",
           (unsigned long long)(stwi_pulse_soft_ns(&conn->pulse, conn->core->now) / STWI_MS));
  stwi_conn_detail(conn, detail);
  conn->probe_id = 0;
  stwi_conn_apply(conn, STWI_LINK_PULSE_LATE, STW_CAUSE_HEARTBEAT_TIMEOUT);
}

/* Another conn has learnt that the endpoint is mute: nothing more is asked here either. */
static void settle_unasked(struct stwi_conn *conn) {
  if (conn->active->is_writing)
    return;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    stwi_conn_prove(conn, (stw_lane)lane, STW_PROOF_WRITTEN,
                    stwi_conn_whole_upto(conn, (stw_lane)lane));
}

static void pulse_timer(struct stwi_conn *conn) {
  if (!stwi_conn_is_live(conn) || conn->active == NULL || conn->active->phase != STW_PHASE_UP)
    return;
  if (!stwi_conn_may_ask(conn)) {
    settle_unasked(conn);
    return;
  }
  bool is_stuck = conn->active->is_writing && conn->pulse.asked_at == 0;
  if (is_stuck && stwi_barrier_due(conn) <= conn->core->now)
    stwi_conn_probe(conn);
  switch (stwi_pulse_check(&conn->pulse, conn->core->now)) {
  case STWI_PULSE_FINE:
    break;
  case STWI_PULSE_ASK:
    stwi_conn_probe(conn);
    break;
  case STWI_PULSE_LATE:
    if (conn->state != STW_STATE_SUSPECT)
      pulse_late(conn);
    break;
  case STWI_PULSE_DEAD:
    if (conn->state != STW_STATE_SUSPECT)
      pulse_late(conn);
    if (conn->state == STW_STATE_SUSPECT)
      pulse_dead(conn);
    break;
  }
}

/* A suspicion (sleep, route change) of a link that cannot be asked ends by itself. */
static stwi_time unasked_end(const struct stwi_conn *conn) {
  if (conn->state != STW_STATE_SUSPECT || stwi_conn_may_ask(conn) || stwi_conn_kernel_doubts(conn))
    return STWI_NEVER;
  return conn->since + 3 * stwi_pulse_soft_ns(&conn->pulse, conn->core->now);
}

static stwi_time stale_at(const struct stwi_conn *conn) {
  if (conn->config->max_silence_ns == 0 || conn->is_stale || !stwi_conn_is_live(conn))
    return STWI_NEVER;
  if (conn->is_inbound_full)
    return STWI_NEVER;
  return conn->message_at + conn->config->max_silence_ns;
}

/* Make before break where a second link is allowed beside the first. */
static void relink(struct stwi_conn *conn) {
  static const struct stwi_link_end end = {
      .cause = STW_CAUSE_STALE,
      .detail = "no message for max_silence: a new link",
  };
  if (stwi_conn_can_hedge(conn)) {
    stwi_conn_apply(conn, STWI_LINK_GOAWAY, STW_CAUSE_STALE);
  } else {
    stwi_conn_link_over(conn, conn->active, &end);
  }
}

static void stale_timer(struct stwi_conn *conn) {
  if (stale_at(conn) > conn->core->now)
    return;
  conn->is_stale = true;
  stw_event *event = stwi_conn_event(conn, STW_EVENT_STALE, conn->active->gen);
  if (event != NULL)
    event->u.stale.silence_ns = conn->core->now - conn->message_at;
  if (conn->config->stale_action == STWI_STALE_OPENING) {
    for (struct stwi_opening_item *i = conn->opening.first; i != NULL; i = i->next) {
      i->is_due = true;
    }
  } else if (conn->config->stale_action == STWI_STALE_RELINK) {
    relink(conn);
  }
}

/* Ahead of their end, while the present ones still serve. */
static void refresh_timer(struct stwi_conn *conn) {
  if (!is_due(conn, conn->refresh_at) || !stwi_conn_is_live(conn))
    return;
  conn->refresh_at = 0;
  conn->is_refreshing = true;
  stwi_conn_ask_credentials(conn, STW_CAUSE_AUTH_EXPIRING);
}

static void finish_closing(struct stwi_conn *conn) {
  stwi_conn_apply(conn, STWI_LINK_CLOSE_DONE, STW_CAUSE_REQUESTED);
}

/* Drained, or out of time: the close handshake (RFC 6455 section 7.1.2), then the end. */
static void closing_timer(struct stwi_conn *conn) {
  if (!conn->is_closing)
    return;
  stwi_time now = conn->core->now;
  if (conn->handshake_deadline != 0) {
    if (now >= conn->handshake_deadline)
      finish_closing(conn);
    return;
  }
  if (!stwi_conn_is_delivered(conn) && now < conn->close_deadline)
    return;
  struct stwi_link *link = conn->active;
  bool can_say = link != NULL && stwi_conn_is_live(conn) && link->phase == STW_PHASE_UP;
  if (can_say && link->is_writing && now < conn->close_deadline)
    return;
  if (can_say && now < conn->close_deadline && link->profile->flush(conn))
    return;
  if (!can_say || !stwi_conn_write_close(conn, link, 1000, "")) {
    finish_closing(conn);
    return;
  }
  stwi_conn_phase(conn, link, STW_PHASE_CLOSING);
  uint64_t patience = conn->config->close_timeout_ns;
  conn->handshake_deadline =
      now + (patience < STWI_CLOSE_HANDSHAKE ? patience : STWI_CLOSE_HANDSHAKE);
}

void stwi_conn_timers(struct stwi_conn *conn) {
  stwi_lanes_expire(conn->lanes, conn->core->now);
  token_timer(conn);
  attempt_timers(conn);
  dial_timer(conn);
  wait_timer(conn);
  resume_timer(conn);
  opening_timer(conn);
  stable_timer(conn);
  pulse_timer(conn);
  if (unasked_end(conn) <= conn->core->now) {
    stwi_conn_apply(conn, STWI_LINK_PULSE_OK, STW_CAUSE_RECOVERED);
  }
  stale_timer(conn);
  refresh_timer(conn);
  stwi_conn_kernel_timer(conn);
  stwi_conn_hint_timer(conn);
  closing_timer(conn);
}

static stwi_time or_never(stwi_time at) {
  return at == 0 ? STWI_NEVER : at;
}

static stwi_time attempts_deadline(const struct stwi_conn *conn) {
  stwi_time first = STWI_NEVER;
  for (uint32_t i = 0; i < STWI_ATTEMPTS_MAX; i++) {
    const struct stwi_link *link = conn->attempts[i];
    if (link == NULL)
      continue;
    first = stwi_earlier(first, link->dialled_at + patience_of(conn, link));
    if (may_race(conn, link))
      first = stwi_earlier(first, link->phase_since + STWI_ATTEMPT_SILENCE);
  }
  return first;
}

static stwi_time active_deadline(const struct stwi_conn *conn) {
  const struct stwi_link *link = conn->active;
  if (link == NULL)
    return STWI_NEVER;
  if (link->phase == STW_PHASE_OPENING) {
    return stwi_earlier(link->phase_since + conn->config->ready_timeout_ns,
                        link->profile->deadline(conn));
  }
  if (link->phase == STW_PHASE_RESUME)
    return link->phase_since + conn->config->open_timeout_ns;
  if (link->phase != STW_PHASE_UP || !stwi_conn_is_live(conn))
    return STWI_NEVER;
  stwi_time now = conn->core->now;
  bool may_ask = stwi_conn_may_ask(conn);
  stwi_time first = may_ask ? stwi_pulse_deadline(&conn->pulse, now) : STWI_NEVER;
  first = stwi_earlier(first, link->profile->deadline(conn));
  bool is_asked = conn->pulse.asked_at != 0; /* by a stuck write at the latest */
  if (!link->is_writing || !is_asked)
    first = stwi_earlier(first, stwi_barrier_due(conn));
  return stwi_earlier(first, stable_at(conn));
}

static stwi_time closing_deadline(const struct stwi_conn *conn) {
  if (!conn->is_closing)
    return STWI_NEVER;
  if (conn->handshake_deadline != 0)
    return conn->handshake_deadline;
  return conn->close_deadline;
}

stwi_time stwi_conn_deadline(const struct stwi_conn *conn) {
  if (conn->has_ended)
    return STWI_NEVER;
  stwi_time first = stwi_earlier(conn->lanes[STW_LANE_DATA].next_expiry,
                                 conn->lanes[STW_LANE_CONTROL].next_expiry);
  first = stwi_earlier(first, conn->parked.next_expiry);
  first = stwi_earlier(first, or_never(conn->dial_at));
  first = stwi_earlier(first, or_never(conn->next_at));
  first = stwi_earlier(first, or_never(conn->hint_due));
  if (conn->credentials.is_waiting)
    first = stwi_earlier(first, conn->credentials.deadline);
  first = stwi_earlier(first, attempts_deadline(conn));
  first = stwi_earlier(first, active_deadline(conn));
  first = stwi_earlier(first, unasked_end(conn));
  first = stwi_earlier(first, stwi_conn_kernel_deadline(conn));
  first = stwi_earlier(first, stale_at(conn));
  if (stwi_conn_is_live(conn))
    first = stwi_earlier(first, or_never(conn->refresh_at));
  return stwi_earlier(first, closing_deadline(conn));
}
