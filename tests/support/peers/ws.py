"""The server half of RFC 6455 in raw bytes, for peers that must be able to misbehave.

Nothing is checked on the way out: a caller may ask for reserved bits, wrong lengths or masks.
`Borders` follows a stream of frames only far enough to know where one ends and the next begins.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
HEAD_LIMIT = 64 * 1024
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True)
class Request:
    """One HTTP request head; header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Frame:
    """One frame as received, already unmasked."""

    opcode: int
    payload: bytes
    fin: bool
    masked: bool

    @property
    def close_code(self) -> int | None:
        """The code of a CLOSE frame; None for one without a code and for other frames."""
        if self.opcode != CLOSE or len(self.payload) < 2:
            return None
        return int.from_bytes(self.payload[:2], "big")


def parse_head(head: bytes) -> Request:
    """Parses a request head that ends in an empty line; raises ValueError for anything else."""
    lines = head.decode("latin-1").split("\r\n")
    method, target, _version = lines[0].split(" ", 2)
    pairs = (line.split(":", 1) for line in lines[1:] if line)
    return Request(method, target, {name.strip().lower(): value.strip() for name, value in pairs})


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Reads one request head from the stream."""
    return parse_head(await reader.readuntil(b"\r\n\r\n"))


def accept_key(key: str) -> str:
    """The Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def response(status: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    """An HTTP/1.1 response; `status` is for example `503 Service Unavailable`."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def switching(request: Request, extra: Iterable[tuple[str, str]] = ()) -> bytes:
    """The 101 answer to an upgrade request, with headers added behind the required ones."""
    key = accept_key(request.headers.get("sec-websocket-key", ""))
    required = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", key)]
    return response("101 Switching Protocols", [*required, *extra])


def encode(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
    length: int | None = None,
) -> bytes:
    """One frame. `rsv` is 0 to 7, `mask` four bytes, `length` a length to announce instead of the
    true one."""
    size = len(payload) if length is None else length
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    flag = 0x80 if mask else 0
    if size < 126:
        head = bytes([first, flag | size])
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, flag | 126, size)
    else:
        head = struct.pack("!BBQ", first, flag | 127, size)
    if mask:
        return head + mask + unmask(payload, mask)
    return head + payload


def close(code: int, reason: str = "") -> bytes:
    """A CLOSE frame."""
    return encode(CLOSE, struct.pack("!H", code) + reason.encode())


def unmask(payload: bytes, mask: bytes) -> bytes:
    """Applies a mask; applying it twice gives the payload back."""
    size = len(payload)
    stream = (mask * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return mixed.to_bytes(size, "big")


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Reads one frame; raises asyncio.IncompleteReadError at the end of the stream."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    elif size == 127:
        size = int.from_bytes(await reader.readexactly(8), "big")
    masked = bool(second & 0x80)
    mask = await reader.readexactly(4) if masked else b"\0\0\0\0"
    payload = await reader.readexactly(size)
    return Frame(first & 0x0F, unmask(payload, mask), bool(first & 0x80), masked)


@dataclass
class Borders:
    """Where frames end in one direction of a WebSocket connection, from the first byte of its HTTP
    head on.

    `feed` consumes a chunk up to the first border inside it and says how many bytes that was, so
    that a caller can insert something there. `at_border` is true between frames and false inside
    the HTTP head.
    """

    _head: bytearray = field(default_factory=bytearray)
    _in_http: bool = True
    _left: int = 0

    @property
    def at_border(self) -> bool:
        """Whether a frame could begin at this point of the stream."""
        return not self._in_http and self._left == 0 and not self._head

    @property
    def upgraded(self) -> bool:
        """Whether the HTTP head has been passed."""
        return not self._in_http

    def feed(self, data: bytes | memoryview) -> int:
        """Consumes bytes up to and including the next border, or all of them; answers how many."""
        used = 0
        while used < len(data):
            if self._left:
                step = min(self._left, len(data) - used)
                self._left -= step
                used += step
            else:
                self._head.append(data[used])
                used += 1
                self._open_head()
            if self.at_border:
                break
        return used

    def _open_head(self) -> None:
        if self._in_http:
            if self._head.endswith(b"\r\n\r\n"):
                self._in_http = False
                self._head.clear()
            elif len(self._head) > HEAD_LIMIT:
                raise ValueError("no end of the HTTP head")
            return
        size = self._payload_size()
        if size is not None:
            self._left = size
            self._head.clear()

    def _payload_size(self) -> int | None:
        head = self._head
        if len(head) < 2:
            return None
        short = head[1] & 0x7F
        extended = {126: 2, 127: 8}.get(short, 0)
        mask = 4 if head[1] & 0x80 else 0
        if len(head) < 2 + extended + mask:
            return None
        return int.from_bytes(head[2 : 2 + extended], "big") if extended else short
