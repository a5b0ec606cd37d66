-- A bot: answers every message, and says what happens to the connection.
--
-- usage: bot.lua [URL [COUNT]]      closes after COUNT messages; URL is that of an echo server

local steadwire = require "steadwire"

local url, count = arg[1] or "ws://127.0.0.1:8765/", tonumber(arg[2]) or math.huge
local conn = assert(steadwire.connect { url = url, name = "bot" })
local seen = 0

conn:on("state", function(event)
  print(("%s -> %s (%s)"):format(event.from, event.to, event.cause))
end)

conn:on("message", function(message)
  seen = seen + 1
  print("message " .. message.data)
  if seen >= count then
    conn:close()
  else
    conn:send("seen " .. seen)
  end
end)

assert(conn:send "hello")
assert(steadwire.run(conn))
