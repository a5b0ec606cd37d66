"""The vectors of steadwire.v1 in another msgpack implementation than the one under test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgpack
import pytest

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
FRAMES = json.loads((VECTORS / "frames.json").read_text(encoding="utf-8"))
DIALOGUES = json.loads((VECTORS / "dialogues.json").read_text(encoding="utf-8"))


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def test_the_files_are_what_their_maker_writes() -> None:
    done = subprocess.run(
        [sys.executable, str(VECTORS / "make.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("vector", FRAMES["good"], ids=lambda vector: str(vector["name"]))
def test_the_bytes_hold_the_fields(vector: dict[str, Any]) -> None:
    frame = plain(msgpack.unpackb(bytes.fromhex(vector["hex"]), strict_map_key=False))
    values = list(frame[1].values()) if len(frame) > 1 and isinstance(frame[1], dict) else frame[1:]
    for key, value in vector["fields"].items():
        if key not in ("type", "caps", "number"):
            assert value in values, key


def test_names_are_unique() -> None:
    names = [vector["name"] for kind in ("good", "malformed") for vector in FRAMES[kind]]
    assert len(set(names)) == len(names)


def test_every_dialogue_has_both_sides() -> None:
    for name, steps in DIALOGUES.items():
        if name != "about":
            assert {step["from"] for step in steps} == {"client", "server"}, name
            assert all("hex" in step or step["does"] for step in steps), name
