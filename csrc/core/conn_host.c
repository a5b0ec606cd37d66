#include <string.h>

#include "core/mem.h"
#include "core/profile.h"

static void drop_endpoints(struct stwi_conn *conn) {
  const struct stwi_budgets *budgets = &conn->core->budgets;
  for (size_t i = 0; conn->endpoints != NULL && i < conn->config->url_count; i++) {
    if (conn->endpoints[i] != NULL)
      stwi_endpoint_drop(&conn->core->endpoints, conn->endpoints[i]);
  }
  for (size_t i = 0; conn->accounts != NULL && i < conn->config->url_count; i++) {
    if (conn->accounts[i] != NULL)
      budgets->ops->drop(budgets->self, conn->accounts[i]);
  }
  stwi_free(conn->endpoints);
  stwi_free(conn->accounts);
  stwi_free(conn->overloads);
}

static void *cleared(size_t size) {
  void *memory = stwi_alloc(size);
  return memory == NULL ? NULL : memset(memory, 0, size);
}

void stwi_conn_reset_pace(struct stwi_conn *conn) {
  stwi_pace_reset(&conn->pace);
  memset(conn->overloads, 0, conn->config->url_count * sizeof *conn->overloads);
}

static bool hold_endpoints(struct stwi_conn *conn) {
  const struct stwi_budgets *budgets = &conn->core->budgets;
  const size_t count = conn->config->url_count;
  conn->endpoints = cleared(count * sizeof(struct stwi_endpoint *));
  conn->accounts = cleared(count * sizeof(struct stwi_account *));
  conn->overloads = cleared(count * sizeof *conn->overloads);
  if (conn->endpoints == NULL || conn->accounts == NULL || conn->overloads == NULL)
    return false;
  for (size_t i = 0; i < count; i++) {
    const char *key = conn->config->urls[i].key;
    conn->endpoints[i] = stwi_endpoint_hold(&conn->core->endpoints, key);
    conn->accounts[i] = budgets->ops->hold(budgets->self, key, conn->core->now);
    if (conn->endpoints[i] == NULL || conn->accounts[i] == NULL)
      return false;
  }
  return true;
}

static void init_parts(struct stwi_conn *conn) {
  const struct stwi_conn_config *config = conn->config;
  stwi_time now = conn->core->now;
  stwi_pace_init(&conn->pace, config->retry_window_ns, config->retry_cap_ns);
  stwi_hedge_init(&conn->hedges, now);
  stwi_lanes_init(conn->lanes, &conn->parked, config, conn->stream);
  stwi_opening_init(&conn->opening);
  stwi_credentials_init(&conn->credentials, config->has_credentials);
  uint64_t interval = config->has_heartbeat ? config->heartbeat_interval_ns : 0;
  conn->byte_ns = STWI_BYTE_NS_FIRST;
  stwi_pulse_init(&conn->pulse, interval, config->heartbeat_timeout_ns, 1000, now);
  conn->since = conn->metrics_at = conn->message_at = now;
}

struct stwi_conn *stwi_conn_new(struct stwi_core *core, const struct stwi_input *input) {
  struct stwi_conn *conn = stwi_alloc(sizeof *conn);
  if (conn == NULL) {
    stwi_conn_drop_restored(input->u.open.restored);
    return NULL;
  }
  memset(conn, 0, sizeof *conn);
  conn->core = core;
  conn->slot = input->conn;
  conn->handle = input->u.open.handle;
  conn->config = input->u.open.config;
  conn->stream = input->u.open.stream;
  stwi_random_seed(&conn->random, input->u.open.seed);
  init_parts(conn);
  bool is_restored = stwi_conn_restore(conn, input->u.open.restored);
  if (is_restored && stwi_conn_session_init(conn, input->u.open.restored) && hold_endpoints(conn))
    return conn;
  drop_endpoints(conn);
  stwi_lanes_fini(conn->lanes);
  stwi_conn_session_fini(conn);
  stwi_free(conn); /* the config stays with the caller */
  return NULL;
}

void stwi_conn_free(struct stwi_conn *conn) {
  if (conn == NULL)
    return;
  struct stwi_effects none;
  struct stwi_effects *effects = conn->core->effects;
  if (effects == NULL) {
    stwi_effects_init(&none);
    conn->core->effects = &none;
  }
  stwi_conn_drop_attempts(conn);
  stwi_conn_cut(conn, &conn->active, true);
  if (effects == NULL) {
    stwi_effects_fini(&none);
    conn->core->effects = NULL;
  }
  stwi_conn_give_taken(conn);
  drop_endpoints(conn);
  stwi_lanes_fini(conn->lanes);
  stwi_conn_session_fini(conn);
  stwi_opening_fini(&conn->opening);
  stwi_credentials_fini(&conn->credentials);
  stwi_conn_config_free(conn->config);
  stwi_free(conn);
}

static void on_submit(struct stwi_conn *conn, struct stwi_chunk *chunks) {
  for (struct stwi_msg *msg = stwi_chunks_first(chunks); msg != NULL;
       msg = stwi_chunks_after(msg)) {
    conn->metrics[STW_METRIC_SENT] += !msg->is_move;
    conn->metrics[STW_METRIC_SENT_BYTES] += msg->size;
  }
  if (!stwi_lanes_take(conn->lanes, chunks, conn->core->now)) {
    stwi_chunk_free_list(chunks);
    stwi_conn_detail(conn, "no memory for the outbox");
    stwi_conn_apply(conn, STWI_LINK_FATAL, STW_CAUSE_OVERLOAD_LOCAL);
  }
}

static void on_close(struct stwi_conn *conn, stwi_time deadline) {
  if (conn->state == STW_STATE_CLOSED || conn->state == STW_STATE_FAILED)
    return;
  conn->is_closing = true;
  conn->close_deadline = deadline;
}

static void on_reopen(struct stwi_conn *conn) {
  if (!conn->has_ended)
    return;
  memset(&conn->repeat, 0, sizeof conn->repeat);
  conn->ever_online = false;
  conn->is_closing = false;
  conn->handshake_deadline = 0;
  stwi_conn_reset_pace(conn);
  stwi_conn_apply(conn, STWI_LINK_OPEN, STW_CAUSE_REQUESTED);
  stwi_conn_tell_pause(conn);
}

static void on_opening(struct stwi_conn *conn, const struct stwi_input *input) {
  const char *key = input->u.opening.key;
  stw_status status = stwi_opening_set(&conn->opening, key, input->u.opening.data,
                                       input->u.opening.size, input->u.opening.is_text);
  if (status != STW_OK)
    return;
  struct stwi_opening_item *item = conn->opening.first;
  const struct stwi_opening_item *set = stwi_opening_find(&conn->opening, key);
  while (item != NULL && item != set)
    item = item->next;
  if (item != NULL)
    item->is_due = conn->active != NULL || (conn->has_sessions && conn->ever_online);
}

stwi_time stwi_conn_refresh_time(uint64_t valid_ms, stwi_time now) {
  if (valid_ms == 0 || valid_ms > STWI_NEVER / STWI_MS / 2)
    return 0;
  return now + valid_ms * STWI_MS / 10 * 9;
}

static void on_supply(struct stwi_conn *conn, const struct stwi_input *input) {
  const char *why = "";
  stw_status status = stwi_credentials_supply(&conn->credentials, input->u.supply.url,
                                              input->u.supply.token, input->u.supply.headers,
                                              input->u.supply.valid_ms, conn->core->now, &why);
  if (status != STW_OK)
    return;
  conn->refresh_at = stwi_conn_refresh_time(input->u.supply.valid_ms, conn->core->now);
  bool was_refreshing = conn->is_refreshing;
  conn->is_refreshing = false;
  if (conn->credentials.is_waiting) {
    conn->credentials.is_waiting = false;
    stwi_conn_dial(conn, stwi_conn_is_beside(conn));
  } else if (was_refreshing && conn->session.phase == STWI_SCLIENT_UP) {
    stwi_conn_session_auth(conn);
  } else if (was_refreshing && stwi_conn_can_hedge(conn)) {
    stwi_conn_apply(conn, STWI_LINK_AUTH_EXPIRING, STW_CAUSE_AUTH_EXPIRING);
  }
}

void stwi_conn_pause(struct stwi_conn *conn, bool on) {
  if (conn->active == NULL || conn->active->is_paused == on)
    return;
  conn->active->is_paused = on;
  struct stwi_effect *effect = stwi_conn_effect(conn, STWI_FX_PAUSE, conn->active->gen);
  if (effect != NULL)
    effect->u.pause.on = on;
  stwi_pulse_pause(&conn->pulse, on, conn->core->now);
  if (!on)
    conn->message_at = conn->core->now;
}

void stwi_conn_tell_pause(struct stwi_conn *conn) {
  if (conn->has_ended || conn->is_pause_told == conn->is_inbound_full)
    return;
  conn->is_pause_told = conn->is_inbound_full;
  stwi_conn_event(conn, conn->is_pause_told ? STW_EVENT_PAUSED : STW_EVENT_RESUMED,
                  conn->active == NULL ? 0 : conn->active->gen);
}

static void on_inbound(struct stwi_conn *conn, bool is_full) {
  if (conn->is_inbound_full == is_full)
    return;
  conn->is_inbound_full = is_full;
  stwi_conn_pause(conn, is_full);
  if (is_full)
    conn->metrics[STW_METRIC_PAUSES]++;
  stwi_conn_tell_pause(conn);
}

void stwi_conn_host_input(struct stwi_conn *conn, const struct stwi_input *input) {
  stwi_conn_dirty(conn);
  switch (input->kind) {
  case STWI_IN_SUBMIT:
    on_submit(conn, input->u.submit.chunks);
    break;
  case STWI_IN_CLOSE:
    on_close(conn, input->u.close.deadline);
    break;
  case STWI_IN_REOPEN:
    on_reopen(conn);
    break;
  case STWI_IN_KICK:
    stwi_conn_try(conn, STWI_LINK_KICK, STW_CAUSE_REQUESTED);
    break;
  case STWI_IN_EDIT:
    stwi_lanes_edit(conn->lanes, input->u.edit.id, input->u.edit.edit);
    break;
  case STWI_IN_STORED:
    stwi_conn_on_stored(conn, input);
    break;
  case STWI_IN_OPENING:
    on_opening(conn, input);
    break;
  case STWI_IN_HOST_READY:
    stwi_conn_check_ready(conn, true);
    break;
  case STWI_IN_SUPPLY:
    on_supply(conn, input);
    break;
  case STWI_IN_INBOUND:
    on_inbound(conn, input->u.inbound.is_full);
    break;
  default:
    stwi_conn_session_processed(conn, input->u.processed.lane, input->u.processed.number);
    break;
  }
}

static void forgive(struct stwi_conn *conn, stwi_time *since, uint64_t for_ns) {
  stwi_time now = conn->core->now;
  *since = now - *since > for_ns ? *since + for_ns : now;
}

/* What could not be read meanwhile is not late: patience starts again where it was. */
static void on_stalled(struct stwi_conn *conn, uint64_t for_ns) {
  stwi_pulse_stalled(&conn->pulse, conn->core->now);
  stwi_conn_idle_forget(conn);
  forgive(conn, &conn->message_at, for_ns);
  if (conn->active != NULL)
    forgive(conn, &conn->active->phase_since, for_ns);
  for (uint32_t i = 0; i < STWI_ATTEMPTS_MAX; i++) {
    if (conn->attempts[i] == NULL)
      continue;
    forgive(conn, &conn->attempts[i]->dialled_at, for_ns);
    forgive(conn, &conn->attempts[i]->phase_since, for_ns);
  }
}

static void stop(struct stwi_conn *conn) {
  if (conn->state == STW_STATE_CLOSED || conn->state == STW_STATE_FAILED)
    return;
  stwi_conn_detail(conn, "the engine was stopped");
  stwi_conn_apply(conn, STWI_LINK_CLOSE_DONE, STW_CAUSE_LOCAL_STOP);
}

void stwi_conn_machine_input(struct stwi_conn *conn, const struct stwi_input *input) {
  stwi_conn_dirty(conn);
  switch (input->kind) {
  case STWI_IN_NETWORK:
    stwi_conn_network(conn, input->u.network.what);
    break;
  case STWI_IN_NOTICED:
    stwi_conn_network_noticed(conn);
    break;
  case STWI_IN_WAKE:
    stwi_conn_idle_forget(conn);
    stwi_conn_try(conn, STWI_LINK_WAKE, STW_CAUSE_SUSPEND_RESUME);
    stwi_conn_expect_fresh(conn);
    break;
  case STWI_IN_STALLED:
    on_stalled(conn, input->u.stalled.for_ns);
    break;
  default:
    stop(conn);
    break;
  }
}

static void copy_text(char *out, size_t size, const char *text) {
  size_t length = strnlen(text, size - 1);
  memcpy(out, text, length);
  out[length] = '\0';
}

static const struct stwi_conn *find(const struct stwi_core *core, uint32_t slot) {
  return slot < core->slots ? core->conns[slot] : NULL;
}

bool stwi_core_view(const struct stwi_core *core, uint32_t slot, stw_conn_view *view) {
  const struct stwi_conn *conn = find(core, slot);
  if (conn == NULL)
    return false;
  size_t struct_size = view->struct_size;
  memset(view, 0, sizeof *view);
  view->struct_size = struct_size;
  view->state = conn->state;
  view->is_closing = conn->is_closing;
  view->cause = conn->cause;
  view->attempt = conn->pace.attempts;
  view->link = conn->active == NULL ? 0 : conn->active->gen;
  view->since_ns = conn->since;
  view->next_attempt_ns = conn->state == STW_STATE_WAITING ? conn->next_at : 0;
  view->rtt_ns = conn->pulse.srtt_ns;
  view->outbox_messages = stwi_lanes_messages(conn->lanes);
  view->outbox_bytes = stwi_lanes_bytes(conn->lanes);
  view->stream.stream = conn->stream;
  view->stream.number = conn->lanes[STW_LANE_DATA].taken;
  view->control.stream = conn->stream | STW_LANE_CONTROL;
  view->control.number = conn->lanes[STW_LANE_CONTROL].taken;
  view->outbox_parked = conn->parked.count;
  view->has_store = conn->has_store && stwi_conn_store_is_well(conn);
  view->close_code = conn->close_code;
  view->http_status = conn->http_status;
  copy_text(view->detail, sizeof view->detail, conn->detail);
  view->has_session = conn->active != NULL && conn->active->profile == &stwi_profile_session;
  if (conn->active != NULL) {
    copy_text(view->subprotocol, sizeof view->subprotocol, conn->active->subprotocol);
  }
  const uint32_t at = conn->active == NULL ? conn->endpoint_at : conn->active->endpoint;
  copy_text(view->endpoint, sizeof view->endpoint, conn->config->urls[at].shown);
  return true;
}

static void count_lane(const struct stwi_outbox *lane, uint64_t values[STW_METRIC_COUNT]) {
  const uint64_t *ends = lane->counts;
  values[STW_METRIC_SETTLED] += ends[STW_MESSAGE_SETTLED];
  values[STW_METRIC_EXPIRED] += ends[STW_MESSAGE_EXPIRED];
  values[STW_METRIC_CANCELLED] += ends[STW_MESSAGE_CANCELLED];
  values[STW_METRIC_DROPPED] += ends[STW_MESSAGE_DROPPED];
  values[STW_METRIC_DEAD] += ends[STW_MESSAGE_DEAD];
  values[STW_METRIC_UNKNOWN] += ends[STW_MESSAGE_UNKNOWN];
  values[STW_METRIC_REPLAYED] += lane->replayed;
}

bool stwi_core_metrics(const struct stwi_core *core, uint32_t slot, stwi_time now,
                       uint64_t values[STW_METRIC_COUNT]) {
  const struct stwi_conn *conn = find(core, slot);
  if (conn == NULL)
    return false;
  memcpy(values, conn->metrics, sizeof conn->metrics);
  uint64_t running = now - conn->metrics_at;
  bool is_open = conn->state != STW_STATE_CLOSED && conn->state != STW_STATE_IDLE;
  bool is_up = stwi_conn_is_live(conn);
  if (is_open)
    values[STW_METRIC_OPEN_NS] += running;
  if (is_up)
    values[STW_METRIC_ONLINE_NS] += running;
  for (unsigned lane = 0; lane < STW_LANE_COUNT; lane++)
    count_lane(&conn->lanes[lane], values);
  values[STW_METRIC_OUTBOX_MESSAGES] = stwi_lanes_messages(conn->lanes);
  values[STW_METRIC_OUTBOX_BYTES] = stwi_lanes_bytes(conn->lanes);
  values[STW_METRIC_OUTBOX_PARKED] = conn->parked.count;
  values[STW_METRIC_RTT_NS] = conn->pulse.srtt_ns;
  values[STW_METRIC_PHI_MILLI] = stwi_pulse_phi_milli(&conn->pulse, now);
  values[STW_METRIC_HEARTBEAT_INTERVAL_NS] = stwi_pulse_interval_ns(&conn->pulse, now);
  values[STW_METRIC_IDLE_BOUND_NS] = conn->idle_bound_ns;
  return true;
}
