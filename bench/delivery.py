"""`./dev bench delivery`: what it costs that a message survives, and what that is worth.

  store     a durable outbox beside a bare loop of append and fdatasync; the lag while every
            sync takes 50 ms; listing; recovery (delivery_store.c)
  session   steadwire.v1 beside plain WebSocket, and bytes of overhead (delivery_session.c)
  faults    steadwire, Socket.IO and Paho MQTT under one fault script (delivery_faults.py)

Ratios are taken within a round and then reduced to their median.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import delivery_faults
from report import Report
from rich.console import Console

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = Path(os.environ.get("STW_BUILD", ROOT / "build/release"))

CASES = ("store", "session", "faults")
UNITS = {"single": "messages/s", "batched": "messages/s", "lag_ms": "ms", "list_ms": "ms"}
UNITS |= {"recover_s": "s", "echo": "messages/s", "overhead": "B"}


@contextlib.contextmanager
def server(name: str) -> Iterator[str]:
    """A server of ours; gives its port."""
    process = subprocess.Popen([BUILD / "bench" / name], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        word, port = process.stdout.readline().split()
        assert word == "ready"
        yield port
    finally:
        process.kill()
        process.wait()


def figures(program: str, *arguments: str) -> dict[str, dict[str, list[float]]]:
    """Runs a program and gives its figures: case, subject, one value a round."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    command = [str(BUILD / "bench" / program), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        case, subject, value = line.split()
        found[case][subject].append(float(value))
    return found


def add(report: Report, found: dict[str, dict[str, list[float]]]) -> None:
    for case, subjects in found.items():
        for subject, values in subjects.items():
            report.add(case, subject, "value", statistics.median(values), UNITS[case])


def add_ratio(
    report: Report, found: dict[str, dict[str, list[float]]], case: str, subject: str, base: str
) -> None:
    pairs = zip(found[case][subject], found[case][base], strict=True)
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    report.add(case, subject, f"ratio_{base}", ratio, "1")


def run_store(report: Report, rounds: int, folder: Path) -> None:
    with server("wire_server") as port:
        found = figures("delivery_store", str(folder), port, str(rounds))
    add(report, found)
    for case in ("single", "batched"):
        add_ratio(report, found, case, "steadwire", "bare")


def run_session(report: Report, rounds: int) -> None:
    with server("delivery_server") as port:
        found = figures("delivery_session", port, str(rounds))
    add(report, found)
    add_ratio(report, found, "echo", "session", "plain")


def run_faults(report: Report, console: Console) -> None:
    names = ["steadwire"]
    for name, program in (("socket.io", "node"), ("paho", "mosquitto")):
        if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"):
            names.append(name)
        else:
            console.print(f"{name} is left out: {program} is not installed")
    console.print(f"faults: {', '.join(names)} for about {delivery_faults.STEADY_S:g} s")
    asyncio.run(delivery_faults.run(report, names))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=CASES, help="measure this case only")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where files are written; decides the disk")
    parser.add_argument("--check", action="store_true", help="hold the figures against floors.toml")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    wanted = options.only or CASES
    console, report = Console(), Report("delivery")
    with tempfile.TemporaryDirectory(dir=options.folder or BUILD) as folder:
        if "store" in wanted:
            run_store(report, options.rounds, Path(folder))
    if "session" in wanted:
        run_session(report, options.rounds)
    if "faults" in wanted:
        run_faults(report, console)
    return report.finish(console, options.json, options.check)


if __name__ == "__main__":
    sys.exit(main())
