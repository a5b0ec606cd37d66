"""Results as files: JSON the report, CSV and Parquet a table, PNG and SVG a picture."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from steadwire.errors import ConfigError
from steadwire.sim import pictures
from steadwire.sim.explore import Exploration
from steadwire.sim.herd import Herd
from steadwire.sim.report import rows
from steadwire.sim.sketch import Sketch

TEXT, WHOLE, NUMBER = "string", "uint64", "float64"
"""What a column holds, by Arrow's names."""

HERD_COLUMNS = {
    "policy": TEXT,
    **dict.fromkeys(("seed", "second", "attempts", "reconnected"), WHOLE),
}
EXPLORE_COLUMNS = {"kind": TEXT, "name": TEXT, "times": WHOLE}
NEEDED = {
    ".parquet": ("pyarrow", "pyarrow.parquet"),
    ".png": ("matplotlib", "matplotlib.figure"),
    ".svg": ("matplotlib", "matplotlib.figure"),
}


class Results(NamedTuple):
    """What a world of `simulate` can write."""

    report: dict[str, Any]
    columns: dict[str, str]
    """Name and content of each column of the table."""
    rows: Sequence[Sequence[Any]]
    draw: Callable[[], Any]
    """Makes the picture, a figure of matplotlib."""


def of_herds(herds: Sequence[Herd], report: dict[str, Any]) -> Results:
    """The table has what happened in each second."""
    table = [
        (herd.policy, herd.seed, second, attempts, reconnected)
        for herd in herds
        for second, (attempts, reconnected) in enumerate(herd.seconds)
    ]
    return Results(report, HERD_COLUMNS, table, lambda: pictures.herds(herds))


def of_sketch(sketch: Sketch, report: dict[str, Any]) -> Results:
    """The table has every figure of each policy and profile."""
    flat = [_flat(row) for row in rows(sketch)]
    columns = {name: _content(value) for name, value in flat[0].items()}
    return Results(
        report, columns, [list(row.values()) for row in flat], lambda: pictures.fleets(sketch)
    )


def of_exploration(lived: Exploration) -> Results:
    """The table has how often each fault happened, and each promise was looked at."""
    table = [("fault", name, times) for name, times in lived.faults.items()]
    table += [("promise", name, times) for name, times in lived.checks.items()]
    return Results(lived.as_dict(), EXPLORE_COLUMNS, table, lambda: pictures.exploration(lived))


def check_target(path: Path) -> None:
    """Refuses what could not be written, before the work is done."""
    if path.suffix not in WRITERS:
        raise ConfigError(f"--out {path}: the name must end with {', '.join(WRITERS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {path}: there is no folder {path.parent}")
    if path.suffix in NEEDED:
        _needed(path.suffix)


def write(path: Path, results: Results) -> None:
    """Writes the file that the name asks for; OSError."""
    WRITERS[path.suffix](path, results)


def _needed(suffix: str) -> Any:
    package, module = NEEDED[suffix]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"writing {suffix} needs {package}, which is part of an extra: "
            f'pip install "steadwire[sim]" ({error})'
        ) from None


def _flat(row: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{key}_")
        else:
            flat[before + key] = value
    return flat


def _content(value: Any) -> str:
    return TEXT if isinstance(value, str) else WHOLE if isinstance(value, int) else NUMBER


def _json(path: Path, results: Results) -> None:
    path.write_text(json.dumps(results.report) + "\n", encoding="utf-8")


def _csv(path: Path, results: Results) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(results.columns)
        writer.writerows(results.rows)


def _parquet(path: Path, results: Results) -> None:
    parquet = _needed(".parquet")
    pyarrow = importlib.import_module("pyarrow")
    schema = pyarrow.schema(
        [(name, pyarrow.type_for_alias(content)) for name, content in results.columns.items()]
    )
    columns: Iterable[Sequence[Any]] = zip(*results.rows, strict=True)
    table = dict(zip(results.columns, columns, strict=True)) if results.rows else {}
    lists = {name: list(table.get(name, ())) for name in results.columns}
    parquet.write_table(pyarrow.table(lists, schema=schema), path)


def _picture(path: Path, results: Results) -> None:
    """The same bytes for the same results: no date, no chance in the names of SVG's parts."""
    style = importlib.import_module("matplotlib").rc_context({"svg.hashsalt": "steadwire"})
    with style:
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        results.draw().savefig(path, metadata=metadata)


WRITERS: dict[str, Callable[[Path, Results], None]] = {
    ".csv": _csv,
    ".json": _json,
    ".parquet": _parquet,
    ".png": _picture,
    ".svg": _picture,
}
