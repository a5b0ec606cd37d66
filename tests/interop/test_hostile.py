"""Every hostile server ends in a typed cause, in bounded time and memory, while another conn of the
same engine goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import steadwire
from interop_support import HERE, Memory, Watched, run_for, until, watched
from peers import process
from peers.hostile import ONLINE, SCENARIOS, Scenario
from peers.process import PeerProcess
from steadwire.words import State

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMORY_BOUND = 32 << 20
SLOWEST_ECHO_S = 1.0
GRACE_S = 1.0
END = "end"
FLOODS = {"ping_flood": END, "pong_flood": END, "empty_fragments": END}
PATIENT = [name for name, one in SCENARIOS.items() if one.bound_s > 5 and name not in FLOODS]
QUICK = [name for name in SCENARIOS if name not in PATIENT]


class Enemy:
    """The process with all hostile servers."""

    def __init__(self, peer: PeerProcess) -> None:
        self.peer = peer

    async def seen(self) -> dict[str, Any]:
        """What they have seen so far."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.peer.port)
        told: dict[str, Any] = json.loads(await reader.read())
        writer.close()
        return told


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def enemy() -> AsyncIterator[Enemy]:
    path = os.pathsep.join([str(process.SUPPORT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(HERE / "hostile_process.py")]
    async with await process.start(command, {"PYTHONPATH": path}) as peer:
        yield Enemy(peer)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def healthy() -> AsyncIterator[PeerProcess]:
    async with await process.start_echo() as peer:
        yield peer


class Bystander:
    """A conn that echoes all the time; `slowest` is its worst round trip."""

    def __init__(self, conn: steadwire.Connection) -> None:
        self.conn = conn
        self.rounds = 0
        self.slowest = 0.0

    async def run(self) -> None:
        while True:
            began = time.monotonic()
            await self.conn.send("still here")
            await self.conn.recv(timeout=10)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.rounds += 1
            await run_for(0.01)


@contextlib.asynccontextmanager
async def undisturbed(peer: PeerProcess) -> AsyncIterator[Bystander]:
    """Checks at the end that another conn kept its link and that memory stayed bounded."""
    async with steadwire.connect(f"ws://127.0.0.1:{peer.port}/") as conn:
        bystander = Bystander(conn)
        task = asyncio.create_task(bystander.run())
        await until(lambda: bystander.rounds > 1)
        memory = Memory()
        try:
            yield bystander
            growth = memory.peak_growth
            rounds = bystander.rounds
            await until(lambda: bystander.rounds > rounds)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert growth < MEMORY_BOUND, f"{growth >> 20} MiB more"
        assert bystander.slowest < SLOWEST_ECHO_S
        assert conn.stats()["attempts"] == 1


async def keep_sending(conn: steadwire.Connection) -> None:
    """Traffic, for what only traffic can show."""
    while True:
        with contextlib.suppress(steadwire.QueueFull):
            conn.post(bytes(32768))
        await run_for(0.02)


async def meet(scenario: Scenario, url: str) -> Watched:
    """Plays one scenario up to the cause that is owed; answers the history."""
    async with watched(url) as watch:
        traffic = asyncio.create_task(keep_sending(watch.conn)) if scenario.needs_traffic else None
        began = time.monotonic()
        try:
            await outcome(scenario, watch)
        finally:
            if traffic:
                traffic.cancel()
        took = time.monotonic() - began
        assert took < scenario.bound_s, f"{scenario.name}: {took:.1f} s"
        if scenario.most_connects > 6:
            await run_for(scenario.bound_s - took)
        assert watch.conn.state in set(State) - {State.CLOSED}
        await closes(watch.conn)
        return watch


async def outcome(scenario: Scenario, watch: Watched) -> None:
    """Waits for one of the outcomes that are right."""
    name, bound_s = scenario.name, scenario.bound_s + GRACE_S
    if scenario.may_go_on:
        await until(lambda: watch.times_in(State.ONLINE) > 0 or bool(watch.troubles), bound_s)
        if name in FLOODS:
            await until(lambda: bool(watch.messages) or bool(watch.troubles), bound_s)
        assert set(watch.troubles) <= set(scenario.causes - {ONLINE}), watch.troubles
        if name in FLOODS and not watch.troubles:
            assert watch.messages[0].data == FLOODS[name]
        return
    assert await watch.first_trouble(bound_s) in scenario.causes, watch.events
    assert watch.messages == []


async def closes(conn: steadwire.Connection) -> None:
    """Whatever has happened, a conn can be closed in bounded time."""
    with contextlib.suppress(steadwire.Undelivered):
        await asyncio.wait_for(conn.close(timeout=0.2), 3.0)
    assert conn.is_finished


async def bounded_at_the_server(enemy: Enemy, scenario: Scenario) -> None:
    """Checks what the server has seen: few connections, and the close code that is owed to it."""
    owed = scenario.close_code
    async with asyncio.timeout(3.0):
        seen = (await enemy.seen())[scenario.name]
        while owed and owed not in seen["close_codes"]:
            await run_for(0.02)
            seen = (await enemy.seen())[scenario.name]
    assert seen["connects"] <= scenario.most_connects, seen


@pytest.mark.parametrize("name", QUICK)
async def test_a_hostile_server_is_bounded(name: str, enemy: Enemy, healthy: PeerProcess) -> None:
    url = (await enemy.seen())[name]["url"]
    async with undisturbed(healthy):
        await meet(SCENARIOS[name], url)
    await bounded_at_the_server(enemy, SCENARIOS[name])


async def test_servers_that_wear_out_patience_are_bounded(
    enemy: Enemy, healthy: PeerProcess
) -> None:
    assert len(PATIENT) >= 8
    seen = await enemy.seen()
    async with undisturbed(healthy):
        meetings = [meet(SCENARIOS[name], seen[name]["url"]) for name in PATIENT]
        met = await asyncio.gather(*meetings, return_exceptions=True)
    wrong = {
        name: one for name, one in zip(PATIENT, met, strict=True) if isinstance(one, Exception)
    }
    assert wrong == {}
    for name in PATIENT:
        await bounded_at_the_server(enemy, SCENARIOS[name])
