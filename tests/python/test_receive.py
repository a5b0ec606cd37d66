"""Receiving: nothing is lost by cancelling, by restarts or by being slow."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import steadwire
from face_support import Echo, until_async
from steadwire import _conn
from steadwire.errors import CodecError, StateError, Timeout
from steadwire.events import Event, StateChanged
from test_connect import server
from websockets.asyncio.server import ServerConnection

CANCELLATIONS = 10_000


@asynccontextmanager
async def numbers(count: int, *, size: int = 0, pause_every: int = 64) -> AsyncIterator[str]:
    """A server that sends 0 .. count - 1 as text and then waits."""

    async def handler(conn: ServerConnection) -> None:
        for number in range(count):
            await conn.send(str(number).ljust(size))
            if number % pause_every == 0:
                await asyncio.sleep(0)
        await conn.wait_closed()

    async with server(handler) as url:
        yield url


async def test_a_message_says_what_it_is(conn: steadwire.Connection) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    await conn.send('{"a": [1, "ü"]}')
    message = await conn.recv(timeout=5)
    assert message.data == message.raw == '{"a": [1, "ü"]}'
    assert message.json() == {"a": [1, "ü"]}
    assert message.is_text
    assert message.link == 1
    assert before <= message.received_at <= loop.time()
    assert message.at_ns == pytest.approx(message.received_at * 1e9)
    assert "ü" not in repr(message)
    await conn.send(b"[1]")
    assert (await conn.recv(timeout=5)).json() == [1]
    await conn.send("no json")
    with pytest.raises(json.JSONDecodeError):
        (await conn.recv(timeout=5)).json()


async def test_recv_times_out_without_losing_the_next(conn: steadwire.Connection) -> None:
    for timeout in (0, "10ms", 0.01):
        with pytest.raises(Timeout):
            await conn.recv(timeout=timeout)
    await conn.send("x")
    assert (await conn.recv(timeout=5)).data == "x"


@pytest.mark.parametrize("style", ["recv", "wait_for", "iteration", "batches", "stream"])
async def test_cancelling_loses_nothing(style: str) -> None:
    """Many cancellations at random moments: every message arrives once and in order."""
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    dice = random.Random(seed)
    cancellations = CANCELLATIONS if style in ("recv", "iteration") else CANCELLATIONS // 10
    got: list[str] = []
    async with echo_conn() as conn:
        stream = conn.stream() if style == "stream" else None
        batches = conn.batches() if style == "batches" else None

        async def take() -> list[Any]:
            if style == "recv":
                return [await conn.recv()]
            if style == "wait_for":
                return [await asyncio.wait_for(conn.recv(), dice.random() * 0.002)]
            if batches is not None:
                return await anext(batches)
            if stream is not None:
                return [await anext(stream)]
            return [await anext(conn)]

        sent = itertools.count()
        cancelled = 0
        while cancelled < cancellations:
            if dice.random() < 0.3:
                conn.post_many([str(next(sent)) for _ in range(dice.randrange(1, 5))])
            task = asyncio.ensure_future(take())
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            cancelled += task.cancel()
            try:
                items = await task
            except (asyncio.CancelledError, TimeoutError):
                continue
            got += [item.data for item in items if not isinstance(item, Event)]
        count = next(sent)
        while len(got) < count:
            items = [await anext(stream)] if stream else [await conn.recv(timeout=5)]
            got += [item.data for item in items if not isinstance(item, Event)]
        assert got == [str(number) for number in range(count)]


@asynccontextmanager
async def echo_conn() -> AsyncIterator[steadwire.Connection]:
    """A conn to an echo server in this very loop."""
    async with server() as url, steadwire.connect(url) as conn:
        yield conn


async def test_concurrent_receivers_share_the_messages(conn: steadwire.Connection) -> None:
    tasks = [asyncio.ensure_future(conn.recv(timeout=10)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    waiting = [task for number, task in enumerate(tasks) if number % 3]
    conn.post_many([str(number) for number in range(len(waiting))])
    got = {message.data for message in await asyncio.gather(*waiting)}
    assert got == {str(number) for number in range(len(waiting))}


async def test_iteration_survives_a_restart_of_the_server(echo: Echo) -> None:
    async with steadwire.connect(echo.url, retry_window="20ms") as conn:
        links = set()
        await conn.send("0")
        async for message in conn:
            links.add(message.link)
            number = int(message.data)
            if number == 5:
                break
            if number in (1, 3):
                await conn.last_receipt.wait("received", timeout=5) if conn.last_receipt else None
                echo.restart()
            await conn.send(str(number + 1))
        assert len(links) >= 3


async def test_iteration_ends_when_the_conn_is_closed(conn: steadwire.Connection) -> None:
    await (await conn.send("last")).wait("received", timeout=5)
    await until_async(lambda: conn.stats()["received"] == 1)

    async def closer() -> None:
        await conn.close()

    task = asyncio.ensure_future(closer())
    assert [message.data async for message in conn] == ["last"]
    await task
    assert [message async for message in conn] == []
    assert [batch async for batch in conn.batches()] == []
    assert [item async for item in conn.stream()] == []
    with pytest.raises(steadwire.ClosedError):
        await conn.recv(timeout=1)


async def test_batches_hold_everything_in_order() -> None:
    async with numbers(5000) as url, steadwire.connect(url) as conn:
        got: list[Any] = []
        async for batch in conn.batches():
            assert batch
            got += batch
            if len(got) == 5000:
                break
        assert [message.data for message in got] == [str(number) for number in range(5000)]


async def test_raw_batches_and_what_comes_after_them() -> None:
    async with numbers(3000) as url, steadwire.connect(url) as conn:
        assert (await conn.recv(timeout=5)).data == "0"
        got: list[Any] = ["0"]
        batches = conn.batches(raw=True)
        while len(got) < 1500:
            got += await anext(batches)
        assert {type(item) for item in got} == {str}
        del batches
        while len(got) < 3000:
            message = await conn.recv(timeout=5)
            assert message.link == 1
            got.append(message.data)
        assert got == [str(number) for number in range(3000)]


async def test_a_slow_consumer_bounds_memory_and_loses_nothing() -> None:
    """Python keeps INBOX_MAX messages, the engine inbound_buffer; then the socket is paused."""
    count = 20_000
    async with numbers(count, size=200) as url:
        async with steadwire.connect(url, inbound_buffer="64KiB") as conn:
            await until_async(lambda: conn.stats()["pauses"] > 0)
            assert len(conn._inbox) <= _conn.INBOX_MAX
            assert conn.stats()["received"] < count
            assert conn.state == "online"
            got = [int((await conn.recv(timeout=10)).data) for _ in range(count)]
            assert got == list(range(count))


async def test_large_messages_are_bounded_by_bytes() -> None:
    async with numbers(100, size=1 << 20, pause_every=1) as url:
        async with steadwire.connect(url) as conn:
            await until_async(lambda: conn._is_full)
            assert len(conn._inbox) <= (_conn.INBOX_BYTES >> 20) + 1
            got = [int((await conn.recv(timeout=10)).data) for _ in range(100)]
            assert got == list(range(100))


async def test_a_slow_consumer_still_sees_states_and_proofs(echo: Echo) -> None:
    async with steadwire.connect(echo.url, retry_window="20ms") as conn:
        events = conn.events(StateChanged)
        for start in range(0, 3000, 1000):
            receipts = conn.post_many([str(number) for number in range(start, start + 1000)])
            await receipts.wait("received", timeout=10)
        echo.restart()
        changes = [await events.next(timeout=10)]
        while changes[-1].new != "online":
            changes.append(await events.next(timeout=10))
        got = {(await conn.recv(timeout=10)).data for _ in range(3000)}
        assert got == {str(number) for number in range(3000)}


async def test_a_state_is_told_though_messages_stand_before_it() -> None:
    """Nobody takes messages: the change of state is told by looking.

    A byte of the kept link ends `offline` again, so that `online` may be all that is left to tell.
    """
    async with numbers(100_000, size=100) as url:
        async with steadwire.connect(url, inbound_buffer="64KiB") as conn:
            events = conn.events(StateChanged)
            await until_async(lambda: conn.stats()["pauses"] > 0)
            before = asyncio.get_running_loop().time()
            steadwire.network("down")
            seen = await events.next(timeout=5)
            assert isinstance(seen, StateChanged)
            assert seen.new in ("offline", "online")
            assert seen.at >= before
            assert len(conn._inbox) <= _conn.INBOX_MAX


async def test_json_codec_both_ways(shared_echo: Echo) -> None:
    async with steadwire.connect(shared_echo.url, codec="json") as conn:
        for value in ({"op": "order", "qty": 1}, [1, None, "ü"], "text", 5, None, True):
            await conn.send(value)
            message = await conn.recv(timeout=5)
            assert message.data == value
            assert message.is_text
            assert message.data is message.data
        conn.post_many([{"n": n} for n in range(10)])
        batch: list[Any] = []
        async for some in conn.batches():
            batch += some
            if len(batch) == 10:
                break
        assert [message.data["n"] for message in batch] == list(range(10))
        with pytest.raises(TypeError):
            conn.post(object())


async def test_a_message_that_does_not_decode_is_not_lost(shared_echo: Echo) -> None:
    def encode(value: Any) -> str:
        return str(value)

    async with steadwire.connect(shared_echo.url, codec=(encode, json.loads)) as conn:
        conn.post("secret, not json")
        conn.post(7)
        message = await conn.recv(timeout=5)
        with pytest.raises(CodecError) as caught:
            _ = message.data
        assert "secret" not in str(caught.value)
        assert message.raw == "secret, not json"
        assert (await conn.recv(timeout=5)).data == 7


async def test_stream_has_messages_and_events_in_their_order(echo: Echo) -> None:
    async with steadwire.connect(echo.url, retry_window="20ms") as conn:
        stream = conn.stream()
        for forbidden in (conn.recv, conn.stream, conn.batches):
            with pytest.raises(StateError):
                result: Any = forbidden()
                await result
        with pytest.raises(StateError):
            aiter(conn)
        first = conn.post("first")
        assert await next_message(stream) == "first"
        await first.wait("received", timeout=5)
        echo.restart()
        conn.post("second")
        words: list[str] = []
        async for item in stream:
            if isinstance(item, StateChanged):
                words.append(item.new)
            elif not isinstance(item, Event):
                words.append(item.data)
                if item.data == "second":
                    break
        assert words[-2:] == ["online", "second"]
        stream.close()
        conn.post("third")
        assert (await conn.recv(timeout=5)).data == "third"


async def next_message(stream: Any) -> Any:
    async for item in stream:
        if not isinstance(item, Event):
            return item.data


async def test_a_dropped_stream_gives_the_messages_back(conn: steadwire.Connection) -> None:
    stream = conn.stream()
    conn.post("x")
    await until_async(lambda: len(conn._inbox) > 0)
    del stream
    assert (await conn.recv(timeout=5)).data == "x"
