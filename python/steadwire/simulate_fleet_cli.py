"""`steadwire simulate fleet` and `steadwire simulate trace`: days of many clients."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from steadwire._progress import Progress
from steadwire._simulate import (
    EPILOG,
    add_common,
    check_out,
    names_in,
    runner_of,
    seeds_of,
    set_run,
    show,
    whole,
    written,
)
from steadwire.errors import ConfigError
from steadwire.sim.export import of_sketch
from steadwire.sim.fleet import (
    CLIENTS_MAX,
    DAYS_MAX,
    MIX,
    POLICIES,
    PROFILES,
    World,
    check,
    idle_interval_of,
    interval_of,
    parts,
)
from steadwire.sim.report import report, rows
from steadwire.sim.sketch import Sketch
from steadwire.sim.study import Lived, collect, shards_of
from steadwire.sim.traces import Trace, load

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
        epilog=EPILOG,
    )
    one.add_argument(
        "--profile", choices=[*PROFILES, MIX], default=MIX, help="default mix: 40/40/20"
    )
    _add_options(one, clients="200", days="90")
    set_run(one, _run_fleet)
    one = worlds.add_parser(
        "trace",
        help="clients live on a recorded path",
        description="Replays a mahimahi trace or the output of ping -D in place of the faults.",
        epilog=EPILOG,
    )
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument("--profile", choices=PROFILES, default="mobile", help="default mobile")
    _add_options(one, clients="20", days=None)
    set_run(one, _run_trace)


def _add_options(one: argparse.ArgumentParser, clients: str, days: str | None) -> None:
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
    one.add_argument("--no-hints", action="store_true", help="the system tells nothing")
    one.add_argument("--no-drain", action="store_true", help="servers end without a word before")
    one.add_argument("--no-hedge", action="store_true", help="never a second link")
    one.add_argument(
        "--event-level",
        action="store_true",
        help="a step for every packet: slower, and the same to the last byte",
    )
    one.add_argument("--log", type=Path, metavar="FILE", help="all that happens, a line each")
    add_common(one)


def _run_fleet(arguments: argparse.Namespace) -> int:
    days = _days(arguments.days)
    clients = whole(arguments.clients, "--clients", 1, CLIENTS_MAX)
    shares = parts(arguments.profile, clients)
    return _run(arguments, shares, World(days=days, **_switches(arguments)))


def _run_trace(arguments: argparse.Namespace) -> int:
    trace: Trace = load(arguments.file)
    days = trace.us / 86_400e6 if arguments.days is None else _days(arguments.days)
    clients = whole(arguments.clients, "--clients", 1, CLIENTS_MAX)
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
    check_out(arguments)
    _check_log(arguments.log, arguments.out)
    seeds = seeds_of(arguments)
    worlds = [
        replace(world, policy=policy, profile=profile, seed=seed)
        for policy in names_in(arguments.policies, POLICIES)
        for profile in shares
        for seed in seeds
    ]
    check(worlds[0])
    lived = _lived(arguments, worlds, shares)
    made = report(lived.sketch)
    heading = _heading(arguments, sum(shares.values()), world.days, len(seeds))
    results = of_sketch(lived.sketch, made)
    code = show(arguments, heading, lambda: _table(lived.sketch), results)
    if arguments.log is None:
        return code
    return written(arguments.log, lambda path: path.write_bytes(lived.log), "--log") or code


def _check_log(path: Path | None, out: Path | None) -> None:
    if path is None:
        return
    if out is not None and path.absolute() == out.absolute():
        raise ConfigError(f"--out and --log both name {path}")
    if not path.parent.is_dir():
        raise ConfigError(f"--log {path}: there is no folder {path.parent}")


def _lived(arguments: argparse.Namespace, worlds: Sequence[World], shares: dict[str, int]) -> Lived:
    clients = sum(shares[world.profile] for world in worlds)
    with runner_of(arguments) as run, Progress(clients, arguments.progress) as progress:
        return collect(
            shards_of(worlds, shares),
            run,
            lambda shard: progress.advance(
                shard.clients, f"{shard.world.policy}, {shard.world.profile}"
            ),
        )


def _heading(arguments: argparse.Namespace, clients: int, days: float, seeds: int) -> str:
    many = f" of each of {seeds} seeds" if seeds > 1 else ""
    over = f"the {seeds} seeds" if seeds > 1 else "the clients"
    return (
        f"{clients:,} clients{many}, {days:g} days, profile {arguments.profile}; "
        f"± is half of the 95 % interval over {over}"
    )


def _table(sketch: Sketch) -> list[list[str]]:
    return [list(HEADINGS), *(list(_cells(row)) for row in rows(sketch))]


def _cells(row: dict[str, Any]) -> Iterator[str]:
    within = row.get("ci95", {})
    yield from (row["name"], row["profile"])
    yield _cell(row["reliability_pct"], row["ci95_pct"], 4)
    yield _cell(row["lost_s_per_day"], None, 1)
    for name in ("detect_s", "silent_detect_s", "restore_s"):
        for part, value in row[name].items():
            yield _cell(value, within.get(name, {}).get(part), 2)
    for name in ("false_alarms_per_day", "late_pct"):
        yield _cell(row[name], within.get(name), 2)
    yield str(row["lost_messages"])
    yield _cell(row["heartbeat_bytes_per_day"] / 1024, None, 0)


def _cell(value: float | None, within: float | None, decimals: int) -> str:
    if value is None:
        return "-"
    text = f"{value:.{decimals}f}"
    return text if within is None else f"{text} ± {within:.{decimals}f}"


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        raise ConfigError(f"--days must be a number, not {text[:40]!r}") from None
    if not 0 < days <= DAYS_MAX:
        raise ConfigError(f"--days must be more than 0 and at most {DAYS_MAX}, not {text[:40]!r}")
    return days
