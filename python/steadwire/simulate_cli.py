"""The command `steadwire simulate`: imagined worlds, in virtual time.

Exit code 0: done; 1: the file could not be written, or a promise was broken; 2: wrong usage.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from steadwire import simulate_explore_cli, simulate_fleet_cli
from steadwire._simulate import CLIENTS_MAX, OK, SEEDS_MAX, UNWRITTEN, interruptible, names_in
from steadwire._table import columns
from steadwire._units import seconds
from steadwire.errors import ConfigError
from steadwire.sim import Herd, herd, policies
from steadwire.sim.export import check_target, write
from steadwire.sim.herd import SERVERS

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

# Student's t for 95 %, by degrees of freedom from 1.
STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


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
        epilog="Exit code: 0 done, 1 the file could not be written, 2 wrong usage.",
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
    one.add_argument("--policies", metavar="NAME,...", help=f"default all: {names}")
    one.add_argument("--seed", default="1", metavar="N", help="default 1")
    one.add_argument(
        "--seeds", default="1", metavar="N", help="so many seeds, with intervals of 95 %%"
    )
    one.add_argument(
        "--out", type=Path, metavar="FILE", help=".csv, .json, .parquet or .png, by its name"
    )
    one.add_argument("--json", action="store_true", help="the report as JSON instead of a table")
    one.set_defaults(run=_run_herd)


def _run_herd(arguments: argparse.Namespace) -> int:
    if arguments.out is not None:
        check_target(arguments.out)
    clients = _whole(arguments.clients, "--clients", 1, CLIENTS_MAX)
    capacity = _whole(arguments.capacity, "--capacity", 1, CAPACITY_MAX)
    seed = _whole(arguments.seed, "--seed", 0, 2**63)
    seeds = range(seed, seed + _whole(arguments.seeds, "--seeds", 1, SEEDS_MAX))
    run = partial(
        herd,
        clients=clients,
        capacity=capacity,
        down=seconds(arguments.down, "--down"),
        server=arguments.server,
        retry_window=seconds(arguments.retry_window, "--retry-window"),
        retry_after=not arguments.no_retry_after,
    )
    jobs = [(name, one) for name in _chosen(arguments.policies) for one in seeds]
    workers = 1 if clients > ALONE_ABOVE else os.cpu_count() or 1
    with interruptible():
        herds = list(_lived(jobs, run, workers))
    report = _report(herds, seeds)
    if arguments.json:
        print(json.dumps(report))
    else:
        print(_heading(herds[0], arguments, clients, capacity, len(seeds)))
        print("\n".join(columns(_rows(report))))
    if arguments.out is None:
        return OK
    try:
        write(arguments.out, herds, report)
    except OSError as error:
        print(f"steadwire: --out {arguments.out}: {error.strerror}", file=sys.stderr)
        return UNWRITTEN
    return OK


def _whole(text: str, option: str, least: int, most: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise ConfigError(
            f"{option} must be a whole number from {least:,} to {most:,}, not {text!r}"
        )
    return number


def _chosen(text: str | None) -> list[str]:
    known = [policy.name for policy in policies()]
    if text is None:
        return known
    chosen = names_in(text, known)
    for name in chosen:
        if name not in known:
            raise ConfigError(f"--policies: {name!r} is none of {', '.join(known)}")
    return chosen


def _lived(
    jobs: Sequence[tuple[str, int]], run: Callable[..., Herd], workers: int
) -> Iterator[Herd]:
    """The herds in the order of the jobs, whichever thread is done first."""
    is_shown = sys.stderr.isatty()
    with ThreadPoolExecutor(workers) as threads:
        done = threads.map(lambda job: run(policy=job[0], seed=job[1]), jobs)
        for number, ((name, _seed), lived) in enumerate(zip(jobs, done, strict=True), 1):
            if is_shown:
                print(f"\r\x1b[K{number} of {len(jobs)}: {name}", end="", file=sys.stderr)
            yield lived
    if is_shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


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
        within[figure] = _half_interval(values) if is_whole else None
    return {**row, "ci95": within}


def _half_interval(values: Sequence[float]) -> float:
    freedom = len(values) - 1
    student = STUDENT[freedom - 1] if freedom <= len(STUDENT) else 1.96 + 2.4 / freedom
    return student * statistics.stdev(values) / math.sqrt(len(values))


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
