"""Receipts: what is known of messages that were sent.

A receipt is a number and a look into the conn's ledger. The engine reports proofs cumulatively, so
a message costs nothing after it was sent unless somebody waits for its receipt.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, overload

from steadwire.errors import BY_MESSAGE_STATE, ClosedError, ProofUnavailable
from steadwire.events import PROOFS, MessageEnded
from steadwire.words import MessageState, Proof

if TYPE_CHECKING:
    from steadwire._conn import ConnBase

ENDED_MAX = 16384
"""How many messages that ended without proof are remembered, the latest ones."""

Wake = Callable[[], None]


class MessageId(NamedTuple):
    """A message's id: `stream` is random per outbox, `number` counts its messages from 1."""

    stream: int
    number: int

    def __str__(self) -> str:
        return f"{self.stream:016x}-{self.number}"


class Ledger:
    """What the engine has said about messages, and who waits for more."""

    def __init__(self) -> None:
        self._upto = [0] * len(PROOFS)
        self._ended: dict[int, MessageEnded] = {}
        self._forgotten = 0
        self._best = Proof.RECEIVED
        self._is_closed = False
        self._serials = itertools.count()
        self._waits: list[list[tuple[int, int, Wake]]] = [[] for _ in PROOFS]
        self._ranges: dict[int, Wake] = {}

    def proved(self, proof: int, upto: int) -> None:
        """A proof holds for all numbers up to `upto`, and with it every weaker one."""
        if PROOFS[proof] > self._best:
            self._best = PROOFS[proof]
        for level in range(1, proof + 1):
            if upto > self._upto[level]:
                self._upto[level] = upto
                waits = self._waits[level]
                _wake(waits, 0, bisect_right(waits, upto, key=lambda wait: wait[0]))

    def ended(self, event: MessageEnded) -> None:
        """A message ended without the proof it wanted."""
        self._ended[event.number] = event
        if len(self._ended) > ENDED_MAX:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            self._forgotten = max(self._forgotten, oldest)
        for waits in self._waits:
            first = bisect_left(waits, event.number, key=lambda wait: wait[0])
            last = bisect_right(waits, event.number, key=lambda wait: wait[0])
            _wake(waits, first, last)
        for wake in list(self._ranges.values()):
            wake()

    def no_pong(self) -> None:
        """The peer proves no more than that its kernel has taken messages."""
        self._best = Proof.WRITTEN
        self.wake_all()

    def closed(self) -> None:
        """Nothing more will be said."""
        self._is_closed = True
        self.wake_all()

    def reopened(self) -> None:
        """The conn lives again."""
        self._is_closed = False

    def wake_all(self) -> None:
        """Lets everybody who waits look again."""
        for waits in self._waits:
            _wake(waits, 0, len(waits))

    def watch(self, receipt: BaseReceipt, proof: Proof | None, wake: Wake) -> Wake:
        """Calls `wake` when more is known about the receipt's messages; the answer ends that."""
        waits = self._waits[self.wanted(proof).number]
        serial = next(self._serials)
        entry = (receipt.last, serial, wake)
        insort(waits, entry, key=lambda wait: wait[:2])
        if receipt.first != receipt.last:
            self._ranges[serial] = wake

        def unwatch() -> None:
            self._ranges.pop(serial, None)
            index = bisect_left(waits, entry[:2], key=lambda wait: wait[:2])
            if index < len(waits) and waits[index] is entry:
                del waits[index]

        return unwatch

    def wanted(self, proof: Proof | None) -> Proof:
        """The proof itself, or the one at which messages settle."""
        return self._best if proof is None else proof

    def ended_between(self, first: int, last: int) -> MessageEnded | None:
        """A message of the range that ended without proof."""
        if first == last or not self._ended:
            return self._ended.get(first)
        return next((e for number, e in self._ended.items() if first <= number <= last), None)

    def has(self, receipt: BaseReceipt, proof: Proof | None) -> bool:
        """Whether all of the receipt's messages have the proof; raises if they never will."""
        event = self.ended_between(receipt.first, receipt.last)
        if event is not None:
            error = BY_MESSAGE_STATE[event.state]
            raise error(receipt.one(event.number), event.state, event.cause, event.detail)
        if 0 < receipt.first <= self._forgotten:
            raise BY_MESSAGE_STATE[MessageState.UNKNOWN](
                receipt, MessageState.UNKNOWN, None, "too many messages ended since to know"
            )
        wanted = self.wanted(proof)
        if self._upto[wanted.number] >= receipt.last:
            return True
        if wanted > self._best:
            raise ProofUnavailable(f"this peer gives no proof beyond {self._best}, not {wanted}")
        if self._is_closed:
            raise ClosedError(f"closed before message {receipt.id} was {wanted}")
        return False

    def state(self, number: int) -> MessageState:
        """The state of one message as far as the engine has reported it."""
        if number in self._ended:
            return self._ended[number].state
        if number <= self._forgotten:
            return MessageState.UNKNOWN
        if self._upto[self._best.number] >= number:
            return MessageState.SETTLED
        is_written = self._upto[Proof.WRITTEN.number] >= number
        return MessageState.INFLIGHT if is_written else MessageState.QUEUED

    def proof(self, number: int) -> Proof:
        """The strongest proof of one message."""
        if number in self._ended or number <= self._forgotten:
            return Proof.NONE
        for proof in reversed(PROOFS):
            if self._upto[proof.number] >= number:
                return proof
        return Proof.NONE


def _wake(waits: list[tuple[int, int, Wake]], first: int, last: int) -> None:
    woken = waits[first:last]
    del waits[first:last]
    for _number, _serial, wake in woken:
        wake()


class BaseReceipt:
    """What the receipts of both faces share. It stands for the messages `first` to `last`."""

    __slots__ = ("_conn", "first", "last")

    def __init__(self, conn: ConnBase, first: int, last: int) -> None:
        self._conn = conn
        self.first = first
        self.last = last

    @property
    def id(self) -> MessageId:
        """The message's id."""
        return MessageId(self._conn._core.stream, self.last)

    def one(self, number: int) -> BaseReceipt:
        """The receipt of one of the messages."""
        return type(self)(self._conn, number, number)

    @property
    def state(self) -> MessageState:
        """What the engine has last said of the message."""
        return self._conn._ledger.state(self.last)

    @property
    def proof(self) -> Proof:
        """The strongest evidence so far."""
        return self._conn._ledger.proof(self.last)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state} {self.proof}>"


ReceiptType = TypeVar("ReceiptType", bound=BaseReceipt)


class BaseReceipts(Sequence[ReceiptType], Generic[ReceiptType]):
    """The receipts of messages that were sent together; each is made when it is looked at."""

    __slots__ = ("_conn", "_type", "numbers")

    def __init__(
        self, conn: ConnBase, numbers: Sequence[int], receipt_type: type[ReceiptType]
    ) -> None:
        self._conn = conn
        self._type = receipt_type
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> ReceiptType: ...

    @overload
    def __getitem__(self, index: slice) -> list[ReceiptType]: ...

    def __getitem__(self, index: int | slice) -> ReceiptType | list[ReceiptType]:
        if isinstance(index, slice):
            return [self._type(self._conn, number, number) for number in self.numbers[index]]
        number = self.numbers[index]
        return self._type(self._conn, number, number)

    def __iter__(self) -> Iterator[ReceiptType]:
        for number in self.numbers:
            yield self._type(self._conn, number, number)

    def _runs(self) -> Iterator[ReceiptType]:
        """One receipt for each run of numbers without a hole."""
        start = 0
        for end in range(1, len(self.numbers) + 1):
            if end == len(self.numbers) or self.numbers[end] != self.numbers[end - 1] + 1:
                yield self._type(self._conn, self.numbers[start], self.numbers[end - 1])
                start = end

    def __repr__(self) -> str:
        return f"<{len(self.numbers)} receipts>"
