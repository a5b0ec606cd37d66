"""What must still reach the peer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steadwire.errors import HandleError, NotFoundError
from steadwire.events import MESSAGE_STATES, PROOFS
from steadwire.receipts import BaseReceipt, MessageId
from steadwire.words import Guarantee, MessageState, Proof

if TYPE_CHECKING:
    from steadwire._conn import ConnBase

_GUARANTEES = tuple(Guarantee)
_PAGE = 256


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One message in the outbox. Times are in seconds; `ttl_left` is None without a ttl."""

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


def _entry(
    stream: int,
    number: int,
    state: int,
    proof: int,
    guarantee: int,
    is_text: bool,
    attempts: int,
    size: int,
    age_ns: int,
    ttl_left_ns: int,
    key: str,
) -> OutboxEntry:
    return OutboxEntry(
        id=MessageId(stream, number),
        state=MESSAGE_STATES[state],
        proof=PROOFS[proof],
        guarantee=_GUARANTEES[guarantee],
        is_text=is_text,
        attempts=attempts,
        size=size,
        age=age_ns / 1e9,
        ttl_left=ttl_left_ns / 1e9 if ttl_left_ns else None,
        key=key,
    )


class Outbox:
    """A conn's outbox: `len`, iteration over its entries, and taking messages back.

    Each look asks the engine's thread and takes about as long as one of its turns.
    """

    __slots__ = ("_conn",)

    def __init__(self, conn: ConnBase) -> None:
        self._conn = conn

    def __len__(self) -> int:
        return self._conn.view().outbox_messages

    def __iter__(self) -> Iterator[OutboxEntry]:
        after = 0
        while page := self._page(after, _PAGE):
            yield from page
            after = page[-1].id.number

    def _page(self, after: int, most: int) -> list[OutboxEntry]:
        try:
            rows = self._conn._core.outbox_list(after, most)
        except HandleError:
            if not self._conn.is_finished:
                raise
            return []
        return [_entry(*row) for row in rows]

    def get(self, message: MessageId | BaseReceipt) -> OutboxEntry | None:
        """The entry of a message, None if it is no longer there."""
        number = _number(message)
        page = self._page(number - 1, 1)
        return page[0] if page and page[0].id.number == number else None

    def body(self, message: MessageId | BaseReceipt) -> str | bytes:
        """What a message contains; NotFoundError if it is no longer there."""
        entry = self.get(message)
        if entry is None:
            raise NotFoundError("no such message in the outbox")
        return self._body(entry)

    def _body(self, entry: OutboxEntry) -> str | bytes:
        body = self._conn._core.outbox_body(entry.id.number, entry.size)
        return body.decode() if entry.is_text else body

    def cancel(self, message: MessageId | BaseReceipt) -> None:
        """Takes a message back.

        StateError if bytes of it were written, NotFoundError if it has ended or never was.
        """
        self._conn._core.outbox_cancel(_number(message))

    def __repr__(self) -> str:
        return f"<Outbox with {len(self)} messages>"


def _number(message: MessageId | BaseReceipt) -> int:
    return message.id.number if isinstance(message, BaseReceipt) else message.number
