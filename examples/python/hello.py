"""Sends a few messages and waits until the server has proven to have them.

usage: hello.py [URL]      URL is that of an echo server
"""

import asyncio
import sys

import steadwire


async def main(url: str) -> None:
    async with steadwire.connect(url) as conn:
        for number in range(3):
            receipt = await conn.send(f"hello {number}")
            print("sent", receipt.id)
        await receipt.wait("received", timeout=10)
        for _ in range(3):
            message = await conn.recv(timeout=10)
            print("got", message.data)
        print("round trip", conn.view().rtt, "s")


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8765/"))
