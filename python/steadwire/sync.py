"""The blocking face: the same conn for scripts, threads and notebook cells; needs no event loop.

Each thread that waits polls the mailbox without the GIL, wakes at least every 100 ms for signals,
and drains it. Between calls the engine goes on by itself: heartbeats, reconnects, replay and
receiving (up to its bounds) do not need this face to be called. A signal handler that raises, as
that of Ctrl-C does, can do so at any moment: so locks are only ever taken by `with`, and a message
leaves the inbox in the last step.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Unpack

from steadwire._conn import LIVE, ConnBase, EventQueue, Key, logger
from steadwire._core import Message
from steadwire._setup import (
    CredentialsSource,
    InboundFrom,
    Setup,
    Url,
    call_credentials,
    make_setup,
    supply,
)
from steadwire._units import Duration, optional_seconds, seconds
from steadwire.codec import CodecLike
from steadwire.errors import ConnectTimeout, HandleError, QueueFull, Timeout, Undelivered
from steadwire.events import CredentialsNeeded, Event, StateChanged, make_event
from steadwire.receipts import BaseReceipt, BaseReceipts
from steadwire.words import Guarantee, Lane, Options, Proof

SLICE_S = 0.1
"""The longest stretch for which a thread waits before it looks around."""

SHARED_SLICE_S = 0.01
"""The same while other threads wait too: one of them may have drained what this one waits for."""

FULL_SLICE_S = 0.01
"""The same while the inbox is full and another thread has to take from it."""


class Receipt(BaseReceipt):
    """The receipt of one message."""

    __slots__ = ()

    def wait(self, proof: Proof | str | None = None, *, timeout: Duration | None = None) -> Proof:
        """Waits until the message has `proof`; without one, until it has the proof it wants.

        Raises a MessageError that says how the message ended if it never will, ProofUnavailable if
        this peer cannot give the proof, ClosedError, Timeout.
        """
        conn = self._conn
        assert isinstance(conn, Connection)
        wanted = None if proof is None else Proof(proof)
        with conn._urgently():
            conn._wait_for(lambda: conn._ledger.has(self, wanted), timeout)
        return self.proof


class Receipts(BaseReceipts[Receipt]):
    """The receipts of messages that were sent together."""

    __slots__ = ()

    def wait(self, proof: Proof | str | None = None, *, timeout: Duration | None = None) -> None:
        """Waits until all of them have `proof`; as `Receipt.wait`."""
        left = optional_seconds(timeout)
        deadline = None if left is None else time.monotonic() + left
        for run in self._runs():
            if deadline is not None:
                left = max(0.0, deadline - time.monotonic())
            run.wait(proof, timeout=left)


class Events(EventQueue):
    """An iterator of events; ends with the conn. `dropped` counts what it was too slow for."""

    def __init__(self, conn: Connection, types: tuple[type[Event], ...]) -> None:
        super().__init__(types)
        self._conn = conn

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> Event:
        self._conn._wait_for(self._has_or_ended, None)
        if not self._events:
            raise StopIteration
        return self._events.popleft()

    def next(self, timeout: Duration | None = None) -> Event:
        """The next event; Timeout, ClosedError or the ConnectError that ended the conn."""
        self._conn._wait_for(self._has_or_ended, timeout)
        if not self._events:
            raise self._conn._end_error()
        return self._events.popleft()

    def _has_or_ended(self) -> bool:
        return bool(self._events) or self._conn._is_over()


class Stream:
    """Messages and events in the one order in which they happened."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        conn._start_stream(self)

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Message | Event:
        conn = self._conn
        if not conn._has_message(None):
            conn._raise_failure()
            raise StopIteration
        item = conn._inbox.popleft()
        conn._note_taken(item)
        return make_event(item) if isinstance(item, tuple) else conn._made(item)

    def close(self) -> None:
        """Lets recv() and iteration have the messages again."""
        self._conn._stop_stream()


class Batches:
    """Everything that has arrived, a list at a time."""

    def __init__(self, conn: Connection, raw: bool) -> None:
        self._conn = conn
        conn._check_no_stream()
        if raw:
            conn._set_raw(True)
            weakref.finalize(self, conn._set_raw, False)

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> list[Any]:
        conn = self._conn
        if not conn._has_message(None):
            conn._raise_failure()
            raise StopIteration
        items = list(conn._inbox)
        conn._inbox.clear()
        if conn._decode is not None and not conn._is_raw:
            return [conn._made(item) for item in items]
        return items


class Connection(ConnBase[Receipt, Receipts]):
    """A conn of the blocking face: `for message in conn` survives reconnects.

    All methods may be called from any thread.
    """

    _receipt_type = Receipt
    _receipts_type = Receipts

    def __init__(self, setup: Setup) -> None:
        self._acting = threading.Lock()
        self._waiting: list[None] = []  # one entry for each thread that waits
        self._asked: deque[CredentialsNeeded] = deque()
        self._answering = threading.Lock()  # one call of the credentials function at a time
        super().__init__(setup)

    # --- waiting ---

    def _wait_for(self, is_there: Callable[[], bool], timeout: Duration | None) -> None:
        """Drains the mailbox until `is_there()`; Timeout."""
        left = optional_seconds(timeout)
        deadline = None if left is None else time.monotonic() + left
        self._waiting.append(None)
        try:
            self._pump()
            while not is_there():
                slice_s = SLICE_S if len(self._waiting) == 1 else SHARED_SLICE_S
                if deadline is not None:
                    slice_s = min(slice_s, deadline - time.monotonic())
                if slice_s <= 0.0:
                    raise Timeout("the time given to the call is over")
                self._wait_once(slice_s)
                self._pump()
        finally:
            self._waiting.pop()

    def _wait_once(self, slice_s: float) -> None:
        if self._is_full:
            self._look_for_change()
            time.sleep(min(slice_s, FULL_SLICE_S))
            return
        try:
            self._core.wait(slice_s)
        except HandleError:
            if not self._final:  # closed by another thread
                raise

    def _pump(self) -> None:
        try:
            super()._pump()
        except HandleError:
            if not self._final:
                raise
        self._answer_asked()

    def _act(self) -> None:
        with self._acting:
            super()._act()

    def forget_inherited(self) -> None:
        """In a forked child, where the holder of the lock may not exist."""
        self._acting = threading.Lock()
        self._answering = threading.Lock()
        self._waiting.clear()
        super().forget_inherited()

    def _is_over(self) -> bool:
        return self._end is not None or self._final is not None

    # --- receiving ---

    def recv(self, timeout: Duration | None = None) -> Message:
        """The next message; Timeout, ClosedError, or the ConnectError that ended the conn."""
        self._check_no_stream()
        while True:
            if not self._has_message(timeout):
                raise self._end_error()
            try:
                item = self._inbox.popleft()
            except IndexError:
                continue  # another thread took it
            self._note_taken(item)
            message: Message = self._made(item)
            return message

    def _has_message(self, timeout: Duration | None) -> bool:
        """Waits until the inbox has something; False when the conn has ended."""
        if self._is_auto:
            self._say_taken()
        if not self._inbox:
            self._wait_for(lambda: bool(self._inbox) or self._is_over(), timeout)
        return bool(self._inbox)

    def _raise_failure(self) -> None:
        if isinstance(self._end, StateChanged):
            raise self._end_error()

    def __iter__(self) -> Connection:
        self._check_no_stream()
        return self

    def __next__(self) -> Message:
        self._check_no_stream()
        while self._has_message(None):
            try:
                item = self._inbox.popleft()
            except IndexError:
                continue  # another thread took it
            self._note_taken(item)
            message: Message = self._made(item)
            return message
        self._raise_failure()
        raise StopIteration

    def batches(self, *, raw: bool = False) -> Batches:
        """An iterator of lists of messages; with `raw`, of the bare str and bytes."""
        return Batches(self, raw)

    def events(self, *types: type[Event]) -> Events:
        """An iterator of events from now on: of the given types, or all but Proved."""
        queue = Events(self, types)
        self._queues.add(queue)
        return queue

    def stream(self) -> Stream:
        """An iterator of messages and events in one order; one at a time per conn."""
        return Stream(self)

    def _note_taken(self, item: Any) -> None:
        if self._is_auto and isinstance(item, Message):
            self._taken = item

    # --- sending ---

    def send(
        self,
        message: Any,
        *,
        ttl: Duration | None = None,
        key: Key = None,
        guarantee: Guarantee | str | None = None,
        lane: Lane | str | None = None,
        timeout: Duration | None = None,
    ) -> Receipt:
        """Queues a message, waiting for room in the outbox; Timeout if there was none in time."""
        made: list[Receipt] = []

        def is_queued() -> bool:
            try:
                made.append(self.post(message, ttl=ttl, key=key, guarantee=guarantee, lane=lane))
            except QueueFull:
                return False
            return True

        if not is_queued():
            with self._urgently():
                self._wait_for(is_queued, timeout)
        return made[0]

    def send_many(
        self,
        messages: Iterable[Any],
        *,
        ttl: Duration | None = None,
        key: Key = None,
        guarantee: Guarantee | str | None = None,
        lane: Lane | str | None = None,
        timeout: Duration | None = None,
    ) -> Receipts:
        """Queues messages in order, waiting for room; Timeout if it took too long.

        Out of time, the first ones are queued: `last_receipt` is that of the last.
        """
        left = list(messages)
        numbers: list[int] = []

        def are_queued() -> bool:
            try:
                numbers.extend(
                    self.post_many(left, ttl=ttl, key=key, guarantee=guarantee, lane=lane).numbers
                )
            except QueueFull as full:
                taken = full.receipts.numbers if full.receipts else ()
                numbers.extend(taken)
                del left[: len(taken)]
                return False
            return True

        with self._urgently():
            self._wait_for(are_queued, timeout)
        return self._receipts(numbers, 0 if lane is None else Lane(lane).number)

    # --- credentials ---

    def _on_credentials(self, event: CredentialsNeeded) -> None:
        if self._setup.credentials is not None:
            self._asked.append(event)  # answered outside the lock: the function may use the conn

    def _answer_asked(self) -> None:
        while self._asked and self._answering.acquire(blocking=False):
            try:
                if self._asked:  # no other thread has answered it meanwhile
                    event = self._asked.popleft()
                    if event.at >= self._supplied_at:
                        self._answer(event)
            finally:
                self._answering.release()

    def _answer(self, event: CredentialsNeeded) -> None:
        assert self._setup.credentials is not None
        try:
            answer = call_credentials(self._setup.credentials, event)
            if inspect.isawaitable(answer):
                answer = _finished(answer)
            at = time.monotonic()
            supply(self._core, answer)
            self._credentials_error, self._supplied_at = None, at
        except Exception as error:
            self._credentials_error = error
            logger.exception("%s: the credentials function failed", self._name())

    # --- beginning and end ---

    def _until_online(self) -> None:
        limit = self._setup.connect_timeout
        try:
            self._wait_for(lambda: self._has_been_online or self._is_over(), limit)
        except Timeout:
            if self._trouble is not None:
                raise self._connect_error(ConnectTimeout, self._trouble) from None
            view = self.view()
            raise ConnectTimeout(view.cause, view.attempt) from self._credentials_error
        if not self._has_been_online:
            raise self._end_error()

    def wait_online(self, timeout: Duration | None = None) -> None:
        """Waits until messages flow; Timeout, or what ended the conn."""
        self._wait_for(lambda: self._is_over() or self.state in LIVE, timeout)
        if self._is_over():
            raise self._end_error()

    def close(self, timeout: Duration | None = None) -> None:
        """Delivers what is queued, for at most `timeout` (close_timeout), and ends the conn.

        Raises Undelivered if messages remain. What has arrived can still be received.
        """
        if self._final:
            return
        limit = self._setup.close_timeout if timeout is None else seconds(timeout, "timeout")
        self._start_close(limit)
        try:
            self._wait_for(self._is_over, limit + self._setup.close_timeout + 1.0)
        except Timeout:
            pass
        with self._acting:
            left = self._finish()
        if left is not None:
            raise left

    def abandon(self) -> None:
        """Cuts the conn at once, whatever is queued."""
        with self._acting:
            self._finish()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_auto = self._is_auto and error is None  # what failed has not taken effect
        try:
            self.close()
        except Undelivered as left:
            if error is None:
                raise
            error.add_note(f"steadwire: {left}")
            logger.warning("%s: %s", self._name(), left)
        except BaseException:
            self.abandon()
            raise


def _finished(answer: Any) -> Any:
    """Runs an awaitable to its end in a thread: this one may have a running loop of its own."""
    results: list[Any] = []
    errors: list[BaseException] = []

    async def run() -> None:
        results.append(await answer)

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="steadwire credentials")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def connect(
    url: Url,
    *,
    codec: CodecLike | None = None,
    outbox: str | os.PathLike[str] | None = None,
    wait: bool = True,
    connect_timeout: Duration | None = 30.0,
    credentials: CredentialsSource | None = None,
    inbound_from: InboundFrom | None = None,
    **options: Unpack[Options],
) -> Connection:
    """Connects: `with steadwire.sync.connect(url) as conn:`; as `steadwire.connect`."""
    setup = make_setup(
        url, codec, outbox, wait, connect_timeout, credentials, inbound_from, options
    )
    conn = Connection(setup)
    if wait:
        try:
            conn._until_online()
        except BaseException:
            conn.abandon()
            raise
    return conn
