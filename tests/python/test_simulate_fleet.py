"""Fleets and traces: the calls, the command, and files that are refused."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from steadwire.cli import main
from steadwire.errors import ConfigError
from steadwire.sim import TraceError, World, fleet, load
from steadwire.sim.fleet import POLICIES, PROFILES, parts

TRACES = Path(__file__).parents[2] / "examples" / "traces"
FIGURES = [
    *("name", "profile", "reliability_pct", "ci95_pct", "detect_s", "restore_s"),
    *("false_alarms_per_day", "late_pct", "heartbeat_bytes_per_day"),
]


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["simulate", *arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return answer


def test_parts_of_a_fleet_add_up_to_the_whole() -> None:
    world = World(days=2)
    assert world.run(0, 4) == world.run(0, 1) + world.run(1, 3)
    with pytest.raises(ValueError, match="parts of one fleet"):
        _ = world.run(0, 1) + World(days=2, policy="fixed").run(0, 1)


def test_ours_has_more_service_than_a_usual_client() -> None:
    ours = fleet(clients=2, days=20)
    usual = fleet(clients=2, days=20, policy="fixed")
    assert ours.reliability_pct > 99.9 > usual.reliability_pct > 98
    assert ours.count("lost_messages") == ours.count("duplicates") == 0
    assert usual.count("lost_messages") > 0
    seen = ours.spread("detect")
    assert seen.mean is not None and seen.p99 is not None
    assert seen.mean < seen.p99 < 20
    assert ours.uptime_pct < ours.reliability_pct


def test_a_mix_is_forty_forty_twenty() -> None:
    assert parts("mix", 200) == {"mobile": 80, "desktop": 80, "bot": 40}
    assert parts("mix", 1) == {"mobile": 1}
    assert parts("bot", 3) == {"bot": 3}
    assert sum(parts("mix", 17).values()) == 17


def test_the_command_is_the_same_on_any_number_of_processes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("fleet", "--clients", "12", "--days", "1", "--seeds", "2")
    logs = [tmp_path / "one", tmp_path / "three"]
    one = report(capsys, *arguments, "--jobs", "1", "--log", str(logs[0]))
    three = report(capsys, *arguments, "--jobs", "3", "--log", str(logs[1]))
    assert one == three
    assert logs[0].read_bytes() == logs[1].read_bytes()
    assert len(logs[0].read_bytes()) > 1000
    rows = one["policies"]
    assert isinstance(rows, list)
    assert [row["profile"] for row in rows] == [*PROFILES, "mix"] * 2


def test_the_report_has_these_figures_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("fleet", "--clients", "5", "--days", "1", "--policies", "all", "--seed", "7")
    one = report(capsys, *arguments)
    assert list(one) == ["seed", "policies"] and one["seed"] == 7
    rows = one["policies"]
    assert isinstance(rows, list)
    assert [row["name"] for row in rows[::4]] == POLICIES
    assert POLICIES[:2] == ["steadwire", "steadwire-nohint"]
    for row in rows:
        assert list(row) == FIGURES
        assert list(row["detect_s"]) == list(row["restore_s"]) == ["mean", "p99"]
        assert 0 <= row["reliability_pct"] <= 100 and 0 <= row["late_pct"] <= 100


def test_many_seeds_give_intervals_over_the_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("fleet", "--profile", "mobile", "--clients", "3", "--days", "5", "--seeds", "4")
    answer = report(capsys, *arguments, "--policies", "steadwire")
    assert list(answer) == ["seed", "policies", "seeds"] and answer["seeds"] == 4
    rows = answer["policies"]
    assert isinstance(rows, list)
    (row,) = rows
    assert list(row) == [*FIGURES, "ci95"]
    each = [fleet(clients=3, days=5, seed=seed) for seed in (1, 2, 3, 4)]
    loss = [100 * one.count("lost_us") / one.count("usable_us") for one in each]
    student = 3.182
    assert row["ci95_pct"] == pytest.approx(student * statistics.stdev(loss) / 2)
    assert row["ci95"]["reliability_pct"] == row["ci95_pct"]
    restored = [one.spread("restore").mean for one in each]
    assert None not in restored
    assert row["ci95"]["restore_s"]["mean"] == pytest.approx(
        student * statistics.stdev(restored) / 2
    )
    assert main(["simulate", *arguments]) == 0
    head, _names, ours, _theirs = capsys.readouterr().out.splitlines()
    assert "95 % interval over the 4 seeds" in head and ours.count("±") == 9


def test_one_seed_gives_an_interval_over_its_clients(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("fleet", "--days", "2", "--policies", "fixed", "--clients", "4")
    rows = report(capsys, *arguments)["policies"]
    assert isinstance(rows, list)
    mobile = fleet(clients=parts("mix", 4)["mobile"], days=2, policy="fixed")
    assert rows[0]["ci95_pct"] == mobile.ci95_pct
    assert rows[-1]["profile"] == "mix" and 0 < rows[-1]["ci95_pct"] < mobile.ci95_pct


def test_without_hints_the_engine_is_told_nothing() -> None:
    untold = fleet(clients=2, days=5, hints=False, drain=False)
    assert fleet(clients=2, days=5, policy="steadwire-nohint").values == untold.values
    assert untold.values != fleet(clients=2, days=5).values


def test_a_path_that_is_never_up_has_no_reliability() -> None:
    dark = fleet(clients=1, days=0.1, steps=[(0, 0, 0, False)])
    assert dark.reliability_pct is None and dark.uptime_pct is None
    assert dark.per_day("attempts") == 0.0


def test_skipping_quiet_heartbeats_changes_no_byte(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("fleet", "--clients", "8", "--days", "2", "--policies", "steadwire")
    logs = [tmp_path / "skipped", tmp_path / "stepped"]
    skipped = report(capsys, *arguments, "--log", str(logs[0]))
    stepped = report(capsys, *arguments, "--log", str(logs[1]), "--event-level")
    assert skipped == stepped
    assert logs[0].read_bytes() == logs[1].read_bytes()
    assert fleet(clients=2, days=2) == fleet(clients=2, days=2, event_level=True)


def test_the_table_and_the_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, log = tmp_path / "report.csv", tmp_path / "log"
    arguments = ["--clients", "2", "--days", "1", "--profile", "bot", "--policies", "all"]
    assert main(["simulate", "fleet", *arguments, "--out", str(out)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[2:]] == POLICIES
    assert len(out.read_text(encoding="utf-8").splitlines()) == 1 + len(POLICIES)
    log.mkdir()
    assert main(["simulate", "fleet", *arguments, "--log", str(log)]) == 1
    assert f"--log {log}: Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policies", "hope"], "--policies: 'hope' is none of steadwire"),
        (["--policies", "all,hope"], "'all' is none of"),
        (["--policies", ","], "names none"),
        (["--clients", "0"], "--clients must be a whole number from 1"),
        (["--days", "many"], "--days must be a number"),
        (["--days", "0"], "--days must be more than 0 and at most 3660"),
        (["--days", "nan"], "--days must be more than 0"),
        (["--days", "1e300"], "--days must be more than 0"),
        (["--interval", "0"], "interval must be more than 0"),
        (["--idle-interval", "often"], "idle_interval"),
        (["--interval", "soon"], "interval is a number of seconds"),
        (["--interval", "1ms"], "interval must be from 100 ms to 1 h"),
        (["--interval", "3h"], "interval must be from 100 ms to 1 h"),
        (["--seed", "-1"], "--seed must be a whole number from 0"),
        (["--seed", "9" * 5000], "--seed must be a whole number from 0"),
        (["--seeds", "0"], "--seeds must be a whole number from 1"),
        (["--jobs", "none"], "--jobs must be a whole number from 1"),
        (["--out", "report.txt"], "must end with .csv, .json, .parquet, .png, .svg"),
        (["--out", "no/such/folder/a.json"], "there is no folder no/such/folder"),
        (["--log", "no/such/folder/log"], "--log no/such/folder/log: there is no folder"),
        (["--out", "same.csv", "--log", "./same.csv"], "--out and --log both name"),
        (["--scheduler", "127.0.0.1:8786"], "a scheduler is for dask"),
        (["--on", "dask", "--scheduler", "127.0.0.1:1", "--jobs", "2"], "not both"),
        (["--on", "dask", "--scheduler", "here"], "'here' is no address like tcp://"),
    ],
)
def test_wrong_usage_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "fleet", *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err and out == ""


@pytest.mark.parametrize(
    ("world", "words"),
    [
        ({"policy": "hope"}, "policy 'hope' is none of steadwire"),
        ({"days": float("nan")}, "days must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 2**64}, "seed must be"),
        ({"interval": "10ms"}, "interval must be"),
        ({"clients": True}, "clients must be a whole number"),
        ({"clients": 10**9}, "clients must be"),
        ({"steps": []}, "steps must be 1 to"),
        ({"steps": [(5, 0, 0, True), (4, 0, 0, True)]}, "step 1: its time, 4 us"),
        ({"steps": [(-1, 0, 0, True)]}, "step 0: its time"),
        ({"steps": [(0, 2**63, 0, True)]}, "step 0: a round trip"),
        ({"steps": [(0, 0, -1, True)]}, "an address of 32 bits"),
    ],
)
def test_nonsense_is_refused_in_clear_words(world: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fleet(**world)


def test_a_call_with_a_wrong_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="profile 'toaster' is none of"):
        fleet(profile="toaster")
    with pytest.raises(ConfigError, match="clients must be"):
        fleet(clients=0)


def test_the_traces_of_the_tree_are_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    drive, commute = load(TRACES / "drive.mahimahi"), load(TRACES / "commute.ping")
    assert 595e6 < drive.us < 605e6
    assert 5 < drive.gaps < 40
    assert commute.gaps >= 1
    assert any(rtt > 0 for _at, rtt, _address, _is_up in commute.steps)
    path = str(TRACES / "drive.mahimahi")
    once = report(capsys, "trace", path, "--clients", "2", "--policies", "steadwire")
    twice = report(
        capsys, "trace", path, "--clients", "2", "--policies", "steadwire", "--days", ".1"
    )
    assert once != twice


def test_on_gaps_alone_who_asks_more_often_loses_more() -> None:
    """A gap costs who has a packet on its way; no link ends, so there is nothing to win."""
    steps = load(TRACES / "drive.mahimahi").repeated(3)
    lost: dict[str, list[float]] = {"steadwire": [], "fixed": []}
    for policy, values in lost.items():
        for interval in ("15s", "30s"):
            lived = fleet(clients=20, days=3, policy=policy, interval=interval, steps=steps)
            values.append(lived.per_day("lost_us") / 1e6)
    assert all(ours < 1.25 * theirs for ours, theirs in zip(*lost.values(), strict=True))
    assert all(often > seldom for often, seldom in lost.values())


def test_a_trace_is_repeated_to_its_length() -> None:
    drive = load(TRACES / "drive.mahimahi")
    steps = drive.repeated(1)
    assert len(steps) == len(drive.steps) * -(-round(86_400e6) // drive.us)
    assert [at for at, *_rest in steps] == sorted(at for at, *_rest in steps)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("0\n250\n100\n", ":3: time goes back, from 250 to 100 ms"),
        ("0\nsoon\n", ":2: a whole number of milliseconds was expected, not 'soon'"),
        ("0\n-5\n", ":2: a whole number"),
        ("0\n0\n", "it takes no time"),
        ("hello\n", ":1: no line of ping: 'hello'"),
        ("PING a (192.0.2.1) 56(84) bytes of data.\n", "fewer than two replies"),
        (
            "64 bytes from a: icmp_seq=2 ttl=9 time=1.5 ms\n"
            "64 bytes from a: icmp_seq=1 ttl=9 time=1.5 ms\n",
            ":2: reply 1 comes after reply 2",
        ),
        ("64 bytes from a: icmp_seq=1 ttl=9 time=1.5.5 ms\n", ":1: '1.5.5' is no time"),
        ("0\n" + "9" * 9000 + "\n", ":2: 999999999999999999999999999999"),
        (
            "64 bytes from a: icmp_seq=1 ttl=9 time=1.5 ms\n"
            f"64 bytes from a: icmp_seq={'9' * 9000} ttl=9 time=1.5 ms\n",
            ":2: more than 3660 days",
        ),
        (f"64 bytes from a: icmp_seq=1 ttl=9 time={'9' * 400}.0 ms\n", "an hour of round trip"),
    ],
)
def test_a_broken_trace_is_refused_with_its_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TraceError) as refused:
        load(path)
    assert words in str(refused.value)
    assert str(refused.value).startswith(str(path))


def test_a_trace_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="nothing"):
        load(tmp_path / "nothing")


def test_a_trace_that_does_not_end_is_refused() -> None:
    with pytest.raises(TraceError, match="at most 64 MiB"):
        load(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("days", "words"),
    [("3660", "can be held; ask for fewer days"), ("-1", "--days must be"), ("x", "a number")],
)
def test_a_trace_is_not_repeated_without_end(
    days: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(TRACES / "drive.mahimahi")
    assert main(["simulate", "trace", path, "--days", days]) == 2
    assert words in capsys.readouterr().err


def test_lost_replies_are_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "pings"
    lines = ["PING a (192.0.2.1) 56(84) bytes of data."]
    for number in (1, 2, 3, 7, 8):
        lines.append(f"64 bytes from a (192.0.2.1): icmp_seq={number} ttl=60 time=20.0 ms")
    lines += ["", "--- a ping statistics ---", "8 packets transmitted, 5 received"]
    path.write_text("\n".join(lines), encoding="utf-8")
    trace = load(path)
    assert trace.us == 7_000_000
    assert [step for step in trace.steps if not step[3]] == [(3_000_000, 0, 0, False)]
