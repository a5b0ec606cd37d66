--- What the engine has said of one lane's messages, by their numbers.  Proofs are cumulative, so a
-- message costs nothing here.

local Ledger = {}
Ledger.__index = Ledger

local GAPS_MAX = 64

function Ledger.new()
  return setmetatable({ settled = 0, _upto = {}, _gaps = {} }, Ledger)
end

--- Takes in a proof event; `level` is the strength of its proof.
function Ledger:proved(level, event)
  self.settled = math.max(self.settled, event.settled)
  local known = self._upto[level] or 0
  if event.upto <= known then
    return
  end
  self._upto[level] = event.upto
  if event.after <= known then
    return
  end
  local gaps = self._gaps[level] or {}
  self._gaps[level] = gaps
  gaps[#gaps + 1] = { first = known + 1, last = event.after }
  if #gaps > GAPS_MAX then
    gaps[2].first = gaps[1].first -- says less, but nothing that is not so
    table.remove(gaps, 1)
  end
end

--- Whether the proof was given to later messages only: this one had settled without it.
function Ledger:is_short(level, number)
  for _, gap in ipairs(self._gaps[level] or {}) do
    if gap.first <= number and number <= gap.last then
      return true
    end
  end
  return false
end

--- The strength of the strongest proof of a message; `strongest` is the highest there is.
function Ledger:strength_of(number, strongest)
  for level = strongest, 2, -1 do
    if (self._upto[level] or 0) >= number and not self:is_short(level, number) then
      return level
    end
  end
  return 1
end

return Ledger
