"""Fleets: clients over a faulty network for days of virtual time, and how much service they had.

Results are sums of whole numbers, so that parts of a fleet, simulated anywhere, add up to the same.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from steadwire import _core
from steadwire._units import Duration, milliseconds, seconds
from steadwire.errors import ConfigError

POLICIES, PROFILES, _COUNTS, _HISTOGRAMS, _BUCKETS_US = _core.fleet_lists()
COUNTS = {name: place for place, (name, _text) in enumerate(_COUNTS)}
HISTOGRAMS = {name: place for place, (name, _text) in enumerate(_HISTOGRAMS)}
MIX = "mix"
LEARNT = 2**64 - 1
SHARES = {"mobile": 2, "desktop": 2, "bot": 1}
"""Of five clients of a mix."""

_LOSS_UNIT_PCT = 100 / 10_000_000
_APART = 2**32
"""Clients of different profiles never share random numbers."""

Step = tuple[int, int, int, bool]
"""From this microsecond on: round trip in us (0: the profile's), address, whether it is up."""


class Spread(NamedTuple):
    """A mean and the time that 99 of 100 stay below, in seconds; None where nothing happened."""

    mean: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a fleet, or a part of one, went through."""

    policy: str
    profile: str
    values: tuple[int, ...]
    log: bytes = b""

    def __add__(self, other: Fleet) -> Fleet:
        if (self.policy, self.profile) != (other.policy, other.profile):
            raise ValueError("only parts of one fleet can be added")
        added = tuple(map(operator.add, self.values, other.values))
        return replace(self, values=added, log=self.log + other.log)

    def count(self, name: str) -> int:
        """A sum by its name; see `stw_fleet_count`."""
        return self.values[COUNTS[name]]

    def per_day(self, name: str) -> float:
        """A sum by client and day."""
        return self.count(name) / (self.count("total_us") / 86_400e6)

    @property
    def reliability_pct(self) -> float:
        """Time with service, of the time in which the path was usable."""
        return 100 - 100 * self.count("lost_us") / self.count("usable_us")

    @property
    def uptime_pct(self) -> float:
        """Time with service, of all time awake: the network's own outages count too."""
        served = self.count("usable_us") - self.count("lost_us")
        return 100 * served / self.count("total_us")

    @property
    def ci95_pct(self) -> float | None:
        """Half of the interval of 95 % around the mean over clients; None for a single client."""
        clients = self.count("clients")
        if clients < 2:
            return None
        mean = self.count("loss_sum") / clients
        variance = (self.count("loss_squares") - clients * mean * mean) / (clients - 1)
        return 1.96 * math.sqrt(max(variance, 0) / clients) * _LOSS_UNIT_PCT

    def spread(self, name: str) -> Spread:
        """Of `detect`, `silent` or `restore`."""
        number = self.count(f"{name}_count")
        if number == 0:
            return Spread(None, None)
        return Spread(self.count(f"{name}_us") / number / 1e6, self.quantile(name, 0.99))

    def quantile(self, name: str, part: float) -> float | None:
        """The end of the bucket in which it lies: at most 1.6 % or 1 ms too much."""
        start = len(COUNTS) + HISTOGRAMS[name] * len(_BUCKETS_US)
        buckets = self.values[start : start + len(_BUCKETS_US)]
        wanted, seen = part * sum(buckets), 0
        for bucket, number in enumerate(buckets[:-1]):
            seen += number
            if number and seen >= wanted:
                return _BUCKETS_US[bucket + 1] / 1e6
        return None

    def as_dict(self) -> dict[str, Any]:
        """The figures of the report, under its names."""
        messages = self.count("messages")
        return {
            "name": self.policy,
            "profile": self.profile,
            "clients": self.count("clients"),
            "reliability_pct": self.reliability_pct,
            "ci95_pct": self.ci95_pct,
            "uptime_pct": self.uptime_pct,
            "lost_s_per_day": self.per_day("lost_us") / 1e6,
            "detect_s": self.spread("detect")._asdict(),
            "silent_detect_s": self.spread("silent")._asdict(),
            "restore_s": self.spread("restore")._asdict(),
            "false_alarms_per_day": self.per_day("false_alarms"),
            "false_alarm_s_per_day": self.per_day("false_alarm_us") / 1e6,
            "late_pct": 100 * self.count("late") / messages if messages else 0.0,
            "lost_messages": self.count("lost_messages"),
            "duplicates": self.count("duplicates"),
            "attempts_per_day": self.per_day("attempts"),
            "heartbeat_bytes_per_day": self.per_day("heartbeat_bytes"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all clients of a fleet share."""

    policy: str = "steadwire"
    profile: str = "mobile"
    seed: int = 1
    days: float = 90.0
    interval_ms: int = 0
    """Of the heartbeat; 0: the policy's own."""
    idle_interval_ms: int = 0
    """Of a link of steadwire on which nobody talks; 0: the same; LEARNT: by what killed links."""
    hints: bool = True
    drain: bool = True
    hedge: bool = True
    log: bool = False
    event_level: bool = False
    """A step for every packet; without it quiet heartbeats are skipped, and results are equal."""
    steps: tuple[Step, ...] | None = None
    """A recorded path in place of every fault."""

    def run(self, first: int, count: int) -> Fleet:
        """Clients first .. first + count - 1."""
        values, log = _core.fleet_run(
            self.policy,
            self.profile,
            self.seed,
            max(1, round(self.days * 86_400)),
            self.interval_ms,
            self.idle_interval_ms,
            PROFILES.index(self.profile) * _APART + first,
            count,
            not self.hints,
            not self.drain,
            not self.hedge,
            self.log,
            self.event_level,
            None if self.steps is None else list(self.steps),
        )
        return Fleet(self.policy, self.profile, tuple(values), log)


def check(world: World) -> None:
    """ConfigError where something has no such name or is out of its bounds."""
    if world.policy not in POLICIES:
        raise ConfigError(f"policy {world.policy!r} is none of {', '.join(POLICIES)}")
    if world.profile not in PROFILES:
        raise ConfigError(f"profile {world.profile!r} is none of {', '.join(PROFILES)}, {MIX}")
    if not 0 < world.days <= 3660:
        raise ConfigError(f"days must be more than 0 and at most 3660, not {world.days}")
    if not 0 <= world.seed < 2**64:
        raise ConfigError(f"seed must be from 0 to 2**64 - 1, not {world.seed}")


def fleet(
    *,
    clients: int = 10,
    days: float = 90.0,
    profile: str = "mobile",
    policy: str = "steadwire",
    interval: Duration | None = None,
    idle_interval: Duration | None = None,
    seed: int = 1,
    hints: bool = True,
    drain: bool = True,
    hedge: bool = True,
    event_level: bool = False,
    steps: Sequence[Step] | None = None,
) -> Fleet:
    """Simulates clients of one profile, in this thread."""
    world = World(
        policy=policy,
        profile=profile,
        seed=seed,
        days=days,
        interval_ms=interval_of(interval),
        idle_interval_ms=idle_interval_of(idle_interval),
        hints=hints,
        drain=drain,
        hedge=hedge,
        event_level=event_level,
        steps=None if steps is None else tuple(steps),
    )
    check(world)
    if clients < 1:
        raise ConfigError(f"clients must be at least 1, not {clients}")
    return world.run(0, clients)


def interval_of(interval: Duration | None) -> int:
    """Milliseconds of a heartbeat interval; 0 for the policy's own."""
    if interval is None:
        return 0
    if seconds(interval, "interval") == 0:
        raise ConfigError("interval must be more than 0; leave it out for the policy's own")
    return milliseconds(interval, "interval")


def idle_interval_of(interval: Duration | None) -> int:
    """Milliseconds of the interval of quiet links: "auto" is learnt; 0: they have no other."""
    if interval == "auto":
        return LEARNT
    return 0 if interval is None else milliseconds(interval, "idle_interval")


def parts(profile: str, clients: int) -> dict[str, int]:
    """How many clients of each profile: those of a mix as 40/40/20."""
    if profile != MIX:
        return {profile: clients}
    whole = sum(SHARES.values())
    counts = {name: clients * share // whole for name, share in SHARES.items()}
    counts["mobile"] += clients - sum(counts.values())
    return {name: count for name, count in counts.items() if count}


def simulate(
    worlds: Sequence[World], clients: int, executor: Executor, shard: int = 5
) -> Iterator[Fleet]:
    """One fleet for each world, in their order; their parts run wherever the executor likes."""
    runs: list[list[Future[Fleet]]] = [
        [
            executor.submit(world.run, first, min(shard, clients - first))
            for first in range(0, clients, shard)
        ]
        for world in worlds
    ]
    for futures in runs:
        whole = futures[0].result()
        for future in futures[1:]:
            whole += future.result()
        yield whole


def mixed(fleets: Sequence[Fleet]) -> dict[str, Any]:
    """The report of several profiles of one policy together."""
    whole = Fleet(fleets[0].policy, MIX, fleets[0].values)
    for one in fleets[1:]:
        whole += replace(one, profile=MIX, log=b"")
    clients = whole.count("clients")
    row = whole.as_dict()
    errors = [((one.ci95_pct or 0) * one.count("clients") / clients) ** 2 for one in fleets]
    return {**row, "ci95_pct": math.sqrt(sum(errors)) or None}
