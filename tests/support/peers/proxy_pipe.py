"""One direction of a proxied connection: reads, shapes, and forwards or swallows.

A pipe forwards every byte in order and unchanged until it is told to swallow; from then on nothing
passes any more, not even the end of the stream, because a stream with a hole in it would be
corrupt.
"""

from __future__ import annotations

import asyncio
import enum
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from peers.ws import Borders

CHUNK = 64 * 1024
QUEUED_CHUNKS = 16
THROTTLE_TICK_S = 0.05


class Ending(enum.Enum):
    """How a stream ends."""

    FIN = "fin"
    RST = "rst"


@dataclass
class Shape:
    """What a direction does to timing. Jitter is drawn uniformly from 0 to `jitter_s`; order is
    kept."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    seed: int = 0


@dataclass
class Cut:
    """End the connection in this way after that many further bytes of this direction."""

    after: int
    how: Ending


@dataclass
class Pipe:
    """Bytes from `source` to `sink`. `on_end` is called once, with how the source or the cut ended
    the stream."""

    source: socket.socket
    sink: socket.socket
    on_end: Callable[[Ending], None]
    on_injected: Callable[[], None]
    shape: Shape = field(default_factory=Shape)
    cut: Cut | None = None
    is_swallowing: bool = False
    forwarded: int = 0
    swallowed: int = 0
    borders: Borders = field(default_factory=Borders)

    def __post_init__(self) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._queue: asyncio.Queue[tuple[float, bytes | Ending]] = asyncio.Queue(QUEUED_CHUNKS)
        self._injection: bytes | None = None
        self._last_due = 0.0
        self.reshape(self.shape)

    def reshape(self, shape: Shape) -> None:
        """Applies to chunks that are read from now on."""
        self.shape = shape
        self._random = random.Random(shape.seed)

    def swallow(self) -> None:
        """From now on, and for ever, nothing reaches the sink."""
        self.is_swallowing = True
        self.flowing.set()

    def inject(self, frame: bytes) -> None:
        """Sends `frame` at the next border between two frames, then swallows the rest."""
        self._injection = frame
        if self._queue.empty():
            self._queue.put_nowait((0.0, b""))

    async def run(self) -> None:
        """Runs until the source has ended and everything before its end is forwarded, or until
        cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read())
            group.create_task(self._write())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            item: bytes | Ending
            try:
                item = await loop.sock_recv(self.source, CHUNK) or Ending.FIN
            except OSError:
                item = Ending.RST
            if self.is_swallowing and isinstance(item, bytes):
                self.swallowed += len(item)
                continue
            await self._queue.put((self._due(), item))
            if isinstance(item, Ending):
                return

    def _due(self) -> float:
        late = self.shape.delay_s + self._random.uniform(0.0, self.shape.jitter_s)
        self._last_due = max(self._last_due, time.monotonic() + late)
        return self._last_due

    async def _write(self) -> None:
        while True:
            due, item = await self._queue.get()
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if isinstance(item, Ending):
                await self.flowing.wait()
                if not self.is_swallowing:
                    self.on_end(item)
                return
            if await self._forward(item):
                return

    async def _forward(self, data: bytes) -> bool:
        """Forwards one chunk; true if the connection was cut in it."""
        while data or self._injection:
            await self.flowing.wait()
            if self.is_swallowing:
                self.swallowed += len(data)
                return False
            if self._injection and self.borders.at_border:
                await self._send(self._injection)
                self._injection = None
                self.swallow()
                self.on_injected()
                continue
            if not data:
                return False
            piece = data[: self._piece(data)]
            await self._send(piece)
            self.forwarded += len(piece)
            data = data[len(piece) :]
            if self.cut:
                self.cut.after -= len(piece)
                if self.cut.after <= 0:
                    self.on_end(self.cut.how)
                    return True
        return False

    def _piece(self, data: bytes) -> int:
        """How much may go out in one step; the border tracker is moved over exactly that much."""
        most = len(data)
        if self.shape.bytes_per_s:
            most = min(most, max(1, int(self.shape.bytes_per_s * THROTTLE_TICK_S)))
        if self.cut:
            most = min(most, max(1, self.cut.after))
        view, used = memoryview(data)[:most], 0
        while used < most:
            used += self.borders.feed(view[used:])
            if self._injection and self.borders.at_border:
                break
        return used

    async def _send(self, data: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(self.sink, data)
        except OSError:
            self.on_end(Ending.RST)
            raise asyncio.CancelledError from None
        if self.shape.bytes_per_s:
            await asyncio.sleep(len(data) / self.shape.bytes_per_s)


def abort(sock: socket.socket) -> None:
    """Closes a socket with RST instead of FIN."""
    if sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
