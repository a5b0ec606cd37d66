"""`./dev bench wire`: what the wire costs, beside a hand-written C client and four libraries.

All subjects talk to the same server (wire_server.c) and measure the same cases. A case is measured
in rounds; in each round every subject has one turn, in an order that rotates, so that a slow minute
of the machine hits all of them. Ratios are taken within a round and only then reduced to their
median: compare ratios, not rates. Nothing is pinned to a core: server, application and engine are
three threads, and a machine of two cores that pinned them would measure the pinning.

Round trips count from the call that sends to the message in the application. Rates count only what
the application has received, or, when sending, what the server has confirmed to have taken.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

from report import Report, figure
from rich.console import Console
from rich.table import Table

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BUILD = Path(os.environ.get("STW_BUILD", ROOT / "build/release"))
NODE_PATH = os.environ.get("NODE_PATH", str(ROOT / "tests/node_modules"))
LUA = os.environ.get("STW_LUA", "lua5.4")
ANSWER_TIMEOUT_S = 60
REFERENCES = ("limit", "websockets", "picows", "aiohttp", "ws")


class Case(NamedTuple):
    name: str
    kind: str
    size: int
    window: int


CASES = [
    Case("rtt-32", "rtt", 32, 1),
    Case("echo-32", "echo", 32, 256),
    Case("echo-1k", "echo", 1 << 10, 256),
    Case("send-1k", "send", 1 << 10, 1),
    Case("send-64k", "send", 64 << 10, 1),
    Case("receive-32", "receive", 32, 1),
    Case("receive-1k", "receive", 1 << 10, 1),
    Case("receive-64k", "receive", 64 << 10, 1),
]
EXTRAS = ("syscalls", "idle", "heartbeat", "reconnect")


class Subject(NamedTuple):
    name: str
    command: list[str]
    file: Path  # without it the subject is absent
    arguments: list[str] = []

    def argv(self, port: int) -> list[str]:
        return [*self.command, str(self.file), str(port), *self.arguments]


def subjects() -> list[Subject]:
    python = [sys.executable]
    steadwire_py = BENCH / "steadwire_py.py"
    return [
        Subject("limit", [], BUILD / "bench/wire_limit"),
        Subject("steadwire-c", [], BUILD / "bench/wire_steadwire"),
        Subject("steadwire-py-await", python, steadwire_py, ["await"]),
        Subject("steadwire-py-sync", python, steadwire_py, ["sync"]),
        Subject("steadwire-py-batch", python, steadwire_py, ["batch"]),
        Subject("steadwire-lua", [LUA], BENCH / "steadwire_lua.lua"),
        Subject("websockets", python, BENCH / "peer_websockets.py"),
        Subject("picows", python, BENCH / "peer_picows.py"),
        Subject("aiohttp", python, BENCH / "peer_aiohttp.py"),
        Subject("ws", ["node"], BENCH / "peer_ws.js"),
    ]


class Failure(Exception):
    """A subject that could not be measured; the text says why."""


def environment() -> dict[str, str]:
    return os.environ | {"NODE_PATH": NODE_PATH, "PYTHONDONTWRITEBYTECODE": "1"}


def text_of(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


class Client:
    """A running client program: one line in, one JSON line out."""

    def __init__(self, argv: list[str]) -> None:
        self.errors = tempfile.TemporaryFile("w+")
        pipe = subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                argv, stdin=pipe, stdout=pipe, stderr=self.errors, text=True, env=environment()
            )
        except OSError as error:
            raise Failure(str(error)) from error

    def ask(self, kind: str, size: int, window: int, seconds: float) -> dict[str, Any]:
        timer = threading.Timer(ANSWER_TIMEOUT_S, self.process.kill)
        timer.start()
        try:
            stdin = text_of(self.process.stdin)
            stdin.write(f"{kind} {size} {window} {seconds}\n")
            stdin.flush()
            line = text_of(self.process.stdout).readline()
            if not line:
                raise Failure(self.why())
            answer: dict[str, Any] = json.loads(line)
            return answer
        except BrokenPipeError:
            raise Failure(self.why()) from None
        finally:
            timer.cancel()

    def why(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return f"exit {code}: {lines[-1] if lines else 'no message'}"

    def close(self) -> None:
        try:
            text_of(self.process.stdin).close()
            self.process.wait(5)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        text_of(self.process.stdout).close()
        self.errors.close()


class Server:
    """wire_server in its own process."""

    def __enter__(self) -> Server:
        path = BUILD / "bench/wire_server"
        if not path.exists():
            raise SystemExit(f"{path} is missing: build the target bench first (./dev build)")
        self.process = subprocess.Popen([str(path)], stdout=subprocess.PIPE, text=True)
        self.port = int(text_of(self.process.stdout).readline().split()[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


class Run:
    """One run of the bench: the running clients, what they answered and what failed."""

    def __init__(self, port: int, chosen: Iterable[Subject]) -> None:
        self.port = port
        self.subjects = list(chosen)
        self.clients: dict[str, Client] = {}
        self.failures: dict[tuple[str, str], str] = {}
        self.started = time.monotonic()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:4.0f} s] {text}", file=sys.stderr, flush=True)

    def measure(self, subject: Subject, case: Case, seconds: float) -> dict[str, Any] | None:
        """One turn of one subject; None, and remembered, where it fails."""
        if (case.name, subject.name) in self.failures:
            return None
        try:
            if not subject.file.exists():
                raise Failure(f"{subject.file.name} is not there")
            if subject.name not in self.clients:
                self.clients[subject.name] = Client(subject.argv(self.port))
            return self.clients[subject.name].ask(case.kind, case.size, case.window, seconds)
        except Failure as failure:
            self.failures[case.name, subject.name] = str(failure)
            if client := self.clients.pop(subject.name, None):
                client.close()
            self.say(f"{case.name}: {subject.name} failed: {failure}")
            return None

    def rounds(self, case: Case, rounds: int, seconds: float) -> list[dict[str, dict[str, Any]]]:
        """A short turn each to warm up, then the rounds; a round maps subject to answer.

        A round trip lasts up to four times longer where its threads sleep on different cores, and
        a connection keeps its luck. So round trips get twice the rounds, of half the length.
        """
        if case.kind == "rtt":
            rounds, seconds = rounds * 2, seconds / 2
        for subject in self.subjects:
            self.measure(subject, case, seconds / 4)
        done = []
        for number in range(rounds):
            self.say(f"{case.name}, round {number + 1} of {rounds}")
            shift = number % len(self.subjects)
            answers: dict[str, dict[str, Any]] = {}
            for subject in self.subjects[shift:] + self.subjects[:shift]:
                if answer := self.measure(subject, case, seconds):
                    answers[subject.name] = answer
            done.append(answers)
        return done

    def close(self) -> None:
        for client in self.clients.values():
            client.close()


def main_figure(case: Case, answer: dict[str, Any]) -> float:
    """What is compared: the p50 of round trips, else the rate."""
    return float(answer["p50_us"] if case.kind == "rtt" else answer["msgs"] / answer["seconds"])


def reduce(report: Report, case: Case, rounds: list[dict[str, dict[str, Any]]]) -> None:
    """Adds the medians of one case to the report."""
    names = dict.fromkeys(name for answers in rounds for name in answers)
    for name in names:
        answers = [answers[name] for answers in rounds if name in answers]
        figures = [main_figure(case, answer) for answer in answers]

        def add(metric: str, value: float, unit: str, name: str = name) -> None:
            report.add(case.name, name, metric, value, unit)

        metric, unit = ("p50", "us") if case.kind == "rtt" else ("rate", "msg/s")
        add(metric, statistics.median(figures), unit)
        add(f"{metric}_min", min(figures), unit)
        add(f"{metric}_max", max(figures), unit)
        if case.kind == "rtt":
            add("p99", statistics.median(answer["p99_us"] for answer in answers), "us")
        cpu = (answer["cpu_s"] / answer["msgs"] * 1e6 for answer in answers)
        add("cpu", statistics.median(cpu), "us/msg")
        for reference in REFERENCES:
            ratios = [
                main_figure(case, answers[name]) / main_figure(case, answers[reference])
                for answers in rounds
                if name in answers and reference in answers
            ]
            if ratios:
                add(f"ratio_{reference}", statistics.median(ratios), "x")
                add(f"ratio_{reference}_min", min(ratios), "x")
                add(f"ratio_{reference}_max", max(ratios), "x")


# ---- the extra rows: each in a process of its own ----


def count_syscalls(run: Run, subject: Subject, seconds: float) -> tuple[int, int, int]:
    """System calls, epoll_ctl calls and messages of echo 32 B, window 256, all threads, by strace.

    The start and end of the process are subtracted, measured on a run without a case.
    """
    if shutil.which("strace") is None:
        raise Failure("strace is not installed")
    counts = []
    msgs = 0
    for has_case in (False, True):
        with tempfile.NamedTemporaryFile("r") as table:
            client = Client(["strace", "-f", "-c", "-o", table.name, *subject.argv(run.port)])
            try:
                if has_case:
                    msgs = client.ask("echo", 32, 256, seconds)["msgs"]
            finally:
                client.close()
            counts.append(parse_strace(table.read()))
    (calls, epoll), (base_calls, base_epoll) = counts[1], counts[0]
    return calls - base_calls, epoll - base_epoll, msgs


def parse_strace(text: str) -> tuple[int, int]:
    """All calls and the epoll_ctl calls in a table of `strace -c`."""
    calls = epoll = 0
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 5 and re.fullmatch(r"[0-9.]+", words[0]) and words[3].isdigit():
            if words[-1] == "total":
                continue
            calls += int(words[3])
            epoll += int(words[3]) if words[-1] == "epoll_ctl" else 0
    return calls, epoll


def ask_once(run: Run, subject: Subject, kind: str, window: int, seconds: float) -> dict[str, Any]:
    """One case in a fresh process, so that nothing that ran before is in its memory."""
    client = Client(subject.argv(run.port))
    try:
        return client.ask(kind, 0, window, seconds)
    finally:
        client.close()


def measure_extra(run: Run, report: Report, extra: str, subject: Subject, is_quick: bool) -> None:
    def add(metric: str, value: float, unit: str) -> None:
        report.add(extra, subject.name, metric, value, unit)

    if extra == "syscalls":
        calls, epoll, msgs = count_syscalls(run, subject, 0.5 if is_quick else 2)
        add("syscalls_per_msg", calls / msgs, "1/msg")
        add("epoll_ctl_per_msg", epoll / msgs, "1/msg")
    elif extra == "idle":
        answer = ask_once(run, subject, "idle", 1000, 1)
        add("rss_per_conn", answer["rss_kib"] / answer["msgs"], "KiB")
        add("rss_engine", answer["engine_kib"], "KiB")
    elif extra == "heartbeat":
        answer = ask_once(run, subject, "heartbeat", 2000, 4 if is_quick else 12)
        add("cpu_each", answer["cpu_s"] / answer["msgs"] * 1e6, "us")
    else:
        answers = [
            ask_once(run, subject, "reconnect", 50 if is_quick else 300, 1)
            for _ in range(1 if is_quick else 5)
        ]
        for name in ("p50", "p99"):
            add(f"{name}_ms", statistics.median(one[f"{name}_us"] for one in answers) / 1e3, "ms")


def measure_extras(run: Run, report: Report, extras: Iterable[str], is_quick: bool) -> None:
    by_name = {subject.name: subject for subject in subjects()}
    for extra in extras:
        names = ("limit", "steadwire-c") if extra == "syscalls" else ("steadwire-c",)
        for name in names:
            run.say(f"{extra}: {name}")
            try:
                if not by_name[name].file.exists():
                    raise Failure(f"{by_name[name].file.name} is not there")
                measure_extra(run, report, extra, by_name[name], is_quick)
            except Failure as failure:
                run.failures[extra, name] = str(failure)
                run.say(f"{extra}: {name} failed: {failure}")


# ---- the table ----


def ratio_cell(report: Report, case: str, subject: str, reference: str) -> str:
    value = report.value(case, subject, f"ratio_{reference}")
    if value is None:
        return "-"
    if reference != "limit":
        return f"{value:.3g}"
    low = report.value(case, subject, "ratio_limit_min")
    high = report.value(case, subject, "ratio_limit_max")
    return f"{value:.3g} [{low:.2g}-{high:.2g}]"


def show_case(table: Table, report: Report, run: Run, case: Case) -> None:
    metric = "p50" if case.kind == "rtt" else "rate"
    label = case.name
    for subject in run.subjects:
        value = report.value(case.name, subject.name, metric)
        if value is None:
            table.add_row(label, subject.name, "[red]no figure[/]")
        else:
            shown = f"p50 {value:.1f} us" if metric == "p50" else figure(value)
            cpu = report.value(case.name, subject.name, "cpu") or 0.0
            ratios = (ratio_cell(report, case.name, subject.name, name) for name in REFERENCES)
            table.add_row(label, subject.name, shown, figure(cpu), *ratios)
        label = ""
    table.add_section()


def show(console: Console, report: Report, run: Run, cases: Iterable[Case]) -> None:
    table = Table(title="wire: medians over the rounds; x NAME: ratio within a round")
    table.add_column("case", no_wrap=True)
    table.add_column("subject", no_wrap=True)
    for name in ("msg/s", "CPU us/msg", "x limit [min-max]", *(f"x {n}" for n in REFERENCES[1:])):
        table.add_column(name, justify="right", no_wrap=True)
    for case in cases:
        show_case(table, report, run, case)
    console.print(table)
    console.print("rtt: p50 of the round trip and its ratios, lower is better. Else higher is.")

    extras = [row for row in report.rows if row["case"] in EXTRAS]
    if extras:
        report.show(console, "wire: other costs", extras)
    for (name, subject_name), why in run.failures.items():
        console.print(f"no figure for {name}, {subject_name}: {why}", style="red")


# ---- command line ----


def parse_arguments() -> argparse.Namespace:
    names = [case.name for case in CASES] + list(EXTRAS)
    parser = argparse.ArgumentParser(prog="dev bench wire", description="What the wire costs.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--check", action="store_true", help="fail where a floor is missed")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds per case (5)")
    parser.add_argument("--only", action="append", metavar="CASE", choices=names, help="repeatable")
    parser.add_argument("--subject", action="append", metavar="NAME", help="repeatable; with limit")
    parser.add_argument("--quick", action="store_true", help="2 short rounds: a look, not a result")
    arguments = parser.parse_args()
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    known = [subject.name for subject in subjects()]
    for name in arguments.subject or []:
        if name not in known:
            parser.error(f"no subject {name!r}; there are {', '.join(known)}")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    seconds = 0.15 if arguments.quick else 0.4
    chosen = [
        subject
        for subject in subjects()
        if not arguments.subject or subject.name in ("limit", *arguments.subject)
    ]
    wanted = arguments.only or [case.name for case in CASES] + list(EXTRAS)
    cases = [case for case in CASES if case.name in wanted]
    extras = [name for name in EXTRAS if name in wanted]
    report = Report("wire")
    with Server() as server:
        run = Run(server.port, chosen)
        try:
            for case in cases:
                reduce(report, case, run.rounds(case, rounds, seconds))
        finally:
            run.close()
        measure_extras(run, report, extras, arguments.quick)
    console = Console(width=None if sys.stdout.isatty() else 150)
    show(console, report, run, cases)
    if arguments.json:
        report.write(arguments.json)
    missed = report.check(console, wanted) if arguments.check else 0
    return 1 if missed or run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
