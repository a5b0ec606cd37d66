--- An outbox: what must still reach the peer, in a live conn or in a file at rest.

local Outbox = {}
Outbox.__index = Outbox
Outbox.__name = "steadwire.outbox"

-- `on_move`(id, edit) is told before a message of a conn leaves its place; it answers an undo.
function Outbox.new(handle, on_move)
  return setmetatable({ _core = handle, _on_move = on_move }, Outbox)
end

-- An id, or what has one: a receipt, an entry.
local function id_of(message)
  return type(message) == "table" and message.id or message
end

--- Some entries, in the order in which they would be sent, and the cursor of the next page: nil at
-- the end.  A filter is { state =, lane =, key =, older_than = }.
function Outbox:page(cursor, filter)
  local entries, following, code = self._core:list(cursor, filter)
  return entries, following, code
end

--- All entries that the filter lets through, or the first `max`.
function Outbox:list(max, filter)
  local all, cursor = {}, nil
  repeat
    local entries, following, code = self:page(cursor, filter)
    if not entries then
      return nil, following, code
    end
    for _, entry in ipairs(entries) do
      if max and #all >= max then
        return all
      end
      all[#all + 1] = entry
    end
    cursor = following
  until not cursor
  return all
end

--- The messages that were given up; `cause` says why.
function Outbox:dead_letters(max)
  return self:list(max, { state = "dead" })
end

--- The messages that wait for their release.
function Outbox:held(max)
  return self:list(max, { state = "held" })
end

--- The entry of a message, named by its id, receipt or entry.
function Outbox:entry(message)
  local entry, text, code = self._core:get(id_of(message))
  return entry, text, code
end

--- The body of a message.
function Outbox:get(message)
  local body, text, code = self._core:body(id_of(message))
  return body, text, code
end

local function edit(self, message, name)
  local id = id_of(message)
  local undo = self._on_move and name ~= "cancel" and self._on_move(id, name)
  local ok, text, code = self._core:edit(id, name)
  if not ok and undo then
    undo()
  end
  return ok, text, code
end

--- Takes a message back if no byte of it was written; a parked one is forgotten.
function Outbox:cancel(message)
  return edit(self, message, "cancel")
end

--- Parks a queued message until it is released; others pass.
function Outbox:hold(message)
  return edit(self, message, "hold")
end

--- Puts a held message at the end of its lane.
function Outbox:release(message)
  return edit(self, message, "release")
end

--- Puts a dead message, or one of unknown fate, at the end of its lane.
function Outbox:requeue(message)
  return edit(self, message, "requeue")
end

--- Moves a queued or parked message to the end of the control lane.
function Outbox:prioritise(message)
  return edit(self, message, "prioritise")
end

--- Moves a queued or parked message to the end of the data lane.
function Outbox:demote(message)
  return edit(self, message, "demote")
end

--- Writes messages to a new file; how many.  Nothing is removed.
function Outbox:export(path, filter)
  local count, text, code = self._core:export(path, filter)
  return count, text, code
end

--- Adds all messages of an export, or none; how many were not there already.
function Outbox:import(path)
  local count, text, code = self._core:import(path)
  return count, text, code
end

--- Reads a file from end to end: { sound =, detail =, queued = { data =, control = }, ... }.
function Outbox:check()
  local report, text, code = self._core:check()
  return report, text, code
end

--- Gives a file free; of a conn's outbox it does nothing.
function Outbox:close()
  local ok, text, code = self._core:close()
  return ok, text, code
end

return Outbox
