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
function Receipt.new(conn, id, number)
  return setmetatable({ conn = conn, id = id, number = number }, Receipt)
end

--- The strongest proof so far: "none", "written", "received", ...
function Receipt:proof()
  self.conn:_absorb()
  return proofs[self.conn:_strongest_proof(self.number)]
end

-- A message that left the outbox and did not end otherwise has the proof it wants.
local function state_in_outbox(self)
  local entries, message, code = self.conn:outbox():page(self.number - 1)
  if not entries then
    return nil, message, code
  end
  if entries[1] and entries[1].number == self.number then
    return entries[1].state
  end
  self.conn:_absorb()
  return self.ended and self.ended.state or "settled"
end

--- "queued", "inflight", "settled", ...: one of steadwire.words.message_states.
function Receipt:state()
  self.conn:_absorb()
  if self.ended then
    return self.ended.state
  elseif self.conn:_strongest_proof(self.number) >= strength.received then
    return "settled"
  end
  return state_in_outbox(self)
end

local function check(conn, self, wanted)
  if conn:_strongest_proof(self.number) >= wanted then
    return true
  elseif self.ended then
    local ended = self.ended
    local why = ended.detail ~= "" and ended.detail or core.words.message_states[ended.state]
    return nil, ("message %d is %s: %s"):format(self.number, ended.state, why), ended.state
  elseif conn:_is_without_pong() and wanted > strength.written
    and conn:_strongest_proof(self.number) >= strength.written then
    return nil, "the peer answers no PING: nothing beyond `written` can be proven", "no_pong"
  elseif conn:has_ended() then
    return nil, ("the conn ended before message %d was %s"):format(self.number, proofs[wanted]),
      "closed"
  end
end

--- Waits until the message has `proof` ("received" if none is named).
-- True, or nil, message, code: "timeout", "interrupted", "closed", "no_pong", or how the message
-- ended: "expired", "cancelled", "dropped", "dead", "unknown".  Events that pass meanwhile are kept
-- for handlers, recv and poll; "full" says that too many are.
function Receipt:wait(proof, timeout)
  local wanted = strength[proof or "received"]
  if not wanted then
    error(("there is no proof %q: %s [argument]"):format(tostring(proof),
      table.concat(proofs, ", ")), 2)
  end
  local seconds = core.duration(timeout)
  return self.conn:_wait_for(seconds, check, self, wanted)
end

--- Takes the message back if no byte of it was written.
function Receipt:cancel()
  return self.conn:outbox():cancel(self.id)
end

function Receipt:__tostring()
  return ("steadwire.receipt %s"):format(self.id)
end

return Receipt
