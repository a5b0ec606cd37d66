"""The host of `./dev bench reconnect`: prints each change of its conn's state as a line.

`reconnect_host.py URL [OPTION=VALUE...]`; a line is `OLD NEW CAUSE SECOND`, seconds on the clock of
time.monotonic(). With `say=SECONDS` it sends a numbered message that often, until a line comes on
its standard input; it then prints `sent COUNT down SECONDS` once all have arrived: how long no link
carried messages meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import steadwire
from steadwire.events import StateChanged

DRAIN_S = 30.0


async def tell(conn: Any) -> None:
    async for event in conn.events(StateChanged):
        print(event.old, event.new, event.cause, event.at, flush=True)


async def talk(conn: Any, each: float) -> None:
    await conn.wait_online(DRAIN_S)
    before = conn.stats()
    end = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    receipt, sent = None, 0
    while not end.done():
        sent += 1
        receipt = await conn.send(str(sent))
        await asyncio.wait([end], timeout=each)
    if receipt is not None:
        await receipt.wait("accepted", timeout=DRAIN_S)
    stats = conn.stats()
    opened, online = ((stats[name] - before[name]) / 1e9 for name in ("open_ns", "online_ns"))
    print("sent", sent, "down", opened - online)


async def main() -> None:
    url, *options = sys.argv[1:]
    values: dict[str, Any] = dict(option.split("=", 1) for option in options)
    each = float(values.pop("say", 0))
    async with steadwire.connect(url, wait=False, **values) as conn:
        telling = asyncio.create_task(tell(conn))
        if each:
            await talk(conn, each)
            telling.cancel()
        else:
            await telling


asyncio.run(main())
