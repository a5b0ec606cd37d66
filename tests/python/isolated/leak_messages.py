"""Messages, receipts, batches, codecs, events and outbox listings."""

from __future__ import annotations

import asyncio

import steadwire
from leak_util import echo_server, repeat


async def main() -> None:
    async with echo_server() as url, steadwire.connect(url) as conn:
        events = conn.events()

        async def batch() -> None:
            conn.post_many([b"x" * 1000] * 100)
            count = 0
            async for some in conn.batches(raw=True):
                count += len(some)
                if count == 100:
                    break

        async def single() -> None:
            for _ in range(20):
                conn.post("x" * 100, key="k", ttl=5)
                message = await conn.recv(timeout=5)
                assert message.json if message.is_text else None
            list(conn.outbox)
            conn.view()
            conn.stats()

        async def refused() -> None:
            for wrong in (object(), [1]):
                try:
                    conn.post(wrong)
                except TypeError:
                    pass
            try:
                conn.post_many([b"x", None])
            except TypeError:
                pass
            try:
                steadwire.connect(url, heartbeat_interval="never")
            except steadwire.ConfigError:
                pass

        await repeat(batch, 300)
        await repeat(single, 100)
        await repeat(refused, 1000)
        assert events.dropped == 0


asyncio.run(main())
