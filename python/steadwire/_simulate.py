"""What the worlds of `steadwire simulate` have in common on the command line."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence

from steadwire.errors import ConfigError

OK, UNWRITTEN = range(2)
CLIENTS_MAX, SEEDS_MAX = 10_000_000, 10_000


def names_in(text: str, known: Sequence[str]) -> list[str]:
    """The names of `--policies`, each once; ConfigError where there is none."""
    names = list(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    if not names:
        raise ConfigError(f"--policies names none of {', '.join(known)}")
    return names


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the process at once meanwhile: the engine computes for seconds on end."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
