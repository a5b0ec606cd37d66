local conns = require "conns"
local harness = require "harness"

local it, equal, refused, raises = harness.it, harness.equal, harness.refused, harness.raises
local PATIENCE = conns.PATIENCE

it("text_comes_back_as_text", function()
  local conn = conns.online()
  assert(conn:send("gr\195\188\195\159e"))
  local message = assert(conn:recv(PATIENCE))
  equal(message.data, "gr\195\188\195\159e")
  equal(message.text, true)
  equal(message.kind, "message")
  assert(conn:close())
end)

it("binary_comes_back_as_binary", function()
  local conn = conns.online()
  local body = ("\0\1\255"):rep(1000)
  assert(conn:send(body, { binary = true }))
  local message = assert(conn:recv(PATIENCE))
  equal(message.data, body)
  equal(message.text, false)
  assert(conn:close())
end)

it("an_empty_message_is_a_message", function()
  local conn = conns.online()
  assert(conn:send(""))
  equal(assert(conn:recv(PATIENCE)).data, "")
  assert(conn:close())
end)

it("text_that_is_not_utf8_is_refused", function()
  local conn = conns.lonely()
  local malformed = { "\128", "\192\128", "\193\191", "\224\128\128", "\237\160\128",
    "\240\128\128\128", "\244\144\128\128", "\245\128\128\128", "\255", "abcdefgh\195",
    "12345678\226\130", "\240\159\152" }
  for _, text in ipairs(malformed) do
    refused("argument", conn:send(text))
  end
  for _, text in ipairs { "\194\128", "\224\160\128", "\237\159\191", "\240\144\128\128",
    "\244\143\191\191", "12345678\226\130\172" } do
    assert(conn:send(text))
  end
  equal(conn:view().outbox_messages, 6)
  conn:close(0)
end)

it("receipts_name_their_message", function()
  local conn = conns.online()
  local first, second = assert(conn:send("one")), assert(conn:send("two"))
  equal(#first.id, 32)
  equal(second.number, first.number + 1)
  equal(first.id == second.id, false)
  harness.match(tostring(first), first.id)
  assert(conn:close())
end)

it("a_receipt_waits_for_its_proof", function()
  local conn = conns.online()
  local receipt = assert(conn:send("one"))
  assert(receipt:wait("written", PATIENCE))
  assert(receipt:wait("received", PATIENCE))
  equal(receipt:proof(), "received")
  equal(receipt:state(), "settled")
  assert(receipt:wait("written", 0))
  equal(assert(conn:recv(PATIENCE)).data, "one")
  assert(conn:close())
end)

it("a_peer_that_is_not_asked_settles_at_written", function()
  local conn = conns.online({ heartbeat = "off" })
  local receipt = assert(conn:send("one"))
  assert(receipt:wait(nil, PATIENCE))
  equal(receipt:state(), "settled")
  equal(receipt:proof(), "written")
  assert(conn:close())
end)

it("a_receipt_s_wait_ends_in_time", function()
  local conn = conns.lonely()
  local receipt = assert(conn:send("one"))
  refused("timeout", receipt:wait("received", 0))
  refused("timeout", receipt:wait("received", "20ms"))
  equal(receipt:state(), "queued")
  equal(receipt:proof(), "none")
  conn:close(0)
  refused("closed", receipt:wait("received", 1))
end)

it("waiting_for_a_proof_loses_no_message", function()
  local conn = conns.online()
  local last
  for number = 1, 100 do
    last = assert(conn:send(tostring(number)))
  end
  assert(last:wait("received", PATIENCE))
  for number = 1, 100 do
    equal(assert(conn:recv(PATIENCE)).data, tostring(number))
  end
  assert(conn:close())
end)

it("an_unknown_proof_is_an_error", function()
  local conn = conns.lonely()
  local receipt = assert(conn:send("one"))
  raises("argument", "received", receipt.wait, receipt, "recieved")
  conn:close(0)
end)

it("a_message_over_the_limit_is_refused", function()
  local conn = conns.online { max_message = "64KiB" }
  refused("too_big", conn:send(("x"):rep(65537)))
  assert(conn:send(("x"):rep(65536)))
  equal(#assert(conn:recv(PATIENCE)).data, 65536)
  assert(conn:close())
end)

it("a_full_outbox_refuses", function()
  local conn = conns.lonely { outbox_messages = 2 }
  assert(conn:send("one"))
  assert(conn:send("two"))
  refused("full", conn:send("three"))
  refused("full", conn:send("three", { wait = "30ms" }))
  equal(conn:view().outbox_messages, 2)
  conn:close(0)
end)

it("send_can_wait_for_room", function()
  local conn = conns.online { outbox_messages = 4 }
  for number = 1, 20 do
    assert(conn:send(tostring(number), { wait = PATIENCE }))
  end
  for number = 1, 20 do
    equal(assert(conn:recv(PATIENCE)).data, tostring(number))
  end
  assert(conn:close())
end)

it("a_message_expires", function()
  local conn = conns.lonely()
  local receipt = assert(conn:send("one", { ttl = "50ms" }))
  refused("expired", receipt:wait("received", PATIENCE))
  equal(receipt:state(), "expired")
  equal(receipt.ended.kind, "message_ended")
  conn:close(0)
end)

it("a_key_replaces_what_waits", function()
  local conn = conns.lonely()
  local old = assert(conn:send("old", { key = "price" }))
  local new = assert(conn:send("new", { key = "price" }))
  refused("dropped", old:wait("received", PATIENCE))
  equal(new:state(), "queued")
  equal(#assert(conn:outbox():list()), 1)
  conn:close(0)
end)

it("a_guarantee_that_the_profile_cannot_give_is_refused", function()
  local conn = conns.lonely()
  refused("guarantee", conn:send("one", { guarantee = "exactly_once" }))
  assert(conn:send("one", { guarantee = "at_most_once" }))
  equal(assert(conn:outbox():list())[1].guarantee, "at_most_once")
  conn:close(0)
end)

it("send_with_misuse_raises", function()
  local conn = conns.lonely()
  local function send(...)
    conn:send(...)
  end
  harness.match(raises("argument", "string", send, nil), "test_send%.lua:%d+:")
  raises("argument", "string", send, 1)
  raises("argument", "string", send, {})
  raises("argument", "table", send, "x", 5)
  raises("argument", "tll.*ttl", send, "x", { tll = 5 })
  raises("value", "ttl", send, "x", { ttl = 0 })
  raises("value", "soon", send, "x", { ttl = "soon" })
  raises("value", "duration", send, "x", { ttl = -1 })
  raises("argument", "at_least_once", send, "x", { guarantee = "twice" })
  raises("argument", "key", send, "x", { key = "" })
  raises("argument", "key", send, "x", { key = 7 })
  equal(conn:view().outbox_messages, 0)
  conn:close(0)
end)

it("a_key_over_the_limit_is_refused", function()
  local conn = conns.lonely()
  assert(conn:send("x", { key = ("k"):rep(255) }))
  refused("argument", conn:send("x", { key = ("k"):rep(256) }))
  conn:close(0)
end)

it("the_outbox_can_be_listed_and_edited", function()
  local conn = conns.lonely()
  local outbox = conn:outbox()
  local receipts = {}
  for number = 1, 200 do
    receipts[number] = assert(conn:send(("m%d"):format(number), { key = "k" .. number, ttl = 60 }))
  end
  local entries = assert(outbox:list())
  equal(#entries, 200)
  equal(#assert(outbox:list(10)), 10)
  equal(entries[200].number, receipts[200].number)
  equal(entries[7].id, receipts[7].id)
  equal(entries[7].key, "k7")
  equal(entries[7].state, "queued")
  equal(entries[7].size, 2)
  equal(entries[7].text, true)
  equal(entries[7].ttl_left > 50, true)
  equal(outbox:get(receipts[7].id), "m7")
  assert(outbox:cancel(receipts[7].id))
  assert(receipts[8]:cancel())
  refused("cancelled", receipts[7]:wait("received", PATIENCE))
  refused("not_found", outbox:cancel(receipts[7].id))
  refused("not_found", outbox:get(receipts[7].id))
  equal(#assert(outbox:list()), 198)
  conn:close(0)
end)

it("a_large_body_can_be_read_from_the_outbox", function()
  local conn = conns.lonely()
  local body = ("0123456789"):rep(10000)
  local receipt = assert(conn:send(body, { binary = true }))
  equal(conn:outbox():get(receipt.id), body)
  conn:close(0)
end)

it("a_foreign_message_id_is_refused", function()
  local conn, other = conns.lonely(), conns.lonely()
  local receipt = assert(other:send("one"))
  refused("not_found", conn:outbox():cancel(receipt.id))
  refused("not_found", conn:outbox():get(receipt.id))
  for _, bad in ipairs { "", "xyz", ("g"):rep(32), ("0"):rep(33) } do
    raises("argument", "32 hex digits", function()
      conn:outbox():get(bad)
    end)
  end
  conn:close(0)
  other:close(0)
end)

it("many_messages_can_be_sent_at_once", function()
  local conn = conns.online()
  local bodies = {}
  for number = 1, 500 do
    bodies[number] = tostring(number)
  end
  local receipts = assert(conn:send_many(bodies, { ttl = "1min" }))
  equal(#receipts, 500)
  assert(receipts[500]:wait("received", PATIENCE))
  equal(receipts[1]:proof(), "received")
  equal(receipts[500].number, receipts[1].number + 499)
  for number = 1, 500 do
    equal(assert(conn:recv(PATIENCE)).data, tostring(number))
  end
  equal(#assert(conn:send_many {}), 0)
  assert(conn:close())
end)

it("send_many_names_what_was_taken_before_a_refusal", function()
  local conn = conns.lonely { outbox_messages = 2 }
  local _, _, code, receipts = conn:send_many { "one", "two", "three" }
  equal(code, "full")
  equal(#receipts, 2)
  equal(conn:outbox():get(receipts[2].id), "two")
  refused("argument", conn:send_many { "fine", "\255" })
  raises("argument", "string", function()
    conn:send_many { "fine", 5 }
  end)
  raises("argument", "array", function()
    conn:send_many "fine"
  end)
  conn:close(0)
end)
