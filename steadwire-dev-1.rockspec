rockspec_format = "3.0"
package = "steadwire"
version = "dev-1"
source = { url = "file://." }
description = {
  summary = "Real-time connections that stay up, and can say why",
  detailed = [[
    A C engine that keeps a WebSocket connection alive and delivers every message, without forcing
    an event loop on the program. Needs libwebsockets, libuv, OpenSSL, libstrophe and GNU SASL with
    their headers.
  ]],
  license = "MIT",
  labels = { "websocket", "network" },
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.5" }
build = {
  type = "cmake",
  variables = {
    CMAKE_BUILD_TYPE = "RelWithDebInfo",
    CMAKE_INSTALL_PREFIX = "$(PREFIX)",
    STW_HARDEN = "ON",
    STW_ROCK_LUA_INCDIR = "$(LUA_INCDIR)",
    STW_ROCK_LIBDIR = "$(LIBDIR)",
    STW_ROCK_LUADIR = "$(LUADIR)",
  },
}
