#include "core.h"

void stwi_lua_set_count(lua_State *L, const char *name, uint64_t count) {
  stwi_lua_push_count(L, count);
  lua_setfield(L, -2, name);
}

void stwi_lua_set_seconds(lua_State *L, const char *name, uint64_t ns) {
  lua_pushnumber(L, (lua_Number)ns / 1e9);
  lua_setfield(L, -2, name);
}

void stwi_lua_set_text(lua_State *L, const char *name, const char *text) {
  lua_pushstring(L, text ? text : "");
  lua_setfield(L, -2, name);
}

void stwi_lua_set_flag(lua_State *L, const char *name, bool flag) {
  lua_pushboolean(L, flag);
  lua_setfield(L, -2, name);
}

static void set_cause(lua_State *L, stw_cause cause) {
  const stw_cause_info *info = stw_cause_at((size_t)cause);
  stwi_lua_set_text(L, "cause", info ? info->name : NULL);
}

void stwi_lua_set_word(lua_State *L, const char *name, const stw_word *word) {
  stwi_lua_set_text(L, name, word ? word->name : NULL);
}

/* Codes are nil where there is none, so that `if event.close_code` reads as it should. */
static void set_codes(lua_State *L, uint16_t close_code, uint16_t http_status) {
  if (close_code)
    stwi_lua_set_count(L, "close_code", close_code);
  if (http_status)
    stwi_lua_set_count(L, "http_status", http_status);
}

static void set_phases(lua_State *L, const uint64_t *phase_ns) {
  lua_newtable(L);
  const stw_word *word;
  for (size_t i = 0; i < STW_PHASE_COUNT && (word = stw_phase_at(i)); i++)
    if (phase_ns[i])
      stwi_lua_set_seconds(L, word->name, phase_ns[i]);
  lua_setfield(L, -2, "phases");
}

static void set_state(lua_State *L, const stw_event *event) {
  stwi_lua_set_word(L, "from", stw_state_at((size_t)event->u.state.from));
  stwi_lua_set_word(L, "to", stw_state_at((size_t)event->u.state.to));
  set_cause(L, event->u.state.cause);
  stwi_lua_set_count(L, "attempt", event->u.state.attempt);
  stwi_lua_set_seconds(L, "delay", event->u.state.delay_ns);
  set_codes(L, event->u.state.close_code, event->u.state.http_status);
  stwi_lua_set_flag(L, "resumed", event->u.state.resumed);
  stwi_lua_set_text(L, "detail", event->u.state.detail);
  if (event->u.state.to == STW_STATE_ONLINE)
    set_phases(L, event->u.state.phase_ns);
}

static void set_message(lua_State *L, const stw_event *event) {
  lua_pushlstring(L, event->u.message.data, event->u.message.size);
  lua_setfield(L, -2, "data");
  stwi_lua_set_flag(L, "text", event->u.message.is_text);
  stwi_lua_set_word(L, "lane", stw_lane_at((size_t)event->u.message.lane));
  stwi_lua_set_flag(L, "replayed", event->u.message.is_replayed);
  if (!event->u.message.id.number)
    return;
  stwi_lua_push_id(L, event->u.message.id);
  lua_setfield(L, -2, "id");
  stwi_lua_set_count(L, "number", event->u.message.id.number);
}

static void set_proof(lua_State *L, const stw_event *event) {
  stwi_lua_set_word(L, "proof", stw_proof_at((size_t)event->u.proof.proof));
  stwi_lua_set_word(L, "lane", stw_lane_at((size_t)event->u.proof.lane));
  stwi_lua_set_count(L, "upto", event->u.proof.upto);
  stwi_lua_set_count(L, "after", event->u.proof.after);
  stwi_lua_set_count(L, "settled", event->u.proof.settled);
}

static void set_ended(lua_State *L, const stw_event *event) {
  stwi_lua_push_id(L, event->u.ended.id);
  lua_setfield(L, -2, "id");
  stwi_lua_set_count(L, "number", event->u.ended.id.number);
  stwi_lua_set_word(L, "state", stw_message_state_at((size_t)event->u.ended.state));
  set_cause(L, event->u.ended.cause);
  stwi_lua_set_text(L, "detail", event->u.ended.detail);
}

static void set_replay(lua_State *L, const stw_event *event) {
  stwi_lua_set_count(L, "messages", event->u.replay.messages);
  stwi_lua_set_count(L, "bytes", event->u.replay.bytes);
}

static void set_gap(lua_State *L, const stw_event *event) {
  stwi_lua_set_word(L, "reason", stw_gap_reason_at((size_t)event->u.gap.reason));
  stwi_lua_set_flag(L, "known", event->u.gap.known);
  stwi_lua_set_count(L, "messages", event->u.gap.messages);
  stwi_lua_set_word(L, "lane", stw_lane_at((size_t)event->u.gap.lane));
  if (event->u.gap.to) {
    stwi_lua_set_count(L, "from", event->u.gap.from);
    stwi_lua_set_count(L, "to", event->u.gap.to);
  }
}

static void set_store(lua_State *L, const stw_event *event) {
  stwi_lua_set_word(L, "health", stw_store_health_at((size_t)event->u.store.health));
  stwi_lua_set_count(L, "messages", event->u.store.messages);
  stwi_lua_set_text(L, "detail", event->u.store.detail);
}

static void set_session_stale(lua_State *L, const stw_event *event) {
  stwi_lua_set_count(L, "messages", event->u.session_stale.messages);
  stwi_lua_set_text(L, "detail", event->u.session_stale.detail);
}

static void set_credentials(lua_State *L, const stw_event *event) {
  const stw_cause_info *why = stw_cause_at((size_t)event->u.credentials.why);
  stwi_lua_set_count(L, "attempt", event->u.credentials.attempt);
  stwi_lua_set_text(L, "why", why ? why->name : NULL);
  stwi_lua_set_seconds(L, "deadline", event->u.credentials.deadline_ns);
}

static void set_retry(lua_State *L, const stw_event *event) {
  set_cause(L, event->u.retry.cause);
  stwi_lua_set_count(L, "attempt", event->u.retry.attempt);
  stwi_lua_set_seconds(L, "delay", event->u.retry.delay_ns);
  set_codes(L, event->u.retry.close_code, event->u.retry.http_status);
  stwi_lua_set_text(L, "detail", event->u.retry.detail);
}

static void set_closed(lua_State *L, const stw_event *event) {
  set_cause(L, event->u.closed.cause);
  stwi_lua_set_count(L, "undelivered", event->u.closed.undelivered);
  stwi_lua_set_text(L, "detail", event->u.closed.detail);
}

static void set_stale(lua_State *L, const stw_event *event) {
  stwi_lua_set_seconds(L, "silence", event->u.stale.silence_ns);
}

/* Kinds without fields of their own have none here. */
static void (*const setters[STW_EVENT_COUNT])(lua_State *, const stw_event *) = {
    [STW_EVENT_STATE] = set_state,   [STW_EVENT_MESSAGE] = set_message,
    [STW_EVENT_PROOF] = set_proof,   [STW_EVENT_MESSAGE_ENDED] = set_ended,
    [STW_EVENT_REPLAY] = set_replay, [STW_EVENT_GAP] = set_gap,
    [STW_EVENT_STALE] = set_stale,   [STW_EVENT_CREDENTIALS_NEEDED] = set_credentials,
    [STW_EVENT_RETRY] = set_retry,   [STW_EVENT_CLOSED] = set_closed,
    [STW_EVENT_STORE] = set_store,   [STW_EVENT_SESSION_STALE] = set_session_stale,
};

void stwi_lua_push_event(lua_State *L, const stw_event *event) {
  lua_createtable(L, 0, 5);
  stwi_lua_set_word(L, "kind", stw_event_kind_at((size_t)event->kind));
  stwi_lua_set_count(L, "link", event->link);
  stwi_lua_set_seconds(L, "at", event->at_ns);
  if ((size_t)event->kind < STW_EVENT_COUNT && setters[event->kind])
    setters[event->kind](L, event);
}

void stwi_lua_push_view(lua_State *L, const stw_conn_view *view) {
  lua_createtable(L, 0, 20);
  stwi_lua_set_word(L, "state", stw_state_at((size_t)view->state));
  stwi_lua_set_flag(L, "closing", view->is_closing);
  set_cause(L, view->cause);
  stwi_lua_set_count(L, "attempt", view->attempt);
  stwi_lua_set_count(L, "link", view->link);
  stwi_lua_set_seconds(L, "since", view->since_ns);
  if (view->next_attempt_ns)
    stwi_lua_set_seconds(L, "next_attempt", view->next_attempt_ns);
  if (view->rtt_ns)
    stwi_lua_set_seconds(L, "rtt", view->rtt_ns);
  stwi_lua_set_count(L, "outbox_messages", view->outbox_messages);
  stwi_lua_set_count(L, "outbox_bytes", view->outbox_bytes);
  stwi_lua_set_count(L, "outbox_parked", view->outbox_parked);
  stwi_lua_set_count(L, "last_number", view->stream.number);
  stwi_lua_set_count(L, "last_control_number", view->control.number);
  stwi_lua_set_flag(L, "has_session", view->has_session);
  stwi_lua_set_flag(L, "has_store", view->has_store);
  set_codes(L, view->close_code, view->http_status);
  stwi_lua_set_text(L, "detail", view->detail);
  stwi_lua_set_text(L, "subprotocol", view->subprotocol);
  stwi_lua_set_text(L, "endpoint", view->endpoint);
}

static void push_word_list(lua_State *L, const stw_word *(*at)(size_t), const char *name) {
  lua_newtable(L);
  const stw_word *word;
  for (size_t i = 0; (word = at(i)); i++)
    stwi_lua_set_text(L, word->name, word->text);
  lua_setfield(L, -2, name);
}

static void push_causes(lua_State *L) {
  lua_newtable(L);
  const stw_cause_info *info;
  for (size_t i = 0; (info = stw_cause_at(i)); i++) {
    lua_createtable(L, 0, 3);
    stwi_lua_set_word(L, "class", stw_class_at((size_t)info->cls));
    stwi_lua_set_text(L, "text", info->text);
    stwi_lua_set_text(L, "remedy", info->remedy);
    lua_setfield(L, -2, info->name);
  }
  lua_setfield(L, -2, "causes");
}

static void push_codes(lua_State *L) {
  lua_newtable(L);
  const stw_status_info *info;
  for (size_t i = 0; (info = stw_status_at(i)); i++) {
    lua_createtable(L, 0, 3);
    stwi_lua_set_text(L, "text", info->text);
    stwi_lua_set_text(L, "remedy", info->remedy);
    stwi_lua_set_flag(L, "retryable", info->retryable);
    lua_setfield(L, -2, info->name);
  }
  lua_setfield(L, -2, "codes");
}

static void push_options(lua_State *L) {
  static const char *const types[] = {
      [STW_OPTION_TEXT] = "text",   [STW_OPTION_DURATION] = "duration",
      [STW_OPTION_BYTES] = "bytes", [STW_OPTION_COUNT] = "count",
      [STW_OPTION_BOOL] = "bool",   [STW_OPTION_CHOICE] = "choice",
      [STW_OPTION_LIST] = "list",   [STW_OPTION_MAP] = "map",
  };
  lua_newtable(L);
  const stw_option *option;
  for (size_t i = 0; (option = stw_option_at(i)); i++) {
    lua_createtable(L, 0, 5);
    stwi_lua_set_text(L, "type", types[option->type]);
    stwi_lua_set_text(L, "unit", option->unit);
    stwi_lua_set_text(L, "default", option->default_value);
    stwi_lua_set_text(L, "range", option->range);
    stwi_lua_set_text(L, "text", option->text);
    lua_setfield(L, -2, option->name);
  }
  lua_setfield(L, -2, "options");
}

void stwi_lua_push_words(lua_State *L) {
  lua_newtable(L);
  push_word_list(L, stw_state_at, "states");
  push_word_list(L, stw_phase_at, "phases");
  push_word_list(L, stw_message_state_at, "message_states");
  push_word_list(L, stw_guarantee_at, "guarantees");
  push_word_list(L, stw_event_kind_at, "events");
  push_word_list(L, stw_gap_reason_at, "gaps");
  push_word_list(L, stw_lane_at, "lanes");
  push_word_list(L, stw_store_health_at, "stores");
  push_word_list(L, stw_edit_at, "edits");
  push_causes(L);
  push_codes(L);
  push_options(L);
  lua_newtable(L); /* an array: weakest first */
  const stw_word *word;
  for (int i = 0; (word = stw_proof_at((size_t)i)); i++) {
    lua_pushstring(L, word->name);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "proofs");
}
