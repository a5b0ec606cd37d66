"""What the two hosts of the exactly-once run say to one another, and where they note it.

A message is derived from the seed, its stream and its serial, so whoever knows the seed knows what
must arrive. A journal is a file of JSON lines, each written at once: it survives kill -9.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

UP, DOWN = "up", "down"
SMALL_MAX = 200
LARGE_EVERY = 1024
LARGE_MIN, LARGE_MAX = 70_000, 150_000
"""Larger than a piece of steadwire.v1, so that such a message goes in parts."""


def body(seed: int, stream: str, serial: int) -> str:
    """The text of a message."""
    bits = hashlib.blake2b(f"{seed} {stream} {serial}".encode(), digest_size=32)
    dice = int.from_bytes(bits.digest()[:8], "big")
    size = dice % SMALL_MAX
    if serial % LARGE_EVERY == LARGE_EVERY // 2:
        size = LARGE_MIN + dice % (LARGE_MAX - LARGE_MIN)
    filler = bits.hexdigest()
    return f"{stream} {serial} {(filler * (size // len(filler) + 1))[:size]}"


def digest(text: str) -> str:
    """What a journal says of a message's content."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def sent_line(seed: int, stream: str, serial: int) -> dict[str, Any]:
    """What the checker has to know of a message that was to be sent."""
    of_it = digest(body(seed, stream, serial))
    return {"op": "sent", "stream": stream, "serial": serial, "digest": of_it}


def taken_line(stream: str, text: str, life: str) -> dict[str, Any]:
    """A message that was taken out of a stream, by what it says of itself."""
    source, _space, rest = text.partition(" ")
    serial = rest.partition(" ")[0]
    number = int(serial) if serial.isdigit() else 0
    line = {"op": "taken", "stream": stream, "serial": number, "digest": digest(text)}
    return {**line, "of": source, "life": life}


async def pause(seconds: float) -> None:
    """Lets time pass that the script, the rate or a planted bug asks for."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


class Journal:
    """Appends lines to a file that other processes may append to as well."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, *lines: dict[str, Any]) -> None:
        """All lines in one write."""
        os.write(self._file, "".join(json.dumps(line) + "\n" for line in lines).encode())
