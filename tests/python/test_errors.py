"""Errors: one per status, with the bases that Python programmers expect."""

from __future__ import annotations

import inspect

import pytest
import steadwire
from steadwire import _core, errors
from steadwire.errors import BY_MESSAGE_STATE, BY_STATUS, ConnectError, SteadwireError
from steadwire.words import Cause, MessageState

STATUSES = [row for row in _core.statuses() if row[1] != "ok"]


def test_each_status_has_one_class_and_each_class_one_status() -> None:
    assert list(BY_STATUS) == [name for _number, name, *_rest in STATUSES]
    assert len(set(BY_STATUS.values())) == len(BY_STATUS)


@pytest.mark.parametrize("row", STATUSES, ids=lambda row: row[1])
def test_a_class_says_what_the_list_says(row: tuple[int, str, bool, str, str]) -> None:
    _number, name, retryable, _text, _remedy = row
    assert BY_STATUS[name].status == name
    assert BY_STATUS[name].retryable is retryable
    assert BY_STATUS[name]("text").args == ("text",)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (errors.ArgumentError, ValueError),
        (errors.ConfigError, ValueError),
        (errors.Timeout, TimeoutError),
        (errors.ConnectTimeout, TimeoutError),
        (errors.NoMemory, MemoryError),
        (errors.SystemRefused, OSError),
        (errors.NotFoundError, LookupError),
        (errors.InterruptedCall, InterruptedError),
        (errors.TooBigError, ValueError),
    ],
)
def test_natural_bases(error: type[Exception], base: type[Exception]) -> None:
    assert issubclass(error, base)
    assert issubclass(error, SteadwireError)


def test_all_errors_have_one_root() -> None:
    classes = [cls for _name, cls in inspect.getmembers(errors, inspect.isclass)]
    raised = [
        cls for cls in classes if issubclass(cls, Exception) and cls.__module__ == errors.__name__
    ]
    assert len(raised) > 25
    assert all(issubclass(cls, SteadwireError) for cls in raised)
    assert all(cls.__doc__ for cls in raised)


def test_each_final_state_of_a_message_has_an_error() -> None:
    final = {"expired", "cancelled", "dropped", "dead", "unknown"}
    assert {str(state) for state in BY_MESSAGE_STATE} == final
    assert set(MessageState) >= set(BY_MESSAGE_STATE)


@pytest.mark.parametrize("cause", list(Cause))
def test_each_cause_makes_a_readable_error(cause: Cause) -> None:
    error = errors.connect_error_class(cause)(cause, attempts=3, detail="the detail")
    assert isinstance(error, ConnectError)
    text = str(error)
    assert text.startswith(f"{cause}: {cause.text}")
    assert "the detail" in text
    assert "3 attempts" in text
    assert error.remedy == cause.remedy


def test_the_core_raises_what_was_bound() -> None:
    with pytest.raises(errors.OptionError):
        _core.Config().set("nonsense", "1")
    with pytest.raises(TypeError):
        _core.bind_errors([])


@pytest.mark.parametrize(
    "call",
    [
        lambda: _core.Conn(),
        lambda: _core.Conn(1, 2),
        lambda: _core.Engine(1),
        lambda: _core.Config(1),
        lambda: _core.Config().set("a"),
        lambda: _core.Config().set(1, "2"),
        lambda: _core.Config().put("headers", "x"),
        lambda: _core.Config().get(3),
        lambda: _core.Message(1),
        lambda: _core.Message("a").json(1),
        lambda: _core.words(3),
    ],
)
def test_misuse_of_the_core_is_a_type_error(call: object) -> None:
    assert callable(call)
    with pytest.raises(TypeError):
        call()


def test_misuse_of_a_conn_of_the_core(dead_url: str) -> None:
    config = _core.Config()
    config.set("url", dead_url)
    conn = _core.Conn(_core.Engine(), config)
    for call in (
        lambda: conn.send("x"),
        lambda: conn.send("x", "y", 0, None, 0),
        lambda: conn.send("x", 0, None, None, 0),
        lambda: conn.send("x", 0, 0, 3.5, 0),
        lambda: conn.send("x", 0, 0, None, "data"),
        lambda: conn.send_many(3, 0, 0, None, 0),
        lambda: conn.send_many([1], 0, 0, None, 0),
        lambda: conn.drain(),
        lambda: conn.wait("x"),
        lambda: conn.opening(1, 2),
        lambda: conn.opening("a", 2),
        lambda: conn.supply(1, None, [], 0),
        lambda: conn.supply(None, None, {}, 0),
        lambda: conn.supply(None, None, ["a"], 0),
        lambda: conn.supply(None, None, ["a", 1], 0),
        lambda: conn.outbox().list("a", 0, None, 0, 0, 1),
        lambda: conn.outbox().get(1),
        lambda: conn.outbox().body((1, "x"), 1),
        lambda: conn.outbox().edit((1, 1), "hold"),
        lambda: conn.outbox().import_(5),
        lambda: conn.processed("x"),
        lambda: conn.close("x"),
    ):
        with pytest.raises(TypeError):
            call()
    for call in (
        lambda: conn.send("x", 99, 0, None, 0),
        lambda: conn.send("x", 0, 0, None, 2),
        lambda: conn.send("x", 0, 0, None, -1),
        lambda: conn.send("x", 0, -1, None, 0),
        lambda: conn.outbox().list(0, 0, None, 0, -1, 1),
        lambda: conn.outbox().edit((1, 1), 99),
        lambda: conn.close(2**64),
        lambda: conn.opening("", "x"),
        lambda: conn.send("x", 0, 0, "k" * 256, 0),
    ):
        with pytest.raises((ValueError, OverflowError)):
            call()
    conn.free()
    conn.free()
    for call in (conn.fd, conn.kick, conn.ready, conn.look, conn.stats, conn.reopen):
        with pytest.raises(errors.HandleError):
            call()
    with pytest.raises(errors.HandleError):
        conn.drain([], [], 1, 1, False, False)


class Hostile(list[object]):
    """Drains again while it is being filled, and fails now and then."""

    def __init__(self, conn: _core.Conn) -> None:
        super().__init__()
        self.conn = conn
        self.busy = 0

    def append(self, item: object) -> None:
        with pytest.raises(errors.BusyError):
            self.conn.drain([], [], 1, 1, False, False)
        with pytest.raises(errors.BusyError):
            self.conn.free()
        self.busy += 1
        if self.busy == 1:
            raise RuntimeError("no")
        super().append(item)


def test_a_drain_that_fails_in_the_middle_loses_nothing(dead_url: str) -> None:
    config = _core.Config()
    config.set("url", dead_url)
    conn = _core.Conn(_core.Engine(), config)
    assert conn.wait(5)
    events = Hostile(conn)
    with pytest.raises(RuntimeError):
        conn.drain([], events, 10, 10, False, False)
    assert conn.has_lent
    conn.drain([], events, 10, 10, False, False)
    first = events[0]
    assert isinstance(first, tuple)
    assert first[0] == steadwire.words.EventKind.STATE.number
    assert first[3:5] == (0, 1)


def test_messages_can_be_made_and_subclassed() -> None:
    message = _core.Message(raw="[1]", link=3, at_ns=1_500_000_000)
    assert (message.data, message.link, message.received_at) == ("[1]", 3, 1.5)
    assert message.json() == [1]

    class Mine(_core.Message):
        extra = 1

    mine = Mine(b"x")
    mine.extra = 2
    assert (mine.data, mine.is_text, mine.extra) == (b"x", False, 2)
    with pytest.raises(AttributeError):
        message.link = 4
