"""steadwire: a connection that stays up, messages that arrive, and an answer to why not.

    async with steadwire.connect("wss://example.net/feed") as conn:
        await conn.send("hello")
        async for message in conn:
            ...

`steadwire.sync.connect` is the blocking twin. `steadwire.events` and `steadwire.errors` say what
can be told and raised, `steadwire.options()` lists what can be set.
"""

import logging

from steadwire import codec, errors, events, outbox, sync, view, words
from steadwire._core import Message
from steadwire._core import version as __version__
from steadwire._engine import network
from steadwire._ids import MessageId
from steadwire._options import Option, options
from steadwire._setup import Credentials
from steadwire.aio import Connection, Receipt, Receipts, connect
from steadwire.errors import (
    AuthError,
    ClosedError,
    ConfigError,
    ConnectError,
    ConnectTimeout,
    ForkedError,
    MessageError,
    QueueFull,
    SteadwireError,
    Timeout,
    TlsError,
    Undelivered,
)
from steadwire.outbox import Outbox, OutboxEntry, OutboxFile
from steadwire.view import View
from steadwire.words import Cause, Guarantee, Lane, MessageState, Proof, State

__all__ = [
    "AuthError",
    "Cause",
    "ClosedError",
    "ConfigError",
    "ConnectError",
    "ConnectTimeout",
    "Connection",
    "Credentials",
    "ForkedError",
    "Guarantee",
    "Lane",
    "Message",
    "MessageError",
    "MessageId",
    "MessageState",
    "Option",
    "Outbox",
    "OutboxEntry",
    "OutboxFile",
    "Proof",
    "QueueFull",
    "Receipt",
    "Receipts",
    "State",
    "SteadwireError",
    "Timeout",
    "TlsError",
    "Undelivered",
    "View",
    "__version__",
    "codec",
    "connect",
    "errors",
    "events",
    "network",
    "options",
    "outbox",
    "sync",
    "view",
    "words",
]

logging.getLogger("steadwire").addHandler(logging.NullHandler())
