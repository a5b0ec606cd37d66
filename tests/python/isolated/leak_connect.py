"""Connecting and closing, in both faces, by hand and by being dropped."""

from __future__ import annotations

import asyncio

import steadwire
from leak_util import echo_server, repeat


async def main() -> None:
    async with echo_server() as url:

        async def closed() -> None:
            async with steadwire.connect(url, headers={"X-A": "b"}) as conn:
                conn.opening["a"] = "b"
                await conn.recv(timeout=5)

        async def dropped() -> None:
            conn = await steadwire.connect(url)
            del conn
            await asyncio.sleep(0)

        async def abandoned() -> None:
            conn = await steadwire.connect(url, wait=False)
            conn.post("x")
            conn.abandon()

        await repeat(closed, 200)
        await repeat(dropped, 200)
        await repeat(abandoned, 300)


asyncio.run(main())
