"""Sessions behind Starlette and uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
import websockets
from session_peer import ScriptedClient
from starlette.applications import Starlette
from starlette.routing import Mount
from steadwire.server import Sessions


async def echo(session: Any) -> None:
    async for message in session:
        await session.send(message.data)


@contextlib.asynccontextmanager
async def serving(sessions: Sessions) -> AsyncIterator[str]:
    routes = [Mount("/feed", sessions.asgi)]
    config = uvicorn.Config(
        Starlette(routes=routes), log_level="warning", lifespan="off", ws="websockets-sansio"
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([listener]))
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0)
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/feed/"
        finally:
            await sessions.drain(timeout=0.2)
            server.should_exit = True
            await task


async def test_sessions_over_asgi() -> None:
    async with serving(Sessions(echo)) as url:
        client = ScriptedClient(url)
        await client.open()
        await client.send("text")
        await client.send(b"bytes")
        await client.until(lambda: len(client.inbox) == 2 and client.acked[0] == 2)
        client.drop()
        await client.open()
        assert client.welcome["st"] == 2
        await client.send("again")
        await client.until(lambda: client.inbox[-1] == (0, 3, "again"))
        await client.write([3, 0, 9, 0, b"skips"])
        assert await client.until_closed() == 4400


async def test_plain_clients_over_asgi() -> None:
    async with serving(Sessions(echo)) as url, websockets.connect(url) as link:
        await link.send("plain")
        assert await link.recv() == "plain"
