"""Servers for the interop tests, and the check that each test leaves no conn behind."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a server notes what arrives."""
    return tmp_path / "arrivals.jsonl"


@pytest.fixture
def dead_url() -> str:
    """A URL at which nothing listens."""
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
    assert [conn for conn in engine._process.conns if not conn.is_finished] == []
