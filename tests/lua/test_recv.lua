local conns = require "conns"
local harness = require "harness"
local peers = require "peers"
local steadwire = require "steadwire"

local it, equal, refused = harness.it, harness.equal, harness.refused
local PATIENCE = conns.PATIENCE

it("recv_ends_in_time", function()
  local conn = conns.online()
  local began = steadwire.now()
  refused("timeout", conn:recv(0.05))
  equal(steadwire.now() - began >= 0.05, true)
  refused("timeout", conn:recv(0))
  refused("timeout", conn:recv("10ms"))
  assert(conn:close())
end)

it("recv_gives_other_events_to_their_handlers", function()
  local conn = assert(steadwire.connect { url = peers.echo().url })
  local states = {}
  conn:on("state", function(event)
    states[#states + 1] = event.to
  end)
  assert(conn:send("one"))
  equal(assert(conn:recv(PATIENCE)).data, "one")
  equal(states[#states], "online")
  assert(conn:close())
end)

it("a_state_event_says_what_happened", function()
  local conn = conns.online()
  local online
  local deadline = steadwire.now() + PATIENCE
  while not online and steadwire.now() < deadline do
    for _, event in ipairs(assert(conn:poll())) do
      if event.kind == "state" and event.to == "online" then
        online = event
      end
    end
  end
  equal(online.from, "connecting")
  equal(online.cause, "ready")
  equal(type(online.phases), "table")
  equal(online.at <= steadwire.now(), true)
  equal(online.at > steadwire.now() - 60, true)
  assert(conn:close())
end)

it("poll_never_waits_and_takes_everything_in_order", function()
  local conn = conns.online()
  assert(conn:poll())
  for number = 1, 1000 do
    assert(conn:send(tostring(number)))
  end
  local got, deadline = 0, steadwire.now() + PATIENCE
  while got < 1000 and steadwire.now() < deadline do
    for _, event in ipairs(assert(conn:poll())) do
      if event.kind == "message" then
        got = got + 1
        equal(event.data, tostring(got))
      end
    end
  end
  equal(got, 1000)
  assert(conn:close())
end)

it("poll_ends_after_the_last_event", function()
  local conn = conns.lonely()
  conn:on("closed", error)
  assert(conn._core:close(0))
  local last, deadline = nil, steadwire.now() + PATIENCE
  while steadwire.now() < deadline do
    local events = conn:poll()
    if not events then
      break
    end
    last = events[#events] or last
  end
  equal(last and last.kind, "closed")
  refused("closed", conn:poll())
  refused("closed", conn:recv(0))
  refused("closed", conn:dispatch())
  assert(conn:close())
end)

it("a_reconnect_does_not_end_recv", function()
  local server = peers.start()
  local conn = conns.online { url = server.url, retry_window = "100ms" }
  local port = server.port
  server:kill()
  assert(conn:send("across"))
  server = peers.start("--port " .. port)
  equal(assert(conn:recv(PATIENCE)).data, "across")
  equal(conn:stats().links, 2)
  assert(conn:close())
  server:kill()
end)

it("a_failed_attempt_is_an_event_with_its_cause", function()
  local conn = conns.lonely()
  local waiting
  conn:on("state", function(event)
    waiting = waiting or event.to == "waiting" and event
  end)
  local deadline = steadwire.now() + PATIENCE
  while not waiting and steadwire.now() < deadline do
    conn:recv(0.1)
  end
  equal(waiting.cause, "tcp_refused")
  equal(waiting.attempt, 1)
  equal(waiting.delay > 0, true)
  harness.match(waiting.detail, "refused")
  equal(steadwire.words.causes[waiting.cause].class, "overload")
  harness.match(steadwire.words.causes[waiting.cause].remedy, "server")
  conn:close(0)
end)

it("a_host_that_is_busy_keeps_its_connection", function()
  local conn = conns.online { heartbeat_interval = "300ms" }
  local finish = steadwire.now() + 2
  while steadwire.now() < finish do
    math.sqrt(2)
  end
  assert(conn:send("still here"))
  equal(assert(conn:recv(PATIENCE)).data, "still here")
  equal(conn:stats().links, 1)
  equal(conn:stats().suspects, 0)
  assert(conn:close())
end)

it("what_waits_to_be_read_is_bounded", function()
  local server = peers.start("--rate 200")
  local conn = conns.online { url = server.url }
  conn._held_events = 5
  local receipt = assert(conn:send("x"))
  refused("full", receipt:wait("processed", PATIENCE))
  refused("full", conn:wait("failed", PATIENCE))
  for _ = 1, 20 do
    assert(conn:recv(PATIENCE))
  end
  refused("full", receipt:wait("processed", PATIENCE))
  conn:close()
  equal(conn:state(), "closed")
  server:kill()
end)

it("wait_ends_in_time_or_with_the_cause", function()
  local conn = conns.lonely { connect_timeout = "100ms" }
  refused("timeout", conn:wait())
  refused("timeout", conn:wait("online", "20ms"))
  harness.raises("argument", "onlime", function()
    conn:wait("onlime")
  end)
  assert(conn._core:close(0))
  refused("requested", conn:wait("online", PATIENCE))
  equal(conn:wait("closed", PATIENCE), true)
  assert(conn:close())
end)

it("the_counters_count", function()
  local conn = conns.online()
  local receipt = assert(conn:send("12345"))
  assert(receipt:wait("received", PATIENCE))
  assert(conn:recv(PATIENCE))
  local deadline = steadwire.now() + PATIENCE
  local stats = conn:stats()
  while stats.settled < 1 and steadwire.now() < deadline do
    stats = conn:stats() -- they are those of the last turn of the engine
  end
  equal(stats.sent, 1)
  equal(stats.sent_bytes, 5)
  equal(stats.received, 1)
  equal(stats.received_bytes, 5)
  equal(stats.settled, 1)
  equal(stats.links, 1)
  equal(stats.outbox_messages, 0)
  assert(conn:close())
  equal(conn:stats().received, 1)
end)

it("bad_durations_are_an_error", function()
  local conn = conns.lonely()
  for _, bad in ipairs { -1, "soon", "1d", "", "1 s", "-1s", "0x10", "1e3", {}, 0 / 0 } do
    harness.raises("value", "duration", function()
      conn:recv(bad)
    end)
  end
  conn:close(0)
end)
