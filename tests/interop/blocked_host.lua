--- A Lua host that is in a long loop for a while and lets nothing else run; says the same as
-- blocked_host.py.   usage: blocked_host.lua URL SECONDS TAIL [OPTION=VALUE]...

local steadwire = require "steadwire"

local WARM_S = 0.5

local options = { url = arg[1] }
for i = 4, #arg do
  local name, value = arg[i]:match("^([^=]+)=(.*)$")
  options[name] = value
end

local function describe(event)
  if event.kind == "message" then
    return ("message %d %.6f %s"):format(event.link, event.at, event.data)
  elseif event.kind == "state" then
    return ("state %s %s"):format(event.to, event.cause)
  elseif event.kind == "gap" then
    return ("gap %s %s %d"):format(event.reason, event.known and "True" or "False", event.messages)
  end
  return "other " .. event.kind
end

local conn = assert(steadwire.connect(options))

local function tell(seconds)
  local deadline = steadwire.now() + seconds
  while steadwire.now() < deadline do
    for _, event in ipairs(assert(conn:poll())) do
      print(describe(event))
    end
  end
end

assert(conn:wait("online", 10))
tell(WARM_S)
print(("blocking %.6f"):format(steadwire.now()))
io.stdout:flush()
local deadline = steadwire.now() + tonumber(arg[2])
local turns = 0
while steadwire.now() < deadline do
  turns = turns + 1
end
print(("free %.6f"):format(steadwire.now()))
tell(tonumber(arg[3]))
print("end " .. conn:stats().attempts)
steadwire.stop()
