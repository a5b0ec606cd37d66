"""A look at a conn at one moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from steadwire import _core
from steadwire.events import CAUSES, STATES
from steadwire.words import Cause, State


@dataclass(frozen=True, slots=True)
class View:
    """A consistent look at a conn. Moments are on the clock of time.monotonic(), in seconds.

    `cause` and `detail` belong to the last change of state, `close_code` to the last link that
    ended, `http_status` to the last attempt that failed.
    """

    state: State
    is_closing: bool
    cause: Cause
    attempt: int
    link: int
    since: float
    next_attempt: float | None
    rtt: float | None
    outbox_messages: int
    outbox_bytes: int
    close_code: int
    http_status: int
    detail: str
    subprotocol: str
    endpoint: str
    outbox_parked: int
    has_session: bool
    has_store: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def look(core: _core.Conn) -> View:
    """The view of a conn now."""
    (
        state,
        is_closing,
        cause,
        attempt,
        link,
        since,
        next_attempt,
        rtt,
        outbox_messages,
        outbox_bytes,
        _stream,
        _number,
        close_code,
        http_status,
        detail,
        subprotocol,
        endpoint,
        _control_number,
        outbox_parked,
        has_session,
        has_store,
    ) = core.look()
    return View(
        state=STATES[state],
        is_closing=is_closing,
        cause=CAUSES[cause],
        attempt=attempt,
        link=link,
        since=since / 1e9,
        next_attempt=next_attempt / 1e9 if next_attempt else None,
        rtt=rtt / 1e9 if rtt else None,
        outbox_messages=outbox_messages,
        outbox_bytes=outbox_bytes,
        close_code=close_code,
        http_status=http_status,
        detail=detail,
        subprotocol=subprotocol,
        endpoint=endpoint,
        outbox_parked=outbox_parked,
        has_session=has_session,
        has_store=has_store,
    )
