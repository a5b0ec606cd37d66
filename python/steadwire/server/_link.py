"""One WebSocket of a server, whoever serves it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Protocol

from steadwire.errors import SessionProtocolError

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class LinkLost(Exception):
    """The peer is gone."""


class Link(Protocol):
    """What the sessions need of a WebSocket."""

    async def recv(self) -> str | bytes:
        """The next message; LinkLost at the end."""
        ...

    async def send(self, data: str | bytes) -> None: ...

    async def close(self, code: int, text: str) -> None:
        """Never raises; what is closed stays closed."""
        ...


async def frame_of(link: Link) -> bytes:
    """The next frame of steadwire.v1; LinkLost, SessionProtocolError for a text message."""
    data = await link.recv()
    if isinstance(data, str):
        raise SessionProtocolError("a text message on a link of steadwire.v1")
    return data


class WebsocketsLink:
    """A connection of the library `websockets`."""

    def __init__(self, connection: ServerConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        self._connection = connection
        self._closed = ConnectionClosed

    async def recv(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except self._closed as error:
            raise LinkLost(str(error)) from error

    async def send(self, data: str | bytes) -> None:
        try:
            await self._connection.send(data)
        except self._closed as error:
            raise LinkLost(str(error)) from error

    async def close(self, code: int, text: str) -> None:
        await self._connection.close(code, text)


class AsgiLink:
    """An ASGI websocket, accepted."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_closed = False

    async def recv(self) -> str | bytes:
        event = await self._receive()
        if event["type"] != "websocket.receive":
            self._is_closed = True
            raise LinkLost(f"closed with {event.get('code', 1005)}")
        text: str | None = event.get("text")
        data: bytes | None = event.get("bytes")
        return text if text is not None else bytes(data or b"")

    async def send(self, data: str | bytes) -> None:
        if self._is_closed:
            raise LinkLost("closed")
        key = "text" if isinstance(data, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", key: data})
        except (OSError, RuntimeError) as error:
            self._is_closed = True
            raise LinkLost(str(error)) from error

    async def close(self, code: int, text: str) -> None:
        if not self._is_closed:
            self._is_closed = True
            with contextlib.suppress(OSError, RuntimeError):
                await self._send({"type": "websocket.close", "code": code, "reason": text})
