"""The clients of the herd of `./dev bench reconnect`: KIND PORT COUNT EACH are its arguments.

They come EACH seconds apart, each to an address of its own (127.0.0.1, 127.0.0.2 ...): conns of one
engine share what they may spend on failed attempts at an endpoint, and clients of a fleet do not.
`steadwire` are conns of one engine, `websockets` the library's own `async for connection in
connect(url)`. Prints `online` once all are; then, when all have lost their link and are back, or
when a line comes on its standard input, JSON: the moments when they were back (time.monotonic()),
and the attempts of all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import resource
import sys
import time
from typing import Any

import steadwire
from steadwire.events import StateChanged
from steadwire.words import State
from websockets.asyncio.client import connect
from websockets.client import process_exception

OPTIONS: dict[str, Any] = {"profile": "session", "retry_window": 4.0}


class Herd:
    def __init__(self, port: int, count: int) -> None:
        self.port = port
        self.count = count
        self.online = 0
        self.attempts = 0
        self.back: list[float] = []
        self.all_online = asyncio.Event()
        self.all_back = asyncio.Event()

    def url(self, number: int) -> str:
        return f"ws://127.0.{number // 250}.{number % 250 + 1}:{self.port}/"

    def came(self) -> None:
        self.online += 1
        if self.online == self.count:
            self.all_online.set()

    def came_back(self, at: float) -> None:
        self.back.append(at)
        if len(self.back) == self.count:
            self.all_back.set()


async def ours(herd: Herd, url: str) -> None:
    conn: Any = await steadwire.connect(url, wait=False, **OPTIONS)
    try:
        events = conn.events(StateChanged)
        before, is_back = 0, False
        async for event in events:
            if event.new is State.ONLINE and herd.online < herd.count:
                herd.came()
                before = conn.stats()["attempts"]
            elif event.new is State.ONLINE and not is_back:
                is_back = True
                herd.came_back(event.at)
    finally:
        herd.attempts += conn.stats()["attempts"] - max(before, 1)
        conn.abandon()


async def plain(herd: Herd, url: str) -> None:
    times = 0

    def failed(error: Exception) -> Exception | None:
        herd.attempts += times > 0
        return process_exception(error)

    async for link in connect(url, process_exception=failed):
        times += 1
        if times == 1:
            herd.came()
        else:
            herd.attempts += 1
        if times == 2:
            herd.came_back(time.monotonic())
        await link.wait_closed()


async def main(kind: str, port: int, count: int, each: float) -> None:
    herd = Herd(port, count)
    one = ours if kind == "steadwire" else plain
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(one(herd, herd.url(number))))
        await asyncio.sleep(each)
    await herd.all_online.wait()
    print("online", flush=True)
    told = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    ending = asyncio.ensure_future(herd.all_back.wait())
    await asyncio.wait({told, ending}, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps({"back": herd.back, "attempts": herd.attempts}), flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await told


logging.getLogger("websockets").setLevel(logging.CRITICAL)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
