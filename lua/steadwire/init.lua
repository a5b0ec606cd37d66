--- steadwire: a connection that stays up, messages that arrive.
--
-- No loop is forced: `run` is one, `recv` and `poll` need none, and `steadwire.loop.luv` and
-- `steadwire.loop.cqueues` serve inside others.  What goes wrong at run time answers
-- nil, message, code; misuse raises.  The engine works in a thread of its own: a host that is busy
-- keeps its connection.

local core = require "steadwire.core"
local Conn = require "steadwire.conn"
local guard = require "steadwire.guard"
local Outbox = require "steadwire.outbox"

local steadwire = {
  version = core.version(),
  --- Names and sentences of the engine's lists: states, causes, options, events, codes, ...
  words = core.words,
  --- Seconds on the clock of `event.at`.
  now = core.now,
  --- Tells every conn what the host knows of the network: "up", "down" or "changed".
  network = core.network,
  --- Sets the function that is told of errors in handlers; nil is the default, stderr.
  on_error = guard.on_error,
}

-- Refusals of `connect` that only another program text can mend.
local MISUSE = { argument = true, option = true, value = true, url = true }

--- Opens a conn and returns at once; messages sent before it is online wait in its outbox.
-- Options go by their names in `steadwire.words.options`; `credentials` may also be a function that
-- answers { token =, url =, headers =, expires_in = } whenever an attempt needs them.
function steadwire.connect(options)
  local credentials = type(options) == "table" and options.credentials
  local settings = options
  if type(credentials) == "function" then
    settings = {}
    for name, value in pairs(options) do
      settings[name] = value
    end
    settings.credentials = "host"
  end
  local handle, message, code = core.open(settings)
  if handle then
    return Conn.new(handle, settings, type(credentials) == "function" and credentials or nil)
  end
  if MISUSE[code] then
    error(("%s [%s]"):format(message, code), 2)
  end
  return nil, message, code
end

--- Opens an outbox file that no conn uses; without `may_edit` one in use can be read too.
-- The outbox, or nil, message, code: "locked", "format", "store", "busy".
function steadwire.outbox(path, may_edit)
  local handle, message, code = core.outbox(path, may_edit)
  if not handle then
    return nil, message, code
  end
  return Outbox.new(handle)
end

local function dispatch_all(conns, outcome)
  local open, fds, is_busy = {}, {}, false
  for _, conn in ipairs(conns) do
    local count, message, code = conn:dispatch()
    if count then
      open[#open + 1] = conn
      fds[#fds + 1] = conn:pollfd()
      is_busy = is_busy or count > 0
    elseif not conn:ended_as_asked() and not outcome.code then
      outcome.message, outcome.code = message, conn:cause() or code
    end
  end
  return open, fds, is_busy
end

--- Calls the handlers of the conns until all of them have closed.
-- Answers true, or nil, message and the cause of the first one that ended unasked.
function steadwire.run(...)
  local conns, outcome = { ... }, {}
  for index = 1, select("#", ...) do
    if not Conn.is(conns[index]) then
      local kind = type(conns[index])
      error(("run takes conns; argument %d is a %s [argument]"):format(index, kind), 2)
    end
  end
  while #conns > 0 do
    local fds, is_busy
    conns, fds, is_busy = dispatch_all(conns, outcome)
    if #conns > 0 and not is_busy then
      local _, message, code = core.wait(fds)
      if code == "system" then
        return nil, message, code
      end
    end
  end
  if outcome.code then
    return nil, outcome.message, outcome.code
  end
  return true
end

--- Stops the engine of this Lua state: every conn ends.  The next connect starts another.
function steadwire.stop()
  return core.stop()
end

return steadwire
