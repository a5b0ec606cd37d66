"""A client of steadwire.v1 written from docs/protocol.md alone, over msgpack and websockets, and a
real Redis: what the tests of the server companion need."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any, Self

import msgpack
import websockets
from websockets.typing import Subprotocol

HELLO, WELCOME, DATA, ACK, NACK, PING, PONG, GOAWAY, CLOSE, AUTH, GAP, PART, REFUSE = range(1, 14)
TEXT, REPLAY = 1, 2
PROCESSED, PARTS = 2, 4
STALE, VERSION = 1, 2


class Refused(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code


class ScriptedClient:
    """Keeps what a client must keep over its links. Numbers both lanes, acknowledges at once."""

    def __init__(self, url: str, auth: str = "") -> None:
        self.url = url
        self.auth = auth
        self.cid = secrets.token_bytes(16)
        self.token: bytes | None = None
        self.incarnation: int | None = None
        self.received = [0, 0]
        self.acked = [0, 0]
        self.processed = [0, 0]
        self.next = [1, 1]
        self.unproven: list[dict[int, str | bytes]] = [{}, {}]
        self.inbox: list[tuple[int, int, str | bytes]] = []
        self.gaps: list[tuple[int, int, int, int]] = []
        self.goaways: list[dict[str, Any]] = []
        self.welcome: dict[str, Any] = {}
        self.answers: list[list[Any]] = []
        self.closes: list[list[Any]] = []
        self.duplicates = 0
        self.link: Any = None
        self.acknowledges = True

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.link.close()

    def hello(self, **changes: Any) -> list[Any]:
        said: dict[str, Any] = {
            "v": [1],
            "cid": self.cid,
            "rx": self.received,
            "lo": [min(self.unproven[lane], default=self.next[lane]) for lane in (0, 1)],
            "nx": self.next,
            "pr": self.received,
            "caps": PROCESSED | PARTS,
            "win_msgs": 1024,
            "win_bytes": 4 << 20,
            "max": 16 << 20,
            "idle_ms": 0,
        }
        if self.token is not None:
            said |= {"tok": self.token, "inc": self.incarnation}
        if self.auth:
            said["auth"] = self.auth
        return [HELLO, said | changes]

    async def connect(self) -> None:
        subprotocols = [Subprotocol("steadwire.v1")]
        self.link = await websockets.connect(self.url, subprotocols=subprotocols, max_size=None)
        assert self.link.subprotocol == "steadwire.v1"

    async def write(self, frame: list[Any]) -> None:
        await self.link.send(msgpack.packb(frame))

    async def open(self) -> None:
        """A new link, claimed; then what is not proven yet. Refused."""
        await self.connect()
        await self.write(self.hello())
        await self.welcomed()
        for lane in (1, 0):
            for number, data in self.unproven[lane].items():
                await self.write_message(lane, number, data, REPLAY)

    async def welcomed(self) -> None:
        frame = await self.read()
        if frame[0] == REFUSE:
            raise Refused(frame[1], frame[2])
        assert frame[0] == WELCOME, frame
        self.welcome = frame[1]
        self.token, self.incarnation = frame[1]["tok"], frame[1]["inc"]
        for lane in (0, 1):
            self.prove(lane, frame[1]["rx"][lane], frame[1]["pr"][lane])

    async def read(self) -> list[Any]:
        data = await asyncio.wait_for(self.link.recv(), 20)
        frame: list[Any] = msgpack.unpackb(data)
        return frame

    async def write_message(
        self, lane: int, number: int, data: str | bytes, flags: int = 0
    ) -> None:
        payload = data.encode() if isinstance(data, str) else data
        kind = TEXT if isinstance(data, str) else 0
        while len(payload) > 65536:
            await self.write([PART, lane, number, payload[:65536]])
            payload = payload[65536:]
        await self.write([DATA, lane, number, flags | kind, payload])

    async def send(self, data: str | bytes, lane: int = 0) -> int:
        number = self.next[lane]
        self.next[lane] += 1
        self.unproven[lane][number] = data
        await self.write_message(lane, number, data)
        return number

    def prove(self, lane: int, accepted: int, processed: int) -> None:
        assert self.acked[lane] <= accepted < self.next[lane], (self.acked, accepted, self.next)
        assert self.processed[lane] <= processed <= accepted
        self.acked[lane], self.processed[lane] = accepted, processed
        for number in [n for n in self.unproven[lane] if n <= accepted]:
            del self.unproven[lane][number]

    async def step(self) -> list[Any]:
        """Takes one frame."""
        frame = await self.read()
        kind, *rest = frame
        if kind == DATA:
            await self.take(*rest)
        elif kind == PART:
            lane, number, payload = rest
            if number == self.received[lane] + 1:
                self.parts = getattr(self, "parts", b"") + payload
        elif kind == GAP:
            lane, first, last, reason = rest
            assert first <= self.received[lane] + 1
            self.gaps.append((lane, first, last, reason))
            self.received[lane] = max(self.received[lane], last)
            await self.acknowledge(lane)
        elif kind == ACK:
            self.prove(rest[0], rest[1], rest[2])
        elif kind == GOAWAY:
            self.goaways.append(rest[0])
        elif kind == CLOSE:
            self.closes.append(frame)
        elif kind in (AUTH, NACK, PONG):
            self.answers.append(frame)
        return frame

    async def take(self, lane: int, number: int, flags: int, payload: bytes) -> None:
        if number <= self.received[lane]:
            self.duplicates += 1
        else:
            assert number == self.received[lane] + 1, "the sequence has a hole"
            self.received[lane] = number
            whole = getattr(self, "parts", b"") + payload
            self.parts = b""
            self.inbox.append((lane, number, whole.decode() if flags & TEXT else whole))
        await self.acknowledge(lane)

    async def acknowledge(self, lane: int) -> None:
        if self.acknowledges:
            await self.write([ACK, lane, self.received[lane], self.received[lane]])

    async def until(self, is_true: Any) -> None:
        """Takes frames until it is so."""
        async with asyncio.timeout(20):
            while not is_true():
                await self.step()

    async def until_closed(self) -> int:
        """Takes frames until the server closes the link; its code."""
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await self.step()
        code: int = self.link.close_code
        return code

    def drop(self) -> None:
        """The network is gone: no close handshake."""
        self.link.transport.abort()
        self.parts = b""


class Address:
    """One address in front of several nodes: a link goes to the first one that takes it."""

    def __init__(self) -> None:
        self.targets: list[int] = []
        self.links = 0
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def cut(self) -> None:
        """Resets every link."""
        for pipe in self._pipes:
            pipe.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in self.targets:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                self.links += 1
                ends = (writer, far_writer)
                for source, sink in ((reader, far_writer), (far_reader, writer)):
                    task = asyncio.create_task(self._pipe(source, sink, ends))
                    self._pipes.add(task)
                    task.add_done_callback(self._pipes.discard)
                return
        writer.transport.abort()

    @staticmethod
    async def _pipe(
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        try:
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
        except OSError:
            return
        finally:
            for end in ends:
                end.transport.abort()


class Node:
    """A server process: `python -m steadwire serve`, or a script of the tests."""

    def __init__(self, *command: str, stderr: IO[str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening "), line
        self.port = int(line.split()[-1])

    def kill(self) -> None:
        self._process.kill()
        self.wait()

    def terminate(self) -> None:
        self._process.terminate()

    def freeze(self) -> None:
        """Its sockets stay open and its kernel goes on acknowledging, until `thaw`."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        code = self._process.wait(60)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code


@contextlib.asynccontextmanager
async def serving(sessions: Any) -> AsyncIterator[str]:
    """The URL of a `websockets` server with these sessions."""
    async with websockets.serve(
        sessions.websockets,
        "127.0.0.1",
        0,
        subprotocols=sessions.subprotocols,
        select_subprotocol=sessions.select_subprotocol,
        max_size=4 << 20,
        compression=None,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        try:
            yield f"ws://127.0.0.1:{port}/"
        finally:
            await sessions.drain(timeout=0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """A redis-server of its own; with `is_durable` it keeps what it said over a kill -9."""

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        program = shutil.which("redis-server")
        assert program is not None, "redis-server is not installed"
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        kept = ["--appendonly", "yes", "--appendfsync", "always"] if is_durable else []
        self._command = [
            *(program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--dir", str(folder), *kept),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError), self._connection() as probe:
                probe.sendall(b"PING\r\n")
                if probe.recv(16).startswith(b"+PONG"):
                    return
        raise AssertionError("redis-server does not answer")

    def _connection(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=1)

    def kill(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
