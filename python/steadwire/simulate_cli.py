"""The command `steadwire simulate`: imagined worlds, in virtual time.

Exit code 0: done; 1: the study could not go on, a file could not be written, or a promise was
broken; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from steadwire import simulate_explore_cli, simulate_fleet_cli
from steadwire._progress import Progress
from steadwire._simulate import (
    EPILOG,
    JOBS_MAX,
    add_common,
    check_out,
    names_in,
    runner_of,
    seeds_of,
    set_run,
    show,
    whole,
)
from steadwire._units import seconds
from steadwire.sim import Herd, herd, policies
from steadwire.sim.export import of_herds
from steadwire.sim.fleet import CLIENTS_MAX
from steadwire.sim.herd import SERVERS
from steadwire.sim.report import half_interval

CAPACITY_MAX = 1_000_000
ALONE_ABOVE = 2_000_000
"""Larger herds are lived one at a time: each of them takes 200 bytes a client."""

FIGURES: dict[str, tuple[str, int]] = {
    "peak_over_capacity": ("peak / capacity", 2),
    "attempts_per_client": ("attempts each", 2),
    "t50_s": ("50 % back, s", 1),
    "t99_s": ("99 % back, s", 1),
    "t100_s": ("all back, s", 1),
    "reconnected_pct": ("back, %", 1),
}
"""Figures of the report: heading and decimals in the table."""


class Ask(NamedTuple):
    """A herd to be lived."""

    policy: str
    seed: int


def add_command(commands: Any) -> None:
    """Adds the command to a parser's commands."""
    command = commands.add_parser(
        "simulate",
        help="see what would happen to many clients",
        description="Lives through imagined worlds in virtual time, with the engine's own code.",
    )
    worlds = command.add_subparsers(required=True, metavar="WORLD")
    _add_herd(worlds)
    simulate_fleet_cli.add_worlds(worlds)
    simulate_explore_cli.add_world(worlds)


def _add_herd(worlds: Any) -> None:
    names = ", ".join(policy.name for policy in policies())
    one = worlds.add_parser(
        "herd",
        help="all clients are dropped at once and come back to one server",
        description="Drops all clients at once. The server is down for a while, then does so many "
        "handshakes a second; clients try again by one policy or another.",
        epilog=EPILOG,
    )
    one.add_argument("--clients", default="100000", metavar="N", help="default 100000")
    one.add_argument(
        "--capacity", default="5000", metavar="N", help="handshakes a second; default 5000"
    )
    one.add_argument("--down", default="5s", metavar="TIME", help="of the server; default 5s")
    one.add_argument(
        "--server",
        choices=SERVERS,
        default="shed",
        help="shed refuses what would wait for more than 2 s; naive queues without end; "
        "default shed",
    )
    one.add_argument(
        "--no-retry-after",
        action="store_true",
        help="a shedding server does not say when to come back",
    )
    one.add_argument(
        "--retry-window", default="4s", metavar="TIME", help="of ours without a hint; default 4s"
    )
    one.add_argument("--policies", default="all", metavar="NAME,...", help=f"default all: {names}")
    add_common(one)
    set_run(one, _run_herd)


def _run_herd(arguments: argparse.Namespace) -> int:
    check_out(arguments)
    clients = whole(arguments.clients, "--clients", 1, CLIENTS_MAX)
    capacity = whole(arguments.capacity, "--capacity", 1, CAPACITY_MAX)
    seeds = seeds_of(arguments)
    named = names_in(arguments.policies, [policy.name for policy in policies()])
    asks = [Ask(name, seed) for name in named for seed in seeds]
    live = partial(
        _live,
        clients=clients,
        capacity=capacity,
        down=seconds(arguments.down, "--down"),
        server=arguments.server,
        retry_window=seconds(arguments.retry_window, "--retry-window"),
        retry_after=not arguments.no_retry_after,
    )
    lived: dict[int, Herd] = {}
    most = 1 if clients > ALONE_ABOVE else JOBS_MAX
    with runner_of(arguments, most) as run, Progress(len(asks), arguments.progress) as progress:
        for place, one in run(live, asks):
            lived[place] = one
            progress.advance(1, one.policy)
    herds = [lived[place] for place in range(len(asks))]
    report = _report(herds, seeds)
    heading = _heading(herds[0], arguments, clients, capacity, len(seeds))
    return show(arguments, heading, lambda: _rows(report), of_herds(herds, report))


def _live(ask: Ask, **world: Any) -> Herd:
    return herd(policy=ask.policy, seed=ask.seed, **world)


def _report(herds: Sequence[Herd], seeds: range) -> dict[str, Any]:
    """One seed: its figures.  More: means, and how far 95 % of such means lie from the truth."""
    names = dict.fromkeys(lived.policy for lived in herds)
    rows = [_summary([h.as_dict() for h in herds if h.policy == name]) for name in names]
    if len(seeds) == 1:
        return {"seed": seeds[0], "policies": rows}
    return {"seed": seeds[0], "seeds": len(seeds), "policies": rows}


def _summary(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if len(figures) == 1:
        return figures[0]
    row: dict[str, Any] = {"name": figures[0]["name"]}
    within: dict[str, float | None] = {}
    for figure in FIGURES:
        values = [one[figure] for one in figures]
        is_whole = None not in values
        row[figure] = statistics.fmean(values) if is_whole else None
        within[figure] = half_interval(values)
    return {**row, "ci95": within}


def _heading(
    one: Herd, arguments: argparse.Namespace, clients: int, capacity: int, seeds: int
) -> str:
    many = f"; means of {seeds} seeds with 95 % intervals" if seeds > 1 else ""
    return (
        f"{clients:,} clients, {capacity:,} handshakes/s, {arguments.server} server, down for "
        f"{seconds(arguments.down):g} s: at best all are back after {one.optimum_s:.1f} s; "
        f"watched for {one.stop_s:,.0f} s{many}"
    )


def _rows(report: dict[str, Any]) -> list[list[str]]:
    rows = [["policy", *(heading for heading, _decimals in FIGURES.values())]]
    for row in report["policies"]:
        within = row.get("ci95", {})
        cells = [
            _cell(row[figure], within.get(figure), decimals)
            for figure, (_heading, decimals) in FIGURES.items()
        ]
        rows.append([row["name"], *cells])
    return rows


def _cell(value: float | None, within: float | None, decimals: int) -> str:
    if value is None:
        return "never"
    text = f"{value:.{decimals}f}"
    return text if within is None else f"{text} ± {within:.{decimals}f}"
