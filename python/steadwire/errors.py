"""Exceptions: one per status of the engine, and those that only a face can raise.

All are `SteadwireError`. `retryable` says that the same call may succeed later without a change by
the caller. Texts say what happened and what to do; they never hold a payload, a header's value or a
URL's query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from steadwire import _core
from steadwire.words import Cause, MessageState

if TYPE_CHECKING:
    from steadwire.outbox import OutboxEntry
    from steadwire.receipts import BaseReceipt, BaseReceipts


class SteadwireError(Exception):
    """The root of all errors of this package."""

    status: ClassVar[str] = ""
    """Name of the engine's status, empty where the error is none."""
    retryable: ClassVar[bool] = False


class ArgumentError(SteadwireError, ValueError):
    """An argument that no call can take."""


class ConfigError(SteadwireError, ValueError):
    """A setting that cannot work."""


class OptionError(ConfigError):
    """No option has this name; the text names the nearest one."""


class OptionValueError(ConfigError):
    """An option's value is malformed or out of its range."""


class UrlError(ConfigError):
    """A URL, header or subprotocol that must not go on the wire."""


class HandleError(SteadwireError):
    """A handle that is stale or foreign."""


class StateError(SteadwireError):
    """Not possible in the present state."""


class ClosedError(SteadwireError):
    """The conn is closing or closed; nothing was taken."""


class QueueFull(SteadwireError):
    """The outbox is at its bound; the message was not taken."""

    receipts: BaseReceipts[Any] | None = None
    """What `post_many` had queued before the outbox was full."""


class TooBigError(SteadwireError, ValueError):
    """The message is over max_message; it was not taken."""


class GuaranteeError(ConfigError):
    """The profile cannot give this guarantee."""


class Timeout(SteadwireError, TimeoutError):
    """The time given to the call is over."""


class ForkedError(SteadwireError, RuntimeError):
    """The conn was made before fork() and belongs to the parent: connect again in the child."""


class NoMemory(SteadwireError, MemoryError):
    """The engine got no memory."""


class SystemRefused(SteadwireError, OSError):
    """The operating system refused a resource."""


class NotFoundError(SteadwireError, LookupError):
    """No such message in the outbox."""


class InterruptedCall(SteadwireError, InterruptedError):
    """A signal arrived while waiting."""


class BusyError(SteadwireError):
    """Another thread uses this mailbox."""


class StoreError(SteadwireError):
    """The outbox file cannot be read or written; the text names the path and the reason."""


class LockedError(StoreError):
    """Another process uses this outbox file; the text names its pid."""


class FormatError(StoreError, ValueError):
    """No outbox file, export or saved session, or one of a newer version."""


class SessionProtocolError(SteadwireError):
    """The peer broke the session protocol."""

    close_code: int = 4400
    """What to close the link with."""


class ConnectError(SteadwireError):
    """The conn cannot be had; the subclasses say by what class of cause."""

    def __init__(
        self,
        cause: Cause,
        attempts: int = 0,
        detail: str = "",
        http_status: int = 0,
        close_code: int = 0,
    ) -> None:
        self.cause = cause
        self.attempts = attempts
        self.detail = detail
        self.http_status = http_status
        self.close_code = close_code
        super().__init__(self._sentence())

    @property
    def remedy(self) -> str:
        """What to do."""
        return self.cause.remedy

    def _sentence(self) -> str:
        detail = f" ({self.detail})" if self.detail and self.detail != self.cause.text else ""
        tries = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        remedy = f"; {self.remedy}" if self.remedy != "nothing" else ""
        return f"{self.cause}: {self.cause.text}{detail}{tries}{remedy}"


class AuthError(ConnectError):
    """The credentials were not accepted."""


class TlsError(ConnectError):
    """No trusted TLS connection could be made."""


class ProtocolError(ConnectError):
    """The two ends do not understand each other."""


class PathError(ConnectError):
    """Something between here and the server."""


class OverloadError(ConnectError):
    """The server has no room, or is not there."""


class LocalError(ConnectError):
    """This machine, its network or a local setting."""


class ConnectTimeout(ConnectError, TimeoutError):
    """Not online within connect_timeout; `cause` is that of the last attempt."""

    retryable = True

    def _sentence(self) -> str:
        return f"not online within connect_timeout; last cause {super()._sentence()}"


class MessageError(SteadwireError):
    """A message ended without the proof that was waited for."""

    def __init__(
        self, receipt: BaseReceipt, state: MessageState, cause: Cause | None, detail: str = ""
    ) -> None:
        self.receipt = receipt
        self.state = state
        self.cause = cause
        self.detail = detail
        why = detail or (cause.text if cause and cause is not Cause.REQUESTED else state.text)
        super().__init__(f"message {receipt.id} is {state}: {why}")


class MessageExpired(MessageError):
    """Its ttl ended before it was written."""


class MessageCancelled(MessageError):
    """It was taken back before it was written."""


class MessageDropped(MessageError):
    """Removed by outbox_overflow, or replaced by a message with its key."""


class MessageDead(MessageError):
    """The peer refused it link after link."""


class MessageUnknown(MessageError):
    """Sent at most once, and the link died after bytes of it had left."""


class ProofUnavailable(SteadwireError):
    """The peer or its profile cannot give the proof that was waited for."""


class CodecError(SteadwireError, ValueError):
    """The codec cannot encode or decode a message."""


class Undelivered(SteadwireError):
    """The conn was closed with messages in the outbox that have no proof.

    `entries` lists them and `bodies` holds what they contained, in the same order. They were in
    memory only: send them again on a new conn or they are lost. Some may have arrived.
    """

    def __init__(self, count: int, entries: list[OutboxEntry], bodies: list[str | bytes]) -> None:
        self.count = count
        self.entries = entries
        self.bodies = bodies
        noun = "message" if count == 1 else "messages"
        super().__init__(
            f"closed with {count} {noun} in the outbox that the peer has not proven to have: see "
            "`entries` and `bodies`, or give close_timeout more time"
        )


BY_STATUS: dict[str, type[SteadwireError]] = {
    "argument": ArgumentError,
    "option": OptionError,
    "value": OptionValueError,
    "url": UrlError,
    "handle": HandleError,
    "state": StateError,
    "closed": ClosedError,
    "full": QueueFull,
    "too_big": TooBigError,
    "guarantee": GuaranteeError,
    "timeout": Timeout,
    "forked": ForkedError,
    "memory": NoMemory,
    "system": SystemRefused,
    "not_found": NotFoundError,
    "interrupted": InterruptedCall,
    "busy": BusyError,
    "store": StoreError,
    "locked": LockedError,
    "format": FormatError,
    "protocol": SessionProtocolError,
}

BY_MESSAGE_STATE: dict[MessageState, type[MessageError]] = {
    MessageState.EXPIRED: MessageExpired,
    MessageState.CANCELLED: MessageCancelled,
    MessageState.DROPPED: MessageDropped,
    MessageState.DEAD: MessageDead,
    MessageState.UNKNOWN: MessageUnknown,
}

_BY_CLASS: dict[str, type[ConnectError]] = {
    "auth": AuthError,
    "protocol": ProtocolError,
    "path": PathError,
    "overload": OverloadError,
    "local": LocalError,
}


def connect_error_class(cause: Cause) -> type[ConnectError]:
    """The class for a cause."""
    if cause.startswith("tls_"):
        return TlsError
    return _BY_CLASS.get(cause.class_name, ConnectError)


def _bind() -> None:
    classes: dict[int, type[SteadwireError]] = {}
    for number, name, retryable, _text, _remedy in _core.statuses():
        if name != "ok":
            classes[number] = BY_STATUS[name]
            classes[number].status = name
            classes[number].retryable = retryable
    _core.bind_errors(classes)


_bind()
