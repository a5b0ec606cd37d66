"""All hostile servers in a process of their own, so that the client's memory can be measured.

Prints `ready PORT`; each connection to that port gets a JSON object of what the servers have seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from peers import hostile
from peers.hostile import SCENARIOS, Address


async def main() -> None:
    """Serves until the process is killed."""
    async with contextlib.AsyncExitStack() as stack:
        places = {}
        for name in SCENARIOS:
            places[name] = await stack.enter_async_context(hostile.serve(name))

        async def tell(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            told = {name: describe(place) for name, place in places.items()}
            writer.write(json.dumps(told).encode())
            writer.close()

        server = await asyncio.start_server(tell, "127.0.0.1", 0)
        print("ready", server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def describe(place: Address) -> dict[str, Any]:
    """What one server has seen."""
    return {
        "url": place.url,
        "connects": len(place.seen.connected_at),
        "close_codes": place.seen.close_codes,
    }


if __name__ == "__main__":
    asyncio.run(main())
