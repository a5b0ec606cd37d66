"""Hostile WebSocket servers: `async with hostile.serve("masked_frame") as (host, port): ...`.

`SCENARIOS` is the one table of all of them. Each is bounded here too: a handler ends with its
server.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from peers import hostile_frames, hostile_handshakes
from peers.hostile_base import ONLINE, Peer, Scenario, Seen, now

__all__ = ["ONLINE", "SCENARIOS", "Address", "Scenario", "Seen", "serve"]

SCENARIOS: dict[str, Scenario] = {**hostile_handshakes.SCENARIOS, **hostile_frames.SCENARIOS}
FULL_QUEUE_CONNECTS = 4


@dataclass
class Address:
    """Where a hostile server listens, and what it has seen. Unpacks to host and port."""

    host: str
    port: int
    seen: Seen = field(default_factory=Seen)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.host, self.port))

    @property
    def url(self) -> str:
        """The ws URL."""
        return f"ws://{self.host}:{self.port}/"


@contextlib.asynccontextmanager
async def serve(name: str) -> AsyncIterator[Address]:
    """Serves one scenario on a free loopback port until the block ends."""
    if name == "never_accept":
        with _full_queue() as address:
            yield address
        return
    seen = Seen()
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_play(SCENARIOS[name], Peer(reader, writer, seen)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield Address(host, port, seen)
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _play(scenario: Scenario, peer: Peer) -> None:
    peer.seen.connected_at.append(now())
    gone = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)
    try:
        with contextlib.suppress(*gone):
            await scenario.handler(peer)
    finally:
        peer.writer.close()


@contextlib.contextmanager
def _full_queue() -> Iterator[Address]:
    """A listener whose queue is full: further connects get no answer at all."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(FULL_QUEUE_CONNECTS):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield Address(*listener.getsockname())
