local conns = require "conns"
local harness = require "harness"
local steadwire = require "steadwire"

local it, equal, refused, raises = harness.it, harness.equal, harness.refused, harness.raises
local PATIENCE = conns.PATIENCE

local scratch = os.getenv("STW_SCRATCH")
local made = 0

local function fresh_path()
  made = made + 1
  return ("%s/outbox-%s-%d"):format(scratch, os.getenv("STW_COLLECTOR") or "", made)
end

local function remove(path)
  for _, ending in ipairs { "", "-wal", "-shm", "-lock", ".lock" } do
    os.remove(path .. ending)
  end
end

local function bodies(outbox, filter)
  local texts = {}
  for index, entry in ipairs(assert(outbox:list(nil, filter))) do
    texts[index] = assert(outbox:get(entry))
  end
  return table.concat(texts, " ")
end

it("the_control_lane_goes_first", function()
  local conn = conns.lonely()
  local data = assert(conn:send("data"))
  local control = assert(conn:send("control", { lane = "control" }))
  equal(data.lane, "data")
  equal(control.lane, "control")
  equal(data.number, 1)
  equal(control.number, 1)
  equal(data.id == control.id, false)
  local outbox = assert(conn:outbox())
  equal(bodies(outbox), "control data")
  equal(bodies(outbox, { lane = "data" }), "data")
  raises("argument", "control", conn.send, conn, "x", { lane = "fast" })
  conn:close(0)
end)

it("both_lanes_prove_their_own_messages", function()
  local conn = conns.online()
  local control = assert(conn:send("control", { lane = "control" }))
  local data = assert(conn:send("data"))
  assert(control:wait(nil, PATIENCE))
  assert(data:wait(nil, PATIENCE))
  equal(control:proof(), "received")
  equal(data:state(), "settled")
  refused("unavailable", data:wait("processed", PATIENCE))
  refused("unavailable", data:wait("stored", PATIENCE))
  assert(conn:close())
end)

it("messages_can_be_held_and_moved", function()
  local conn = conns.lonely()
  local outbox = assert(conn:outbox())
  local one, two, three = assert(conn:send("1")), assert(conn:send("2")), assert(conn:send("3"))
  assert(outbox:hold(one))
  equal(one:state(), "held")
  equal(assert(outbox:entry(one)).number, 0)
  equal(#assert(outbox:held()), 1)
  assert(outbox:prioritise(three))
  equal(bodies(outbox), "3 2 1")
  assert(outbox:demote(three.id))
  assert(outbox:release(one))
  equal(bodies(outbox), "2 3 1")
  equal(one.id, assert(outbox:list())[3].id)
  refused("state", outbox:release(two))
  refused("state", outbox:requeue(two))
  equal(two:state(), "queued")
  assert(outbox:cancel(two))
  refused("not_found", outbox:hold(two))
  refused("not_found", outbox:entry(("0"):rep(32)))
  equal(#assert(outbox:dead_letters()), 0)
  conn:close(0)
end)

it("a_moved_message_settles_by_its_id", function()
  local conn = conns.lonely()
  local outbox = assert(conn:outbox())
  local receipt = assert(conn:send("moved"))
  assert(conn:send("other"))
  assert(outbox:prioritise(receipt))
  equal(receipt:proof(), "none")
  refused("timeout", receipt:wait("received", "20ms"))
  conn:close(0)
end)

it("filters_are_checked", function()
  local conn = conns.lonely()
  local outbox = assert(conn:outbox())
  assert(conn:send("a", { key = "k" }))
  assert(conn:send("b"))
  equal(bodies(outbox, { key = "k" }), "a")
  equal(bodies(outbox, { older_than = "1h" }), "")
  equal(bodies(outbox, { state = "queued" }), "a b")
  raises("argument", "colour", outbox.list, outbox, nil, { colour = 1 })
  raises("argument", "state", outbox.list, outbox, nil, { state = "lost" })
  raises("argument", "table", outbox.list, outbox, nil, "all")
  raises("argument", "cursor", outbox.page, outbox, "x")
  conn:close(0)
end)

it("an_outbox_file_outlives_its_conn", function()
  local path = fresh_path()
  local conn = conns.lonely { outbox = path }
  local receipt = assert(conn:send("kept"))
  assert(conn:send("held"))
  assert(receipt:wait("stored", PATIENCE))
  refused("busy", steadwire.outbox(path, true))
  local _, message, code, left = conn:close(0)
  equal(code, "undelivered")
  harness.match(message, "stay in the outbox file")
  equal(#left, 2)

  local file = assert(steadwire.outbox(path, true))
  equal(bodies(file), "kept held")
  equal(assert(file:list())[1].id, receipt.id)
  assert(file:hold(receipt.id))
  local export = fresh_path()
  equal(file:export(export, { state = "held" }), 1)
  refused("store", file:export(export))
  assert(file:cancel(receipt.id))
  equal(file:import(export), 1)
  equal(file:import(export), 0)
  local report = assert(file:check())
  equal(report.sound, true)
  equal(report.queued.data + report.queued.control + report.held, 2)
  assert(file:close())
  assert(file:close())
  refused("handle", file:list())
  os.remove(export)

  local again = conns.online { outbox = path }
  equal(assert(again:recv(PATIENCE)).data, "held")
  assert(again:recv(PATIENCE))
  assert(again:close())
  remove(path)
end)

it("a_wrong_file_is_refused", function()
  local path = fresh_path()
  refused("store", steadwire.outbox(path))
  local file = assert(io.open(path, "w"))
  file:write(("no outbox "):rep(1000))
  file:close()
  refused("format", steadwire.outbox(path))
  local conn = conns.lonely()
  refused("format", assert(conn:outbox()):import(path))
  refused("store", assert(conn:outbox()):import(path .. "-missing"))
  refused("argument", assert(conn:outbox()):check())
  raises("argument", "string", steadwire.outbox, nil)
  conn:close(0)
  os.remove(path)
end)

it("a_plain_message_has_no_number_and_needs_no_ack", function()
  local conn = conns.online { processed = "manual" }
  assert(conn:send("x"))
  local message = assert(conn:recv(PATIENCE))
  equal(message.id, nil)
  equal(message.lane, "data")
  equal(message.replayed, false)
  equal(conn:ack(message), true)
  raises("argument", "message", conn.ack, conn, "x")
  assert(conn:close())
end)

it("the_inbound_cursor_is_an_option", function()
  local conn = conns.lonely { profile = "session", inbound_from = { 7, 3 } }
  conn:close(0)
  conns.lonely({ profile = "session", inbound_from = 7 }):close(0)
  raises("value", "data, control", conns.lonely, { profile = "session", inbound_from = { 1 } })
end)
