local child = require "child"
local conns = require "conns"
local harness = require "harness"
local helper = require "steadwire_helper"
local peers = require "peers"
local steadwire = require "steadwire"

local it, equal, refused = harness.it, harness.equal, harness.refused
local PATIENCE = conns.PATIENCE

-- Runs fn in a forked process; an error in it is printed and fails the test.
local function in_child(fn)
  io.stdout:flush()
  local pid = helper.fork()
  if pid == 0 then
    local ok, err = xpcall(fn, debug.traceback)
    if not ok then
      print(err)
      io.stdout:flush()
    end
    helper.exit(ok and 0 or 1)
  end
  equal(helper.wait(pid), 0, "status of the forked process")
end

it("every_use_after_fork_is_refused", function()
  local conn = conns.online()
  local receipt = assert(conn:send("one"))
  assert(receipt:wait("received", PATIENCE))
  in_child(function()
    refused("forked", conn:send("x"))
    refused("forked", conn:send_many { "x" })
    refused("forked", conn:opening("key", "x"))
    refused("forked", conn:ready())
    refused("forked", conn:supply { token = "x" })
    refused("forked", conn:kick())
    refused("forked", conn:reopen())
    refused("forked", conn:pollfd())
    refused("forked", conn:state())
    refused("forked", conn:view())
    refused("forked", conn:stats())
    refused("forked", conn:wait("online", 1))
    refused("forked", conn:outbox():list())
    refused("forked", conn:outbox():cancel(receipt.id))
    conn:poll()
    refused("forked", conn:poll())
    refused("forked", conn:dispatch())
    refused("forked", conn:recv(0))
    refused("forked", conn:close())
  end)
  assert(conn:send("the parent goes on"))
  equal(assert(conn:recv(PATIENCE)).data, "one")
  equal(assert(conn:recv(PATIENCE)).data, "the parent goes on")
  equal(conn:stats().links, 1)
  assert(conn:close())
end)

it("a_forked_process_can_connect_on_its_own", function()
  local conn = conns.online()
  in_child(function()
    local own = conns.online()
    assert(own:send("from the child"))
    equal(assert(own:recv(PATIENCE)).data, "from the child")
    assert(own:close())
    conn = nil
    collectgarbage()
    collectgarbage()
    steadwire.stop()
  end)
  assert(conn:send("x"))
  equal(assert(conn:recv(PATIENCE)).data, "x")
  assert(conn:close())
end)

it("a_signal_ends_a_wait", function()
  local conn = conns.online()
  helper.alarm(0.1)
  refused("interrupted", conn:recv(PATIENCE))
  helper.alarm(0.1)
  refused("interrupted", conn:wait("failed", PATIENCE))
  local lonely = conns.lonely()
  local receipt = assert(lonely:send("x"))
  helper.alarm(0.1)
  refused("interrupted", receipt:wait("received", PATIENCE))
  helper.alarm(0.1)
  refused("interrupted", lonely:close(PATIENCE))
  equal(lonely:view().closing, true)
  lonely:close(0)
  assert(conn:close())
end)

it("a_signal_does_not_end_run", function()
  local server = peers.start("--rate 20")
  local conn = conns.online { url = server.url }
  local finish = steadwire.now() + 0.3
  conn:on("message", function()
    if steadwire.now() > finish then
      conn:close()
    end
  end)
  helper.alarm(0.1)
  equal(steadwire.run(conn), true)
  equal(steadwire.now() > finish, true)
  server:kill()
end)

-- The program sends itself SIGINT once it waits.
local function interrupted(program)
  local began = steadwire.now()
  local said, status = child.run(([[
    local conn = conns.online { url = %q }
    local pid = helper.pid()
    os.execute("(sleep 0.5; kill -INT " .. pid .. ") &")
    %s
  ]]):format(peers.echo().url, program))
  harness.match(said, "interrupted!")
  equal(status, 1)
  equal(steadwire.now() - began < PATIENCE, true, "ended in time")
end

it("ctrl_c_ends_run", function()
  interrupted "steadwire.run(conn)"
  interrupted "steadwire.run(conn, conns.online { url = conn:view().endpoint })"
end)

it("ctrl_c_ends_a_blocking_call", function()
  interrupted "conn:recv()"
end)

it("ctrl_c_inside_a_handler_ends_the_program", function()
  interrupted [[
    conn:on("message", function()
      while true do
        conn:state()
      end
    end)
    conn:send "x"
    steadwire.run(conn)
  ]]
end)

it("sigpipe_stays_as_the_host_has_it", function()
  local _, status = child.run(([[
    local conn = conns.online { url = %q }
    helper.kill(helper.pid(), 13)
    assert(conn:close())
  ]]):format(peers.echo().url))
  equal(status, 128 + 13)
end)
