"""Five hundred conns of one process, whose server is killed and comes back; one dead endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import statistics
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import steadwire
from interop_support import run_for, until
from peers import process
from steadwire.events import StateChanged
from steadwire.words import State

MANY = 500
FDS = 4096
BURST = 10
RETRY_WINDOW_S = 1.0
# A 500-fold handshake with the Python server takes one CPU about half a second.
HANDSHAKES_S = 4.0


@pytest.fixture(autouse=True)
def room_for_descriptors() -> Iterator[None]:
    """Two descriptors for each conn."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(FDS, hard)), hard))
    yield


@contextlib.asynccontextmanager
async def fleet(url: str, count: int) -> AsyncIterator[list[steadwire.Connection]]:
    """That many conns, all online."""
    conns = [await steadwire.connect(url, wait=False) for _ in range(count)]
    try:
        await asyncio.gather(*(conn.wait_online(30) for conn in conns))
        yield conns
    finally:
        for conn in conns:
            conn.abandon()


async def back_online(conn: steadwire.Connection, events: steadwire.aio.Events) -> float:
    """When the conn came back, on the clock of time.monotonic()."""
    async for event in events:
        assert isinstance(event, StateChanged)
        assert event.new is not State.FAILED
        if event.new is State.ONLINE:
            return event.at
    raise AssertionError("the conn has ended")


def say(name: str, values: list[float]) -> None:
    """Prints a distribution."""
    cuts = statistics.quantiles(values, n=20)
    print(
        f"{name}: n {len(values)}  min {min(values):.3f}  p50 {cuts[9]:.3f}  p95 {cuts[18]:.3f}  "
        f"max {max(values):.3f} s"
    )


@pytest.mark.parametrize("down_s", [0.0, 2.0])
async def test_all_come_back_after_the_server_was_killed(down_s: float) -> None:
    async with await process.start_echo() as peer:
        url, port = f"ws://127.0.0.1:{peer.port}/", peer.port
        async with fleet(url, MANY) as conns:
            attempts = sum(conn.stats()["attempts"] for conn in conns)
            watches = [(conn, conn.events(StateChanged)) for conn in conns]
            killed = time.monotonic()
            await peer.kill()
            await run_for(down_s)
            async with await process.start_echo(port=port):
                back = time.monotonic()
                waits = [back_online(*watch) for watch in watches]
                online = await asyncio.wait_for(asyncio.gather(*waits), 60)
                delays = [at - back for at in online]
                tries = sum(conn.stats()["attempts"] for conn in conns) - attempts
                say(f"server back after {back - killed:.2f} s; online after", delays)
                print(f"attempts: {tries}")
                receipts = [conn.post("still here") for conn in conns]
                await asyncio.gather(
                    *(receipt.wait("received", timeout=20) for receipt in receipts)
                )
            assert max(delays) < RETRY_WINDOW_S + HANDSHAKES_S
            assert tries <= 4 * MANY


async def test_a_dead_endpoint_harms_no_other(dead_url: str) -> None:
    async with await process.start_echo() as peer:
        url = f"ws://127.0.0.1:{peer.port}/"
        lost = [await steadwire.connect(dead_url, wait=False) for _ in range(MANY // 5)]
        try:
            async with fleet(url, MANY // 5) as conns:
                slowest = 0.0
                for _ in range(20):
                    for conn in conns[::10]:
                        began = time.monotonic()
                        await conn.send("hello")
                        await conn.recv(timeout=5)
                        slowest = max(slowest, time.monotonic() - began)
                    await run_for(0.1)
                print(f"slowest echo beside {len(lost)} dead conns: {1000 * slowest:.1f} ms")
                assert slowest < 0.5
                assert [conn.stats()["attempts"] for conn in conns] == [1] * len(conns)
            assert {conn.state for conn in lost} <= {State.WAITING, State.CONNECTING}
            dialled = sum(conn.stats()["attempts"] for conn in lost)
            print(f"attempts at the dead endpoint: {dialled}")
            assert dialled <= 2 * BURST + len(lost), "the budget is one for all of them"
        finally:
            for conn in lost:
                conn.abandon()


async def test_one_endpoint_of_two_is_enough(dead_url: str) -> None:
    async with await process.start_echo() as peer:
        began = time.monotonic()
        urls = [dead_url, f"ws://127.0.0.1:{peer.port}/"]
        async with steadwire.connect(urls) as conn:
            assert time.monotonic() - began < RETRY_WINDOW_S + 1.0
            await conn.send("over the second")
            assert (await conn.recv(timeout=5)).data == "over the second"
            await until(lambda: conn.stats()["outbox_messages"] == 0)
