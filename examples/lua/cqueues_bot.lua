-- A conn inside cqueues: one coroutine receives, another one sends and waits for the proofs.
--
-- usage: cqueues_bot.lua [URL [COUNT]]      ends after COUNT messages; URL is an echo server's

local cqueues = require "cqueues"
local loop = require "steadwire.loop.cqueues"
local steadwire = require "steadwire"

local url, count = arg[1] or "ws://127.0.0.1:8765/", tonumber(arg[2]) or math.huge
local conn = assert(steadwire.connect { url = url, name = "cqueues" })
local controller = cqueues.new()

controller:wrap(function()
  local number = 0
  while number < count do
    number = number + 1
    local receipt = assert(conn:send("number " .. number))
    assert(loop.wait(receipt, "received", 10))
    print("received by the server: " .. number)
  end
end)

controller:wrap(function()
  local seen = 0
  while seen < count do
    print("back: " .. assert(loop.recv(conn, 10)).data)
    seen = seen + 1
  end
end)

assert(controller:loop())
assert(conn:close())
