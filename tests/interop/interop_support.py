"""What the interop tests share: a conn with its whole history, deadlines, memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import steadwire
from steadwire.events import Event, Retry, StateChanged
from steadwire.words import Cause, State

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
