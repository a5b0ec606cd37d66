"""A fleet that is dropped at once comes back to a server that is small, and does not trample it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import steadwire
from interop_support import run_for
from steadwire.events import StateChanged
from steadwire.server import Session, Sessions
from steadwire.words import Cause, State
from websockets.asyncio.server import Server, serve

CLIENTS = 100
CAPACITY = 40
SMALL = 10
AFTER_S = 3.0
SETTLED_S = 2.1  # a link that is up for 2 s counts as good
DEADLINE_S = 60.0


class Node:
    """A server of so small a capacity, on a port of its own."""

    def __init__(self) -> None:
        self.port = 0
        self.logins = 0
        self._server: Server

    async def start(self, rate: float | None) -> Sessions:
        """A server that knows nobody; in front of it a count of who comes."""
        self.arrivals: deque[float] = deque()
        self.peak = 0
        sessions = Sessions(self._echo, authenticate=self._who, handshakes_per_second=rate)

        async def process_request(connection: Any, request: Any) -> Any:
            self._note()
            return await sessions.process_request(connection, request)

        self._server = await serve(
            sessions.websockets,
            "0.0.0.0",
            self.port,
            subprotocols=sessions.subprotocols,
            process_request=process_request,
            backlog=1024,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return sessions

    def _note(self) -> None:
        now = time.monotonic()
        self.arrivals.append(now)
        recent = sum(at > now - 1 for at in self.arrivals)
        self.peak = max(self.peak, recent)

    async def _who(self, _auth: bytes) -> str:
        self.logins += 1
        return "somebody"

    async def _echo(self, session: Session) -> None:
        async for message in session:
            await session.send(message.data)

    async def kill(self) -> None:
        """Resets every link and stops listening."""
        self._server.close(close_connections=False)
        for connection in list(self._server.connections):
            connection.transport.abort()
        await self._server.wait_closed()

    async def end(self, sessions: Sessions, **options: Any) -> None:
        self._server.close(close_connections=False)
        await sessions.drain(timeout=2, **options)
        await self._server.wait_closed()


@contextlib.asynccontextmanager
async def fleet(port: int) -> AsyncIterator[list[steadwire.Connection]]:
    """So many clients, all online, each with an endpoint, and so a budget, of its own."""
    options: Any = {"profile": "session", "retry_window": 4.0}
    urls = [f"ws://127.0.0.{number + 1}:{port}/" for number in range(CLIENTS)]
    conns = [await steadwire.connect(url, wait=False, **options) for url in urls]
    try:
        await asyncio.gather(*(conn.wait_online(DEADLINE_S) for conn in conns))
        await run_for(SETTLED_S)
        yield conns
    finally:
        for conn in conns:
            conn.abandon()


def attempts(conns: list[steadwire.Connection]) -> int:
    return sum(conn.stats()["attempts"] for conn in conns)


async def back(events: Any) -> list[StateChanged]:
    """The changes until a conn is online again."""
    changes: list[StateChanged] = []
    async for event in events:
        changes.append(event)
        if event.new is State.ONLINE:
            return changes
    raise AssertionError("the conn has ended")


async def test_with_a_hint_everybody_comes_back_at_the_first_attempt() -> None:
    node = Node()
    sessions = await node.start(10_000)
    async with fleet(node.port) as conns:
        before = attempts(conns)
        waits = [back(conn.events(StateChanged)) for conn in conns]
        began = time.monotonic()
        await node.end(sessions, after=AFTER_S, spread=CLIENTS / (0.8 * CAPACITY), in_place=True)
        sessions = await node.start(CAPACITY)
        restarted = time.monotonic() - began
        async with asyncio.timeout(DEADLINE_S):
            changes = await asyncio.gather(*waits)
        stats = sessions.stats()
        tries = (attempts(conns) - before) / CLIENTS
        peak = node.peak / CAPACITY
        print(f"down {restarted:.2f} s, attempts {tries:.2f}, peak {peak:.2f}, {stats}")
        assert {first.cause for first, *_ in changes} == {Cause.RESTART}
        assert tries <= 1.2 or restarted > AFTER_S, "else who came first found nobody"
        assert stats["open"] == CLIENTS
        assert node.peak <= 2 * CAPACITY, "random moments at 80 %, and a busy machine"
        await node.end(sessions, spread=0.0)


async def test_without_a_hint_appointments_bring_everybody_back() -> None:
    node = Node()
    await node.start(10_000)
    async with fleet(node.port) as conns:
        before = attempts(conns)
        waits = [back(conn.events(StateChanged)) for conn in conns]
        await node.kill()
        logins = node.logins
        sessions = await node.start(SMALL)
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*waits)
        stats = sessions.stats()
        tries = (attempts(conns) - before) / CLIENTS
        print(f"attempts {tries:.2f}, peak {node.peak / SMALL:.2f}, {stats}")
        assert stats["open"] == CLIENTS
        assert stats["refused"] > 0
        assert tries <= 3.0
        assert node.logins - logins <= CLIENTS * 1.1, "nothing is done for who is refused"
        await node.end(sessions, spread=0.0)
