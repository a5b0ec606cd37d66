"""Each notebook runs from its first cell to its last, and is kept without outputs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

FOLDER = Path(__file__).resolve().parents[2] / "examples/notebooks"
SMALL = {
    "reconnect.ipynb": {
        "HERD_CLIENTS": "2_000",
        "HERD_CAPACITY": "100",
        "FLEET_CLIENTS": "5",
        "FLEET_DAYS": "0.5",
        "SEEDS": "range(1, 3)",
    }
}
"""What the cell of parameters is given here."""
PICTURES = {"reconnect.ipynb": 3}


def test_each_notebook_is_known() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.suffix == ".ipynb"} == set(SMALL)


def read(name: str) -> Any:
    book = nbformat.read(FOLDER / name, as_version=4)
    nbformat.validate(book)
    return book


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_is_kept_without_outputs(name: str) -> None:
    for cell in read(name).cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs(name: str) -> None:
    book = read(name)
    (parameters,) = [c for c in book.cells if "parameters" in c.metadata.get("tags", [])]
    for constant, value in SMALL[name].items():
        parameters.source, times = re.subn(
            rf"^{constant} = .*$", f"{constant} = {value}", parameters.source, flags=re.MULTILINE
        )
        assert times == 1
    no_ports = Config({"KernelManager": {"transport": "ipc"}})
    NotebookClient(book, timeout=100, kernel_name="python3", config=no_ports).execute()
    outputs = [out for cell in book.cells if cell.cell_type == "code" for out in cell.outputs]
    assert [
        out for out in outputs if out.output_type == "error" or out.get("name") == "stderr"
    ] == []
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(pictures) == PICTURES[name]
    texts = "".join(out.text for out in outputs if out.output_type == "stream")
    assert texts.count("steadwire-nohint") == 2
