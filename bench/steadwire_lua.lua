-- steadwire's Lua in `./dev bench wire`, with its options at their defaults.
--
-- The protocol is that of wire_util.h: the port is the argument; each line of stdin is a case,
-- "CASE SIZE WINDOW SECONDS"; each is answered with one JSON line. No loop: messages are taken in
-- batches with `poll`, waiting with `recv`, and a batch is answered with one `send_many`.

local steadwire = require "steadwire"

local PATHS = { rtt = "/echo", echo = "/echo", send = "/sink", receive = "/source" }
local BINARY = { binary = true }
local BATCH_BYTES, BATCH_MAX = 64 * 1024, 256
local PATIENCE = 20

local function payload_of(size)
  return (("abcdefghijklmnopqrstuvwxyz"):rep(math.floor(size / 26) + 1)):sub(1, size)
end

-- The messages that are there, at least one.
local function take(conn, size)
  local messages = { assert(conn:recv(PATIENCE)).data }
  for _, event in ipairs(assert(conn:poll())) do
    if event.kind == "message" then
      messages[#messages + 1] = event.data
    end
  end
  for _, message in ipairs(messages) do
    assert(#message == size, "size of a message")
  end
  return messages
end

local runs = {}

function runs.rtt(conn, meter)
  local payload, now, samples = meter.payload, steadwire.now, meter.samples
  while now() < meter.finish do
    local start = now()
    assert(conn:send(payload, BINARY))
    assert(conn:recv(PATIENCE))
    samples[#samples + 1] = now() - start
  end
  return #samples
end

function runs.echo(conn, meter)
  local messages, count = {}, 0
  for index = 1, meter.window do
    messages[index] = meter.payload
  end
  assert(conn:send_many(messages, BINARY))
  local in_flight = meter.window
  while in_flight > 0 do
    messages = take(conn, meter.size)
    count = count + #messages
    if steadwire.now() < meter.finish then
      assert(conn:send_many(messages, BINARY))
    else
      in_flight = in_flight - #messages
    end
  end
  return count
end

-- Queues one message, waiting for room.
local function send_one(conn, payload)
  assert(conn:send(payload, { binary = true, wait = PATIENCE }))
end

function runs.send(conn, meter)
  local size = math.max(1, math.min(BATCH_MAX, math.floor(BATCH_BYTES / (meter.size + 1))))
  local messages, count = {}, 0
  for index = 1, size do
    messages[index] = meter.payload
  end
  while steadwire.now() < meter.finish do
    local receipts, message, code, taken = conn:send_many(messages, BINARY)
    if receipts then
      count = count + size
    else
      assert(code == "full", message)
      send_one(conn, meter.payload)
      count = count + #taken + 1
    end
  end
  assert(conn:send("end", { wait = PATIENCE }))
  local answer = assert(conn:recv(PATIENCE))
  assert(tonumber(answer.data) == count, "count of the sink")
  return count
end

function runs.receive(conn, meter)
  local count = 0
  assert(conn:send("go"))
  while steadwire.now() < meter.finish do
    count = count + #take(conn, meter.size)
  end
  return count
end

local function report(meter, count)
  local seconds, cpu = steadwire.now() - meter.start, os.clock() - meter.cpu
  local line = ('{"case": "%s", "size": %d, "window": %d, "msgs": %d')
    :format(meter.name, meter.size, meter.window, count)
  line = line .. (', "seconds": %.6f, "cpu_s": %.6f'):format(seconds, cpu)
  local samples = meter.samples
  if #samples > 0 then
    table.sort(samples)
    local p50, p99 = samples[math.ceil(#samples / 2)], samples[math.ceil(#samples * 0.99)]
    line = line .. (', "p50_us": %.2f, "p99_us": %.2f'):format(p50 * 1e6, p99 * 1e6)
  end
  print(line .. "}")
  io.stdout:flush()
end

local function run(port, name, size, window, seconds)
  local url = ("ws://127.0.0.1:%s%s?size=%d"):format(port, PATHS[name], size)
  local conn = assert(steadwire.connect { url = url })
  assert(conn:wait("online", PATIENCE))
  local start = steadwire.now()
  local meter = {
    name = name, size = size, window = window, payload = payload_of(size), samples = {},
    start = start, finish = start + seconds, cpu = os.clock(),
  }
  report(meter, runs[name](conn, meter))
  conn:close(0)
end

for line in io.lines() do
  local name, size, window, seconds = line:match "^(%a+) (%d+) (%d+) ([%d.]+)$"
  run(arg[1], name, tonumber(size), tonumber(window), tonumber(seconds))
end
