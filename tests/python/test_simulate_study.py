"""`steadwire.sim.run`, `study` and their sketches: whatever the shards and wherever they run."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from steadwire import cli, sim
from steadwire.errors import ConfigError
from steadwire.sim.fleet import BUCKETS_US, COUNTS, HISTOGRAMS, POLICIES, PROFILES
from steadwire.sim.runners import StudyError, here, runner
from steadwire.sim.sketch import Part, Sketch, SketchError, merged

VALUES = len(COUNTS) + len(HISTOGRAMS) * len(BUCKETS_US)
CLIENTS = 7
WORLD: dict[str, Any] = {"days": 0.5, "profile": "mobile", "seed": 3}
STUDY: dict[str, Any] = {
    "policies": ["steadwire", "grpc"],
    "clients": 12,
    "days": 0.2,
    "seeds": (1, 2),
}


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    part = st.builds(
        Part,
        st.sampled_from(POLICIES[:2]),
        st.sampled_from(PROFILES),
        st.integers(0, 1),
        st.sampled_from(["days=1", "days=2"]),
    )
    parts = {}
    for one in draw(st.lists(part, max_size=4)):
        dice = random.Random(draw(st.integers(0, 2**32)))
        values = [0] * VALUES
        for place in (0, *dice.sample(range(VALUES), 5)):
            values[place] = dice.getrandbits(60)
        parts[one] = tuple(values)
    return Sketch(parts)


@given(sketches(), sketches(), sketches())
@settings(max_examples=60, deadline=None)
def test_merging_is_associative_and_commutative(a: Sketch, b: Sketch, c: Sketch) -> None:
    assert a.merge(b) == b.merge(a)
    assert a.merge(b).merge(c) == a.merge(b.merge(c)) == a.merge(b, c)
    assert a.merge(Sketch()) == Sketch().merge(a) == a
    assert a.merge(b).to_bytes() == b.merge(a).to_bytes()


@given(sketches())
@settings(max_examples=60, deadline=None)
def test_a_sketch_survives_as_bytes(sketch: Sketch) -> None:
    again = Sketch.from_bytes(sketch.to_bytes())
    assert again == sketch and again.to_bytes() == sketch.to_bytes()


@pytest.fixture(scope="module")
def whole() -> Sketch:
    return sim.run(clients=CLIENTS, **WORLD)


@given(cuts=st.sets(st.integers(1, CLIENTS - 1)), dice=st.randoms())
@settings(max_examples=25, deadline=None)
def test_shards_of_any_size_in_any_order_give_the_same_bytes(
    whole: Sketch, cuts: set[int], dice: random.Random
) -> None:
    ends = [*sorted(cuts), CLIENTS]
    starts = [0, *sorted(cuts)]
    shards = [
        sim.run(first=first, clients=end - first, **WORLD)
        for first, end in zip(starts, ends, strict=True)
    ]
    dice.shuffle(shards)
    assert merged(shards).to_bytes() == whole.to_bytes()
    assert reduce(Sketch.merge, shards) == whole


def test_a_sketch_gives_the_fleet_of_its_clients(whole: Sketch) -> None:
    assert whole.fleet("steadwire", "mobile") == sim.fleet(clients=CLIENTS, **WORLD)
    assert whole.fleet("steadwire", "mix", seed=3).count("clients") == CLIENTS
    with pytest.raises(SketchError, match="no clients of steadwire, bot"):
        whole.fleet("steadwire", "bot")
    other = sim.run(clients=1, hints=False, **WORLD)
    both = whole.merge(other)
    with pytest.raises(SketchError, match="choose one with only"):
        both.fleet("steadwire", "mobile")
    assert len(both.settings) == 2
    assert {both.only(one).to_bytes() for one in both.settings} == {
        whole.to_bytes(),
        other.to_bytes(),
    }


def test_paths_are_settings() -> None:
    made = [sim.run(clients=1, days=0.01, steps=[(0, rtt, 0, True)]).settings for rtt in (0, 5, 5)]
    assert made[0] != made[1] == made[2]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"form":"steadwire sketch 0","parts":[]}',
        b'{"form":"steadwire sketch 1","parts":[{}]}',
        b'{"form":"steadwire sketch 1","parts":5}',
        b"[" * 100_000,
    ],
)
def test_bytes_that_are_no_sketch_are_refused(data: bytes) -> None:
    with pytest.raises(SketchError, match="no sketch of this version"):
        Sketch.from_bytes(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("counts", "clients"), -1),
        (("counts", "clients"), 1.5),
        (("counts", "clients"), True),
        (("counts", "clients"), 10**60),
        (("counts",), {}),
        (("counts",), []),
        (("histograms", "detect"), {"99999": 1}),
        (("histograms", "detect"), {"-1": 1}),
        (("histograms", "detect"), {"x": 1}),
        (("seed",), "1"),
        (("policy",), 1),
    ],
)
def test_a_sketch_with_a_wrong_value_is_refused(
    whole: Sketch, path: tuple[str, ...], value: Any
) -> None:
    data = json.loads(whole.to_bytes())
    place = data["parts"][0]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(SketchError):
        Sketch.from_bytes(json.dumps(data).encode())
    data = json.loads(whole.to_bytes())
    data["parts"] *= 2
    with pytest.raises(SketchError, match="twice"):
        Sketch.from_bytes(json.dumps(data).encode())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"first": -1}, "first must be"),
        ({"first": 10**9}, "first must be"),
        ({"clients": 0}, "clients must be"),
        ({"profile": "mix"}, "profile 'mix' is none of"),
        ({"days": -1}, "days must be"),
    ],
)
def test_a_shard_out_of_bounds_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sim.run(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"on": "mars"}, "'mars' is none of processes, dask"),
        ({"policies": []}, "a policy and a seed"),
        ({"seeds": []}, "a policy and a seed"),
        ({"clients": 0}, "clients must be"),
        ({"profile": "toaster"}, "profile 'toaster' is none of"),
        ({"scheduler": "127.0.0.1:1"}, "a scheduler is for dask"),
    ],
)
def test_a_study_that_cannot_be_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sim.study(**arguments)


def test_a_shard_releases_the_gil() -> None:
    thread = threading.Thread(target=sim.run, kwargs={"clients": 1, "days": 30})
    thread.start()
    turns = 0
    while thread.is_alive():
        thread.join(0.001)
        turns += 1
    assert turns > 10


# ---- runners ----


@pytest.fixture(scope="module")
def studied() -> bytes:
    return sim.study(jobs=2, **STUDY).to_bytes()


def test_a_pool_of_any_size_gives_the_same_bytes(studied: bytes) -> None:
    assert sim.study(jobs=1, **STUDY).to_bytes() == studied


def test_shards_that_run_here_give_the_same_bytes(studied: bytes) -> None:
    names = Sketch.from_bytes(studied).parts
    shares = {"mobile": 6, "desktop": 4, "bot": 2}
    world = {"days": STUDY["days"]}
    shards = [
        sim.run(policy=p.policy, profile=p.profile, seed=p.seed, clients=shares[p.profile], **world)
        for p in names
    ]
    assert merged(shards).to_bytes() == studied


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path_factory.mktemp("dask")),
    ) as made:
        yield str(made.scheduler_address)


def test_a_dask_cluster_gives_the_same_bytes(studied: bytes, cluster: str) -> None:
    assert sim.study(on="dask", scheduler=cluster, **STUDY).to_bytes() == studied


@pytest.mark.parametrize(
    "world",
    [
        ("fleet", "--clients", "6", "--days", ".2", "--seeds", "2"),
        ("herd", "--clients", "2000", "--capacity", "100", "--seeds", "2"),
        ("trace", str(Path(__file__).parents[2] / "examples/traces/commute.ping")),
    ],
)
def test_the_command_says_the_same_wherever_it_runs(
    world: tuple[str, ...], cluster: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for place in ([], ["--on", "dask", "--scheduler", cluster]):
        assert cli.main(["simulate", *world, "--json", *place]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def test_the_command_starts_a_cluster_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    world = ["simulate", "fleet", "--clients", "2", "--days", ".1", "--json"]
    assert cli.main(world) == 0
    here_said = capsys.readouterr().out
    assert cli.main([*world, "--on", "dask", "--jobs", "1"]) == 0
    assert capsys.readouterr().out == here_said


def test_a_scheduler_that_is_not_there_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steadwire.sim.runners.SCHEDULER_TIMEOUT", "200ms")
    arguments = ["--on", "dask", "--scheduler", "127.0.0.1:1", "--clients", "1"]
    assert cli.main(["simulate", "fleet", *arguments]) == 1
    assert "no Dask scheduler answers at 127.0.0.1:1" in capsys.readouterr().err


def test_without_dask_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert cli.main(["simulate", "fleet", "--clients", "10000000", "--on", "dask"]) == 2
    assert 'pip install "steadwire[dask]"' in capsys.readouterr().err


def test_an_interrupt_ends_the_command_without_a_traceback(
    cluster: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("steadwire.simulate_fleet_cli.collect", interrupt)
    assert cli.main(["simulate", "fleet", "--on", "dask", "--scheduler", cluster]) == 130
    assert capsys.readouterr() == ("", "")


def vanish(_argument: int) -> None:
    os._exit(3)


def refuse(argument: int) -> None:
    raise ConfigError(f"not {argument}")


def crash(argument: int) -> float:
    return 1 / argument


def test_a_process_that_ends_is_said() -> None:
    with runner("processes", 1) as run, pytest.raises(StudyError, match="have fewer --jobs"):
        list(run(vanish, [1, 2, 3]))


def test_refusals_come_through_from_everywhere(cluster: str) -> None:
    for on, scheduler in (("processes", None), ("dask", cluster)):
        with runner(on, None, scheduler) as run, pytest.raises(ConfigError, match="not 7"):
            list(run(refuse, [7]))
    with pytest.raises(ConfigError, match="not 7"):
        list(here(refuse, [7]))


def test_a_shard_that_a_cluster_gives_up_is_said(cluster: str) -> None:
    with runner("dask", None, cluster) as run, pytest.raises(StudyError, match="gave up a shard"):
        list(run(crash, [0]))
