"""`steadwire simulate explore`: the engine's core among faults, every promise checked."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from steadwire._simulate import JOBS_MAX, OK, check_out, interruptible, whole, written
from steadwire._table import columns
from steadwire.sim.explore import LIVES_MAX, SEED_MAX, Exploration, explore, profiles, rules
from steadwire.sim.export import WRITERS, of_exploration, write

BROKEN = 1


def add_world(worlds: Any) -> None:
    """Adds `explore` to the worlds of `simulate`."""
    one = worlds.add_parser(
        "explore",
        help="lives of the engine's core among faults, every promise checked",
        description="Each seed is a life: conns, servers and hosts with all that can go wrong, and "
        "every promise of the design checked on the way. The first life that breaks one ends it.",
        epilog="Exit code: 0 all promises were kept, 1 one was broken (its seed is printed), "
        "or the file could not be written, 2 wrong usage.",
    )
    one.add_argument("--seed", default="1", metavar="N", help="of the first life; default 1")
    one.add_argument("--seeds", metavar="N", help="lives; default 10000, with --trace 1")
    one.add_argument("--profile", choices=profiles(), default="any", help="default any")
    one.add_argument("--jobs", metavar="N", help="threads; default one for each core")
    one.add_argument("--trace", action="store_true", help="the log of the last life")
    one.add_argument("--json", action="store_true", help="the report as JSON instead of a table")
    one.add_argument("--out", type=Path, metavar="FILE", help=f"by its name: {', '.join(WRITERS)}")
    one.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    check_out(arguments)
    seeds = arguments.seeds or ("1" if arguments.trace else "10000")
    count = whole(seeds, "--seeds", 1, LIVES_MAX)
    jobs = whole(arguments.jobs or str(os.cpu_count() or 1), "--jobs", 1, JOBS_MAX)
    is_shown = sys.stderr.isatty()

    def show(lives: int) -> None:
        if is_shown:
            print(f"\r\x1b[K{lives:,} of {count:,} lives", end="", file=sys.stderr)

    began = time.monotonic()
    with interruptible():
        lived = explore(
            seed=whole(arguments.seed, "--seed", 0, SEED_MAX),
            seeds=count,
            profile=arguments.profile,
            trace=arguments.trace,
            jobs=jobs,
            progress=show,
        )
    took = time.monotonic() - began
    if is_shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    _tell(lived, took, arguments)
    code = OK if lived.broken is None else BROKEN
    if arguments.out is None:
        return code
    return written(arguments.out, lambda path: write(path, of_exploration(lived)), "--out") or code


def _tell(lived: Exploration, took: float, arguments: argparse.Namespace) -> None:
    if arguments.trace:
        print(lived.trace, end="")
    if arguments.json:
        print(json.dumps(lived.as_dict()))
    elif not arguments.trace:
        print("\n".join(_table(lived)))
    if lived.broken is not None:
        print(
            f"steadwire: seed {lived.broken.seed} breaks {lived.broken.rule} "
            f"({_where(lived.broken.rule)}): {lived.broken.text}\n"
            f"steadwire: see it with: steadwire simulate explore --seed {lived.broken.seed} "
            f"--profile {arguments.profile} --trace",
            file=sys.stderr,
        )
    print(
        f"{lived.virtual_s:,.0f} virtual seconds in {took:.1f} s: "
        f"{lived.virtual_s / max(took, 1e-9):,.0f} times real time",
        file=sys.stderr,
    )


def _where(name: str) -> str:
    return next(f"{rule.where}: {rule.text}" for rule in rules() if rule.name == name)


def _table(lived: Exploration) -> list[str]:
    last = lived.seed + lived.lives - 1
    head = (
        f"seeds {lived.seed} to {last}: {lived.lives:,} lives, {lived.conns:,} conns, "
        f"{lived.links:,} links, {lived.messages:,} messages out and {lived.inbound:,} in, "
        f"{lived.steps:,} steps, {lived.virtual_s:,.0f} virtual seconds, "
        f"digest {lived.digest:016x}"
    )
    happened = [["fault", "times"], *([name, f"{n:,}"] for name, n in lived.faults.items())]
    looked = [
        ["promise", "made in", "looked at", "broken"],
        *(
            [
                rule.name,
                rule.where,
                f"{lived.checks[rule.name]:,}",
                "yes" if lived.broken and lived.broken.rule == rule.name else "no",
            ]
            for rule in rules()
        ),
    ]
    return [head, "", *columns(happened), "", *columns(looked)]
