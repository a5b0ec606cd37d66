"""The session object of a client without steadwire.v1: as long as its link, and no numbers."""

from __future__ import annotations

from collections.abc import Sequence

from steadwire.server._link import Link, LinkLost
from steadwire.server._message import Gap, Message
from steadwire.words import Lane


class SessionEnded(Exception):
    """The session is over: what is sent now reaches nobody."""


class PlainSession:
    """The face of `Session` over one plain WebSocket: nothing is kept, numbered or resumed."""

    is_plain = True
    cid = b""

    def __init__(self, link: Link, principal: str) -> None:
        self._link = link
        self._is_over = False
        self.principal = principal

    @property
    def is_open(self) -> bool:
        return not self._is_over

    @property
    def gaps(self) -> Sequence[Gap]:
        return ()

    def __aiter__(self) -> PlainSession:
        return self

    async def __anext__(self) -> Message:
        if self._is_over:
            raise StopAsyncIteration
        try:
            return Message(await self._link.recv())
        except LinkLost:
            self._is_over = True
            raise StopAsyncIteration from None

    async def send(
        self, data: str | bytes, lane: Lane | str = Lane.DATA, *, wait: bool = True
    ) -> int:
        """Writes to the link; 0, as there are no numbers.  Raises SessionEnded."""
        if self._is_over:
            raise SessionEnded("the client's link is closed")
        try:
            await self._link.send(data)
        except LinkLost as error:
            self._is_over = True
            raise SessionEnded(str(error)) from error
        return 0

    async def close(self, code: int = 1000, text: str = "") -> None:
        self._is_over = True
        await self._link.close(code, text)
