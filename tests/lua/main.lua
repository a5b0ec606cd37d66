--- Runs the test files named on the command line in one process, then looks for what they left.

local harness = require "harness"
local helper = require "steadwire_helper"
local peers = require "peers"
local steadwire = require "steadwire"

if os.getenv("STW_COLLECTOR") == "restless" then
  collectgarbage("setpause", 0)
  collectgarbage("setstepmul", 400)
end

local descriptors = helper.entries("/proc/self/fd")
local threads = helper.entries("/proc/self/task")

for _, file in ipairs(arg) do
  dofile(file)
end

harness.it("nothing_is_left_at_the_end", function()
  peers.stop_echo()
  collectgarbage()
  collectgarbage()
  steadwire.stop()
  harness.equal(helper.entries("/proc/self/task"), threads, "threads")
  harness.equal(helper.entries("/proc/self/fd"), descriptors, "descriptors")
end)

os.exit(harness.run() and 0 or 1)
