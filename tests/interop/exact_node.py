"""A node of the exactly-once run: takes the messages of `up` and answers each with one of `down`.

    exact_node.py REDIS_URL JOURNAL SEED [--plant BUG]

The effect, the cursor and the answer are one transaction of Redis. What the loop hands out is noted
in the journal first (`taken`), and what was undone because another node has the session (`undone`).
It prints "listening HOST PORT"; SIGTERM drains it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

import redis.asyncio
import websockets
from exact_messages import DOWN, UP, Journal, body, pause, taken_line
from steadwire.server import Sessions
from steadwire.server.redis_store import RedisStore

EFFECTS = "effects"
SPREAD_S = 0.3
PLANT_S = 0.1
"""How long the two halves of a planted bug lie apart, so that a kill falls between them."""

PLANTS = ("effect_outside", "answer_outside")


class Host:
    """The application of one node."""

    def __init__(self, options: argparse.Namespace, client: Any) -> None:
        self._options = options
        self._client = client
        self._journal = Journal(options.journal)
        self._life = f"node-{os.getpid()}"

    async def handle(self, session: Any) -> None:
        """Runs for each session."""
        async for message in session:
            line = taken_line(UP, message.data, self._life)
            self._journal.write(line, *({"op": "told", "what": str(gap)} for gap in session.gaps))
            session.gaps.clear()
            try:
                await self._apply(session, message, line)
            except BaseException:
                self._journal.write({**line, "op": "undone"})
                raise

    async def _apply(self, session: Any, message: Any, line: dict[str, Any]) -> None:
        answer = body(self._options.seed, DOWN, line["serial"])
        if self._options.plant == "effect_outside":
            await self._client.rpush(EFFECTS, json.dumps(line))
            await pause(PLANT_S)
            await session.send(answer)
        elif self._options.plant == "answer_outside":
            async with message.transaction() as pipe:
                pipe.rpush(EFFECTS, json.dumps(line))
            await pause(PLANT_S)
            await session.send(answer)
        else:
            async with message.transaction() as pipe:
                pipe.rpush(EFFECTS, json.dumps(line))
                await session.send(answer)


async def main(options: argparse.Namespace) -> None:
    """Serves until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    client = redis.asyncio.from_url(options.redis)
    sessions = Sessions(Host(options, client).handle, RedisStore(client))
    async with websockets.serve(
        sessions.websockets, "127.0.0.1", 0, subprotocols=sessions.subprotocols
    ) as server:
        print("listening", *next(iter(server.sockets)).getsockname(), flush=True)
        await stopped.wait()
        server.close(close_connections=False)
        await sessions.drain(spread=SPREAD_S)
    await client.aclose()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cli.add_argument("redis")
    cli.add_argument("journal", type=Path)
    cli.add_argument("seed", type=int)
    cli.add_argument("--plant", choices=PLANTS)
    return cli


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s node %(process)d %(name)s %(message)s")
    asyncio.run(main(parser().parse_args()))
