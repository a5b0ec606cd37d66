"""The generated pages: nothing of the lists is left out, and a difference is found."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    return module


generate = load_generate()


@pytest.fixture(scope="module")
def lists() -> dict[str, Any]:
    program = ROOT / os.environ.get("STW_BUILD", "build/release") / "docs/dump_lists"
    if not program.exists():
        pytest.skip("docs/dump_lists is not built")
    found: dict[str, Any] = generate.read_lists()
    return found


@pytest.fixture
def folder(tmp_path: Path, lists: dict[str, Any]) -> Path:
    assert generate.main(["--folder", str(tmp_path)]) == 0
    return tmp_path


def test_pages_on_disk_are_those_of_the_engine(lists: dict[str, Any]) -> None:
    assert generate.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("options.md", ["options"]),
        ("states.md", ["states", "inputs", "actions", "phases", "message_states"]),
        ("causes.md", ["causes", "classes"]),
        ("metrics.md", ["metrics"]),
        ("statuses.md", ["statuses"]),
        ("events.md", ["event_kinds", "proofs", "guarantees", "gap_reasons"]),
    ],
)
def test_each_row_is_on_its_page(
    lists: dict[str, Any], folder: Path, page: str, names: list[str]
) -> None:
    text = (folder / page).read_text()
    for name in names:
        assert len(lists[name]) >= 2
        for row in lists[name]:
            assert f"`{row['name']}`" in text
            assert generate.cell(row["text"]) in text


def test_each_transition_is_in_its_cell(lists: dict[str, Any], folder: Path) -> None:
    text = (folder / "states.md").read_text().split("## States and inputs")[1]
    rows = [line.strip("| ").split(" |") for line in text.splitlines() if line.startswith("|")]
    heads = [head.strip() for head in rows[0]]
    cells = {
        (row[0].strip(" `"), state): cell.strip()
        for row in rows[2 : 2 + len(lists["inputs"])]
        for state, cell in zip(heads[1:], row[1:], strict=False)
    }
    filled = {key for key, cell in cells.items() if cell}
    assert filled == {(rule["input"], rule["from"]) for rule in lists["rules"]}
    for rule in lists["rules"]:
        assert cells[rule["input"], rule["from"]].startswith(f"**{rule['to']}**")


def test_each_change_of_state_is_drawn_or_said(lists: dict[str, Any], folder: Path) -> None:
    text = (folder / "states.md").read_text().split("## Inputs")[0]
    for rule in lists["rules"]:
        if rule["from"] == rule["to"]:
            continue
        edge = f"  {rule['from']} --> {rule['to']}: "
        drawn = [line for line in text.splitlines() if line.startswith(edge)]
        said = f"- `{rule['input']}` leads to `{rule['to']}` from "
        assert said in text or rule["input"] in drawn[0].removeprefix(edge).split(", ")


def test_a_changed_page_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check", "--folder", str(folder)]) == 0
    page = folder / "options.md"
    page.write_text(page.read_text().replace("`15s`", "`16s`"))
    capsys.readouterr()
    assert generate.main(["--check", "--folder", str(folder)]) == 1
    shown = capsys.readouterr().out
    assert "-| `heartbeat_interval` | duration | `16s`" in shown
    assert "+| `heartbeat_interval` | duration | `15s`" in shown


def test_a_missing_page_is_found(folder: Path) -> None:
    (folder / "causes.md").unlink()
    assert generate.main(["--check", "--folder", str(folder)]) == 1


def test_what_is_not_built_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STW_BUILD", str(tmp_path))
    assert generate.main(["--check"]) == 2
    assert "./dev build release" in capsys.readouterr().err


def test_a_failing_program_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "docs/dump_lists"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho no room >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("STW_BUILD", str(tmp_path))
    assert generate.main([]) == 2
    assert "no room" in capsys.readouterr().err


def test_a_bar_does_not_end_a_cell() -> None:
    lines = list(generate.table(["a", "b"], [["x | y", ""], ["", ""]]))
    assert lines == ["| a | b |", "| --- | --- |", "| x \\| y | |", "| | |", ""]


def test_lists_are_read_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docs/dump_lists"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{json.dumps({'states': []})}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("STW_BUILD", str(tmp_path))
    assert generate.read_lists() == {"states": []}
