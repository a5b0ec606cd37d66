"""A host that is busy for a long time keeps its connection, and knows what it has missed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from interop_support import HERE, Feed, run_for
from peers import process
from websockets.asyncio.server import ServerConnection, serve

BLOCKED_S = 10.0
FLOODED_S = 6.0
LONG_S = 60.0
RATE = 2000
SIZE = 512
CHANNELS = ["a", "b", "c", "d"]
PATIENCE_S = 20.0
SHORT_TAIL = "1.5"
LUA = os.environ.get("STW_LUA")

Run = Callable[[list[str]], Coroutine[Any, Any, None]]
Policy = Callable[[list[str], float], Coroutine[Any, Any, None]]


@dataclass
class Told:
    """What a host has told, in its order."""

    blocking: float = 0.0
    free: float = 0.0
    attempts: int = 0
    states: list[str] = field(default_factory=list)
    gaps: list[tuple[str, bool, int]] = field(default_factory=list)
    messages: list[tuple[int, float, dict[str, Any]]] = field(default_factory=list)

    def hear(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "message":
            link, at, data = rest.split(" ", 2)
            self.messages.append((int(link), float(at), json.loads(data)))
        elif word == "state":
            self.states.append(rest.split()[0])
        elif word == "gap":
            reason, known, count = rest.split()
            self.gaps.append((reason, known == "True", int(count)))
        elif word in ("blocking", "free"):
            setattr(self, word, float(rest))
        elif word == "end":
            self.attempts = int(rest)

    @property
    def numbers(self) -> list[int]:
        """The numbers of the feed's messages."""
        return [data["n"] for _link, _at, data in self.messages if "n" in data]

    @property
    def dropped(self) -> int:
        return sum(count for reason, _known, count in self.gaps if reason == "overflow")

    def kept_its_connection(self) -> None:
        assert self.attempts == 1
        assert self.states == ["connecting", "online"]
        assert all(known for _reason, known, _count in self.gaps)


class Host:
    """A host in a process of its own."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.told = Told()

    @classmethod
    async def start(cls, program: Sequence[str], url: str, *arguments: str) -> Host:
        child = await asyncio.create_subprocess_exec(
            *program, url, *arguments, stdout=asyncio.subprocess.PIPE, limit=1 << 20
        )
        return cls(child)

    async def _hear_until(self, word: str, deadline_s: float) -> None:
        assert self.child.stdout
        async with asyncio.timeout(deadline_s):
            while line := (await self.child.stdout.readline()).decode():
                self.told.hear(line.rstrip())
                if line.startswith(word):
                    return
        raise AssertionError(f"the host ended before it said {word!r}")

    async def until_blocking(self) -> None:
        await self._hear_until("blocking", PATIENCE_S)

    async def until_end(self, blocked_s: float) -> Told:
        await self._hear_until("end", blocked_s + PATIENCE_S)
        await asyncio.wait_for(self.child.wait(), PATIENCE_S)
        assert self.told.free - self.told.blocking >= blocked_s - 0.01
        return self.told


PYTHON = [sys.executable, str(HERE / "blocked_host.py")]
LUA_HOST = [LUA or "", str(HERE / "blocked_host.lua")]


async def on_both(run: Run) -> None:
    """Runs a test with a Python and a Lua host, beside one another."""
    if LUA is None:
        pytest.skip("STW_LUA names no interpreter")
    async with asyncio.TaskGroup() as together:
        together.create_task(run(PYTHON), name="python")
        together.create_task(run(LUA_HOST), name="lua")


@pytest.fixture
async def strict_server() -> AsyncIterator[str]:
    """A server that ends a connection whose client does not answer a PING within 2 s."""

    async def handle(conn: ServerConnection) -> None:
        async for message in conn:
            await conn.send(message)

    async with serve(handle, "127.0.0.1", 0, ping_interval=1, ping_timeout=2) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"


async def test_a_busy_host_keeps_its_connection(strict_server: str) -> None:
    async def run(program: list[str]) -> None:
        arguments = [str(BLOCKED_S), SHORT_TAIL, "heartbeat_interval=1s"]
        host = await Host.start(program, strict_server, *arguments)
        told = await host.until_end(BLOCKED_S)
        told.kept_its_connection()
        assert told.gaps == []

    await on_both(run)


def nothing_is_missing(told: Told) -> None:
    """Each number has arrived, in order, or is counted as dropped."""
    numbers = told.numbers
    assert numbers == sorted(set(numbers))
    assert len(numbers) + told.dropped == numbers[-1] - numbers[0] + 1


def up_to_date(told: Told, seconds: float) -> None:
    """The newest message that the host has was sent long after it was free again."""
    newest = max(data["t"] for _link, _at, data in told.messages if "t" in data)
    assert newest > told.free + 0.3
    assert told.numbers[-1] - told.numbers[0] > RATE * seconds * 0.8


def tail_after(seconds: float) -> str:
    """How long a host needs to deal with all that has waited for it."""
    return str(1.0 + seconds / 8)


async def flood(program: list[str], seconds: float, *options: str) -> Told:
    feed = ["--rate", str(RATE), "--size", str(SIZE)]
    async with await process.start_echo(*feed) as peer:
        url = f"ws://127.0.0.1:{peer.port}/"
        host = await Host.start(program, url, str(seconds), tail_after(seconds), *options)
        told = await host.until_end(seconds)
    told.kept_its_connection()
    nothing_is_missing(told)
    up_to_date(told, seconds)
    return told


async def paused(program: list[str], seconds: float) -> None:
    told = await flood(program, seconds, "inbound_overflow=pause")
    assert told.gaps == []


async def oldest_dropped(program: list[str], seconds: float) -> None:
    told = await flood(program, seconds, "inbound_overflow=drop_oldest", "inbound_buffer=1MiB")
    assert told.dropped > RATE * seconds / 2


async def latest_kept(program: list[str], seconds: float) -> None:
    options = ["inbound_overflow=latest_by_key", "inbound_key=until:,", "inbound_buffer=64KiB"]
    told = await flood(program, seconds, *options)
    assert told.dropped > RATE * seconds / 2


POLICIES = [paused, oldest_dropped, latest_kept]


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_flooded_host_keeps_its_connection(policy: Policy) -> None:
    await on_both(lambda program: policy(program, FLOODED_S))


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("policy", POLICIES)
async def test_a_host_flooded_for_a_minute_keeps_its_connection(policy: Policy) -> None:
    await on_both(lambda program: policy(program, LONG_S))


async def test_every_key_keeps_its_latest() -> None:
    subscribe = [json.dumps({"op": "subscribe", "channel": name}) for name in CHANNELS]
    openings = [word for one in subscribe for word in ("--opening", one)]
    options = ["inbound_overflow=latest_by_key", "inbound_key=until:,", "inbound_buffer=64KiB"]
    feed = ["--rate", str(RATE / len(CHANNELS)), "--size", str(SIZE), "--subscriptions"]
    async with await process.start_echo(*feed) as peer:
        url = f"ws://127.0.0.1:{peer.port}/"
        host = await Host.start(PYTHON, url, "3", SHORT_TAIL, *openings, *options)
        told = await host.until_end(3.0)
    told.kept_its_connection()
    by_channel: dict[str, list[int]] = {name: [] for name in CHANNELS}
    for _link, _at, data in told.messages:
        if "n" in data:
            by_channel[data["channel"]].append(data["n"])
    wanted = sum(numbers[-1] - numbers[0] + 1 for numbers in by_channel.values())
    assert len(told.numbers) + told.dropped == wanted
    assert told.dropped > 2 * RATE
    assert len(Counter(numbers[-1] // RATE for numbers in by_channel.values())) == 1
    assert all(numbers == sorted(set(numbers)) for numbers in by_channel.values())


async def test_a_feed_flows_again_while_the_host_is_still_blocked(log: Path) -> None:
    subscribe = json.dumps({"op": "subscribe", "channel": "trades"})
    options = ["--opening", subscribe, "ready_when=contains:subscribed"]
    blocked_s = 4.0
    async with Feed(log, "--subscriptions", "--rate", "100") as feed:
        host = await Host.start(PYTHON, feed.url, str(blocked_s), SHORT_TAIL, *options)
        await host.until_blocking()
        await run_for(0.5)
        await feed.kill()
        await run_for(0.1)
        await feed.start()
        told = await host.until_end(blocked_s)
    assert feed.back_at < told.free - 2.0, "the host was free too early to show anything"
    links = sorted({link for link, _at, _data in told.messages})
    assert len(links) == 2
    first = min(at for link, at, data in told.messages if link == links[1] and "n" in data)
    assert first - feed.back_at < 2.0
    assert ("new_link", False, 0) in told.gaps
