"""The herd of `./dev bench reconnect`: all clients of a server that is small are dropped at once.

  steadwire          the server is told to go (SIGTERM) and says when to come back; the next starts
  steadwire-nohint   it is killed; the next one gives appointments to whom it has no room for
  websockets         as that, of the library `websockets` alone, with its own reconnecting clients

Behind the servers is the same directory that does `CAPACITY` logins a second. The peak is that of
the next server's fullest second; attempts are all, arrivals those that found it there; wasted are
logins done for clients that had left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.process import PeerProcess, start
from report import Report

BENCH = Path(__file__).resolve().parent
CLIENTS, CAPACITY = 1000, 50
RAMP = 0.8  # of the capacity, at the beginning
GUARD_S = 120.0
SUBJECTS = {
    "steadwire": ("steadwire", signal.SIGTERM),
    "steadwire-nohint": ("steadwire", signal.SIGKILL),
    "websockets": ("websockets", signal.SIGKILL),
}


@dataclass
class Herd:
    """What became of it; times from the drop on."""

    clients: int
    capacity: int
    back_s: list[float]
    attempts: int
    node: dict[str, int]

    def back_at(self, percent: float) -> float:
        """When so many were back; NaN: never."""
        wanted = max(1, round(self.clients * percent / 100))
        return self.back_s[wanted - 1] if len(self.back_s) >= wanted else float("nan")

    @property
    def attempts_per_client(self) -> float:
        return self.attempts / self.clients

    @property
    def arrivals_per_client(self) -> float:
        return self.node["arrivals"] / self.clients

    @property
    def peak_over_capacity(self) -> float:
        return self.node["peak"] / self.capacity


async def line_of(process: asyncio.subprocess.Process, guard: float = GUARD_S) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(guard):
        return (await process.stdout.readline()).decode()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def next_node(kind: str, port: int, capacity: int) -> PeerProcess:
    node = BENCH / "reconnect_herd_node.py"
    return await start([sys.executable, str(node), kind, str(port), str(capacity)])


async def drop(subject: str, clients: int = CLIENTS, capacity: int = CAPACITY) -> Herd:
    """Drops a herd that is online; ends when it is back, or after two minutes."""
    kind, how = SUBJECTS[subject]
    port = free_port()
    first = await next_node(kind, port, capacity)
    host = await asyncio.create_subprocess_exec(
        sys.executable,
        str(BENCH / "reconnect_herd_host.py"),
        *(kind, str(port), str(clients), str(1 / (RAMP * capacity))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        async with first:
            assert await line_of(host) == "online\n"
            dropped = time.monotonic()
            first.process.send_signal(how)
            await first.process.wait()
        async with await next_node(kind, port, capacity) as second:
            told = await came_back(host)
            second.process.terminate()
            figures = json.loads(await line_of(second.process))
    finally:
        with contextlib.suppress(ProcessLookupError):
            host.kill()
        await host.wait()
    back_s = sorted(at - dropped for at in told["back"])
    return Herd(clients, capacity, back_s, told["attempts"], figures)


async def came_back(host: asyncio.subprocess.Process) -> dict[str, Any]:
    reading = asyncio.ensure_future(line_of(host, 2 * GUARD_S))
    await asyncio.wait({reading}, timeout=GUARD_S)
    if not reading.done():
        assert host.stdin is not None
        host.stdin.write(b"\n")
    told: dict[str, Any] = json.loads(await reading)
    return told


async def measure_herd(report: Report) -> None:
    for subject in SUBJECTS:
        herd = await drop(subject)
        for name, value, unit in (
            ("peak_over_capacity", herd.peak_over_capacity, "x"),
            ("attempts_per_client", herd.attempts_per_client, ""),
            ("arrivals_per_client", herd.arrivals_per_client, ""),
            ("t50_s", herd.back_at(50), "s"),
            ("t99_s", herd.back_at(99), "s"),
            ("t100_s", herd.back_at(100), "s"),
            ("reconnected_pct", 100 * len(herd.back_s) / herd.clients, "%"),
            ("wasted", herd.node["wasted"], "logins"),
        ):
            report.add("herd", subject, name, value, unit)
