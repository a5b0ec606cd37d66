"""Echo servers whose WebSocket layer is odd in a way that the `websockets` library cannot be: they
treat PING wrongly."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass, field

from peers import ws
from peers.journal import Journal


@dataclass
class QuirkyServer:
    """Echoes text and binary; answers no PING, or closes the connection when one comes.

    `close_on_ping` is None to ignore PINGs, a close code to close with, or 0 to abort the TCP
    connection.
    """

    journal: Journal
    close_on_ping: int | None = None
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until either side ends it."""
        number = next(self._numbers)
        gone = (asyncio.IncompleteReadError, ConnectionError, ValueError)
        with contextlib.suppress(*gone):
            writer.write(ws.switching(await ws.read_request(reader)))
            await self._echo(number, reader, writer)
        writer.close()

    async def _echo(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        kind, parts = ws.TEXT, b""
        while True:
            frame = await ws.read_frame(reader)
            if frame.opcode == ws.CLOSE:
                writer.write(ws.encode(ws.CLOSE, frame.payload))
                return
            if frame.opcode == ws.PING and self.close_on_ping is not None:
                self._refuse_ping(writer)
                return
            if frame.opcode in (ws.PING, ws.PONG):
                continue
            if frame.opcode != ws.CONTINUATION:
                kind, parts = frame.opcode, b""
            parts += frame.payload
            if frame.fin:
                self.journal.note(number, parts.decode() if kind == ws.TEXT else parts)
                writer.write(ws.encode(kind, parts))
                await writer.drain()

    def _refuse_ping(self, writer: asyncio.StreamWriter) -> None:
        if self.close_on_ping:
            writer.write(ws.close(self.close_on_ping, "no pings"))
        else:
            writer.transport.abort()
