"""A server of `./dev bench reconnect`: `reconnect_node.py PORT REDIS_URL`.

It shares its port, so that the next one can start before this one is told to go (SIGTERM); numbered
messages go to the list `journal` in the transaction that takes them.
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

SPREAD_S = 0.3


async def keep(session: Any) -> None:
    async for message in session:
        async with message.transaction() as pipe:
            pipe.rpush("journal", message.data)


async def main(port: int, redis_url: str) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    sessions = Sessions(keep, RedisStore(redis.asyncio.from_url(redis_url)))
    async with websockets.serve(
        sessions.websockets,
        "127.0.0.1",
        port,
        subprotocols=sessions.subprotocols,
        reuse_port=True,
    ) as server:
        print("ready", next(iter(server.sockets)).getsockname()[1], flush=True)
        await stopped.wait()
        server.close(close_connections=False)
        await sessions.drain(spread=SPREAD_S)


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
