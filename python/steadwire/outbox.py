"""What must still reach the peer: to look at and to change, in a live conn or in a file at rest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from steadwire import _core
from steadwire._ids import LANES, MessageId
from steadwire._units import Duration, seconds
from steadwire.errors import HandleError, NotFoundError
from steadwire.events import CAUSES, MESSAGE_STATES, PROOFS
from steadwire.outbox_table import html_table, text_table
from steadwire.receipts import BaseReceipt
from steadwire.words import Cause, Edit, Guarantee, Lane, MessageState, Proof

if TYPE_CHECKING:
    from steadwire._conn import ConnBase

_GUARANTEES = tuple(Guarantee)
_PAGE = 256
TEXT_ROWS = 20
HTML_ROWS = 50


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One message in the outbox. Times are in seconds; `ttl_left` is None without a ttl.

    `number` is its place in `lane`, 0 for a parked one; `cause` says why that is parked.
    """

    id: MessageId
    state: MessageState
    proof: Proof
    guarantee: Guarantee
    is_text: bool
    attempts: int
    size: int
    age: float
    ttl_left: float | None
    key: str
    lane: Lane
    number: int
    cause: Cause | None
    position: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values: words and the id as str."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {k: str(v) for k, v in row.items() if isinstance(v, (StrEnum, MessageId))}
        return {**row, **plain}


def _entry(row: tuple[Any, ...]) -> OutboxEntry:
    state = MESSAGE_STATES[row[2]]
    return OutboxEntry(
        id=MessageId(row[0], row[1]),
        state=state,
        proof=PROOFS[row[3]],
        guarantee=_GUARANTEES[row[4]],
        is_text=row[5],
        attempts=row[6],
        size=row[7],
        age=row[8] / 1e9,
        ttl_left=row[9] / 1e9 if row[9] else None,
        key=row[10],
        lane=LANES[row[11]],
        number=row[12],
        cause=None if row[12] else CAUSES[row[13]],
        position=row[14],
    )


class Filter(NamedTuple):
    """What a view of an outbox lets through; zeros and None let all through."""

    states: int = 0
    lanes: int = 0
    key: str | bytes | None = None
    older_than_ns: int = 0


_ALL = Filter()


Message = MessageId | BaseReceipt | OutboxEntry | str
"""A message of an outbox: its id (also as text), its receipt or its entry."""


def id_of(message: Message) -> MessageId:
    """The id; ValueError for a text that is none."""
    if isinstance(message, (BaseReceipt, OutboxEntry)):
        return message.id
    if isinstance(message, str):
        return MessageId.parse(message)
    if isinstance(message, MessageId):
        return message
    raise TypeError(f"a message is named by its id, receipt or entry, not by {type(message)!r}")


class Outbox:
    """An outbox, or a view of a part of it.

    Entries come in the order in which they would be sent: the control lane, the data lane, then
    those that are parked: held, dead or of unknown fate. Each call on a conn's outbox takes about
    as long as one turn of the engine's thread, so it may be used in an event loop.
    """

    __slots__ = ("_conn", "_core", "_filter")

    def __init__(
        self, core: _core.Outbox, conn: ConnBase[Any, Any] | None = None, chosen: Filter = _ALL
    ) -> None:
        self._core = core
        self._conn = conn
        self._filter = chosen

    @staticmethod
    def open(path: str | os.PathLike[str], edit: bool = False) -> OutboxFile:
        """Opens a file that no conn uses; without `edit` one in use can be read too.

        LockedError, FormatError, StoreError, BusyError if a conn of this process has it.
        """
        return OutboxFile(path, edit)

    # --- looking ---

    def __iter__(self) -> Iterator[OutboxEntry]:
        cursor = 0
        while True:
            rows, cursor = self._page(cursor)
            yield from map(_entry, rows)
            if not cursor:
                return

    def _page(self, cursor: int) -> tuple[list[tuple[Any, ...]], int]:
        try:
            return self._core.list(*self._filter, cursor, _PAGE)
        except HandleError:
            if self._conn is None or not self._conn.is_finished:
                raise
            return [], 0

    def __len__(self) -> int:
        if self._conn is not None and self._filter == _ALL:
            view = self._conn.view()
            if not view.outbox_parked:
                return view.outbox_messages
        count = cursor = 0
        while True:
            rows, cursor = self._page(cursor)
            count += len(rows)
            if not cursor:
                return count

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None

    def filter(
        self,
        *,
        state: MessageState | str | Iterable[MessageState | str] | None = None,
        lane: Lane | str | None = None,
        key: str | bytes | None = None,
        older_than: Duration | None = None,
    ) -> Outbox:
        """A view of the messages that are all of this; what is left out stays as it is here."""
        chosen = self._filter
        if state is not None:
            states = [state] if isinstance(state, str) else state
            bits = sum(1 << number for number in {MessageState(one).number for one in states})
            chosen = chosen._replace(states=bits)
        if lane is not None:
            chosen = chosen._replace(lanes=1 << Lane(lane).number)
        if key is not None:
            chosen = chosen._replace(key=key)
        if older_than is not None:
            ns = round(seconds(older_than, "older_than") * 1e9)
            chosen = chosen._replace(older_than_ns=ns)
        return Outbox(self._core, self._conn, chosen)

    @property
    def dead_letters(self) -> Outbox:
        """The messages that were given up; `cause` says why."""
        return self.filter(state=MessageState.DEAD)

    @property
    def held(self) -> Outbox:
        """The messages that wait for their release."""
        return self.filter(state=MessageState.HELD)

    def get(self, message: Message) -> OutboxEntry | None:
        """The entry of a message, None if it is no longer there."""
        try:
            return _entry(self._core.get(id_of(message)))
        except NotFoundError:
            return None

    def body(self, message: Message) -> str | bytes:
        """What a message contains; NotFoundError if it is no longer there."""
        return self._body(_entry(self._core.get(id_of(message))))

    def _body(self, entry: OutboxEntry) -> str | bytes:
        body = self._core.body(entry.id, entry.size)
        return body.decode() if entry.is_text else body

    # --- changing ---

    def cancel(self, message: Message) -> None:
        """Takes a message back; a parked one is forgotten.

        StateError if bytes of it were written, NotFoundError if it has ended or never was.
        """
        self._edit(message, Edit.CANCEL)

    def hold(self, message: Message) -> None:
        """Parks a queued message until it is released; others pass."""
        self._edit(message, Edit.HOLD)

    def release(self, message: Message) -> None:
        """Puts a held message at the end of its lane; StateError, QueueFull."""
        self._edit(message, Edit.RELEASE)

    def requeue(self, message: Message) -> None:
        """Puts a dead message, or one of unknown fate, at the end of its lane."""
        self._edit(message, Edit.REQUEUE)

    def prioritise(self, message: Message) -> None:
        """Moves a queued or parked message to the end of the control lane."""
        self._edit(message, Edit.PRIORITISE)

    def demote(self, message: Message) -> None:
        """Moves a queued or parked message to the end of the data lane."""
        self._edit(message, Edit.DEMOTE)

    def _edit(self, message: Message, edit: Edit) -> None:
        wanted = id_of(message)
        if self._conn is None or edit is Edit.CANCEL:
            self._core.edit(wanted, edit.number)
            return
        with self._conn._ledger.moving(wanted, is_held=edit is Edit.HOLD):
            self._core.edit(wanted, edit.number)

    def export(self, path: str | os.PathLike[str]) -> int:
        """Writes these messages to a new file and answers how many; nothing is removed.

        StoreError if the file exists or cannot be written.
        """
        return self._core.export(*self._filter, os.fsdecode(path))

    def import_(self, path: str | os.PathLike[str]) -> int:
        """Adds all messages of an export, or none; how many were not there already.

        They keep their ids. FormatError names the place that is wrong; StoreError, QueueFull.
        """
        return self._core.import_(os.fsdecode(path))

    # --- showing ---

    def to_dicts(self) -> list[dict[str, Any]]:
        """The entries as plain values, as for pandas.DataFrame()."""
        return [entry.to_dict() for entry in self]

    def _head(self, most: int) -> tuple[list[OutboxEntry], int]:
        """The first entries, and how many there are."""
        entries = [entry for entry, _number in zip(self, range(most), strict=False)]
        return entries, len(self) if len(entries) == most else len(entries)

    def __str__(self) -> str:
        return text_table(*self._head(TEXT_ROWS))

    def _repr_html_(self) -> str:
        return html_table(*self._head(HTML_ROWS))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {len(self)} messages>"


class Report(NamedTuple):
    """What check() found. Counts by lane are (data, control)."""

    queued: tuple[int, int]
    queued_bytes: tuple[int, int]
    last_number: tuple[int, int]
    held: int
    dead: int
    unknown: int
    file_bytes: int
    version: int
    was_clean: bool
    is_sound: bool
    detail: str


class OutboxFile(Outbox):
    """An outbox file, open until close() or the end of its `with` block."""

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str], edit: bool = False) -> None:
        self.path = os.fsdecode(path)
        super().__init__(_core.Outbox(self.path, edit))

    def check(self) -> Report:
        """Reads the file from end to end."""
        return Report(*self._core.check())

    def close(self) -> None:
        """Gives the file free."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
