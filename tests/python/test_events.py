"""Events and words: typed, frozen, bounded, and the same lists as the engine's."""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import steadwire
from face_support import Echo, until_async
from steadwire import _conn, _core, events, words
from steadwire.events import Closed, Event, Gap, Proved, Replayed, StateChanged
from steadwire.words import Cause, EventKind, Proof, State

ROOT = Path(__file__).resolve().parents[2]


def test_the_words_are_those_of_the_engine() -> None:
    script = ROOT / "bindings/python/generate_words.py"
    package = str(Path(steadwire.__file__).parents[1])
    for folder in Path(_core.__file__).resolve().parents[1], Path(package):
        command = [sys.executable, str(script), "--check"]
        found = list(folder.glob("steadwire/_core*.so"))
        if found:
            subprocess.run(command, check=True, env={"PYTHONPATH": str(folder)})
            return
    pytest.fail("the built module was not found")


def test_words_are_equal_to_their_names_and_know_their_meaning() -> None:
    assert State.ONLINE == "online"
    assert str(State.ONLINE) == "online"
    assert State("waiting") is State.WAITING
    assert State.ONLINE.number == 2
    assert State.ONLINE.text
    assert Cause.TCP_REFUSED.class_name == "overload"
    assert "server runs" in Cause.TCP_REFUSED.remedy
    with pytest.raises(ValueError, match="asleep"):
        State("asleep")


def test_proofs_have_an_order() -> None:
    order = [Proof.NONE, Proof.STORED, Proof.WRITTEN, Proof.RECEIVED, Proof.ACCEPTED]
    assert sorted(reversed(order)) == order
    assert Proof.WRITTEN < "received" <= Proof.RECEIVED
    assert Proof.PROCESSED > "accepted" >= Proof.ACCEPTED


def test_every_kind_of_event_has_a_class() -> None:
    kinds = {cls.kind for cls in Event.__subclasses__()}
    assert kinds == set(EventKind) - {EventKind.MESSAGE}
    assert set(events._MAKERS) == kinds


async def test_a_restart_is_told(echo: Echo) -> None:
    async with steadwire.connect(echo.url, retry_window="20ms") as conn:
        queue = conn.events()
        echo.kill()
        conn.post_many(["a", "b"])
        lost = await queue.next(timeout=5)
        assert isinstance(lost, StateChanged)
        assert (lost.old, lost.new, lost.cause.class_name) == ("online", lost.new, "path")
        echo.start()
        seen = [await queue.next(timeout=10)]
        while not isinstance(seen[-1], Gap):
            seen.append(await queue.next(timeout=10))
        online = [one for one in seen if isinstance(one, StateChanged) and one.new == "online"]
        assert len(online) == 1
        assert online[0].phases
        assert online[0].phases["upgrade"] > 0
        assert (seen[-1].reason, seen[-1].known) == ("new_link", False)
        assert not any(isinstance(one, Proved) for one in seen)
    rest = [event async for event in queue]
    assert isinstance(rest[-1], Closed)
    assert [event.new for event in rest if isinstance(event, StateChanged)] == ["closed"]


async def test_a_replay_is_told(echo: Echo) -> None:
    async with steadwire.connect(echo.url, retry_window="20ms") as conn:
        queue = conn.events(Replayed)
        echo.process.send_signal(19)
        receipts = conn.post_many(["a", "b", "c"])
        await receipts.wait("written", timeout=5)
        echo.restart()
        replayed = await queue.next(timeout=10)
        assert isinstance(replayed, Replayed)
        assert replayed.messages == 3
        await receipts.wait("received", timeout=5)


async def test_proofs_come_when_asked_for(conn: steadwire.Connection) -> None:
    queue = conn.events(Proved)
    conn.post("x")
    seen = await queue.next(timeout=5)
    while not (isinstance(seen, Proved) and seen.proof == "received"):
        seen = await queue.next(timeout=5)
    assert seen.upto == 1


async def test_events_are_frozen_equal_by_value_and_go_into_json(echo: Echo) -> None:
    async with steadwire.connect(echo.url) as conn:
        queue, other = conn.events(StateChanged), conn.events(StateChanged)
        echo.kill()
        event = await queue.next(timeout=5)
        assert event == await other.next(timeout=5)
        assert event is not None
        with pytest.raises(dataclasses.FrozenInstanceError):
            event.at = 0.0
        assert not hasattr(event, "__dict__")
        assert json.loads(json.dumps(event.as_dict()))["event"] == "state"


async def test_a_slow_consumer_of_events_loses_the_oldest_and_knows(
    conn: steadwire.Connection,
) -> None:
    queue = conn.events()
    for number in range(_conn.EVENTS_MAX + 5):
        conn._publish(Replayed(at=float(number), link=0, messages=number, size=0))
    assert queue.dropped == 5
    first = await queue.next(timeout=1)
    assert first.at == 5.0


async def test_a_dropped_queue_is_forgotten(conn: steadwire.Connection) -> None:
    queue = conn.events()
    assert len(conn._queues) == 1
    del queue
    assert len(conn._queues) == 0


async def test_the_log_warns_of_a_disconnect_and_informs_of_states(
    echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="steadwire")
    async with steadwire.connect(echo.url, retry_window="20ms", name="feed") as conn:
        conn.post("secret payload")
        await conn.recv(timeout=5)
        echo.restart()
        await until_async(lambda: conn.stats()["links"] == 2)
        await conn.wait_online(timeout=5)
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    text = warnings[0].getMessage()
    assert text.startswith("feed: online -> ")
    assert "abnormal" in text
    assert "next attempt" in text
    assert "check for crashes" in text
    infos = [record.getMessage() for record in caplog.records if record.levelname == "INFO"]
    assert any("connecting -> online" in line for line in infos)
    assert any("-> closed" in line for line in infos)
    assert "secret" not in caplog.text


def test_the_library_is_silent_without_a_handler() -> None:
    assert any(isinstance(h, logging.NullHandler) for h in logging.getLogger("steadwire").handlers)


def test_metrics_have_the_names_of_the_table() -> None:
    assert [row[0] for row in _core.metrics()] == list(_conn.METRICS)
    assert set(words.State) == {name for _number, name, _text in _core.words("state")}
    with pytest.raises(ValueError, match="nonsense"):
        _core.words("nonsense")
