"""Ids of messages."""

from __future__ import annotations

import re
from typing import NamedTuple, Self

from steadwire import _core
from steadwire.words import Lane

LANES = tuple(Lane)
CONTROL_BIT = Lane.CONTROL.number

_TEXT = re.compile(r"([0-9a-f]{16})-([0-9]{1,20})")


class MessageId(NamedTuple):
    """A message's id: `stream` is random per outbox, `number` counts its lane's messages from 1.

    It stays when the message moves to another place or lane.
    """

    stream: int
    number: int

    @property
    def lane(self) -> Lane:
        """The lane to which the message was sent."""
        return LANES[self.stream & CONTROL_BIT]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The id that was written as `text`; ValueError."""
        match = _TEXT.fullmatch(text)
        if match is None or int(match[2]) >= 1 << 64:
            raise ValueError(f'{text!r} is no message id: 16 hex digits, "-" and a number')
        return cls(int(match[1], 16), int(match[2]))

    def __str__(self) -> str:
        return f"{self.stream:016x}-{self.number}"


_core.bind_ids(MessageId, LANES)
