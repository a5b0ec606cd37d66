"""What the Python clients of `./dev bench wire` share: cases in, JSON lines out.

The protocol is that of wire_util.h: a client gets the port of wire_server as its argument, reads
one case a line from stdin, "CASE SIZE WINDOW SECONDS", and answers each with one JSON line. A
process lives through all rounds, so that its start is in no figure; each case has a new connection.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

PATHS = {"rtt": "/echo", "echo": "/echo", "send": "/sink", "receive": "/source"}
SAMPLES_MAX = 1 << 20


class Case(NamedTuple):
    name: str
    size: int
    window: int
    seconds: float
    port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{PATHS[self.name]}?size={self.size}"

    @property
    def payload(self) -> bytes:
        return bytes(ord("a") + i % 26 for i in range(self.size))


class Meter:
    """Measures one case: made when the first message may leave, stopped after the last one."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.round_trips_ns: list[int] = []
        self.cpu_s = time.process_time()
        self.start = time.monotonic()
        self.end = self.start + case.seconds

    def stop(self, msgs: int) -> None:
        """Stops the clocks and prints the JSON line of the case."""
        seconds = time.monotonic() - self.start
        cpu_s = time.process_time() - self.cpu_s
        case = self.case
        line = {"case": case.name, "size": case.size, "window": case.window, "msgs": msgs}
        line |= {"seconds": seconds, "cpu_s": cpu_s}
        if samples := sorted(self.round_trips_ns[:SAMPLES_MAX]):
            line["p50_us"] = samples[len(samples) // 2] / 1e3
            line["p99_us"] = samples[len(samples) * 99 // 100] / 1e3
        print(json.dumps(line), flush=True)


def cases() -> Iterator[Case]:
    """The cases that come in on stdin."""
    port = int(sys.argv[1])
    for line in sys.stdin:
        name, size, window, seconds = line.split()
        yield Case(name, int(size), int(window), float(seconds), port)


def check(is_right: bool, what: str) -> None:
    """Ends the program where an answer is not what was asked for."""
    if not is_right:
        raise SystemExit(f"wrong: {what}")
