"""The eight faults of the demo: what is done to the link or the server, when, and what it should be
called."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from peers.fault_proxy import FaultProxy
from peers.process import PeerProcess, start_echo

from demo.analyse import Fault

KILLED_S = 0.5
STOPPED_S = 4.0
SILENT_S = 5.6
BUSY_S = 1.0
LEAD_IN_S = 0.3
STEADY_S = 2.2

LINK_CUT = frozenset(["abnormal_rst", "abnormal_fin"])
NOT_THERE = frozenset(["tcp_refused", "tcp_reset", "upgrade_eof", "upgrade_timeout"])


@dataclass
class Stage:
    """What the faults are done to."""

    proxy: FaultProxy
    server: PeerProcess
    log: Path

    async def restart(self) -> None:
        """Starts the server again on its port."""
        self.server = await start_echo(port=self.server.port, log=self.log)


Times = tuple[float, float]
Inflict = Callable[[Stage], Awaitable[Times]]


@dataclass(frozen=True)
class Plan:
    """A fault that can be inflicted.

    `inflict` returns when the fault began and when the server could be reached again. `takes_s` is
    how long the fault and the way back are expected to take.
    """

    name: str
    inflict: Inflict
    takes_s: float
    causes: frozenset[str]
    side_causes: frozenset[str] = frozenset()

    async def run(self, stage: Stage) -> Fault:
        """Inflicts the fault and says what was done."""
        began, reachable = await self.inflict(stage)
        return Fault(self.name, began, reachable, self.causes, self.side_causes)


async def reset(stage: Stage) -> Times:
    """RST on all connections."""
    began = await stage.proxy.reset()
    return began, began


async def kill(stage: Stage) -> Times:
    """kill -9 of the server, which comes back within a second."""
    began = time.monotonic()
    await stage.server.kill()
    await asyncio.sleep(KILLED_S - (time.monotonic() - began))
    await stage.restart()
    return began, time.monotonic()


async def swallow_both(stage: Stage) -> Times:
    """The old connections become a black hole; new ones work."""
    began = await stage.proxy.blackhole()
    return began, began


async def swallow_answers(stage: Stage) -> Times:
    """What the server sends on the old connections disappears; what it is sent does arrive."""
    began = await stage.proxy.blackhole(["to_client"])
    return began, began


async def stop(stage: Stage) -> Times:
    """SIGSTOP: the server's kernel goes on acknowledging, the server does not answer."""
    began = time.monotonic()
    stage.server.stop()
    await asyncio.sleep(STOPPED_S)
    stage.server.resume()
    return began, time.monotonic()


async def silent_handshakes(stage: Stage) -> Times:
    """The links are reset, and new ones are accepted but their handshake is never answered."""
    await stage.proxy.accept_silent()
    began = await stage.proxy.reset()
    await asyncio.sleep(SILENT_S)
    return began, await stage.proxy.heal()


async def close_restart(stage: Stage) -> Times:
    """The server says 1012 and when to come back."""
    began = await stage.proxy.close_frame(1012, "r=200;w=500")
    return began, began


async def unavailable(stage: Stage) -> Times:
    """The links are reset, and for a second every upgrade is answered 503 with Retry-After: 1."""
    await stage.proxy.respond("503 Service Unavailable", {"Retry-After": "1"}, count=None)
    began = await stage.proxy.reset()
    await asyncio.sleep(BUSY_S)
    return began, await stage.proxy.heal()


ZOMBIE = frozenset(["heartbeat_timeout"])
PLANS = [
    Plan("connection reset", reset, 0.3, LINK_CUT),
    Plan("server killed", kill, 2.0, LINK_CUT, NOT_THERE),
    Plan("swallowed both ways", swallow_both, 1.5, ZOMBIE),
    Plan("answers swallowed", swallow_answers, 1.5, ZOMBIE),
    Plan("server stopped", stop, 4.5, ZOMBIE, frozenset(["upgrade_timeout"])),
    Plan(
        "handshake never answered", silent_handshakes, 6.6, frozenset(["upgrade_timeout"]), LINK_CUT
    ),
    Plan("close 1012 with a hint", close_restart, 0.7, frozenset(["restart"])),
    Plan("503 with Retry-After", unavailable, 1.7, frozenset(["http_5xx"]), LINK_CUT),
]
SHORTEST_S = LEAD_IN_S + sum(plan.takes_s + STEADY_S for plan in PLANS)


def schedule(seed: int, seconds: float) -> list[tuple[float, Plan]]:
    """The faults at drawn times: what `seconds` leaves over is spread between them."""
    draw = random.Random(seed)
    spare = max(0.0, seconds - SHORTEST_S)
    offsets = sorted(draw.uniform(0.0, spare) for _ in PLANS)
    at, planned = LEAD_IN_S, []
    for offset, plan in zip(offsets, PLANS, strict=True):
        planned.append((at + offset, plan))
        at += plan.takes_s + STEADY_S
    return planned
