"""How far a long computation is, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

SILENT_S = 1.0
"""What takes no longer than this says nothing."""
TERMINAL_EVERY_S, LINE_EVERY_S = 0.1, 5.0


class Progress:
    """Says what part of `total` is done and how long the rest takes at this rate.

    On a terminal one line is written again and again and is gone at the end; elsewhere, only if
    `is_asked`, there is a line now and then.
    """

    def __init__(
        self,
        total: float,
        is_asked: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._is_shown = is_asked or self._is_terminal
        self._total, self._done, self._clock = total, 0.0, clock
        self._began = clock()
        self._due = self._began + SILENT_S

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_terminal and self._due > self._began + SILENT_S:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def advance(self, by: float, what: str) -> None:
        """So much more is done, at last `what`."""
        self._done += by
        now = self._clock()
        if not self._is_shown or now < self._due:
            return
        self._due = now + (TERMINAL_EVERY_S if self._is_terminal else LINE_EVERY_S)
        left = (now - self._began) * (self._total / self._done - 1)
        text = f"{100 * self._done / self._total:.0f} %, about {_duration(left)} left: {what}"
        self._stream.write(f"\r\x1b[K{text}" if self._is_terminal else f"{text}\n")
        self._stream.flush()


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    return f"{round(whole / 60)} min" if whole < 6000 else f"{whole / 3600:.1f} h"
