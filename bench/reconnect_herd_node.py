"""A server of the herd of `./dev bench reconnect`: `reconnect_herd_node.py KIND PORT CAPACITY`.

Behind both kinds is the same directory of users, which does CAPACITY logins a second one after the
other, whoever still waits for them. `websockets` asks it within the upgrade; `steadwire` has
sessions in front of it, with that capacity. Prints `ready PORT`; at SIGTERM it ends as its kind
does, and prints the figures of the herd as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import sys
import time
from collections import deque
from typing import Any

from steadwire.server import Sessions
from websockets.asyncio.server import serve

AFTER_S = 3.0


class Directory:
    """So many logins a second; what was asked for is done, also if nobody wants it any more."""

    def __init__(self, capacity: float) -> None:
        self.each = 1 / capacity
        self.free_at = 0.0
        self.logins = 0

    async def login(self) -> None:
        now = time.monotonic()
        self.free_at = max(self.free_at, now) + self.each
        self.logins += 1
        await asyncio.sleep(self.free_at - now)


class Arrivals:
    """How many came within the fullest second."""

    def __init__(self) -> None:
        self.recent: deque[float] = deque()
        self.count = self.peak = 0

    def note(self) -> None:
        now = time.monotonic()
        self.count += 1
        self.recent.append(now)
        while self.recent[0] <= now - 1:
            self.recent.popleft()
        self.peak = max(self.peak, len(self.recent))


class Node:
    def __init__(self, capacity: float) -> None:
        self.directory = Directory(capacity)
        self.arrivals = Arrivals()
        self.served = 0
        self.sessions = Sessions(
            self.ours, authenticate=self.who, handshakes_per_second=capacity, server="herd"
        )

    async def ours(self, session: Any) -> None:
        self.served += 1
        async for _message in session:
            pass

    async def who(self, _auth: bytes) -> str:
        await self.directory.login()
        return "somebody"

    async def admit(self, connection: Any, request: Any) -> Any:
        self.arrivals.note()
        return await self.sessions.process_request(connection, request)

    async def login(self, _connection: Any, _request: Any) -> None:
        """What a server of websockets alone does at the upgrade."""
        self.arrivals.note()
        await self.directory.login()

    async def plain(self, connection: Any) -> None:
        self.served += 1
        await connection.wait_closed()

    def figures(self) -> dict[str, float]:
        return {
            "arrivals": self.arrivals.count,
            "peak": self.arrivals.peak,
            "logins": self.directory.logins,
            "wasted": self.directory.logins - self.served,
        }


async def main(kind: str, port: int, capacity: float) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    node = Node(capacity)
    is_ours = kind == "steadwire"
    options: dict[str, Any] = (
        {"subprotocols": node.sessions.subprotocols, "process_request": node.admit}
        if is_ours
        else {"process_request": node.login}
    )
    handler = node.sessions.websockets if is_ours else node.plain
    async with serve(handler, "0.0.0.0", port, backlog=4096, **options) as server:
        print("ready", next(iter(server.sockets)).getsockname()[1], flush=True)
        await stopped.wait()
        print(json.dumps(node.figures()), flush=True)
        if is_ours:
            server.close(close_connections=False)
            await node.sessions.drain(AFTER_S, in_place=True)


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
