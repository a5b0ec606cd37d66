"""The file in which a server notes each message before it answers it.

One JSON object a line: `t` (CLOCK_MONOTONIC seconds, comparable between processes of one machine),
`conn` (number of the connection in this server process, from 1) and `text`, or `base64` for a
binary message. A line is one write(2), so `kill -9` of the server loses nothing that was answered.
"""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arrival:
    """One message as it arrived at the server."""

    t: float
    conn: int
    message: str | bytes


class Journal:
    """Appends arrivals to a file; without a path it does nothing."""

    def __init__(self, path: Path | None) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600) if path else -1

    def note(self, conn: int, message: str | bytes) -> None:
        """Hands one line to the operating system before it returns."""
        if self._fd < 0:
            return
        record: dict[str, object] = {"t": round(time.monotonic(), 6), "conn": conn}
        if isinstance(message, str):
            record["text"] = message
        else:
            record["base64"] = base64.b64encode(message).decode()
        os.write(self._fd, json.dumps(record).encode() + b"\n")


def read_journal(path: Path) -> list[Arrival]:
    """All arrivals in the order in which the server noted them; an unfinished last line is left
    out."""
    arrivals = []
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            record = json.loads(line)
            body = record["text"] if "text" in record else base64.b64decode(record["base64"])
            arrivals.append(Arrival(record["t"], record["conn"], body))
    return arrivals
