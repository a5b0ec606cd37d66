--- A conn: the logical connection, which outlives any socket.
--
-- Events come out of the engine in batches.  Each batch is absorbed (receipts, credentials, the
-- end) and then waits in one queue, from which handlers, `recv` and `poll` take in order.

local core = require "steadwire.core"
local guard = require "steadwire.guard"
local Outbox = require "steadwire.outbox"
local Ledger = require "steadwire.ledger"
local Receipt = require "steadwire.receipt"

local Conn = {}
Conn.__index = Conn
Conn.__name = "steadwire.conn"

-- What may wait in the queue while something else is waited for.
Conn._held_events = 65536
Conn._held_bytes = 64 * 1024 * 1024
-- The engine bounds the close handshake; this is for an engine that does not.
local CLOSE_GRACE = 5
local UNDELIVERED_LISTED = 1000

local weak = { __mode = "v" }

-- A duration among the options that the face itself uses.
local function setting(settings, name)
  return core.duration(settings[name] or core.words.options[name].default)
end

local function setting_of(settings, name)
  return settings[name] or core.words.options[name].default
end

function Conn.new(handle, settings, credentials)
  return setmetatable({
    _core = handle,
    _close_timeout = setting(settings, "close_timeout"),
    _connect_timeout = setting(settings, "connect_timeout"),
    _credentials = credentials,
    _queue = {},
    _head = 1,
    _tail = 0,
    _bytes = 0,
    _absorbed = 0,
    _handlers = {},
    _receipts = setmetatable({}, weak), -- by id
    _ledgers = { data = Ledger.new(), control = Ledger.new() },
    _is_session = setting_of(settings, "profile") == "session",
    _is_auto = setting_of(settings, "processed") == "auto",
    _has_file = setting_of(settings, "outbox") ~= "",
    _taken = {}, -- by lane: the numbers of the last messages that were handed out
    _releasers = {},
  }, Conn)
end

function Conn.is(value)
  return getmetatable(value) == Conn
end

-- Absorbing ------------------------------------------------------------------------------------

local absorbers = {}

function absorbers.proof(self, event)
  local level = Receipt.strength[event.proof]
  self._ledgers[event.lane]:proved(level, event)
  if level >= Receipt.strength.received then
    self._has_no_pong = false
  end
  if level > Receipt.strength.received then
    self._is_session = true
  end
end

function absorbers.message_ended(self, event)
  local receipt = self._receipts[event.id]
  if not receipt then
    return
  elseif event.state == "settled" then
    receipt.settled = true
  else
    receipt.ended = event
  end
end

function absorbers.downgraded(self)
  self._is_session = false
end

function absorbers.no_pong(self)
  self._has_no_pong = true
end

function absorbers.closed(self, event)
  self._ended = event
end

function absorbers.credentials_needed(self, event)
  if not self._credentials then
    return
  end
  guard.call(function()
    local answer = self._credentials(event, self)
    if answer == nil then
      return
    end
    local ok, message = self._core:supply(answer)
    if not ok then
      error(message, 0)
    end
  end, event, self)
end

local function is_over_bound(self)
  return self._tail - self._head >= self._held_events or self._bytes >= self._held_bytes
end

-- Takes one batch out of the mailbox.  Answers how many, or nil, message, code.
local function pull(self)
  local tail = self._tail
  local count, bytes, code = self._core:drain(self._queue, tail)
  if not count then
    return nil, bytes, code
  end
  self._tail = tail + count
  self._bytes = self._bytes + bytes
  self._absorbed = self._absorbed + count
  local queue = self._queue
  for index = tail + 1, tail + count do
    local event = queue[index]
    local absorb = absorbers[event.kind]
    if absorb then
      absorb(self, event)
    end
  end
  return count
end

local function take(self)
  local head = self._head
  if head > self._tail then
    return nil
  end
  local event = self._queue[head]
  self._queue[head] = nil
  self._head = head + 1
  if head == self._tail then
    self._head, self._tail, self._bytes = 1, 0, 0
  end
  return event
end

local function ended_refusal(self)
  local event = self._ended
  if not event then
    return nil, "the conn has ended", "closed"
  end
  local cause = core.words.causes[event.cause]
  local detail = event.detail ~= "" and event.detail or cause and cause.text or event.cause
  return nil, ("the conn has ended: %s"):format(detail), "closed"
end

--- Takes in what the engine has said, without calling a handler.
function Conn:_absorb()
  while not self._is_freed and not is_over_bound(self) do
    local count = pull(self)
    if not count or count == 0 then
      return
    end
  end
end

--- Waits up to `seconds` (nil: for ever) until check(conn, ...) answers true, or nil and a message.
function Conn:_wait_for(seconds, check, ...)
  local deadline = seconds and core.now() + seconds
  while true do
    local is_done, message, code = check(self, ...)
    if is_done ~= nil or message then
      return is_done, message, code
    end
    if is_over_bound(self) then
      return nil, "too many events wait to be read: recv, poll or dispatch them first", "full"
    end
    local count
    count, message, code = pull(self)
    if not count then
      return nil, message, code
    end
    if count == 0 then
      local left = deadline and deadline - core.now()
      if left and left <= 0 then
        return nil, "the time given is over", "timeout"
      end
      local _
      _, message, code = self._core:wait(left)
      if code and code ~= "timeout" then
        return nil, message, code
      end
    end
  end
end

-- What receipts ask -----------------------------------------------------------------------------

function Conn:_ledger(lane)
  return self._ledgers[lane]
end

-- The strength at which messages settle now.
function Conn:_settling()
  if self._has_no_pong then
    return Receipt.strength.written
  end
  return self._is_session and Receipt.strength.accepted or Receipt.strength.received
end

function Conn:_is_without_pong()
  return self._has_no_pong == true
end

function Conn:has_ended()
  return self._ended ~= nil or self._is_freed == true
end

-- Processed -------------------------------------------------------------------------------------

-- Told of a message that is handed out; those before it on its lane have been.
local function note_taken(self, event)
  if event.number then
    self._taken[event.lane] = event.number
    self._has_taken = true
  end
end

-- The host asks for more: with processed = "auto" that says that what it had has taken effect.
local function say_taken(self)
  if self._is_auto and self._has_taken and not self._is_freed then
    self._has_taken = false
    for lane, number in pairs(self._taken) do
      self._core:processed(lane, number)
    end
    self._taken = {}
  end
end

--- Says that a message and all before it on its lane have taken effect, so that the server need not
-- keep them; for processed = "manual".  A server that does not number messages is told nothing.
function Conn:ack(message)
  if type(message) ~= "table" or message.kind ~= "message" then
    error("ack takes a message that arrived [argument]", 2)
  elseif not message.number then
    return true
  end
  local ok, text, code = self._core:processed(message.lane, message.number)
  return ok, text, code
end

-- Handlers --------------------------------------------------------------------------------------

local function check_kind(kind)
  if core.words.events[kind] then
    return
  end
  local kinds = {}
  for name in pairs(core.words.events) do
    kinds[#kinds + 1] = name
  end
  table.sort(kinds)
  local all = table.concat(kinds, ", ")
  error(("there is no event %q: %s [argument]"):format(tostring(kind), all), 3)
end

--- Has fn(event, conn) called for every event of this kind.  Answers the conn.
function Conn:on(kind, fn)
  check_kind(kind)
  if type(fn) ~= "function" then
    error(("a handler is a function, not a %s [argument]"):format(type(fn)), 2)
  end
  local handlers = {} -- a new list: one that is being walked stays as it is
  for index, other in ipairs(self._handlers[kind] or {}) do
    handlers[index] = other
  end
  handlers[#handlers + 1] = fn
  self._handlers[kind] = handlers
  return self
end

--- Ends `on`; without fn, for every handler of the kind.
function Conn:off(kind, fn)
  check_kind(kind)
  local handlers = {}
  for _, other in ipairs(fn and self._handlers[kind] or {}) do
    if other ~= fn then
      handlers[#handlers + 1] = other
    end
  end
  self._handlers[kind] = handlers[1] and handlers or nil
  return self
end

-- Gives mailbox, descriptor and handle back; what can still be asked is remembered.
local function release(self)
  if self._is_freed then
    return
  end
  self._last_view = self._core:look()
  self._last_stats = self._core:stats()
  self._is_freed = true
  for _, releaser in ipairs(self._releasers) do
    releaser(self)
  end
  self._core:free()
end

local function deliver(self, event)
  local handlers = self._handlers[event.kind]
  note_taken(self, event)
  if handlers then
    for index = 1, #handlers do
      guard.call(handlers[index], event, self)
    end
  end
  if event.kind == "closed" and self._is_closing then
    release(self)
  end
end

--- Calls the handlers for a batch of what has happened; never waits.
-- Answers how many events there were; nil, message, "closed" once the last one has been dealt with.
function Conn:dispatch()
  say_taken(self)
  if self._head > self._tail and not self._is_freed then
    local count, message, code = pull(self)
    if not count then
      return nil, message, code
    end
  end
  local count = 0
  for _ = self._head, self._tail do -- not what handlers add meanwhile
    local event = take(self)
    if not event then
      break
    end
    count = count + 1
    deliver(self, event)
  end
  if count > 0 then
    return count
  elseif self:has_ended() then
    return ended_refusal(self)
  end
  return 0
end

--- Waits for the next message; other events that pass go to their handlers.
-- The message, or nil, message, code: "timeout", "interrupted", "closed".
function Conn:recv(timeout)
  local seconds = core.duration(timeout)
  local deadline = seconds and core.now() + seconds
  say_taken(self)
  while true do
    local event = take(self)
    if event and event.kind == "message" then
      note_taken(self, event)
      return event
    elseif event then
      deliver(self, event)
    elseif self:has_ended() then
      return ended_refusal(self)
    else
      local count, message, code = pull(self)
      if not count then
        return nil, message, code
      end
      if count == 0 then
        local left = deadline and deadline - core.now()
        if left and left <= 0 then
          return nil, "no message in the time given", "timeout"
        end
        local _
        _, message, code = self._core:wait(left)
        if code and code ~= "timeout" then
          return nil, message, code
        end
      end
    end
  end
end

--- All that has happened since, as an array of events; never waits and calls no handler.
-- nil, message, "closed" once the last event has been taken.
function Conn:poll()
  say_taken(self)
  local is_empty = self._head > self._tail
  if is_empty and self:has_ended() then
    return ended_refusal(self)
  elseif not self:has_ended() and not is_over_bound(self) then
    local count, message, code = pull(self)
    if not count and is_empty then
      return nil, message, code
    end
  end
  local events = {}
  for index = self._head, self._tail do
    events[#events + 1] = self._queue[index]
    note_taken(self, self._queue[index])
  end
  self._queue, self._head, self._tail, self._bytes = {}, 1, 0, 0
  return events
end

-- Sending ---------------------------------------------------------------------------------------

local function try_send(self, data, options)
  local id, number, code = self._core:send(data, options)
  if code == "full" then
    return nil -- the event outbox_room ends the wait
  end
  return id, number, code
end

local function send_when_room(self, data, options)
  local seconds = core.duration(options.wait)
  local id, number, code = self:_wait_for(seconds, try_send, data, options)
  if code == "timeout" then
    return nil, "the outbox stayed full for the time given", "full"
  end
  return id, number, code
end

--- Queues a message and returns at once.  Text (UTF-8) unless { binary = true }.
-- Options: ttl, key, guarantee, lane, text, binary, and wait: how long to wait for room in a full
-- outbox.
-- A receipt, or nil, message, code: "full", "too_big", "closed", ...
function Conn:send(data, options)
  local id, number, code = self._core:send(data, options)
  if code == "full" and options and options.wait ~= nil then
    id, number, code = send_when_room(self, data, options)
  end
  if not id then
    return nil, number, code
  end
  local receipt = Receipt.new(self, id, number, options and options.lane or "data")
  self._receipts[id] = receipt
  return receipt
end

--- Queues an array of messages in order, faster than one by one; options as for send, less wait.
-- An array of receipts, or nil, message, code and the receipts of those taken before the refusal.
function Conn:send_many(messages, options)
  local ids, number, code, taken, first = self._core:send_many(messages, options)
  local receipts = {}
  for index, id in ipairs(ids or taken or {}) do
    local at = (ids and number or first) + index - 1
    receipts[index] = Receipt.new(self, id, at, options and options.lane or "data")
    self._receipts[id] = receipts[index]
  end
  if ids then
    return receipts
  end
  return nil, number, code, receipts
end

--- Sets (with data nil: removes) a message that the engine itself sends first on every new link.
function Conn:opening(key, data, options)
  local ok, message, code = self._core:opening(key, data, options and options.binary)
  return ok, message, code
end

--- Says that the server has accepted the opening, for ready_when = "host".
function Conn:ready()
  local ok, message, code = self._core:ready()
  return ok, message, code
end

--- Supplies credentials: { url =, token =, headers =, expires_in = }.
function Conn:supply(credentials)
  local ok, message, code = self._core:supply(credentials)
  return ok, message, code
end

--- Ends a wait between two attempts now.
function Conn:kick()
  local ok, message, code = self._core:kick()
  return ok, message, code
end

--- Opens a failed conn again; the outbox is kept.
function Conn:reopen()
  local ok, message, code = self._core:reopen()
  if ok then
    self._is_closing, self._ended = nil, nil
  end
  return ok, message, code
end

-- Looking ---------------------------------------------------------------------------------------

--- The name of the state.
function Conn:state()
  if self._last_view then
    return self._last_view.state
  end
  local state, message, code = self._core:state()
  return state, message, code
end

local function is_in(self, wanted)
  local state, message, code = self._core:state()
  if state == wanted then
    return true
  elseif not state then
    return nil, message, code
  elseif state == "failed" or state == "closed" then
    local view = self._core:look()
    return nil, ("the conn is %s: %s"):format(state, view and view.detail or ""), self:cause()
  end
end

--- Waits until the conn is in a state, "online" if none is named, for connect_timeout if no
-- timeout is given.  True, or nil, message and "timeout", "interrupted" or the cause of its end.
function Conn:wait(state, timeout)
  local wanted = state or "online"
  if not core.words.states[wanted] then
    error(("there is no state %q [argument]"):format(tostring(state)), 2)
  end
  local seconds = core.duration(timeout)
  if timeout == nil and self._connect_timeout > 0 then
    seconds = self._connect_timeout
  end
  return self:_wait_for(seconds, is_in, wanted)
end

--- A consistent look: state, cause, detail, attempt, rtt, outbox_messages, endpoint, ...
function Conn:view()
  if self._last_view then
    return self._last_view
  end
  local view, message, code = self._core:look()
  return view, message, code
end

--- The counters, by name.
function Conn:stats()
  if self._last_stats then
    return self._last_stats
  end
  local stats, message, code = self._core:stats()
  return stats, message, code
end

-- Stands for the outbox of a conn that was freed.
local gone = setmetatable({}, { __index = function()
  return function()
    return nil, "this conn was closed and freed; connect a new one", "closed"
  end
end })

--- What must still reach the peer.
function Conn:outbox()
  local handle = self._core:outbox() or gone
  return Outbox.new(handle, function(id)
    local receipt = self._receipts[id]
    if not receipt then
      return nil
    end
    local was_moved, ended = receipt.moved, receipt.ended
    receipt.moved, receipt.ended = true, nil
    return function()
      receipt.moved, receipt.ended = was_moved, ended
    end
  end)
end

--- The name of the last cause.
function Conn:cause()
  if self._ended then
    return self._ended.cause
  end
  local view = self:view()
  return view and view.cause
end

--- True once the conn has ended because the host wanted it.
function Conn:ended_as_asked()
  local cause = self._ended and core.words.causes[self._ended.cause]
  return cause ~= nil and cause.class == "host"
end

-- For loops: the protocol of cqueues.poll, which others can use as well -------------------------

function Conn:pollfd()
  local fd, message, code = self._core:fd()
  return fd, message, code
end

function Conn.events()
  return "r"
end

--- 0 while events wait that `dispatch` has not dealt with, nil otherwise.
function Conn:timeout()
  return self._head <= self._tail and 0 or nil
end

--- Has fn(conn) called before the descriptor goes away.
function Conn:on_release(fn)
  self._releasers[#self._releasers + 1] = fn
end

-- Closing ---------------------------------------------------------------------------------------

local function has_closed(self)
  return self._ended and true or nil
end

-- At its bound the queue takes no more, and the end is seen by looking.
local function wait_for_end(self, seconds)
  local deadline = core.now() + seconds
  local ok, message, code = self:_wait_for(seconds, has_closed)
  while code == "full" and core.now() < deadline do
    local state = self._core:state()
    if state == "closed" or state == "failed" then
      return true
    end
    core.wait({}, 0.02)
  end
  return ok, message, code
end

local function undelivered(self)
  local view = self._core:look()
  local count = self._ended and self._ended.undelivered or view and view.outbox_messages or 0
  if count == 0 then
    return true
  end
  local message = ("%d messages did not get the proof they want"):format(count)
  if view and view.has_store then
    message = message .. "; they stay in the outbox file, and the next conn sends them"
  end
  return nil, message, "undelivered", self:outbox():list(UNDELIVERED_LISTED) or {}
end

--- Closes: goes on until every message has its proof or `timeout` (close_timeout) is over, waits
-- for that, and frees what the conn holds.  Inside a handler it only asks and answers true at once.
-- True, or nil, message, "undelivered" and an array of what is left.
function Conn:close(timeout)
  local seconds = core.duration(timeout == nil and self._close_timeout or timeout)
  if self._is_freed then
    return true
  end
  if not self._ended then
    say_taken(self)
    local ok, message, code = self._core:close(seconds)
    if not ok and code ~= "closed" then
      return nil, message, code
    end
  end
  self._is_closing = true
  local is_over = self._ended and self._head > self._tail
  if guard.is_calling() and not is_over then
    return true
  end
  local ok, message, code = wait_for_end(self, (seconds or math.huge) + CLOSE_GRACE)
  if code == "interrupted" then
    return nil, message, code
  end
  local entries
  if ok then
    ok, message, code, entries = undelivered(self)
  end
  release(self)
  return ok, message, code, entries
end

--- Lua 5.4: `local conn <close> = ...`.
function Conn:__close()
  local ok, message = self:close()
  if not ok then
    guard.report("close: " .. message, nil, self)
  end
end

function Conn:__tostring()
  local view = self:view()
  return ("steadwire.conn %s (%s)"):format(view and view.endpoint or "", self:state() or "closed")
end

return Conn
