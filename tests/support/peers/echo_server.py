"""An echo server as anybody would write it with the `websockets` library, in a process of its own.

Run as `python -m peers.echo_server --port 0 --log FILE`; it prints `ready PORT` and serves until it
is killed. Each message is appended to the log file before it is echoed. The switches turn it into
the servers that are known to be hard on reconnecting clients; those that need a wrong WebSocket
layer are in `peers.quirky_server`.

A login is `?login=NAME` in the URL or the message `login NAME`; a subscription is `{"op":
"subscribe", "channel": NAME}`. Both are forgotten when the process ends.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import ssl
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from peers.journal import Journal
from peers.quirky_server import QuirkyServer

FEED_TICK_S = 0.005
REPLACED = 4409


@dataclass
class EchoServer:
    """The state of one server process."""

    journal: Journal
    options: argparse.Namespace
    logins: dict[str, ServerConnection] = field(default_factory=dict)
    listeners: dict[ServerConnection, set[str]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def handle(self, conn: ServerConnection) -> None:
        """Serves one connection."""
        number = next(self._numbers)
        if not self.options.subscriptions:
            self.listeners[conn] = {"all"}
        try:
            await self._greet(conn)
            async for message in conn:
                self.journal.note(number, message)
                await self._answer(conn, message)
        except ConnectionClosed:
            pass
        finally:
            self._forget(conn)

    async def _greet(self, conn: ServerConnection) -> None:
        if self.options.one_login and conn.request:
            name = login_of(conn.request)
            if name:
                await self._login(conn, name)

    async def _answer(self, conn: ServerConnection, message: str | bytes) -> None:
        text = message if isinstance(message, str) else ""
        if self.options.reject and self.options.reject_when in text:
            await conn.close(self.options.reject, "message refused")
        elif self.options.one_login and text.startswith("login "):
            await self._login(conn, text.removeprefix("login "))
        elif self.options.subscriptions and '"subscribe"' in text:
            channel = json.loads(text)["channel"]
            self.listeners.setdefault(conn, set()).add(channel)
            await conn.send(json.dumps({"op": "subscribed", "channel": channel}))
        elif self.options.subscriptions and '"unsubscribe"' in text:
            self.listeners.get(conn, set()).discard(json.loads(text)["channel"])
        else:
            await conn.send(message)

    async def _login(self, conn: ServerConnection, name: str) -> None:
        first = self.logins.get(name)
        if first and first is not conn and self.options.one_login == "refuse":
            await conn.close(REPLACED, "already logged in")
            return
        self.logins[name] = conn
        await conn.send(f"welcome {name}")
        if first and first is not conn:
            await first.close(REPLACED, "logged in elsewhere")

    def _forget(self, conn: ServerConnection) -> None:
        self.listeners.pop(conn, None)
        self.logins = {name: one for name, one in self.logins.items() if one is not conn}

    def refuse_second_login(self, _conn: ServerConnection, request: Request) -> Response | None:
        """Answers 409 to the upgrade of a login that is in use, when the policy is to refuse."""
        if self.options.one_login != "refuse" or login_of(request) not in self.logins:
            return None
        return _conn.respond(HTTPStatus.CONFLICT, "already logged in\n")

    async def feed(self) -> None:
        """Sends `rate` messages a second of `size` bytes to every listener, numbered per server
        process."""
        start, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - start) * self.options.rate)
            for number in range(sent, due):
                self._publish(number)
            sent = due
            await asyncio.sleep(FEED_TICK_S)

    def _publish(self, number: int) -> None:
        by_channel: dict[str, list[ServerConnection]] = {}
        for conn, channels in self.listeners.items():
            for channel in channels:
                by_channel.setdefault(channel, []).append(conn)
        for channel, conns in by_channel.items():
            head = {"channel": channel, "n": number, "t": round(time.monotonic(), 6)}
            broadcast(conns, json.dumps(head).ljust(self.options.size))


def login_of(request: Request) -> str:
    """The login named in the URL of an upgrade request; empty if there is none."""
    return parse_qs(urlsplit(request.path).query).get("login", [""])[0]


def server_tls(pem: Path) -> ssl.SSLContext:
    """A server context from one PEM file that holds the key and the chain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def run(options: argparse.Namespace) -> None:
    """Serves until the process is killed."""
    journal = Journal(options.log)
    tls = server_tls(options.ssl) if options.ssl else None
    if options.no_pong or options.close_on_ping is not None:
        quirky = QuirkyServer(journal, options.close_on_ping)
        raw = await asyncio.start_server(quirky.handle, options.host, options.port, ssl=tls)
        print("ready", raw.sockets[0].getsockname()[1], flush=True)
        await raw.serve_forever()
    echo = EchoServer(journal, options)
    server = await serve(
        echo.handle,
        options.host,
        options.port,
        ssl=tls,
        process_request=echo.refuse_second_login,
        logger=quiet_logger(),
        max_size=options.max_size,
    )
    print("ready", next(iter(server.sockets)).getsockname()[1], flush=True)
    if options.rate:
        await echo.feed()
    await server.serve_forever()


def quiet_logger() -> logging.Logger:
    """A logger that keeps tracebacks of connections which were cut on purpose off the terminal."""
    logger = logging.getLogger("peers.echo_server")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    return logger


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(prog="python -m peers.echo_server", description=__doc__)
    cli.add_argument("--host", default="127.0.0.1")
    cli.add_argument("--port", type=int, default=0, help="0 takes a free one")
    cli.add_argument("--log", type=Path, help="append each message to this file before the echo")
    cli.add_argument("--ssl", type=Path, metavar="PEM", help="serve wss with this key and chain")
    cli.add_argument("--max-size", type=int, default=2**20, help="largest message taken, bytes")
    cli.add_argument("--subscriptions", action="store_true", help="feed only after a subscribe")
    cli.add_argument("--rate", type=float, default=0.0, help="feed messages a second")
    cli.add_argument("--size", type=int, default=64, help="bytes of a feed message")
    cli.add_argument(
        "--one-login", choices=["close-first", "refuse"], help="what happens at a second login"
    )
    cli.add_argument("--reject", type=int, metavar="CODE", help="close with this code ...")
    cli.add_argument("--reject-when", default="poison", help="... when a message contains this")
    cli.add_argument("--no-pong", action="store_true", help="never answer a PING")
    cli.add_argument("--close-on-ping", type=int, metavar="CODE", help="0 aborts the connection")
    return cli


if __name__ == "__main__":
    asyncio.run(run(parser().parse_args()))
