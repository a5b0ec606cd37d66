"""Receipts: what is known of messages that were sent.

A receipt is a number and a look into the conn's ledger. The engine reports proofs cumulatively, so
a message costs nothing after it was sent unless somebody waits for its receipt.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from steadwire._ids import CONTROL_BIT, LANES, MessageId
from steadwire.errors import BY_MESSAGE_STATE, ClosedError, ProofUnavailable
from steadwire.events import PROOFS, MessageEnded
from steadwire.words import Lane, MessageState, Proof

if TYPE_CHECKING:
    from steadwire._conn import ConnBase

ENDED_MAX = 16384
"""How many messages that ended without proof are remembered, the latest ones."""

GAPS_MAX = 64
"""How many runs of messages that settled with less than others are remembered apart."""

SETTLED = Proof.NONE.number
"""The place of what is settled in lists by proof, where nothing else can be."""

Wake = Callable[[], None]


class _LaneLedger:
    """What is known of one lane's messages, by their numbers at admission."""

    __slots__ = ("ended", "forgotten", "gaps", "moved", "upto", "waits")

    def __init__(self) -> None:
        self.upto = [0] * len(PROOFS)
        self.gaps: list[list[tuple[int, int]]] = [[] for _ in PROOFS]  # below upto, without proof
        self.ended: dict[int, MessageEnded] = {}
        self.forgotten = 0
        self.moved: dict[int, MessageState] = {}  # out of the sequence: reported one by one
        self.waits: list[list[tuple[int, int, Wake]]] = [[] for _ in PROOFS]

    def grow(self, level: int, after: int, upto: int) -> None:
        """What is proven goes on beyond `after` up to `upto`."""
        known = self.upto[level]
        if upto <= known:
            return
        if after > known:
            gaps = self.gaps[level]
            gaps.append((known + 1, after))
            if len(gaps) > GAPS_MAX:
                gaps[:2] = [(gaps[0][0], gaps[1][1])]  # says less, but nothing that is not so
        self.upto[level] = upto
        waits = self.waits[level]
        _wake(waits, 0, bisect_right(waits, upto, key=lambda wait: wait[0]))

    def is_short(self, level: int, first: int, last: int) -> bool:
        """Whether one of these messages settled without that proof."""
        return any(gap[0] <= last and first <= gap[1] for gap in self.gaps[level])

    def wake_at(self, number: int) -> None:
        """Wakes those who wait for one message."""
        for waits in self.waits:
            first = bisect_left(waits, number, key=lambda wait: wait[0])
            last = bisect_right(waits, number, key=lambda wait: wait[0])
            _wake(waits, first, last)


class Ledger:
    """What the engine has said about messages, and who waits for more."""

    def __init__(self, is_session: bool = False, has_file: bool = False) -> None:
        self._lanes = [_LaneLedger() for _ in LANES]
        self._has_file = has_file
        self._is_closed = False
        self._serials = itertools.count()
        self._ranges: dict[int, Wake] = {}
        self.speaks(is_session)

    def speaks(self, is_session: bool) -> None:
        """Whether the peer gives the proofs of a session, or those of any WebSocket server."""
        self._settling = Proof.ACCEPTED if is_session else Proof.RECEIVED
        self._best = Proof.PROCESSED if is_session else Proof.RECEIVED

    def downgraded(self) -> None:
        """The peer gives no proofs of a session: those who wait for one have to know."""
        self.speaks(False)
        self.wake_all()

    def proved(self, proof: int, lane: int, upto: int, after: int, settled: int) -> None:
        """As the event Proved; what has a proof has every weaker one too."""
        ledger = self._lanes[lane]
        if PROOFS[proof] > self._best:
            self.speaks(PROOFS[proof] > Proof.RECEIVED)
        for level in range(1, proof + 1):
            ledger.grow(level, after, upto)
        ledger.grow(SETTLED, 0, settled)

    def ended(self, event: MessageEnded) -> None:
        """A message ended without the proof it wanted, or settled after it was moved."""
        ledger = self._lanes[event.stream & CONTROL_BIT]
        ledger.moved.pop(event.number, None)
        ledger.ended.pop(event.number, None)
        ledger.ended[event.number] = event
        if len(ledger.ended) > ENDED_MAX:
            oldest = next(iter(ledger.ended))
            del ledger.ended[oldest]
            ledger.forgotten = max(ledger.forgotten, oldest)
        ledger.wake_at(event.number)
        for wake in list(self._ranges.values()):
            wake()

    @contextmanager
    def moving(self, message: MessageId, is_held: bool) -> Iterator[None]:
        """A message is about to leave its place: proofs of numbers say nothing of it any more."""
        ledger = self._lanes[message.stream & CONTROL_BIT]
        number = message.number
        before = ledger.moved.get(number)
        ended = ledger.ended.pop(number, None)
        ledger.moved[number] = MessageState.HELD if is_held else MessageState.QUEUED
        try:
            yield
        except BaseException:
            if before is None:
                ledger.moved.pop(number, None)
            else:
                ledger.moved[number] = before
            if ended is not None:
                ledger.ended[number] = ended
            ledger.wake_at(number)
            raise

    def no_pong(self) -> None:
        """The peer proves no more than that its kernel has taken messages."""
        self._settling = self._best = Proof.WRITTEN
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
        for ledger in self._lanes:
            for waits in ledger.waits:
                _wake(waits, 0, len(waits))

    def watch(self, receipt: BaseReceipt, proof: Proof | None, wake: Wake) -> Wake:
        """Calls `wake` when more is known about the receipt's messages; the answer ends that."""
        waits = self._lanes[receipt.lane_number].waits[_level(proof)]
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

    def has(self, receipt: BaseReceipt, proof: Proof | None) -> bool:
        """Whether all of the receipt's messages have the proof; raises if they never will.

        Without a proof: whether they are settled.
        """
        ledger = self._lanes[receipt.lane_number]
        level = _level(proof)
        event = _first_unproven(ledger, receipt)
        if event is not None:
            error = BY_MESSAGE_STATE[event.state]
            raise error(receipt.one(event.number), event.state, event.cause, event.detail)
        if 0 < receipt.first <= ledger.forgotten:
            raise BY_MESSAGE_STATE[MessageState.UNKNOWN](
                receipt, MessageState.UNKNOWN, None, "too many messages ended since to know"
            )
        if proof is Proof.STORED and not self._has_file:
            raise ProofUnavailable("messages are kept in memory: connect with outbox= a file")
        if ledger.upto[level] >= receipt.last and self._all_in_place(ledger, receipt):
            if ledger.is_short(level, receipt.first, receipt.last):
                raise ProofUnavailable(
                    f"settled without being {proof}: its peer gave no such proof"
                )
            return True
        if proof is not None and proof > self._best:
            raise ProofUnavailable(f"this peer gives no proof beyond {self._best}, not {proof}")
        if self._is_settled_apart(ledger, receipt, proof):
            return True
        if self._is_closed:
            raise ClosedError(f"closed before message {receipt.id} was {proof or 'settled'}")
        return False

    def _all_in_place(self, ledger: _LaneLedger, receipt: BaseReceipt) -> bool:
        """Whether no message of the receipt waits apart from the sequence."""
        if not ledger.moved:
            return True
        return not any(receipt.first <= number <= receipt.last for number in ledger.moved)

    def _is_settled_apart(
        self, ledger: _LaneLedger, receipt: BaseReceipt, proof: Proof | None
    ) -> bool:
        """Whether the one message of the receipt settled somewhere else in the sequence."""
        return (
            receipt.first == receipt.last
            and receipt.first in ledger.ended
            and (proof is None or proof <= self._settling)
        )

    def state(self, message: MessageId) -> MessageState:
        """The state of one message as far as the engine has reported it."""
        ledger = self._lanes[message.stream & CONTROL_BIT]
        number = message.number
        if number in ledger.ended:
            return ledger.ended[number].state
        if number in ledger.moved:
            return ledger.moved[number]
        if number <= ledger.forgotten:
            return MessageState.UNKNOWN
        if ledger.upto[SETTLED] >= number:
            return MessageState.SETTLED
        is_written = ledger.upto[Proof.WRITTEN.number] >= number
        return MessageState.INFLIGHT if is_written else MessageState.QUEUED

    def proof(self, message: MessageId) -> Proof:
        """The strongest proof of one message."""
        ledger = self._lanes[message.stream & CONTROL_BIT]
        number = message.number
        if number in ledger.ended:
            is_settled = ledger.ended[number].state is MessageState.SETTLED
            return self._settling if is_settled else Proof.NONE
        if number in ledger.moved or number <= ledger.forgotten:
            return Proof.NONE
        for proof in reversed(PROOFS[1:]):
            level = proof.number
            if ledger.upto[level] >= number and not ledger.is_short(level, number, number):
                return Proof.NONE if proof is Proof.STORED and not self._has_file else proof
        return Proof.NONE


def _level(proof: Proof | None) -> int:
    return SETTLED if proof is None else proof.number


def _first_unproven(ledger: _LaneLedger, receipt: BaseReceipt) -> MessageEnded | None:
    """A message of the receipt that ended without proof."""
    if not ledger.ended:
        return None
    if receipt.first == receipt.last:
        event = ledger.ended.get(receipt.first)
        return event if event is not None and event.state is not MessageState.SETTLED else None
    return next(
        (
            event
            for number, event in ledger.ended.items()
            if receipt.first <= number <= receipt.last and event.state is not MessageState.SETTLED
        ),
        None,
    )


def _wake(waits: list[tuple[int, int, Wake]], first: int, last: int) -> None:
    woken = waits[first:last]
    del waits[first:last]
    for _number, _serial, wake in woken:
        wake()


class BaseReceipt:
    """What the receipts of both faces share. It stands for the messages `first` to `last`."""

    __slots__ = ("_conn", "first", "lane_number", "last")

    def __init__(self, conn: ConnBase[Any, Any], first: int, last: int, lane: int = 0) -> None:
        self._conn = conn
        self.first = first
        self.last = last
        self.lane_number = lane

    @property
    def id(self) -> MessageId:
        """The message's id."""
        return MessageId(self._conn._core.stream | self.lane_number, self.last)

    @property
    def lane(self) -> Lane:
        """The lane to which it was sent."""
        return LANES[self.lane_number]

    def one(self, number: int) -> BaseReceipt:
        """The receipt of one of the messages."""
        return type(self)(self._conn, number, number, self.lane_number)

    @property
    def state(self) -> MessageState:
        """What the engine has last said of the message."""
        return self._conn._ledger.state(self.id)

    @property
    def proof(self) -> Proof:
        """The strongest evidence so far."""
        return self._conn._ledger.proof(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state} {self.proof}>"


ReceiptType = TypeVar("ReceiptType", bound=BaseReceipt)


class BaseReceipts(Sequence[ReceiptType], Generic[ReceiptType]):
    """The receipts of messages that were sent together; each is made when it is looked at."""

    __slots__ = ("_conn", "_lane", "_type", "numbers")

    def __init__(
        self,
        conn: ConnBase[Any, Any],
        numbers: Sequence[int],
        receipt_type: type[ReceiptType],
        lane: int = 0,
    ) -> None:
        self._conn = conn
        self._type = receipt_type
        self._lane = lane
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> ReceiptType: ...

    @overload
    def __getitem__(self, index: slice) -> list[ReceiptType]: ...

    def __getitem__(self, index: int | slice) -> ReceiptType | list[ReceiptType]:
        if isinstance(index, slice):
            return [self._one(number) for number in self.numbers[index]]
        return self._one(self.numbers[index])

    @property
    def lane_number(self) -> int:
        """The number of the lane to which they were sent."""
        return self._lane

    def _one(self, number: int) -> ReceiptType:
        return self._type(self._conn, number, number, self._lane)

    def __iter__(self) -> Iterator[ReceiptType]:
        for number in self.numbers:
            yield self._one(number)

    def _runs(self) -> Iterator[ReceiptType]:
        """One receipt for each run of numbers without a hole."""
        start = 0
        for end in range(1, len(self.numbers) + 1):
            if end == len(self.numbers) or self.numbers[end] != self.numbers[end - 1] + 1:
                yield self._type(self._conn, self.numbers[start], self.numbers[end - 1], self._lane)
                start = end

    def __repr__(self) -> str:
        return f"<{len(self.numbers)} receipts>"
