#include "core.h"

#include <string.h>

#define CONN_TYPE "steadwire.core.conn"
#define NOT_UTF8 "a text message must be UTF-8; pass {binary = true} for bytes"

stwi_lua_conn *stwi_lua_check_conn(lua_State *L, int index) {
  return luaL_checkudata(L, index, CONN_TYPE);
}

stwi_lua_conn *stwi_lua_open_conn(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_check_conn(L, 1);
  if (self->is_open)
    return self;
  stwi_lua_refuse_as(L, STW_E_CLOSED, "this conn was closed and freed; connect a new one");
  return NULL;
}

static int conn_free(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_check_conn(L, 1);
  if (self->is_open) {
    self->is_open = false;
    self->next = self->count = 0;
    stw_conn_free(self->conn); /* E_FORKED: both are the parent's to free */
    stw_mailbox_free(self->mailbox);
  }
  return 0;
}

static stw_guarantee configured_guarantee(const stw_config *config) {
  const char *name = stw_config_get(config, "guarantee");
  const stw_word *word;
  for (size_t i = 0; name && (word = stw_guarantee_at(i)); i++)
    if (!strcmp(word->name, name))
      return (stw_guarantee)word->value;
  return STW_AT_LEAST_ONCE;
}

/* Sets is_open and returns 0, or pushes what stwi_lua_refuse pushes and returns 3. */
static int open_with(lua_State *L, stwi_lua_conn *self, const stw_config *config) {
  stw_engine engine;
  stw_status status = stwi_lua_default_engine(L, &engine);
  if (status == STW_OK)
    status = stw_mailbox_new(&self->mailbox);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  self->guarantee = configured_guarantee(config);
  status = stw_conn_open(engine, self->mailbox, config, &self->conn);
  self->is_open = status == STW_OK;
  if (self->is_open)
    return 0;
  int count = stwi_lua_refuse(L, status);
  stw_mailbox_free(self->mailbox);
  return count;
}

int stwi_lua_open(lua_State *L) {
  if (lua_type(L, 1) != LUA_TTABLE)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "connect takes a table of options, not a %s",
                    luaL_typename(L, 1));
  lua_settop(L, 1);
  stwi_lua_conn *self = lua_newuserdata(L, sizeof *self);
  memset(self, 0, sizeof *self);
  luaL_getmetatable(L, CONN_TYPE);
  lua_setmetatable(L, -2);
  stw_status status;
  stw_config *config = stwi_lua_config(L, 1, &status);
  int refused = config ? open_with(L, self, config) : stwi_lua_refuse(L, status);
  if (refused)
    return refused;
  lua_settop(L, 2);
  return 1;
}

static int conn_tostring(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_check_conn(L, 1);
  lua_pushfstring(L, CONN_TYPE " (%s): %p", self->is_open ? "open" : "freed", (void *)self);
  return 1;
}

static stw_send_options default_options(const stwi_lua_conn *self) {
  stw_send_options options = {.struct_size = sizeof options, .is_text = true};
  options.guarantee = self->guarantee;
  return options;
}

/* send(data[, options]) -> id, number | nil, message, code */
static int conn_send(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_check_conn(L, 1);
  size_t size;
  const char *data = stwi_lua_check_string(L, 2, "a message", &size);
  stw_send_options options = default_options(self);
  if (!lua_isnoneornil(L, 3))
    stwi_lua_send_options(L, 3, &options);
  if (!stwi_lua_open_conn(L))
    return 3;
  if (options.is_text && stwi_lua_utf8_valid(data, size) < size)
    return stwi_lua_refuse_as(L, STW_E_ARGUMENT, NOT_UTF8);
  stw_message_id id;
  stw_status status = stw_conn_send(self->conn, data, size, &options, &id);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  stwi_lua_push_id(L, id);
  stwi_lua_push_count(L, id.number);
  return 2;
}

/* Pushes a userdata with the payloads of the array at index 2, which keeps the strings alive.
 * NULL: one of them is no text although it should be. */
static const stw_payload *push_payloads(lua_State *L, size_t count, bool is_text) {
  stw_payload *payloads = lua_newuserdata(L, (count ? count : 1) * sizeof *payloads);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 2, (int)i + 1);
    stw_payload *payload = &payloads[i];
    payload->data = stwi_lua_check_string(L, lua_gettop(L), "a message", &payload->size);
    if (is_text && stwi_lua_utf8_valid(payload->data, payload->size) < payload->size)
      return NULL;
    lua_pop(L, 1);
  }
  return payloads;
}

/* send_many(array[, options]) -> ids, number of the first | nil, message, code, ids, number
 * With a refusal the ids are those of the messages that were taken before it. */
static int conn_send_many(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_check_conn(L, 1);
  if (lua_type(L, 2) != LUA_TTABLE)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "send_many takes an array, not a %s", luaL_typename(L, 2));
  size_t count = lua_rawlen(L, 2);
  stw_send_options options = default_options(self);
  if (!lua_isnoneornil(L, 3))
    stwi_lua_send_options(L, 3, &options);
  const stw_payload *payloads = push_payloads(L, count, options.is_text);
  if (!stwi_lua_open_conn(L))
    return 3;
  if (!payloads)
    return stwi_lua_refuse_as(L, STW_E_ARGUMENT, NOT_UTF8);
  size_t taken = 0;
  stw_message_id id = {0, 0};
  stw_status status = STW_OK;
  if (count)
    status = stw_conn_send_many(self->conn, payloads, count, &options, &taken, &id);
  int results = status == STW_OK ? 0 : stwi_lua_refuse(L, status);
  lua_createtable(L, (int)taken, 0);
  for (size_t i = 0; i < taken; i++) {
    stwi_lua_push_id(L, (stw_message_id){id.stream, id.number + i});
    lua_rawseti(L, -2, (int)i + 1);
  }
  stwi_lua_push_count(L, id.number);
  return results + 2;
}

/* drain(array, last) -> count, bytes | nil, message, code
 * Appends up to STWI_LUA_BATCH events behind index `last`; bytes is the size of the messages. */
static int conn_drain(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer last = luaL_checkinteger(L, 3);
  if (self->next == self->count) {
    size_t count = 0;
    stw_status status = stw_mailbox_drain(self->mailbox, self->batch, STWI_LUA_BATCH, &count);
    if (status != STW_OK)
      return stwi_lua_refuse(L, status);
    self->next = 0;
    self->count = count;
  }
  uint64_t bytes = 0;
  lua_Integer first = last;
  while (self->next < self->count) {
    const stw_event *event = self->batch[self->next];
    stwi_lua_push_event(L, event);
    lua_rawseti(L, 2, (int)++last);
    bytes += event->kind == STW_EVENT_MESSAGE ? event->u.message.size : 0;
    self->next++;
  }
  lua_pushinteger(L, last - first);
  stwi_lua_push_count(L, bytes);
  return 2;
}

/* fd() -> descriptor | nil, message, code */
static int conn_fd(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  int fd = stw_mailbox_fd(self->mailbox);
  if (fd < 0)
    return stwi_lua_refuse(L, (stw_status)fd);
  lua_pushinteger(L, fd);
  return 1;
}

/* wait(timeout) -> true | nil, message, "timeout" or "interrupted"
 * A signal ends the wait, so that the hook which lua(1) sets in its handler can run. */
static int conn_wait(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  return stwi_lua_answer(L, stw_mailbox_wait(self->mailbox, stwi_lua_duration_ms(L, 2, -1)));
}

/* close(timeout) */
static int conn_close(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  int64_t timeout_ms = stwi_lua_duration_ms(L, 2, INT64_MAX / 1000000);
  return stwi_lua_answer(L, stw_conn_close(self->conn, (uint64_t)timeout_ms));
}

static int conn_reopen(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  return self ? stwi_lua_answer(L, stw_conn_reopen(self->conn)) : 3;
}

static int conn_kick(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  return self ? stwi_lua_answer(L, stw_conn_kick(self->conn)) : 3;
}

static int conn_ready(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  return self ? stwi_lua_answer(L, stw_conn_ready(self->conn)) : 3;
}

/* opening(key, data | nil, is_binary) */
static int conn_opening(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_check_conn(L, 1);
  size_t key_size;
  const char *key = stwi_lua_check_string(L, 2, "the key of an opening", &key_size);
  if (!key_size || strlen(key) != key_size)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "the key of an opening is not empty and holds no NUL");
  size_t size = 0;
  const char *data = lua_isnoneornil(L, 3) ? NULL : stwi_lua_check_string(L, 3, "a message", &size);
  bool is_text = !lua_toboolean(L, 4);
  if (!stwi_lua_open_conn(L))
    return 3;
  if (data && is_text && stwi_lua_utf8_valid(data, size) < size)
    return stwi_lua_refuse_as(L, STW_E_ARGUMENT, NOT_UTF8);
  return stwi_lua_answer(L, stw_conn_opening(self->conn, key, data, size, is_text));
}

static int conn_supply(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  return self ? stwi_lua_supply(L, self->conn, 2) : 3;
}

static int conn_look(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  stw_conn_view view = {.struct_size = sizeof view};
  stw_status status = stw_conn_look(self->conn, &view);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  stwi_lua_push_view(L, &view);
  return 1;
}

/* state() -> name | nil, message, code: conn_look without the table */
static int conn_state(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  stw_conn_view view = {.struct_size = sizeof view};
  stw_status status = stw_conn_look(self->conn, &view);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  const stw_word *word = stw_state_at((size_t)view.state);
  lua_pushstring(L, word ? word->name : "");
  return 1;
}

static int conn_stats(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  uint64_t values[STW_METRIC_COUNT];
  stw_status status = stw_conn_stats(self->conn, values, STW_METRIC_COUNT);
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  lua_createtable(L, 0, STW_METRIC_COUNT);
  const stw_metric_info *info;
  for (size_t i = 0; i < STW_METRIC_COUNT && (info = stw_metric_at(i)); i++) {
    stwi_lua_push_count(L, values[info->metric]);
    lua_setfield(L, -2, info->name);
  }
  return 1;
}

/* processed(lane, number) -> true | nil, message, code */
static int conn_processed(lua_State *L) {
  stwi_lua_conn *self = stwi_lua_open_conn(L);
  if (!self)
    return 3;
  stw_lane lane = stwi_lua_check_lane(L, 2);
  lua_Number number = luaL_checknumber(L, 3);
  luaL_argcheck(L, number >= 0 && number < 9007199254740992.0, 3, "a message number");
  return stwi_lua_answer(L, stw_conn_processed(self->conn, lane, (uint64_t)number));
}

void stwi_lua_register_conn(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"send", conn_send},
      {"send_many", conn_send_many},
      {"wait", conn_wait},
      {"drain", conn_drain},
      {"fd", conn_fd},
      {"close", conn_close},
      {"reopen", conn_reopen},
      {"kick", conn_kick},
      {"ready", conn_ready},
      {"opening", conn_opening},
      {"supply", conn_supply},
      {"look", conn_look},
      {"state", conn_state},
      {"stats", conn_stats},
      {"outbox", stwi_lua_conn_outbox},
      {"processed", conn_processed},
      {"free", conn_free},
      {NULL, NULL},
  };
  luaL_newmetatable(L, CONN_TYPE);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, conn_free);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, conn_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushliteral(L, CONN_TYPE);
  lua_setfield(L, -2, "__name");
  lua_pop(L, 1);
}
