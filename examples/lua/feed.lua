-- Follows a feed: the engine subscribes again on every link, and what may be missing is said.
--
-- usage: feed.lua [URL [COUNT]]      ends after COUNT messages

local steadwire = require "steadwire"

local url, count = arg[1] or "ws://127.0.0.1:8765/", tonumber(arg[2]) or math.huge
local conn = assert(steadwire.connect {
  url = url,
  name = "feed",
  ready_when = "contains:subscribed", -- online once the server has accepted the subscription
})
assert(conn:opening("trades", '{"op": "subscribe", "channel": "trades"}'))

conn:on("message", function(message)
  print(message.data:match "^(.-)%s*$")
  count = count - 1
  if count <= 0 then
    conn:close()
  end
end)

conn:on("gap", function(event)
  print(event.known and event.messages .. " messages are missing" or "messages may be missing")
end)

local causes = steadwire.words.causes
conn:on("state", function(event)
  if event.to == "waiting" then
    print(("%s; next attempt in %.1f s; %s"):format(event.detail, event.delay,
      causes[event.cause].remedy))
  end
end)

assert(steadwire.run(conn))
