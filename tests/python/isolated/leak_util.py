"""What the leak scripts share: a server in this process, and a measure of what is left.

Each script runs in a process of its own, repeats one thing many times and fails if descriptors,
threads or memory grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from websockets.asyncio.server import ServerConnection, serve

QUIET = logging.getLogger("isolated.quiet")
QUIET.propagate = False
QUIET.addHandler(logging.NullHandler())
WARM_UP = 30
# AddressSanitizer keeps freed memory for a while: then only the rest is measured.
IS_MEMORY_MEASURED = "asan" not in os.environ.get("LD_PRELOAD", "")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


@asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    """An echo server in this loop; its URL."""

    async def echo(conn: ServerConnection) -> None:
        async for message in conn:
            await conn.send(message)

    async with serve(echo, "127.0.0.1", 0, logger=QUIET) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def resident_kib() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE_KIB


def descriptors() -> int:
    """How many descriptors are open."""
    return len(os.listdir("/proc/self/fd"))


class Use(NamedTuple):
    """What the process uses."""

    memory_kib: int
    descriptors: int
    threads: int
    objects: int


ANYTHING = Use(*[sys.maxsize] * 4)


def use() -> Use:
    """What the process uses now."""
    gc.collect()
    return Use(resident_kib(), descriptors(), threading.active_count(), len(gc.get_objects()))


async def repeat(
    once: Callable[[], Awaitable[None]], rounds: int, growth_kib_max: int = 1500
) -> None:
    """Runs `once` many times; SystemExit if something has grown and does not shrink again."""
    for _ in range(WARM_UP):
        await once()
    await settle(ANYTHING)
    before = use()
    most = Use(
        before.memory_kib + growth_kib_max if IS_MEMORY_MEASURED else sys.maxsize,
        before.descriptors + 2,
        before.threads,
        before.objects + rounds // 10 + 200,
    )
    for _ in range(rounds):
        await once()
    after = await settle(most)
    print("before", before, "after", after)
    grown = [name for name in Use._fields if getattr(after, name) > getattr(most, name)]
    if grown:
        raise SystemExit(f"{', '.join(grown)} grew")


async def settle(most: Use, deadline_s: float = 5.0) -> Use:
    """Lets the other end close its sockets too: waits for `most`, and at least for a moment."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_s
    never = asyncio.Event()
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(never.wait(), 0.1)
        now = use()
        fits = all(is_now <= limit for is_now, limit in zip(now, most, strict=True))
        if fits or loop.time() > end:
            return now
