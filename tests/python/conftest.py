"""Servers for the tests, and the check that each test leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest
from face_support import Echo

if TYPE_CHECKING:
    import steadwire


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A fresh echo server."""
    server = Echo()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def shared_echo() -> Iterator[Echo]:
    """An echo server for tests that do it no harm."""
    server = Echo()
    yield server
    server.kill()


@pytest.fixture
async def conn(shared_echo: Echo) -> AsyncIterator[steadwire.Connection]:
    """A conn to an echo server; what the test leaves undelivered is its own affair."""
    import steadwire

    made = await steadwire.connect(shared_echo.url)
    yield made
    with contextlib.suppress(steadwire.Undelivered):
        await made.close()


@pytest.fixture
def dead_url() -> str:
    """A URL at which nothing listens, another one for each test: attempts have a budget."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"ws://127.0.0.1:{probe.getsockname()[1]}/"


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Every conn that a test makes is closed, or is gone with its last reference."""
    yield
    engine = sys.modules.get("steadwire._engine")
    if engine is None:
        return
    gc.collect()
    left = [conn for conn in engine._process.conns if not conn.is_finished]
    assert left == []
