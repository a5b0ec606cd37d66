"""One of several nodes: sessions in Redis, and each message's effect in the same transaction.

usage: server_redis.py REDIS_URL [PORT]

Start two behind one address and end them in turn: clients go on at the other node.
"""

import asyncio
import signal
import sys

from redis.asyncio import from_url
from steadwire.server import Session, Sessions
from steadwire.server.redis_store import RedisStore
from websockets.asyncio.server import serve


async def keep(session: Session) -> None:
    async for message in session:
        async with message.transaction() as pipe:
            pipe.rpush("journal", message.data)
            await session.send("kept")


async def main(url: str, port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = from_url(url)
    sessions = Sessions(keep, RedisStore(client), plain=False)
    async with serve(
        sessions.websockets,
        "127.0.0.1",
        port,
        subprotocols=sessions.subprotocols,
        process_request=sessions.process_request,
    ) as server:
        print("listening", *server.sockets[0].getsockname(), flush=True)
        await stop.wait()
        server.close(close_connections=False)
        await sessions.drain(spread=1.0)
    await client.aclose()


asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8765))
