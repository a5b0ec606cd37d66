"""The command `steadwire`.

`steadwire connect URL` sends the lines of stdin and prints the messages that arrive to stdout;
state changes and causes go to stderr, one line each. It survives whatever the engine survives. Exit
code 0: everything was delivered; 1: something was not (it is counted on stderr); 2: wrong usage or
options; 3: the conn failed for good.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

from steadwire import __version__, outbox_cli, simulate_cli
from steadwire._core import Message
from steadwire._options import options
from steadwire._units import optional_seconds
from steadwire.aio import Connection, Events, connect
from steadwire.errors import ConfigError, ConnectError, SteadwireError, Undelivered
from steadwire.events import Closed, Event, MessageEnded, Retry, StateChanged
from steadwire.server import serve
from steadwire.words import MessageState

OK, NOT_ALL_DELIVERED, USAGE, FAILED = range(4)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except (ConfigError, ValueError, TypeError) as error:
        print(f"steadwire: {error}", file=sys.stderr)
        return USAGE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="steadwire", description="Connections that stay up.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser(
        "connect",
        help="send stdin, print what arrives",
        description="Sends each line of stdin as a message and prints each message that arrives.",
        epilog="Exit code: 0 all delivered, 1 not all delivered, 2 wrong usage, 3 failed for good.",
    )
    one.add_argument("url", nargs="+", metavar="URL", help="ws:// or wss://; more are fallbacks")
    one.add_argument("--json", action="store_true", help="JSON lines on stdout and stderr")
    one.add_argument("--binary", action="store_true", help="send lines as binary messages")
    one.add_argument("--quiet", action="store_true", help="nothing on stderr but errors")
    one.add_argument(
        "--linger",
        default="1s",
        metavar="TIME",
        help='after the end of stdin and the last proof, go on receiving (default 1s; "ever")',
    )
    one.add_argument("--header", action="append", default=[], metavar="NAME: VALUE")
    one.add_argument(
        "-o",
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any option of the engine; see `steadwire options`",
    )
    one.set_defaults(run=_run_connect)
    outbox_cli.add_command(commands)
    serve.add_command(commands)
    simulate_cli.add_command(commands)
    table = commands.add_parser("options", help="list the options")
    table.set_defaults(run=_run_options)
    return parser


def _run_options(_arguments: argparse.Namespace) -> int:
    for row in options():
        known = "; ".join(filter(None, [row.default and f"default {row.default}", row.range]))
        print(f"{row.name} ({row.type}{'; ' + known if known else ''})\n    {row.text}")
    return OK


def _run_connect(arguments: argparse.Namespace) -> int:
    given = _options_of(arguments)
    if "connect_timeout" in given:
        raise ConfigError("connect_timeout is not for this command: it goes on until it is ended")
    linger = None if arguments.linger == "ever" else optional_seconds(arguments.linger, "--linger")
    connecting = connect(arguments.url, wait=False, connect_timeout=None, **given)
    session = _Session(arguments, connecting, linger)
    return asyncio.run(session.run())


def _options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments that -o and --header stand for."""
    kinds = {row.name: row.type for row in options()}
    given: dict[str, Any] = {}
    for item in arguments.option:
        name, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--option {item}: write NAME=VALUE")
        if kinds.get(name) == "list":
            given.setdefault(name, []).append(value)
        elif kinds.get(name) == "map":
            key, _colon, value = value.partition(":")
            given.setdefault(name, {})[key.strip()] = value.strip()
        else:
            given[name] = value
    for item in arguments.header:
        name, colon, value = item.partition(":")
        if not colon:
            raise ConfigError("--header: write NAME: VALUE")
        given.setdefault("headers", {})[name.strip()] = value.strip()
    return given


class _Session:
    """One run of `steadwire connect`."""

    def __init__(
        self, arguments: argparse.Namespace, connecting: connect, linger: float | None
    ) -> None:
        self.arguments = arguments
        self.connecting = connecting
        self.linger = linger
        self.lines = _Lines()
        self.sent = 0
        self.ended_badly = 0
        self.failure: ConnectError | None = None
        self.stop = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop.set)
        conn = await self.connecting
        told = asyncio.create_task(self.tell(conn.events()))
        printed = asyncio.create_task(self.print_messages(conn))
        sent = asyncio.create_task(self.send_lines(conn))
        stopped = asyncio.create_task(self.stop.wait())
        await asyncio.wait({sent, printed, stopped}, return_when=asyncio.FIRST_COMPLETED)
        sent.cancel()
        stopped.cancel()
        left = await self.close(conn)
        with contextlib.suppress(asyncio.CancelledError):
            await sent
        await printed
        await told
        return self.verdict(left)

    async def close(self, conn: Connection) -> int:
        """Closes; how many messages are left."""
        try:
            await conn.close()
        except Undelivered as left:
            return left.count
        return 0

    def verdict(self, left: int) -> int:
        missing = left + self.ended_badly + self.lines.read - self.sent
        if missing:
            self.say({"event": "undelivered", "messages": missing}, f"{missing} not delivered")
        if self.failure is not None:
            self.say({"event": "failed", "text": str(self.failure)}, str(self.failure))
            return FAILED
        return NOT_ALL_DELIVERED if missing else OK

    # --- stdin ---

    async def send_lines(self, conn: Connection) -> None:
        """Sends stdin to its end; then waits until all has its proof, and lingers."""
        self.lines.start()
        while (line := await self.lines.next()) is not None:
            body = line.removesuffix(b"\r")
            is_binary = self.arguments.binary
            try:
                await conn.send(body if is_binary else body.decode(errors="replace"))
                self.sent += 1
            except SteadwireError as error:
                self.say({"event": "refused", "text": str(error)}, f"not sent: {error}")
        if conn.last_receipt is not None:
            with contextlib.suppress(SteadwireError):
                await conn.last_receipt.wait()
        if self.linger is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(self.linger)

    # --- stdout ---

    async def print_messages(self, conn: Connection) -> None:
        try:
            async for message in conn:
                self.print_message(message)
        except ConnectError as error:
            self.failure = error
        except BrokenPipeError:
            self.stop.set()

    def print_message(self, message: Message) -> None:
        raw = message.raw
        out = sys.stdout.buffer
        if self.arguments.json:
            row: dict[str, Any] = {"event": "message", "at": _wall(message.received_at)}
            row["link"] = message.link
            if isinstance(raw, str):
                row["text"] = raw
            else:
                row["base64"] = base64.b64encode(raw).decode()
            out.write(json.dumps(row).encode() + b"\n")
        else:
            data = raw.encode(errors="replace") if isinstance(raw, str) else raw
            out.write(data + b"\n")
        out.flush()

    # --- stderr ---

    async def tell(self, events: Events) -> None:
        async for event in events:
            if isinstance(event, MessageEnded) and event.state is not MessageState.SETTLED:
                self.ended_badly += 1
            row = event.as_dict()
            row["at"] = _wall(event.at)
            self.say(row, _sentence(event))

    def say(self, row: dict[str, Any], sentence: str) -> None:
        if self.arguments.quiet:
            return
        if self.arguments.json:
            print(json.dumps(row, default=str), file=sys.stderr, flush=True)
        elif sentence:
            print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


class _Lines:
    """The lines of stdin, read by a thread so that files, pipes and terminals all work.

    It reads the descriptor itself: the lock of sys.stdin would stop the interpreter from ending.
    """

    def __init__(self) -> None:
        self.read = 0
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1024)

    def start(self) -> None:
        """Starts to read; in the loop that takes the lines."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(RuntimeError, OSError, CancelledError):
            while chunk := os.read(0, 1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._put(line)
            if rest:
                self._put(rest)
            self._put(None)

    def _put(self, line: bytes | None) -> None:
        self.read += line is not None
        asyncio.run_coroutine_threadsafe(self._queue.put(line), self._loop).result()

    async def next(self) -> bytes | None:
        """The next line, None at the end."""
        return await self._queue.get()


def _wall(at: float) -> float:
    """Seconds since the epoch for a moment of time.monotonic()."""
    return round(time.time() - time.monotonic() + at, 6)


def _sentence(event: Event) -> str:
    """An event for people; empty for those that only say that all is well."""
    match event:
        case StateChanged():
            return _state_sentence(event)
        case Retry():
            why = event.detail or event.cause.text
            return (
                f"attempt {event.attempt} failed: {event.cause} ({why}){_remedy(event)}; "
                f"next in {event.delay:.1f} s"
            )
        case MessageEnded():
            why = event.detail or event.cause.text
            return f"message {event.number} {event.state}: {why}"
        case Closed():
            return ""
    fields = {k: v for k, v in event.as_dict().items() if k not in ("event", "at", "link")}
    return " ".join([str(event.kind), *(f"{key}={value}" for key, value in fields.items())])


def _state_sentence(event: StateChanged) -> str:
    parts = [f"{event.old} -> {event.new}: {event.cause}"]
    if event.detail:
        parts.append(f"({event.detail})")
    if event.cause.class_name != "host":
        parts.append(_remedy(event))
    if event.delay:
        parts.append(f"next attempt in {event.delay:.1f} s")
    if event.phases:
        parts.append(" ".join(f"{name} {s * 1000:.1f} ms" for name, s in event.phases.items()))
    return " ".join(filter(None, parts))


def _remedy(event: StateChanged | Retry) -> str:
    return "" if event.cause.remedy == "nothing" else f"; {event.cause.remedy}"
