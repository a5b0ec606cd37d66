"""Durations and sizes as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

Duration = float | str | timedelta
"""Seconds as a number, "15s", "250ms", "2min", "1h", or a timedelta."""

Size = int | str
"""Bytes as a number, or "64KiB", "16MiB", "1GiB"."""

_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h|)\s*")
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "min": 60.0, "h": 3600.0}


def seconds(value: Duration, what: str = "a duration") -> float:
    """The seconds of a duration; ValueError for malformed, negative and infinite ones."""
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif isinstance(value, str):
        match = _DURATION.fullmatch(value)
        if match is None:
            raise ValueError(f'{what} is a number of seconds, "250ms", "15s", "2min" or "1h"')
        number = float(match[1]) * _SECONDS[match[2]]
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be a number, a str or a timedelta, not {type(value)!r}")
    else:
        number = float(value)
    if not 0.0 <= number < 1e11:
        raise ValueError(f"{what} must not be negative, infinite or not a number")
    return number


def optional_seconds(value: Duration | None, what: str = "timeout") -> float | None:
    """As `seconds`; None means for ever."""
    return None if value is None else seconds(value, what)


def milliseconds(value: Duration, what: str) -> int:
    """Whole milliseconds; anything over zero is at least one."""
    number = seconds(value, what)
    return max(1, round(number * 1000.0)) if number else 0


def duration_text(value: Duration, what: str) -> str:
    """The text that the option table takes; it judges the text of a str itself."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float, timedelta)):
        raise TypeError(f"{what} must be a number, a str or a timedelta, not {type(value)!r}")
    number = value.total_seconds() if isinstance(value, timedelta) else value
    return f"{number:.9f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)
