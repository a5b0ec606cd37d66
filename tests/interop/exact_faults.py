"""The fault script of the exactly-once run: a list of steps that follows from a seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass

HARMLESS = (
    "reset",  # RST to both ends
    "cut",  # RST in the middle of what is under way
    "black_hole",  # both directions swallowed, the sockets stay open
    "half_dead_up",  # what goes to the server is swallowed
    "half_dead_down",  # what goes to the client is swallowed
    "stall",  # held back for a while, without a loss
    "delay",  # late and jittered for a while
    "refuse",  # reset, and nobody listens for a while
    "silent",  # reset, and the next connection is accepted and not answered
    "switch",  # reset, and the other node has the next connection
    "freeze",  # SIGSTOP of the node for a while; new connections reach the other one
    "roll",  # both nodes, one after the other: GOAWAY, end, start again
)
"""Faults in which no process dies without being asked."""

KILLS = (
    "kill_client",
    "kill_node",  # the other node takes over at once
    "kill_node_alone",  # nobody takes over until it is back
    "kill_client_and_node",
)
"""kill -9."""

HOLDS_S = {
    "stall": (0.05, 1.8),
    "delay": (0.3, 1.0),
    "refuse": (0.05, 0.8),
    "freeze": (0.3, 2.5),
    "kill_client": (0.0, 0.3),
    "kill_node": (0.0, 0.5),
    "kill_node_alone": (0.0, 0.5),
    "kill_client_and_node": (0.0, 0.5),
}
"""Between which times a fault lasts, where it has an end."""

BEGIN, END = 0.02, 0.85
"""The part of the messages in which faults begin."""

BURST_SHARE = 0.2
BURST_PAUSE_S = 0.6
CUT_MAX = 60_000


@dataclass(frozen=True)
class Step:
    """One fault. It begins when `at` messages went both ways; a step with the same `at` as the one
    before begins `pause_s` after that one began, however far its recovery is."""

    at: int
    kind: str
    hold_s: float = 0.0
    pause_s: float = 0.0
    size: int = 0
    direction: str = "to_client"


def kinds(mode: str) -> tuple[str, ...]:
    """The faults of a mode."""
    return HARMLESS + KILLS if mode == "kills" else HARMLESS


def script(seed: int, mode: str, messages: int, count: int) -> list[Step]:
    """`count` steps, every kind before any comes again; the same for the same arguments."""
    dice = random.Random(f"{seed} {mode}")
    chosen: list[str] = []
    while len(chosen) < count:
        chosen += dice.sample(kinds(mode), len(kinds(mode)))
    places = sorted(round(messages * dice.uniform(BEGIN, END)) for _ in range(count))
    steps: list[Step] = []
    for kind, place in zip(chosen[:count], places, strict=True):
        is_burst = bool(steps) and dice.random() < BURST_SHARE
        steps.append(
            Step(
                at=steps[-1].at if is_burst else place,
                kind=kind,
                hold_s=round(dice.uniform(*HOLDS_S.get(kind, (0.0, 0.0))), 3),
                pause_s=round(dice.uniform(0.0, BURST_PAUSE_S), 3) if is_burst else 0.0,
                size=dice.randint(1, CUT_MAX),
                direction=dice.choice(("to_client", "to_server")),
            )
        )
    return steps
