"""The checker finds planted bugs in right logs, names their class, and lets right logs pass."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checker
import pytest

Line = dict[str, Any]

STREAMS = ("up/data", "down/data")
MESSAGES = 24
RESUME_AT = 12
COMMITTED = 9
WITHDRAWN = 7


def line(op: str, stream: str, serial: int) -> Line:
    return {"op": op, "stream": stream, "serial": serial, "digest": f"{stream}:{serial}"}


def sent_lines() -> list[Line]:
    lines = [line("sent", stream, n) for stream in STREAMS for n in range(1, MESSAGES + 1)]
    return lines + [line("withdrawn", stream, WITHDRAWN) for stream in STREAMS]


def taken_lines(again_from: int = RESUME_AT) -> list[Line]:
    """What the hosts were given; after the resume, from `again_from` on."""
    serials = [*range(1, RESUME_AT), *range(again_from, MESSAGES + 1)]
    lines: list[Line] = []
    for stream in STREAMS:
        for serial in serials:
            if serial == WITHDRAWN:
                lines.append({"op": "gap", "stream": stream, "from": serial, "to": serial})
            else:
                lines.append(line("taken", stream, serial))
    return lines


def place(lines: list[Line], serial: int) -> int:
    return next(i for i, one in enumerate(lines) if one.get("serial") == serial)


def loses_tail(_sent: list[Line], taken: list[Line]) -> None:
    del taken[place(taken, MESSAGES)]


def loses_middle(_sent: list[Line], taken: list[Line]) -> None:
    del taken[place(taken, 4)]


def repeats_after_resume(_sent: list[Line], taken: list[Line]) -> None:
    taken.insert(place(taken, RESUME_AT), dict(taken[place(taken, RESUME_AT - 1)]))


def swaps_across_resume(_sent: list[Line], taken: list[Line]) -> None:
    at = place(taken, RESUME_AT)
    taken[at - 1], taken[at] = taken[at], taken[at - 1]


def crosses_streams(_sent: list[Line], taken: list[Line]) -> None:
    taken.insert(5, {**line("taken", STREAMS[1], 5), "stream": STREAMS[0], "of": STREAMS[1]})


def processes_twice(_sent: list[Line], taken: list[Line]) -> None:
    taken.insert(place(taken, COMMITTED) + 1, line("taken", STREAMS[0], COMMITTED))


def reuses_number(sent: list[Line], _taken: list[Line]) -> None:
    sent.append(line("sent", STREAMS[0], MESSAGES + 1))


def replays_stale(_sent: list[Line], taken: list[Line]) -> None:
    taken.insert(place(taken, 15), line("taken", STREAMS[0], 2))


def delivers_gap(_sent: list[Line], taken: list[Line]) -> None:
    taken.insert(0, {"op": "gap", "stream": STREAMS[0], "from": 10, "to": 10})


def truncates(_sent: list[Line], taken: list[Line]) -> None:
    taken[place(taken, 20)]["digest"] += "cut"


def sends_withdrawn(_sent: list[Line], taken: list[Line]) -> None:
    taken.insert(place(taken, 8), line("taken", STREAMS[0], WITHDRAWN))


def invents(_sent: list[Line], taken: list[Line]) -> None:
    taken.append(line("taken", STREAMS[0], MESSAGES + 9))


BUGS: list[tuple[Callable[[list[Line], list[Line]], None], str]] = [
    (loses_tail, "lost"),
    (loses_middle, "lost"),
    (repeats_after_resume, "duplicated"),
    (swaps_across_resume, "reordered"),
    (crosses_streams, "unexpected"),
    (processes_twice, "duplicated"),
    (reuses_number, "lost"),
    (replays_stale, "duplicated"),
    (delivers_gap, "unexpected"),
    (truncates, "altered"),
    (sends_withdrawn, "unexpected"),
    (invents, "phantom"),
]


@pytest.mark.parametrize(("plant", "fault"), BUGS, ids=[plant.__name__ for plant, _ in BUGS])
def test_every_planted_bug_is_found_and_named(
    plant: Callable[[list[Line], list[Line]], None], fault: str
) -> None:
    sent, taken = sent_lines(), taken_lines()
    plant(sent, taken)
    for verdict in checker.check(sent, taken, copy.deepcopy(taken)):
        assert not verdict.is_right
        assert verdict.faults[fault] > 0, verdict.first
        assert verdict.first


def test_a_log_where_nobody_dies_is_right_in_both_views() -> None:
    raw, deduped = checker.check(sent_lines(), taken_lines(), taken_lines())
    assert raw.is_right, raw.first
    assert deduped.is_right, deduped.first
    assert raw.report() == {
        "view": "raw",
        "sent": 2 * MESSAGES,
        "taken": 2 * (MESSAGES - 1),
        **dict.fromkeys(checker.FAULTS, 0),
    }


def test_a_log_where_the_host_dies_is_right_once_deduped() -> None:
    raw, deduped = checker.check(sent_lines(), taken_lines(COMMITTED + 1), taken_lines())
    assert deduped.is_right, deduped.first
    assert +raw.faults == {"duplicated": 2 * (RESUME_AT - 1 - COMMITTED)}


@pytest.mark.parametrize("times", [0, 1, 2])
def test_an_unsure_message_may_come_once_or_not_at_all(times: int) -> None:
    sent = [line("sent", "up", 1), line("unsure", "up", 1)]
    (raw,) = checker.check(sent, [line("taken", "up", 1)] * times)
    assert raw.is_right == (times < 2)
    assert raw.unsure == 1


def test_a_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    whole = json.dumps(line("taken", "up", 1)) + "\n"
    log.write_text(whole + json.dumps(line("taken", "up", 2))[:9])
    assert [one["serial"] for one in checker.read_log(log)] == [1]
