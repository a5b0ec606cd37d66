"""Where the shards of a study run: in this process, in a pool of processes, on a Dask cluster.

A runner takes a function and its arguments and hands back the results as they are ready, each
with the place of its argument. Results do not depend on the runner.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from steadwire.errors import ConfigError, SteadwireError

Argument = TypeVar("Argument")
Result = TypeVar("Result")

PLACES = ("processes", "dask")
AHEAD = 4
"""So many shards for each process wait in its pool; the others are not yet made into futures."""
SCHEDULER_TIMEOUT = "20s"
_ADDRESS = re.compile(r"(?:(?:tcp|tls|ws|wss)://)?(?:\[[0-9a-fA-F:]+\]|[^\s/:\[\]]+):\d{1,5}")


class StudyError(SteadwireError):
    """A study cannot go on: its processes or its cluster ended."""


class Runner(Protocol):
    def __call__(
        self, work: Callable[[Argument], Result], arguments: Sequence[Argument]
    ) -> Iterator[tuple[int, Result]]: ...


def cores() -> int:
    """How many processes are worth while here."""
    return len(os.sched_getaffinity(0)) or 1


def here(
    work: Callable[[Argument], Result], arguments: Sequence[Argument]
) -> Iterator[tuple[int, Result]]:
    """One after the other, in this thread."""
    for place, argument in enumerate(arguments):
        yield place, work(argument)


@contextlib.contextmanager
def runner(on: str, jobs: int | None = None, scheduler: str | None = None) -> Iterator[Runner]:
    """The runner with this name, for as long as the context lasts.

    jobs: processes, one for each core unless said; scheduler: of a Dask cluster that is there,
    whose workers have this version of steadwire; without it one is started here for the while.
    """
    if on not in PLACES:
        raise ConfigError(f"on {on!r} is none of {', '.join(PLACES)}")
    if scheduler is not None and on != "dask":
        raise ConfigError("a scheduler is for dask; leave it out, or run on dask")
    if scheduler is not None and jobs is not None:
        raise ConfigError("a cluster has its own workers; name its scheduler, or jobs, not both")
    if scheduler is not None and _ADDRESS.fullmatch(scheduler) is None:
        raise ConfigError(f"scheduler {scheduler!r} is no address like tcp://192.0.2.1:8786")
    if on == "dask":
        with _dask(jobs or cores(), scheduler) as made:
            yield made
    else:
        with ProcessPoolExecutor(jobs or cores()) as pool:
            yield _Pool(pool, jobs or cores())


class _Pool:
    def __init__(self, pool: ProcessPoolExecutor, processes: int) -> None:
        self._pool, self._ahead = pool, processes * AHEAD

    def __call__(
        self, work: Callable[[Argument], Result], arguments: Sequence[Argument]
    ) -> Iterator[tuple[int, Result]]:
        left = iter(enumerate(arguments))
        places: dict[Future[Result], int] = {}
        try:
            while True:
                while len(places) < self._ahead and (following := next(left, None)) is not None:
                    places[self._pool.submit(work, following[1])] = following[0]
                if not places:
                    return
                for future in wait(places, return_when=FIRST_COMPLETED).done:
                    yield places.pop(future), future.result()
        except BrokenProcessPool as error:
            raise StudyError(
                f"a process of the study ended ({error}); if memory ran out, have fewer --jobs"
            ) from None
        finally:
            for future in places:
                future.cancel()


class _Cluster:
    def __init__(self, distributed: Any, client: Any) -> None:
        self._distributed, self._client = distributed, client

    def __call__(
        self, work: Callable[[Argument], Result], arguments: Sequence[Argument]
    ) -> Iterator[tuple[int, Result]]:
        futures = self._client.map(work, arguments, pure=False, batch_size=1000)
        places = {future.key: place for place, future in enumerate(futures)}
        try:
            for future in self._distributed.as_completed(futures, loop=self._client.loop):
                result: Result = future.result()
                yield places[future.key], result
                future.release()
        except SteadwireError:
            raise
        except ImportError as error:
            raise StudyError(
                f"a worker of the cluster lacks what this study needs ({error}); "
                "install this version of steadwire on all of them"
            ) from None
        except Exception as error:
            raise StudyError(f"the cluster gave up a shard: {error!r}") from error
        finally:
            self._client.cancel(futures)


@contextlib.contextmanager
def _dask(jobs: int, scheduler: str | None) -> Iterator[Runner]:
    distributed = _distributed()
    with contextlib.ExitStack() as stack:
        if scheduler is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="steadwire-dask-"))
            address = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=jobs,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    local_directory=folder,
                    silence_logs=logging.ERROR,
                )
            )
        else:
            address = scheduler
        try:
            client = distributed.Client(address, timeout=SCHEDULER_TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise StudyError(
                f"no Dask scheduler answers at {scheduler} ({error}); is it running, and reached "
                "from here?"
            ) from None
        yield _Cluster(distributed, stack.enter_context(client))


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise ConfigError(
            "running on dask needs dask and distributed, which are an extra: "
            f'pip install "steadwire[dask]" ({error})'
        ) from None
