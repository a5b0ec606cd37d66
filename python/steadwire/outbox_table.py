"""Tables of outbox entries, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from steadwire._table import columns

if TYPE_CHECKING:
    from steadwire.outbox import OutboxEntry

_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_SPANS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def size_text(size: int) -> str:
    """Bytes for people."""
    for unit, name in _SIZES:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def span_text(span: float) -> str:
    """Seconds for people."""
    for unit, name in _SPANS:
        if span >= unit:
            return f"{span / unit:.1f} {name}"
    return f"{span * 1000.0:.0f} ms"


_COLUMNS: dict[str, Callable[[OutboxEntry], str]] = {
    "id": lambda entry: str(entry.id),
    "lane": lambda entry: str(entry.lane),
    "state": lambda entry: str(entry.state),
    "proof": lambda entry: str(entry.proof),
    "size": lambda entry: size_text(entry.size),
    "age": lambda entry: span_text(entry.age),
    "ttl left": lambda entry: "" if entry.ttl_left is None else span_text(entry.ttl_left),
    "tries": lambda entry: str(entry.attempts),
    "key": lambda entry: _printable(entry.key),
    "cause": lambda entry: str(entry.cause or ""),
}


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _more(shown: int, total: int) -> str:
    if total > shown:
        return f"{total - shown} more"
    return "1 message" if total == 1 else f"{total} messages"


def text_table(entries: Sequence[OutboxEntry], total: int) -> str:
    """Columns; the last line counts."""
    rows = [list(_COLUMNS), *([cell(entry) for cell in _COLUMNS.values()] for entry in entries)]
    lines = columns(rows) if entries else []
    return "\n".join([*lines, _more(len(entries), total)])


def html_table(entries: Sequence[OutboxEntry], total: int) -> str:
    """A table element; everything in it is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in _COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell(entry))}</td>" for cell in _COLUMNS.values()) + "</tr>"
        for entry in entries
    )
    caption = escape(_more(len(entries), total))
    return f"<table><caption>{caption}</caption><tr>{head}</tr>{rows}</table>"
