"""Herds as files: JSON the report, CSV and Parquet what happened in each second, PNG a picture."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from steadwire.errors import ConfigError
from steadwire.sim.herd import Herd

COLUMNS = ("policy", "seed", "second", "attempts", "reconnected")
NEEDED = {".parquet": ("pyarrow", "pyarrow.parquet"), ".png": ("matplotlib", "matplotlib.figure")}


def check_target(path: Path) -> None:
    """Refuses what could not be written, before the work is done."""
    if path.suffix not in WRITERS:
        raise ConfigError(f"--out {path}: the name must end with {', '.join(WRITERS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"--out {path}: there is no folder {path.parent}")
    if path.suffix in NEEDED:
        _needed(path.suffix)


def write(path: Path, herds: Sequence[Herd], report: dict[str, Any]) -> None:
    """Writes the file that the name asks for; OSError."""
    WRITERS[path.suffix](path, herds, report)


def _needed(suffix: str) -> Any:
    package, module = NEEDED[suffix]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"writing {suffix} needs {package}, which is part of an extra: "
            f'pip install "steadwire[sim]" ({error})'
        ) from None


def _rows(herds: Sequence[Herd]) -> Iterator[tuple[str, int, int, int, int]]:
    for herd in herds:
        for second, (attempts, reconnected) in enumerate(herd.seconds):
            yield herd.policy, herd.seed, second, attempts, reconnected


def _json(path: Path, _herds: Sequence[Herd], report: dict[str, Any]) -> None:
    path.write_text(json.dumps(report) + "\n", encoding="utf-8")


def _csv(path: Path, herds: Sequence[Herd], _report: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_rows(herds))


def _parquet(path: Path, herds: Sequence[Herd], _report: dict[str, Any]) -> None:
    parquet = _needed(".parquet")
    pyarrow = importlib.import_module("pyarrow")
    kinds = [pyarrow.string(), *[pyarrow.uint64()] * 4]
    schema = pyarrow.schema(list(zip(COLUMNS, kinds, strict=True)))
    columns = list(zip(*_rows(herds), strict=True)) or [()] * len(COLUMNS)
    table = dict(zip(COLUMNS, map(list, columns), strict=True))
    parquet.write_table(pyarrow.table(table, schema=schema), path)


def _png(path: Path, herds: Sequence[Herd], _report: dict[str, Any]) -> None:
    """The first seed of each policy: what the server met, and who was back."""
    figure = _needed(".png").Figure(figsize=(10, 7), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    firsts = {herd.policy: herd for herd in reversed(herds)}
    for number, (policy, herd) in enumerate(reversed(firsts.items())):
        style: dict[str, Any] = {"color": f"C{number % 10}", "label": policy, "linewidth": 1}
        if number >= 10:
            style["linestyle"] = "--"
        if policy.startswith("steadwire"):
            style.update(linewidth=2.5, zorder=3)
        back = 0
        share = [100.0 * (back := back + row[1]) / herd.clients for row in herd.seconds]
        above.plot([row[0] / herd.capacity for row in herd.seconds], **style)
        below.plot(share, **style)
    above.axhline(1.0, color="black", linewidth=0.8)
    above.set(yscale="symlog", ylabel="attempts in a second / capacity")
    above.set_ylim(bottom=0)
    below.set(ylabel="reconnected, %", xlabel="seconds after the drop")
    below.set_xlim(0, max(min(h.t99_s or h.stop_s, 5 * h.optimum_s + 10) for h in herds))
    below.legend(ncols=3, fontsize="small")
    figure.savefig(path)


WRITERS: dict[str, Callable[[Path, Sequence[Herd], dict[str, Any]], None]] = {
    ".csv": _csv,
    ".json": _json,
    ".parquet": _parquet,
    ".png": _png,
}
