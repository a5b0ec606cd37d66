"""One session of a client of steadwire.v1, over as many links as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from steadwire import _core
from steadwire.errors import StateError, SteadwireError
from steadwire.server._link import Link, LinkLost, frame_of
from steadwire.server._message import Gap, Message
from steadwire.server._plain import SessionEnded
from steadwire.server.store import Changes, FencedError, Loaded, Store
from steadwire.words import Lane

logger = logging.getLogger("steadwire.server")

MESSAGE, GAP, PROOF, REJECTED, AUTH, CLOSED = range(1, 7)
LANES = (Lane.DATA, Lane.CONTROL)
GAPS_LISTED = 1000
COMMIT_EVERY = 32  # messages a handler may finish before their cursor is committed
FRAMES_A_TURN = 64
SENDS_A_TURN = 64
FENCED = 4409
NO_RESOURCES = 1013
EXPECTED = (LinkLost, FencedError)

Authenticate = Callable[[bytes], Awaitable[str | None]]


def lane_number(lane: Lane | str | int) -> int:
    """0 or 1; ValueError."""
    if isinstance(lane, str):
        lane = Lane[lane.upper()] if lane.upper() in Lane.__members__ else lane
    for number, known in enumerate(LANES):
        if lane == known or (isinstance(lane, int) and lane == number):
            return number
    raise ValueError(f"lane is data or control, not {lane!r}")


class Session:
    """What a handler has: iterate over it for the client's messages, and `send`.

    One task iterates.  `gaps` lists the messages that will never come, as far as the loop has come.
    """

    is_plain = False

    def __init__(
        self, core: _core.Session, cid: bytes, principal: str, store: Store, loaded: Loaded
    ) -> None:
        self.cid = cid
        self.principal = principal
        self.gaps: deque[Gap] = deque(maxlen=GAPS_LISTED)
        self.ring_messages = self.ring_bytes = 1 << 62
        self.touch_s: float | None = None
        self._core = core
        self._store = store
        self._epoch = loaded.epoch
        self._saved = loaded.state
        self._is_claimed = False
        self._stored = [deque(n for lane, n, _ in loaded.kept if lane == i) for i in (0, 1)]
        self._inbox: tuple[deque[Message | Gap], ...] = (deque(), deque())
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._in_hand: Message | None = None
        self._staged: list[tuple[int, str | bytes, asyncio.Future[int]]] = []
        self._accept = [0, 0]
        self._processed = [0, 0]
        self._finished = 0
        self._is_dirty = False
        self._is_over = False
        self._number = 0
        self._link: Link | None = None
        self._ending: tuple[int, str] | None = None
        self._transacting: asyncio.Task[Any] | None = None
        self._promised: list[tuple[int, str | bytes, asyncio.Future[int]]] = []
        self._closing: asyncio.Future[None] | None = None
        self._sends = 0
        self._refreshed_at = time.monotonic()
        self.handling: asyncio.Task[None] | None = None
        self.expiry: asyncio.TimerHandle | None = None

    # ---- the handler's side ----

    @property
    def is_open(self) -> bool:
        """The client has a link now."""
        return self._link is not None

    @property
    def is_over(self) -> bool:
        return self._is_over

    @property
    def waiting(self) -> int:
        """Messages that have arrived and that the handler has not asked for."""
        return len(self._inbox[0]) + len(self._inbox[1])

    @property
    def epoch(self) -> str:
        """The store's, of this node's claim."""
        return self._epoch

    def __aiter__(self) -> Session:
        return self

    async def __anext__(self) -> Message:
        if self._in_hand is not None:
            await self._finish(self._in_hand)
            self._in_hand = None
        while not self._is_over:
            for waiting in (self._inbox[1], self._inbox[0]):
                while waiting:
                    item = waiting.popleft()
                    if isinstance(item, Message):
                        self._give(item)
                        return item
                    self.gaps.append(item)
                    await self._move(lane_number(item.lane), item.last)
            self._arrived.clear()
            await self._arrived.wait()
        raise StopAsyncIteration

    async def send(
        self, data: str | bytes, lane: Lane | str = Lane.DATA, *, wait: bool = True
    ) -> int:
        """Keeps a message for the client; its number, once it is committed to the store.

        While the client has a link and the ring is full, waits for room.  Without a link, or with
        `wait` False, the oldest give way and become a gap, or (refuses_when_full) QueueFull is
        raised.  In the task of a message's transaction it is committed with that, and the result is
        0.  TooBigError, SessionEnded.
        """
        which = lane_number(lane)
        is_promise = self._transacting is not None and (self._transacting is asyncio.current_task())
        while wait and self._link is not None and not self._has_room(which, len(data)):
            self._room.clear()
            await self._room.wait()
        if self._is_over:
            raise SessionEnded("the session is over")
        number: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if is_promise:
            self._promised.append((which, data, number))
            return 0
        self._staged.append((which, data, number))
        self._sends += 1
        if self._sends % SENDS_A_TURN == 0:
            await asyncio.sleep(0)
        await self.commit()
        return await number

    async def close(self, code: int = 1000, text: str = "") -> None:
        """Ends the link behind what is due; the client may come back to the same session."""
        if self._link is not None and self._ending is None:
            self._ending = (code, text)
            with contextlib.suppress(SteadwireError):
                self._core.close(code, text)
            self._wake.set()

    def _give(self, message: Message) -> None:
        self._in_hand = message
        if message.number and not self._store.is_durable:
            self._accept[lane_number(message.lane)] = message.number
            self._is_dirty = True
            self._wake.set()

    async def _finish(self, message: Message) -> None:
        if message.number:
            await self._move(lane_number(message.lane), message.number)

    async def _move(self, lane: int, upto: int) -> None:
        """Everything up to a number was worked through; commits when it is worth it."""
        if upto <= self._processed[lane]:
            return
        self._accept[lane] = max(self._accept[lane], upto)
        self._processed[lane] = max(self._processed[lane], upto)
        self._is_dirty = True
        self._finished += 1
        is_idle = not self._inbox[0] and not self._inbox[1]
        if self._store.is_durable and not is_idle and self._finished < COMMIT_EVERY:
            return
        self._finished = 0
        await self.commit()

    async def _ack(self, message: Message) -> None:
        await self._finish(message)
        await self.commit()

    @contextlib.asynccontextmanager
    async def _transact(self, message: Message) -> AsyncIterator[Any]:
        if self._transacting is not None:
            raise StateError("a session has one transaction at a time")
        self._transacting = asyncio.current_task()
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with self._lock:
                    opened = self._store.transaction(self.cid, self._epoch)
                    try:
                        pipe, put = await stack.enter_async_context(opened)
                    except FencedError as error:
                        self.end(NO_RESOURCES, str(error))
                        raise
                yield pipe
                async with self._lock:
                    self._transacting = None
                    await self._execute(message, pipe, put)
        finally:
            self._transacting = None
            self._promised.clear()

    async def _execute(self, message: Message, pipe: Any, put: Callable[[Changes], None]) -> None:
        if self._is_over:
            raise SessionEnded("the session ended during the transaction")
        lane = lane_number(message.lane)
        self._accept[lane] = max(self._accept[lane], message.number)
        self._processed[lane] = max(self._processed[lane], message.number)
        promised = [future for _lane, _data, future in self._promised]
        self._staged.extend(self._promised)
        try:
            changes, numbers = self._apply()
            for future in promised:
                if future.done():
                    await future
            put(changes)
            await pipe.execute()
        except BaseException as error:
            self.end(NO_RESOURCES, f"transaction failed: {type(error).__name__}")
            raise
        self._committed(changes, numbers)

    # ---- the store's side ----

    def _has_room(self, lane: int, size: int) -> bool:
        view = self._lanes()[lane]
        staged = [len(data) for which, data, _ in self._staged if which == lane]
        is_empty = view["kept"] + len(staged) == 0
        return is_empty or (
            view["kept"] + len(staged) < self.ring_messages
            and view["kept_bytes"] + sum(staged) + 4 * size <= self.ring_bytes
        )

    def _lanes(self) -> tuple[dict[str, int], dict[str, int]]:
        _cid, _is_known, _is_open, _was_resumed, _link, data, control = self._core.look()
        return data, control

    def _apply(self) -> tuple[Changes, list[tuple[asyncio.Future[int], int]]]:
        """Puts what waits into the core; under the lock, and committed before the next take."""
        now = time.monotonic_ns()
        added, numbers = [], []
        staged, self._staged = self._staged, []
        for lane, data, future in staged:
            try:
                number = self._core.send(lane, data)
            except SteadwireError as error:
                if not future.done():
                    future.set_exception(error)
                continue
            numbers.append((future, number))
            added.append((lane, number, data))
            if self._store.is_durable:
                self._stored[lane].append(number)
        for lane in (0, 1):
            self._core.accept(lane, self._accept[lane], now)
            self._core.processed(lane, self._processed[lane], now)
        self._is_dirty = False
        removed = self._take_removed() if self._store.is_durable else []
        state = self._core.save() if self._store.is_durable else b""
        return Changes(state, added, removed, self._refreshes()), numbers

    def _refreshes(self) -> bool:
        now = time.monotonic()
        is_due = self.touch_s is not None and now - self._refreshed_at >= self.touch_s
        if is_due and self._transacting is None:
            self._refreshed_at = now
            return True
        return False

    def _take_removed(self) -> list[tuple[int, int]]:
        removed = []
        for lane, view in enumerate(self._lanes()):
            stored = self._stored[lane]
            while stored and stored[0] < view["kept_from"]:
                removed.append((lane, stored.popleft()))
        return removed

    def _committed(self, changes: Changes, numbers: list[tuple[asyncio.Future[int], int]]) -> None:
        self._saved = changes.state
        for future, number in numbers:
            if not future.done():
                future.set_result(number)
        self._wake.set()

    async def commit(self) -> None:
        """Everything staged so far is in the store when this returns; else the session is over."""
        async with self._lock:
            if self._is_over or not (self._staged or self._is_dirty):
                return
            changes, numbers = self._apply()
            try:
                await self._store.commit(self.cid, self._epoch, changes)
            except BaseException as error:
                self.end(NO_RESOURCES, f"store: {type(error).__name__}")
                for future, _number in numbers:
                    if not future.done():
                        future.set_exception(SessionEnded(f"not committed: {error!r}"))
                        future.exception()
                raise
            self._committed(changes, numbers)

    # ---- links ----

    async def open(
        self, link: Link, hello: bytes, incarnation: int, random: bytes, location: str
    ) -> tuple[int, int]:
        """Judges a HELLO: (number, 0), or (0, refusal).  FencedError: load it again."""
        async with self._lock:
            now = time.monotonic_ns()
            number, refusal, why = self._core.open(
                hello, self.principal, incarnation, random, False, location, now
            )
            if refusal:
                logger.info("session %s refused: %s", self.cid.hex(), why)
                return 0, refusal
            before, self._link = self._link, link
            self._number, self._ending = number, None
            changes, numbers = self._apply()
            try:
                await self._claim(changes)
            except BaseException:
                self._link = before
                self.end(NO_RESOURCES, "not claimed")
                raise
            self._committed(changes, numbers)
            if before is not None:
                self._closing = asyncio.ensure_future(before.close(FENCED, "a newer link"))
        return number, 0

    async def _claim(self, changes: Changes) -> None:
        """A node that has the session keeps its epoch: a new one would undo the transaction that
        the handler may be in."""
        if self._is_claimed:
            await self._store.commit(self.cid, self._epoch, changes)
            return
        self._epoch = await self._store.claim(self.cid, self._epoch, self._saved, changes)
        self._is_claimed = True

    async def run(self, link: Link, number: int, authenticate: Authenticate) -> None:
        """Serves an opened link to its end."""
        writing = asyncio.create_task(self._write(link, number))
        reading = asyncio.create_task(self._read(link, number, authenticate))
        try:
            await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, reading):
                task.cancel()
            results = await asyncio.gather(writing, reading, return_exceptions=True)
            if self._number == number:
                self._link = None
                self._room.set()
            self._core.lost(number)
            for result in results:
                if isinstance(result, Exception) and not isinstance(result, EXPECTED):
                    logger.error("session %s: its link failed", self.cid.hex(), exc_info=result)
                    await link.close(NO_RESOURCES, type(result).__name__)

    async def _read(self, link: Link, number: int, authenticate: Authenticate) -> None:
        while True:
            try:
                data = await frame_of(link)
                item = self._core.receive(number, data, time.monotonic_ns())
            except SteadwireError as error:
                code: int = getattr(error, "close_code", 0) or NO_RESOURCES
                await link.close(code, str(error)[:100])
                return
            if item is not None:
                if item[0] == CLOSED:
                    await link.close(1000, "")
                    return
                if item[0] == AUTH:
                    self._core.auth(await authenticate(item[1].encode()) == self.principal, 0)
                else:
                    self._take_in(item)
            self._wake.set()

    def _take_in(self, item: tuple[Any, ...]) -> None:
        lane = LANES[item[1]]
        if item[0] == MESSAGE:
            begin = self._transact if self._store.is_durable and item[2] else None
            message = Message(item[3], lane, item[2], item[4], self._ack, begin)
            self._inbox[item[1]].append(message)
            self._arrived.set()
        elif item[0] == GAP:
            self._inbox[item[1]].append(Gap(lane, item[2], item[3], item[4]))
            self._arrived.set()
        elif item[0] == PROOF:
            self._room.set()
            self._is_dirty = self._is_dirty or self._store.is_durable
        elif item[0] == REJECTED:
            logger.warning(
                "session %s: the client will never take message %d", self.cid.hex(), item[2]
            )

    async def _write(self, link: Link, number: int) -> None:
        while self._number == number and not self._is_over:
            self._wake.clear()
            await self.commit()
            frames = self._frames(number)
            for frame in frames:
                await link.send(frame)
            if frames:
                continue
            if self._ending is not None:
                break
            await self._sleep()
        if self._number == number:
            code, text = self._ending or (NO_RESOURCES, "")
            await link.close(code, text)

    def _frames(self, number: int) -> list[bytes]:
        """What is to be written now; nothing from a fenced link."""
        frames: list[bytes] = []
        if self._number != number or self._is_over:
            return frames
        while len(frames) < FRAMES_A_TURN:
            frame = self._core.take(number, time.monotonic_ns())
            if frame is None:
                break
            frames.append(frame)
        return frames

    async def _sleep(self) -> None:
        at = self._core.deadline()
        left = None if at is None else max(0.0, (at - time.monotonic_ns()) / 1e9)
        is_touch = self.touch_s is not None and (left is None or self.touch_s < left)
        try:
            async with asyncio.timeout(self.touch_s if is_touch else left):
                await self._wake.wait()
        except TimeoutError:
            self._is_dirty = self._is_dirty or is_touch

    # ---- ends ----

    async def finish_in_hand(self) -> None:
        """A handler that returns has worked through what it had in its hand."""
        message, self._in_hand = self._in_hand, None
        if message is not None and not self._is_over:
            await self._ack(message)

    def put_back(self) -> None:
        """The handler did not finish what it had in its hand: the next run gets it again."""
        message, self._in_hand = self._in_hand, None
        if message is not None:
            message.replayed = True
            self._inbox[lane_number(message.lane)].appendleft(message)

    def goaway(self, after_ms: int, spread_ms: int, location: str, code: int) -> None:
        if self._link is not None:
            with contextlib.suppress(SteadwireError):
                self._core.goaway(after_ms, spread_ms, location, code)
            self._wake.set()

    def end(self, code: int, text: str) -> None:
        """Over on this node: iteration ends, sends raise, a link is closed."""
        self._is_over = True
        self._ending = (code, text)
        for _lane, _data, future in self._staged:
            if not future.done():
                future.set_exception(SessionEnded(text))
                future.exception()
        self._staged.clear()
        for event in (self._arrived, self._room, self._wake):
            event.set()

    def save(self) -> bytes:
        return self._core.save()
