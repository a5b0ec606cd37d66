"""steadwire in `./dev bench delivery`: `server PORT`, or `client URL BURST RATE SECONDS`.

Default options, the session profile, and a durable outbox in a file of its own.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import steadwire
from steadwire.server import Sessions
from websockets.asyncio.server import serve as listen

PAYLOAD = b"x" * 256


def say(word: str, number: int) -> None:
    print(word, number, time.monotonic(), flush=True)


async def serve(port: int) -> None:
    async def take(session: steadwire.server.Session) -> None:
        async for message in session:
            say("got", int(message.data[:8]))

    sessions = Sessions(take)
    async with listen(sessions.websockets, "127.0.0.1", port, subprotocols=sessions.subprotocols):
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def send(url: str, burst: int, rate: float, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outbox = Path(folder, "outbox.db")
        async with steadwire.connect(url, outbox=outbox, profile="session") as conn:
            number = 0

            async def post() -> steadwire.Receipt:
                nonlocal number
                number += 1
                say("sent", number)
                return await conn.send(b"%08d" % number + PAYLOAD)

            receipts = [await post() for _ in range(burst)]
            await receipts[-1].wait("accepted")
            print("burst", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
            begin, sent = time.monotonic(), 0
            while (elapsed := time.monotonic() - begin) < seconds:
                receipt = await post()
                sent += 1
                await asyncio.sleep(max(0.0, sent / rate - elapsed))
            await receipt.wait("accepted")
    print("done", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(serve(int(sys.argv[2])))
    else:
        asyncio.run(send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])))
