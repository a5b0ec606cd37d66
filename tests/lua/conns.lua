--- Conns as the tests want them.

local peers = require "peers"
local steadwire = require "steadwire"

local conns = {}

conns.PATIENCE = 10

local function with_url(options, url)
  local settings = {}
  for name, value in pairs(options or {}) do
    settings[name] = value
  end
  settings.url = settings.url or url()
  return settings
end

local function echo_url()
  return peers.echo().url
end

--- A conn that is online, at the shared echo server unless `url` says otherwise.
function conns.online(options)
  local conn = assert(steadwire.connect(with_url(options, echo_url)))
  assert(conn:wait("online", conns.PATIENCE))
  return conn
end

local deaf_port

function conns.deaf_port()
  deaf_port = deaf_port or peers.free_port()
  return deaf_port
end

--- A conn to a port at which nobody listens: what is sent stays in the outbox.
function conns.lonely(options)
  return assert(steadwire.connect(with_url(options, function()
    return "ws://127.0.0.1:" .. conns.deaf_port()
  end)))
end

return conns
