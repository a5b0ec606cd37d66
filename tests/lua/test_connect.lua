local harness = require "harness"
local peers = require "peers"
local conns = require "conns"
local steadwire = require "steadwire"

local it, raises = harness.it, harness.raises

local function connect_with(name, value)
  return function()
    steadwire.connect { url = "ws://127.0.0.1:1", [name] = value }
  end
end

it("connect_answers_at_once_and_comes_online", function()
  local conn = assert(steadwire.connect { url = peers.echo().url })
  assert(conn:wait())
  harness.equal(conn:state(), "online")
  harness.equal(conn:view().state, "online")
  harness.match(conn:view().endpoint, "^ws://127%.0%.0%.1:%d+")
  harness.match(tostring(conn), "^steadwire%.conn ws://127.*%(online%)$")
  assert(conn:close())
end)

it("url_may_be_a_list", function()
  local dead = "ws://127.0.0.1:" .. conns.deaf_port()
  local conn = conns.online { url = { dead, peers.echo().url }, retry_window = "100ms" }
  assert(conn:close())
end)

it("headers_and_causes_are_maps", function()
  local conn = conns.online { headers = { ["X-One"] = "1", ["X-Two"] = "2" },
    causes = { [4004] = "auth" } }
  assert(conn:close())
end)

it("numbers_booleans_and_texts_set_options", function()
  local conn = conns.online { heartbeat_interval = 15, retry_window = 0.25, open_timeout = "5s",
    max_message = 65536, tls_insecure = nil }
  assert(conn:close())
end)

it("unknown_option_names_the_nearest", function()
  local message = raises("option", "heartbeat_interval",
    connect_with("heartbeat_intervall", 15))
  harness.match(message, "test_connect%.lua:%d+:")
end)

it("unknown_option_is_an_error_whatever_its_value", function()
  raises("option", "heartbeat_interval", connect_with("heartbeat_intervall", { 1 }))
  raises("option", "", connect_with(1, "x"))
end)

it("value_out_of_range_is_an_error", function()
  raises("value", "heartbeat_interval", connect_with("heartbeat_interval", -1))
  raises("value", "heartbeat_interval", connect_with("heartbeat_interval", "soon"))
  raises("value", "heartbeat_interval", connect_with("heartbeat_interval", 0 / 0))
  raises("value", "heartbeat_interval", connect_with("heartbeat_interval", 1e300))
  raises("value", "guarantee", connect_with("guarantee", "twice"))
end)

it("value_of_a_wrong_type_is_an_error", function()
  raises("value", "heartbeat_interval", connect_with("heartbeat_interval", {}))
  raises("value", "heartbeat_interval", connect_with("heartbeat_interval", print))
  raises("value", "headers", connect_with("headers", { ["X-One"] = {} }))
end)

it("connect_takes_a_table", function()
  raises("argument", "table", function()
    steadwire.connect "ws://127.0.0.1:1"
  end)
  raises("argument", "table", function()
    steadwire.connect()
  end)
end)

it("connect_without_url_is_an_error", function()
  for _, options in ipairs { {}, { url = "" }, { url = {} } } do
    raises("value", "url", function()
      steadwire.connect(options)
    end)
  end
end)

it("forbidden_characters_in_a_url_are_an_error", function()
  for _, bad in ipairs { "\r\nX: 1", "\n", "\0", "\195\164", " ", "\127" } do
    raises("url", "", function()
      steadwire.connect { url = "ws://127.0.0.1:1/" .. bad }
    end)
  end
end)

it("unsupported_schemes_are_an_error", function()
  local refused = { "http://127.0.0.1", "ftp://127.0.0.1", "127.0.0.1:80", "ws:/x", "ws://" }
  for _, bad in ipairs(refused) do
    raises("url", "", function()
      steadwire.connect { url = bad }
    end)
  end
end)

it("forbidden_characters_in_headers_are_an_error", function()
  for _, bad in ipairs { "a\r\nb", "a\nb", "a\0b", "\195\164" } do
    raises("url", "", connect_with("headers", { ["X-One"] = bad }))
    raises("url", "", connect_with("headers", { ["X" .. bad] = "1" }))
  end
end)

it("forbidden_characters_in_subprotocols_are_an_error", function()
  for _, bad in ipairs { "a\r\nb", "a\nb", "a\0b", "\195\164", "a b", "" } do
    raises("url", "", connect_with("subprotocols", { "fine", bad }))
  end
end)

it("an_error_in_an_option_never_shows_a_secret", function()
  local message = raises("url", "", connect_with("headers", { Authorization = "hush\r\nhush" }))
  harness.equal(message:find("hush", 1, true), nil)
end)

it("the_lists_of_the_engine_can_be_read", function()
  harness.equal(steadwire.words.states.online ~= nil, true)
  harness.equal(steadwire.words.causes.tcp_refused.class, "overload")
  harness.equal(steadwire.words.codes.full.retryable, true)
  harness.equal(steadwire.words.options.heartbeat_interval.default, "15s")
  harness.match(steadwire.version, "^%d+%.%d+%.%d+$")
end)
