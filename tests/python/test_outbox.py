"""The outbox of a conn and of a file: looking, editing, moving between files."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import steadwire
from face_support import Echo, until
from steadwire import Connection, Lane, MessageId, MessageState, Outbox, Proof, _core, sync
from steadwire._ids import LANES
from steadwire.errors import (
    ArgumentError,
    BusyError,
    FormatError,
    HandleError,
    LockedError,
    MessageCancelled,
    NotFoundError,
    ProofUnavailable,
    QueueFull,
    StateError,
    StoreError,
    Timeout,
    Undelivered,
    UrlError,
)
from steadwire.events import MessageEnded, StoreChanged
from steadwire.receipts import ENDED_MAX, GAPS_MAX, Ledger
from steadwire.words import Cause, StoreHealth


@pytest.fixture
def lonely(dead_url: str) -> Iterator[sync.Connection]:
    """A conn that never gets online: what is sent stays in its outbox."""
    conn = sync.connect(dead_url, wait=False, outbox_messages=300)
    yield conn
    conn.abandon()


def bodies(outbox: Outbox) -> list[str | bytes]:
    """What the messages contain, in the order in which they would be sent."""
    return [outbox.body(entry) for entry in outbox]


def stored(path: Path, dead_url: str, *messages: str) -> list[MessageId]:
    """A file with messages of a conn that is gone; their ids."""
    with sync.connect(dead_url, wait=False, outbox=path) as conn:
        receipts = conn.post_many(messages)
        receipts.wait("stored", timeout=10)
        ids = [receipt.id for receipt in receipts]
        conn.close(0)
    return ids


def test_the_control_lane_goes_first(lonely: sync.Connection) -> None:
    data = lonely.post("data")
    control = lonely.post(b"control", lane="control")
    both = lonely.send_many(["c1", "c2"], lane=Lane.CONTROL)
    assert (data.lane, control.lane, both[1].lane) == (Lane.DATA, Lane.CONTROL, Lane.CONTROL)
    assert (data.id.lane, control.id.lane) == (Lane.DATA, Lane.CONTROL)
    assert [data.id.number, control.id.number] == [1, 1]
    assert data.id != control.id
    assert bodies(lonely.outbox) == [b"control", "c1", "c2", "data"]
    assert bodies(lonely.outbox.filter(lane="data")) == ["data"]
    assert [entry.position for entry in lonely.outbox] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="fast"):
        lonely.post("x", lane="fast")


def test_ids_are_read_as_they_are_written() -> None:
    message = MessageId(0x1F, 12)
    assert str(message) == "000000000000001f-12"
    assert MessageId.parse(str(message)) == message
    assert (message.lane, MessageId(2, 1).lane) == LANES[::-1]
    for wrong in ("", "1f-12", "000000000000001f-", "g" * 16 + "-1", f"{'0' * 16}-{2**64}"):
        with pytest.raises(ValueError, match="no message id"):
            MessageId.parse(wrong)


def test_messages_can_be_held_and_moved(lonely: sync.Connection) -> None:
    outbox = lonely.outbox
    one, two, three = lonely.post_many(["1", "2", "3"])
    outbox.hold(one)
    entry = outbox.get(one)
    assert entry is not None
    assert (entry.state, entry.number, entry.id) == (MessageState.HELD, 0, one.id)
    assert one.state is MessageState.HELD
    assert [held.id for held in outbox.held] == [one.id]
    outbox.prioritise(three.id)
    assert bodies(outbox) == ["3", "2", "1"]
    outbox.demote(str(three.id))
    outbox.release(entry)
    assert bodies(outbox) == ["2", "3", "1"]
    assert one.state is MessageState.QUEUED
    assert len(outbox) == len(list(outbox)) == 3
    assert not outbox.dead_letters


def test_an_edit_that_does_not_fit_changes_nothing(lonely: sync.Connection) -> None:
    outbox, receipt = lonely.outbox, lonely.post("x")
    for edit in (outbox.release, outbox.requeue):
        with pytest.raises(StateError):
            edit(receipt)
        assert receipt.state is MessageState.QUEUED
    outbox.hold(receipt)
    with pytest.raises(StateError):
        outbox.requeue(receipt)
    assert receipt.state is MessageState.HELD
    outbox.cancel(receipt)
    with pytest.raises(MessageCancelled):
        receipt.wait(timeout=5)
    for edit in (outbox.hold, outbox.release, outbox.prioritise, outbox.cancel):
        with pytest.raises(NotFoundError):
            edit(receipt)
    assert receipt.state is MessageState.CANCELLED
    assert outbox.get(receipt) is None
    with pytest.raises(NotFoundError):
        outbox.body(MessageId(1, 1))
    with pytest.raises(ValueError, match="no message id"):
        outbox.cancel("7")
    wrong: Any = 7
    with pytest.raises(TypeError, match="id, receipt or entry"):
        outbox.cancel(wrong)


def test_filters_combine(lonely: sync.Connection) -> None:
    lonely.post("a", key="k")
    held = lonely.post("b", key=b"l", lane="control")
    lonely.outbox.hold(held)
    outbox = lonely.outbox
    assert bodies(outbox.filter(key="k")) == ["a"]
    assert bodies(outbox.filter(key=b"l").filter(state="held")) == ["b"]
    assert bodies(outbox.filter(state=["held", "queued"])) == ["a", "b"]
    assert bodies(outbox.filter(key="k", state="held")) == []
    assert bodies(outbox.filter(older_than="1h")) == []
    assert len(outbox.filter(older_than=0)) == 2
    with pytest.raises(ValueError, match="lost"):
        outbox.filter(state="lost")
    with pytest.raises(ValueError, match="older_than"):
        outbox.filter(older_than="soon")


def test_a_table_is_bounded_and_escaped(lonely: sync.Connection) -> None:
    lonely.post_many([str(i) for i in range(200)], key=None)
    lonely.post("x", key="<b>\x1b[31m")
    text = str(lonely.outbox)
    assert len(text.splitlines()) == 22
    assert text.endswith("181 more")
    html = lonely.outbox._repr_html_()
    assert html.count("<tr>") == 51
    assert "151 more" in html
    last = lonely.outbox.filter(key="<b>\x1b[31m")
    assert "&lt;b&gt;" in last._repr_html_()
    assert "\x1b" not in str(last) + last._repr_html_()
    assert str(last).endswith("1 message")
    assert str(lonely.outbox.held) == "0 messages"
    assert "201" in repr(lonely.outbox)


def test_entries_are_plain_values_for_other_libraries(lonely: sync.Connection) -> None:
    receipt = lonely.post("x", ttl="1h")
    [row] = lonely.outbox.to_dicts()
    assert json.loads(json.dumps(row)) == row
    assert MessageId.parse(row["id"]) == receipt.id
    assert (row["lane"], row["state"], row["size"]) == ("data", "queued", 1)
    assert 3590 < row["ttl_left"] <= 3600


def test_a_data_frame_can_be_made(lonely: sync.Connection) -> None:
    pandas = pytest.importorskip("pandas")
    lonely.post_many(["a", "bb"])
    frame = pandas.DataFrame(lonely.outbox.to_dicts())
    assert list(frame["size"]) == [1, 2]


def test_a_thousand_entries_are_listed_quickly(dead_url: str) -> None:
    conn = sync.connect(dead_url, wait=False)
    conn.post_many(["x"] * 1000)
    began = time.monotonic()
    assert len(list(conn.outbox)) == 1000
    assert time.monotonic() - began < 1.0
    conn.abandon()
    assert list(conn.outbox) == []


# --- receipts ---


def test_both_lanes_prove_their_own_messages(shared_echo: Echo) -> None:
    with sync.connect(shared_echo.url) as conn:
        receipts = [conn.send(str(i), lane=LANES[i % 2]) for i in range(20)]
        for receipt in receipts:
            assert receipt.wait("received", timeout=10) is Proof.RECEIVED
            assert receipt.state is MessageState.SETTLED
        with pytest.raises(ProofUnavailable, match="memory"):
            receipts[0].wait("stored", timeout=1)
        with pytest.raises(ProofUnavailable):
            receipts[1].wait("processed", timeout=1)


async def test_a_moved_message_settles_by_its_id(echo: Echo) -> None:
    echo.kill()
    conn = await steadwire.connect(echo.url, wait=False, retry_window="50ms")
    moved, held, other = conn.post_many(["moved", "held", "other"])
    conn.outbox.prioritise(moved)
    conn.outbox.hold(held)
    with pytest.raises(Timeout):
        await moved.wait(timeout="20ms")
    echo.start()
    await other.wait(timeout=10)
    await moved.wait(timeout=10)
    assert (moved.state, moved.proof) == (MessageState.SETTLED, Proof.RECEIVED)
    assert held.state is MessageState.HELD
    with pytest.raises(Timeout):
        await held.wait(timeout="20ms")
    conn.outbox.release(held)
    await held.wait(timeout=10)
    assert [(await conn.recv(5)).data for _ in range(3)] == ["moved", "other", "held"]
    await conn.close()


def ended(number: int, state: MessageState, stream: int = 2) -> MessageEnded:
    """An event of the ledger's tests."""
    return MessageEnded(0.0, 1, stream, number, state, Cause.REQUESTED)


def test_the_ledger_keeps_lanes_apart() -> None:
    ledger = Ledger()
    ledger.proved(Proof.RECEIVED.number, Lane.CONTROL.number, 5, 0, 5)
    assert ledger.proof(MessageId(3, 5)) is Proof.RECEIVED
    assert ledger.proof(MessageId(2, 5)) is Proof.NONE
    ledger.ended(ended(3, MessageState.DEAD))
    assert ledger.state(MessageId(2, 3)) is MessageState.DEAD
    assert ledger.state(MessageId(3, 3)) is MessageState.SETTLED


def test_the_ledger_forgets_moves_that_failed() -> None:
    ledger = Ledger()
    ledger.ended(ended(1, MessageState.DEAD))
    with pytest.raises(StateError), ledger.moving(MessageId(2, 1), is_held=False):
        raise StateError
    assert ledger.state(MessageId(2, 1)) is MessageState.DEAD
    with ledger.moving(MessageId(2, 1), is_held=False):
        pass
    ledger.proved(Proof.RECEIVED.number, 0, 9, 0, 9)
    assert ledger.state(MessageId(2, 1)) is MessageState.QUEUED
    ledger.ended(ended(1, MessageState.SETTLED))
    assert ledger.proof(MessageId(2, 1)) is Proof.RECEIVED


def proved(ledger: Ledger, proof: Proof, after: int, upto: int, settled: int) -> None:
    """What the engine says of the data lane."""
    ledger.proved(proof.number, Lane.DATA.number, upto, after, settled)


def proof_of(ledger: Ledger, number: int) -> Proof:
    """The proof of a message of the data lane."""
    return ledger.proof(MessageId(2, number))


def test_a_proof_says_nothing_of_what_settled_without_it() -> None:
    ledger = Ledger()
    proved(ledger, Proof.RECEIVED, 0, 2, 2)
    proved(ledger, Proof.WRITTEN, 0, 5, 2)
    assert ledger.state(MessageId(2, 3)) is MessageState.INFLIGHT
    ledger.no_pong()
    proved(ledger, Proof.WRITTEN, 0, 5, 5)
    assert ledger.state(MessageId(2, 5)) is MessageState.SETTLED
    proved(ledger, Proof.RECEIVED, 5, 7, 7)
    proofs = [proof_of(ledger, number) for number in range(1, 9)]
    assert proofs == [Proof.RECEIVED] * 2 + [Proof.WRITTEN] * 3 + [Proof.RECEIVED] * 2 + [
        Proof.NONE
    ]
    assert ledger.state(MessageId(2, 7)) is MessageState.SETTLED
    assert ledger.state(MessageId(2, 8)) is MessageState.QUEUED


def test_a_peer_that_answers_pings_after_all_speaks_no_session_for_that() -> None:
    ledger = Ledger()
    ledger.no_pong()
    proved(ledger, Proof.RECEIVED, 0, 1, 1)
    with ledger.moving(MessageId(2, 2), is_held=False):
        pass
    ledger.ended(ended(2, MessageState.SETTLED))
    assert proof_of(ledger, 2) is Proof.RECEIVED


def test_the_ledger_claims_less_where_it_forgets() -> None:
    ledger = Ledger()
    for number in range(10, 10 * (GAPS_MAX + 3), 10):
        proved(ledger, Proof.RECEIVED, number - 5, number, number)
    claims = [n for n in range(1, number + 1) if proof_of(ledger, n) is Proof.RECEIVED]
    assert all(n % 10 in (0, 6, 7, 8, 9) for n in claims)
    assert claims[-1] == number
    assert len(claims) == 5 * GAPS_MAX


def test_the_ledger_is_bounded() -> None:
    ledger = Ledger()
    for number in range(1, ENDED_MAX + 3):
        ledger.ended(ended(number, MessageState.DROPPED))
    assert ledger.state(MessageId(2, 2)) is MessageState.UNKNOWN
    assert ledger.state(MessageId(2, 3)) is MessageState.DROPPED


# --- files ---


def test_an_outbox_file_outlives_its_conn(tmp_path: Path, echo: Echo) -> None:
    path = tmp_path / "feed.db"
    echo.kill()
    with sync.connect(echo.url, wait=False, outbox=path) as conn:
        receipt = conn.post("kept")
        assert receipt.wait("stored", timeout=10) is Proof.STORED
        assert conn.view().has_store
        conn.close(0)
    with Outbox.open(path) as file:
        assert [entry.id for entry in file] == [receipt.id]
        assert file.body(receipt.id) == "kept"
        report = file.check()
        assert (report.queued, report.last_number[0], report.is_sound) == ((1, 0), 1, True)
    echo.start()
    with sync.connect(echo.url, wait=False, outbox=str(path)) as conn:
        told = conn.events(StoreChanged)
        assert conn.recv(10).data == "kept"
        assert conn.post("next").id.number == 2
        until(lambda: len(told._events) > 0)
        event = told.next(1)
        assert isinstance(event, StoreChanged)
        assert (event.health, event.messages) == (StoreHealth.RECOVERED, 1)


def test_what_is_in_memory_only_is_an_error_at_close(lonely: sync.Connection) -> None:
    lonely.post("lost")
    lonely.outbox.hold(lonely.post("held"))
    with pytest.raises(Undelivered) as left:
        lonely.close(0)
    assert left.value.bodies == ["lost", "held"]


async def test_a_file_is_opened_beside_the_loop(
    tmp_path: Path, dead_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []

    def slow(setup: object) -> _core.Conn:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        threads.append(True)
        return open_core(setup)

    open_core = steadwire.aio.open_core
    monkeypatch.setattr(steadwire.aio, "open_core", slow)
    conn = await steadwire.connect(dead_url, wait=False, outbox=tmp_path / "a.db")
    assert isinstance(conn, Connection)
    assert threads == [True]
    with pytest.raises((LockedError, BusyError)):
        await steadwire.connect(dead_url, wait=False, outbox=tmp_path / "a.db")
    await conn.close(0)


def test_a_file_can_be_edited_at_rest(tmp_path: Path, dead_url: str) -> None:
    path = tmp_path / "feed.db"
    ids = stored(path, dead_url, "1", "2", "3", "4")
    with Outbox.open(path) as file, pytest.raises(StateError, match="reading only"):
        file.cancel(ids[0])
    with Outbox.open(path, edit=True) as file:
        file.cancel(ids[0])
        file.hold(ids[1])
        file.prioritise(ids[3])
        assert bodies(file) == ["4", "3", "2"]
        with pytest.raises(StateError):
            file.release(ids[2])
        with pytest.raises(NotFoundError):
            file.cancel(ids[0])
    with Outbox.open(path) as file:
        assert bodies(file) == ["4", "3", "2"]
        assert [entry.id for entry in file.held] == [ids[1]]
        assert len(file) == 3
    file.close()
    with pytest.raises(HandleError):
        list(file)


def test_messages_move_between_files(
    tmp_path: Path, dead_url: str, lonely: sync.Connection
) -> None:
    path, export = tmp_path / "feed.db", tmp_path / "export"
    ids = stored(path, dead_url, "1", "2")
    with Outbox.open(path) as file:
        assert file.export(export) == 2
        with pytest.raises(StoreError):
            file.export(export)
    assert export.stat().st_mode & 0o777 == 0o600
    assert lonely.outbox.import_(export) == 2
    assert lonely.outbox.import_(export) == 0
    assert [entry.id for entry in lonely.outbox] == ids
    assert bodies(lonely.outbox) == ["1", "2"]
    lonely.outbox.cancel(ids[0])
    assert lonely.outbox.filter(lane="control").export(tmp_path / "none") == 0


def test_a_broken_export_adds_nothing(
    tmp_path: Path, dead_url: str, lonely: sync.Connection
) -> None:
    path, export = tmp_path / "feed.db", tmp_path / "export"
    stored(path, dead_url, "first", "second")
    with Outbox.open(path) as file:
        file.export(export)
    whole = export.read_bytes()
    for broken in (b"", whole[:-1], whole[: len(whole) // 2], b"x" + whole, whole + b"x"):
        export.write_bytes(broken)
        with pytest.raises(FormatError):
            lonely.outbox.import_(export)
        assert list(lonely.outbox) == []
    with pytest.raises(StoreError):
        lonely.outbox.import_(tmp_path / "missing")


def test_an_import_over_the_bounds_adds_nothing(tmp_path: Path, dead_url: str) -> None:
    path, export = tmp_path / "feed.db", tmp_path / "export"
    stored(path, dead_url, "1", "2", "3")
    with Outbox.open(path) as file:
        file.export(export)
    conn = sync.connect(dead_url, wait=False, outbox_messages=2)
    with pytest.raises(QueueFull):
        conn.outbox.import_(export)
    assert list(conn.outbox) == []
    conn.abandon()


def test_wrong_files_are_refused(tmp_path: Path, lonely: sync.Connection) -> None:
    with pytest.raises(StoreError, match="missing"):
        Outbox.open(tmp_path / "missing.db")
    noise = tmp_path / "noise.db"
    noise.write_bytes(os.urandom(8192))
    with pytest.raises(FormatError):
        Outbox.open(noise)
    with pytest.raises(StoreError):
        Outbox.open(tmp_path)
    with pytest.raises(ArgumentError):
        lonely.outbox._core.check()
    with pytest.raises(UrlError):
        Outbox.open("a\0b")


HOLDER = """
import sys
from steadwire import sync
conn = sync.connect(sys.argv[1], wait=False, outbox=sys.argv[2])
conn.post("theirs").wait("stored", timeout=10)
print("ready", flush=True)
sys.stdin.read()
conn.abandon()
"""


@pytest.fixture
def held_elsewhere(tmp_path: Path, dead_url: str) -> Iterator[tuple[Path, int]]:
    """A file that another process uses, and that process's pid."""
    path = tmp_path / "theirs.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, dead_url, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        yield path, process.pid
        process.stdin.close()


def test_a_locked_file_names_its_holder(held_elsewhere: tuple[Path, int], dead_url: str) -> None:
    path, pid = held_elsewhere
    with pytest.raises(LockedError, match=str(pid)):
        sync.connect(dead_url, wait=False, outbox=path)
    with pytest.raises(LockedError, match=str(pid)):
        Outbox.open(path, edit=True)
    with Outbox.open(path) as file:
        assert bodies(file) == ["theirs"]


def test_a_conn_s_own_file_is_busy(tmp_path: Path, dead_url: str) -> None:
    path = tmp_path / "mine.db"
    conn = sync.connect(dead_url, wait=False, outbox=path)
    with pytest.raises(BusyError):
        Outbox.open(path, edit=True)
    conn.abandon()
