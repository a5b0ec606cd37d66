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

--- Runs a program, after `before` (shell) in the same process.  Answers its output, stderr
-- included, and its exit status.
function child.run(program, before)
  count = count + 1
  local path = ("%s/child%d.lua"):format(scratch, count)
  local file = assert(io.open(path, "w"))
  file:write(PRELUDE, program)
  file:close()
  local command = ("(%s exec '%s' '%s') 2>&1; echo \"exit $?\""):format(before or "", interpreter,
    path)
  local output = assert(io.popen(command, "r"))
  local text = output:read("*a")
  output:close()
  os.remove(path)
  local said, status = text:match("^(.*)exit (%d+)%s*$")
  return said, tonumber(status)
end

return child
