--- The outbox of a conn: what must still reach the peer.

local Outbox = {}
Outbox.__index = Outbox
Outbox.__name = "steadwire.outbox"

function Outbox.new(handle)
  return setmetatable({ _core = handle }, Outbox)
end

--- Some entries behind message number `after`, oldest first; an empty array at the end.
function Outbox:page(after)
  local entries, message, code = self._core:outbox_list(after or 0)
  return entries, message, code
end

--- All entries, or the first `max`, oldest first.
function Outbox:list(max)
  local all, after = {}, 0
  while true do
    local entries, message, code = self:page(after)
    if not entries then
      return nil, message, code
    elseif #entries == 0 then
      return all
    end
    for _, entry in ipairs(entries) do
      if max and #all >= max then
        return all
      end
      all[#all + 1] = entry
    end
    after = entries[#entries].number
  end
end

--- The body of a message.  `id` is that of an entry or a receipt.
function Outbox:get(id)
  local body, message, code = self._core:outbox_body(id)
  return body, message, code
end

--- Takes a message back if no byte of it was written.
function Outbox:cancel(id)
  local ok, message, code = self._core:outbox_cancel(id)
  return ok, message, code
end

return Outbox
