--- Calls what the host gave us, so that an error in it ends neither the loop nor the conn.

local guard = {}

local depth = 0
local report

local function to_stderr(message)
  io.stderr:write("steadwire: error in a handler: ", message, "\n")
end

--- Sets the reporter; answers the one before.  It gets the message with traceback, the event and
-- the conn.
function guard.on_error(fn)
  if fn ~= nil and type(fn) ~= "function" then
    error(("on_error takes a function, not a %s [argument]"):format(type(fn)), 2)
  end
  local before = report or to_stderr
  report = fn
  return before
end

function guard.report(message, event, conn)
  local ok, err = pcall(report or to_stderr, message, event, conn)
  if not ok then
    to_stderr(message)
    to_stderr("and on_error failed: " .. tostring(err))
  end
end

-- lua(1) turns Ctrl-C into an error with this text: it must end the program, not one handler.
local function is_interrupt(err)
  return type(err) == "string" and err:find("interrupted!$") ~= nil
end

local function describe(err)
  if is_interrupt(err) then
    return err
  end
  return debug.traceback(tostring(err), 2)
end

local protected = xpcall
local passes_arguments = false
xpcall(function(value)
  passes_arguments = value
end, describe, true)
if not passes_arguments then -- Lua 5.1
  protected = function(fn, handler, ...)
    local count, arguments = select("#", ...), { ... }
    return xpcall(function()
      return fn(unpack(arguments, 1, count))
    end, handler)
  end
end

--- Calls fn(event, conn).  Answers what it returns; nil after an error, which is reported.
function guard.call(fn, event, conn)
  depth = depth + 1
  local ok, result = protected(fn, describe, event, conn)
  depth = depth - 1
  if ok then
    return result
  end
  if is_interrupt(result) then
    error(result, 0)
  end
  guard.report(result, event, conn)
  return nil
end

--- True inside a handler.
function guard.is_calling()
  return depth > 0
end

return guard
