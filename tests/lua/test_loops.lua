local conns = require "conns"
local harness = require "harness"
local peers = require "peers"
local steadwire = require "steadwire"

local it, equal = harness.it, harness.equal
local PATIENCE = conns.PATIENCE

local function need(name)
  local is_found, module = pcall(require, name)
  if not is_found then
    harness.skip("this Lua has no " .. name)
  end
  return module
end

-- Echoes `count` messages, one after the other, then closes.
local function play(conn, count)
  local got = {}
  conn:on("message", function(message)
    got[#got + 1] = message.data
    if #got == count then
      conn:close()
    else
      assert(conn:send(tostring(#got + 1)))
    end
  end)
  assert(conn:send("1"))
  return got
end

it("luv_runs_conns_beside_its_own_work", function()
  local uv = need "luv"
  local luv = need "steadwire.loop.luv"
  local first, second = conns.online(), conns.online()
  local got, other = play(first, 50), play(second, 20)
  local ticks, ended = 0, 0
  local timer = uv.new_timer()
  timer:start(0, 1, function()
    ticks = ticks + 1
    if ended == 2 then
      timer:close()
    end
  end)
  for _, conn in ipairs { first, second } do
    assert(luv.attach(conn, function(_, code)
      equal(code, "closed")
      ended = ended + 1
    end))
  end
  uv.run()
  equal(#got, 50)
  equal(#other, 20)
  equal(got[50], "50")
  equal(ended, 2)
  equal(ticks > 0, true)
  equal(first:state(), "closed")
end)

it("luv_delivers_what_a_wait_took_in", function()
  local uv = need "luv"
  local luv = need "steadwire.loop.luv"
  local conn = conns.online()
  local got = {}
  conn:on("message", function(message)
    got[#got + 1] = message.data
    conn:close()
  end)
  assert(luv.attach(conn))
  local timer = uv.new_timer()
  timer:start(5, 0, function()
    timer:close()
    local receipt = assert(conn:send("one"))
    assert(receipt:wait("received", PATIENCE))
    assert(conn:_wait_for(PATIENCE, function()
      return conn:timeout() and true or nil
    end))
  end)
  uv.run()
  equal(got[1], "one")
end)

it("luv_can_be_left", function()
  local uv = need "luv"
  local luv = need "steadwire.loop.luv"
  local conn = conns.online()
  local handle = assert(luv.attach(conn))
  handle:stop()
  handle:stop()
  uv.run()
  assert(conn:send("x"))
  equal(assert(conn:recv(PATIENCE)).data, "x")
  assert(conn:close())
  harness.refused("closed", luv.attach(conn))
end)

it("cqueues_runs_conns_beside_its_own_work", function()
  local cqueues = need "cqueues"
  local loop = require "steadwire.loop.cqueues"
  local first, second = conns.online(), conns.online()
  local got, other = play(first, 50), play(second, 20)
  local ticks = 0
  local controller = cqueues.new()
  controller:wrap(function()
    while first:state() ~= "closed" do
      ticks = ticks + 1
      cqueues.sleep(0.001)
    end
  end)
  loop.attach(controller, first, second)
  assert(controller:loop())
  equal(#got, 50)
  equal(#other, 20)
  equal(got[50], "50")
  equal(ticks > 0, true)
  equal(second:state(), "closed")
end)

it("cqueues_polls_a_conn_as_it_is", function()
  local cqueues = need "cqueues"
  local conn = conns.online()
  local controller = cqueues.new()
  local got
  controller:wrap(function()
    assert(conn:send("x"))
    while not got do
      cqueues.poll(conn)
      for _, event in ipairs(assert(conn:poll())) do
        got = got or event.kind == "message" and event.data or nil
      end
    end
    cqueues.cancel(conn:pollfd())
  end)
  assert(controller:loop())
  equal(got, "x")
  assert(conn:close())
end)

it("cqueues_coroutines_share_a_conn", function()
  local cqueues = need "cqueues"
  local loop = require "steadwire.loop.cqueues"
  local conn = conns.online()
  local controller = cqueues.new()
  local got, proven = 0, 0
  controller:wrap(function()
    while got < 20 do
      assert(loop.recv(conn, PATIENCE))
      got = got + 1
    end
  end)
  for _ = 1, 20 do
    controller:wrap(function()
      local receipt = assert(conn:send("x"))
      assert(loop.wait(receipt, "received", PATIENCE))
      proven = proven + 1
    end)
  end
  assert(controller:loop())
  equal(got, 20)
  equal(proven, 20)
  controller:wrap(function()
    harness.refused("timeout", loop.recv(conn, 0.02))
  end)
  assert(controller:loop())
  assert(conn:close())
end)

it("a_conn_that_fails_ends_its_coroutine_with_the_cause", function()
  local cqueues = need "cqueues"
  local loop = require "steadwire.loop.cqueues"
  local server = peers.start("--one-login refuse")
  local first = conns.online { url = server.url .. "/?login=a" }
  local second = assert(steadwire.connect { url = server.url .. "/?login=a" })
  local cause
  local controller = cqueues.new()
  controller:wrap(function()
    local _
    _, _, cause = loop.run(second)
  end)
  assert(controller:loop())
  equal(cause, "http_4xx")
  assert(second:close())
  assert(first:close())
  server:kill()
end)
