"""The case `faults` of `./dev bench delivery`: several clients under one fault script.

Each subject has a server, a fault proxy in front of it and a client behind it, all at the same time
and hurt at the same moments. First a burst on a healthy path gives the throughput, then messages go
out at a steady rate while the script runs. A fault's time to recover is from the fault to the
arrival of the first message that was sent after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from peers.fault_proxy import FaultProxy
from report import Report

BENCH = Path(__file__).resolve().parent
BURST = 2000
RATE = 50.0
READY_S = 30.0
BURST_S = 120.0
GRACE_S = 120.0
END_S = 3.0

# seconds from the start of the steady rate, and what happens to every client's path
SCRIPT: list[tuple[float, str]] = [
    (3.0, "reset"),
    (8.0, "blackhole"),
    (60.0, "reset twice"),
    (66.0, "half-dead to_client"),
    (120.0, "half-dead to_server"),
    (170.0, "refused 2 s"),
]
STEADY_S = 180.0

COMMANDS = {
    "steadwire": [sys.executable, str(BENCH / "delivery_steadwire.py")],
    "socket.io": ["node", str(BENCH / "delivery_socketio.js")],
    "paho": [sys.executable, str(BENCH / "delivery_paho.py")],
}


@dataclass
class Subject:
    """One client and its server; numbers with the second at which they were sent and seen."""

    name: str
    port: int
    sent: dict[int, float] = field(default_factory=dict)
    got: list[tuple[int, float]] = field(default_factory=list)
    faults: list[float] = field(default_factory=list)
    is_burst: asyncio.Event = field(default_factory=asyncio.Event)
    is_done: asyncio.Event = field(default_factory=asyncio.Event)
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    failure: str = ""

    def take(self, line: str) -> None:
        word, *rest = line.split()
        if word == "sent":
            self.sent[int(rest[0])] = float(rest[1])
        elif word == "got":
            self.got.append((int(rest[0]), float(rest[1])))
        elif word == "burst":
            self.is_burst.set()
        elif word == "done":
            self.is_done.set()
        elif word == "ready":
            self.is_ready.set()

    @property
    def lost(self) -> int:
        return len(self.sent.keys() - {number for number, _ in self.got})

    @property
    def duplicated(self) -> int:
        return sum(times - 1 for times in Counter(number for number, _ in self.got).values())

    @property
    def reordered(self) -> int:
        firsts = list(dict.fromkeys(number for number, _ in self.got))
        return sum(after < before for before, after in zip(firsts, firsts[1:], strict=False))

    def throughput(self) -> float:
        last = max(at for number, at in self.got if number <= BURST)
        return BURST / (last - self.sent[1])

    def recoveries(self) -> list[float]:
        first_seen: dict[int, float] = {}
        for number, at in self.got:
            first_seen.setdefault(number, at)
        return [
            min(
                (
                    first_seen[n] - fault
                    for n, at in self.sent.items()
                    if at >= fault and n in first_seen
                ),
                default=float("inf"),
            )
            for fault in self.faults
        ]


async def hurt(proxy: FaultProxy, what: str) -> float:
    if what == "blackhole":
        return await proxy.blackhole()
    if what.startswith("half-dead"):
        return await proxy.blackhole([what.split()[1]])
    if what == "reset twice":
        await proxy.reset()
        await asyncio.sleep(0.3)
    if what.startswith("refused"):
        at = await proxy.refuse()
        await proxy.reset()
        await asyncio.sleep(2.0)
        await proxy.heal()
        return at
    return await proxy.reset()


async def run_script(subject: Subject, proxy: FaultProxy, begin: float) -> None:
    for after, what in SCRIPT:
        await asyncio.sleep(max(0.0, begin + after - time.monotonic()))
        subject.faults.append(await hurt(proxy, what))


async def follow(subject: Subject, stream: asyncio.StreamReader) -> None:
    while line := await stream.readline():
        subject.take(line.decode())


@contextlib.asynccontextmanager
async def running(subject: Subject, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *COMMANDS[subject.name],
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    reader = asyncio.create_task(follow(subject, process.stdout))
    try:
        yield process
    finally:
        await end(process)
        await reader


async def end(process: asyncio.subprocess.Process) -> None:
    """Servers end with their input, and take what they have started along."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), END_S)
    except TimeoutError:
        process.kill()
        await process.wait()


class Start:
    """The moment from which the script runs for all that got so far."""

    def __init__(self, names: list[str]) -> None:
        self._missing = set(names)
        self._is_complete = asyncio.Event()

    def arrive(self, name: str) -> None:
        """It is there, or never will be."""
        self._missing.discard(name)
        if not self._missing:
            self._is_complete.set()

    async def wait(self) -> None:
        await self._is_complete.wait()


async def reach(subject: Subject, step: asyncio.Event, seconds: float, what: str) -> bool:
    try:
        await asyncio.wait_for(step.wait(), seconds)
    except TimeoutError:
        subject.failure = f"{what} took more than {seconds:.0f} s"
        return False
    return True


async def measure(subject: Subject, start: Start) -> None:
    try:
        async with running(subject, "server", str(subject.port)):
            if await reach(subject, subject.is_ready, READY_S, "its server's start"):
                await measure_client(subject, start)
    finally:
        start.arrive(subject.name)


async def measure_client(subject: Subject, start: Start) -> None:
    async with await FaultProxy.start(subject.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}"
        rate = (str(BURST), str(RATE), str(STEADY_S))
        async with running(subject, "client", url, *rate) as client:
            if not await reach(subject, subject.is_burst, BURST_S, f"a burst of {BURST} messages"):
                return
            start.arrive(subject.name)
            await start.wait()
            assert client.stdin is not None
            client.stdin.write(b"go\n")
            await client.stdin.drain()
            await run_script(subject, proxy, time.monotonic())
            await reach(subject, subject.is_done, STEADY_S + GRACE_S, "proving the last message")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def run(report: Report, names: list[str]) -> list[Subject]:
    subjects = [Subject(name, free_port()) for name in names]
    start = Start(names)
    async with asyncio.TaskGroup() as group:
        for subject in subjects:
            group.create_task(measure(subject, start))
    for subject in subjects:
        if subject.failure:
            print(f"faults: {subject.name}: {subject.failure}", file=sys.stderr)
        if not subject.faults:
            continue
        recoveries = subject.recoveries()
        report.add("faults", subject.name, "sent", len(subject.sent), "messages")
        report.add("faults", subject.name, "lost", subject.lost, "messages")
        report.add("faults", subject.name, "duplicated", subject.duplicated, "messages")
        report.add("faults", subject.name, "reordered", subject.reordered, "messages")
        report.add("faults", subject.name, "throughput", subject.throughput(), "messages/s")
        report.add("faults", subject.name, "recover_mean", sum(recoveries) / len(recoveries), "s")
        report.add("faults", subject.name, "recover_worst", max(recoveries), "s")
    return subjects
