"""A token that expires: the engine asks for a new one whenever an attempt needs it.

usage: credentials.py [URL]
"""

import asyncio
import itertools
import sys
from typing import Any

import steadwire
from steadwire.events import CredentialsNeeded

numbers = itertools.count(1)


async def login(event: CredentialsNeeded) -> dict[str, Any]:
    """Stands for a request to an identity provider."""
    await asyncio.sleep(0.01)
    print(f"attempt {event.attempt} needs credentials ({event.why})")
    return {"token": f"token-{next(numbers)}", "expires_in": "5min"}


async def main(url: str) -> None:
    async with steadwire.connect(url, credentials=login) as conn:
        receipt = await conn.send("authorized")
        await receipt.wait("received", timeout=10)
        print("the message is", receipt.state)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8765/"))
