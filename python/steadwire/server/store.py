"""Where sessions are kept: what a store has to do, and the one in memory."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

Kept = tuple[int, int, str | bytes]  # lane, number, data


class FencedError(Exception):
    """Another node has the session now: what was to be committed was not."""


@dataclass(slots=True)
class Changes:
    """One commit of a session.

    `refreshes`: the epoch's lifetime begins anew, too.  Rare, and never while another transaction
    of the session is open: it would be taken for another node's claim.
    """

    state: bytes
    added: list[Kept] = field(default_factory=list)
    removed: list[tuple[int, int]] = field(default_factory=list)
    refreshes: bool = False


@dataclass(slots=True)
class Loaded:
    """What a store knows of a session; `epoch` is what a claim has to name."""

    epoch: str = ""
    state: bytes | None = None
    kept: list[Kept] = field(default_factory=list)


class Store(Protocol):
    """Keeps sessions.  All but `park` and `load` may raise FencedError.

    `is_durable`: sessions outlive this process; then messages are accepted and sent only after
    `commit`.  Otherwise the live object is all there is, until `park`.
    """

    is_durable: bool

    async def start(self, ring_s: float, watermark_s: float) -> int:
        """Called before anything else, and again for each link; the store's incarnation."""
        ...

    async def load(self, cid: bytes) -> Loaded: ...

    async def is_current(self, cid: bytes, epoch: str) -> bool:
        """False: another node has claimed the session since."""
        ...

    async def seize(self, cid: bytes, epoch: str) -> None:
        """Fences who has the session, so that what is loaded next stays as it is."""
        ...

    async def claim(self, cid: bytes, epoch: str, state: bytes | None, changes: Changes) -> str:
        """Commits, and fences who has loaded or claimed before; the new epoch.

        FencedError where `epoch` or `state` is not what the store has: load again.
        """
        ...

    async def commit(self, cid: bytes, epoch: str, changes: Changes) -> None: ...

    def transaction(
        self, cid: bytes, epoch: str
    ) -> AbstractAsyncContextManager[tuple[Any, Callable[[Changes], None]]]:
        """A pipeline for the host, and what puts the session's changes behind its commands."""
        ...

    def park(self, cid: bytes, state: bytes) -> None:
        """The live object goes; its cursors stay for `watermark_s`."""
        ...


class MemoryStore:
    """Keeps the cursors of sessions that are not live any more, the least recent `limit`.

    A client whose cursors are gone begins a new session and is told so.
    """

    is_durable = False

    def __init__(self, limit: int = 10_000, *, clock: Callable[[], float] = time.monotonic) -> None:
        if limit < 1:
            raise ValueError("limit must be at least 1")
        self.incarnation = secrets.randbits(62) + 1
        self._limit = limit
        self._clock = clock
        self._watermark_s = 0.0
        self._parked: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._parked)

    async def start(self, ring_s: float, watermark_s: float) -> int:
        self._watermark_s = watermark_s
        return self.incarnation

    async def load(self, cid: bytes) -> Loaded:
        self._forget_old()
        found = self._parked.get(cid)
        return Loaded(state=found[1]) if found else Loaded()

    async def is_current(self, cid: bytes, epoch: str) -> bool:
        return True

    async def seize(self, cid: bytes, epoch: str) -> None:
        return None

    async def claim(self, cid: bytes, epoch: str, state: bytes | None, changes: Changes) -> str:
        self._parked.pop(cid, None)
        return epoch

    async def commit(self, cid: bytes, epoch: str, changes: Changes) -> None:
        return None

    def transaction(
        self, cid: bytes, epoch: str
    ) -> AbstractAsyncContextManager[tuple[Any, Callable[[Changes], None]]]:
        raise TypeError("sessions in memory have no transactions: use a RedisStore")

    def park(self, cid: bytes, state: bytes) -> None:
        self._parked[cid] = (self._clock() + self._watermark_s, state)
        self._parked.move_to_end(cid)
        self._forget_old()

    def _forget_old(self) -> None:
        now = self._clock()
        while self._parked:
            ends, _state = next(iter(self._parked.values()))
            if ends > now and len(self._parked) <= self._limit:
                break
            self._parked.popitem(last=False)
