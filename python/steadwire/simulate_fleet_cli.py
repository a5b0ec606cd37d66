"""`steadwire simulate fleet` and `steadwire simulate trace`: days of many clients."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from steadwire._simulate import CLIENTS_MAX, OK, SEEDS_MAX, UNWRITTEN, interruptible, names_in
from steadwire._table import columns
from steadwire.errors import ConfigError
from steadwire.sim.fleet import (
    MIX,
    POLICIES,
    PROFILES,
    Fleet,
    World,
    check,
    idle_interval_of,
    interval_of,
    mixed,
    parts,
    simulate,
)
from steadwire.sim.traces import Trace, load

JOBS_MAX = 1024
ENDINGS = (".csv", ".json")

HEADINGS = (
    *("policy", "profile", "reliability, %", "lost, s/day", "seen, s", "p99"),
    *("silent seen, s", "p99", "back, s", "p99"),
    *("false/day", "late, %", "lost", "heartbeat, KiB/day"),
)


def add_worlds(worlds: Any) -> None:
    """Adds `fleet` and `trace` to the worlds of `simulate`."""
    one = worlds.add_parser(
        "fleet",
        help="clients live for days on a faulty network",
        description="Clients live with gaps, outages, handovers, sleeps, silent deaths of links, "
        "deploys and crashes; the policy steadwire is the engine's own code.",
        epilog="Exit code: 0 done, 1 a file could not be written, 2 wrong usage.",
    )
    one.add_argument(
        "--profile", choices=[*PROFILES, MIX], default=MIX, help="default mix: 40/40/20"
    )
    _add_common(one, clients="200", days="90")
    one.set_defaults(run=_run_fleet)
    one = worlds.add_parser(
        "trace",
        help="clients live on a recorded path",
        description="Replays a mahimahi trace or the output of ping -D in place of the faults.",
        epilog="Exit code: 0 done, 1 a file could not be written, 2 wrong usage.",
    )
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument("--profile", choices=PROFILES, default="mobile", help="default mobile")
    _add_common(one, clients="20", days=None)
    one.set_defaults(run=_run_trace)


def _add_common(one: argparse.ArgumentParser, clients: str, days: str | None) -> None:
    names = ", ".join(POLICIES)
    length = f"of virtual time; default {days or 'once through the trace'}"
    one.add_argument("--clients", default=clients, metavar="N", help=f"default {clients}")
    one.add_argument("--days", default=days, metavar="D", help=length)
    one.add_argument(
        "--policies", default="steadwire,fixed", metavar="NAME,...", help=f"all, or of: {names}"
    )
    one.add_argument(
        "--interval", metavar="TIME", help="of the heartbeat; default the policy's own"
    )
    one.add_argument(
        "--idle-interval",
        metavar="TIME",
        help="of steadwire's links on which nobody talks; auto: learnt; default the same",
    )
    one.add_argument("--seed", default="1", metavar="N", help="default 1")
    one.add_argument("--seeds", default="1", metavar="N", help="so many fleets, added up")
    one.add_argument("--no-hints", action="store_true", help="the system tells nothing")
    one.add_argument("--no-drain", action="store_true", help="servers end without a word before")
    one.add_argument("--no-hedge", action="store_true", help="never a second link")
    one.add_argument(
        "--event-level",
        action="store_true",
        help="a step for every packet: slower, and the same to the last byte",
    )
    one.add_argument("--jobs", metavar="N", help="processes; default one for each core")
    one.add_argument("--json", action="store_true", help="the report as JSON instead of a table")
    one.add_argument("--out", type=Path, metavar="FILE", help="the report as .json or .csv")
    one.add_argument("--log", type=Path, metavar="FILE", help="all that happens, a line each")


def _run_fleet(arguments: argparse.Namespace) -> int:
    days = _days(arguments.days)
    clients = _whole(arguments.clients, "--clients", 1, CLIENTS_MAX)
    shares = parts(arguments.profile, clients)
    return _run(arguments, shares, World(days=days, **_switches(arguments)))


def _run_trace(arguments: argparse.Namespace) -> int:
    trace: Trace = load(arguments.file)
    days = trace.us / 86_400e6 if arguments.days is None else _days(arguments.days)
    clients = _whole(arguments.clients, "--clients", 1, CLIENTS_MAX)
    steps = trace.repeated(days)
    print(
        f"{trace.name}: {trace.us / 1e6:,.0f} s with {trace.gaps} gaps", file=sys.stderr, flush=True
    )
    world = World(days=days, steps=steps, **_switches(arguments))
    return _run(arguments, {arguments.profile: clients}, world)


def _switches(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "interval_ms": interval_of(arguments.interval),
        "idle_interval_ms": idle_interval_of(arguments.idle_interval),
        "hints": not arguments.no_hints,
        "drain": not arguments.no_drain,
        "hedge": not arguments.no_hedge,
        "log": arguments.log is not None,
        "event_level": arguments.event_level,
    }


def _run(arguments: argparse.Namespace, shares: dict[str, int], world: World) -> int:
    seed = _whole(arguments.seed, "--seed", 0, 2**63)
    seeds = range(seed, seed + _whole(arguments.seeds, "--seeds", 1, SEEDS_MAX))
    cores = str(os.cpu_count() or 1)
    jobs = _whole(arguments.jobs or cores, "--jobs", 1, JOBS_MAX)
    if arguments.out is not None and arguments.out.suffix not in ENDINGS:
        raise ConfigError(f"--out {arguments.out}: the name must end with {' or '.join(ENDINGS)}")
    policies = _chosen(arguments.policies)
    worlds = [
        replace(world, policy=policy, profile=profile, seed=one)
        for policy in policies
        for profile in shares
        for one in seeds
    ]
    for one in worlds:
        check(one)
    fleets = _simulated(worlds, shares, jobs)
    report = _report(fleets, seeds)
    if arguments.json:
        print(json.dumps(report))
    else:
        print("\n".join(columns([HEADINGS, *map(_cells, report["policies"])])))
    return _write(arguments, report, fleets)


def _simulated(worlds: Sequence[World], shares: dict[str, int], jobs: int) -> list[Fleet]:
    """One fleet for each policy and profile, its seeds added up."""
    whole: dict[tuple[str, str], Fleet] = {}
    with interruptible(), ProcessPoolExecutor(jobs) as pool:
        for profile, clients in shares.items():
            chosen = [world for world in worlds if world.profile == profile]
            for one in simulate(chosen, clients, pool):
                key = (one.policy, one.profile)
                whole[key] = whole[key] + one if key in whole else one
    return [whole[key] for key in dict.fromkeys((w.policy, w.profile) for w in worlds)]


def _report(fleets: Sequence[Fleet], seeds: range) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for policy in dict.fromkeys(one.policy for one in fleets):
        ours = [one for one in fleets if one.policy == policy]
        rows.extend(one.as_dict() for one in ours)
        if len(ours) > 1:
            rows.append(mixed(ours))
    report = {"seed": seeds[0], "policies": rows}
    return report if len(seeds) == 1 else {**report, "seeds": len(seeds)}


def _write(arguments: argparse.Namespace, report: dict[str, Any], fleets: Sequence[Fleet]) -> int:
    path = arguments.out
    try:
        if path is not None and path.suffix == ".json":
            path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        elif path is not None:
            with path.open("w", encoding="utf-8", newline="") as file:
                table = csv.DictWriter(file, _flat(report["policies"][0]))
                table.writeheader()
                table.writerows(map(_flat, report["policies"]))
        path = arguments.log
        if path is not None:
            path.write_bytes(b"".join(one.log for one in fleets))
    except OSError as error:
        print(f"steadwire: {path}: {error.strerror}", file=sys.stderr)
        return UNWRITTEN
    return OK


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat.update({f"{key}_{inner}": one for inner, one in value.items()})
        else:
            flat[key] = value
    return flat


def _cells(row: dict[str, Any]) -> list[str]:
    within = "" if row["ci95_pct"] is None else f" ± {row['ci95_pct']:.4f}"
    spreads = [
        "-" if value is None else f"{value:.2f}"
        for name in ("detect_s", "silent_detect_s", "restore_s")
        for value in row[name].values()
    ]
    return [
        *(row["name"], row["profile"], f"{row['reliability_pct']:.4f}{within}"),
        f"{row['lost_s_per_day']:.1f}",
        *spreads,
        f"{row['false_alarms_per_day']:.2f}",
        f"{row['late_pct']:.2f}",
        str(row["lost_messages"]),
        f"{row['heartbeat_bytes_per_day'] / 1024:.0f}",
    ]


def _chosen(text: str) -> list[str]:
    if text == "all":
        return list(POLICIES)
    return names_in(text, POLICIES)


def _days(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--days must be a number, not {text!r}") from None


def _whole(text: str, option: str, least: int, most: int) -> int:
    number = int(text) if text.isascii() and text.isdigit() else least - 1
    if not least <= number <= most:
        raise ConfigError(
            f"{option} must be a whole number from {least:,} to {most:,}, not {text!r}"
        )
    return number
