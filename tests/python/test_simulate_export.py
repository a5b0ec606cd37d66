"""`steadwire simulate ... --out FILE` and `--progress`."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from steadwire import cli
from steadwire._progress import Progress

ROOT = Path(__file__).parents[2]
HERD = ("herd", "--clients", "2000", "--capacity", "100", "--policies", "steadwire,fixed")
FLEET = ("fleet", "--clients", "5", "--days", "2", "--seeds", "2")
TRACE = ("trace", str(ROOT / "examples/traces/drive.mahimahi"), "--clients", "2")
WORLDS = {"herd": HERD, "fleet": FLEET, "trace": TRACE}


def write(world: str, path: Path) -> None:
    assert cli.main(["simulate", *WORLDS[world], "--out", str(path)]) == 0


@pytest.mark.parametrize("world", WORLDS)
def test_json_is_what_is_printed(
    world: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.json"
    assert cli.main(["simulate", *WORLDS[world], "--json", "--out", str(path)]) == 0
    assert path.read_text(encoding="utf-8") == capsys.readouterr().out


@pytest.mark.parametrize("world", WORLDS)
def test_parquet_holds_what_csv_holds(world: str, tmp_path: Path) -> None:
    paths = [tmp_path / "out.csv", tmp_path / "out.parquet"]
    for path in paths:
        write(world, path)
    with paths[0].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = parquet.read_table(paths[1]).to_pylist()
    assert len(rows) > 1
    assert [{name: text(value) for name, value in row.items()} for row in found] == rows


def text(value: Any) -> str:
    return "" if value is None else str(value)


def test_the_table_of_a_fleet_has_what_its_report_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write("fleet", path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["profile"] for row in rows] == ["mobile", "desktop", "bot", "mix"] * 2
    assert rows[0].keys() >= {"clients", "uptime_pct", "lost_messages", "ci95_restore_s_mean"}
    assert sum(int(row["clients"]) for row in rows[:3]) == int(rows[3]["clients"]) == 10


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG\r\n"), ("svg", b"<?xml")])
def test_a_picture_is_a_picture(world: str, suffix: str, start: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"out.{suffix}"
    write(world, path)
    assert path.read_bytes().startswith(start)
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet", "png", "svg"])
def test_the_same_seed_writes_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.{suffix}" for name in ("a", "b")]
    for path in paths:
        write("fleet", path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    ("suffix", "module"),
    [
        ("parquet", "pyarrow.parquet"),
        ("png", "matplotlib.figure"),
        ("svg", "matplotlib.figure"),
    ],
)
@pytest.mark.parametrize("world", ["herd", "fleet"])
def test_a_missing_extra_is_named_before_the_work(
    world: str,
    suffix: str,
    module: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / f"out.{suffix}"
    assert cli.main(["simulate", world, "--clients", "10000000", "--out", str(path)]) == 2
    assert 'pip install "steadwire[sim]"' in capsys.readouterr().err
    assert not path.exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, is_asked: bool, seconds: list[float]) -> str:
    """What progress writes when a tenth is done at each of these seconds."""
    clock = iter([0.0, *seconds])
    with Progress(10, is_asked, stream, lambda: next(clock)) as progress:
        for _second in seconds:
            progress.advance(1, "grpc")
    return stream.getvalue()


def test_progress_says_nothing_before_a_second() -> None:
    assert shown(Terminal(), False, [0.3, 0.6, 0.9]) == ""


def test_progress_says_how_long_the_rest_takes() -> None:
    written = shown(Terminal(), False, [0.5, 2.0, 60.0])
    assert written == (
        "\r\x1b[K20 %, about 8 s left: grpc\r\x1b[K30 %, about 2 min left: grpc\r\x1b[K"
    )


def test_progress_without_a_terminal_is_lines_for_those_who_ask() -> None:
    seconds = [2.0, 3.0, 4.0, 6999.9, 7000.0]
    assert shown(io.StringIO(), False, seconds) == ""
    assert shown(io.StringIO(), True, seconds) == (
        "10 %, about 18 s left: grpc\n40 %, about 2.9 h left: grpc\n"
    )


def test_the_command_shows_progress_on_terminals_only() -> None:
    program = "from steadwire import _progress, cli; _progress.SILENT_S = 0.0; cli.main()"
    command = [sys.executable, "-c", program, "simulate", *HERD, "--seeds", "3", "--json"]
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=theirs, timeout=100, check=False
        )
        os.close(theirs)
        seen = b""
        with pytest.raises(OSError):
            while True:
                seen += terminal.read(1 << 16)
    assert done.returncode == 0
    assert b" left: " in seen and seen.endswith(b"\r\x1b[K")
    quiet = subprocess.run(command, capture_output=True, timeout=100, check=False)
    assert quiet.stderr == b"" and quiet.stdout == done.stdout
    assert json.loads(quiet.stdout)["seeds"] == 3
