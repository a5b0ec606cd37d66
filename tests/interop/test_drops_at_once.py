"""Servers that accept and drop at once, for ever, at every step of a connection: few attempts, no
busy thread, and every one of them explained."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from interop_support import Watched, run_for, watched
from peers import ws
from peers.hostile_base import Peer, Seen
from steadwire.events import Retry, StateChanged
from steadwire.words import State

WATCH_S = 8.0
MOST_ATTEMPTS = 12  # the budget: a burst of ten and one, and one in 6 s
BUSY_S = 2.0  # of CPU for all of them together, servers and all

Drop = Callable[[Peer], Awaitable[None]]


async def at_accept(peer: Peer) -> None:
    peer.reset()


async def at_accept_politely(peer: Peer) -> None:
    peer.end()


async def at_the_client_hello(peer: Peer) -> None:
    await peer.reader.read(1)
    peer.reset()


async def at_the_request(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def behind_the_101(peer: Peer) -> None:
    await peer.upgrade()
    peer.reset()


async def behind_the_101_politely(peer: Peer) -> None:
    await peer.upgrade()
    peer.end()


async def behind_a_message(peer: Peer) -> None:
    await peer.upgrade(ws.encode(ws.TEXT, b"hello"))
    peer.reset()


async def behind_a_message_with_a_close(peer: Peer) -> None:
    await peer.upgrade(ws.encode(ws.TEXT, b"hello") + ws.close(1012, "r=0;w=0"))
    peer.end()


async def at_the_first_message(peer: Peer) -> None:
    await peer.upgrade()
    while (frame := await ws.read_frame(peer.reader)).opcode != ws.TEXT:
        if frame.opcode == ws.PING:
            await peer.send(ws.encode(ws.PONG, frame.payload))
    peer.reset()


@dataclass(frozen=True)
class Step:
    drop: Drop
    causes: set[str]
    is_tls: bool = False
    is_up: bool = False  # online for a moment, each time


FATES = {"abnormal_rst", "abnormal_fin"}
BEFORE = {"tcp_reset", "upgrade_eof"}
STEPS = (
    Step(at_accept, BEFORE),
    Step(at_accept_politely, BEFORE),
    Step(at_the_client_hello, {*BEFORE, "tls_alert", "tls_protocol"}, is_tls=True),
    Step(at_the_request, BEFORE),
    Step(behind_the_101, {*BEFORE, *FATES}, is_up=True),
    Step(behind_the_101_politely, FATES, is_up=True),
    Step(behind_a_message, {*BEFORE, *FATES}, is_up=True),
    Step(behind_a_message_with_a_close, {"restart"}, is_up=True),
    Step(at_the_first_message, FATES, is_up=True),
)


@dataclass
class Server:
    """Plays one step with everybody who comes."""

    step: Step
    seen: Seen = field(default_factory=Seen)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.connected_at.append(time.monotonic())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self.step.drop(Peer(reader, writer, self.seen))
            await reader.read()
        writer.close()

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        async with server:
            scheme = "wss" if self.step.is_tls else "ws"
            yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def explained(watch: Watched, step: Step) -> None:
    """Each trouble has its cause, words of what happened, and words of what to do."""
    name = step.drop.__name__
    told = [one for one in watch.of(StateChanged, Retry) if one.cause.class_name != "host"]
    assert {str(cause) for cause in watch.troubles} <= step.causes, (name, watch.troubles)
    assert watch.troubles, name
    for event in told:
        assert event.cause.text, (name, event)
        assert event.cause.remedy, (name, event)
    for event in watch.of(StateChanged):
        if event.new == State.WAITING:
            assert event.detail, (name, event)


async def endure(step: Step) -> None:
    server = Server(step)
    async with server.serve() as url, watched(url) as watch:
        watch.post("something to say")
        await run_for(WATCH_S)
        attempts = len(server.seen.connected_at)
        name = step.drop.__name__
        explained(watch, step)
        if watch.conn.state == State.FAILED:
            assert attempts == 1, f"{name}: final, yet tried again"
            return
        assert 3 <= attempts <= MOST_ATTEMPTS, (name, server.seen.connected_at)
        assert (watch.times_in(State.ONLINE) > 0) == step.is_up or not step.is_up, name
        assert watch.conn.stats()["outbox_messages"] == 1, f"{name}: it was lost"


@pytest.mark.asyncio
async def test_who_is_dropped_at_once_for_ever_neither_hammers_nor_spins() -> None:
    before = time.process_time()
    await asyncio.gather(*(endure(step) for step in STEPS))
    assert time.process_time() - before < BUSY_S
