"""What a hostile scenario is, and the connection it is played on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from peers import ws

PATIENCE_S = 5.0
LINGER_S = 30.0
ONLINE = "online"


@dataclass
class Seen:
    """What a hostile server has seen of its clients, over all connections."""

    connected_at: list[float] = field(default_factory=list)
    upgrades: int = 0
    frames: list[ws.Frame] = field(default_factory=list)
    sent: int = 0

    @property
    def close_codes(self) -> list[int | None]:
        """The codes of the CLOSE frames that clients have sent, in order."""
        return [frame.close_code for frame in self.frames if frame.opcode == ws.CLOSE]


@dataclass
class Peer:
    """One connection of a hostile server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    seen: Seen
    has_ended: bool = False

    @property
    def socket(self) -> socket.socket:
        """The socket behind the streams."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        return sock

    async def send(self, data: bytes) -> None:
        """Sends bytes, waiting while the client does not read."""
        self.writer.write(data)
        self.seen.sent += len(data)
        await self.writer.drain()

    async def request(self) -> ws.Request:
        """Reads the upgrade request."""
        request = await ws.read_request(self.reader)
        self.seen.upgrades += 1
        return request

    async def upgrade(self, then: bytes = b"") -> None:
        """Completes a correct upgrade, with bytes behind the 101 in the same segment."""
        await self.send(ws.switching(await self.request()) + then)

    async def until_gone(self, *, is_mute: bool = False) -> None:
        """Notes the client's frames, and answers its PINGs, until it ends the connection."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while True:
                    frame = await ws.read_frame(self.reader)
                    self.seen.frames.append(frame)
                    if frame.opcode == ws.PING and not (is_mute or self.has_ended):
                        self.writer.write(ws.encode(ws.PONG, frame.payload))

    def end(self) -> None:
        """FIN; reading goes on."""
        self.has_ended = True
        self.writer.write_eof()

    def reset(self) -> None:
        """RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[Peer], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """One way to be hostile, and what a client owes to its user.

    `causes` are the typed causes of which one must be reported within `bound_s` of the connect; the
    word `online` among them says that going on is right too. `close_code` is the code of the CLOSE
    frame that the client owes the server (RFC 6455 section 7.1.7). `needs_traffic`: the client can
    only notice while it sends. `most_connects` bounds the connections that one client may make in
    `bound_s`.
    """

    name: str
    handler: Handler
    causes: frozenset[str]
    bound_s: float
    close_code: int | None = None
    needs_traffic: bool = False
    most_connects: int = 6

    @property
    def may_go_on(self) -> bool:
        """Whether a client may take no notice."""
        return ONLINE in self.causes


def scenario(
    *causes: str,
    bound_s: float = 2.0,
    close_code: int | None = None,
    needs_traffic: bool = False,
    most_connects: int = 6,
) -> Callable[[Handler], Scenario]:
    """Turns a handler into the scenario of the same name."""

    def wrap(handler: Handler) -> Scenario:
        name = getattr(handler, "__name__", "")
        return Scenario(
            name, handler, frozenset(causes), bound_s, close_code, needs_traffic, most_connects
        )

    return wrap


def table(namespace: Iterable[object]) -> dict[str, Scenario]:
    """The scenarios among the values of a module, by name."""
    return {one.name: one for one in namespace if isinstance(one, Scenario)}


def frames_then_wait(*pieces: bytes) -> Handler:
    """A handler that completes the upgrade, sends these bytes and waits for the client to go."""

    async def handler(peer: Peer) -> None:
        await peer.upgrade()
        reading = asyncio.create_task(peer.until_gone())
        try:
            for piece in pieces:
                await peer.send(piece)
            await reading
        finally:
            reading.cancel()

    return handler


def now() -> float:
    """CLOCK_MONOTONIC seconds."""
    return time.monotonic()
