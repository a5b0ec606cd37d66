local child = require "child"
local conns = require "conns"
local harness = require "harness"
local peers = require "peers"
local steadwire = require "steadwire"

local it, equal, refused, raises = harness.it, harness.equal, harness.refused, harness.raises

local function collect_errors()
  local errors = {}
  local before = steadwire.on_error(function(message, event, conn)
    errors[#errors + 1] = { message = message, event = event, conn = conn }
  end)
  return errors, before
end

it("run_is_a_bot_in_ten_lines", function()
  local conn = assert(steadwire.connect { url = peers.echo().url })
  local got = {}
  conn:on("state", function(event)
    if event.to == "online" then
      assert(conn:send("1"))
    end
  end)
  conn:on("message", function(message)
    got[#got + 1] = message.data
    if #got == 5 then
      conn:close()
    else
      assert(conn:send(tostring(#got + 1)))
    end
  end)
  equal(steadwire.run(conn), true)
  equal(table.concat(got, " "), "1 2 3 4 5")
  equal(conn:state(), "closed")
end)

it("run_serves_several_conns_until_all_are_closed", function()
  local counts, all = { 0, 0, 0 }, {}
  for index = 1, 3 do
    local conn = assert(steadwire.connect { url = peers.echo().url })
    all[index] = conn
    assert(conn:send("x"))
    conn:on("message", function()
      counts[index] = counts[index] + 1
      if counts[index] == index * 10 then
        conn:close()
      else
        assert(conn:send("x"))
      end
    end)
  end
  equal(steadwire.run(all[1], all[2], all[3]), true)
  equal(table.concat(counts, " "), "10 20 30")
end)

it("an_error_in_a_handler_is_reported_and_the_bot_goes_on", function()
  local errors, before = collect_errors()
  local conn = conns.online()
  local got = 0
  conn:on("message", function(message)
    got = got + 1
    if got == 3 then
      conn:close()
    end
    error("handler broke on " .. message.data)
  end)
  for number = 1, 3 do
    assert(conn:send(tostring(number)))
  end
  local ok, message = steadwire.run(conn)
  steadwire.on_error(before)
  assert(ok, message)
  equal(got, 3)
  equal(#errors, 3)
  harness.match(errors[1].message, "test_handlers%.lua:%d+: handler broke on 1")
  harness.match(errors[1].message, "stack traceback:")
  equal(errors[1].event.data, "1")
  equal(errors[1].conn, conn)
end)

it("errors_that_are_no_strings_are_reported", function()
  local errors, before = collect_errors()
  local conn = conns.online()
  conn:on("message", function()
    conn:close()
    error(setmetatable({}, { __tostring = function()
      return "an object"
    end }))
  end)
  assert(conn:send("x"))
  assert(steadwire.run(conn))
  steadwire.on_error(before)
  harness.match(errors[1].message, "^an object")
end)

it("an_on_error_that_fails_does_not_end_the_bot", function()
  local said, status = child.run(([[
    steadwire.on_error(function()
      error "broken reporter"
    end)
    local conn = conns.online { url = %q }
    conn:on("message", function()
      conn:close()
      error "broken handler"
    end)
    assert(conn:send "x")
    assert(steadwire.run(conn))
  ]]):format(peers.echo().url))
  equal(status, 0)
  harness.match(said, "broken handler.*stack traceback.*broken reporter")
end)

it("the_other_handlers_of_a_kind_run_after_an_error", function()
  local errors, before = collect_errors()
  local conn = conns.online()
  local second
  conn:on("message", function()
    error("first")
  end)
  conn:on("message", function()
    second = true
    conn:close()
  end)
  assert(conn:send("x"))
  assert(steadwire.run(conn))
  steadwire.on_error(before)
  equal(#errors, 1)
  equal(second, true)
end)

it("off_ends_a_handler_also_from_within", function()
  local conn = conns.online()
  local first, second = 0, 0
  local function once()
    first = first + 1
    conn:off("message", once)
  end
  conn:on("message", once):on("message", function()
    second = second + 1
    if second == 3 then
      conn:off("message")
      conn:close()
    end
  end)
  for _ = 1, 3 do
    assert(conn:send("x"))
  end
  assert(steadwire.run(conn))
  equal(first, 1)
  equal(second, 3)
end)

it("on_with_misuse_raises", function()
  local conn = conns.lonely()
  harness.match(raises("argument", "messages.*message", function()
    conn:on("messages", print)
  end), "test_handlers%.lua:%d+:")
  raises("argument", "function", function()
    conn:on("message", "print")
  end)
  raises("argument", "message", function()
    conn:off("massage")
  end)
  raises("argument", "function", function()
    steadwire.on_error "stderr"
  end)
  raises("argument", "argument 2 is a string", function()
    steadwire.run(conn, "conn")
  end)
  conn:close(0)
end)

it("run_without_a_conn_ends_at_once", function()
  equal(steadwire.run(), true)
end)

it("run_says_which_cause_ended_a_conn_for_good", function()
  local server = peers.start("--one-login refuse")
  local first = conns.online { url = server.url .. "/?login=a" }
  local second = assert(steadwire.connect { url = server.url .. "/?login=a" })
  local closed
  second:on("closed", function(event)
    closed = event
  end)
  local ok, message, cause = steadwire.run(second)
  equal(ok, nil)
  equal(cause, "http_4xx")
  harness.match(message, "%w")
  equal(closed.cause, "http_4xx")
  equal(second:state(), "failed")
  refused("closed", second:send("x"))
  assert(second:close())
  assert(first:close())
  server:kill()
end)

it("a_failed_conn_can_be_opened_again", function()
  local server = peers.start("--one-login refuse")
  local first = conns.online { url = server.url .. "/?login=a" }
  local second = assert(steadwire.connect { url = server.url .. "/?login=a" })
  steadwire.run(second)
  assert(first:close())
  local deadline = steadwire.now() + conns.PATIENCE
  repeat -- until the server has seen the end of the first
    assert(second:reopen())
    local is_online, _, cause = second:wait("online", conns.PATIENCE)
  until is_online or cause ~= "http_4xx" or steadwire.now() > deadline
  equal(second:state(), "online")
  assert(second:close())
  server:kill()
end)

it("a_handler_may_wait_for_a_receipt", function()
  local conn = conns.online()
  local state
  conn:on("message", function(message)
    if message.data == "one" then
      local receipt = assert(conn:send("two"))
      assert(receipt:wait("received", conns.PATIENCE))
      state = receipt:state()
    else
      conn:close()
    end
  end)
  assert(conn:send("one"))
  assert(steadwire.run(conn))
  equal(state, "settled")
end)
