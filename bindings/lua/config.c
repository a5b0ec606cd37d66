#include "core.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CONFIG_TYPE "steadwire.config"

/* Longjmp-safe owner: Lua frees the config when an error passes by. */
static int config_gc(lua_State *L) {
  stw_config **box = luaL_checkudata(L, 1, CONFIG_TYPE);
  stw_config_free(*box);
  *box = NULL;
  return 0;
}

void stwi_lua_register_config(lua_State *L) {
  luaL_newmetatable(L, CONFIG_TYPE);
  lua_pushcfunction(L, config_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

static const stw_option *find_option(const char *name) {
  const stw_option *option;
  for (size_t i = 0; (option = stw_option_at(i)); i++)
    if (!strcmp(option->name, name))
      return option;
  return NULL;
}

/* Pushes the text form that stw_config_set takes. Numbers never in exponent form. */
static const char *push_text(lua_State *L, int index, const char *name) {
  char text[64];
  int type = lua_type(L, index);
  if (type == LUA_TSTRING) {
    size_t size;
    const char *string = lua_tolstring(L, index, &size);
    if (strlen(string) != size)
      stwi_lua_misuse(L, STW_E_URL, "option '%s' holds a NUL byte: remove it", name);
    lua_pushvalue(L, index);
  } else if (type == LUA_TBOOLEAN) {
    lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
  } else if (type == LUA_TNUMBER) {
    double number = (double)lua_tonumber(L, index);
    if (!(fabs(number) < 1e18))
      stwi_lua_misuse(L, STW_E_VALUE, "option '%s' is out of range", name);
    bool is_whole = floor(number) == number;
    int size = snprintf(text, sizeof text, is_whole ? "%.0f" : "%.9f", number);
    lua_pushlstring(L, text, (size_t)size);
  } else {
    stwi_lua_misuse(L, STW_E_VALUE, "option '%s' cannot be a %s", name, lua_typename(L, type));
  }
  return lua_tostring(L, -1);
}

static stw_status set_list(lua_State *L, stw_config *config, const char *name, int index) {
  stw_status status = STW_OK;
  int count = (int)lua_rawlen(L, index);
  for (int i = 1; i <= count && status == STW_OK; i++) {
    lua_rawgeti(L, index, i);
    const char *text = push_text(L, lua_gettop(L), name);
    status = i == 1 ? stw_config_set(config, name, text) : stw_config_add(config, name, text);
    lua_pop(L, 2);
  }
  return status;
}

static stw_status set_map(lua_State *L, stw_config *config, const char *name, int index) {
  stw_status status = STW_OK;
  lua_pushnil(L);
  while (status == STW_OK && lua_next(L, index)) {
    int top = lua_gettop(L);
    const char *key = push_text(L, top - 1, name);
    const char *value = push_text(L, top, name);
    status = stw_config_put(config, name, key, value);
    lua_settop(L, top - 1);
  }
  return status;
}

/* {data number, control number} becomes "N,M". */
static stw_status set_cursor(lua_State *L, stw_config *config, const char *name, int index) {
  if (lua_rawlen(L, index) != 2)
    stwi_lua_misuse(L, STW_E_VALUE, "option '%s' is a number or {data, control}", name);
  lua_rawgeti(L, index, 1);
  push_text(L, lua_gettop(L), name);
  lua_pushliteral(L, ",");
  lua_rawgeti(L, index, 2);
  push_text(L, lua_gettop(L), name);
  lua_remove(L, -2);
  lua_concat(L, 3);
  stw_status status = stw_config_set(config, name, lua_tostring(L, -1));
  lua_pop(L, 2);
  return status;
}

static stw_status set_option(lua_State *L, stw_config *config, const char *name, int index) {
  const stw_option *option = find_option(name);
  if (lua_type(L, index) == LUA_TTABLE && option && option->type == STW_OPTION_LIST)
    return set_list(L, config, name, index);
  if (lua_type(L, index) == LUA_TTABLE && option && option->type == STW_OPTION_MAP)
    return set_map(L, config, name, index);
  if (lua_type(L, index) == LUA_TTABLE && !strcmp(name, "inbound_from"))
    return set_cursor(L, config, name, index);
  if (!option) /* an unknown name matters more than its value's type */
    return stw_config_set(config, name, "");
  stw_status status = stw_config_set(config, name, push_text(L, index, name));
  lua_pop(L, 1);
  return status;
}

stw_config *stwi_lua_config(lua_State *L, int index, stw_status *status) {
  stw_config **box = lua_newuserdata(L, sizeof(stw_config *));
  *box = NULL;
  luaL_getmetatable(L, CONFIG_TYPE);
  lua_setmetatable(L, -2);
  *box = stw_config_new();
  *status = *box ? STW_OK : STW_E_MEMORY;
  lua_pushnil(L);
  while (*status == STW_OK && lua_next(L, index)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      stwi_lua_misuse(L, STW_E_OPTION, "option names are strings, this one is a %s",
                      luaL_typename(L, -2));
    *status = set_option(L, *box, lua_tostring(L, -2), lua_gettop(L));
    lua_pop(L, 1);
  }
  if (*status == STW_OK)
    return *box;
  return NULL;
}

/* The ABI's 0 means for ever; a host that says 0 means something else. */
static uint64_t lifetime_ms(lua_State *L, int index, const char *name) {
  int64_t ms = stwi_lua_duration_ms(L, index, -1);
  if (ms == 0)
    stwi_lua_misuse(L, STW_E_VALUE, "%s is over 0; leave it out for no limit", name);
  return ms < 0 ? 0 : (uint64_t)ms;
}

static stw_guarantee check_guarantee(lua_State *L, int index) {
  const char *name = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
  const stw_word *word;
  for (size_t i = 0; (word = stw_guarantee_at(i)); i++)
    if (!strcmp(word->name, name))
      return (stw_guarantee)word->value;
  stwi_lua_misuse(L, STW_E_ARGUMENT,
                  "guarantee is \"at_least_once\", \"at_most_once\" or \"exactly_once\"");
  return STW_AT_LEAST_ONCE;
}

stw_lane stwi_lua_check_lane(lua_State *L, int index) {
  const char *name = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
  const stw_word *word;
  for (size_t i = 0; (word = stw_lane_at(i)); i++)
    if (!strcmp(word->name, name))
      return (stw_lane)word->value;
  stwi_lua_misuse(L, STW_E_ARGUMENT, "lane is \"data\" or \"control\"");
  return STW_LANE_DATA;
}

static void read_key(lua_State *L, int index, stw_send_options *options) {
  if (lua_type(L, index) != LUA_TSTRING)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "key is a string, not a %s", luaL_typename(L, index));
  options->key = lua_tolstring(L, index, &options->key_size);
  if (!options->key_size)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "key is empty");
}

void stwi_lua_send_options(lua_State *L, int index, stw_send_options *options) {
  if (lua_type(L, index) != LUA_TTABLE)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "options of send are a table, not a %s",
                    luaL_typename(L, index));
  lua_pushnil(L);
  while (lua_next(L, index)) {
    int value = lua_gettop(L);
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (!strcmp(name, "ttl"))
      options->ttl_ms = lifetime_ms(L, value, "ttl");
    else if (!strcmp(name, "key"))
      read_key(L, value, options);
    else if (!strcmp(name, "guarantee"))
      options->guarantee = check_guarantee(L, value);
    else if (!strcmp(name, "lane"))
      options->lane = stwi_lua_check_lane(L, value);
    else if (!strcmp(name, "text"))
      options->is_text = lua_toboolean(L, value);
    else if (!strcmp(name, "binary"))
      options->is_text = !lua_toboolean(L, value);
    else if (strcmp(name, "wait") != 0)
      stwi_lua_misuse(L, STW_E_ARGUMENT,
                      "send has no option '%s': it takes ttl, key, guarantee, lane, text, binary, "
                      "wait",
                      *name ? name : luaL_typename(L, -2));
    lua_pop(L, 1);
  }
}

/* Lends a string of the table's; a NUL byte in it is reported by *has_nul. */
static const char *string_at(lua_State *L, int index, const char *name, bool *has_nul) {
  if (lua_type(L, index) != LUA_TSTRING)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "%s is a string, not a %s", name, luaL_typename(L, index));
  size_t size;
  const char *text = lua_tolstring(L, index, &size);
  *has_nul = *has_nul || strlen(text) != size;
  return text;
}

static const char *optional_text(lua_State *L, int index, const char *name, bool *has_nul) {
  lua_getfield(L, index, name);
  const char *text = lua_isnil(L, -1) ? NULL : string_at(L, lua_gettop(L), name, has_nul);
  lua_pop(L, 1); /* the table keeps the string alive */
  return text;
}

/* Pushes a userdata that holds name, value, ..., NULL; the strings stay owned by the table. */
static const char *const *push_headers(lua_State *L, int table, bool *has_nul) {
  if (lua_type(L, table) != LUA_TTABLE)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "headers is a table, not a %s", luaL_typename(L, table));
  size_t count = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
    count++;
  const char **list = lua_newuserdata(L, (2 * count + 1) * sizeof *list);
  size_t at = 0;
  for (lua_pushnil(L); lua_next(L, table) && at < 2 * count; lua_pop(L, 1)) {
    int value = lua_gettop(L);
    list[at++] = string_at(L, value - 1, "a header's name", has_nul);
    list[at++] = string_at(L, value, "a header's value", has_nul);
  }
  list[at] = NULL;
  return list;
}

static void check_supply_names(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TTABLE)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "credentials are a table, not a %s",
                    luaL_typename(L, index));
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (strcmp(name, "url") != 0 && strcmp(name, "token") != 0 && strcmp(name, "headers") != 0 &&
        strcmp(name, "expires_in") != 0)
      stwi_lua_misuse(L, STW_E_ARGUMENT,
                      "credentials have no field '%s': they take url, token, headers, expires_in",
                      *name ? name : luaL_typename(L, -2));
  }
}

int stwi_lua_supply(lua_State *L, stw_conn conn, int index) {
  check_supply_names(L, index);
  stw_credentials credentials = {.struct_size = sizeof credentials};
  bool has_nul = false;
  credentials.url = optional_text(L, index, "url", &has_nul);
  credentials.token = optional_text(L, index, "token", &has_nul);
  lua_getfield(L, index, "expires_in");
  credentials.valid_ms = lifetime_ms(L, lua_gettop(L), "expires_in");
  lua_getfield(L, index, "headers");
  if (!lua_isnil(L, -1))
    credentials.headers = push_headers(L, lua_gettop(L), &has_nul);
  if (has_nul)
    return stwi_lua_refuse_as(L, STW_E_URL, "credentials hold a NUL byte: remove it");
  return stwi_lua_answer(L, stw_conn_supply(conn, &credentials));
}
