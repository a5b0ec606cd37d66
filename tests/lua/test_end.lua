local child = require "child"
local conns = require "conns"
local harness = require "harness"
local helper = require "steadwire_helper"
local peers = require "peers"
local steadwire = require "steadwire"

local it, equal, refused = harness.it, harness.equal, harness.refused
local PATIENCE = conns.PATIENCE

it("close_delivers_what_waits", function()
  local conn = conns.online()
  local last
  for _ = 1, 500 do
    last = assert(conn:send("x"))
  end
  equal(conn:close(), true)
  equal(last:proof(), "received")
  equal(conn:view().outbox_messages, 0)
end)

it("close_says_what_was_not_delivered", function()
  local conn = conns.lonely()
  assert(conn:send("one"))
  local receipt = assert(conn:send("two"))
  local ok, message, code, entries = conn:close("30ms")
  equal(ok, nil)
  equal(code, "undelivered")
  harness.match(message, "^2 messages")
  equal(#entries, 2)
  equal(entries[2].id, receipt.id)
  refused("closed", receipt:wait("received", PATIENCE))
end)

it("close_can_be_called_again", function()
  local conn = conns.online()
  equal(conn:close(), true)
  equal(conn:close(), true)
  equal(conn:close(0), true)
end)

it("every_use_after_close_is_refused", function()
  local conn = conns.online()
  local receipt = assert(conn:send("one"))
  assert(receipt:wait("received", PATIENCE))
  assert(conn:close())
  refused("closed", conn:send("x"))
  refused("closed", conn:send("x", { wait = 1 }))
  refused("closed", conn:send_many { "x" })
  refused("closed", conn:opening("key", "x"))
  refused("closed", conn:opening("key", nil))
  refused("closed", conn:ready())
  refused("closed", conn:supply { token = "x" })
  refused("closed", conn:kick())
  refused("closed", conn:reopen())
  refused("closed", conn:pollfd())
  refused("closed", conn:wait("online", 1))
  refused("closed", conn:outbox():list())
  refused("closed", conn:outbox():get(receipt.id))
  refused("closed", conn:outbox():cancel(receipt.id))
  refused("closed", receipt:cancel())
  equal(conn:state(), "closed")
  equal(conn:view().state, "closed")
  equal(conn:stats().sent, 1)
  equal(receipt:proof(), "received")
  equal(receipt:wait("received", 0), true)
  harness.match(tostring(conn), "closed")
end)

it("what_arrived_before_the_close_can_still_be_read", function()
  local conn = conns.online()
  for number = 1, 10 do
    assert(conn:send(tostring(number)))
  end
  assert(conn:close())
  for number = 1, 10 do
    equal(assert(conn:recv(0)).data, tostring(number))
  end
  refused("closed", conn:recv(0))
  refused("closed", conn:poll())
  refused("closed", conn:dispatch())
end)

it("a_closing_conn_refuses_messages", function()
  local conn = conns.lonely()
  assert(conn:send("one"))
  assert(conn._core:close(60))
  equal(conn:view().closing, true)
  refused("closed", conn:send("two"))
  conn:close(0)
end)

it("an_open_conn_cannot_be_opened_again", function()
  local conn = conns.online()
  refused("state", conn:reopen())
  equal(conn:state(), "online")
  assert(conn:close())
end)

it("close_inside_a_handler_does_not_wait", function()
  local lonely, conn = conns.lonely(), conns.online()
  assert(lonely:send("never"))
  local took
  conn:on("message", function()
    local began = steadwire.now()
    equal(lonely:close(0.3), true)
    equal(conn:close(1), true)
    took = steadwire.now() - began
  end)
  assert(conn:send("x"))
  assert(steadwire.run(conn, lonely))
  equal(took < 0.2, true, "close returned at once")
end)

it("a_conn_of_lua_54_closes_with_its_block", function()
  local chunk = (loadstring or load)([[
    local conn <close> = ...
    assert(conn:send("x"))
    return conn:state()
  ]])
  if not chunk then
    harness.skip("this Lua has no <close>")
  end
  local conn = conns.online()
  equal(chunk(conn), "online")
  equal(conn:state(), "closed")
end)

it("leaving_a_block_undelivered_is_reported", function()
  local reports = {}
  local before = steadwire.on_error(function(message)
    reports[#reports + 1] = message
  end)
  local conn = conns.lonely { close_timeout = "20ms" }
  assert(conn:send("x"))
  getmetatable(conn).__close(conn)
  steadwire.on_error(before)
  harness.match(reports[1], "1 messages did not get the proof")
end)

it("a_conn_that_is_collected_leaves_nothing", function()
  assert(conns.online():close())
  collectgarbage()
  collectgarbage()
  local before = helper.entries("/proc/self/fd")
  for _ = 1, 20 do
    conns.online()
  end
  local deadline = steadwire.now() + PATIENCE
  repeat
    collectgarbage()
  until helper.entries("/proc/self/fd") <= before or steadwire.now() > deadline
  equal(helper.entries("/proc/self/fd") <= before, true, "no more descriptors than before")
end)

it("methods_of_another_object_raise", function()
  local conn = conns.lonely()
  for _, bad in ipairs { {}, "conn", 5, io.stdout } do
    equal(pcall(conn.send, bad, "x"), false)
    equal(pcall(conn.recv, bad, 0), false)
    equal(pcall(conn._core.send, bad, "x"), false)
    equal(pcall(conn._core.free, bad), false)
  end
  conn:close(0)
end)

it("stop_ends_every_conn_and_the_next_connect_starts_again", function()
  local conn = conns.online()
  equal(steadwire.stop(), true)
  equal(steadwire.stop(), false)
  refused("closed", conn:send("x"))
  local closed
  conn:on("closed", function(event)
    closed = event
  end)
  equal(steadwire.run(conn), true)
  equal(closed.cause, "local_stop")
  assert(conn:close())
  conn = conns.online()
  assert(conn:close())
end)

it("an_interpreter_ends_cleanly_whatever_is_open", function()
  local said, status = child.run(([[
    local kept = {}
    for index = 1, 5 do
      kept[index] = conns.online { url = %q }
      assert(kept[index]:send(("x"):rep(1000)))
    end
    kept[6] = conns.lonely()
    assert(kept[6]:send "x")
    leaked = kept
    print "done"
  ]]):format(peers.echo().url))
  equal(said, "done\n")
  equal(status, 0)
end)
