"""Sessions in Redis: a client goes on at another node, and the older one is fenced.

Three keys a session: `<prefix><cid>:epoch`, `:state` and `:ring` (a hash of kept messages). Every
transaction watches the epoch: a node whose claim is not the newest commits nothing.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from steadwire.server.store import Changes, FencedError, Kept, Loaded

if TYPE_CHECKING:
    from redis.asyncio import Redis

EPOCH_BYTES = 16
TEXT, BINARY = b"t", b"b"


class RedisStore:
    """Keeps sessions in one Redis (redis-py's asyncio client, without decode_responses).

    The client is the host's: `RedisStore(redis.asyncio.from_url(...))`.
    """

    is_durable = True

    def __init__(self, client: Redis, *, prefix: str = "steadwire:") -> None:
        self._client = client
        self._prefix = prefix
        self._incarnation = 0
        self._ring_ms = self._watermark_ms = 0

    def _key(self, cid: bytes, what: str) -> str:
        return f"{self._prefix}{{{cid.hex()}}}:{what}"

    async def start(self, ring_s: float, watermark_s: float) -> int:
        """The same number on all nodes, until Redis has lost its data."""
        self._ring_ms, self._watermark_ms = int(ring_s * 1000), int(watermark_s * 1000)
        key = f"{self._prefix}incarnation"
        found = await self._client.get(key)
        if found is None:
            await self._client.set(key, secrets.randbits(62) + 1, nx=True)
            found = await self._client.get(key)
        if found is None:
            raise ConnectionError(f"redis does not keep {key}")
        return int(found)

    async def load(self, cid: bytes) -> Loaded:
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.get(self._key(cid, "epoch"))
            pipe.get(self._key(cid, "state"))
            pipe.hgetall(self._key(cid, "ring"))
            epoch, state, ring = await pipe.execute()
        kept = sorted((_kept(field, value) for field, value in ring.items()), key=lambda k: k[:2])
        return Loaded(_text(epoch), state, kept)

    async def is_current(self, cid: bytes, epoch: str) -> bool:
        found = await self._client.get(self._key(cid, "epoch"))
        return _text(found) == epoch

    async def seize(self, cid: bytes, epoch: str) -> None:
        async with self.transaction(cid, epoch) as (pipe, _put):
            self._set_epoch(pipe, cid)
            await pipe.execute()

    async def claim(self, cid: bytes, epoch: str, state: bytes | None, changes: Changes) -> str:
        watched = self._key(cid, "state")
        async with self.transaction(cid, epoch, watched, state) as (pipe, put):
            claimed = self._set_epoch(pipe, cid)
            put(changes)
            await pipe.execute()
        return claimed

    def _set_epoch(self, pipe: Any, cid: bytes) -> str:
        epoch = secrets.token_hex(EPOCH_BYTES)
        pipe.set(self._key(cid, "epoch"), epoch, px=self._ring_ms + self._watermark_ms)
        return epoch

    async def commit(self, cid: bytes, epoch: str, changes: Changes) -> None:
        async with self.transaction(cid, epoch) as (pipe, put):
            put(changes)
            await pipe.execute()

    @contextlib.asynccontextmanager
    async def transaction(
        self, cid: bytes, epoch: str, watched: str = "", expected: bytes | None = None
    ) -> AsyncIterator[tuple[Any, Callable[[Changes], None]]]:
        """A pipeline behind WATCH and MULTI; whoever opens it puts and executes."""
        from redis.exceptions import WatchError

        key = self._key(cid, "epoch")
        pipe: Any
        async with self._client.pipeline(transaction=True) as pipe:
            await pipe.watch(key, *filter(None, [watched]))
            found = await pipe.get(key)
            if _text(found) != epoch:
                raise FencedError(f"session {cid.hex()} is another node's now")
            if watched and await pipe.get(watched) != expected:
                raise FencedError(f"session {cid.hex()} went on at another node")
            pipe.multi()
            try:
                yield pipe, lambda changes: self._put(pipe, cid, changes)
            except WatchError as error:
                raise FencedError(f"session {cid.hex()} became another node's") from error

    def _put(self, pipe: Any, cid: bytes, changes: Changes) -> None:
        ring = self._key(cid, "ring")
        if changes.added:
            pipe.hset(ring, mapping=dict(map(_field, changes.added)))
        if changes.removed:
            pipe.hdel(ring, *(f"{lane}:{number}" for lane, number in changes.removed))
        pipe.set(self._key(cid, "state"), changes.state, px=self._watermark_ms)
        pipe.pexpire(ring, self._ring_ms)
        if changes.refreshes:
            pipe.pexpire(self._key(cid, "epoch"), self._ring_ms + self._watermark_ms)

    def park(self, cid: bytes, state: bytes) -> None:
        """All is in Redis already."""


def _text(found: bytes | str | None) -> str:
    return found.decode() if isinstance(found, bytes) else found or ""


def _field(kept: Kept) -> tuple[str, bytes]:
    lane, number, data = kept
    body = TEXT + data.encode() if isinstance(data, str) else BINARY + data
    return f"{lane}:{number}", body


def _kept(field: bytes, value: bytes) -> Kept:
    lane, _colon, number = field.partition(b":")
    data = value[1:].decode() if value[:1] == TEXT else value[1:]
    return int(lane), int(number), data
