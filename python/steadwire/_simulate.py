"""What the worlds of `steadwire simulate` have in common on the command line."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from steadwire._table import columns
from steadwire.errors import ConfigError, SteadwireError
from steadwire.sim.export import WRITERS, Results, check_target, write
from steadwire.sim.runners import PLACES, Runner, runner
from steadwire.sim.study import SEEDS_MAX

OK, UNWRITTEN = range(2)
INTERRUPTED = 130
JOBS_MAX = 1024
EPILOG = (
    "Exit code: 0 done, 1 the study could not go on or a file could not be written, 2 wrong usage, "
    "130 interrupted."
)


def add_common(one: argparse.ArgumentParser) -> None:
    """Adds the options that each world has: seeds, where it runs, what it writes."""
    one.add_argument("--seed", default="1", metavar="N", help="default 1")
    one.add_argument(
        "--seeds", default="1", metavar="N", help="so many seeds, with intervals of 95 %%"
    )
    one.add_argument("--jobs", metavar="N", help="processes; default one for each core")
    one.add_argument(
        "--on", choices=PLACES, default=PLACES[0], help="where it runs; default processes"
    )
    one.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster; default one of its own, here"
    )
    one.add_argument("--json", action="store_true", help="the report as JSON instead of a table")
    one.add_argument("--out", type=Path, metavar="FILE", help=f"by its name: {', '.join(WRITERS)}")
    one.add_argument(
        "--progress",
        action="store_true",
        help="say how far it is, also where stderr is no terminal",
    )


def set_run(one: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Makes it what the command does; a study that cannot go on is said."""

    def guarded(arguments: argparse.Namespace) -> int:
        is_cluster = arguments.on == "dask"
        try:
            with contextlib.nullcontext() if is_cluster else interruptible():
                return run(arguments)
        except SteadwireError as error:
            if isinstance(error, ValueError):  # wrong usage, which the command itself says
                raise
            print(f"steadwire: {error}", file=sys.stderr)
            return UNWRITTEN
        except KeyboardInterrupt:  # a cluster of its own is taken down by now
            return INTERRUPTED

    one.set_defaults(run=guarded)


def whole(text: str, option: str, least: int, most: int) -> int:
    """The whole number of an option; ConfigError."""
    digits = text.removeprefix("+")
    is_short = digits.isascii() and digits.isdigit() and len(digits) < 30
    number = int(digits) if is_short else least - 1
    if not least <= number <= most:
        raise ConfigError(
            f"{option} must be a whole number from {least:,} to {most:,}, not {text[:40]!r}"
        )
    return number


def seeds_of(arguments: argparse.Namespace) -> range:
    """The seeds of `--seed` and `--seeds`."""
    first = whole(arguments.seed, "--seed", 0, 2**63)
    return range(first, first + whole(arguments.seeds, "--seeds", 1, SEEDS_MAX))


def names_in(text: str, known: Sequence[str]) -> list[str]:
    """The names of `--policies`, each once, of those that are known, or "all"; ConfigError."""
    names = list(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    if names == ["all"]:
        return list(known)
    if not names:
        raise ConfigError(f"--policies names none of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise ConfigError(f"--policies: {name!r} is none of {', '.join(known)}")
    return names


def runner_of(
    arguments: argparse.Namespace, most: int = JOBS_MAX
) -> AbstractContextManager[Runner]:
    """The runner of `--on`, with `--jobs` processes, at most `most`."""
    jobs = None if arguments.jobs is None else whole(arguments.jobs, "--jobs", 1, JOBS_MAX)
    if most == 1 and arguments.scheduler is None:
        jobs = 1
    return runner(arguments.on, jobs, arguments.scheduler)


def check_out(arguments: argparse.Namespace) -> None:
    """Refuses an `--out` that could not be written."""
    if arguments.out is not None:
        check_target(arguments.out)


def show(
    arguments: argparse.Namespace,
    heading: str,
    table: Callable[[], Sequence[Sequence[str]]],
    results: Results,
) -> int:
    """Prints the report and writes `--out`; the exit code."""
    if arguments.json:
        print(json.dumps(results.report))
    else:
        print(heading)
        print("\n".join(columns(table())))
    if arguments.out is None:
        return OK
    return written(arguments.out, lambda path: write(path, results), "--out")


def written(path: Path, write_to: Callable[[Path], object], option: str) -> int:
    """The exit code of writing a file."""
    try:
        write_to(path)
    except OSError as error:
        print(f"steadwire: {option} {path}: {error.strerror or error}", file=sys.stderr)
        return UNWRITTEN
    return OK


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the process at once meanwhile: the engine computes for seconds on end."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
