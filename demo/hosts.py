"""The two hosts as processes: started, listened to, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo.analyse import Event

HERE = Path(__file__).resolve().parent
LUA_NAMES = ("lua5.4", "lua5.3", "luajit", "lua")
SETTLING_S = 20.0


class HostError(Exception):
    """A host process did not do its part."""


@dataclass
class Host:
    """One host process and what it has said."""

    name: str
    command: Sequence[str]
    on_event: Callable[[str, Event], None]
    events: list[Event] = field(default_factory=list)
    sent: int = 0
    undelivered: int = 0
    _is_done: bool = False

    def __post_init__(self) -> None:
        self._news = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """The conn's state as last reported."""
        return next((one.target for one in reversed(self.events) if one.target), "idle")

    async def start(self, *arguments: str) -> None:
        """Starts the process."""
        self._process = await asyncio.create_subprocess_exec(
            *self.command,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self._process and self._process.stdout
        async for line in self._process.stdout:
            self._take(json.loads(line))
            self._news.set()
        self._news.set()

    def _take(self, said: dict[str, object]) -> None:
        if said["kind"] == "done":
            self.sent, self.undelivered = int(str(said["sent"])), int(str(said["undelivered"]))
            self._is_done = True
            return
        event = parse_event(said)
        self.events.append(event)
        self.on_event(self.name, event)

    async def until_online(self) -> bool:
        """Waits until the conn is online; false if that takes too long."""
        return await self._until(lambda: self.state == "online")

    async def until_noticed(self, since: float) -> bool:
        """Waits until the conn has changed its state after a fault; false if that takes too
        long."""
        return await self._until(lambda: any(one.target and one.t >= since for one in self.events))

    async def _until(self, check: Callable[[], bool]) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLING_S):
                while not check():
                    self._check_running()
                    self._news.clear()
                    await self._news.wait()
                return True
        return False

    def _check_running(self) -> None:
        if self._listening and self._listening.done():
            self._listening.result()
            raise HostError(f"the {self.name} host has ended")

    async def until_done(self) -> None:
        """Waits until the host has closed its conn and said how many messages it has sent."""
        assert self._process and self._listening
        try:
            async with asyncio.timeout(SETTLING_S):
                await self._listening
                await self._process.wait()
        except TimeoutError:
            raise HostError(f"the {self.name} host did not stop") from None
        if not self._is_done:
            raise HostError(f"the {self.name} host has ended with {self._process.returncode}")

    async def kill(self) -> None:
        """Ends whatever is left."""
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def parse_event(said: dict[str, object]) -> Event:
    """An event from a line of a host."""
    return Event(
        t=float(str(said.get("t", time.monotonic()))),
        kind=str(said["kind"]),
        cause=str(said.get("cause", "")),
        source=str(said.get("from", "")),
        target=str(said.get("to", "")),
        messages=int(str(said.get("messages", 0))),
    )


def python_command() -> list[str]:
    """The Python host."""
    return [sys.executable, str(HERE / "host.py")]


def lua_command() -> list[str]:
    """The Lua host; STW_LUA names the interpreter."""
    found = os.environ.get("STW_LUA") or next(filter(None, map(shutil.which, LUA_NAMES)), None)
    if not found:
        raise HostError("there is no Lua: install lua5.4, or name an interpreter in STW_LUA")
    return [found, str(HERE / "host.lua")]
