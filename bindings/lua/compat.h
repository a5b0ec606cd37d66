/* compat.h: the few places where Lua 5.1, LuaJIT, 5.2, 5.3 and 5.4 differ for us. */
#ifndef STEADWIRE_LUA_COMPAT_H
#define STEADWIRE_LUA_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

#if LUA_VERSION_NUM < 502
#define lua_rawlen(L, index) lua_objlen(L, index)
#ifndef luaL_newlib /* LuaJIT has it */
#define luaL_setfuncs(L, functions, upvalues)                                                      \
  ((void)sizeof(char[(upvalues) == 0 ? 1 : -1]), luaL_register(L, NULL, functions))
#define luaL_newlib(L, functions) (lua_newtable(L), luaL_setfuncs(L, functions, 0))
#endif
#endif

/* Counters: an integer where Lua has them, else a double, exact up to 2^53. */
static inline void stwi_lua_push_count(lua_State *L, uint64_t count) {
#if LUA_VERSION_NUM >= 503
  lua_pushinteger(L, (lua_Integer)count);
#else
  lua_pushnumber(L, (lua_Number)count);
#endif
}

#endif
