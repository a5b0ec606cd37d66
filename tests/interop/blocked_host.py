"""A Python host that is busy in C code holding the GIL for a while: no Python code runs meanwhile.

usage: blocked_host.py URL SECONDS TAIL [--opening MESSAGE]... [OPTION=VALUE]...

Prints what happens, a line each: `blocking T`, `free T`, `state NEW CAUSE`, `gap REASON KNOWN
MESSAGES`, `message LINK T DATA`, `end ATTEMPTS`. Times are those of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import time

import steadwire
from steadwire.events import Event, Gap, StateChanged

WARM_S = 0.5


def block(seconds: float) -> None:
    """Sleeps in C without letting go of the GIL."""
    ctypes.PyDLL(None).usleep(ctypes.c_uint(round(seconds * 1e6)))


def describe(item: steadwire.Message | Event) -> str:
    """One line."""
    if isinstance(item, steadwire.Message):
        return f"message {item.link} {item.received_at:.6f} {item.data!s}"
    if isinstance(item, StateChanged):
        return f"state {item.new} {item.cause}"
    if isinstance(item, Gap):
        return f"gap {item.reason} {item.known} {item.messages}"
    return f"other {item.kind}"


async def tell(stream: steadwire.aio.Stream, seconds: float) -> None:
    """Prints what comes for a time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for item in stream:
                print(describe(item))


async def main() -> None:
    """Connects, blocks, and tells the rest."""
    cli = argparse.ArgumentParser()
    cli.add_argument("url")
    cli.add_argument("seconds", type=float)
    cli.add_argument("tail", type=float, help="seconds to go on after")
    cli.add_argument("--opening", action="append", default=[])
    cli.add_argument("options", nargs="*")
    given = cli.parse_intermixed_args()
    options = dict(option.split("=", 1) for option in given.options)
    conn = await steadwire.connect(given.url, wait=False, **options)
    stream = conn.stream()
    for key, message in enumerate(given.opening):
        conn.opening[str(key)] = message
    await conn.wait_online(10)
    await tell(stream, WARM_S)
    print(f"blocking {time.monotonic():.6f}", flush=True)
    block(given.seconds)
    print(f"free {time.monotonic():.6f}")
    await tell(stream, given.tail)
    print(f"end {conn.stats()['attempts']}", flush=True)
    conn.abandon()


if __name__ == "__main__":
    asyncio.run(main())
