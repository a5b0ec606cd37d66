"""Herds: all clients of a server dropped in one moment, and how they come back."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, NamedTuple, SupportsIndex

from steadwire import _core
from steadwire._units import Duration, seconds
from steadwire.errors import ConfigError

SERVERS = ("shed", "naive")
SEED_MAX = 2**64 - 1


class Policy(NamedTuple):
    """How clients try again."""

    name: str
    text: str


def policies() -> list[Policy]:
    """What `herd` knows, ours first."""
    return [Policy(*row) for row in _core.herd_policies()]


@dataclass(frozen=True, slots=True)
class Herd:
    """How a herd came back. Times are seconds after the drop, None where it never happened."""

    policy: str
    seed: int
    clients: int
    capacity: int
    peak_over_capacity: float
    """Most attempts in one second, as a multiple of what the server can do."""
    attempts_per_client: float
    reconnected_pct: float
    t50_s: float | None
    t99_s: float | None
    t100_s: float | None
    optimum_s: float
    """Nothing can be faster for the last client: down + clients / capacity."""
    stop_s: float
    """What is not back by then counts as never."""
    attempts: int
    refused: int
    abandoned: int
    """Attempts that ended with the client's patience."""
    digest: int
    """Of the moment and the answer of every attempt."""
    seconds: list[tuple[int, int]]
    """(attempts, reconnected) within each second."""

    def as_dict(self) -> dict[str, Any]:
        """The figures of the report, under its names."""
        return {
            "name": self.policy,
            "peak_over_capacity": self.peak_over_capacity,
            "attempts_per_client": self.attempts_per_client,
            "t50_s": self.t50_s,
            "t99_s": self.t99_s,
            "t100_s": self.t100_s,
            "reconnected_pct": self.reconnected_pct,
        }


def herd(
    *,
    clients: int = 100_000,
    capacity: int = 5_000,
    down: Duration = "5s",
    server: str = "shed",
    policy: str = "steadwire",
    seed: int = 1,
    retry_window: Duration = "4s",
    retry_after: bool = True,
) -> Herd:
    """Drops `clients` at once and lets them come back to a server that is `down` for so long and
    then does `capacity` handshakes a second.

    server: "shed" refuses what would wait for more than 2 s, and says when to come back unless
    `retry_after` is false; "naive" queues without end, also for clients that have left.
    policy: a name of `policies()`; retry_window is the first window of ours without a hint.
    """
    names = [known.name for known in policies()]
    if policy not in names:
        raise ConfigError(f"policy {policy!r} is none of {', '.join(names)}")
    if server not in SERVERS:
        raise ConfigError(f"server {server!r} is none of {', '.join(SERVERS)}")
    row = _core.herd_run(
        names.index(policy),
        _whole(clients, "clients"),
        _whole(capacity, "capacity"),
        _nanoseconds(down, "down"),
        server == "naive",
        not retry_after,
        _nanoseconds(retry_window, "retry_window"),
        _whole(seed, "seed"),
    )
    peak, attempts, percent, t50, t99, t100, optimum, stop, *counts, in_seconds = row
    made, refused, abandoned, digest = counts
    return Herd(
        policy=policy,
        seed=operator.index(seed),
        clients=operator.index(clients),
        capacity=operator.index(capacity),
        peak_over_capacity=peak,
        attempts_per_client=attempts,
        reconnected_pct=percent,
        t50_s=_seconds(t50),
        t99_s=_seconds(t99),
        t100_s=_seconds(t100),
        optimum_s=optimum / 1e9,
        stop_s=stop / 1e9,
        attempts=made,
        refused=refused,
        abandoned=abandoned,
        digest=digest,
        seconds=in_seconds,
    )


def _whole(value: SupportsIndex, what: str) -> int:
    """A whole number that the engine can judge."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be a whole number, not {value!r}")
    number = operator.index(value)
    if not 0 <= number <= SEED_MAX:
        raise ConfigError(f"{what} must be from 0 to 2**64 - 1, not {number}")
    return number


def _nanoseconds(value: Duration, what: str) -> int:
    return min(round(seconds(value, what) * 1e9), SEED_MAX)


def _seconds(value: int | None) -> float | None:
    return None if value is None else value / 1e9
