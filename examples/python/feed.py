"""Follows a feed: the subscription is renewed on every link, and what may be missing is said.

usage: feed.py [URL [COUNT]]      ends after COUNT messages
"""

import asyncio
import sys
from typing import Any

import steadwire
from steadwire.events import Gap, StateChanged


async def tell(conn: steadwire.Connection) -> None:
    """Prints what happens to the conn beside its messages."""
    async for event in conn.events(StateChanged, Gap):
        match event:
            case StateChanged():
                print(f"{event.old} -> {event.new}: {event.cause}", event.detail)
            case Gap(known=False):
                print("a new link: messages may be missing, ask the server for a snapshot")
            case Gap():
                print(f"{event.messages} messages were dropped")


async def main(url: str, count: int) -> None:
    async with steadwire.connect(url, codec="json", max_silence="30s") as conn:
        teller = asyncio.create_task(tell(conn))
        conn.opening["trades"] = {"op": "subscribe", "channel": "trades"}
        last: dict[str, Any] = {}
        async for message in conn:
            last = message.data
            count -= 1
            if count <= 0:
                break
        print("last", last)
    await teller


arguments = dict(enumerate(sys.argv))
asyncio.run(main(arguments.get(1, "ws://127.0.0.1:8765/"), int(arguments.get(2, "10"))))
