"""What both faces share: the way from the engine's mailbox to messages, events and receipts.

The bounds. Messages wait in one inbox, at most INBOX_MAX of them or INBOX_BYTES; then the mailbox
is left alone, it fills, and the engine pauses the socket. But what somebody waits for (a proof,
room in the outbox, the end of a close) may lie behind those messages, so while anybody waits for
such a thing the bounds are URGENT_MAX and URGENT_BYTES. Past that the state is still told, by
looking at it (`_look_for_change`), and nothing is lost.
"""

from __future__ import annotations

import logging
import time
import warnings
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from steadwire import _core
from steadwire._engine import engine, register
from steadwire._ids import CONTROL_BIT
from steadwire._setup import Setup
from steadwire._units import Duration, milliseconds
from steadwire.codec import decoded
from steadwire.errors import (
    ClosedError,
    ConnectError,
    HandleError,
    NotFoundError,
    QueueFull,
    StateError,
    SteadwireError,
    Undelivered,
    connect_error_class,
)
from steadwire.events import (
    CAUSES,
    PROOF_NUMBER,
    STATES,
    Closed,
    CredentialsNeeded,
    Downgraded,
    Event,
    MessageEnded,
    NoPong,
    OutboxRoom,
    Proved,
    Retry,
    SessionStale,
    StateChanged,
    StoreChanged,
    make_event,
)
from steadwire.outbox import Outbox, OutboxEntry
from steadwire.receipts import BaseReceipt, BaseReceipts, Ledger
from steadwire.view import View, look
from steadwire.words import Cause, Guarantee, Lane, MessageState, State, StoreHealth

INBOX_MAX = 512
INBOX_LOW = 256
INBOX_BYTES = 4 << 20
URGENT_MAX = 65536
URGENT_BYTES = 32 << 20
EVENTS_MAX = 1024

LIVE = frozenset({State.ONLINE, State.SUSPECT, State.MIGRATING})
METRICS = tuple(row[0] for row in _core.metrics())

GOOD_HEALTH = frozenset({StoreHealth.OK, StoreHealth.RECOVERED, StoreHealth.ADOPTED})
UNDELIVERED = (MessageState.QUEUED, MessageState.INFLIGHT, MessageState.HELD)
TOLD_EVERY_S = 0.01

logger = logging.getLogger("steadwire")

Key = str | bytes | None


class EventQueue:
    """The events of one consumer: the latest EVENTS_MAX; `dropped` counts those that were lost."""

    def __init__(self, types: tuple[type[Event], ...]) -> None:
        self._types = types
        self._events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self.dropped = 0

    def wants(self, event_type: type[Event]) -> bool:
        """Whether this consumer asked for such events; proofs only come when asked for."""
        if self._types:
            return issubclass(event_type, self._types)
        return event_type is not Proved

    def offer(self, event: Event) -> None:
        """Adds an event, at the cost of the oldest if there is no room."""
        if self.wants(type(event)):
            self.dropped += len(self._events) == EVENTS_MAX
            self._events.append(event)


class Opening(MutableMapping[str, Any]):
    """The opening messages, by key: the engine sends them first on every new link."""

    def __init__(self, conn: ConnBase[Any, Any]) -> None:
        self._conn = weakref.ref(conn)
        self._messages: dict[str, Any] = {}

    def __setitem__(self, key: str, message: Any) -> None:
        self._set(key, message)
        self._messages[key] = message

    def __delitem__(self, key: str) -> None:
        if key not in self._messages:
            raise KeyError(key)
        self._set(key, None)
        del self._messages[key]

    def _set(self, key: str, message: Any) -> None:
        conn = self._conn()
        if conn is None or conn.is_finished:
            raise ClosedError("the conn is closed")
        conn._core.opening(key, None if message is None else conn._encoded(message))

    def __getitem__(self, key: str) -> Any:
        return self._messages[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._messages)

    def __len__(self) -> int:
        return len(self._messages)


ReceiptType = TypeVar("ReceiptType", bound=BaseReceipt)
ReceiptsType = TypeVar("ReceiptsType", bound=BaseReceipts[Any])


class ConnBase(Generic[ReceiptType, ReceiptsType]):
    """A conn: outlives any socket. Made by connect(), ended by close()."""

    _receipt_type: type[ReceiptType]
    _receipts_type: type[ReceiptsType]

    def __init__(self, setup: Setup, core: _core.Conn | None = None) -> None:
        self._setup = setup
        self._encode = setup.codec.encode if setup.codec else None
        self._decode = setup.codec.decode if setup.codec else None
        self._inbox: deque[Any] = deque()
        self._pending: deque[tuple[Any, ...]] = deque()
        self._inbox_bytes = 0  # taken from the mailbox since the inbox was last empty
        self._is_full = False
        self._is_raw = False
        self._urgent: list[None] = []  # one entry for each who waits: threads may append and pop
        self._ledger = Ledger(setup.is_session, setup.has_file)
        self._is_auto = setup.is_session and setup.is_auto
        self._taken: Any = None  # the last message handed out, where asking for more says so
        self._told_taken = 0.0
        self._queues: weakref.WeakSet[EventQueue] = weakref.WeakSet()
        self._stream: weakref.ref[Any] | None = None
        self._end: StateChanged | Closed | None = None  # a failure's state, or the close
        self._left = 0
        self._trouble: StateChanged | Retry | None = None
        self._told_ns = 0  # the engine's time of the last change of state that was told
        self._told_state = State.IDLE
        self._looked: set[int] = set()  # times of changes that were told before their events
        self._has_been_online = False
        self._is_closing = False
        self._final: tuple[View, list[int]] | None = None
        self._credentials_error: Exception | None = None
        self._supplied_at = 0.0  # who asked before has had an answer
        self.last_receipt: ReceiptType | None = None
        self.dropped_at_close = 0
        """Messages that arrived during close() and had to go because nobody took them."""
        self._opening = Opening(self)
        self._core = open_core(setup) if core is None else core
        register(self)

    # --- looking ---

    @property
    def state(self) -> State:
        """The state now, whatever was consumed so far."""
        return self.view().state

    def view(self) -> View:
        """A consistent look at the conn."""
        return self._final[0] if self._final else look(self._core)

    def stats(self) -> dict[str, int]:
        """The metrics of the conn by name."""
        values = self._final[1] if self._final else self._core.stats()
        return dict(zip(METRICS, values, strict=True))

    @property
    def outbox(self) -> Outbox:
        """What must still reach the peer."""
        return Outbox(self._core.outbox(), self)

    @property
    def opening(self) -> Opening:
        """The messages that the engine sends first on every new link; a dict by key."""
        return self._opening

    @property
    def is_finished(self) -> bool:
        """Whether close() is done: nothing more comes and nothing can be sent."""
        return self._final is not None

    def __repr__(self) -> str:
        view = self.view()
        return f"<{type(self).__name__} {view.endpoint or self._setup.label} {view.state}>"

    # --- telling the engine ---

    def ready(self) -> None:
        """Says that the server has accepted the opening (ready_when="host")."""
        self._core.ready()

    def kick(self) -> None:
        """Ends a wait between two attempts now."""
        self._core.kick()

    def reopen(self) -> None:
        """Opens the conn again after it has failed; its outbox is kept. StateError otherwise."""
        if self._final:
            raise ClosedError("the conn is closed: connect again")
        self._core.reopen()
        self._end = None
        self._trouble = None
        self._has_been_online = False
        self._ledger.reopened()

    def _encoded(self, message: Any) -> Any:
        return message if self._encode is None else self._encode(message)

    def post(
        self,
        message: Any,
        *,
        ttl: Duration | None = None,
        key: Key = None,
        guarantee: Guarantee | str | None = None,
        lane: Lane | str | None = None,
    ) -> ReceiptType:
        """Queues a message and never waits; QueueFull, TooBigError, ClosedError."""
        body = message if self._encode is None else self._encode(message)
        chosen = self._setup.guarantee if guarantee is None else Guarantee(guarantee).number
        lane_number = 0 if lane is None else Lane(lane).number
        ms = 0 if ttl is None else ttl_ms(ttl)
        try:
            number = self._core.send(body, chosen, ms, key, lane_number)
        except HandleError:
            raise self._refusal() from None
        receipt = self.last_receipt = self._receipt_type(self, number, number, lane_number)
        return receipt

    def post_many(
        self,
        messages: Iterable[Any],
        *,
        ttl: Duration | None = None,
        key: Key = None,
        guarantee: Guarantee | str | None = None,
        lane: Lane | str | None = None,
    ) -> ReceiptsType:
        """Queues messages in order and never waits.

        On QueueFull its `receipts` are those of the first messages, which were queued.
        """
        encode = self._encode
        bodies = messages if encode is None else [encode(message) for message in messages]
        chosen = self._setup.guarantee if guarantee is None else Guarantee(guarantee).number
        lane_number = 0 if lane is None else Lane(lane).number
        ms = 0 if ttl is None else ttl_ms(ttl)
        try:
            numbers = numbers_of(*self._core.send_many(bodies, chosen, ms, key, lane_number))
        except HandleError:
            raise self._refusal() from None
        except QueueFull as error:
            error.receipts = self._receipts(partly_full(error), lane_number)
            raise
        return self._receipts(numbers, lane_number)

    def _receipts(self, numbers: Sequence[int], lane: int) -> ReceiptsType:
        if numbers:
            self.last_receipt = self._receipt_type(self, numbers[-1], numbers[-1], lane)
        return self._receipts_type(self, numbers, self._receipt_type, lane)

    def _refusal(self) -> SteadwireError:
        """What a handle that is gone means."""
        if self._final:
            return ClosedError("the conn is closed; nothing was taken: connect again")
        return HandleError("the conn's engine is gone")

    # --- from the mailbox ---

    def _pump(self) -> None:
        """Moves what the bounds allow out of the mailbox, and acts on the events among it."""
        if self._final:
            return
        if self._is_closing:
            self._pump_all()
        else:
            self._pump_some()
        if self._pending:
            self._act()

    def _pump_some(self) -> None:
        inbox = self._inbox
        if not inbox:
            self._inbox_bytes = 0
        most = URGENT_MAX if self._urgent else INBOX_MAX
        most_bytes = URGENT_BYTES if self._urgent else INBOX_BYTES
        if len(inbox) < most and self._inbox_bytes < most_bytes:
            self._inbox_bytes += self._drain(most - len(inbox), most_bytes - self._inbox_bytes)
        self._is_full = len(inbox) >= most or self._inbox_bytes >= most_bytes

    def _pump_all(self) -> None:
        """While closing, the mailbox is emptied whether or not anybody takes messages."""
        self._is_full = False
        inbox = self._inbox
        while True:
            self._drain(URGENT_MAX, URGENT_BYTES)
            while len(inbox) > URGENT_MAX:
                inbox.popleft()
                self.dropped_at_close += 1
            if not self._core.has_lent:
                return

    def _drain(self, most: int, most_bytes: int) -> int:
        is_ordered = self._stream is not None
        return self._core.drain(
            self._inbox, self._pending, most, most_bytes, self._is_raw, is_ordered
        )

    def _has_room_again(self) -> bool:
        """Whether a full inbox was taken from far enough to fill it again."""
        if self._inbox_bytes >= INBOX_BYTES:
            return not self._inbox
        return len(self._inbox) <= INBOX_LOW

    @contextmanager
    def _urgently(self) -> Iterator[None]:
        """Somebody waits for an event that may lie behind messages."""
        self._urgent.append(None)
        try:
            yield
        finally:
            self._urgent.pop()

    def _act(self) -> None:
        """Acts on pending events; each is removed after, so that an interruption loses none.

        Nothing here calls back into code of the host.
        """
        pending = self._pending
        while pending:
            raw = pending[0]
            if raw[0] == PROOF_NUMBER:
                self._ledger.proved(*raw[3:8])
                if any(queue.wants(Proved) for queue in self._queues):
                    self._publish(make_event(raw))
            else:
                self._on_event(make_event(raw), raw[2])
            pending.popleft()

    def _on_event(self, event: Event, at_ns: int) -> None:
        if isinstance(event, StateChanged):
            if not self._on_state(event, at_ns):
                return
        elif isinstance(event, Retry):
            self._trouble = event
            self._log_retry(event)
        elif isinstance(event, MessageEnded):
            if event.stream & ~CONTROL_BIT == self._core.stream:
                self._ledger.ended(event)
        elif isinstance(event, (StoreChanged, Downgraded, SessionStale)):
            self._on_delivery(event)
        elif isinstance(event, NoPong):
            self._ledger.no_pong()
        elif isinstance(event, OutboxRoom):
            self._on_room()
        elif isinstance(event, CredentialsNeeded):
            self._on_credentials(event)
        elif isinstance(event, Closed):
            self._left = event.undelivered
            self._end = self._end or event
            self._ledger.closed()
            self._on_change()
        self._publish(event)

    def _on_delivery(self, event: StoreChanged | Downgraded | SessionStale) -> None:
        """Logs what changes how messages are kept or proven."""
        if isinstance(event, Downgraded):
            self._ledger.downgraded()
            text = "the server does not speak steadwire.v1: at least once in place of exactly once"
        elif isinstance(event, SessionStale):
            text = f"the server has lost the session; fate unknown: {event.messages} messages"
        else:
            text = f"outbox file: {event.health.text}"
        detail = getattr(event, "detail", "")
        is_good = isinstance(event, StoreChanged) and event.health in GOOD_HEALTH
        level = logging.INFO if is_good else logging.WARNING
        logger.log(level, "%s: %s%s", self._name(), text, f" ({detail})" if detail else "")

    def _on_state(self, event: StateChanged, at_ns: int) -> bool:
        """Acts on a change of state; False if a look has told this one or a later one already."""
        if event.cause.class_name != "host":
            self._trouble = event
        if event.new is State.ONLINE:
            self._has_been_online = True
            if self._setup.is_session and not self._final:
                self._ledger.speaks(look(self._core).has_session)
        elif event.new is State.FAILED:
            self._end = event
            self._ledger.closed()
        self._on_change()
        if self._looked:
            is_told = at_ns in self._looked
            self._looked = {told for told in self._looked if told > at_ns}
            if is_told:
                return False
        self._log_state(event)
        if at_ns < self._told_ns:
            return False
        self._told_ns = at_ns
        self._told_state = event.new
        return True

    def _look_for_change(self) -> None:
        """Tells a change of state whose event still lies behind messages that nobody takes.

        States that came and went between two looks are not told, as where the engine coalesces;
        the log has them once their events are reached.
        """
        if self._final:
            return
        row = self._core.look()
        state, since_ns = STATES[row[0]], row[5]
        if since_ns <= self._told_ns:
            return
        event = StateChanged(
            at=since_ns / 1e9,
            link=row[4],
            old=self._told_state,
            new=state,
            cause=CAUSES[row[2]],
            attempt=row[3],
            delay=max(0, row[6] - since_ns) / 1e9,
            close_code=row[12],
            http_status=row[13],
            detail=row[14],
        )
        self._log_state(event)
        self._told_ns = since_ns
        self._told_state = state
        self._looked.add(since_ns)
        self._publish(event)
        if self._setup.credentials and state in (State.CONNECTING, State.WAITING):
            self._on_credentials(
                CredentialsNeeded(event.at, row[4], event.attempt, event.cause, 0.0)
            )

    def _publish(self, event: Event) -> None:
        for queue in self._queues:
            queue.offer(event)
        if self._queues:
            self._on_change()

    # --- what the faces do about it ---

    def _on_change(self) -> None:
        """The state changed, or events were added for somebody."""

    def _on_room(self) -> None:
        """The outbox has room again."""

    def _on_credentials(self, event: CredentialsNeeded) -> None:
        """The engine asks for credentials."""

    # --- taking messages ---

    def _made(self, item: Any) -> Any:
        """What a consumer gets for an item of the inbox."""
        if self._decode is not None and isinstance(item, _core.Message):
            return decoded(item, self._decode)
        return item

    def _say_taken(self) -> None:
        """Tells the server what has taken effect: the host asks for more, or has closed.

        Once a message at most every TOLD_EVERY_S, and whenever nothing is left to take.
        """
        if not self._is_auto or self._final or self._is_closing:
            return
        if not self._inbox:
            self._taken = None
            self._core.processed(None)
        elif self._taken is not None:
            now = time.monotonic()
            if now - self._told_taken >= TOLD_EVERY_S:
                self._told_taken = now
                taken, self._taken = self._taken, None
                self._core.processed(taken)

    def _check_no_stream(self) -> None:
        if self._stream is not None and self._stream() is not None:
            raise StateError("a stream() is open: messages come through it")

    def _start_stream(self, stream: Any) -> None:
        self._check_no_stream()
        self._stream = weakref.ref(stream, lambda _ref: self._stop_stream())

    def _stop_stream(self) -> None:
        self._stream = None
        kept = [item for item in self._inbox if not isinstance(item, tuple)]
        self._inbox.clear()
        self._inbox.extend(kept)

    def _set_raw(self, is_raw: bool) -> None:
        """Changes what the inbox holds: Message, or the bare str and bytes."""
        if is_raw == self._is_raw:
            return
        self._is_raw = is_raw
        items = list(self._inbox)
        self._inbox.clear()
        if is_raw:
            self._inbox.extend(item.raw for item in items)
        else:
            link = self.view().link
            self._inbox.extend(_core.Message(item, link) for item in items)

    # --- the end ---

    def _end_error(self) -> SteadwireError:
        """Why nothing more comes."""
        if isinstance(self._end, StateChanged):
            return self._connect_error(connect_error_class(self._end.cause), self._end)
        return ClosedError("the conn is closed")

    def _connect_error(
        self, error: type[ConnectError], event: StateChanged | Retry
    ) -> ConnectError:
        made = error(event.cause, event.attempt, event.detail, event.http_status, event.close_code)
        made.__cause__ = self._credentials_error
        return made

    def _start_close(self, timeout: float) -> None:
        """Asks the engine to close; fine if it is closing, closed or failed already."""
        self._say_taken_at_close()
        self._is_closing = True
        try:
            self._core.close(round(timeout * 1000.0))
        except ClosedError:
            pass

    def _say_taken_at_close(self) -> None:
        self._told_taken = 0.0
        with suppress(SteadwireError):
            self._say_taken()

    def _finish(self) -> Undelivered | None:
        """Gives the handle up and answers what could not be delivered."""
        if self._final:
            return None
        try:
            left = self._undelivered()
        finally:
            final = look(self._core), self._core.stats()
            self._final = final
            self._core.free()
            self._ledger.closed()
            self._on_change()
        return left

    def _undelivered(self) -> Undelivered | None:
        entries: list[OutboxEntry] = []
        bodies: list[str | bytes] = []
        if self.view().has_store:
            if self._left:
                logger.warning(
                    "%s: closed with %d messages, which stay in the outbox file and are sent by "
                    "the next conn that uses it",
                    self._name(),
                    self._left,
                )
            return None
        outbox = self.outbox.filter(state=UNDELIVERED)
        for entry in outbox:
            with suppress(NotFoundError):  # it has been proven meanwhile
                bodies.append(outbox._body(entry))
                entries.append(entry)
        count = max(len(entries), self._left)
        return Undelivered(count, entries, bodies) if count else None

    def __del__(self) -> None:
        if getattr(self, "_final", True) is None:
            text = f"unclosed {type(self).__name__} {self._setup.label}".rstrip()
            warnings.warn(text, ResourceWarning, source=self, stacklevel=2)

    def forget_inherited(self) -> None:
        """In a forked child: what waits here belongs to the parent."""
        self._inbox.clear()
        self._pending.clear()

    # --- the log ---

    def _name(self) -> str:
        return self._setup.label or self.view().endpoint

    def _log_state(self, event: StateChanged) -> None:
        is_trouble = event.cause.class_name != "host"
        is_lost = event.old in LIVE and event.new not in LIVE
        level = (
            logging.WARNING
            if is_trouble and (is_lost or event.new is State.FAILED)
            else logging.INFO
        )
        if not logger.isEnabledFor(level):
            return
        name = self._name()
        if not is_trouble:
            logger.log(level, "%s: %s -> %s: %s", name, event.old, event.new, event.cause)
            return
        logger.log(
            level,
            "%s: %s -> %s: %s (%s); %s%s",
            name,
            event.old,
            event.new,
            event.cause,
            event.detail or event.cause.text,
            "no more attempts" if event.new is State.FAILED else _next(event.delay),
            _remedy(event.cause),
        )

    def _log_retry(self, event: Retry) -> None:
        if logger.isEnabledFor(logging.INFO):
            why = event.detail or event.cause.text
            logger.info(
                "%s: attempt %d failed: %s (%s); %s%s",
                self._name(),
                event.attempt,
                event.cause,
                why,
                _next(event.delay),
                _remedy(event.cause),
            )


def open_core(setup: Setup) -> _core.Conn:
    """The engine's conn; waits for the disk if there is an outbox file."""
    return _core.Conn(engine(), setup.config)


def _next(delay: float) -> str:
    return f"next attempt in {delay:.1f} s" if delay else "next attempt now"


def _remedy(cause: Cause) -> str:
    return "" if cause.remedy == "nothing" else f"; {cause.remedy}"


def ttl_ms(ttl: Duration) -> int:
    """The milliseconds of a ttl; ValueError for 0, which the engine takes as for ever."""
    ms = milliseconds(ttl, "ttl")
    if ms == 0:
        raise ValueError("ttl must be over zero; leave it out for a message without one")
    return ms


def numbers_of(first: int, count: int) -> range:
    """What send_many has answered."""
    return range(first, first + count)


def partly_full(error: QueueFull) -> range:
    """What send_many had taken before the outbox was full."""
    return numbers_of(*getattr(error, "taken", (0, 0)))
