"""The engine of this process: made when the first conn is, stopped at exit, forgotten by a fork."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Literal

from steadwire import _core

if TYPE_CHECKING:
    from steadwire._conn import ConnBase


class _Process:
    """What belongs to one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engine: _core.Engine | None = None
        self.conns: weakref.WeakSet[ConnBase[Any, Any]] = weakref.WeakSet()


_process = _Process()


def engine() -> _core.Engine:
    """The engine of this process."""
    with _process.lock:
        if _process.engine is None:
            _process.engine = _core.Engine()
        return _process.engine


def register(conn: ConnBase[Any, Any]) -> None:
    """Remembers a conn, without keeping it alive, for the day of a fork."""
    _process.conns.add(conn)


def network(what: Literal["up", "down", "changed"]) -> None:
    """Tells every conn of this process what the host knows of the network."""
    engine().network(what)


def _stop() -> None:
    with _process.lock:
        running, _process.engine = _process.engine, None
    if running is not None:
        running.stop()


def _forget() -> None:
    """In a forked child: messages that wait in Python belong to the parent too."""
    global _process
    inherited, _process = _process, _Process()
    for conn in list(inherited.conns):
        conn.forget_inherited()


atexit.register(_stop)
os.register_at_fork(after_in_child=_forget)
