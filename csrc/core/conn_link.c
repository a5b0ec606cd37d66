#include <string.h>

#include "core/conn.h"
#include "core/mem.h"
#include "core/profile.h"

uint32_t stwi_conn_attempt_count(const struct stwi_conn *conn) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < STWI_ATTEMPTS_MAX; i++)
    count += conn->attempts[i] != NULL;
  return count;
}

static void free_link(struct stwi_link *link) {
  stwi_decoder_fini(&link->decoder);
  stwi_free(link->pongs);
  stwi_free(link);
}

void stwi_conn_phase(struct stwi_conn *conn, struct stwi_link *link, stw_phase phase) {
  if (phase == link->phase)
    return;
  link->phase_ns[link->phase] += conn->core->now - link->phase_since;
  link->phase = phase;
  link->phase_since = conn->core->now;
}

void stwi_conn_cut(struct stwi_conn *conn, struct stwi_link **place, bool abort) {
  struct stwi_link *link = *place;
  if (link == NULL)
    return;
  stwi_conn_give_back(conn, link);
  struct stwi_effect *effect =
      link->is_down ? NULL : stwi_conn_effect(conn, STWI_FX_CUT, link->gen);
  if (effect != NULL)
    effect->u.cut.abort = abort;
  if (place == &conn->active)
    link->profile->lost(conn); /* before anything is written on another one */
  *place = NULL;
  free_link(link);
}

void stwi_conn_drop_attempts(struct stwi_conn *conn) {
  for (uint32_t i = 0; i < STWI_ATTEMPTS_MAX; i++)
    stwi_conn_cut(conn, &conn->attempts[i], true);
  conn->credentials.is_waiting = false;
}

static const struct stwi_url *url_of(const struct stwi_conn *conn, uint32_t endpoint) {
  const struct stwi_url *supplied = &conn->credentials.url;
  return supplied->host != NULL ? supplied : &conn->config->urls[endpoint];
}

static void fill_dial(const struct stwi_conn *conn, uint32_t endpoint, struct stwi_dial *dial) {
  const struct stwi_conn_config *config = conn->config;
  const struct stwi_url *url = url_of(conn, endpoint);
  dial->is_tls = url->is_tls;
  dial->host = url->host;
  dial->port = url->port;
  dial->path = url->path;
  dial->headers = (const char *const *)config->headers;
  dial->more_headers = (const char *const *)conn->credentials.headers;
  dial->subprotocols = conn->offer == NULL ? config->subprotocols : conn->offer;
  dial->ca_file = config->ca_file;
  dial->client_cert = config->client_cert;
  dial->client_key = config->client_key;
  dial->server_name = config->server_name;
  dial->proxy = config->proxy;
  dial->is_insecure = config->is_insecure;
  if (config->has_heartbeat)
    dial->unacked_max_ms = (uint32_t)(stwi_pulse_longest_ns(&conn->pulse) / STWI_MS);
}

static struct stwi_link *new_link(struct stwi_conn *conn, uint32_t endpoint) {
  struct stwi_link *link = stwi_alloc(sizeof *link);
  if (link == NULL)
    return NULL;
  memset(link, 0, sizeof *link);
  link->gen = ++conn->gen;
  link->endpoint = endpoint;
  link->round = conn->round;
  link->profile = &stwi_profile_plain;
  link->phase = STW_PHASE_DNS;
  link->phase_since = link->dialled_at = conn->core->now;
  stwi_decoder_init(&link->decoder, STWI_FRAME_CLIENT, conn->config->max_message);
  return link;
}

static struct stwi_link **free_place(struct stwi_conn *conn) {
  for (uint32_t i = 0; i < STWI_ATTEMPTS_MAX; i++) {
    if (conn->attempts[i] == NULL)
      return &conn->attempts[i];
  }
  return NULL;
}

void stwi_conn_ask_credentials(struct stwi_conn *conn, stw_cause why) {
  stw_event *event = stwi_conn_event(conn, STW_EVENT_CREDENTIALS_NEEDED, 0);
  if (event == NULL)
    return;
  event->u.credentials.attempt = conn->pace.attempts + 1;
  event->u.credentials.why = why;
  event->u.credentials.deadline_ns = conn->config->credentials_timeout_ns;
}

/* Credentials first: phase token.  True: go on. */
static bool has_credentials(struct stwi_conn *conn) {
  struct stwi_credentials *credentials = &conn->credentials;
  if (stwi_credentials_begin(credentials, conn->core->now) == STWI_CREDENTIALS_USE)
    return true;
  if (credentials->is_waiting)
    return false;
  credentials->is_waiting = true;
  credentials->deadline = conn->core->now + conn->config->credentials_timeout_ns;
  stwi_conn_ask_credentials(conn, conn->cause);
  return false;
}

bool stwi_conn_can_hedge(const struct stwi_conn *conn) {
  return conn->config->has_hedge && !conn->endpoints[conn->endpoint_at]->is_single;
}

/* By the budget that pays for it.  False: dial_at says when to ask again. */
static bool may_start(struct stwi_conn *conn, bool is_hedge) {
  if (!is_hedge)
    return stwi_conn_take_token(conn, &conn->dial_at);
  if (stwi_conn_can_hedge(conn) && stwi_hedge_take(&conn->hedges, conn->core->now))
    return true;
  conn->dial_at = conn->core->now + STWI_S;
  return false;
}

void stwi_conn_dial(struct stwi_conn *conn, bool is_hedge) {
  conn->dial_at = 0;
  struct stwi_link **place = free_place(conn);
  if (place == NULL || !has_credentials(conn))
    return;
  if (is_hedge && conn->state == STW_STATE_MIGRATING && conn->migrate_at > conn->core->now) {
    conn->dial_at = conn->migrate_at;
    return;
  }
  if (!may_start(conn, is_hedge))
    return;
  struct stwi_link *link =
      new_link(conn, is_hedge ? stwi_conn_endpoint_for(conn) : conn->paid_for - 1);
  struct stwi_effect *effect =
      link == NULL ? NULL : stwi_conn_effect(conn, STWI_FX_DIAL, link->gen);
  if (effect == NULL) {
    stwi_free(link);
    conn->dial_at = conn->core->now + STWI_SOON_MAX;
    return;
  }
  *place = link;
  stwi_conn_pay(conn, link, is_hedge);
  fill_dial(conn, link->endpoint, &effect->u.dial);
  conn->metrics[STW_METRIC_ATTEMPTS]++;
  if (is_hedge) {
    conn->metrics[STW_METRIC_HEDGES]++;
    conn->hedged_at = conn->core->now;
  } else {
    stwi_hedge_earn(&conn->hedges);
  }
  stwi_conn_dirty(conn);
}

static struct stwi_link **find_link(struct stwi_conn *conn, uint32_t gen) {
  if (conn->active != NULL && conn->active->gen == gen)
    return &conn->active;
  for (uint32_t i = 0; i < STWI_ATTEMPTS_MAX; i++) {
    if (conn->attempts[i] != NULL && conn->attempts[i]->gen == gen)
      return &conn->attempts[i];
  }
  return NULL;
}

/* Of a link that is given up by this end: before that, it had no time to answer. */
static bool has_late_answer(const struct stwi_conn *conn) {
  return stwi_pulse_check(&conn->pulse, conn->core->now) >= STWI_PULSE_LATE;
}

/* The ready attempt is the one in phase resume. */
void stwi_conn_commit(struct stwi_conn *conn) {
  struct stwi_link *ready = NULL;
  bool was_silent = false;
  for (uint32_t i = 0; i < STWI_ATTEMPTS_MAX; i++) {
    struct stwi_link *link = conn->attempts[i];
    was_silent |= link != NULL && link->has_raced;
    if (link == NULL || link->phase != STW_PHASE_RESUME)
      continue;
    ready = link;
    conn->attempts[i] = NULL;
  }
  if (conn->active != NULL) {
    conn->lost_cause = STW_CAUSE_SUPERSEDED;
    conn->metrics[STW_METRIC_SWITCHES]++;
    const bool is_late = has_late_answer(conn); /* by what was known while it was waited for */
    if (is_late)
      stwi_conn_learn_mute(conn, conn->active);
    stwi_conn_idle_over(conn, conn->active,
                        is_late ? STW_CAUSE_HEARTBEAT_TIMEOUT : STW_CAUSE_SUPERSEDED);
    stwi_conn_learn_slow(conn, conn->active);
  }
  if (was_silent)
    stwi_pulse_silent(&conn->pulse, conn->core->now);
  stwi_conn_cut(conn, &conn->active, true);
  stwi_conn_drop_attempts(conn);
  conn->active = ready;
  conn->endpoint_at = ready->endpoint;
  conn->dial_at = 0;
  conn->hint.is_given = false;
  conn->migrate_at = 0;
  if (!stwi_conn_session_commit(conn, ready)) {
    stwi_conn_phase(conn, ready, STW_PHASE_OPENING);
    for (struct stwi_opening_item *item = conn->opening.first; item != NULL; item = item->next)
      item->is_due = true;
  }
  struct stwi_endpoint *endpoint = conn->endpoints[ready->endpoint];
  if (stwi_endpoint_mute_retry(endpoint, conn->core->now))
    stwi_conn_unmuted(conn->core, endpoint);
  uint32_t jitter =
      STWI_PULSE_JITTER_LEAST + (uint32_t)stwi_random_below(&conn->random, STWI_PULSE_JITTER_DRAW);
  stwi_conn_idle_follow(conn, ready, !was_silent);
  stwi_pulse_restart(&conn->pulse, jitter, conn->core->now);
  conn->probe_id = 0;
  stwi_conn_dirty(conn);
}

void stwi_conn_check_ready(struct stwi_conn *conn, bool is_matched) {
  struct stwi_link *link = conn->active;
  if (link == NULL || link->phase != STW_PHASE_OPENING)
    return;
  if (!is_matched && conn->config->ready_when.kind != STWI_MATCH_NONE)
    return;
  stwi_conn_phase(conn, link, STW_PHASE_UP);
  link->up_at = conn->core->now;
  stwi_conn_apply(conn, STWI_LINK_LINK_UP, STW_CAUSE_READY);
}

static void on_ready(struct stwi_conn *conn, struct stwi_link **place,
                     const struct stwi_input *input) {
  if (place == &conn->active)
    return;
  struct stwi_link *link = *place;
  stwi_conn_give_back(conn, link);
  const char *subprotocol = input->u.ready.subprotocol;
  size_t size = strnlen(subprotocol, sizeof link->subprotocol - 1);
  memcpy(link->subprotocol, subprotocol, size);
  link->network = input->u.ready.network;
  stwi_conn_phase(conn, link, STW_PHASE_RESUME);
  stwi_endpoint_connected(conn->endpoints[link->endpoint], link->phase_ns[STW_PHASE_TCP]);
  if (!stwi_conn_apply(conn, STWI_LINK_CANDIDATE_READY, STW_CAUSE_READY)) {
    stwi_conn_cut(conn, place, true);
    return;
  }
  stwi_conn_check_ready(conn, false);
}

static bool is_permanent(struct stwi_conn *conn, stw_cause cause) {
  switch (stwi_cause_row(cause)->permanence) {
  case STWI_PERMANENT_NEVER:
    return false;
  case STWI_PERMANENT_ALWAYS:
    return true;
  case STWI_PERMANENT_REPEATED:
    return stwi_repeat_hit(&conn->repeat, cause, conn->core->now);
  case STWI_PERMANENT_FIRST:
    return !conn->ever_online;
  case STWI_PERMANENT_FRESH:
    break;
  }
  bool is_final = stwi_credentials_refused(&conn->credentials);
  return is_final && (conn->credentials.is_asked || !conn->ever_online);
}

static void tell_retry(struct stwi_conn *conn, const struct stwi_link_end *end, uint32_t gen) {
  stw_event *event = stwi_conn_event(conn, STW_EVENT_RETRY, gen);
  if (event == NULL)
    return;
  event->u.retry.cause = end->cause;
  event->u.retry.attempt = conn->pace.attempts;
  event->u.retry.close_code = end->close_code;
  event->u.retry.http_status = end->http_status;
  event->u.retry.detail = stwi_conn_lend_text(conn, end->detail);
  stwi_time next = conn->dial_at != 0 ? conn->dial_at : conn->next_at;
  if (next > conn->core->now)
    event->u.retry.delay_ns = next - conn->core->now;
}

static void remember(struct stwi_conn *conn, const struct stwi_link_end *end) {
  stwi_conn_detail(conn, end->detail);
  conn->close_code = end->close_code;
  conn->http_status = end->http_status;
  if (end->hint.is_given)
    conn->hint = end->hint;
}

void stwi_conn_next_endpoint(struct stwi_conn *conn, uint32_t left) {
  if (conn->credentials.url.host == NULL && conn->endpoint_at == left) {
    conn->endpoint_at = (left + 1) % (uint32_t)conn->config->url_count;
  }
}

/* When to try again beside a link that lives: soon, unless the server said when. */
static stwi_time again_beside(struct stwi_conn *conn, const struct stwi_hint *hint) {
  uint64_t wait = STWI_SOON_MAX;
  if (hint->is_given) {
    const uint64_t asked =
        hint->after_ms * STWI_MS + stwi_random_below(&conn->random, hint->spread_ms * STWI_MS);
    wait = asked > wait ? asked : wait;
  }
  return conn->core->now + wait;
}

/* An attempt that stood alone decides; one of several is only reported. */
static void attempt_over(struct stwi_conn *conn, const struct stwi_link_end *end, uint32_t gen,
                         uint32_t round) {
  conn->metrics[STW_METRIC_ATTEMPTS_FAILED]++;
  bool is_last = stwi_conn_attempt_count(conn) == 0;
  bool is_beside_live = stwi_conn_is_beside(conn);
  if (is_permanent(conn, end->cause) && !is_beside_live) {
    remember(conn, end);
    stwi_conn_drop_attempts(conn);
    stwi_conn_apply(conn, STWI_LINK_FATAL, end->cause);
    return;
  }
  if (!is_last) {
    /* Another takes its place when the pace allows it; the others go on meanwhile. */
    if (!is_beside_live && round > conn->failed_round) {
      conn->failed_round = round;
      if (end->hint.is_given)
        conn->hint = end->hint;
      conn->dial_at = stwi_conn_next_attempt(conn, end->cause);
    }
    tell_retry(conn, end, gen);
    return;
  }
  if (is_beside_live) {
    conn->dial_at = again_beside(conn, &end->hint);
    tell_retry(conn, end, gen);
    return;
  }
  remember(conn, end);
  stwi_conn_apply(conn, STWI_LINK_LINK_FAILED, end->cause);
}

bool stwi_conn_may_ask(const struct stwi_conn *conn) {
  const struct stwi_link *link = conn->active;
  return conn->config->has_heartbeat && link != NULL && !conn->endpoints[link->endpoint]->is_mute;
}

void stwi_conn_unmuted(struct stwi_core *core, const struct stwi_endpoint *endpoint) {
  for (uint32_t slot = 0; slot < core->slots; slot++) {
    struct stwi_conn *conn = core->conns[slot];
    if (conn != NULL && conn->active != NULL && conn->endpoints[conn->active->endpoint] == endpoint)
      stwi_conn_dirty(conn);
  }
}

/* The server of a session has much to say.  One that is mute is heard after a question that is
 * late; where nothing is, or the link has ended too soon, it is the link that says nothing. */
static bool is_heard_mute(const struct stwi_conn *conn, const struct stwi_link *link) {
  const struct stwi_barrier *oldest = &link->barriers[link->barrier_head];
  uint64_t soft = stwi_pulse_soft_ns(&conn->pulse, conn->core->now);
  return conn->core->now >= oldest->due + soft && conn->pulse.heard_at > oldest->due;
}

/* It ended sooner after the question than an answer could have come: the shortest connect took one
 * round trip, and perhaps as much again for the two ends. */
static bool had_no_time(const struct stwi_conn *conn, const struct stwi_link *link) {
  const stwi_time now = conn->core->now, asked = link->barriers[link->barrier_head].at;
  const uint64_t soft = stwi_pulse_soft_ns(&conn->pulse, now);
  const uint64_t round_trip = conn->endpoints[link->endpoint]->connect_ns / 2;
  return now - asked < (round_trip < soft ? round_trip : soft);
}

bool stwi_conn_learn_mute(struct stwi_conn *conn, const struct stwi_link *link) {
  struct stwi_endpoint *endpoint = conn->endpoints[link->endpoint];
  if (link->phase < STW_PHASE_UP || link->has_pong)
    return false;
  if (link->barrier_count > 0 && had_no_time(conn, link))
    return false;
  if (link->barrier_count > 0 && link->profile->has_own_traffic && !is_heard_mute(conn, link))
    return false;
  if (link->barrier_count > 0)
    return stwi_endpoint_mute_strike(endpoint, conn->core->now);
  bool is_young = conn->core->now - link->up_at < STWI_STABLE_AFTER;
  if (is_young && stwi_endpoint_mute_clear(endpoint))
    stwi_conn_unmuted(conn->core, endpoint);
  return false;
}

static void learn_single(struct stwi_conn *conn, const struct stwi_link *link) {
  bool is_hedged = conn->hedged_at != 0 && stwi_conn_attempt_count(conn) > 0;
  if (is_hedged && conn->core->now - conn->hedged_at < STWI_SINGLE_WITHIN) {
    conn->endpoints[link->endpoint]->is_single = true;
  }
}

/* The active link ended. */
static void active_over(struct stwi_conn *conn, struct stwi_link *link,
                        const struct stwi_link_end *end) {
  conn->lost_cause = end->cause;
  bool was_up = link->phase >= STW_PHASE_UP;
  bool is_young = !was_up || conn->core->now - link->up_at < STWI_STABLE_AFTER;
  bool is_asked = conn->is_closing && conn->handshake_deadline != 0;
  bool is_given_up = is_asked || end->cause == STW_CAUSE_STALE;
  bool is_for_asking = (!is_given_up || has_late_answer(conn)) && stwi_conn_learn_mute(conn, link);
  if (end->close_code != 0)
    learn_single(conn, link);
  else
    stwi_conn_idle_over(conn, link, end->cause);
  if (is_young && !is_asked)
    stwi_conn_pay_young(conn, link->endpoint);
  if (was_up && !is_asked)
    conn->metrics[STW_METRIC_LINKS_LOST]++;
  for (unsigned lane = 0; lane < STW_LANE_COUNT && stwi_cause_blames_message(end->cause); lane++)
    stwi_outbox_strike(&conn->lanes[lane], end->cause);
  stwi_conn_tell_ends(conn);
  stwi_conn_next_endpoint(conn, link->endpoint);
  remember(conn, end);
  stwi_conn_cut(conn, &conn->active, false);
  if (is_asked) {
    stwi_conn_apply(conn, STWI_LINK_CLOSE_DONE, STW_CAUSE_REQUESTED);
    return;
  }
  if (is_permanent(conn, end->cause)) {
    stwi_conn_apply(conn, STWI_LINK_FATAL, end->cause);
    return;
  }
  if (conn->state == STW_STATE_CONNECTING) {
    if (stwi_conn_attempt_count(conn) == 0 && conn->dial_at == 0) {
      stwi_conn_apply(conn, STWI_LINK_LINK_FAILED, end->cause);
    }
    return;
  }
  bool is_now = is_for_asking || (stwi_cause_row(end->cause)->pace == STWI_PACE_NOW && !is_young);
  bool has_candidate = stwi_conn_attempt_count(conn) > 0;
  stwi_conn_apply(conn, is_now || has_candidate ? STWI_LINK_LOST_NOW : STWI_LINK_LOST_PACED,
                  end->cause);
}

void stwi_conn_link_over(struct stwi_conn *conn, struct stwi_link *link,
                         const struct stwi_link_end *end) {
  struct stwi_link **place = find_link(conn, link->gen);
  stwi_conn_dirty(conn);
  if (stwi_cause_row(end->cause)->pace == STWI_PACE_OVERLOAD &&
      conn->overloads[link->endpoint] < UINT32_MAX)
    conn->overloads[link->endpoint]++;
  if (place == &conn->active) {
    active_over(conn, link, end);
    return;
  }
  uint32_t gen = link->gen, round = link->round;
  link->has_token = false;
  stwi_conn_next_endpoint(conn, link->endpoint);
  stwi_conn_cut(conn, place, true);
  attempt_over(conn, end, gen, round);
}

static void on_down(struct stwi_conn *conn, struct stwi_link *link,
                    const struct stwi_input *input) {
  link->is_down = true;
  struct stwi_link_end end = {
      .cause = input->u.down.cause,
      .http_status = input->u.down.http_status,
      .detail = input->u.down.detail,
  };
  if (input->u.down.retry_after_ms > 0)
    end.hint = stwi_hint_retry_after(input->u.down.retry_after_ms);
  stwi_conn_link_over(conn, link, &end);
}

void stwi_conn_link_input(struct stwi_conn *conn, const struct stwi_input *input) {
  struct stwi_link **place = find_link(conn, input->link);
  if (place == NULL)
    return; /* of an older link: fenced */
  struct stwi_link *link = *place;
  stwi_conn_dirty(conn);
  switch (input->kind) {
  case STWI_IN_PHASE:
    if (link != conn->active)
      stwi_conn_phase(conn, link, input->u.phase.phase);
    break;
  case STWI_IN_READY:
    on_ready(conn, place, input);
    break;
  case STWI_IN_BYTES:
    if (link == conn->active)
      stwi_conn_bytes(conn, link, input->u.bytes.data, input->u.bytes.size);
    break;
  case STWI_IN_WRITABLE:
    stwi_conn_writable(conn, link);
    break;
  case STWI_IN_LOOKED:
    stwi_conn_kernel_seen(conn, link, input->u.looked.is_unacked, input->u.looked.silence_ns);
    break;
  case STWI_IN_PATH:
    stwi_conn_path(conn, link, input->u.network.what);
    break;
  default:
    on_down(conn, link, input);
    break;
  }
}
