"""Reports: the figures of a study and how far they may be from the truth.

`ci95_pct` is half of the 95 % interval of `reliability_pct`: Student's t over the seeds, or over
the clients where there is one seed. Beside several seeds `ci95` has the half intervals, over the
seeds, of all figures; None where a seed had nothing to measure.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from steadwire.sim.fleet import MIX, POLICIES, PROFILES, Fleet
from steadwire.sim.sketch import Sketch

Row = dict[str, Any]

FIGURES = (
    "reliability_pct",
    "detect_s",
    "restore_s",
    "false_alarms_per_day",
    "late_pct",
    "heartbeat_bytes_per_day",
)
"""Of the report, beside name, profile and `ci95_pct`."""
MEASURED = (*FIGURES, "silent_detect_s")
"""What has an interval over the seeds."""

# Student's t for 95 %, by degrees of freedom from 1.
STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


def half_interval(values: Sequence[float | None]) -> float | None:
    """How far 95 % of the means of so many values lie from the truth; None for fewer than two, or
    where one is missing."""
    known = [value for value in values if value is not None]
    freedom = len(values) - 1
    if freedom < 1 or len(known) != len(values):
        return None
    student = STUDENT[freedom - 1] if freedom <= len(STUDENT) else 1.96 + 2.4 / freedom
    return student * statistics.stdev(known) / math.sqrt(len(known))


def report(sketch: Sketch) -> Row:
    """The report of `steadwire simulate fleet`, of a sketch of one setting."""
    seeds = sorted({part.seed for part in sketch.parts})
    policies = [_reported(row) for row in rows(sketch)]
    head = {"seed": seeds[0] if seeds else None, "policies": policies}
    return head if len(seeds) < 2 else {**head, "seeds": len(seeds)}


def _reported(row: Row) -> Row:
    names = ("name", "profile", "reliability_pct", "ci95_pct", *FIGURES[1:])
    reported = {name: row[name] for name in names}
    if "ci95" not in row:
        return reported
    return {**reported, "ci95": {name: row["ci95"][name] for name in FIGURES}}


def rows(sketch: Sketch) -> list[Row]:
    """Every figure of each policy and profile, and of all profiles of a policy together; policies
    and profiles in the order in which the engine lists them."""
    made = []
    for policy in _in_order(POLICIES, {part.policy for part in sketch.parts}):
        profiles = _in_order(
            PROFILES, {part.profile for part in sketch.parts if part.policy == policy}
        )
        made += [_row(sketch, policy, profile, profiles) for profile in profiles]
        if len(profiles) > 1:
            made.append(_row(sketch, policy, MIX, profiles))
    return made


def _in_order(known: Sequence[str], names: set[str]) -> list[str]:
    return sorted(names, key=lambda name: (known.index(name) if name in known else 99, name))


def _row(sketch: Sketch, policy: str, profile: str, profiles: Sequence[str]) -> Row:
    whole = sketch.fleet(policy, profile).as_dict()
    seeds = sorted({part.seed for part in sketch.parts if part.policy == policy})
    if len(seeds) < 2:
        chosen = profiles if profile == MIX else [profile]
        return {**whole, "ci95_pct": _over_clients([sketch.fleet(policy, one) for one in chosen])}
    each = [sketch.fleet(policy, profile, seed).as_dict() for seed in seeds]
    within = {name: _within([figures[name] for figures in each]) for name in MEASURED}
    return {**whole, "ci95_pct": within["reliability_pct"], "ci95": within}


def _within(values: Sequence[Any]) -> Any:
    """Of numbers; of spreads: of each of their numbers."""
    if isinstance(values[0], dict):
        return {name: _within([value[name] for value in values]) for name in values[0]}
    return half_interval(values)


def _over_clients(fleets: Sequence[Fleet]) -> float | None:
    """Of strata: each profile's own interval, by its share of the clients."""
    clients = sum(one.count("clients") for one in fleets)
    errors = [((one.ci95_pct or 0) * one.count("clients") / clients) ** 2 for one in fleets]
    return math.sqrt(sum(errors)) or None
