-- No handlers and no loop: send, wait for the proof, receive.
--
-- usage: blocking.lua [URL]      URL is that of an echo server

local steadwire = require "steadwire"

local conn = assert(steadwire.connect { url = arg[1] or "ws://127.0.0.1:8765/", name = "blocking" })

local receipt = assert(conn:send("an order", { ttl = "30s" }))
local ok, message, code = receipt:wait("received", "10s")
if ok then
  print("the server has it: " .. receipt:state())
else
  print(("not proven (%s): %s"):format(code, message))
end
print("back: " .. assert(conn:recv(10)).data)

assert(conn:send(("\0"):rep(1000), { binary = true }))
print(("back: %d bytes"):format(#assert(conn:recv(10)).data))

local closed, why, _, left = conn:close()
if not closed then
  print(why)
  for _, entry in ipairs(left or {}) do
    print(("  %s is %s"):format(entry.id, entry.state))
  end
end
