"""The blocking face, with the server in a thread."""

from __future__ import annotations

import asyncio
import threading

from leak_util import echo_server, repeat
from steadwire import sync

ready, done = threading.Event(), threading.Event()
urls: list[str] = []


def serve() -> None:
    async def run() -> None:
        async with echo_server() as url:
            urls.append(url)
            ready.set()
            await asyncio.to_thread(done.wait)

    asyncio.run(run())


async def once() -> None:
    with sync.connect(urls[0]) as conn:
        conn.post_many([b"x"] * 50)
        for _ in range(50):
            conn.recv(timeout=5)


thread = threading.Thread(target=serve)
thread.start()
ready.wait()
try:
    asyncio.run(repeat(once, 150))
finally:
    done.set()
    thread.join()
