local harness = require "harness"
local Ledger = require "steadwire.ledger"

local it, equal = harness.it, harness.equal

local WRITTEN, RECEIVED = 3, 4

local function proved(ledger, level, after, upto, settled)
  ledger:proved(level, { after = after, upto = upto, settled = settled })
end

it("proofs_are_cumulative", function()
  local ledger = Ledger.new()
  proved(ledger, WRITTEN, 0, 5, 0)
  proved(ledger, RECEIVED, 0, 3, 3)
  proved(ledger, RECEIVED, 0, 2, 3)
  equal(ledger.settled, 3)
  equal(ledger:strength_of(3, RECEIVED), RECEIVED)
  equal(ledger:strength_of(4, RECEIVED), WRITTEN)
  equal(ledger:strength_of(6, RECEIVED), 1)
end)

it("a_proof_says_nothing_of_what_settled_without_it", function()
  local ledger = Ledger.new()
  proved(ledger, RECEIVED, 0, 2, 2)
  proved(ledger, WRITTEN, 0, 5, 5)
  proved(ledger, RECEIVED, 5, 7, 7)
  for number, strength in ipairs { 4, 4, 3, 3, 3, 4, 4, 1 } do
    equal(ledger:strength_of(number, RECEIVED), strength)
    equal(ledger:is_short(RECEIVED, number), strength == WRITTEN)
  end
end)

it("what_it_forgets_it_does_not_claim", function()
  local ledger = Ledger.new()
  for number = 10, 1000, 10 do
    proved(ledger, RECEIVED, number - 5, number, number)
  end
  local claimed = 0
  for number = 1, 1000 do
    if ledger:strength_of(number, RECEIVED) == RECEIVED then
      claimed = claimed + 1
      equal((number - 1) % 10 > 4, true)
    end
  end
  equal(claimed, 5 * 64)
  equal(ledger:strength_of(1000, RECEIVED), RECEIVED)
end)
