"""`steadwire.sim.herd` and `steadwire simulate herd`."""

from __future__ import annotations

import csv
import json
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from steadwire import cli, sim
from steadwire.errors import ConfigError

Capture = pytest.CaptureFixture[str]

SMALL = ("--clients", "2000", "--capacity", "100")
FIGURES = [
    "name",
    "peak_over_capacity",
    "attempts_per_client",
    "t50_s",
    "t99_s",
    "t100_s",
    "reconnected_pct",
]


def run(*arguments: str) -> int:
    return cli.main(["simulate", "herd", *arguments])


def test_a_hinted_herd_never_asks_for_more_than_there_is() -> None:
    began = time.process_time()
    herd = sim.herd(clients=1_000_000)
    assert time.process_time() - began < 5.0
    assert herd.peak_over_capacity <= 1.0
    assert herd.attempts_per_client <= 1.1
    assert herd.t100_s is not None and herd.t100_s <= 1.25 * herd.optimum_s + 1.0
    assert herd.reconnected_pct == 100.0
    assert sum(row[0] for row in herd.seconds) == herd.attempts
    assert sum(row[1] for row in herd.seconds) == herd.clients


def test_a_naive_server_takes_back_a_hinted_herd_and_no_impatient_one() -> None:
    ours = sim.herd(clients=40_000, capacity=200, server="naive")
    theirs = sim.herd(clients=40_000, capacity=200, server="naive", policy="socketio")
    assert ours.reconnected_pct == 100.0
    assert theirs.reconnected_pct < 15.0
    assert theirs.t50_s is None
    assert theirs.abandoned > theirs.clients


def test_threads_and_their_order_change_nothing() -> None:
    names = ["steadwire", "steadwire-nohint", "full-jitter"]
    serial = {name: sim.herd(clients=20_000, capacity=1000, policy=name) for name in names}
    with ThreadPoolExecutor(3) as threads:
        for order in permutations(names):
            lived = threads.map(
                lambda name: sim.herd(clients=20_000, capacity=1000, policy=name), order
            )
            assert [serial[name] for name in order] == list(lived)


def test_the_gil_is_released() -> None:
    thread = threading.Thread(target=sim.herd, kwargs={"clients": 1_000_000})
    thread.start()
    turns = 0
    while thread.is_alive():
        thread.join(0.001)
        turns += 1
    assert turns > 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"clients": 0}, "clients must be from 1"),
        ({"clients": -1}, "clients must be from 0"),
        ({"clients": 10**30}, "clients must be from 0"),
        ({"clients": 10_000_001}, "10,000,000"),
        ({"capacity": 0}, "capacity must be from 1"),
        ({"down": -1}, "down must not be negative"),
        ({"down": math.nan}, "not a number"),
        ({"down": math.inf}, "infinite"),
        ({"down": "2h"}, "an hour"),
        ({"clients": 10_000_000, "capacity": 1}, "12 hours"),
        ({"retry_window": 0}, "retry_window must be"),
        ({"policy": "socket.io"}, "none of steadwire"),
        ({"server": "busy"}, "none of shed, naive"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_nonsense_is_refused_in_clear_words(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sim.herd(**arguments)


@pytest.mark.parametrize("value", [math.nan, 1.5, "5", True, None])
def test_counts_are_whole_numbers(value: Any) -> None:
    with pytest.raises(TypeError, match="clients must be a whole number"):
        sim.herd(clients=value)


def test_the_report_has_these_figures_and_no_others(capsys: Capture) -> None:
    assert run(*SMALL, "--policies", "steadwire,signalr", "--json", "--seed", "7") == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report) == ["seed", "policies"]
    assert report["seed"] == 7
    assert [list(row) for row in report["policies"]] == [FIGURES, FIGURES]
    ours, theirs = report["policies"]
    assert ours["name"] == "steadwire" and ours["t50_s"] < ours["t99_s"] < ours["t100_s"]
    assert theirs["reconnected_pct"] < 50 and theirs["t50_s"] is None


def test_many_seeds_give_means_and_their_intervals(capsys: Capture) -> None:
    assert run(*SMALL, "--policies", "steadwire-nohint", "--seeds", "20", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    (row,) = report["policies"]
    peaks = [
        sim.herd(
            clients=2000, capacity=100, policy="steadwire-nohint", seed=seed
        ).peak_over_capacity
        for seed in range(1, 21)
    ]
    mean = sum(peaks) / 20
    deviation = math.sqrt(sum((peak - mean) ** 2 for peak in peaks) / 19)
    assert report["seeds"] == 20
    assert row["peak_over_capacity"] == pytest.approx(mean)
    assert row["ci95"]["peak_over_capacity"] == pytest.approx(2.093 * deviation / math.sqrt(20))
    assert run(*SMALL, "--policies", "steadwire-nohint,signalr", "--seeds", "2") == 0
    head, names, ours, theirs = capsys.readouterr().out.splitlines()
    assert "means of 2 seeds with 95 % intervals" in head
    assert names.split()[0] == "policy" and "±" in ours and "never" in theirs


def test_the_table_names_all_policies(capsys: Capture) -> None:
    assert run(*SMALL) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "at best all are back after 25.0 s" in lines[0]
    assert [line.split()[0] for line in lines[2:]] == [policy.name for policy in sim.policies()]


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path, capsys: Capture) -> None:
    written = []
    for name in ("a", "b"):
        for suffix in ("csv", "json"):
            path = tmp_path / f"{name}.{suffix}"
            assert run(*SMALL, "--out", str(path)) == 0
            written.append((path.read_bytes(), capsys.readouterr().out))
    assert written[:2] == written[2:]


def test_csv_and_json_hold_what_was_lived(tmp_path: Path, capsys: Capture) -> None:
    table, report = tmp_path / "herd.csv", tmp_path / "herd.json"
    assert run(*SMALL, "--policies", "grpc", "--out", str(table)) == 0
    capsys.readouterr()
    assert run(*SMALL, "--policies", "grpc", "--out", str(report), "--json") == 0
    assert json.loads(report.read_text()) == json.loads(capsys.readouterr().out)
    herd = sim.herd(clients=2000, capacity=100, policy="grpc")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    counts = [(int(row["attempts"]), int(row["reconnected"])) for row in rows]
    assert counts == herd.seconds
    assert {(row["policy"], row["seed"]) for row in rows} == {("grpc", "1")}
    assert [int(row["second"]) for row in rows] == list(range(len(rows)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--clients", "0"], "--clients must be a whole number from 1 to 10,000,000, not '0'"),
        (["--clients", "-5"], "not '-5'"),
        (["--clients", "nan"], "not 'nan'"),
        (["--clients", "9" * 40], "from 1 to 10,000,000"),
        (["--capacity", "0"], "--capacity must be a whole number from 1 to 1,000,000"),
        (["--down", "nan"], "--down is a number of seconds"),
        (["--down", "2h"], "an hour"),
        (["--seeds", "0"], "--seeds must be"),
        (["--seed", "-1"], "--seed must be"),
        (["--policies", "fixed,foo"], "'foo' is none of steadwire"),
        (["--policies", ","], "names none of"),
        (["--policies", "all,grpc"], "'all' is none of steadwire"),
        (["--jobs", "0"], "--jobs must be a whole number from 1 to 1,024"),
        (["--scheduler", "127.0.0.1:8786"], "a scheduler is for dask"),
        (["--out", "herd.txt"], "must end with .csv, .json, .parquet, .png"),
        (["--out", "no/such/folder/herd.csv"], "there is no folder"),
    ],
)
def test_wrong_usage_is_said_in_clear_words(
    arguments: list[str], words: str, capsys: Capture
) -> None:
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert words in err and out == ""


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "herd.csv"
    folder.mkdir()
    assert run(*SMALL, "--policies", "fixed", "--out", str(folder)) == 1
    assert "Is a directory" in capsys.readouterr().err


def test_policies_are_described() -> None:
    names = [policy.name for policy in sim.policies()]
    assert names[:2] == ["steadwire", "steadwire-nohint"]
    assert len(set(names)) == len(names) and all(policy.text for policy in sim.policies())
    with pytest.raises(ConfigError, match="websockets"):
        sim.herd(policy="")
