"""The clients of the case `heartbeat` of `./dev bench reconnect`: many conns that only beat.

`reconnect_beats.py steadwire|websockets URL CONNS INTERVAL`, an interval of 0: none. Once all are
up it prints `up CONNS`, and for each line on its standard input the CPU it has used, in seconds:
`cpu PROCESS THREADS`, the second without the thread that runs Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import steadwire
import websockets

AT_ONCE = 50
OPEN_S = 60.0


@contextlib.asynccontextmanager
async def ours(url: str, interval: float) -> AsyncIterator[Any]:
    beat = {"heartbeat_interval": interval} if interval else {"heartbeat": "off"}
    async with steadwire.connect(url, connect_timeout=OPEN_S, close_timeout=0, **beat) as conn:
        yield conn


def theirs(url: str, interval: float) -> AbstractAsyncContextManager[Any]:
    return websockets.connect(url, ping_interval=interval or None, open_timeout=OPEN_S)


def used() -> tuple[float, float]:
    python = threads = 0.0
    for task in Path("/proc/self/task").iterdir():
        seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
        if int(task.name) == os.getpid():
            python += seconds
        else:
            threads += seconds
    return python + threads, threads


async def tell() -> None:
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print("cpu", *used(), flush=True)


async def main(subject: str, url: str, count: int, interval: float) -> None:
    connect: Callable[[str, float], AbstractAsyncContextManager[Any]]
    connect = ours if subject == "steadwire" else theirs
    gate = asyncio.Semaphore(AT_ONCE)
    async with contextlib.AsyncExitStack() as stack:

        async def open_one() -> None:
            async with gate:
                await stack.enter_async_context(connect(url, interval))

        began = time.monotonic()
        await asyncio.gather(*(open_one() for _ in range(count)))
        print("up", count, time.monotonic() - began, flush=True)
        await tell()
        os._exit(0)  # closing takes longer than the measurement


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
