-- A bot that sends numbered messages: lua host.lua URL RATE STOP_FILE
-- It goes on until STOP_FILE exists, and says on stdout, in JSON lines, what its conn goes through.

local steadwire = require "steadwire"

local url, rate, stop_file = arg[1], tonumber(arg[2]), arg[3]

local function say(format, ...)
  io.write(format:format(...), "\n")
  io.flush()
end

local function is_stopped()
  local file = io.open(stop_file)
  return file and file:close()
end

local conn = assert(steadwire.connect { url = url })

conn:on("state", function(e)
  say('{"kind": "state", "t": %.6f, "from": "%s", "to": "%s", "cause": "%s", "delay": %.3f}',
    e.at, e.from, e.to, e.cause, e.delay)
end)
conn:on("retry", function(e)
  say('{"kind": "retry", "t": %.6f, "cause": "%s", "delay": %.3f}', e.at, e.cause, e.delay)
end)
conn:on("replay", function(e)
  say('{"kind": "replay", "t": %.6f, "messages": %d}', e.at, e.messages)
end)

-- recv takes the echoes in and has the handlers called, until `time`.
local function listen_until(time)
  local left = time - steadwire.now()
  while left > 0 do
    local message, text, code = conn:recv(left)
    if not message and code ~= "timeout" then
      error(text)
    end
    left = time - steadwire.now()
  end
end

local sent, due = 0, steadwire.now()
while not is_stopped() do
  local body = '{"host": "lua", "n": %d, "t": %.6f}'
  assert(conn:send(body:format(sent + 1, steadwire.now())))
  sent = sent + 1
  due = due + 1 / rate
  listen_until(due)
end

local ok, problem, _, left = conn:close()
say('{"kind": "done", "sent": %d, "undelivered": %d}', sent, ok and 0 or left and #left or sent)
if not ok then
  io.stderr:write(problem, "\n")
end
os.exit(ok and 0 or 1)
