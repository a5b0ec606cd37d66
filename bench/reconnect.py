"""`./dev bench reconnect`: how soon a fault is noticed, and the conn back, on real sockets.

  reset      both ends get a RST
  stopped    the server's process is stopped (SIGSTOP): its kernel goes on acknowledging
  blackhole  nothing gets through any more, in either direction
  address    the client's address goes and another one comes, between two network namespaces
  drain      a planned restart: the next server starts, the present one is told to go (SIGTERM)
  herd       1,000 clients of a server with room for 50 a second are dropped (reconnect_herd.py)
  heartbeat  2,000 conns that only beat, once a second: CPU for each heartbeat, beside the client of
             `websockets` with as many, in the same seconds

Noticed is the first change of state after the fault, restored the next `online`. Medians.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import redis
from peers.fault_proxy import FaultProxy
from peers.process import PeerProcess, start, start_echo
from reconnect_herd import measure_herd
from report import Report
from rich.console import Console

BENCH = Path(__file__).resolve().parent
INTERVAL_S, TIMEOUT_S = 1.0, 1.0
HEARTBEAT = (f"heartbeat_interval={INTERVAL_S}s", f"heartbeat_timeout={TIMEOUT_S}s")
SLOW_HEARTBEAT = ("heartbeat_interval=60s",)
SETTLED_S = 2.5  # a link that is up for 2 s counts as good
GUARD_S = 40.0
SAY_EACH_S = 0.01
NETWORK = "10.77.0"


@dataclass
class Change:
    old: str
    new: str
    cause: str
    at: float


class Host:
    """The process that holds the conn."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> list[str]:
        assert self.process.stdout is not None
        async with asyncio.timeout(GUARD_S):
            return (await self.process.stdout.readline()).decode().split()

    async def change(self, new: str | None = None) -> Change:
        """The next change of state, or the next into `new`."""
        while True:
            old, state, cause, at = await self.line()
            if new in (None, state):
                return Change(old, state, cause, float(at))


@contextlib.asynccontextmanager
async def host(url: str, *options: str, within: tuple[str, ...] = ()) -> AsyncIterator[Host]:
    """A host whose conn is online and good."""
    process = await asyncio.create_subprocess_exec(
        *within,
        sys.executable,
        str(BENCH / "reconnect_host.py"),
        url,
        *options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        found = Host(process)
        await found.change("online")
        await asyncio.sleep(SETTLED_S)
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def after(found: Host, at: float) -> tuple[float, float]:
    """Seconds from the fault until it was noticed, and until the conn was back."""
    noticed = await found.change()
    back = noticed if noticed.new == "online" else await found.change("online")
    return noticed.at - at, back.at - at


async def through_proxy(
    hurt: Callable[[FaultProxy, PeerProcess], Awaitable[float]], *options: str
) -> tuple[float, float]:
    async with await start_echo() as peer, await FaultProxy.start(peer.port) as proxy:
        async with host(f"ws://127.0.0.1:{proxy.port}/", *options) as found:
            return await after(found, await hurt(proxy, peer))


async def reset() -> tuple[float, float]:
    return await through_proxy(lambda proxy, _: proxy.reset(), *HEARTBEAT)


async def blackhole() -> tuple[float, float]:
    return await through_proxy(lambda proxy, _: proxy.blackhole(), *HEARTBEAT)


async def stopped() -> tuple[float, float]:
    """Restored is left out: a stopped server has nowhere to go to."""
    async with await start_echo() as peer:
        async with host(f"ws://127.0.0.1:{peer.port}/", *HEARTBEAT) as found:
            peer.stop()
            at = time.monotonic()
            noticed = await found.change()
            peer.resume()
            return noticed.at - at, float("nan")


# --- two network namespaces ----------------------------------------------------------------------


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """Two of them with a cable between; gives their names, the client's first."""
    near, far = (f"steadwire-{side}-{os.getpid()}" for side in ("near", "far"))
    ip("netns", "add", near)
    try:
        ip("netns", "add", far)
        ip(
            "-n",
            near,
            "link",
            "add",
            "cable",
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            far,
        )
        for name, address in ((near, f"{NETWORK}.1/24"), (far, f"{NETWORK}.9/24")):
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "addr", "add", address, "dev", "cable")
        yield near, far
    finally:
        for name in (near, far):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def may_make_namespaces() -> bool:
    with contextlib.suppress(OSError, subprocess.CalledProcessError), namespaces():
        return True
    return False


async def address() -> tuple[float, float]:
    with namespaces() as (near, far):
        command = ("ip", "netns", "exec", far, sys.executable, "-m", "peers.echo_server")
        async with await start([*command, "--host", f"{NETWORK}.9", "--port", "0"]) as peer:
            url, within = f"ws://{NETWORK}.9:{peer.port}/", ("ip", "netns", "exec", near)
            async with host(url, *SLOW_HEARTBEAT, within=within) as found:
                at = time.monotonic()
                ip("-n", near, "addr", "del", f"{NETWORK}.1/24", "dev", "cable")
                ip("-n", near, "addr", "add", f"{NETWORK}.2/24", "dev", "cable")
                return await after(found, at)


# --- a planned restart ----------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def redis_server() -> Iterator[tuple[str, redis.Redis]]:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/redis.sock"
        command = [
            "redis-server",
            "--port",
            "0",
            "--unixsocket",
            path,
            "--save",
            "",
            "--dir",
            folder,
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            with redis.Redis(unix_socket_path=path) as client:
                wait_for(client)
                yield f"unix://{path}", client
        finally:
            process.kill()
            process.wait()


def wait_for(client: redis.Redis) -> None:
    end = time.monotonic() + GUARD_S
    while True:
        try:
            client.ping()
            return
        except redis.ConnectionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


@dataclass
class Drain:
    down_s: float
    lost: int
    duplicated: int


async def drain() -> Drain:
    port = free_port()
    with redis_server() as (redis_url, client):
        node = [sys.executable, str(BENCH / "reconnect_node.py"), str(port), redis_url]
        async with await start(node) as first:
            url, options = f"ws://127.0.0.1:{port}/", ("profile=session", f"say={SAY_EACH_S}")
            async with host(url, *options) as found:
                async with await start(node):
                    first.process.send_signal(signal.SIGTERM)
                    await first.process.wait()
                    await asyncio.sleep(SETTLED_S)
                    assert found.process.stdin is not None
                    found.process.stdin.write(b"\n")
                    while (words := await found.line())[0] != "sent":
                        pass
        numbers = [int(number) for number in client.lrange("journal", 0, -1)]
    sent, down = int(words[1]), float(words[3])
    wanted = set(range(1, sent + 1))
    return Drain(down, len(wanted - set(numbers)), len(numbers) - len(set(numbers)))


# --- many conns that beat -------------------------------------------------------------------------

CONNS = 2000
BEATERS = ("steadwire", "websockets")
BEAT_S, WINDOW_S = 1.0, 4.0


@dataclass
class Usage:
    """Since the start: CPU seconds of the process and of its threads beside Python's; PINGs."""

    process: float
    threads: float
    pings: int


class Beater:
    """A process with many conns, and the server that they beat against."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.port = process, port

    async def line(self) -> list[str]:
        assert self.process.stdout is not None
        async with asyncio.timeout(GUARD_S):
            return (await self.process.stdout.readline()).decode().split()

    async def usage(self) -> Usage:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        _, process, threads = await self.line()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /count HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return Usage(float(process), float(threads), int(answer.rpartition(b"\r\n")[2]))


@contextlib.asynccontextmanager
async def beater(subject: str, conns: int, interval: float) -> AsyncIterator[Beater]:
    async with await start([sys.executable, str(BENCH / "reconnect_pongs.py")]) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(BENCH / "reconnect_beats.py"),
            subject,
            f"ws://127.0.0.1:{server.port}/",
            str(conns),
            str(interval),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            found = Beater(process, server.port)
            assert (await found.line())[0] == "up"
            yield found
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def windows(conns: int, interval: float, rounds: int) -> list[dict[str, Usage]]:
    """What each of them used in a window, the same for all."""
    async with contextlib.AsyncExitStack() as stack:
        beaters = {
            name: await stack.enter_async_context(beater(name, conns, interval)) for name in BEATERS
        }
        await asyncio.sleep(SETTLED_S)
        found, before = [], {name: await one.usage() for name, one in beaters.items()}
        for _ in range(rounds):
            await asyncio.sleep(WINDOW_S)
            after = {name: await one.usage() for name, one in beaters.items()}
            found.append({name: difference(after[name], before[name]) for name in BEATERS})
            before = after
    return found


def difference(after: Usage, before: Usage) -> Usage:
    return Usage(
        after.process - before.process, after.threads - before.threads, after.pings - before.pings
    )


def possible_conns() -> int:
    """As many as descriptors allow."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return CONNS if hard == resource.RLIM_INFINITY else min(CONNS, hard - 200)


async def measure_heartbeat(report: Report, rounds: int) -> None:
    """CPU above that of as many conns that do not beat."""
    conns = possible_conns()
    idle, beating = await windows(conns, 0, rounds), await windows(conns, BEAT_S, rounds)
    each: dict[str, list[float]] = {}
    for name in BEATERS:
        still = statistics.median(one[name].process for one in idle)
        each[name] = [(one[name].process - still) / one[name].pings * 1e6 for one in beating]
        report.add("heartbeat", name, "conns", conns, "conns")
        report.add("heartbeat", name, "cpu_us", statistics.median(each[name]), "us")
        report.add("heartbeat", name, "idle_us_per_s", still / WINDOW_S * 1e6, "us/s")
    still = statistics.median(one["steadwire"].threads for one in idle)
    engine = [(one["steadwire"].threads - still) / one["steadwire"].pings for one in beating]
    report.add("heartbeat", "steadwire", "engine_us", statistics.median(engine) * 1e6, "us")
    ratios = [a / b for a, b in zip(each["steadwire"], each["websockets"], strict=True)]
    report.add("heartbeat", "steadwire", "ratio_websockets", statistics.median(ratios), "x")
    report.add("heartbeat", "steadwire", "ratio_websockets_max", max(ratios), "x")


# --- the whole ------------------------------------------------------------------------------------

CASES: dict[str, Callable[[], Awaitable[tuple[float, float]]]] = {
    "reset": reset,
    "stopped": stopped,
    "blackhole": blackhole,
    "address": address,
}


async def measure(report: Report, case: str, rounds: int) -> None:
    pairs = [await CASES[case]() for _ in range(rounds)]
    noticed, restored = (statistics.median(values) for values in zip(*pairs, strict=True))
    report.add(case, "steadwire", "noticed_ms", noticed * 1e3, "ms")
    if restored == restored:
        report.add(case, "steadwire", "restored_ms", restored * 1e3, "ms")


async def measure_drain(report: Report, rounds: int) -> None:
    runs = [await drain() for _ in range(rounds)]
    report.add(
        "drain", "steadwire", "down_ms", statistics.median(r.down_s for r in runs) * 1e3, "ms"
    )
    report.add("drain", "steadwire", "lost", sum(r.lost for r in runs), "messages")
    report.add("drain", "steadwire", "duplicated", sum(r.duplicated for r in runs), "messages")


async def run(report: Report, wanted: list[str], rounds: int, console: Console) -> None:
    for case in wanted:
        console.print(f"{case}: {1 if case == 'herd' else rounds} rounds")
        if case == "herd":
            await measure_herd(report)
        elif case == "drain":
            await measure_drain(report, rounds)
        elif case == "heartbeat":
            await measure_heartbeat(report, rounds)
        elif case == "address" and not may_make_namespaces():
            console.print("address is skipped: network namespaces need root and ip(8)")
        else:
            await measure(report, case, rounds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*CASES, "drain", "heartbeat", "herd"]
    parser.add_argument("--only", action="append", choices=names, help="measure this case only")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="hold the figures against floors.toml")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    console, report = Console(), Report("reconnect")
    asyncio.run(run(report, options.only or names, options.rounds, console))
    return report.finish(console, options.json, options.check)


if __name__ == "__main__":
    sys.exit(main())
