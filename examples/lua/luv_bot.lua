-- Two conns inside a libuv loop that has other work as well.
--
-- usage: luv_bot.lua [URL [COUNT]]      ends after COUNT messages; URL is that of an echo server

local luv_loop = require "steadwire.loop.luv"
local steadwire = require "steadwire"
local uv = require "luv"

local url, count = arg[1] or "ws://127.0.0.1:8765/", tonumber(arg[2]) or math.huge
local timer = uv.new_timer()
local running = 2

local function start(name)
  local conn = assert(steadwire.connect { url = url, name = name })
  local seen = 0
  conn:on("message", function(message)
    seen = seen + 1
    print(name, message.data)
    if seen >= count then
      conn:close()
    end
  end)
  assert(luv_loop.attach(conn, function()
    running = running - 1
    if running == 0 then
      timer:close()
    end
  end))
  return conn
end

local conns = { start "one", start "two" }
local tick = 0
timer:start(0, 50, function()
  tick = tick + 1
  for _, conn in ipairs(conns) do
    conn:send("tick " .. tick)
  end
end)
uv.run()
