--- Lua programs in interpreters of their own: for what ends one.

local child = {}

local interpreter = os.getenv("STW_LUA")
local scratch = os.getenv("STW_SCRATCH")
local count = 0

local PRELUDE = [[
local conns = require "conns"
local helper = require "steadwire_helper"
local steadwire = require "steadwire"
]]

--- Runs a file.  Answers its output, stderr included, and its exit status.
function child.run_file(path, arguments)
  local command = ("(exec '%s' '%s' %s) 2>&1; echo \"exit $?\""):format(interpreter, path,
    arguments or "")
  local output = assert(io.popen(command, "r"))
  local text = output:read("*a")
  output:close()
  local said, status = text:match("^(.*)exit (%d+)%s*$")
  return said, tonumber(status)
end

--- Runs a program that is given as text, with `conns`, `helper` and `steadwire` at hand.
function child.run(program)
  count = count + 1
  local path = ("%s/child%d.lua"):format(scratch, count)
  local file = assert(io.open(path, "w"))
  file:write(PRELUDE, program)
  file:close()
  local said, status = child.run_file(path)
  os.remove(path)
  return said, status
end

return child
