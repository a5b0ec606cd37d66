"""python demo [--json FILE] [--seed N] [--seconds 40]

A Python host and a Lua bot each send 20 numbered messages a second to an echo server through a
proxy, while the links are broken in eight ways. Exit code 0: nothing was lost, every cause was
named rightly, and the links were back within 2 s in the mean and 4 s at worst. 1: not so. 2: the
demo itself could not run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from peers.fault_proxy import FaultProxy
from peers.journal import Arrival as Noted
from peers.journal import read_journal
from peers.process import start_echo

from demo.analyse import Arrival, Fault, HostRun, Report, analyse
from demo.faults import PLANS, SHORTEST_S, STEADY_S, Stage, schedule
from demo.hosts import Host, HostError, lua_command, python_command
from demo.screen import Screen, new_console, print_report

RATE = 20


@contextlib.asynccontextmanager
async def stage_in(folder: Path) -> AsyncIterator[Stage]:
    """The echo server and the proxy, each in its process."""
    log = folder / "server.log"
    server = await start_echo(log=log)
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(await FaultProxy.start(server.port))
        stage = Stage(proxy, server, log)
        stack.push_async_callback(lambda: stage.server.kill())
        yield stage


async def inflict_all(
    stage: Stage, hosts: Sequence[Host], screen: Screen, options: argparse.Namespace
) -> list[Fault]:
    """Inflicts the faults at their times, each only on links that have been up for a while.

    A link that dies young is another case: it makes a client careful.
    """
    begin = time.monotonic()
    done: list[Fault] = []
    for at, plan in schedule(options.seed, options.seconds):
        await asyncio.sleep(max(0.0, begin + at - time.monotonic()))
        if not await until_steady(hosts):
            return done
        screen.fault(plan.name)
        done.append(await plan.run(stage))
        for host in hosts:
            await host.until_noticed(done[-1].began)
    await until_steady(hosts)
    await asyncio.sleep(max(0.0, begin + options.seconds - time.monotonic()))
    return done


async def until_steady(hosts: Sequence[Host]) -> bool:
    """Waits until all hosts have been online for STEADY_S; false if one does not come back."""
    while True:
        if not all([await host.until_online() for host in hosts]):
            return False
        last = max(host.events[-1].t for host in hosts)
        if time.monotonic() - last >= STEADY_S:
            return True
        await asyncio.sleep(last + STEADY_S - time.monotonic())


def arrivals_of(host: str, noted: Sequence[Noted]) -> list[Arrival]:
    """The messages of one host in the server's log."""
    bodies = [(one.t, json.loads(one.message)) for one in noted]
    return [Arrival(t, body["n"], body["t"]) for t, body in bodies if body["host"] == host]


async def play(options: argparse.Namespace, screen: Screen) -> Report:
    """One run from start to judgement."""
    hosts = [
        Host("python", options.python_host or python_command(), screen.event),
        Host("lua", options.lua_host or lua_command(), screen.event),
    ]
    with tempfile.TemporaryDirectory(prefix="steadwire-demo-") as name:
        folder = Path(name)
        async with stage_in(folder) as stage, contextlib.AsyncExitStack() as stack:
            url, stop_file = f"ws://127.0.0.1:{stage.proxy.port}/", folder / "stop"
            for host in hosts:
                stack.push_async_callback(host.kill)
                await host.start(url, str(RATE), str(stop_file))
            for host in hosts:
                if not await host.until_online():
                    raise HostError(f"the {host.name} host did not come online")
            inflicted = await inflict_all(stage, hosts, screen, options)
            stopped = time.monotonic()
            stop_file.touch()
            for host in hosts:
                await host.until_done()
            noted = read_journal(stage.log)
    runs = [HostRun(one.name, one.sent, one.events, arrivals_of(one.name, noted)) for one in hosts]
    return with_all_faults(analyse(runs, inflicted, stopped))


def with_all_faults(report: Report) -> Report:
    """A run that was broken off is no success, however well it went until then."""
    count = len(report.faults)
    if count == len(PLANS):
        return report
    sentence = f"only {count} of {len(PLANS)} faults: a host did not come back online"
    return dataclasses.replace(report, shortcomings=[*report.shortcomings, sentence])


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    cli = argparse.ArgumentParser(prog="python demo", description=__doc__)
    cli.formatter_class = argparse.RawDescriptionHelpFormatter
    cli.add_argument("--json", type=Path, metavar="FILE", help="write the result to this file")
    cli.add_argument("--seed", type=int, default=None, help="redraws the times of the faults")
    cli.add_argument("--seconds", type=float, default=40.0, help="how long to send")
    cli.add_argument("--python-host", nargs="+", help="another command for the first host")
    cli.add_argument("--lua-host", nargs="+", help="another command for the second host")
    options = cli.parse_args(arguments)
    if options.seconds < SHORTEST_S:
        cli.error(f"the faults need at least {SHORTEST_S:.0f} s")
    if options.seed is None:
        options.seed = secrets.randbelow(10_000)
    return options


def run_from_command_line() -> int:
    """Runs the demo; answers the exit code."""
    options = parse()
    console = new_console()
    console.print(f"seed {options.seed}: --seed {options.seed} repeats the times of the faults")
    try:
        with Screen(console, ["python", "lua"], options.seconds) as screen:
            report = asyncio.run(play(options, screen))
    except (HostError, OSError) as error:
        console.print(f"the demo could not run: {error}", style="bold red", markup=False)
        return 2
    print_report(console, report)
    if options.json:
        options.json.write_text(json.dumps(report.to_json(), indent=2) + "\n")
    return 1 if report.shortcomings else 0
