"""A server with sessions: what a client sends arrives once, over lost links and restarts of it.

usage: server.py [PORT]      0: any free port; SIGTERM asks the clients to move and ends
"""

import asyncio
import signal
import sys

from steadwire.server import Session, Sessions
from websockets.asyncio.server import serve


async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message.data, message.lane)


async def main(port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    sessions = Sessions(echo)
    async with serve(
        sessions.websockets,
        "127.0.0.1",
        port,
        subprotocols=sessions.subprotocols,
        select_subprotocol=sessions.select_subprotocol,
        process_request=sessions.process_request,
    ) as server:
        print("listening", *server.sockets[0].getsockname(), flush=True)
        await stop.wait()
        server.close(close_connections=False)  # nobody new, and the present ones stay
        await sessions.drain(spread=1.0)


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8765))
