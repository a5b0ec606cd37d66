"""The asyncio face.

Each conn has a mailbox of its own in the engine, whose descriptor the loop watches: so a consumer
that is slow on one conn holds up only that one. Awaiting is always `while nothing: await`, and what
was awaited is taken synchronously after, so that a cancellation at any point loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
import time
import weakref
from collections.abc import Generator, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Unpack

from steadwire import _core
from steadwire._conn import LIVE, ConnBase, EventQueue, Key, logger, open_core
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
from steadwire.codec import CodecLike, decoded
from steadwire.errors import ConnectTimeout, QueueFull, SteadwireError, Timeout, Undelivered
from steadwire.events import CredentialsNeeded, Event, StateChanged, make_event
from steadwire.receipts import BaseReceipt, BaseReceipts
from steadwire.words import Guarantee, Lane, Options, Proof

TURN_EVERY = 256
"""How many messages may go by before the other tasks of the loop have their turn."""

TICK_S = 0.1
ROOM_TICK_S = 0.25
ANSWER_S = 60.0  # a credentials function that takes longer is called again

Waits = set["asyncio.Future[None]"]


class Receipt(BaseReceipt):
    """The receipt of one message."""

    __slots__ = ()

    async def wait(
        self, proof: Proof | str | None = None, *, timeout: Duration | None = None
    ) -> Proof:
        """Waits until the message has `proof`; without one, until it has the proof it wants.

        Raises a MessageError that says how the message ended if it never will, ProofUnavailable if
        this peer cannot give the proof, ClosedError, Timeout.
        """
        conn = self._conn
        assert isinstance(conn, Connection)
        await conn._wait_proof(self, None if proof is None else Proof(proof), timeout)
        return self.proof


class Receipts(BaseReceipts[Receipt]):
    """The receipts of messages that were sent together."""

    __slots__ = ()

    async def wait(
        self, proof: Proof | str | None = None, *, timeout: Duration | None = None
    ) -> None:
        """Waits until all of them have `proof`; as `Receipt.wait`."""
        left = optional_seconds(timeout)
        deadline = None if left is None else time.monotonic() + left
        for run in self._runs():
            if deadline is not None:
                left = max(0.0, deadline - time.monotonic())
            await run.wait(proof, timeout=left)


class Events(EventQueue):
    """An async iterator of events that ends with the conn.

    `dropped` counts what it was too slow for.
    """

    def __init__(self, conn: Connection, types: tuple[type[Event], ...]) -> None:
        super().__init__(types)
        self._conn = conn

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        event = await self._conn._next_event(self._events, None)
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self, timeout: Duration | None = None) -> Event:
        """The next event; Timeout, ClosedError or the ConnectError that ended the conn."""
        event = await self._conn._next_event(self._events, timeout)
        if event is None:
            raise self._conn._end_error()
        return event


class Stream:
    """Messages and events in the one order in which they happened."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        conn._start_stream(self)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Message | Event:
        item = await self._conn._next_item(None)
        if item is None:
            raise StopAsyncIteration
        return make_event(item) if isinstance(item, tuple) else self._conn._made(item)

    def close(self) -> None:
        """Lets recv() and iteration have the messages again."""
        self._conn._stop_stream()


class Batches:
    """Everything that has arrived, a list at a time."""

    def __init__(self, conn: Connection, raw: bool) -> None:
        self._conn = conn
        self._raw = raw
        conn._check_no_stream()
        if raw:
            conn._set_raw(True)
            weakref.finalize(self, conn._set_raw, False)

    def __aiter__(self) -> Batches:
        return self

    async def __anext__(self) -> list[Any]:
        conn = self._conn
        conn._say_taken()
        if not conn._inbox and not await conn._wait_message(None):
            conn._raise_failure()
            raise StopAsyncIteration
        return conn._take_all()


class Connection(ConnBase[Receipt, Receipts]):
    """A conn of the asyncio face: `async for message in conn` survives reconnects.

    It belongs to the loop in which it was made; only `post` and `post_many` may be called from
    other threads.
    """

    _receipt_type = Receipt
    _receipts_type = Receipts

    def __init__(self, setup: Setup, core: _core.Conn | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._messages: Waits = set()
        self._changes: Waits = set()
        self._rooms: Waits = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answering: asyncio.Task[None] | None = None
        self._answering_since = 0.0
        self._tick: asyncio.TimerHandle | None = None
        self._turns = 0
        super().__init__(setup, core)
        self._fd = self._core.fd()
        self._is_reading = False
        self._read()

    # --- the loop ---

    def _read(self) -> None:
        if not self._is_reading:
            self._loop.add_reader(self._fd, _on_readable, weakref.ref(self))
            self._is_reading = True
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _stop_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._fd)

    def _pump_now(self) -> None:
        """Pumps, wakes those who wait for messages, and watches the mailbox or leaves it alone."""
        try:
            self._pump()
        except SteadwireError:
            self._stop_reading()
            raise
        if self._final:
            return
        if self._inbox:
            _wake(self._messages)
        if not self._is_full:
            self._read()
            return
        self._stop_reading()
        if self._tick is None:
            self._tick = self._loop.call_later(TICK_S, _on_tick, weakref.ref(self))

    def _on_tick(self) -> None:
        """Now and then while messages are not taken."""
        self._tick = None
        self._look_for_change()
        self._pump_now()

    def _on_change(self) -> None:
        _wake(self._changes)
        if self._end is not None or self._final:
            _wake(self._messages)
            _wake(self._rooms)

    def _on_room(self) -> None:
        _wake(self._rooms)

    async def _wait(self, waits: Waits, deadline: float | None) -> None:
        future = self._loop.create_future()
        waits.add(future)
        try:
            await self._sleep(future, deadline)
        finally:
            waits.discard(future)

    async def _sleep(self, future: asyncio.Future[None], deadline: float | None) -> None:
        """Waits for the future; Timeout."""
        if deadline is None:
            await future
            return
        if deadline <= self._loop.time():
            raise Timeout("the time given to the call is over")
        timer = self._loop.call_at(deadline, _expire, future)
        try:
            await future
        finally:
            timer.cancel()

    def _deadline(self, timeout: Duration | None) -> float | None:
        left = optional_seconds(timeout)
        return None if left is None else self._loop.time() + left

    async def _turn(self) -> None:
        """Lets other tasks run now and then; before anything is taken or queued."""
        self._turns += 1
        if self._turns >= TURN_EVERY:
            self._turns = 0
            await asyncio.sleep(0)

    # --- receiving ---

    async def recv(self, timeout: Duration | None = None) -> Message:
        """The next message; Timeout, ClosedError, or the ConnectError that ended the conn."""
        self._check_no_stream()
        await self._turn()
        if self._is_auto:
            self._say_taken()
        if not self._inbox and not await self._wait_message(timeout):
            raise self._end_error()
        return self._take()

    def __aiter__(self) -> Connection:
        self._check_no_stream()
        return self

    async def __anext__(self) -> Message:
        if self._is_auto:
            self._say_taken()
        if not self._inbox or self._turns >= TURN_EVERY or self._stream is not None:
            self._check_no_stream()
            await self._turn()
            if not self._inbox and not await self._wait_message(None):
                self._raise_failure()
                raise StopAsyncIteration
        self._turns += 1
        return self._take()

    def _take(self) -> Message:
        message: Message = self._inbox.popleft()
        if self._is_auto:
            self._taken = message
        if self._is_full and self._has_room_again():
            self._pump_now()
        return message if self._decode is None else decoded(message, self._decode)

    def _take_all(self) -> list[Any]:
        items = list(self._inbox)
        self._inbox.clear()
        self._turns += len(items)
        if self._is_full:
            self._pump_now()
        if self._decode is not None and not self._is_raw:
            return [self._made(item) for item in items]
        return items

    async def _wait_message(self, timeout: Duration | None) -> bool:
        """Waits until the inbox has something; False when the conn has ended."""
        deadline = self._deadline(timeout)
        while True:
            if self._turns >= TURN_EVERY:
                self._turns = 0
                await asyncio.sleep(0)
            self._pump_now()
            if self._inbox:
                return True
            if self._end is not None or self._final:
                return False
            await self._wait(self._messages, deadline)

    def _raise_failure(self) -> None:
        """Iteration ends quietly when the conn was closed, loudly when it failed."""
        if isinstance(self._end, StateChanged):
            raise self._end_error()

    def batches(self, *, raw: bool = False) -> Batches:
        """An async iterator of lists of messages; with `raw`, of the bare str and bytes."""
        return Batches(self, raw)

    def events(self, *types: type[Event]) -> Events:
        """An async iterator of events from now on: of the given types, or all but Proved."""
        queue = Events(self, types)
        self._queues.add(queue)
        return queue

    def stream(self) -> Stream:
        """An async iterator of messages and events in one order; one at a time per conn."""
        return Stream(self)

    async def _next_event(self, events: Any, timeout: Duration | None) -> Event | None:
        deadline = self._deadline(timeout)
        while not events:
            if self._end is not None or self._final:
                return None
            await self._wait(self._changes, deadline)
        event: Event = events.popleft()
        return event

    async def _next_item(self, timeout: Duration | None) -> Any:
        await self._turn()
        self._say_taken()
        if not self._inbox and not await self._wait_message(timeout):
            self._raise_failure()
            return None
        item = self._inbox.popleft()
        if self._is_auto and isinstance(item, Message):
            self._taken = item
        if self._is_full and self._has_room_again():
            self._pump_now()
        return item

    # --- sending ---

    async def send(
        self,
        message: Any,
        *,
        ttl: Duration | None = None,
        key: Key = None,
        guarantee: Guarantee | str | None = None,
        lane: Lane | str | None = None,
        timeout: Duration | None = None,
    ) -> Receipt:
        """Queues a message, waiting for room in the outbox; Timeout if there was none in time.

        Cancelled before the message was taken, it is not queued; after, it is, and its receipt is
        in `last_receipt`.
        """
        await self._turn()
        try:
            return self.post(message, ttl=ttl, key=key, guarantee=guarantee, lane=lane)
        except QueueFull:
            pass
        deadline = self._deadline(timeout)
        with self._urgently():
            while True:
                await self._wait_room(deadline)
                try:
                    return self.post(message, ttl=ttl, key=key, guarantee=guarantee, lane=lane)
                except QueueFull:
                    pass

    async def send_many(
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

        Cancelled or out of time, the first ones are queued: `last_receipt` is that of the last.
        """
        await self._turn()
        left = list(messages)
        deadline = self._deadline(timeout)
        numbers: list[int] = []
        with self._urgently():
            while True:
                try:
                    some = self.post_many(left, ttl=ttl, key=key, guarantee=guarantee, lane=lane)
                except QueueFull as full:
                    taken = full.receipts.numbers if full.receipts else ()
                else:
                    return self._receipts([*numbers, *some.numbers], some.lane_number)
                numbers += taken
                del left[: len(taken)]
                await self._wait_room(deadline)

    async def _wait_room(self, deadline: float | None) -> None:
        """Waits for word of room, but no longer than a tick: it may lie behind messages."""
        if self._is_full:
            self._pump_now()
        tick = self._loop.time() + ROOM_TICK_S
        if deadline is not None and deadline <= tick:
            await self._wait(self._rooms, deadline)
            return
        with contextlib.suppress(Timeout):
            await self._wait(self._rooms, tick)

    async def _wait_proof(
        self, receipt: Receipt, proof: Proof | None, timeout: Duration | None
    ) -> None:
        deadline = self._deadline(timeout)
        with self._urgently():
            self._pump_now()
            while not self._ledger.has(receipt, proof):
                future = self._loop.create_future()
                unwatch = self._ledger.watch(receipt, proof, partial(_resolve, future))
                try:
                    await self._sleep(future, deadline)
                finally:
                    unwatch()

    # --- credentials ---

    def _on_credentials(self, event: CredentialsNeeded) -> None:
        if self._setup.credentials is None or event.at < self._supplied_at:
            return
        now = self._loop.time()
        if self._answering is not None and not self._answering.done():
            if now - self._answering_since < ANSWER_S:
                return  # what it returns answers this question, too
            self._answering.cancel()
        task = self._loop.create_task(self._answer(event), context=self._context)
        self._answering, self._answering_since = task, now
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, event: CredentialsNeeded) -> None:
        assert self._setup.credentials is not None
        try:
            answer = call_credentials(self._setup.credentials, event)
            if inspect.isawaitable(answer):
                answer = await answer
            at = time.monotonic()
            supply(self._core, answer)
            self._credentials_error, self._supplied_at = None, at
        except Exception as error:
            if not self._final and not self._is_closing:
                self._credentials_error = error
                logger.exception("%s: the credentials function failed", self._name())

    # --- beginning and end ---

    async def _until_online(self) -> None:
        deadline = self._deadline(self._setup.connect_timeout)
        while not self._has_been_online:
            if self._end is not None:
                raise self._end_error()
            try:
                await self._wait(self._changes, deadline)
            except Timeout:
                raise self._connect_timeout() from self._credentials_error

    def _connect_timeout(self) -> SteadwireError:
        if self._trouble is not None:
            return self._connect_error(ConnectTimeout, self._trouble)
        return ConnectTimeout(self.view().cause, self.view().attempt)

    async def wait_online(self, timeout: Duration | None = None) -> None:
        """Waits until messages flow; Timeout, or what ended the conn."""
        deadline = self._deadline(timeout)
        while self._end is None and not self._final:
            if self.state in LIVE:
                return
            await self._wait(self._changes, deadline)
        raise self._end_error()

    async def close(self, timeout: Duration | None = None) -> None:
        """Delivers what is queued, for at most `timeout` (close_timeout), and ends the conn.

        Raises Undelivered if messages remain. Consumers still get what has arrived. A second
        close() waits for the first one.
        """
        if self._final:
            return
        limit = self._setup.close_timeout if timeout is None else seconds(timeout, "timeout")
        self._start_close(limit)
        deadline = self._loop.time() + limit + self._setup.close_timeout + 1.0
        with self._urgently(), contextlib.suppress(Timeout):
            self._pump_now()
            while self._end is None and not self._final:
                await self._wait(self._changes, deadline)
        left = self._finish()
        if left is not None:
            raise left

    def _finish(self) -> Undelivered | None:
        for task in self._tasks:
            task.cancel()
        self._stop_reading()
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        return super()._finish()

    def abandon(self) -> None:
        """Cuts the conn at once, whatever is queued."""
        self._finish()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_auto = self._is_auto and error is None  # what failed has not taken effect
        try:
            await self.close()
        except Undelivered as left:
            if error is None:
                raise
            error.add_note(f"steadwire: {left}")
            logger.warning("%s: %s", self._name(), left)
        except BaseException:
            self.abandon()
            raise

    def __del__(self) -> None:
        super().__del__()
        if getattr(self, "_final", True) or not hasattr(self, "_is_reading"):
            return
        if self._is_reading and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_let_go, self._loop, self._fd, self._core)


def _let_go(loop: asyncio.AbstractEventLoop, fd: int, core: Any) -> None:
    """What is left of a conn that was dropped without close()."""
    loop.remove_reader(fd)
    core.free()


def _on_readable(ref: weakref.ref[Connection]) -> None:
    conn = ref()
    if conn is not None:
        conn._pump_now()


def _on_tick(ref: weakref.ref[Connection]) -> None:
    conn = ref()
    if conn is not None:
        conn._on_tick()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(Timeout("the time given to the call is over"))


def _wake(waits: Waits) -> None:
    for future in waits:
        _resolve(future)


class connect:
    """Connects: `async with connect(url) as conn:`, or `conn = await connect(url)` and close().

    Returns at the first `online`. Causes that retrying cannot mend raise a ConnectError at once;
    others are retried until `connect_timeout` (None: for ever), then ConnectTimeout says the last
    one. `wait=False` returns at once; messages queue.

    `codec` is None (str is text, bytes-like is binary), "json" or a pair (encode, decode).
    `credentials` is a plain or async function that returns the credentials of an attempt. All other
    options are in `steadwire.options()`; durations take seconds, "15s", "250ms" or a timedelta.
    """

    def __init__(
        self,
        url: Url,
        *,
        codec: CodecLike | None = None,
        outbox: str | os.PathLike[str] | None = None,
        wait: bool = True,
        connect_timeout: Duration | None = 30.0,
        credentials: CredentialsSource | None = None,
        inbound_from: InboundFrom | None = None,
        **options: Unpack[Options],
    ) -> None:
        self._setup = make_setup(
            url, codec, outbox, wait, connect_timeout, credentials, inbound_from, options
        )
        self._conn: Connection | None = None

    async def _open(self) -> Connection:
        core = await asyncio.to_thread(open_core, self._setup) if self._setup.has_file else None
        conn = Connection(self._setup, core)
        if self._setup.wait:
            try:
                await conn._until_online()
            except BaseException:
                conn.abandon()
                raise
        return conn

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._open().__await__()

    async def __aenter__(self) -> Connection:
        self._conn = await self._open()
        return self._conn

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._conn is not None
        await self._conn.__aexit__(kind, error, trace)
