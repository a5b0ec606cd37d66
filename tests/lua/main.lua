--- Runs the test files named on the command line in one process, then looks for what they left.

local harness = require "harness"
local helper = require "steadwire_helper"
local peers = require "peers"
local steadwire = require "steadwire"

if os.getenv("STW_COLLECTOR") == "restless" then
  collectgarbage("setpause", 0)
  collectgarbage("setstepmul", 400)
end

-- What libuv and the loop libraries open once for the whole process.
local function warm_up()
  local conn = assert(steadwire.connect { url = "ws://127.0.0.1:9" })
  conn:close(0)
  steadwire.stop()
  local is_found, uv = pcall(require, "luv")
  if is_found then
    local timer = uv.new_timer()
    timer:start(0, 0, function()
      timer:close()
    end)
    uv.run()
  end
end

warm_up()
collectgarbage()

local descriptors = helper.entries("/proc/self/fd")
local threads = helper.entries("/proc/self/task")

for _, file in ipairs(arg) do
  dofile(file)
end

harness.it("nothing_is_left_at_the_end", function()
  peers.stop_all()
  collectgarbage()
  collectgarbage()
  steadwire.stop()
  harness.equal(helper.entries("/proc/self/task"), threads, "threads")
  harness.equal(helper.entries("/proc/self/fd"), descriptors, "descriptors")
end)

os.exit(harness.run() and 0 or 3, true) -- 3: counted, unlike an error in this file
