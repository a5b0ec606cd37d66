"""The fault proxy's listener and its commands. Each command is one JSON object with `do` and its
arguments."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from peers import ws
from peers.proxy_pipe import Cut, Ending, Shape
from peers.proxy_relay import DIRECTIONS, Relay

FOREVER = float("inf")
BACKLOG = 512
Arguments = dict[str, Any]


@dataclass
class ProxyServer:
    """Relays connections to `upstream` and does to them what the control connection asks for."""

    upstream: tuple[str, int]
    relays: dict[int, Relay] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    shapes: dict[str, Shape] = field(default_factory=lambda: {name: Shape() for name in DIRECTIONS})

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._listener = socket.socket()
        self._accepting: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._chores: set[asyncio.Task[None]] = set()
        self.address = ("", 0)
        self._forget_plans()

    def _forget_plans(self) -> None:
        self._silent_left = 0.0
        self._responses: tuple[float, bytes] = (0, b"")
        self._cuts: dict[str, tuple[int, Ending]] = {}

    # Listening

    def listen(self, address: tuple[str, int]) -> None:
        """Opens the listener; the port is kept from then on, also while connections are refused."""
        self._bind(address)
        self.address = self._listener.getsockname()
        self._open()

    def _bind(self, address: tuple[str, int]) -> None:
        self._listener = socket.socket()
        self._listener.setblocking(False)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)

    def _open(self) -> None:
        self._listener.listen(BACKLOG)
        self._accepting = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _address = await loop.sock_accept(self._listener)
            client.setblocking(False)
            relay = Relay(next(self._numbers), client, self.counters, self._changed.set)
            self.relays[relay.number] = relay
            task = asyncio.create_task(self._serve(relay))
            relay.start(task)
            task.add_done_callback(functools.partial(self._forget, relay.number))
            relay.count("accepted")

    def _forget(self, number: int, _task: asyncio.Task[None]) -> None:
        self.relays.pop(number, None)

    async def _serve(self, relay: Relay) -> None:
        if self._silent_left > 0:
            self._silent_left -= 1
            await relay.silent()
        elif self._responses[0] > 0:
            self._responses = (self._responses[0] - 1, self._responses[1])
            await relay.respond(self._responses[1])
        else:
            cuts = {name: Cut(after, how) for name, (after, how) in self._cuts.items()}
            await relay.relay(self.upstream, self.shapes, cuts)

    # Control

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one control connection: a JSON line in, a JSON line out."""
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                try:
                    answer = {"ok": True, **await self.command(json.loads(line))}
                except (ValueError, KeyError, TypeError, TimeoutError) as error:
                    answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    async def command(self, arguments: Arguments) -> Arguments:
        """Carries out one command; answers with the time of the fault and the connections it
        touched."""
        name = arguments.pop("do")
        if name == "wait":
            await self._wait(**arguments)
            return {"t": time.monotonic()}
        if name == "status":
            described = [relay.describe() for relay in self.relays.values()]
            return {"counters": dict(self.counters), "connections": described}
        act: Callable[..., list[int] | None] = getattr(self, f"do_{name}", self._unknown)
        touched = act(**arguments)
        return {"t": time.monotonic(), "touched": touched or []}

    def _unknown(self, **_arguments: object) -> None:
        raise ValueError("no such command")

    async def _wait(self, counter: str, at_least: int, timeout: float) -> None:
        async with asyncio.timeout(timeout):
            while self.counters[counter] < at_least:
                self._changed.clear()
                await self._changed.wait()

    def _chosen(self, conn: int | None) -> list[Relay]:
        if conn is None:
            return list(self.relays.values())
        return [self.relays[conn]]

    def do_route(self, port: int) -> None:
        """New connections go to another loopback port; existing ones stay where they are."""
        self.upstream = ("127.0.0.1", port)

    def do_reset(self, conn: int | None = None) -> list[int]:
        """RST to both ends of one or all connections."""
        chosen = self._chosen(conn)
        for relay in chosen:
            relay.reset()
        return [relay.number for relay in chosen]

    def do_blackhole(self, directions: list[str], conn: int | None = None) -> list[int]:
        """Swallows what existing connections carry in these directions; new ones work."""
        if not directions or not set(directions) <= set(DIRECTIONS):
            raise ValueError(f"directions are {DIRECTIONS}")
        chosen = self._chosen(conn)
        for relay in chosen:
            relay.swallow(tuple(directions))
        return [relay.number for relay in chosen]

    def do_stall(self, conn: int | None = None) -> list[int]:
        """Holds all bytes back, in both directions, until `heal`: a path that comes back without a
        loss."""
        chosen = self._chosen(conn)
        for relay in chosen:
            for pipe in relay.pipes.values():
                pipe.flowing.clear()
        return [relay.number for relay in chosen]

    def do_heal(self) -> None:
        """Ends every plan and every shape. A connection that has lost bytes stays dead: it cannot
        be healed."""
        self._forget_plans()
        for name in DIRECTIONS:
            self.shapes[name] = Shape()
        for relay in self.relays.values():
            for pipe in relay.pipes.values():
                pipe.reshape(Shape())
                pipe.flowing.set()
        if self._accepting is None:
            self._open()

    def do_accept_silent(self, count: float | None = None) -> None:
        """Accepts and never answers the next `count` connections, or all until `heal`."""
        self._silent_left = FOREVER if count is None else count

    def do_respond(
        self, status: str, headers: Arguments, count: float | None = None, body: str = ""
    ) -> None:
        """Answers the next `count` upgrade requests itself, for example with `503 Service
        Unavailable`."""
        lines = {"Content-Length": len(body.encode()), "Connection": "close", **headers}
        answer = ws.response(status, [(k, str(v)) for k, v in lines.items()], body.encode())
        self._responses = (FOREVER if count is None else count, answer)

    def do_close_frame(self, code: int, reason: str = "", conn: int | None = None) -> list[int]:
        """Sends a CLOSE frame to the client at the next frame border, then ends the connection."""
        chosen = [relay for relay in self._chosen(conn) if relay.pipes]
        for relay in chosen:
            chore = asyncio.create_task(relay.close_with(ws.close(code, reason)))
            self._chores.add(chore)
            chore.add_done_callback(self._chores.discard)
        return [relay.number for relay in chosen]

    def do_shape(self, directions: list[str], shape: Arguments) -> None:
        """Delay, jitter and throttle for existing and new connections; 0 is off."""
        for name in directions:
            self.shapes[name] = Shape(**shape)
            for relay in self.relays.values():
                if name in relay.pipes:
                    relay.pipes[name].reshape(self.shapes[name])

    def do_refuse(self) -> None:
        """Closes the listener until `heal`; existing connections stay."""
        if self._accepting is None:
            return
        old = self._listener
        self._accepting.cancel()
        self._accepting.add_done_callback(lambda _task: old.close())
        self._accepting = None
        old.shutdown(socket.SHUT_RDWR)
        self._bind(self.address)

    def do_cut_after(
        self, size: int, direction: str = "to_client", how: str = "rst", conn: int | None = None
    ) -> list[int]:
        """Ends existing connections, and new ones until `heal`, after `size` further bytes of a
        direction."""
        self._cuts[direction] = (size, Ending(how))
        chosen = [relay for relay in self._chosen(conn) if relay.pipes]
        for relay in chosen:
            relay.pipes[direction].cut = Cut(size, Ending(how))
        return [relay.number for relay in chosen]

    def do_half_close(self, direction: str = "to_client", conn: int | None = None) -> list[int]:
        """Sends FIN in one direction now; the other direction goes on."""
        chosen = [relay for relay in self._chosen(conn) if relay.pipes]
        for relay in chosen:
            relay.half_close(direction)
        return [relay.number for relay in chosen]
