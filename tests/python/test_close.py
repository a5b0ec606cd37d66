"""The end: what is still delivered, what is reported, and what is never masked."""

from __future__ import annotations

import asyncio
import time

import pytest
import steadwire
from face_support import Echo, until_async
from steadwire import _conn, _core
from steadwire.errors import ClosedError, HandleError, Undelivered
from test_connect import server
from websockets.asyncio.server import ServerConnection


async def test_leaving_the_block_delivers_what_is_queued(echo: Echo) -> None:
    echo.kill()
    async with steadwire.connect(echo.url, wait=False, retry_window="20ms") as conn:
        receipts = conn.post_many([str(number) for number in range(100)])
        echo.start()
    assert conn.stats()["settled"] == 100
    assert receipts[-1].state == "settled"
    assert [(await conn.recv()).data for _ in range(conn.stats()["received"])] == [
        str(number) for number in range(conn.stats()["received"])
    ]


async def test_what_cannot_be_delivered_is_an_error_that_lists_it(dead_url: str) -> None:
    start = time.monotonic()
    with pytest.raises(Undelivered) as caught:
        async with steadwire.connect(dead_url, wait=False, close_timeout="300ms") as conn:
            await conn.send("one", key="k")
            await conn.send(b"two")
    assert 0.2 < time.monotonic() - start < 3.0
    assert caught.value.count == 2
    assert caught.value.bodies == ["one", b"two"]
    assert [entry.key for entry in caught.value.entries] == ["k", ""]
    assert "one" not in str(caught.value)
    assert conn.is_finished
    assert conn.view().state == "closed"


async def test_an_exception_of_the_body_is_never_masked(dead_url: str) -> None:
    with pytest.raises(KeyError) as caught:
        async with steadwire.connect(dead_url, wait=False, close_timeout=0) as conn:
            conn.post("lost")
            raise KeyError("body")
    assert any("closed with 1 message" in note for note in caught.value.__notes__)
    assert conn.is_finished


async def test_a_cancelled_body_ends_the_conn(dead_url: str) -> None:
    conns: list[steadwire.Connection] = []

    async def body() -> None:
        async with steadwire.connect(dead_url, wait=False, close_timeout=30) as conn:
            conns.append(conn)
            conn.post("x")
            await asyncio.Event().wait()

    task = asyncio.ensure_future(body())
    await until_async(lambda: bool(conns))
    task.cancel()
    await until_async(lambda: conns[0]._is_closing)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert conns[0].is_finished


async def test_close_can_be_called_twice_and_together(shared_echo: Echo) -> None:
    conn = await steadwire.connect(shared_echo.url)
    await conn.send("x")
    await asyncio.gather(conn.close(), conn.close(), conn.close(timeout=1))
    await conn.close()
    assert repr(conn).endswith("closed>")


async def test_close_in_the_block_is_fine(shared_echo: Echo) -> None:
    async with steadwire.connect(shared_echo.url) as conn:
        await conn.close()


async def test_a_cancelled_close_can_be_repeated(dead_url: str) -> None:
    conn = await steadwire.connect(dead_url, wait=False)
    conn.post("x")
    task = asyncio.ensure_future(conn.close(timeout=30))
    await until_async(lambda: conn._is_closing)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not conn.is_finished
    with pytest.raises(ClosedError):
        conn.post("y")
    conn.abandon()
    assert conn.is_finished


async def test_the_server_gets_a_close_frame() -> None:
    codes: list[int | None] = []

    async def handler(conn: ServerConnection) -> None:
        await conn.wait_closed()
        codes.append(conn.close_code)

    async with server(handler) as url:
        async with steadwire.connect(url):
            pass
        await until_async(lambda: bool(codes))
    assert codes == [1000]


async def test_waiters_are_told_of_the_end(dead_url: str) -> None:
    conn = await steadwire.connect(dead_url, wait=False, outbox_messages=1)
    receipt = conn.post("x")
    waiting = [
        asyncio.ensure_future(conn.recv()),
        asyncio.ensure_future(receipt.wait("received")),
        asyncio.ensure_future(conn.send("no room")),
        asyncio.ensure_future(conn.events().next()),
        asyncio.ensure_future(conn.wait_online()),
    ]
    await asyncio.sleep(0)
    with pytest.raises(Undelivered):
        await conn.close(0)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    assert {type(error) for error in errors} == {ClosedError}
    assert len(errors) == 4  # the queue of events had the end in it


async def test_close_is_not_held_up_by_messages_that_nobody_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_conn, "URGENT_MAX", 1000)

    async def handler(conn: ServerConnection) -> None:
        for number in range(30_000):
            await conn.send(str(number))
        await conn.wait_closed()

    async with server(handler) as url:
        conn = await steadwire.connect(url, inbound_buffer="64KiB")
        await until_async(lambda: conn.stats()["pauses"] > 0)
        await conn.close(timeout=5)
        assert len(conn._inbox) <= 1000
        taken = len([message async for message in conn])
        assert taken + conn.dropped_at_close == conn.stats()["received"]


async def test_no_callback_is_left_in_the_loop(shared_echo: Echo) -> None:
    conn = await steadwire.connect(shared_echo.url)
    fd = conn._fd
    await conn.close()
    assert not asyncio.get_running_loop().remove_reader(fd)
    assert conn._tick is None
    assert not conn._tasks


def test_a_conn_of_a_stopped_engine_ends_with_local_stop(shared_echo: Echo) -> None:
    engine, config = _core.Engine(), _core.Config()
    config.set("url", shared_echo.url)
    conn = _core.Conn(engine, config)
    events: list[tuple[object, ...]] = []
    engine.stop()
    engine.stop()
    conn.drain([], events, 10, 1 << 20, False, False)
    causes = {row[1]: row[0] for row in _core.causes()}
    assert events[-1][0] == steadwire.words.EventKind.CLOSED.number
    assert events[-1][3] == causes["local_stop"]
    with pytest.raises((ClosedError, HandleError)):
        conn.send("x", 0, 0, None, 0)
    with pytest.raises((ClosedError, HandleError)):
        _core.Conn(engine, config)
