"""Recorded paths: mahimahi traces and the output of `ping`, as steps of a path.

A path is down where nothing got through for a second. A file that is not what it should be is
refused with the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from steadwire.errors import ConfigError
from steadwire.sim.fleet import DAYS_MAX, RTT_US_MAX, STEPS_MAX, Step

GAP_US = 1_000_000
"""Silence of so long is a gap."""

BYTES_MAX = 64 << 20

_MS = 1_000
_US_MAX = DAYS_MAX * 86_400_000_000
_REPLY = re.compile(
    r"(?:\[(?P<at>\d+\.\d+)\] )?\d+ bytes from .*icmp_seq=(?P<number>\d+) .*time=(?P<rtt>[\d.]+) ms"
)
_LOST = re.compile(r"(?:\[[\d.]+\] )?(?:no answer yet for icmp_seq=\d+|From .*icmp_seq=\d+ .*)")
_AROUND = re.compile(
    r"|PING .*|---.*|\d+ packets transmitted.*|rtt min/avg/max.*|round-trip min/avg/max.*"
)


class TraceError(ConfigError):
    """A trace file that cannot be read; names the file and the line."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded path."""

    name: str
    steps: tuple[Step, ...]
    us: int
    """Its length."""

    @property
    def gaps(self) -> int:
        return sum(not is_up for _at, _rtt, _address, is_up in self.steps)

    def repeated(self, days: float) -> tuple[Step, ...]:
        """Again and again, for so many days; TraceError where that is more than can be held."""
        if not 0 < days <= DAYS_MAX:
            raise TraceError(f"{self.name}: days must be more than 0 and at most {DAYS_MAX}")
        times = max(1, -(-round(days * 86_400e6) // self.us))
        if times * len(self.steps) > STEPS_MAX:
            raise TraceError(
                f"{self.name}: {days:g} days of it are {times * len(self.steps):,} steps, and "
                f"{STEPS_MAX:,} can be held; ask for fewer days"
            )
        return tuple(
            (at + turn * self.us, rtt, address, is_up)
            for turn in range(times)
            for at, rtt, address, is_up in self.steps
        )


def load(path: Path) -> Trace:
    """A mahimahi trace or the output of `ping`, whichever the first line is of."""
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
        lines = data.decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"{path}: {error}") from error
    if len(data) > BYTES_MAX:
        raise TraceError(f"{path}: a trace has at most {BYTES_MAX >> 20} MiB; cut it")
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise TraceError(f"{path}: the file is empty")
    read: Callable[[Path, Iterable[str]], Trace] = (
        _mahimahi if re.fullmatch(r"\s*-?[\d.]+\s*", first) else _ping
    )
    return read(path, lines)


def _refuse(path: Path, number: int, why: str) -> TraceError:
    return TraceError(f"{path}:{number}: {why}")


def _mahimahi(path: Path, lines: Iterable[str]) -> Trace:
    """Each line: the millisecond at which one packet may pass."""
    moments: list[int] = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text.isascii() or not text.isdigit():
            raise _refuse(
                path, number, f"a whole number of milliseconds was expected, not {text[:40]!r}"
            )
        at = int(text[:20]) * _MS
        if at > _US_MAX:
            raise _refuse(path, number, f"{text[:40]} ms are more than {DAYS_MAX} days")
        if moments and at < moments[-1]:
            raise _refuse(path, number, f"time goes back, from {moments[-1] // _MS} to {text} ms")
        moments.append(at)
    return _trace(path, [(at, 0) for at in moments], moments[-1])


def _ping(path: Path, lines: Iterable[str]) -> Trace:
    """Replies, in the order of their numbers; those that are missing were lost."""
    replies: list[tuple[int, int]] = []
    last, start = -1, 0.0
    for number, line in enumerate(lines, 1):
        match = _REPLY.fullmatch(line.strip())
        if match is None:
            if _AROUND.fullmatch(line.strip()) or _LOST.fullmatch(line.strip()):
                continue
            raise _refuse(path, number, f"no line of ping: {line.strip()[:80]!r}")
        reply = int(match["number"][:20])
        if "(DUP!)" in line or reply <= last:
            raise _refuse(path, number, f"reply {match['number']} comes after reply {last}")
        last = reply
        try:
            rtt = round(min(float(match["rtt"]), 1e9) * _MS)
            now = float(match["at"]) if match["at"] else float(last)
        except ValueError:
            raise _refuse(path, number, f"{match['rtt']!r} is no time") from None
        start = start if replies else now
        at = round(min(now - start, 1e12) * 1e6)
        if at > _US_MAX or rtt > RTT_US_MAX:
            raise _refuse(
                path, number, f"more than {DAYS_MAX} days of time, or an hour of round trip"
            )
        replies.append((at, rtt))
        if len(replies) > 1 and replies[-1][0] < replies[-2][0]:
            raise _refuse(path, number, "time goes back")
    if len(replies) < 2:
        raise TraceError(f"{path}: fewer than two replies of ping")
    return _trace(path, replies, replies[-1][0])


def _trace(path: Path, moments: list[tuple[int, int]], us: int) -> Trace:
    """A silence ends with what came next; a ping of one a second is not silent between two."""
    between = sorted(
        after[0] - before[0] for before, after in zip(moments, moments[1:], strict=False)
    )
    usual = between[len(between) // 2] if between else 0
    if us == 0:
        raise TraceError(f"{path}: it takes no time")
    steps: list[Step] = [(0, moments[0][1], 0, True)]
    before = 0
    for at, rtt in moments:
        if at - before - usual >= GAP_US:
            steps.append((before + usual, 0, 0, False))
            steps.append((at, rtt, 0, True))
        elif rtt and rtt != steps[-1][1]:
            steps.append((at, rtt, 0, True))
        before = at
    return Trace(path.name, tuple(steps), us)
