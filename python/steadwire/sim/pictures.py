"""Pictures of herds and fleets: figures of matplotlib, which the extra `steadwire[sim]` brings."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from steadwire.errors import ConfigError
from steadwire.sim.explore import Exploration
from steadwire.sim.fleet import BUCKETS_US, MIX, Fleet
from steadwire.sim.herd import Herd
from steadwire.sim.report import rows
from steadwire.sim.sketch import Sketch

LEAST_LOSS_PCT = 1e-4
"""The picture of a fleet shows no reliability above 100 % less this."""
TICKS_PCT = (0, 90, 99, 99.9, 99.99, 99.999, 99.9999)


def herds(lived: Sequence[Herd]) -> Any:
    """Arrivals in each second against the capacity, and who was back: the first seed of each
    policy."""
    figure = _figure((10, 7))
    above, below = figure.subplots(2, sharex=True)
    firsts = {herd.policy: herd for herd in reversed(lived)}
    for number, (policy, herd) in enumerate(reversed(firsts.items())):
        style = _style(policy, number)
        back = 0
        share = [100.0 * (back := back + row[1]) / herd.clients for row in herd.seconds]
        above.plot([row[0] / herd.capacity for row in herd.seconds], **style)
        below.plot(share, **style)
    above.axhline(1.0, color="black", linewidth=0.8)
    above.set(yscale="symlog", ylabel="arrivals in a second / capacity")
    above.set_ylim(bottom=0)
    below.set(ylabel="reconnected, %", xlabel="seconds after the drop")
    below.set_xlim(0, max(min(h.t99_s or h.stop_s, 5 * h.optimum_s + 10) for h in lived))
    below.legend(ncols=3, fontsize="small")
    return figure


def fleets(sketch: Sketch) -> Any:
    """Reliability with its 95 % intervals for each policy and profile; how long faults of all
    profiles took to be noticed, and service to be back."""
    figure = _figure((10, 10))
    above, left, right = figure.subplot_mosaic([["above", "above"], ["left", "right"]]).values()
    made = rows(sketch)
    policies = list(dict.fromkeys(row["name"] for row in made))
    _reliability(above, made, policies)
    for number, policy in enumerate(policies):
        whole = sketch.fleet(policy, MIX)
        for axes, name in ((left, "detect"), (right, "restore")):
            axes.plot(*_shares(whole, name), **_style(policy, number))
    for axes, what in ((left, "noticed"), (right, "service is back")):
        axes.set(xscale="log", xlabel=f"seconds of usable path until {what}", ylim=(0, 100))
        axes.grid(alpha=0.3)
    left.set_ylabel("faults, %")
    right.legend(fontsize="small", loc="lower right")
    return figure


def exploration(lived: Exploration) -> Any:
    """How often each fault happened, and each promise was looked at; a broken one is red."""
    figure = _figure((10, 14))
    above, below = figure.subplots(2)
    broken = lived.broken.rule if lived.broken is not None else ""
    for axes, counts, what in (
        (above, lived.faults, "fault"),
        (below, lived.checks, "promise looked at"),
    ):
        colors = ["tab:red" if name == broken else "tab:blue" for name in counts]
        axes.barh(list(counts), list(counts.values()), color=colors)
        axes.set(xscale="symlog", xlabel=f"times, {what}")
        axes.invert_yaxis()
        axes.tick_params(axis="y", labelsize="x-small")
    return figure


def _reliability(axes: Any, made: Sequence[dict[str, Any]], policies: Sequence[str]) -> None:
    profiles = list(dict.fromkeys(row["profile"] for row in made))
    for number, profile in enumerate(profiles):
        ours = [r for r in made if r["profile"] == profile and r["reliability_pct"] is not None]
        places = [
            policies.index(r["name"]) + (number - (len(profiles) - 1) / 2) * 0.15 for r in ours
        ]
        losses = [max(100 - r["reliability_pct"], LEAST_LOSS_PCT) for r in ours]
        within = [r["ci95_pct"] or 0 for r in ours]
        least = [min(w, loss - LEAST_LOSS_PCT) for w, loss in zip(within, losses, strict=True)]
        axes.errorbar(places, losses, yerr=(least, within), fmt="o", capsize=3, label=profile)
    axes.set(yscale="log", ylabel="service while the path was usable, %")
    axes.set_yticks([100 - tick for tick in TICKS_PCT], labels=[f"{tick:g}" for tick in TICKS_PCT])
    axes.minorticks_off()
    axes.set_ylim(200, LEAST_LOSS_PCT / 2)
    axes.set_xticks(range(len(policies)), labels=policies, rotation=30, ha="right")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(ncols=len(profiles), fontsize="small")


def _shares(fleet: Fleet, name: str) -> tuple[list[float], list[float]]:
    """(seconds, how many percent took at most so long)."""
    buckets = fleet.histogram(name)
    whole, seen = sum(buckets), 0
    times, shares = [], []
    for bucket, number in enumerate(buckets[:-1]):
        seen += number
        if number:
            times.append(BUCKETS_US[bucket + 1] / 1e6)
            shares.append(100 * seen / whole)
    return times, shares


def _style(policy: str, number: int) -> dict[str, Any]:
    style: dict[str, Any] = {"color": f"C{number % 10}", "label": policy, "linewidth": 1}
    if number >= 10:
        style["linestyle"] = "--"
    if policy.startswith("steadwire"):
        style.update(linewidth=2.5, zorder=3)
    return style


def _figure(size: tuple[int, int]) -> Any:
    try:
        module = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ConfigError(
            f'a picture needs matplotlib, which is part of an extra: pip install "steadwire[sim]" '
            f"({error})"
        ) from None
    return module.Figure(figsize=size, layout="constrained")
