"""The server of the case `heartbeat` of `./dev bench reconnect`: answers PINGs and counts them.

Prints `ready PORT`; `GET /count` answers how many PINGs have come. A raw protocol, so that a few
thousand conns cost it little: the clients are measured, not this.
"""

from __future__ import annotations

import asyncio

from peers import ws

PONG = bytes([0x80 | ws.PONG])
MASK_BYTES = 4
CONTROL_MAX = 125


class Server:
    def __init__(self) -> None:
        self.pings = 0


class Conn(asyncio.Protocol):
    """One client: a request, then control frames (anything longer ends it)."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.data = b""
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self.is_open and not self.take_request():
            return
        while len(self.data) >= 2 and self.take_frame():
            pass

    def take_request(self) -> bool:
        head, end, self.data = self.data.rpartition(b"\r\n\r\n")
        if not end:
            return False
        request = ws.parse_head(head + end)
        if request.target == "/count":
            body = str(self.server.pings).encode()
            self.transport.write(b"HTTP/1.0 200 OK\r\n\r\n" + body)
            self.transport.close()
        else:
            self.transport.write(ws.switching(request))
            self.is_open = True
        return self.is_open

    def take_frame(self) -> bool:
        size = self.data[1] & 0x7F
        end = 2 + MASK_BYTES + size
        if size > CONTROL_MAX:
            self.transport.abort()
        if len(self.data) < end or size > CONTROL_MAX:
            return False
        opcode, mask = self.data[0] & 0x0F, self.data[2:6]
        payload, self.data = self.data[6:end], self.data[end:]
        if opcode == ws.PING:
            self.server.pings += 1
            clear = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
            self.transport.write(PONG + bytes([size]) + clear)
        elif opcode == ws.CLOSE:
            self.transport.close()
        return True


async def main() -> None:
    state = Server()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conn(state), "127.0.0.1", 0, backlog=4096)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
