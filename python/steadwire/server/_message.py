"""What a session's loop gets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from steadwire.words import Lane


@dataclass(eq=False, slots=True)
class Message:
    """A message of the client.

    `number` counts from 1 in its lane; 0: not numbered (a plain client, or an opening message).
    `replayed`: this session may have seen it before, on an earlier link or in an earlier run of the
    handler that did not finish it.
    """

    data: str | bytes
    lane: Lane = Lane.DATA
    number: int = 0
    replayed: bool = False
    _ack: Callable[[Message], Awaitable[None]] | None = field(default=None, repr=False)
    _begin: Callable[[Message], AbstractAsyncContextManager[Any]] | None = field(
        default=None, repr=False
    )

    @property
    def is_text(self) -> bool:
        return isinstance(self.data, str)

    @property
    def id(self) -> str:
        """Unlike every other message's of the session; for logs and for a host's own table."""
        return f"{self.lane.name.lower()}:{self.number}"

    async def ack(self) -> None:
        """Says now that this one and all before it in its lane were worked through.

        Without it the loop says so when it asks for the next message.
        """
        if self._ack is not None:
            await self._ack(self)

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """A pipeline of the store: its commands and the session's cursor become true together.

            async with message.transaction() as pipe:
                pipe.incrby("balance", 5)
                await session.send("thanks")

        What the session sends in it is part of it.  An exception in the block undoes all, and the
        message comes again when the handler lets it through.  Redis does not undo the others where
        a single command fails in EXEC (a key of the wrong type).

        Raises TypeError where the store has no transactions, or the client no session.
        """
        if self._begin is None:
            raise TypeError("transactions need a client of steadwire.v1 and a store that has them")
        return self._begin(self)


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages of the client that will never come, both ends included."""

    lane: Lane
    first: int
    last: int
    reason: int
