--- A test harness of one page: `it` adds a test, `run` runs them all.

local helper = require "steadwire_helper"

local harness = { passed = 0, failed = 0, skipped = 0 }

local tests = {}
local SKIP = {}
local TEST_SECONDS = 60

--- A test; its name is the promise that it checks.
function harness.it(name, fn)
  tests[#tests + 1] = { name = name, fn = fn }
end

--- Ends the running test without a verdict.
function harness.skip(why)
  error(setmetatable({ why = why }, SKIP), 0)
end

local function show(value)
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

function harness.equal(actual, expected, what)
  if actual ~= expected then
    error(("%s: got %s, expected %s"):format(what or "value", show(actual), show(expected)), 2)
  end
end

function harness.match(text, pattern)
  if type(text) ~= "string" or not text:find(pattern) then
    error(("%s does not match %q"):format(show(text), pattern), 2)
  end
end

--- The call must answer nil, a sentence and `code`.
function harness.refused(code, ...)
  local value, message, actual = ...
  if value ~= nil or type(message) ~= "string" or actual ~= code then
    error(("answered %s, %s, %s instead of nil, a sentence, %q"):format(show(value), show(message),
      show(actual), code), 2)
  end
  return message
end

--- The call must raise a text that ends in [code] and names this file.
function harness.raises(code, pattern, fn, ...)
  local ok, message = pcall(fn, ...)
  if ok then
    error("it did not raise", 2)
  end
  if type(message) ~= "string" or not message:find("%[" .. code .. "%]$")
    or not message:find(pattern) then
    error(("raised %s; expected %q and [%s]"):format(show(message), pattern, code), 2)
  end
  return message
end

local function note(err)
  if getmetatable(err) == SKIP then
    return err
  end
  return debug.traceback(tostring(err), 2)
end

local function run_one(test)
  helper.watchdog(TEST_SECONDS)
  local ok, err = xpcall(test.fn, note)
  helper.watchdog(0)
  collectgarbage()
  if ok then
    harness.passed = harness.passed + 1
  elseif getmetatable(err) == SKIP then
    harness.skipped = harness.skipped + 1
    print(("skipped  %s: %s"):format(test.name, err.why))
  else
    harness.failed = harness.failed + 1
    print(("FAILED   %s\n%s"):format(test.name, err))
  end
end

function harness.run()
  for _, test in ipairs(tests) do
    run_one(test)
    io.stdout:flush()
  end
  print(("%d passed, %d failed, %d skipped"):format(harness.passed, harness.failed,
    harness.skipped))
  return harness.failed == 0
end

return harness
