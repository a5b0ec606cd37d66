"""Servers with sessions on free ports, and steadwire's own client at the other end of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import steadwire
from steadwire.server import Sessions
from websockets.asyncio.server import serve


@contextlib.asynccontextmanager
async def node(sessions: Sessions, port: int = 0) -> AsyncIterator[int]:
    """A server of `websockets`, drained at the end; its port."""
    async with serve(
        sessions.websockets,
        "127.0.0.1",
        port,
        subprotocols=sessions.subprotocols,
        select_subprotocol=sessions.select_subprotocol,
        process_request=sessions.process_request,
    ) as server:
        yield server.sockets[0].getsockname()[1]
        await sessions.drain(timeout=1)


def connecting(*ports: int, **options: Any) -> steadwire.connect:
    """A client of these ports that comes back soon."""
    urls = [f"ws://127.0.0.1:{port}" for port in ports]
    return steadwire.connect(urls, profile="session", retry_window=0.02, retry_cap=0.1, **options)


async def collect(conn: Any, into: list[Any], count: int) -> None:
    """Adds what arrives, until there are `count`."""
    async for message in conn:
        into.append(message.data)
        if len(into) == count:
            return
