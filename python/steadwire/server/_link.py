"""One WebSocket of a server, whoever serves it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
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

    def is_gone(self) -> bool:
        """The peer has left, as far as is known without waiting."""
        ...

    async def wait_gone(self) -> None:
        """Returns when the peer has left; may be cancelled."""
        ...


_GONE_STATES = (7, 8)  # of tcpi_state: TCP_CLOSE (reset), TCP_CLOSE_WAIT (the peer's FIN is here)


def _has_left(transport: asyncio.BaseTransport) -> bool:
    """What the kernel knows already; the loop hears of it in its next turn, which may be far."""
    tcp = transport.get_extra_info("socket")
    if transport.is_closing() or tcp is None or tcp.family == socket.AF_UNIX:
        return transport.is_closing()
    try:
        info: bytes = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except (OSError, AttributeError):  # closed meanwhile, or a system that does not tell
        return bool(tcp.fileno() < 0)
    return info[0] in _GONE_STATES


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

    def is_gone(self) -> bool:
        return _has_left(self._connection.transport)

    async def wait_gone(self) -> None:
        await self._connection.wait_closed()


class AsgiLink:
    """An ASGI websocket. That its client has left is an event like its messages: one is read ahead
    where somebody asks."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._ahead: asyncio.Task[MutableMapping[str, Any]] | None = None
        self._is_closed = False

    async def recv(self) -> str | bytes:
        event = await self._next()
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
        if self._ahead is not None:
            self._ahead.cancel()
        if not self._is_closed:
            self._is_closed = True
            with contextlib.suppress(OSError, RuntimeError):
                await self._send({"type": "websocket.close", "code": code, "reason": text})

    def is_gone(self) -> bool:
        ahead = self._ahead
        if ahead is not None and ahead.done() and not ahead.cancelled():
            self._is_closed = self._is_closed or _is_end(ahead)
        return self._is_closed

    async def wait_gone(self) -> None:
        await asyncio.wait({self.look_ahead()})
        if not self.is_gone():  # a message lies before the end: nothing can be known of that
            await asyncio.get_running_loop().create_future()

    def look_ahead(self) -> asyncio.Task[MutableMapping[str, Any]]:
        """Asks for the next event, which `recv` then takes."""
        if self._ahead is None:
            self._ahead = asyncio.ensure_future(self._read())
        return self._ahead

    async def _read(self) -> MutableMapping[str, Any]:
        return await self._receive()

    async def _next(self) -> MutableMapping[str, Any]:
        if self._ahead is None:
            return await self._receive()
        event = await asyncio.shield(self._ahead)
        self._ahead = None
        return event


def _is_end(ahead: asyncio.Task[MutableMapping[str, Any]]) -> bool:
    return ahead.exception() is not None or ahead.result()["type"] != "websocket.receive"
