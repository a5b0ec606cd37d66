"""What the demo shows: a live timeline of states on a terminal, plain lines elsewhere, tables at
the end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.analyse import Event, Report

COLOURS = {
    "idle": "grey37",
    "connecting": "cyan",
    "online": "green",
    "suspect": "yellow",
    "migrating": "blue",
    "waiting": "magenta",
    "offline": "grey50",
    "closed": "grey37",
    "failed": "red",
}
CALM = ("idle", "closed", "online")
LABEL_WIDTH = 8
LINES_SHOWN = 12
PLAIN_WIDTH = 120
REFRESH_HZ = 8


class Screen:
    """Draws while the demo runs. Used as a context manager."""

    def __init__(
        self,
        console: Console,
        hosts: Sequence[str],
        seconds: float,
        begin: float | None = None,
    ) -> None:
        self._console = console
        self._seconds = seconds
        self._begin = time.monotonic() if begin is None else begin
        self._changes: dict[str, list[tuple[float, str]]] = {name: [] for name in hosts}
        self._faults: list[tuple[float, str]] = []
        self._lines: deque[Text] = deque(maxlen=LINES_SHOWN)
        self._live: Live | None = None

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live = Live(
                get_renderable=self._draw, console=self._console, refresh_per_second=REFRESH_HZ
            )
            self._live.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._live:
            self._live.stop()

    def fault(self, name: str) -> None:
        """A fault begins."""
        self._faults.append((time.monotonic() - self._begin, name))
        self._say(Text(f"fault {len(self._faults)}: {name}", style="bold red"))

    def event(self, host: str, event: Event) -> None:
        """A host has said something."""
        at = event.t - self._begin
        if event.kind == "state":
            self._changes[host].append((at, event.target))
            style = COLOURS.get(event.target, "")
            line = Text(f"  {host:6} {event.source} -> ").append(event.target, style)
            self._say(line.append(f"  {event.cause}" if event.cause else ""), at)
        elif event.kind == "retry":
            self._say(Text(f"  {host:6} an attempt failed  {event.cause}"), at)
        elif event.kind == "replay":
            self._say(Text(f"  {host:6} {event.messages} messages sent again"), at)

    def _say(self, line: Text, at: float | None = None) -> None:
        now = time.monotonic() - self._begin if at is None else at
        stamped = Text(f"{now:7.2f} s  ").append_text(line)
        if self._live:
            self._lines.append(stamped)
        else:
            self._console.print(stamped)

    def _draw(self) -> Group:
        width = max(20, self._console.width - LABEL_WIDTH - 1)
        rows = [Text("faults".ljust(LABEL_WIDTH)).append_text(self._fault_row(width))]
        for host in self._changes:
            rows.append(Text(host.ljust(LABEL_WIDTH)).append_text(self._state_row(host, width)))
        legend = Text(" " * LABEL_WIDTH)
        for state, colour in COLOURS.items():
            legend.append("█ ", colour).append(f"{state}  ")
        return Group(*rows, legend, Text(), *self._lines)

    def _column(self, at: float, width: int) -> int:
        return min(width - 1, max(0, int(at / self._seconds * width)))

    def _fault_row(self, width: int) -> Text:
        row = [" "] * width
        for number, (at, _name) in enumerate(self._faults, 1):
            row[self._column(at, width)] = str(number)
        return Text("".join(row), style="bold red")

    def _state_row(self, host: str, width: int) -> Text:
        """Trouble is painted over calm, so that short trouble is seen as well."""
        changes = self._changes[host]
        ends = [*(at for at, _state in changes[1:]), time.monotonic() - self._begin]
        row = [""] * width
        for is_calm in (True, False):
            for (at, state), end in zip(changes, ends[: len(changes)], strict=True):
                if (state in CALM) is is_calm:
                    begin = self._column(at, width)
                    stop = max(begin + 1, self._column(end, width))
                    row[begin:stop] = [state] * (stop - begin)
        text = Text()
        for state in row:
            text.append("█" if state else " ", COLOURS.get(state, ""))
        return text


def new_console() -> Console:
    """A console on stdout; wide enough for the tables where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)


def print_report(console: Console, report: Report) -> None:
    """The table per fault, the totals, and what is short of the promise."""
    console.print(fault_table(report))
    console.print(host_table(report))
    mean, worst = report.mean_restored_s, report.worst_restored_s
    if mean is not None and worst is not None:
        console.print(f"restored after {mean:.2f} s in the mean, {worst:.2f} s at worst")
    for sentence in report.shortcomings:
        console.print(Text(sentence, style="bold red"))
    if not report.shortcomings:
        console.print(Text("nothing lost, every cause named rightly", style="bold green"))


def fault_table(report: Report) -> Table:
    """One row per fault, in the order in which they happened."""
    table = Table(title="faults")
    table.add_column("fault")
    table.add_column("cause found")
    for name in ("down s", "detected s", "online again s", "replayed", "duplicates"):
        table.add_column(name, justify="right")
    for result in report.faults:
        table.add_row(
            result.fault.name,
            Text(result.cause, style="" if result.is_named_rightly else "bold red"),
            seconds(result.fault.server_down_s),
            seconds(result.detect_s),
            seconds(result.restored_s),
            str(result.replayed),
            str(result.duplicates),
        )
    return table


def host_table(report: Report) -> Table:
    """One row per host."""
    table = Table(title="hosts")
    table.add_column("host")
    for name in ("sent", "lost", "duplicates", "reordered"):
        table.add_column(name, justify="right")
    for host in report.hosts:
        numbers = (host.sent, host.lost, host.duplicates, host.reordered)
        table.add_row(host.name, *map(str, numbers))
    return table


def seconds(value: float | None) -> str:
    """A time for a table."""
    return "never" if value is None else f"{value:.3f}"
