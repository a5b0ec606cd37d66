#include "core.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ENGINE_TYPE "steadwire.engine"
#define ENGINE_SLOT "steadwire.default_engine"

typedef struct lua_engine {
  stw_engine engine;
  pid_t pid; /* of the process that made it */
  bool is_running;
} lua_engine;

int stwi_lua_refuse_as(lua_State *L, stw_status status, const char *sentence) {
  lua_pushnil(L);
  lua_pushstring(L, sentence);
  lua_pushstring(L, stw_status_find(status)->name);
  return 3;
}

int stwi_lua_refuse(lua_State *L, stw_status status) {
  const char *sentence = stw_last_error();
  return stwi_lua_refuse_as(L, status, *sentence ? sentence : stw_status_find(status)->text);
}

int stwi_lua_answer(lua_State *L, stw_status status) {
  if (status != STW_OK)
    return stwi_lua_refuse(L, status);
  lua_pushboolean(L, true);
  return 1;
}

void stwi_lua_misuse(lua_State *L, stw_status status, const char *format, ...) {
  char sentence[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  luaL_where(L, 2); /* 1 is the Lua face */
  lua_pushfstring(L, "%s%s [%s]", lua_tostring(L, -1), sentence, stw_status_find(status)->name);
  lua_error(L);
  abort(); /* lua_error does not return, and Lua's headers do not say so */
}

const char *stwi_lua_check_string(lua_State *L, int index, const char *what, size_t *size) {
  if (lua_type(L, index) != LUA_TSTRING)
    stwi_lua_misuse(L, STW_E_ARGUMENT, "%s is a string, not a %s", what, luaL_typename(L, index));
  return lua_tolstring(L, index, size);
}

static int engine_gc(lua_State *L) {
  lua_engine *self = luaL_checkudata(L, 1, ENGINE_TYPE);
  if (self->is_running && self->pid == getpid())
    stw_engine_free(self->engine);
  self->is_running = false;
  return 0;
}

static void register_engine(lua_State *L) {
  luaL_newmetatable(L, ENGINE_TYPE);
  lua_pushcfunction(L, engine_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

/* Lends the registered engine, NULL if there is none that this process may use. */
static lua_engine *registered_engine(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, ENGINE_SLOT);
  lua_engine *self = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return self && self->is_running && self->pid == getpid() ? self : NULL;
}

stw_status stwi_lua_default_engine(lua_State *L, stw_engine *engine) {
  lua_engine *self = registered_engine(L);
  if (!self) {
    self = lua_newuserdata(L, sizeof *self);
    self->is_running = false;
    luaL_getmetatable(L, ENGINE_TYPE);
    lua_setmetatable(L, -2);
    lua_setfield(L, LUA_REGISTRYINDEX, ENGINE_SLOT);
    stw_status status = stw_engine_new(&self->engine);
    if (status != STW_OK)
      return status;
    self->pid = getpid();
    self->is_running = true;
  }
  *engine = self->engine;
  return STW_OK;
}

/* stop(): ends the engine of this lua_State; true if one ran */
static int core_stop(lua_State *L) {
  lua_engine *self = registered_engine(L);
  lua_pushboolean(L, self != NULL);
  if (self) {
    self->is_running = false;
    stw_engine_free(self->engine);
  }
  return 1;
}

/* network("up" | "down" | "changed") */
static int core_network(lua_State *L) {
  static const char *const names[] = {"up", "down", "changed", NULL};
  static const stw_network values[] = {STW_NETWORK_UP, STW_NETWORK_DOWN, STW_NETWORK_CHANGED};
  size_t size;
  const char *name = stwi_lua_check_string(L, 1, "what the network does", &size);
  int index = 0;
  while (names[index] && strcmp(names[index], name) != 0)
    index++;
  if (!names[index])
    stwi_lua_misuse(L, STW_E_ARGUMENT, "the network is \"up\", \"down\" or \"changed\"");
  lua_engine *self = registered_engine(L);
  if (!self)
    return stwi_lua_refuse_as(L, STW_E_HANDLE, "no engine runs: connect first");
  return stwi_lua_answer(L, stw_engine_network(self->engine, values[index]));
}

/* now() -> seconds on the clock of event.at */
static int core_now(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9);
  return 1;
}

/* duration(15 | "250ms") -> seconds, nil for no limit */
static int core_duration(lua_State *L) {
  int64_t ms = stwi_lua_duration_ms(L, 1, -1);
  if (ms < 0)
    lua_pushnil(L);
  else
    lua_pushnumber(L, (lua_Number)ms / 1e3);
  return 1;
}

/* version() -> that of the engine that runs */
static int core_version(lua_State *L) {
  lua_pushstring(L, stw_version());
  return 1;
}

/* wait({fd, ...}, timeout) -> true | nil, message, "timeout" or "interrupted"
 * For several conns; one of them waits with its own wait(). */
static int core_wait(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  size_t count = lua_rawlen(L, 1);
  int64_t timeout_ms = stwi_lua_duration_ms(L, 2, -1);
  struct pollfd few[16];
  struct pollfd *fds = few;
  if (count > sizeof few / sizeof *few)
    fds = lua_newuserdata(L, count * sizeof *fds);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 1, (int)i + 1);
    fds[i] = (struct pollfd){.fd = (int)luaL_checkinteger(L, -1), .events = POLLIN};
    lua_pop(L, 1);
  }
  int ready = poll(fds, (nfds_t)count, timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms);
  if (ready > 0)
    return stwi_lua_answer(L, STW_OK);
  if (ready == 0)
    return stwi_lua_refuse_as(L, STW_E_TIMEOUT, "the time given is over");
  if (errno == EINTR)
    return stwi_lua_refuse_as(L, STW_E_INTERRUPTED, "a signal arrived while waiting");
  return stwi_lua_refuse_as(L, STW_E_SYSTEM, "the operating system refused to poll");
}

__attribute__((visibility("default"))) int luaopen_steadwire_core(lua_State *L);

int luaopen_steadwire_core(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"open", stwi_lua_open},
      {"stop", core_stop},
      {"network", core_network},
      {"now", core_now},
      {"duration", core_duration},
      {"wait", core_wait},
      {"version", core_version},
      {"outbox", stwi_lua_outbox_open},
      {NULL, NULL},
  };
  register_engine(L);
  stwi_lua_register_config(L);
  stwi_lua_register_conn(L);
  stwi_lua_register_outbox(L);
  luaL_newlib(L, functions);
  stwi_lua_push_words(L);
  lua_setfield(L, -2, "words");
  return 1;
}
