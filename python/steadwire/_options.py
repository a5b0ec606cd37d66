"""Keyword arguments become a config; the engine's option table decides what they may be."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from steadwire import _core
from steadwire._units import duration_text
from steadwire.errors import UrlError


class Option(NamedTuple):
    """One row of the option table."""

    name: str
    type: str
    unit: str
    default: str
    range: str
    text: str
    is_secret: bool
    is_face: bool


def options() -> list[Option]:
    """Everything that can be set on a conn, by connect() and by the other languages alike."""
    return [Option(*row) for row in _core.options()]


@cache
def option_types() -> dict[str, str]:
    """The type of each option."""
    return {option.name: option.type for option in options()}


def build_config(url: str | Iterable[str], given: Mapping[str, Any]) -> _core.Config:
    """A config; ConfigError (also for an option that does not exist), TypeError."""
    config = _core.Config()
    set_option(config, "url", url)
    for name, value in given.items():
        if value is not None:
            set_option(config, name, value)
    return config


def set_option(config: _core.Config, name: str, value: Any) -> None:
    """Sets one option from a Python value."""
    kind = option_types().get(name)
    if kind == "list":
        _set_list(config, name, value)
    elif kind == "map":
        _set_map(config, name, value)
    elif kind is None:
        config.set(name, "")  # refuses, and names the nearest option
    else:
        config.set(name, scalar_text(kind, name, value))


def scalar_text(kind: str, name: str, value: Any) -> str:
    """The text of a scalar in the form of the option table."""
    if isinstance(value, str):
        return value
    if kind == "duration":
        return duration_text(value, name)
    if kind == "bool":
        if isinstance(value, bool):
            return "true" if value else "false"
        raise TypeError(f"{name} must be a bool, not {type(value)!r}")
    if kind in ("bytes", "count"):
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise TypeError(f"{name} must be an int or a str, not {type(value)!r}")
    if kind == "text" and isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if name == "inbound_from":
        return _cursor_text(value)
    raise TypeError(f"{name} must be a str, not {type(value)!r}")


def outbox_text(path: str | os.PathLike[str]) -> str:
    """The path of an outbox; a folder, in which each process has a file, ends in a slash."""
    text = os.fsdecode(path)
    is_folder = isinstance(path, os.PathLike) and os.path.isdir(text)
    return os.path.join(text, "") if is_folder else text


def _cursor_text(value: Any) -> str:
    numbers = value if isinstance(value, tuple) else (value,)
    if 1 <= len(numbers) <= 2 and all(type(number) is int and number >= 0 for number in numbers):
        return ",".join(map(str, numbers))
    raise TypeError("inbound_from is a number, or a pair of numbers (data, control)")


def _set_list(config: _core.Config, name: str, value: Any) -> None:
    items = [value] if isinstance(value, str) else list(value)
    if name == "url" and (not items or "" in items):
        raise UrlError("url is empty: give at least one ws:// or wss:// URL")
    for index, item in enumerate(items):
        if index == 0:
            config.set(name, item)
        else:
            config.add(name, item)


def _set_map(config: _core.Config, name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict, not {type(value)!r}")
    for key, item in value.items():
        config.put(name, str(key), str(item))
