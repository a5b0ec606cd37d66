"""A server of the library `websockets` that does what a message tells it to do.

`{"do": "ping"}` answers `pong in MS` once its PING was answered, `{"do": "fragments", "text": T,
"times": N, "sizes": [..]}` sends N times T in fragments, `{"do": "close", "code": C, "reason": R}`
closes, `{"do": "codes"}` answers the close codes of earlier connections. Everything else is echoed.
Prints `ready PORT`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

CODES: list[int | None] = []


def pieces(data: str, sizes: Sequence[int]) -> Iterator[str]:
    """The data cut into pieces of these sizes, and what is left."""
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


async def obey(conn: ServerConnection, order: dict[str, Any]) -> None:
    """Does one thing."""
    if order["do"] == "ping":
        began = time.monotonic()
        await (await conn.ping(b"are you there?"))
        await conn.send(f"pong in {1000 * (time.monotonic() - began):.1f}")
    elif order["do"] == "fragments":
        text = order["text"] * order.get("times", 1)
        await conn.send(list(pieces(text, order["sizes"])))
    elif order["do"] == "codes":
        await conn.send(json.dumps(CODES))
    else:
        await conn.close(order["code"], order["reason"])


async def handle(conn: ServerConnection) -> None:
    """Serves one connection."""
    async for message in conn:
        if isinstance(message, str) and message.startswith('{"do"'):
            await obey(conn, json.loads(message))
        else:
            await conn.send(message)
    CODES.append(conn.close_code)


async def main() -> None:
    """Serves until the process is killed."""
    cli = argparse.ArgumentParser()
    cli.add_argument("--pem", type=Path)
    tls = None
    pem = cli.parse_args().pem
    if pem:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem)
    server = await serve(handle, "127.0.0.1", 0, ssl=tls)
    print("ready", next(iter(server.sockets)).getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
