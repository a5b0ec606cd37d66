"""Exactly once over real sockets: numbered messages both ways under a seeded fault script.

    PYTHONPATH=tests/support python tests/interop/exactly_once.py [--mode raw|kills|both]
        [--messages N] [--seed S]

A client process and two node processes on one Redis, behind one TCP address: a proxy that hurts
connections. In the mode `raw` no process is killed, and what the applications were given has to be
exact as it is. In the mode `kills` client and nodes are killed with -9 as well, and what they
committed together with their cursors has to be exact. Each message of `up` is answered by one of
`down`, so both directions carry N messages at the same time. A message whose transaction a node saw
undone by the fence does not count as taken by it; the report says how many there were. Silences
longer than about 3 s are waits for the attempt budget of the client: one in 6 s for links that die
young. Exit code 1: a verdict is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import checker
import redis.asyncio
from exact_faults import Step, kinds, script
from exact_messages import DOWN, UP, pause
from exact_report import Evidence, Report
from peers.fault_proxy import FaultProxy
from session_peer import Node, redis_server

HERE = Path(__file__).resolve().parent
MODES = ("raw", "kills")
MESSAGES = 2000
MESSAGES_PER_FAULT = 2000
AHEAD_MAX = 1000
LOOK_EVERY_S = 0.01
SEEN_LATE_S = 0.1
"""What was taken just before a fault may be seen as long after it began."""

TELL_EVERY_S = 5.0
STALL_S = 40.0
"""A run that has gone on nowhere for so long has ended: what is missing is lost."""

PAGE = 10_000
BOTH_WAYS = ["to_client", "to_server"]


class Client:
    """The client process, in its present life."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command = command
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.lives = 0

    async def start(self) -> None:
        """Begins a life."""
        self.lives += 1
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*self._command, stderr=log)

    async def kill(self) -> None:
        """kill -9; nothing where it has ended."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    @property
    def code(self) -> int | None:
        """The exit code, None while it lives."""
        return None if self._process is None else self._process.returncode


@dataclass(frozen=True)
class Plan:
    """What a run is to be. `rate`: messages a second each way, 0 for as many as go."""

    mode: str
    messages: int
    seed: int
    rate: float = 0.0
    durability: str = "durable"
    steps: list[Step] | None = None
    plants: dict[str, str] = field(default_factory=dict)

    def script(self) -> list[Step]:
        """The faults: the given ones, or those that follow from the seed."""
        if self.steps is not None:
            return self.steps
        count = max(len(kinds(self.mode)), self.messages // MESSAGES_PER_FAULT)
        return script(self.seed, self.mode, self.messages, count)

    def plant(self, who: str) -> list[str]:
        """Arguments for a process."""
        return ["--plant", self.plants[who]] if who in self.plants else []

    def for_client(self) -> list[str]:
        """Arguments for the client."""
        ahead = max(20, min(AHEAD_MAX, self.messages // 40))
        how = ["--cursor"] if self.mode == "kills" else []
        how += ["--rate", str(self.rate), "--ahead", str(ahead)]
        how += ["--durability", self.durability]
        return [str(self.seed), str(self.messages), *how, *self.plant("client")]


class Stage:
    """All that takes part in a run, and what can be done to it."""

    def __init__(self, plan: Plan, folder: Path, database: Any) -> None:
        self.folder = folder
        self.journals = {UP: folder / "nodes.jsonl", DOWN: folder / "client.jsonl"}
        self._plan = plan
        self._database = database
        self._nodes: list[Node] = []
        self._serving = 0
        self.node_lives = 0
        self.client: Client
        self.proxy: FaultProxy

    @contextlib.asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[None]:
        """Starts everything; kills it at the end."""
        self._redis_url = url
        try:
            self._nodes = [await self._new_node() for _ in range(2)]
            async with await FaultProxy.start(self._nodes[0].port) as self.proxy:
                command = [sys.executable, str(HERE / "exact_client.py")]
                command += [f"ws://127.0.0.1:{self.proxy.port}/", str(self.folder)]
                command += self._plan.for_client()
                self.client = Client(command, self.folder / "client.log")
                await self.client.start()
                try:
                    yield
                finally:
                    await self.client.kill()
        finally:
            for node in self._nodes:
                node.kill()

    async def _new_node(self) -> Node:
        self.node_lives += 1
        command = [str(HERE / "exact_node.py"), self._redis_url, str(self.journals[UP])]
        command += [str(self._plan.seed), *self._plan.plant("node")]
        with (self.folder / "nodes.log").open("a") as log:
            return await asyncio.to_thread(Node, *command, stderr=log)

    # --- what has happened so far ---

    def taken_down(self) -> int:
        """How many effects the client has committed."""
        with contextlib.suppress(sqlite3.OperationalError), self._effects() as effects:
            return int(effects.execute("SELECT max(place) FROM effects").fetchone()[0] or 0)
        return 0

    @contextlib.contextmanager
    def _effects(self) -> Any:
        path = self.folder / "effects.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as effects:
            yield effects

    async def evidence(self) -> list[Evidence]:
        """What both directions left."""
        up: list[dict[str, Any]] = []
        while page := await self._database.lrange("effects", len(up), len(up) + PAGE - 1):
            up += map(json.loads, page)
        with self._effects() as effects:
            rows = effects.execute("SELECT source, serial, digest FROM effects ORDER BY place")
            down = [
                {"op": "taken", "stream": DOWN, "of": source, "serial": serial, "digest": digest}
                for source, serial, digest in rows
            ]
        return [
            Evidence(stream, list(checker.read_log(self.journals[stream])), committed)
            for stream, committed in ((UP, up), (DOWN, down))
        ]

    # --- what can be done ---

    async def hurt(self, step: Step) -> None:
        """One fault of the script, to its end."""
        act: Callable[[Step], Any] = getattr(self, f"_do_{step.kind}")
        await act(step)

    async def _do_reset(self, _step: Step) -> None:
        await self.proxy.reset()

    async def _do_cut(self, step: Step) -> None:
        await self.proxy.cut_after(step.size, step.direction)
        await self.proxy.heal()  # so that the next connection is not cut, too

    async def _do_black_hole(self, _step: Step) -> None:
        await self.proxy.blackhole(BOTH_WAYS)

    async def _do_half_dead_up(self, _step: Step) -> None:
        await self.proxy.blackhole(["to_server"])

    async def _do_half_dead_down(self, _step: Step) -> None:
        await self.proxy.blackhole(["to_client"])

    async def _do_stall(self, step: Step) -> None:
        await self.proxy.stall()
        await pause(step.hold_s)
        await self.proxy.heal()

    async def _do_delay(self, step: Step) -> None:
        await self.proxy.shape(BOTH_WAYS, delay_s=0.02, jitter_s=0.05, seed=step.size)
        await pause(step.hold_s)
        await self.proxy.heal()

    async def _do_refuse(self, step: Step) -> None:
        await self.proxy.refuse()
        await self.proxy.reset()
        await pause(step.hold_s)
        await self.proxy.heal()

    async def _do_silent(self, _step: Step) -> None:
        await self.proxy.accept_silent(1)
        await self.proxy.reset()

    async def _move(self) -> int:
        """New connections go to the other node; which one had them."""
        before = self._serving
        self._serving = 1 - before
        await self.proxy.route(self._nodes[self._serving].port)
        return before

    async def _do_switch(self, _step: Step) -> None:
        await self._move()
        await self.proxy.reset()

    async def _do_freeze(self, step: Step) -> None:
        node = self._nodes[await self._move()]
        node.freeze()
        await pause(step.hold_s)
        node.thaw()

    async def _do_roll(self, _step: Step) -> None:
        for _ in range(2):
            old = await self._move()
            self._nodes[old].terminate()
            code = await asyncio.to_thread(self._nodes[old].wait)
            assert code == 0, f"a node ended with {code} when it was asked to end"
            self._nodes[old] = await self._new_node()

    async def _do_kill_client(self, step: Step) -> None:
        await self.client.kill()
        await pause(step.hold_s)
        await self.client.start()

    async def _do_kill_node(self, step: Step) -> None:
        old = await self._move()
        self._nodes[old].kill()
        await pause(step.hold_s)
        self._nodes[old] = await self._new_node()

    async def _do_kill_node_alone(self, step: Step) -> None:
        self._nodes[self._serving].kill()
        await pause(step.hold_s)
        self._nodes[self._serving] = await self._new_node()
        await self.proxy.route(self._nodes[self._serving].port)

    async def _do_kill_client_and_node(self, step: Step) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._do_kill_client(step))
            group.create_task(self._do_kill_node_alone(step))


class Run:
    """Carries the script out, and watches until the client has ended."""

    def __init__(self, stage: Stage, report: Report, tells: bool) -> None:
        self._stage = stage
        self._report = report
        self._tells = tells
        self._began = time.monotonic()
        self._down = 0
        self._went_on_at = self._told_at = self._began
        self._silences: list[tuple[str, float, list[float]]] = []
        self._moved = asyncio.Event()

    async def play(self, steps: list[Step]) -> None:
        """The whole run."""
        hurting = asyncio.create_task(self._hurt(steps))
        try:
            while not hurting.done() or self._stage.client.code is None:
                await asyncio.wait([hurting], timeout=LOOK_EVERY_S)
                if hurting.done():
                    await hurting
                    await pause(LOOK_EVERY_S)
                self._look()
                self._report.why = self._trouble()
                if self._report.why:
                    break
        finally:
            hurting.cancel()
            await asyncio.gather(hurting, return_exceptions=True)
        self._report.duration_s = round(time.monotonic() - self._began, 1)
        self._report.is_finished = not self._report.why
        times: defaultdict[str, list[float]] = defaultdict(list)
        for kind, _since, silences in self._silences:
            times[kind] += [max(silences)] if silences else []
        for kind in sorted(times):
            self._report.went_on(kind, times[kind])

    def _trouble(self) -> str:
        """Why the run cannot go on; empty where it can."""
        code = self._stage.client.code
        silence = time.monotonic() - self._went_on_at
        if code is not None and code > 0:
            return f"the client ended with {code}, see client.log"
        if code != 0 and silence > STALL_S:
            return f"the client has taken nothing for {silence:.0f} s"
        return ""

    async def _hurt(self, steps: list[Step]) -> None:
        done: Counter[str] = Counter()
        for step in steps:
            while self._down < step.at:
                if self._stage.client.code == 0:
                    return  # what was lost keeps the others from coming so far
                self._moved.clear()
                await self._moved.wait()
            await pause(step.pause_s)
            self._silences.append((step.kind, time.monotonic(), []))
            await self._stage.hurt(step)
            done[step.kind] += 1
            self._report.faults = dict(sorted(done.items()))

    def _begun_in_silence(self) -> list[tuple[str, float, list[float]]]:
        return [one for one in self._silences[:-1] if one[1] >= self._went_on_at - SEEN_LATE_S]

    def _look(self) -> None:
        now = time.monotonic()
        down = self._stage.taken_down()
        if down > self._down:
            for _kind, since, silences in self._silences[-1:] + self._begun_in_silence():
                silences.append(now - max(since, self._went_on_at))
            self._down = down
            self._went_on_at = now
        self._moved.set()
        if self._tells and now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            faults = sum(self._report.faults.values())
            print(f"  {now - self._began:6.1f} s  {down} taken, {faults} faults", flush=True)


async def run(plan: Plan, folder: Path, *, tells: bool = False) -> Report:
    """One run in an empty folder; its report, with the verdict."""
    steps = plan.script()
    print(
        f"exactly once: mode {plan.mode}, seed {plan.seed}, {plan.messages} messages, "
        f"{len(steps)} faults",
        flush=True,
    )
    verdict = "raw" if plan.mode == "raw" else "committed"
    report = Report(plan.mode, verdict, plan.seed, plan.messages)
    with redis_server(folder) as server:
        database = redis.asyncio.from_url(server.url)
        stage = Stage(plan, folder, database)
        async with stage.open(server.url):
            await Run(stage, report, tells).play(steps)
            report.links = (await stage.proxy.counters())["accepted"]
        report.client_lives, report.node_lives = stage.client.lives, stage.node_lives
        report.judge(await stage.evidence())
        await database.aclose()
    return report


def parser() -> argparse.ArgumentParser:
    """The command line; the environment gives its defaults."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cli.add_argument("--mode", choices=[*MODES, "both"], default="both")
    count = int(os.environ.get("STW_EXACT_MESSAGES", MESSAGES))
    cli.add_argument("--messages", type=int, default=count, help="each way (STW_EXACT_MESSAGES)")
    cli.add_argument("--rate", type=float, default=0.0, help="messages a second; 0: no bound")
    cli.add_argument("--seed", type=int, default=chosen_seed(), help="STW_EXACT_SEED")
    cli.add_argument("--durability", choices=["durable", "process"], default="process")
    cli.add_argument("--json", type=Path, help="write the reports to this file")
    cli.add_argument("--folder", type=Path, help="keep journals and logs under this folder")
    return cli


def chosen_seed() -> int:
    """That of the environment, or a new one."""
    return int(os.environ.get("STW_EXACT_SEED") or random.randrange(1 << 32))


def main() -> int:
    """Runs the modes and prints their reports."""
    options = parser().parse_args()
    reports = []
    with contextlib.ExitStack() as stack:
        parent = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for mode in MODES if options.mode == "both" else [options.mode]:
            folder = parent / mode
            folder.mkdir(parents=True)
            plan = Plan(
                mode, options.messages, options.seed, options.rate, durability=options.durability
            )
            report = asyncio.run(run(plan, folder, tells=True))
            reports.append(report)
            print(report, flush=True)
    if options.json:
        options.json.write_text(json.dumps([one.to_dict() for one in reports], indent=1) + "\n")
    return 0 if all(report.is_right for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
