"""Exactly once over real sockets, small: both modes are right, and planted bugs are not.

STW_EXACT_MESSAGES is how many go each way, STW_EXACT_SEED replays a printed script. The full run is
`./dev test --all --only exactly-once`.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import exactly_once
import pytest
from exact_faults import HARMLESS, KILLS, Step, kinds, script
from exact_messages import DOWN, UP
from exact_report import CLASSES, Report, without_undone
from exactly_once import Plan

pytestmark = [
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server"),
    pytest.mark.timeout(150),
]
SLOW = pytest.mark.slow

MESSAGES = int(os.environ.get("STW_EXACT_MESSAGES", "1200"))
RATE = 300.0
PLANT_MESSAGES = {"client": 120, "node": 40}
PLANT_RATE = 100.0
"""Slower than the client can be, and faster than it is with a bug that takes time."""

KILLS_OF_A_PLANT = 4


async def played(plan: Plan, folder: Path) -> Report:
    report = await exactly_once.run(plan, folder)
    print(report)
    return report


@pytest.mark.parametrize("mode", exactly_once.MODES)
async def test_every_message_takes_effect_once_and_in_order(mode: str, tmp_path: Path) -> None:
    plan = Plan(mode, MESSAGES, exactly_once.chosen_seed(), RATE)
    report = await played(plan, tmp_path)
    assert report.is_right, f"{report}\n{logs(tmp_path)}"
    assert set(report.faults) == set(kinds(mode))
    assert (report.client_lives > 1) == (mode == "kills")
    told = json.loads(json.dumps(report.to_dict()))
    assert told["is_right"] and told["seed"] == plan.seed
    for stream in (UP, DOWN):
        row = told["streams"][stream][report.verdict]
        assert row == {"sent": MESSAGES, "taken": MESSAGES, **dict.fromkeys(CLASSES, 0)}


def logs(folder: Path) -> str:
    """The ends of what the processes said."""
    texts = [path.read_text()[-2000:] for path in sorted(folder.glob("*.log"))]
    return "\n".join(texts)


def kills_of(who: str) -> list[Step]:
    """One host is killed again and again."""
    apart = PLANT_MESSAGES[who] // (KILLS_OF_A_PLANT + 1)
    return [Step(apart * (n + 1), f"kill_{who}") for n in range(KILLS_OF_A_PLANT)]


@pytest.mark.parametrize(
    ("who", "bug", "rate", "stream", "fault"),
    [
        pytest.param("node", "effect_outside", 0.0, UP, "duplicated", marks=SLOW),
        pytest.param("node", "answer_outside", 0.0, DOWN, "lost", marks=SLOW),
        ("client", "no_cursor", 0.0, DOWN, "duplicated"),
        pytest.param("client", "cursor_first", PLANT_RATE, DOWN, "lost", marks=SLOW),
        ("client", "forgets_outbox", 0.0, UP, "duplicated"),
    ],
)
async def test_a_host_with_a_planted_bug_is_found(
    who: str, bug: str, rate: float, stream: str, fault: str, tmp_path: Path
) -> None:
    plan = Plan("kills", PLANT_MESSAGES[who], 1, rate, "process", kills_of(who), {who: bug})
    report = await played(plan, tmp_path)
    assert not report.is_right
    assert report.streams[stream]["committed"][fault] > 0, report


async def test_a_run_that_cannot_go_on_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exactly_once, "STALL_S", 1.0)
    nobody = Step(at=20, kind="refuse", hold_s=30.0)
    report = await played(Plan("raw", 10_000, 1, steps=[nobody]), tmp_path)
    assert not report.is_right
    assert not report.is_finished
    assert "nothing for 1 s" in str(report)


def test_a_script_follows_from_its_seed() -> None:
    steps = script(7, "kills", 10_000, 32)
    assert steps == script(7, "kills", 10_000, 32)
    assert steps != script(8, "kills", 10_000, 32)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert {step.kind for step in steps[:16]} == set(HARMLESS + KILLS)


def test_what_was_undone_does_not_count_as_taken() -> None:
    taken = {"op": "taken", "stream": UP, "serial": 1, "digest": "x", "life": "a"}
    other = {**taken, "life": "b"}
    lines, undone = without_undone([taken, {**taken, "op": "undone"}, other])
    assert (lines, undone) == ([other], 1)
    assert without_undone([taken, other]) == ([taken, other], 0)
