"""Sending: what is taken, what is refused, and what receipts say."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
import steadwire
from face_support import Echo, until_async
from steadwire.errors import (
    ClosedError,
    GuaranteeError,
    MessageCancelled,
    MessageDropped,
    MessageExpired,
    NotFoundError,
    ProofUnavailable,
    QueueFull,
    StateError,
    Timeout,
    TooBigError,
)


async def open_dead(url: str, **options: Any) -> steadwire.Connection:
    """A conn that never gets online, so that messages stay in the outbox."""
    return await steadwire.connect(url, wait=False, **options)


async def test_a_receipt_goes_from_queued_to_settled(conn: steadwire.Connection) -> None:
    receipt = await conn.send("hello")
    assert await receipt.wait("received", timeout=5) >= steadwire.Proof.RECEIVED
    assert receipt.state == "settled"
    assert receipt.proof >= "written"
    assert receipt.id.number == 1
    assert str(receipt.id).endswith("-1")
    assert conn.last_receipt is receipt


@pytest.mark.parametrize(
    "data", ["text", "ü", "", b"bytes", b"", bytearray(b"x"), memoryview(b"yz")]
)
async def test_str_is_text_and_bytes_like_is_binary(
    conn: steadwire.Connection, data: str | bytes
) -> None:
    await conn.send(data)
    message = await conn.recv(timeout=5)
    assert message.is_text == isinstance(data, str)
    assert message.data == (data if isinstance(data, str) else bytes(data))


@pytest.mark.parametrize("data", [None, 1, {"a": 1}, ["a"], object()])
async def test_other_types_name_the_json_codec(conn: steadwire.Connection, data: object) -> None:
    with pytest.raises(TypeError, match='codec="json"'):
        conn.post(data)
    with pytest.raises(TypeError, match='codec="json"'):
        conn.post_many([b"ok", data])
    with pytest.raises(TypeError, match='codec="json"'):
        await conn.send(data)
    assert conn.stats()["sent"] == 0
    assert conn.last_receipt is None


async def test_a_lone_surrogate_is_refused(conn: steadwire.Connection) -> None:
    with pytest.raises(UnicodeEncodeError):
        conn.post("\ud800")


async def test_post_many_keeps_order_across_types(conn: steadwire.Connection) -> None:
    sent: list[str | bytes] = [str(i) if i % 3 else b"%d" % i for i in range(1000)]
    receipts = conn.post_many(sent)
    assert len(receipts) == 1000
    assert [receipt.id.number for receipt in receipts[:3]] == [1, 2, 3]
    assert receipts[-1].id.number == 1000
    await receipts.wait("received", timeout=10)
    assert [(await conn.recv(timeout=5)).data for _ in sent] == sent
    assert {receipt.state for receipt in receipts} == {steadwire.MessageState.SETTLED}
    with pytest.raises(IndexError):
        receipts[1000]


async def test_post_many_of_nothing_is_nothing(conn: steadwire.Connection) -> None:
    receipts = conn.post_many([])
    assert list(receipts) == []
    await receipts.wait(timeout=1)


async def test_a_full_outbox_refuses_post_and_keeps_its_promise(dead_url: str) -> None:
    conn = await open_dead(dead_url, outbox_messages=3)
    receipts = [conn.post(str(i)) for i in range(3)]
    with pytest.raises(QueueFull) as caught:
        conn.post("one too many")
    assert caught.value.retryable
    assert caught.value.status == "full"
    assert [entry.id for entry in conn.outbox] == [receipt.id for receipt in receipts]
    with pytest.raises(steadwire.Undelivered) as left:
        await conn.close(0)
    assert left.value.bodies == ["0", "1", "2"]


async def test_post_many_says_what_a_full_outbox_had_taken(dead_url: str) -> None:
    conn = await open_dead(dead_url, outbox_messages=5)
    with pytest.raises(QueueFull) as caught:
        conn.post_many([str(i) for i in range(8)])
    assert caught.value.receipts is not None
    assert [receipt.id.number for receipt in caught.value.receipts] == [1, 2, 3, 4, 5]
    assert len(conn.outbox) == 5
    with pytest.raises(steadwire.Undelivered, match="5 messages"):
        await conn.close(0)


async def test_send_waits_for_room(echo: Echo) -> None:
    async with steadwire.connect(echo.url, outbox_messages=100) as conn:
        received = asyncio.ensure_future(collect(conn, 500))
        for i in range(500):
            await conn.send(str(i), timeout=10)
        assert await received == [str(i) for i in range(500)]


async def collect(conn: steadwire.Connection, count: int) -> list[Any]:
    return [(await conn.recv(timeout=10)).data for _ in range(count)]


async def test_send_waits_for_room_although_nobody_receives(echo: Echo) -> None:
    async with steadwire.connect(echo.url, outbox_messages=200) as conn:
        for i in range(2000):
            await conn.send(str(i), timeout=10)
        assert await collect(conn, 2000) == [str(i) for i in range(2000)]


async def test_send_without_room_times_out_and_queues_nothing(dead_url: str) -> None:
    conn = await open_dead(dead_url, outbox_messages=1)
    conn.post("first")
    with pytest.raises(Timeout):
        await conn.send("second", timeout="300ms")
    assert len(conn.outbox) == 1
    with pytest.raises(steadwire.Undelivered):
        await conn.close(0)


async def test_a_send_cancelled_before_admission_is_not_queued(dead_url: str) -> None:
    conn = await open_dead(dead_url, outbox_messages=1)
    first = conn.post("first")
    task = asyncio.ensure_future(conn.send("second"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert conn.last_receipt is first
    assert [conn.outbox.body(entry.id) for entry in conn.outbox] == ["first"]
    with pytest.raises(steadwire.Undelivered):
        await conn.close(0)


async def test_a_send_cancelled_after_admission_stays_queued(echo: Echo) -> None:
    """Cancels at every moment: what was sent is exactly what last_receipt has counted."""
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    dice = random.Random(seed)
    async with steadwire.connect(echo.url, outbox_messages=4) as conn:
        for i in range(300):
            task = asyncio.ensure_future(conn.send(str(i)))
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        queued = conn.last_receipt.id.number if conn.last_receipt else 0
        assert conn.stats()["sent"] == queued or queued == conn._core.look()[11]
        got = await collect(conn, queued)
        assert len(set(got)) == queued
        with pytest.raises(Timeout):
            await conn.recv(timeout="50ms")


async def test_a_ttl_ends_a_message(dead_url: str) -> None:
    conn = await open_dead(dead_url)
    receipt = conn.post("soon too old", ttl="50ms")
    with pytest.raises(MessageExpired) as caught:
        await receipt.wait(timeout=5)
    assert caught.value.receipt is not None
    assert receipt.state == "expired"
    assert receipt.proof == "none"
    assert list(conn.outbox) == []
    await conn.close()


@pytest.mark.parametrize("ttl", [0, -1, "soon", float("nan")])
async def test_a_wrong_ttl_is_refused(conn: steadwire.Connection, ttl: Any) -> None:
    with pytest.raises(ValueError, match="ttl"):
        conn.post("x", ttl=ttl)


async def test_a_key_replaces_what_is_queued(dead_url: str) -> None:
    conn = await open_dead(dead_url, outbox_overflow="coalesce")
    old = conn.post("old", key="price")
    new = conn.post("new", key="price")
    with pytest.raises(MessageDropped):
        await old.wait(timeout=5)
    assert new.state == "queued"
    assert [conn.outbox.body(entry.id) for entry in conn.outbox] == ["new"]
    assert [entry.key for entry in conn.outbox] == ["price"]
    with pytest.raises(steadwire.Undelivered):
        await conn.close(0)


async def test_a_message_can_be_taken_back(dead_url: str) -> None:
    conn = await open_dead(dead_url)
    receipt = conn.post(b"never mind")
    entry = conn.outbox.get(receipt)
    assert entry is not None
    assert (entry.size, entry.is_text, entry.attempts) == (10, False, 0)
    assert conn.outbox.body(receipt) == b"never mind"
    core = conn._core.outbox()
    assert [core.body(receipt.id, most) for most in (0, 9, 99)] == [b"never mind"] * 3
    conn.outbox.cancel(receipt)
    with pytest.raises(MessageCancelled):
        await receipt.wait(timeout=5)
    with pytest.raises(NotFoundError):
        conn.outbox.cancel(receipt)
    assert conn.outbox.get(receipt) is None
    with pytest.raises(NotFoundError):
        conn.outbox.body(receipt.id)
    await conn.close()


async def test_the_outbox_is_listed_in_pages(dead_url: str) -> None:
    conn = await open_dead(dead_url)
    conn.post_many([str(i) for i in range(1000)])
    await until_async(lambda: len(list(conn.outbox)) == 1000)
    assert [entry.id.number for entry in conn.outbox] == list(range(1, 1001))
    assert "1000" in repr(conn.outbox)
    with pytest.raises(steadwire.Undelivered):
        await conn.close(0)


async def test_a_message_over_the_limit_is_refused(shared_echo: Echo) -> None:
    async with steadwire.connect(shared_echo.url, max_message="1KiB") as conn:
        with pytest.raises(TooBigError):
            conn.post(b"x" * 1025)
        with pytest.raises(TooBigError):
            conn.post_many([b"x" * 1025])
        await (await conn.send(b"x" * 1024)).wait("received", timeout=5)


async def test_guarantees(conn: steadwire.Connection) -> None:
    receipt = conn.post("x", guarantee="at_most_once")
    await receipt.wait(timeout=5)
    with pytest.raises(GuaranteeError):
        conn.post("x", guarantee=steadwire.Guarantee.EXACTLY_ONCE)
    with pytest.raises(ValueError, match="perhaps"):
        conn.post("x", guarantee="perhaps")


async def test_a_proof_that_the_peer_cannot_give(conn: steadwire.Connection) -> None:
    receipt = conn.post("x")
    with pytest.raises(ProofUnavailable, match="received"):
        await receipt.wait("processed", timeout=5)
    with pytest.raises(ValueError, match="perhaps"):
        await receipt.wait("perhaps")


async def test_a_peer_without_pong_settles_at_written(shared_echo: Echo) -> None:
    async with steadwire.connect(shared_echo.url, heartbeat="off") as conn:
        receipt = conn.post("x")
        assert await receipt.wait(timeout=5) is steadwire.Proof.WRITTEN
        assert receipt.state == "settled"


async def test_waiting_for_a_proof_times_out_and_can_be_cancelled(dead_url: str) -> None:
    conn = await open_dead(dead_url)
    receipt = conn.post("x")
    for _ in range(3):
        with pytest.raises(Timeout):
            await receipt.wait("received", timeout="10ms")
    task = asyncio.ensure_future(receipt.wait("received"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(any(lane.waits) for lane in conn._ledger._lanes)
    with pytest.raises(steadwire.Undelivered):
        await conn.close(0)
    with pytest.raises(ClosedError):
        await receipt.wait("received", timeout=1)


async def test_receipts_survive_a_restart_of_the_server(echo: Echo) -> None:
    async with steadwire.connect(echo.url, retry_window="50ms") as conn:
        await (await conn.send("before")).wait("received", timeout=5)
        echo.kill()
        receipts = conn.post_many([str(i) for i in range(50)])
        echo.start()
        await receipts.wait("received", timeout=20)


async def test_a_closed_conn_takes_nothing(shared_echo: Echo) -> None:
    conn = await steadwire.connect(shared_echo.url)
    await conn.close()
    for refused in (
        lambda: conn.post("x"),
        lambda: conn.post_many(["x"]),
        lambda: conn.opening.__setitem__("a", "b"),
    ):
        with pytest.raises(ClosedError):
            refused()
    with pytest.raises(ClosedError):
        await conn.send("x")
    assert list(conn.outbox) == []
    assert conn.stats()["sent"] == 0


async def test_posting_from_other_threads(conn: steadwire.Connection) -> None:
    def work(worker: int) -> None:
        for i in range(200):
            conn.post(f"{worker}:{i}")

    await asyncio.gather(*(asyncio.to_thread(work, worker) for worker in range(4)))
    got = await collect(conn, 800)
    for worker in range(4):
        assert [m for m in got if m.startswith(f"{worker}:")] == [
            f"{worker}:{i}" for i in range(200)
        ]


async def test_an_opening_is_sent_again_on_every_link(echo: Echo) -> None:
    async with steadwire.connect(echo.url, codec="json", retry_window="20ms") as conn:
        conn.opening["a"] = {"op": "subscribe", "channel": "a"}
        assert (await conn.recv(timeout=5)).data["channel"] == "a"
        conn.opening["b"] = {"op": "subscribe", "channel": "b"}
        assert (await conn.recv(timeout=5)).data["channel"] == "b"
        echo.restart()
        assert [(await conn.recv(timeout=10)).data["channel"] for _ in range(2)] == ["a", "b"]
        del conn.opening["a"]
        assert list(conn.opening) == ["b"]
        assert conn.opening["b"] == {"op": "subscribe", "channel": "b"}
        echo.restart()
        assert (await conn.recv(timeout=10)).data["channel"] == "b"
        with pytest.raises(KeyError):
            del conn.opening["a"]
        with pytest.raises(steadwire.errors.ArgumentError):
            conn.opening[""] = 1


async def test_the_host_can_say_that_the_opening_was_accepted(echo: Echo) -> None:
    conn = await steadwire.connect(echo.url, wait=False, ready_when="host")
    conn.opening["login"] = "login me"
    assert (await conn.recv(timeout=5)).data == "login me"
    assert conn.state == "connecting"
    conn.ready()
    await conn.wait_online(timeout=5)
    await conn.close()
    with pytest.raises((ClosedError, StateError)):
        conn.opening["late"] = "x"


async def test_send_many_waits_for_room(echo: Echo) -> None:
    async with steadwire.connect(echo.url, outbox_messages=100) as conn:
        other = asyncio.ensure_future(conn.send_many([f"b{i}" for i in range(150)], timeout=20))
        receipts = await conn.send_many([f"a{i}" for i in range(350)], timeout=20)
        others = await other
        assert (len(receipts), len(others)) == (350, 150)
        numbers = [*receipts.numbers, *others.numbers]
        assert sorted(numbers) == list(range(1, 501))
        await receipts.wait("received", timeout=10)
        await others.wait("received", timeout=10)
        got = await collect(conn, 500)
        for letter, one in (("a", receipts), ("b", others)):
            mine = [text for text in got if text.startswith(letter)]
            assert mine == [f"{letter}{i}" for i in range(len(one))]
            assert [got.index(text) + 1 for text in mine] == list(one.numbers)


async def test_send_many_without_room_times_out_and_says_how_far_it_came(dead_url: str) -> None:
    conn = await open_dead(dead_url, outbox_messages=3)
    with pytest.raises(Timeout):
        await conn.send_many([str(i) for i in range(5)], timeout="300ms")
    assert conn.last_receipt is not None
    assert conn.last_receipt.id.number == 3
    assert list(await conn.send_many([])) == []
    with pytest.raises(steadwire.Undelivered):
        await conn.close(0)
