"""Fleets: clients over a faulty network for days of virtual time, and how much service they had.

Results are sums of whole numbers, so that parts of a fleet, simulated anywhere, add up to the same.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypedDict, Unpack

from steadwire import _core
from steadwire._units import Duration, milliseconds, seconds
from steadwire.errors import ConfigError

OURS, NOHINT = "steadwire", "steadwire-nohint"
_POLICIES, PROFILES, _COUNTS, _HISTOGRAMS, BUCKETS_US = _core.fleet_lists()
POLICIES = [OURS, NOHINT, *(name for name in _POLICIES if name != OURS)]
"""`steadwire-nohint` is the same engine, told nothing: neither by the system nor by the server."""
COUNTS = {name: place for place, (name, _text) in enumerate(_COUNTS)}
HISTOGRAMS = {name: place for place, (name, _text) in enumerate(_HISTOGRAMS)}
INTERVAL_MS = (100, 3_600_000)
"""What `heartbeat_interval` can be."""
MIX = "mix"
LEARNT = 2**64 - 1
SHARES = {"mobile": 2, "desktop": 2, "bot": 1}
"""Of five clients of a mix."""

_LOSS_UNIT_PCT = 100 / 10_000_000
_APART = 2**32
"""Clients of different profiles never share random numbers."""
CLIENTS_MAX = 10_000_000
DAYS_MAX = 3660
STEPS_MAX = 2_000_000
RTT_US_MAX = 3_600_000_000

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
        days = self.count("total_us") / 86_400e6
        return self.count(name) / days if days else 0.0

    @property
    def reliability_pct(self) -> float | None:
        """Time with service, of the time in which the path was usable; None: it never was."""
        usable = self.count("usable_us")
        return 100 - 100 * self.count("lost_us") / usable if usable else None

    @property
    def uptime_pct(self) -> float | None:
        """Time with service, of all time awake: the network's own outages count too."""
        served, total = self.count("usable_us") - self.count("lost_us"), self.count("total_us")
        return 100 * served / total if total else None

    @property
    def ci95_pct(self) -> float | None:
        """Half of the 95 % interval of `reliability_pct`, from the spread of its clients; None for
        a single one. `report` takes the spread of the seeds where there are several."""
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

    def histogram(self, name: str) -> tuple[int, ...]:
        """How many times lay in each bucket; it begins at its place of `BUCKETS_US`."""
        start = len(COUNTS) + HISTOGRAMS[name] * len(BUCKETS_US)
        return self.values[start : start + len(BUCKETS_US)]

    def quantile(self, name: str, part: float) -> float | None:
        """The end of the bucket in which it lies: at most 1.6 % or 1 ms too much."""
        buckets = self.histogram(name)
        wanted, seen = part * sum(buckets), 0
        for bucket, number in enumerate(buckets[:-1]):
            seen += number
            if number and seen >= wanted:
                return BUCKETS_US[bucket + 1] / 1e6
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


class Setting(TypedDict, total=False):
    """What a world can be asked to be; all of it can be left out."""

    days: float
    profile: str
    policy: str
    interval: Duration | None
    """Of the heartbeat; None: the policy's own."""
    seed: int
    hints: bool
    drain: bool
    hedge: bool
    event_level: bool
    steps: Sequence[Step] | None
    """A recorded path in place of every fault; see `load`."""


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
        """Clients first .. first + count - 1, without the GIL."""
        is_told = self.policy != NOHINT
        values, log = _core.fleet_run(
            self.policy if is_told else OURS,
            self.profile,
            self.seed,
            max(1, round(self.days * 86_400)),
            self.interval_ms,
            self.idle_interval_ms,
            PROFILES.index(self.profile) * _APART + first,
            count,
            not (self.hints and is_told),
            not (self.drain and is_told),
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
    if not 0 < world.days <= DAYS_MAX:
        raise ConfigError(f"days must be more than 0 and at most {DAYS_MAX}, not {world.days}")
    if not 0 <= world.seed < 2**64:
        raise ConfigError(f"seed must be from 0 to 2**64 - 1, not {world.seed}")
    if world.interval_ms and not INTERVAL_MS[0] <= world.interval_ms <= INTERVAL_MS[1]:
        raise ConfigError(f"interval must be from 100 ms to 1 h, not {world.interval_ms:,} ms")
    if world.steps is not None:
        _check_steps(world.steps)


def _check_steps(steps: Sequence[Step]) -> None:
    if not 0 < len(steps) <= STEPS_MAX:
        raise ConfigError(f"steps must be 1 to {STEPS_MAX:,}, not {len(steps):,}")
    before = 0
    for number, (at_us, rtt_us, address, _is_up) in enumerate(steps):
        if not before <= at_us <= DAYS_MAX * 86_400_000_000:
            raise ConfigError(
                f"step {number}: its time, {at_us} us, is before the last or too late"
            )
        if not 0 <= rtt_us <= RTT_US_MAX or not 0 <= address < 2**32:
            raise ConfigError(
                f"step {number}: a round trip of an hour at most, an address of 32 bits"
            )
        before = at_us


def world_of(
    *,
    days: float = 90.0,
    profile: str = "mobile",
    policy: str = OURS,
    interval: Duration | None = None,
    idle_interval: Duration | None = None,
    seed: int = 1,
    hints: bool = True,
    drain: bool = True,
    hedge: bool = True,
    event_level: bool = False,
    steps: Sequence[Step] | None = None,
) -> World:
    """A world that can be simulated; ConfigError."""
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
    return world


def fleet(*, clients: int = 10, **world: Unpack[Setting]) -> Fleet:
    """Simulates clients of one profile, in this thread."""
    made = world_of(**world)
    return made.run(0, count_of(clients))


def count_of(clients: int) -> int:
    """So many clients, checked."""
    if isinstance(clients, bool) or not isinstance(clients, int):
        raise ConfigError(f"clients must be a whole number, not {clients!r}")
    if not 1 <= clients <= CLIENTS_MAX:
        raise ConfigError(f"clients must be at least 1 and at most {CLIENTS_MAX:,}, not {clients}")
    return clients


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
