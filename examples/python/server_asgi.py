"""Sessions at a route of Starlette: `uvicorn server_asgi:app` in this folder.

FastAPI takes the same endpoint, in a function of its own: see docs/server.md.
"""

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from steadwire.server import Session, Sessions


async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message.data, message.lane)


sessions = Sessions(echo)


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    yield
    await sessions.drain()


app = Starlette(routes=[WebSocketRoute("/feed", sessions.endpoint)], lifespan=lifespan)
