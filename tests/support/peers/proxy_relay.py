"""One proxied connection: two pipes, their sockets, and the ways in which it can be hurt."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from peers import ws
from peers.proxy_pipe import Cut, Ending, Pipe, Shape, abort

CLOSE_REPLY_S = 1.0
BORDER_S = 10.0
DIRECTIONS = ("to_client", "to_server")


@dataclass
class Relay:
    """The client's socket and, once connected, the one to the server behind the proxy."""

    number: int
    client: socket.socket
    counters: Counter[str]
    notify: Callable[[], None]
    mode: str = "relay"
    opened_at: float = field(default_factory=time.monotonic)
    upstream: socket.socket | None = None
    pipes: dict[str, Pipe] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._injected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_abortive = False

    async def relay(
        self, address: tuple[str, int], shapes: dict[str, Shape], cuts: dict[str, Cut]
    ) -> None:
        """Connects to the server and forwards until both directions have ended."""
        loop = asyncio.get_running_loop()
        self.upstream = socket.socket()
        self.upstream.setblocking(False)
        try:
            await loop.sock_connect(self.upstream, address)
        except OSError:
            self.count("upstream_refused")
            self.reset()
            return
        for one in (self.client, self.upstream):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ends = {
            "to_client": (self.upstream, self.client),
            "to_server": (self.client, self.upstream),
        }
        for name, (source, sink) in ends.items():
            self.pipes[name] = self._pipe(name, source, sink, shapes[name], cuts.get(name))
        self.count("connected")
        async with asyncio.TaskGroup() as group:
            for pipe in self.pipes.values():
                group.create_task(pipe.run())

    def _pipe(
        self, name: str, source: socket.socket, sink: socket.socket, shape: Shape, cut: Cut | None
    ) -> Pipe:
        def end(how: Ending) -> None:
            self._end(name, how)

        return Pipe(source, sink, end, self._injected.set, shape, cut)

    def _end(self, direction: str, how: Ending) -> None:
        """The stream of one direction ended: pass that on to its sink."""
        if how is Ending.RST:
            self.reset()
            return
        with contextlib.suppress(OSError):
            self.pipes[direction].sink.shutdown(socket.SHUT_WR)

    async def silent(self) -> None:
        """Reads and answers nothing, until the client gives up."""
        self.mode = "silent"
        self.count("silenced")
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while await loop.sock_recv(self.client, 4096):
                pass

    async def respond(self, answer: bytes) -> None:
        """Reads one HTTP request head, answers it with these bytes, and closes."""
        self.mode = "respond"
        loop = asyncio.get_running_loop()
        head = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in head and len(head) < ws.HEAD_LIMIT:
                chunk = await loop.sock_recv(self.client, 4096)
                if not chunk:
                    return
                head += chunk
            await loop.sock_sendall(self.client, answer)
            self.count("responded")
            self.client.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(self.client, 4096):
                pass

    async def close_with(self, frame: bytes) -> None:
        """Injects a CLOSE frame towards the client at a frame border, then ends both sides.

        What the client sends after it is swallowed, as a server that is going away would.
        """
        self.pipes["to_client"].inject(frame)
        try:
            async with asyncio.timeout(BORDER_S):
                await self._injected.wait()
        except TimeoutError:
            self.count("close_frames_without_border")
            return
        self.mode = "closing"
        self.pipes["to_server"].swallow()
        self.count("close_frames")
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)
        await asyncio.sleep(CLOSE_REPLY_S)
        self.stop()

    def swallow(self, directions: tuple[str, ...]) -> None:
        """Lets everything in these directions disappear from now on."""
        self.mode = "swallow " + " ".join(directions)
        for name in directions:
            if name in self.pipes:
                self.pipes[name].swallow()
        self.count("swallowed")

    def half_close(self, direction: str) -> None:
        """Sends FIN in one direction now; the other one goes on."""
        self.pipes[direction].swallow()
        with contextlib.suppress(OSError):
            self.pipes[direction].sink.shutdown(socket.SHUT_WR)
        self.count("half_closed")

    def reset(self) -> None:
        """RST to both sides."""
        if not self._is_abortive:
            self._is_abortive = True
            self.count("resets")
            self.stop()

    def stop(self) -> None:
        """Ends the connection; its sockets are closed as soon as its tasks are."""
        if self._task:
            self._task.cancel()

    def start(self, work: asyncio.Task[None]) -> None:
        """Ties a task to this connection; when it ends, the sockets are closed.

        Not earlier: a file descriptor that is closed while a task still waits for it can be handed
        out again.
        """
        self._task = work
        work.add_done_callback(self._done)

    def _done(self, work: asyncio.Task[None]) -> None:
        for one in (self.client, self.upstream):
            if one and self._is_abortive:
                abort(one)
            elif one:
                one.close()
        self.mode = "gone"
        self.count("errors" if not work.cancelled() and work.exception() else "closed")

    def count(self, name: str) -> None:
        """Counts one event and wakes whoever waits for it."""
        self.counters[name] += 1
        self.notify()

    def describe(self) -> dict[str, object]:
        """What the control connection reports about this connection."""
        report: dict[str, object] = {
            "conn": self.number,
            "mode": self.mode,
            "opened_at": self.opened_at,
        }
        for name, pipe in self.pipes.items():
            report[name] = {"forwarded": pipe.forwarded, "swallowed": pipe.swallowed}
        return report
