"""The command `steadwire serve`: an echo or broadcast server with sessions, for trying out.

Exit code 0: ended by a signal, all clients asked to move; 2: wrong usage or options; 3: the address
or the store cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

from steadwire._units import seconds
from steadwire.errors import ConfigError
from steadwire.server import Message, SessionEnded, Sessions, Store

OK, USAGE, UNUSABLE = 0, 2, 3
PORT_MAX = 65535
SLOW_S = 1.0


def add_command(commands: Any) -> None:
    """Adds the command to a parser's commands."""
    command = commands.add_parser(
        "serve",
        help="an echo or broadcast server with sessions",
        description="Serves WebSockets, with steadwire.v1 and without. Each message goes back to "
        "its sender, or to all clients. Needs the extra: pip install 'steadwire[server]'.",
        epilog="Exit code: 0 ended by a signal, 2 wrong usage, 3 the address or store is unusable.",
    )
    command.add_argument("address", metavar="HOST:PORT", help="port 0: any free one")
    command.add_argument("--redis", metavar="URL", help="keep sessions there, not in memory")
    command.add_argument("--broadcast", action="store_true", help="send each message to all")
    command.add_argument(
        "--handshakes-per-second",
        type=_rate,
        metavar="N",
        help="let in so many clients, the others come later (measured)",
    )
    command.add_argument(
        "--after",
        metavar="TIME",
        help="at the end: this address is served again after it (other nodes take the clients)",
    )
    command.add_argument(
        "--spread",
        metavar="TIME",
        help="at the end: clients come back within it (what so many need)",
    )
    command.set_defaults(run=run)


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate < math.inf:
        raise ValueError(text)
    return rate


def run(arguments: argparse.Namespace) -> int:
    host, _colon, port = arguments.address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise ConfigError(f"{arguments.address}: write HOST:PORT, as in 127.0.0.1:8765")
    after, spread = (
        None if text is None else seconds(text, option)
        for text, option in ((arguments.after, "--after"), (arguments.spread, "--spread"))
    )
    try:
        asyncio.run(_serve(host.strip("[]"), int(port), arguments, after, spread))
    except ImportError as error:
        print(f"steadwire: {error}; pip install 'steadwire[server]'", file=sys.stderr)
        return UNUSABLE
    except OSError as error:
        print(f"steadwire: {arguments.address}: {error}", file=sys.stderr)
        return UNUSABLE
    return OK


class _Room:
    """What the clients say, to its sender or to all."""

    def __init__(self, is_broadcast: bool, is_durable: bool) -> None:
        self.is_broadcast = is_broadcast
        self.is_durable = is_durable
        self.sessions: set[Any] = set()

    async def handle(self, session: Any) -> None:
        self.sessions.add(session)
        try:
            async for message in session:
                if self.is_broadcast:
                    await self.tell_all(message)
                elif self.is_durable and message.number:
                    async with message.transaction():
                        await session.send(message.data, message.lane)
                else:
                    await session.send(message.data, message.lane)
        finally:
            self.sessions.discard(session)

    async def tell_all(self, message: Message) -> None:
        """Nobody waits for a slow client: its oldest give way, and a plain one is let go."""
        for one in list(self.sessions):
            try:
                async with asyncio.timeout(SLOW_S if one.is_plain else None):
                    await one.send(message.data, message.lane, wait=False)
            except SessionEnded:
                self.sessions.discard(one)
            except TimeoutError:
                self.sessions.discard(one)
                await one.close(1008, "too slow")


@contextlib.asynccontextmanager
async def _store(url: str | None) -> AsyncIterator[Store | None]:
    if url is None:
        yield None
        return
    from redis.asyncio import from_url
    from redis.exceptions import RedisError

    from steadwire.server.redis_store import RedisStore

    client = from_url(url)
    try:
        await client.ping()
        yield RedisStore(client)
    except RedisError as error:
        raise OSError(f"redis: {error}") from error
    finally:
        await client.aclose()


async def _serve(
    host: str, port: int, arguments: argparse.Namespace, after: float | None, spread: float | None
) -> None:
    from websockets.asyncio.server import serve

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _store(arguments.redis) as store:
        sessions = Sessions(
            _Room(arguments.broadcast, store is not None).handle,
            store,
            handshakes_per_second=arguments.handshakes_per_second,
        )
        async with serve(
            sessions.websockets,
            host,
            port,
            subprotocols=sessions.subprotocols,
            select_subprotocol=sessions.select_subprotocol,
            process_request=sessions.process_request,
        ) as server:
            print("listening", *server.sockets[0].getsockname()[:2], flush=True)
            await stop.wait()
            server.close(close_connections=False)
            await sessions.drain(after or 0.0, spread, in_place=after is not None)
