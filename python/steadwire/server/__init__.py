"""Sessions for Python's WebSocket servers: clients resume, messages arrive once.

    async def handler(session):
        async for message in session:
            await session.send(message.data)

    sessions = Sessions(handler)
    async with websockets.asyncio.server.serve(
        sessions.websockets, host, port,
        subprotocols=sessions.subprotocols, select_subprotocol=sessions.select_subprotocol,
        process_request=sessions.process_request,
    ): ...

`process_request` turns clients away, with a time to come back, that there is no room for.
`sessions.asgi` is an ASGI application to mount, `sessions.endpoint` the endpoint of a route of
Starlette or FastAPI. With a `RedisStore` a client goes on at
another node.
"""

from steadwire.server._link import Link, LinkLost
from steadwire.server._message import Gap, Message
from steadwire.server._plain import PlainSession, SessionEnded
from steadwire.server._session import Session
from steadwire.server._sessions import Sessions
from steadwire.server.store import FencedError, MemoryStore, Store

__all__ = [
    "FencedError",
    "Gap",
    "Link",
    "LinkLost",
    "MemoryStore",
    "Message",
    "PlainSession",
    "Session",
    "SessionEnded",
    "Sessions",
    "Store",
]
