"""The common end of every bench: rows of figures, written as JSON and held against floors.toml.

A row is {"bench", "case", "subject", "metric", "value", "unit"}. A floor in floors.toml names
bench, case, subject and metric, and `min` or `max`; one whose row is absent counts as missed.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypedDict

from rich.console import Console
from rich.table import Table

FLOORS = Path(__file__).with_name("floors.toml")


class Row(TypedDict):
    bench: str
    case: str
    subject: str
    metric: str
    value: float
    unit: str


class Report:
    """The rows of one bench."""

    def __init__(self, bench: str) -> None:
        self.bench = bench
        self.rows: list[Row] = []

    def add(self, case: str, subject: str, metric: str, value: float, unit: str) -> None:
        row = Row(
            bench=self.bench, case=case, subject=subject, metric=metric, value=value, unit=unit
        )
        self.rows.append(row)

    def value(self, case: str, subject: str, metric: str) -> float | None:
        wanted = (case, subject, metric)
        for row in self.rows:
            if (row["case"], row["subject"], row["metric"]) == wanted:
                return row["value"]
        return None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.rows, indent=1) + "\n")

    def show(self, console: Console, title: str, rows: Iterable[Row]) -> None:
        """Prints rows as they are."""
        table = Table(title=title)
        for name in ("case", "subject", "metric", "value", "unit"):
            table.add_column(name, justify="right" if name == "value" else "left")
        for row in rows:
            value = figure(row["value"])
            table.add_row(row["case"], row["subject"], row["metric"], value, row["unit"])
        console.print(table)

    def finish(self, console: Console, json_path: Path | None, check: bool) -> int:
        """Shows and writes all rows, and holds them against the floors; returns the exit status."""
        self.show(console, f"bench {self.bench}", self.rows)
        if json_path:
            self.write(json_path)
        cases = {row["case"] for row in self.rows}
        return 1 if check and self.check(console, cases) else 0

    def check(self, console: Console, cases: Collection[str]) -> int:
        """Prints each floor of these cases with its value; returns how many are missed."""
        table = Table(title=f"floors of bench {self.bench}")
        for name in ("case", "subject", "metric", "floor", "value", "verdict"):
            table.add_column(name, justify="right" if name in ("floor", "value") else "left")
        missed = 0
        for floor in tomllib.loads(FLOORS.read_text())["floor"]:
            if floor["bench"] != self.bench or floor["case"] not in cases:
                continue
            value = self.value(floor["case"], floor["subject"], floor["metric"])
            is_held = value is not None and is_within(floor, value)
            missed += not is_held
            bound = f">= {floor['min']:g}" if "min" in floor else f"<= {floor['max']:g}"
            shown = "no figure" if value is None else f"{value:.3g}"
            verdict = "[green]held[/]" if is_held else "[bold red]MISSED[/]"
            table.add_row(floor["case"], floor["subject"], floor["metric"], bound, shown, verdict)
        console.print(table)
        return missed


def is_within(floor: dict[str, float], value: float) -> bool:
    return floor.get("min", value) <= value <= floor.get("max", value)


def figure(value: float) -> str:
    """A figure with three significant digits: 12.3M, 456k, 0.0123."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g}M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.3g}k"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
