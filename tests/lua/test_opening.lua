local conns = require "conns"
local harness = require "harness"
local peers = require "peers"
local steadwire = require "steadwire"

local it, equal, refused, raises = harness.it, harness.equal, harness.refused, harness.raises
local PATIENCE = conns.PATIENCE
local SUBSCRIBE = '{"op": "subscribe", "channel": "trades"}'

local function next_trade(conn)
  local deadline = steadwire.now() + PATIENCE
  while steadwire.now() < deadline do
    local message = assert(conn:recv(PATIENCE))
    if message.data:find('"n":') then
      return message
    end
  end
  error("the feed does not flow")
end

it("an_opening_is_sent_on_every_new_link", function()
  local server = peers.start("--subscriptions --rate 50")
  local conn = assert(steadwire.connect { url = server.url, retry_window = "100ms" })
  assert(conn:opening("trades", SUBSCRIBE))
  local first = next_trade(conn)
  local port = server.port
  server:kill()
  server = peers.start("--subscriptions --rate 50 --port " .. port)
  local deadline = steadwire.now() + PATIENCE
  while next_trade(conn).link == first.link do
    equal(steadwire.now() < deadline, true, "a trade on the new link in time")
  end
  assert(conn:close())
  server:kill()
end)

it("an_opening_can_be_set_while_online_and_removed", function()
  local server = peers.start("--subscriptions --rate 50")
  local conn = conns.online { url = server.url }
  assert(conn:opening("trades", SUBSCRIBE))
  next_trade(conn)
  assert(conn:opening("trades", nil))
  assert(conn:close())
  server:kill()
end)

it("ready_when_host_waits_for_ready", function()
  local conn = assert(steadwire.connect { url = peers.echo().url, ready_when = "host" })
  assert(conn:opening("login", "login me"))
  refused("timeout", conn:wait("online", 0.3))
  assert(conn:ready())
  assert(conn:wait("online", PATIENCE))
  assert(conn:close())
end)

it("opening_with_misuse_is_an_error", function()
  local conn = conns.lonely()
  raises("argument", "key", function()
    conn:opening("", "x")
  end)
  raises("argument", "key", function()
    conn:opening("a\0b", "x")
  end)
  raises("argument", "string", function()
    conn:opening("key", 5)
  end)
  refused("argument", conn:opening(("k"):rep(256), "x"))
  refused("argument", conn:opening("key", "\255"))
  assert(conn:opening("key", "\255", { binary = true }))
  conn:close(0)
end)

it("credentials_may_be_a_function", function()
  local asked = {}
  local conn
  conn = assert(steadwire.connect { url = peers.echo().url, credentials = function(event, which)
    asked[#asked + 1] = event.kind
    equal(which, conn)
    return { token = "secret", headers = { ["X-Who"] = "me" }, expires_in = "1h" }
  end })
  assert(conn:wait("online", PATIENCE))
  equal(asked[1], "credentials_needed")
  equal(conn:stats().attempts_failed, 0)
  assert(conn:close())
end)

it("a_credentials_function_that_fails_is_reported", function()
  local errors = {}
  local before = steadwire.on_error(function(message)
    errors[#errors + 1] = message
  end)
  local answers = {
    function()
      error("vault is down")
    end,
    function()
      return { token = "hush\r\nhush" }
    end,
    function()
      return { tokn = "x" }
    end,
    function()
      return { token = "x" }
    end,
  }
  local conn = assert(steadwire.connect { url = peers.echo().url, retry_window = "100ms",
    credentials_timeout = "100ms", credentials = function()
      return (table.remove(answers, 1) or answers[1])()
    end })
  local ok, message = conn:wait("online", 3 * PATIENCE)
  steadwire.on_error(before)
  assert(ok, message)
  harness.match(errors[1], "vault is down")
  harness.match(errors[2], "credentials.*line break")
  equal(errors[2]:find("hush", 1, true), nil)
  harness.match(errors[3], "tokn")
  assert(conn:close())
end)

it("supply_checks_what_goes_on_the_wire", function()
  local conn = conns.lonely()
  for _, bad in ipairs { "a\r\nb", "a\nb", "a\0b", "\195\164" } do
    refused("url", conn:supply { token = bad })
    refused("url", conn:supply { headers = { ["X-One"] = bad } })
    refused("url", conn:supply { headers = { ["X" .. bad] = "1" } })
    refused("url", conn:supply { url = "ws://127.0.0.1/" .. bad })
  end
  refused("url", conn:supply { url = "http://127.0.0.1/" })
  raises("argument", "tokn", function()
    conn:supply { tokn = "x" }
  end)
  raises("argument", "table", function()
    conn:supply "x"
  end)
  raises("argument", "string", function()
    conn:supply { token = 5 }
  end)
  raises("argument", "string", function()
    conn:supply { headers = { "X-One: 1" } }
  end)
  raises("value", "expires_in", function()
    conn:supply { token = "x", expires_in = 0 }
  end)
  assert(conn:supply { token = "fine", headers = { ["X-One"] = "1" }, expires_in = 60 })
  conn:close(0)
end)
