"""What the interop tests share: a conn with its whole history, deadlines, memory."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import steadwire
from peers import echo_server
from peers.journal import Journal
from steadwire.events import Event, Retry, StateChanged
from steadwire.words import Cause, State
from websockets.asyncio.server import serve

HERE = Path(__file__).resolve().parent
DEADLINE_S = 10.0
CHECK_EVERY_S = 0.005


async def until(is_so: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Waits for a condition while the loop runs; TimeoutError at the deadline."""
    never = asyncio.Event()
    async with asyncio.timeout(deadline_s):
        while not is_so():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), CHECK_EVERY_S)


async def run_for(seconds: float) -> None:
    """Lets everything run for a time that the test is about."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


class Watched:
    """A conn, the events it has told so far, the messages that came and those that were sent."""

    def __init__(self, conn: steadwire.Connection) -> None:
        self.conn = conn
        self.events: list[Event] = []
        self.messages: list[steadwire.Message] = []
        self.sent: list[str] = []
        self._queue = conn.events()
        self._tasks = [
            asyncio.create_task(self._note_events()),
            asyncio.create_task(self._note_messages()),
        ]

    async def _note_events(self) -> None:
        async for event in self._queue:
            self.events.append(event)

    async def _note_messages(self) -> None:
        with contextlib.suppress(steadwire.ConnectError):
            async for message in self.conn:
                self.messages.append(message)

    def post(self, text: str) -> steadwire.Receipt:
        """Queues a message and notes it in `sent`."""
        self.sent.append(text)
        return self.conn.post(text)

    def of(self, *types: type[Any]) -> list[Any]:
        """The events of these types."""
        return [event for event in self.events if isinstance(event, types)]

    @property
    def troubles(self) -> list[Cause]:
        """Why links ended and attempts failed, in order."""
        told = self.of(StateChanged, Retry)
        return [one.cause for one in told if one.cause.class_name != "host"]

    def times_in(self, state: State) -> int:
        """How often the conn came into a state."""
        return sum(event.new is state for event in self.of(StateChanged))

    async def first_trouble(self, deadline_s: float = DEADLINE_S) -> Cause:
        """The first cause that the host did not ask for."""
        await until(lambda: bool(self.troubles), deadline_s)
        return self.troubles[0]

    async def stop(self) -> None:
        """Stops watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def watched(url: str, **options: Any) -> AsyncIterator[Watched]:
    """A conn that is opened without waiting, and cut at the end."""
    conn = await steadwire.connect(url, wait=False, **options)
    watch = Watched(conn)
    try:
        yield watch
    finally:
        await watch.stop()
        conn.abandon()


class Feed:
    """An echo server with a feed, in this process, so that it can be back as soon as wanted."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._log = log
        self._options = echo_server.parser().parse_args(arguments)
        self.port = 0
        self.back_at = 0.0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"ws://127.0.0.1:{self.port}/"

    async def start(self) -> None:
        """Starts it, on the same port as before, with nothing remembered."""
        echo = echo_server.EchoServer(Journal(self._log), self._options)
        quiet = echo_server.quiet_logger()
        self._server = await serve(echo.handle, "127.0.0.1", self.port, logger=quiet)
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self.back_at = time.monotonic()
        self._feeding = asyncio.create_task(echo.feed())

    async def kill(self) -> None:
        """Resets every connection and stops listening."""
        self._feeding.cancel()
        for conn in list(self._server.connections):
            conn.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    async def __aenter__(self) -> Feed:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.kill()


class Memory:
    """How far the resident memory of this process rises above what it was."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._before = self._kib("VmRSS")

    @staticmethod
    def _kib(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

    @property
    def peak_growth(self) -> int:
        """Bytes between the highest point since the beginning and the beginning."""
        return (self._kib("VmHWM") - self._before) * 1024
