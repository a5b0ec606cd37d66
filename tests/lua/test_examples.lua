local child = require "child"
local harness = require "harness"
local peers = require "peers"

local it, equal, match = harness.it, harness.equal, harness.match

local examples = (os.getenv("STW_SUPPORT") .. "/../../examples/lua/")

local function run(name, arguments)
  local said, status = child.run_file(examples .. name, arguments)
  if status ~= 0 then
    error(("%s ended with %d: %s"):format(name, status, said), 2)
  end
  return said
end

local function run_with(library, name, arguments)
  if not pcall(require, library) then
    harness.skip("this Lua has no " .. library)
  end
  return run(name, arguments)
end

it("example_bot", function()
  local said = run("bot.lua", peers.echo().url .. " 3")
  match(said, "idle %-> connecting %(requested%)\nconnecting %-> online %(ready%)\n")
  match(said, "message hello\nmessage seen 1\nmessage seen 2\n")
  match(said, "%-> closed %(requested%)\n$")
end)

it("example_blocking", function()
  equal(run("blocking.lua", peers.echo().url),
    "the server has it: settled\nback: an order\nback: 1000 bytes\n")
end)

it("example_feed", function()
  local server = peers.start("--subscriptions --rate 100")
  local said = run("feed.lua", server.url .. " 5")
  match(said, '"channel": "trades", "n": %d+')
  server:kill()
end)

it("example_luv_bot", function()
  local said = run_with("luv", "luv_bot.lua", peers.echo().url .. " 3")
  match(said, "one\ttick %d+\n")
  match(said, "two\ttick %d+\n")
end)

it("example_cqueues_bot", function()
  local said = run_with("cqueues", "cqueues_bot.lua", peers.echo().url .. " 3")
  match(said, "back: number 3\n")
  match(said, "received by the server: 3\n")
end)
