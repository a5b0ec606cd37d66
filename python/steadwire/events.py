"""What a conn tells besides messages: frozen values, made from the engine's events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from steadwire._ids import LANES, MessageId
from steadwire.words import (
    Cause,
    EventKind,
    GapReason,
    Lane,
    MessageState,
    Phase,
    Proof,
    State,
    StoreHealth,
)

STATES = tuple(State)
CAUSES = tuple(Cause)
PROOFS = tuple(Proof)
MESSAGE_STATES = tuple(MessageState)
GAP_REASONS = tuple(GapReason)
PHASES = tuple(Phase)
STORE_HEALTHS = tuple(StoreHealth)


@dataclass(frozen=True, slots=True)
class Event:
    """What all events have. `at` is on the clock of time.monotonic(); `link` is 0 if none."""

    kind: ClassVar[EventKind]
    at: float
    link: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON: enums are their names."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"event": str(self.kind), **values}


@dataclass(frozen=True, slots=True)
class StateChanged(Event):
    """The state changed. `delay` is the time until the next attempt, in seconds."""

    kind: ClassVar[EventKind] = EventKind.STATE
    old: State
    new: State
    cause: Cause
    attempt: int = 0
    delay: float = 0.0
    close_code: int = 0
    http_status: int = 0
    resumed: bool = False
    phases: dict[str, float] | None = None
    """When online: seconds that the link spent in each phase."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Proved(Event):
    """Every message of the lane with a number beyond `after` and up to `upto` has `proof`.

    Save those that have ended, and those that were moved: each of these is told by MessageEnded.
    """

    kind: ClassVar[EventKind] = EventKind.PROOF
    proof: Proof
    upto: int
    lane: Lane = Lane.DATA
    after: int = 0
    """Earlier ones had settled with less, for their peer could not give it; they get no more."""
    settled: int = 0
    """Every message up to this number is settled, whatever its proof."""


@dataclass(frozen=True, slots=True)
class MessageEnded(Event):
    """One outbound message ended without the proof it wanted; or settled after it was moved."""

    kind: ClassVar[EventKind] = EventKind.MESSAGE_ENDED
    stream: int
    number: int
    state: MessageState
    cause: Cause
    detail: str = ""

    @property
    def id(self) -> MessageId:
        """The message's id."""
        return MessageId(self.stream, self.number)


@dataclass(frozen=True, slots=True)
class Replayed(Event):
    """Unproven messages are sent again on a new link."""

    kind: ClassVar[EventKind] = EventKind.REPLAY
    messages: int
    size: int


@dataclass(frozen=True, slots=True)
class Gap(Event):
    """Inbound messages are missing, or may be. With `known`, `messages` is their exact number.

    In a session, `first` to `last` are the numbers of `lane` that will never come; 0 otherwise.
    """

    kind: ClassVar[EventKind] = EventKind.GAP
    reason: GapReason
    known: bool
    messages: int
    lane: Lane = Lane.DATA
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Paused(Event):
    """Messages are not taken: reading from the socket has stopped."""

    kind: ClassVar[EventKind] = EventKind.PAUSED


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """Messages are taken again: reading goes on."""

    kind: ClassVar[EventKind] = EventKind.RESUMED


@dataclass(frozen=True, slots=True)
class OutboxRoom(Event):
    """A full outbox has room again."""

    kind: ClassVar[EventKind] = EventKind.OUTBOX_ROOM


@dataclass(frozen=True, slots=True)
class NoPong(Event):
    """The peer answers no PING: messages settle at `written`."""

    kind: ClassVar[EventKind] = EventKind.NO_PONG


@dataclass(frozen=True, slots=True)
class Stale(Event):
    """No message for max_silence although the link answers."""

    kind: ClassVar[EventKind] = EventKind.STALE
    silence: float


@dataclass(frozen=True, slots=True)
class CredentialsNeeded(Event):
    """An attempt waits for credentials, for at most `deadline` seconds."""

    kind: ClassVar[EventKind] = EventKind.CREDENTIALS_NEEDED
    attempt: int
    why: Cause
    deadline: float


@dataclass(frozen=True, slots=True)
class Retry(Event):
    """An attempt failed; the next one is due in `delay` seconds."""

    kind: ClassVar[EventKind] = EventKind.RETRY
    cause: Cause
    attempt: int
    delay: float
    close_code: int = 0
    http_status: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StoreChanged(Event):
    """The outbox's file was read, replaced, is full, failed or is well again."""

    kind: ClassVar[EventKind] = EventKind.STORE
    health: StoreHealth
    messages: int = 0
    """When recovered or adopted: how many."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Downgraded(Event):
    """The server does not speak steadwire.v1: the plain profile is used on this link."""

    kind: ClassVar[EventKind] = EventKind.DOWNGRADED


@dataclass(frozen=True, slots=True)
class SessionStale(Event):
    """The server has lost the session: a new one begins.

    The fate of `messages` is not known: the option unknown_fate decides.
    """

    kind: ClassVar[EventKind] = EventKind.SESSION_STALE
    messages: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """The conn has ended; its last event."""

    kind: ClassVar[EventKind] = EventKind.CLOSED
    cause: Cause
    undelivered: int
    detail: str = ""


# The field tuples are those of _core.Conn.drain: (kind, link, at_ns, fields in the order of the
# header).
Raw = tuple[Any, ...]


def _state(at: float, raw: Raw) -> Event:
    _kind, link, _at, old, new, cause, attempt, delay, code, http, resumed, ns, detail = raw
    phases = {str(phase): spent / 1e9 for phase, spent in zip(PHASES, ns, strict=True) if spent}
    return StateChanged(
        at=at,
        link=link,
        old=STATES[old],
        new=STATES[new],
        cause=CAUSES[cause],
        attempt=attempt,
        delay=delay / 1e9,
        close_code=code,
        http_status=http,
        resumed=resumed,
        phases=phases if STATES[new] is State.ONLINE else None,
        detail=detail,
    )


def _retry(at: float, raw: Raw) -> Event:
    cause, attempt, delay, code, http, detail = raw[3:]
    return Retry(at, raw[1], CAUSES[cause], attempt, delay / 1e9, code, http, detail)


def _ended(at: float, raw: Raw) -> Event:
    stream, number, state, cause, detail = raw[3:]
    return MessageEnded(at, raw[1], stream, number, MESSAGE_STATES[state], CAUSES[cause], detail)


_MAKERS: dict[EventKind, Callable[[float, Raw], Event]] = {
    EventKind.STATE: _state,
    EventKind.PROOF: lambda at, raw: Proved(
        at, raw[1], PROOFS[raw[3]], raw[5], LANES[raw[4]], raw[6], raw[7]
    ),
    EventKind.MESSAGE_ENDED: _ended,
    EventKind.REPLAY: lambda at, raw: Replayed(at, raw[1], raw[3], raw[4]),
    EventKind.GAP: lambda at, raw: Gap(
        at, raw[1], GAP_REASONS[raw[3]], raw[4], raw[5], LANES[raw[6]], raw[7], raw[8]
    ),
    EventKind.PAUSED: lambda at, raw: Paused(at, raw[1]),
    EventKind.RESUMED: lambda at, raw: Resumed(at, raw[1]),
    EventKind.OUTBOX_ROOM: lambda at, raw: OutboxRoom(at, raw[1]),
    EventKind.NO_PONG: lambda at, raw: NoPong(at, raw[1]),
    EventKind.STALE: lambda at, raw: Stale(at, raw[1], raw[3] / 1e9),
    EventKind.CREDENTIALS_NEEDED: lambda at, raw: CredentialsNeeded(
        at, raw[1], raw[3], CAUSES[raw[4]], raw[5] / 1e9
    ),
    EventKind.RETRY: _retry,
    EventKind.STORE: lambda at, raw: StoreChanged(
        at, raw[1], STORE_HEALTHS[raw[3]], raw[4], raw[5]
    ),
    EventKind.DOWNGRADED: lambda at, raw: Downgraded(at, raw[1]),
    EventKind.SESSION_STALE: lambda at, raw: SessionStale(at, raw[1], raw[3], raw[4]),
    EventKind.CLOSED: lambda at, raw: Closed(at, raw[1], CAUSES[raw[3]], raw[4], raw[5]),
}
_BY_NUMBER = {kind.number: maker for kind, maker in _MAKERS.items()}
PROOF_NUMBER = EventKind.PROOF.number


def make_event(raw: Raw) -> Event:
    """The event of a tuple from the engine."""
    return _BY_NUMBER[raw[0]](raw[2] / 1e9, raw)
