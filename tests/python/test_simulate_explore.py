"""`steadwire.sim.explore` and `steadwire simulate explore`."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from steadwire import cli, sim
from steadwire.errors import ConfigError
from steadwire.sim.explore import SHARD, Broken, faults, plants, profiles, rules

Capture = pytest.CaptureFixture[str]


def run(*arguments: str) -> int:
    return cli.main(["simulate", "explore", *arguments])


def test_lives_keep_every_promise_far_faster_than_real_time() -> None:
    lived = sim.explore(seeds=300)
    assert lived.broken is None
    assert lived.lives == 300 and lived.virtual_s > 3000
    assert list(lived.faults) == list(faults())
    assert list(lived.checks) == [rule.name for rule in rules()]
    assert lived.messages > 0 and lived.inbound > 0 and lived.links > lived.conns


def test_threads_change_nothing() -> None:
    seeds = 2 * SHARD + 7
    alone = sim.explore(seed=3, seeds=seeds, trace=True)
    assert sim.explore(seed=3, seeds=seeds, trace=True, jobs=4) == alone
    assert alone.lives == seeds and alone.trace


def test_ranges_add_up() -> None:
    whole = sim.explore(seed=10, seeds=30)
    assert sim.explore(seed=10, seeds=11) + sim.explore(seed=21, seeds=19) == whole


def test_progress_is_told() -> None:
    told: list[int] = []
    sim.explore(seeds=SHARD + 1, progress=told.append)
    assert told == [SHARD, SHARD + 1]


def test_the_gil_is_released() -> None:
    thread = threading.Thread(target=sim.explore, kwargs={"seeds": 1000})
    thread.start()
    turns = 0
    while thread.is_alive():
        thread.join(0.001)
        turns += 1
    assert turns > 10


def test_a_planted_mistake_is_found_with_its_seed_time_and_trace() -> None:
    lived = sim.explore(seeds=500, plant="sent_on_fenced", trace=True, jobs=2)
    assert isinstance(lived.broken, Broken)
    assert lived.broken.rule == "fenced_silent"
    assert lived.broken.at_s > 0 and "is cut" in lived.broken.text
    assert lived.lives == lived.broken.seed
    again = sim.explore(seed=lived.broken.seed, plant="sent_on_fenced", trace=True)
    assert again.broken == lived.broken
    assert again.trace == lived.trace
    assert again.trace.rstrip().splitlines()[-1].endswith(lived.broken.text.split(": ", 1)[1])


def test_the_words_of_the_lists() -> None:
    assert profiles() == ["any", "plain", "session"]
    assert plants()["none"] == "nothing"
    assert all(rule.where and rule.text for rule in rules())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seeds": 0}, "seeds must be from 1"),
        ({"seeds": 10**9}, "100,000,000"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": 2**64}, "seed must be from 0"),
        ({"jobs": 0}, "jobs must be from 1"),
        ({"profile": "xmpp"}, "none of any, plain, session"),
        ({"plant": "tree"}, "none of none, delivered_twice"),
    ],
)
def test_nonsense_is_refused_in_clear_words(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sim.explore(**arguments)


@pytest.mark.parametrize("value", [1.5, "5", True, None])
def test_counts_are_whole_numbers(value: Any) -> None:
    with pytest.raises(TypeError, match="seeds must be a whole number"):
        sim.explore(seeds=value)


def test_the_table_names_all_faults_and_promises(capsys: Capture) -> None:
    assert run("--seeds", "20", "--jobs", "1") == 0
    out, errors = capsys.readouterr()
    assert out.startswith("seeds 1 to 20: 20 lives")
    words = {line.split()[0] for line in out.splitlines() if line}
    assert set(faults()) | {rule.name for rule in rules()} <= words
    assert "times real time" in errors


def test_the_report_depends_on_the_seeds_alone(capsys: Capture) -> None:
    reports = []
    for jobs in ("1", "3"):
        assert run("--seed", "5", "--seeds", "600", "--json", "--jobs", jobs) == 0
        reports.append(capsys.readouterr().out)
    assert reports[0] == reports[1]
    report = json.loads(reports[0])
    assert report["lives"] == 600 and report["seed"] == 5 and report["broken"] is None


def test_one_life_as_a_log(capsys: Capture) -> None:
    logs = []
    for _again in range(2):
        assert run("--seed", "23", "--trace") == 0
        logs.append(capsys.readouterr().out)
    assert logs[0] == logs[1]
    lines = logs[0].splitlines()
    assert "conn 0 idle -> connecting" in lines[0]
    assert any("everything is mended" in line for line in lines)


def test_a_broken_promise_is_an_exit_code_and_a_seed(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steadwire import simulate_explore_cli

    def planted(**arguments: Any) -> sim.Exploration:
        return sim.explore(**arguments, plant="no_timer")

    monkeypatch.setattr(simulate_explore_cli, "explore", planted)
    assert run("--seeds", "500", "--jobs", "2") == 1
    out, errors = capsys.readouterr()
    assert "breaks way_out" in errors and "--trace" in errors
    assert any(line.split()[-1] == "yes" for line in out.splitlines() if line)


@pytest.mark.parametrize(
    "arguments", [["--seed", "x"], ["--seeds", "0"], ["--jobs", "0"], ["--profile", "odd"]]
)
def test_wrong_usage(arguments: list[str], capsys: Capture) -> None:
    try:
        code = run(*arguments)
    except SystemExit as stop:
        code = int(str(stop.code))
    assert code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("ending", [".json", ".csv", ".parquet", ".png", ".svg"])
def test_the_result_is_written_as_the_name_says(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"lives{ending}"
    assert run("--seeds", "40", "--out", str(path)) == 0
    lived = sim.explore(seeds=40)
    if ending == ".json":
        assert json.loads(path.read_text()) == lived.as_dict()
    elif ending == ".csv":
        rows = path.read_text().splitlines()
        assert rows[0] == "kind,name,times" and len(rows) == 1 + len(faults()) + len(rules())
        name, times = next(iter(lived.checks.items()))
        assert f"promise,{name},{times}" in rows
    else:
        magic = {".parquet": b"PAR1", ".png": b"\x89PNG", ".svg": b"<?xml"}[ending]
        assert path.read_bytes().startswith(magic)


def test_a_file_that_cannot_be_written_is_refused_first(capsys: Capture) -> None:
    assert run("--seeds", "10", "--out", "no/such/folder/lives.json") == 2
    assert "there is no folder no/such/folder" in capsys.readouterr().err
