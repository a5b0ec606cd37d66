"""Servers for the interop tests, and the check that each test leaves no conn behind."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from peers import process
from peers.process import PeerProcess


@pytest.fixture
async def healthy() -> AsyncIterator[PeerProcess]:
    """An echo server that behaves."""
    async with await process.start_echo() as peer:
        yield peer


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a server notes what arrives."""
    return tmp_path / "arrivals.jsonl"


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Every conn that a test makes is closed, or is gone with its last reference."""
    yield
    engine = sys.modules.get("steadwire._engine")
    if engine is None:
        return
    gc.collect()
    assert [conn for conn in engine._process.conns if not conn.is_finished] == []
