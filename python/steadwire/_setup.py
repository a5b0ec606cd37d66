"""What connect() was asked for, checked."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from steadwire import _core
from steadwire._options import build_config, option_types, outbox_text
from steadwire._units import Duration, milliseconds, optional_seconds, seconds
from steadwire.codec import Codec, CodecLike, find_codec
from steadwire.events import CredentialsNeeded
from steadwire.words import Guarantee


class Credentials(TypedDict, total=False):
    """What a credentials function returns; each may be left out."""

    url: str
    token: str
    headers: Mapping[str, str]
    expires_in: Duration


CredentialsSource = Callable[..., Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
"""A plain or async function without arguments, or with the event as its only one."""

Url = str | Iterable[str]

InboundFrom = int | tuple[int, int] | str
"""The number of the last inbound message that has taken effect: data, or (data, control)."""


@dataclass(frozen=True)
class Setup:
    """A conn before it is opened."""

    config: _core.Config
    codec: Codec | None
    wait: bool
    connect_timeout: float | None
    close_timeout: float
    guarantee: int
    has_file: bool
    is_session: bool
    is_auto: bool
    label: str
    credentials: CredentialsSource | None


def make_setup(
    url: Url,
    codec: CodecLike | None,
    outbox: str | os.PathLike[str] | None,
    wait: bool,
    connect_timeout: Duration | None,
    credentials: CredentialsSource | None,
    inbound_from: InboundFrom | None,
    options: Mapping[str, Any],
) -> Setup:
    """Checks the arguments of connect(); ConfigError, TypeError, ValueError."""
    given = dict(options)
    given["outbox"] = None if outbox is None else outbox_text(outbox)
    given["inbound_from"] = inbound_from
    if credentials is not None:
        if not callable(credentials):
            raise TypeError("credentials must be a function")
        given["credentials"] = "host"
    if "connect_timeout" in option_types():
        given["connect_timeout"] = connect_timeout
    config = build_config(url, given)
    guarantee = config.get("guarantee") or Guarantee.AT_LEAST_ONCE
    return Setup(
        config=config,
        codec=find_codec(codec),
        wait=wait,
        connect_timeout=optional_seconds(connect_timeout, "connect_timeout") or None,
        close_timeout=seconds(config.get("close_timeout") or 5.0, "close_timeout"),
        guarantee=Guarantee(guarantee).number,
        has_file=bool(config.get("outbox")),
        is_session=config.get("profile") == "session",
        is_auto=config.get("processed") != "manual",
        label=config.get("name") or "",
        credentials=credentials,
    )


def call_credentials(source: CredentialsSource, event: CredentialsNeeded) -> Any:
    """What the function returns: a dict, or something to await."""
    try:
        inspect.signature(source).bind()
    except TypeError:
        return source(event)
    return source()


def supply(core: _core.Conn, answer: Any) -> None:
    """Hands credentials over; TypeError for what is no such dict, UrlError."""
    if not isinstance(answer, Mapping):
        raise TypeError("a credentials function returns a dict of url, token, headers, expires_in")
    known = {"url", "token", "headers", "expires_in"}
    unknown = sorted(set(answer) - known)
    if unknown:
        raise TypeError(f"credentials have no {unknown[0]!r}: use url, token, headers, expires_in")
    given = answer.get("headers")
    headers: list[str] | None = None
    if given is not None:
        headers = [text for item in given.items() for text in item]
    expires_in = answer.get("expires_in")
    valid_ms = 0 if expires_in is None else max(1, milliseconds(expires_in, "expires_in"))
    core.supply(answer.get("url"), answer.get("token"), headers, valid_ms)
