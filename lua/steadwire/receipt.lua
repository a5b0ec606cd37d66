--- Receipts: what is known of one message that was sent.

local core = require "steadwire.core"

local Receipt = {}
Receipt.__index = Receipt
Receipt.__name = "steadwire.receipt"

-- Strongest last; the index is the strength.
local proofs = core.words.proofs
local strength = {}
for index, name in ipairs(proofs) do
  strength[name] = index
end
Receipt.strength = strength

--- `ended` is the event that ended the message without the proof it wanted, nil so far.
function Receipt.new(conn, id, number, lane)
  return setmetatable({ conn = conn, id = id, number = number, lane = lane }, Receipt)
end

-- A moved message has left the sequence of its lane: it settles by an event of its own.
local function strongest(self)
  if self.settled then
    return self.conn:_settling()
  elseif self.moved or self.ended then
    return 1
  end
  return self.conn:_ledger(self.lane):strength_of(self.number, #proofs)
end

local function is_settled(self)
  return self.settled or not self.moved and self.conn:_ledger(self.lane).settled >= self.number
end

--- The strongest proof so far: "none", "written", "received", ...
function Receipt:proof()
  self.conn:_absorb()
  return proofs[strongest(self)]
end

-- A message that left the outbox and did not end otherwise has the proof it wants.
local function state_in_outbox(self)
  local entry, message, code = self.conn:outbox():entry(self)
  if entry then
    return entry.state
  elseif code ~= "not_found" then
    return nil, message, code
  end
  self.conn:_absorb()
  return self.ended and self.ended.state or "settled"
end

--- "queued", "inflight", "settled", ...: one of steadwire.words.message_states.
function Receipt:state()
  self.conn:_absorb()
  if self.ended then
    return self.ended.state
  elseif is_settled(self) then
    return "settled"
  end
  return state_in_outbox(self)
end

-- Why a proof that is not there will never come, and a code; nil while it may.
local function why_never(conn, self, wanted, now)
  if conn:_ledger(self.lane):is_short(wanted, self.number) then
    return ("it settled without being %s: its peer gave no such proof"):format(proofs[wanted]),
      "unavailable"
  elseif conn:_is_without_pong() and wanted > strength.written and now >= strength.written then
    return "the peer answers no PING: nothing beyond `written` can be proven", "no_pong"
  elseif is_settled(self) and (self.settled or now == strength.received) then
    return ("this peer gives no proof beyond %s"):format(proofs[now]), "unavailable"
  end
end

-- Without a proof that is wanted: is it settled?
local function check(conn, self, wanted)
  if wanted == strength.stored and not conn._has_file then
    return nil, "messages are kept in memory: connect with `outbox` = a file", "unavailable"
  elseif self.ended then
    local ended = self.ended
    local why = ended.detail ~= "" and ended.detail or core.words.message_states[ended.state]
    return nil, ("message %d is %s: %s"):format(self.number, ended.state, why), ended.state
  end
  local now = strongest(self)
  if wanted and now >= wanted or not wanted and is_settled(self) then
    return true
  end
  local why, code
  if wanted then
    why, code = why_never(conn, self, wanted, now)
  end
  if not why and conn:has_ended() then
    why = ("the conn ended before message %d was %s"):format(self.number,
      proofs[wanted] or "settled")
    code = "closed"
  end
  return nil, why, code
end

--- Waits until the message has `proof`; without one, until it has the proof it wants.
-- True, or nil, message, code: "timeout", "interrupted", "closed", "no_pong", "unavailable" (a
-- proof that this peer or outbox does not give), or how the message ended: "expired", "cancelled",
-- "dropped", "dead", "unknown".  Events that pass meanwhile are kept for handlers, recv and poll;
-- "full" says that too many are.
function Receipt:wait(proof, timeout)
  local wanted = proof and strength[proof]
  if proof ~= nil and not wanted then
    error(("there is no proof %q: %s [argument]"):format(tostring(proof),
      table.concat(proofs, ", ")), 2)
  end
  local seconds = core.duration(timeout)
  return self.conn:_wait_for(seconds, check, self, wanted)
end

--- Takes the message back if no byte of it was written.
function Receipt:cancel()
  return self.conn:outbox():cancel(self)
end

function Receipt:__tostring()
  return ("steadwire.receipt %s"):format(self.id)
end

return Receipt
