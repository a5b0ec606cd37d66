"""A node of the tests: each message is appended to a list of Redis in the transaction that takes
it, and answered there. `session_node.py REDIS_URL`, prints "listening HOST PORT".
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import redis.asyncio
import websockets
from steadwire.server import Sessions
from steadwire.server.redis_store import RedisStore


async def keep(session: Any) -> None:
    async for message in session:
        async with message.transaction() as pipe:
            pipe.rpush("journal", message.data)
            await session.send(f"kept {message.data}")


async def main(redis_url: str) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    sessions = Sessions(keep, RedisStore(redis.asyncio.from_url(redis_url)))
    async with websockets.serve(
        sessions.websockets, "127.0.0.1", 0, subprotocols=sessions.subprotocols
    ) as server:
        print("listening", *next(iter(server.sockets)).getsockname(), flush=True)
        await stopped.wait()
        server.close(close_connections=False)
        await sessions.drain(spread=0.3)


asyncio.run(main(sys.argv[1]))
