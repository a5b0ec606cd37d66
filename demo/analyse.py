"""What the demo proves, computed from what the server noted and what the hosts said. Pure.

All times are CLOCK_MONOTONIC seconds, which every process of one machine shares.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MEAN_RESTORED_S = 2.0
WORST_RESTORED_S = 4.0
NO_NEWS = frozenset(["requested", "ready", "recovered", "retry_due", "superseded", "local_stop"])
NO_CAUSE = "none"


@dataclass(frozen=True)
class Arrival:
    """One of a host's numbered messages as the server noted it: arrived, number, when it was
    sent."""

    t: float
    number: int
    sent_t: float


@dataclass(frozen=True)
class Event:
    """What a host said: `state` (from, to, cause), `retry` (cause) or `replay` (messages)."""

    t: float
    kind: str
    cause: str = ""
    source: str = ""
    target: str = ""
    messages: int = 0


@dataclass(frozen=True)
class HostRun:
    """One host: how many messages it has sent, what it said, and what of it arrived."""

    name: str
    sent: int
    events: Sequence[Event]
    arrivals: Sequence[Arrival]


@dataclass(frozen=True)
class Fault:
    """One fault as it was inflicted.

    `reachable` is when the server could be reached again: the beginning for faults that leave it
    reachable. `causes` are the right names, `side_causes` those that may be named besides.
    """

    name: str
    began: float
    reachable: float
    causes: frozenset[str]
    side_causes: frozenset[str] = frozenset()

    @property
    def server_down_s(self) -> float:
        """How long the server could not be reached."""
        return self.reachable - self.began


@dataclass(frozen=True)
class HostResult:
    """`reordered` counts first arrivals behind a higher number."""

    name: str
    sent: int
    lost: int
    duplicates: int
    reordered: int


@dataclass(frozen=True)
class Effect:
    """What one fault did to one host. None: it did not happen in the time of this fault."""

    host: str
    cause: str
    is_named_rightly: bool
    detect_s: float | None
    restored_s: float | None
    replayed: int
    duplicates: int


@dataclass(frozen=True)
class FaultResult:
    """One fault: the worse of both hosts, the sum of what was replayed and duplicated."""

    fault: Fault
    effects: Sequence[Effect]

    @property
    def cause(self) -> str:
        """The cause that the hosts named; a wrong one if there is one."""
        wrong = [effect.cause for effect in self.effects if not effect.is_named_rightly]
        return (wrong or [effect.cause for effect in self.effects])[0]

    @property
    def is_named_rightly(self) -> bool:
        """Whether all hosts named a right cause and nothing wrong."""
        return all(effect.is_named_rightly for effect in self.effects)

    @property
    def detect_s(self) -> float | None:
        """The later of the hosts; None if one noticed nothing."""
        return _worst([effect.detect_s for effect in self.effects])

    @property
    def restored_s(self) -> float | None:
        """The later of the hosts; None if one was not restored in the time of this fault."""
        return _worst([effect.restored_s for effect in self.effects])

    @property
    def replayed(self) -> int:
        """Messages sent again."""
        return sum(effect.replayed for effect in self.effects)

    @property
    def duplicates(self) -> int:
        """Second arrivals at the server."""
        return sum(effect.duplicates for effect in self.effects)


@dataclass(frozen=True)
class Report:
    """The result of one run."""

    hosts: Sequence[HostResult]
    faults: Sequence[FaultResult]
    shortcomings: Sequence[str] = field(default_factory=list)

    @property
    def mean_restored_s(self) -> float | None:
        """Over all faults; None if one was not restored."""
        times = [result.restored_s for result in self.faults]
        known = [one for one in times if one is not None]
        return sum(known) / len(known) if known and len(known) == len(times) else None

    @property
    def worst_restored_s(self) -> float | None:
        """Over all faults; None if one was not restored."""
        return _worst([result.restored_s for result in self.faults])

    def to_json(self) -> dict[str, object]:
        """The documented schema."""
        return {
            "hosts": [dataclasses.asdict(host) for host in self.hosts],
            "faults": [_fault_json(result) for result in self.faults],
        }


def analyse(hosts: Sequence[HostRun], faults: Sequence[Fault], stopped: float = math.inf) -> Report:
    """Judges one run. A fault's time goes on until the next begins or the hosts are stopped."""
    host_results = [judge_host(host) for host in hosts]
    ends = [*(fault.began for fault in faults[1:]), stopped]
    fault_results = [
        FaultResult(fault, [judge_effect(host, fault, end) for host in hosts])
        for fault, end in zip(faults, ends[: len(faults)], strict=True)
    ]
    report = Report(host_results, fault_results)
    return dataclasses.replace(report, shortcomings=find_shortcomings(report))


def judge_host(host: HostRun) -> HostResult:
    """Counts what is lost, doubled and out of order at the server."""
    counts = Counter(arrival.number for arrival in host.arrivals)
    lost = sum(1 for number in range(1, host.sent + 1) if not counts[number])
    reordered, highest, seen = 0, 0, set()
    for arrival in host.arrivals:
        if arrival.number not in seen:
            seen.add(arrival.number)
            reordered += arrival.number < highest
            highest = max(highest, arrival.number)
    return HostResult(host.name, host.sent, lost, counts.total() - len(counts), reordered)


def judge_effect(host: HostRun, fault: Fault, end: float) -> Effect:
    """Finds what a host said and what arrived of it between a fault and the next one."""
    events = [event for event in host.events if fault.began <= event.t < end]
    named = [event.cause for event in events if event.cause and event.cause not in NO_NEWS]
    right = [cause for cause in named if cause in fault.causes]
    allowed = fault.causes | fault.side_causes
    return Effect(
        host.name,
        (right or named or [NO_CAUSE])[0],
        bool(right) and all(cause in allowed for cause in named),
        _first(event.t - fault.began for event in events if _is_alarm(event)),
        _restored(host, fault, end),
        sum(event.messages for event in events if event.kind == "replay"),
        _duplicates_between(host.arrivals, fault.began, end),
    )


def find_shortcomings(report: Report) -> list[str]:
    """What keeps a run from being a success, one sentence each."""
    found = [
        f"{host.name}: {host.lost} of {host.sent} messages lost"
        for host in report.hosts
        if host.lost
    ]
    found += [f"{host.name}: sent nothing" for host in report.hosts if not host.sent]
    for result in report.faults:
        name = result.fault.name
        if not result.is_named_rightly:
            right = ", ".join(sorted(result.fault.causes))
            found.append(f"{name}: the cause was named {result.cause}, right is {right}")
        if result.restored_s is None:
            found.append(f"{name}: not restored before the next fault")
        elif result.restored_s >= WORST_RESTORED_S:
            found.append(f"{name}: restored after {result.restored_s:.2f} s")
    mean = report.mean_restored_s
    if mean is not None and mean >= MEAN_RESTORED_S:
        found.append(f"restored after {mean:.2f} s in the mean")
    return found


def _is_alarm(event: Event) -> bool:
    return event.kind == "state" and event.target != "online" and event.cause not in NO_NEWS


def _restored(host: HostRun, fault: Fault, end: float) -> float | None:
    """From when the server can be reached to the first arrival of what was sent after the fault."""
    times = (
        max(0.0, arrival.t - fault.reachable)
        for arrival in host.arrivals
        if arrival.sent_t >= fault.began and arrival.t < end
    )
    return _first(times)


def _duplicates_between(arrivals: Sequence[Arrival], begin: float, end: float) -> int:
    seen: set[int] = set()
    count = 0
    for arrival in arrivals:
        if arrival.number in seen and begin <= arrival.t < end:
            count += 1
        seen.add(arrival.number)
    return count


def _first(times: Iterable[float]) -> float | None:
    return next(iter(times), None)


def _worst(times: Sequence[float | None]) -> float | None:
    known = [one for one in times if one is not None]
    return max(known) if known and len(known) == len(times) else None


def _fault_json(result: FaultResult) -> dict[str, object]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 4)

    return {
        "name": result.fault.name,
        "server_down_s": rounded(result.fault.server_down_s),
        "cause": result.cause,
        "detect_s": rounded(result.detect_s),
        "restored_s": rounded(result.restored_s),
        "replayed": result.replayed,
    }
