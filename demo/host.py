"""A host that sends numbered messages: python host.py URL RATE STOP_FILE

It goes on until STOP_FILE exists, and says on stdout, in JSON lines, what its conn goes through.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import steadwire
from steadwire.events import Replayed, Retry, StateChanged


def say(kind: str, **fields: object) -> None:
    """One JSON line."""
    print(json.dumps({"kind": kind, **fields}), flush=True)


async def listen(conn: steadwire.Connection) -> None:
    """Takes in the echoes, and reports what the conn says about itself."""
    async for item in conn.stream():
        match item:
            case StateChanged(at=t, old=old, new=new, cause=cause, delay=delay):
                say("state", t=t, **{"from": old}, to=new, cause=cause, delay=delay)
            case Retry(at=t, cause=cause, delay=delay):
                say("retry", t=t, cause=cause, delay=delay)
            case Replayed(at=t, messages=messages):
                say("replay", t=t, messages=messages)


async def talk(conn: steadwire.Connection, rate: float, stop_file: Path) -> int:
    """Sends until it is stopped; answers how many messages."""
    sent, due = 0, time.monotonic()
    while not stop_file.exists():
        body = {"host": "python", "n": sent + 1, "t": round(time.monotonic(), 6)}
        await conn.send(json.dumps(body))
        sent += 1
        due += 1 / rate
        await asyncio.sleep(due - time.monotonic())
    return sent


async def main(url: str, rate: float, stop_file: Path) -> int:
    """Answers the exit code: 0 if everything was delivered."""
    sent = undelivered = 0
    try:
        async with steadwire.connect(url) as conn:
            say("state", t=time.monotonic(), **{"from": "connecting"}, to=conn.state, cause="ready")
            listening = asyncio.create_task(listen(conn))
            sent = await talk(conn, rate, stop_file)
        await listening
    except steadwire.Undelivered as left:
        undelivered = left.count
        print(left, file=sys.stderr)
    say("done", sent=sent, undelivered=undelivered)
    return 1 if undelivered else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))))
