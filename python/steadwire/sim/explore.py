"""Lives of the engine's core among faults, each from one seed, with every promise checked."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, SupportsIndex

from steadwire import _core
from steadwire.errors import ConfigError

SEED_MAX = 2**63
LIVES_MAX = 100_000_000
SHARD = 250
"""Lives that one thread lives in one go."""


class Rule(NamedTuple):
    """A promise that is checked."""

    name: str
    where: str
    """Where it is made."""
    text: str


class Broken(NamedTuple):
    """A promise that was not kept."""

    seed: int
    rule: str
    at_s: float
    """After the beginning of the life."""
    text: str


def rules() -> list[Rule]:
    """The promises that every life is held to."""
    return [Rule(*row) for row in _core.explore_rules()]


def faults() -> dict[str, str]:
    """What goes wrong, and what it means."""
    return dict(_core.explore_faults())


def profiles() -> list[str]:
    """What kind of conns a life can have."""
    return [name for name, _text in _core.explore_profiles()]


def plants() -> dict[str, str]:
    """Mistakes that can be made on purpose, to see that they are found."""
    return dict(_core.explore_plants())


@dataclass(frozen=True, slots=True)
class Exploration:
    """What happened in a range of lives; those of disjoint ranges add up."""

    seed: int
    lives: int = 0
    conns: int = 0
    links: int = 0
    messages: int = 0
    """Sent by hosts."""
    inbound: int = 0
    """Given to hosts."""
    steps: int = 0
    virtual_ns: int = 0
    digest: int = 0
    """Of everything that came out of the cores."""
    faults: dict[str, int] = field(default_factory=dict)
    """How often each happened."""
    checks: dict[str, int] = field(default_factory=dict)
    """How often each rule was looked at."""
    broken: Broken | None = None
    """Of the lowest seed that broke a rule: no life behind it counts."""
    trace: str = ""

    @property
    def virtual_s(self) -> float:
        """Virtual time of all lives."""
        return self.virtual_ns / 1e9

    def __add__(self, other: Exploration) -> Exploration:
        """With the lives that follow these."""
        return Exploration(
            seed=self.seed,
            lives=self.lives + other.lives,
            conns=self.conns + other.conns,
            links=self.links + other.links,
            messages=self.messages + other.messages,
            inbound=self.inbound + other.inbound,
            steps=self.steps + other.steps,
            virtual_ns=self.virtual_ns + other.virtual_ns,
            digest=(self.digest + other.digest) % 2**64,
            faults={name: count + other.faults[name] for name, count in self.faults.items()},
            checks={name: count + other.checks[name] for name, count in self.checks.items()},
            broken=self.broken or other.broken,
            trace=other.trace,
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything but the trace."""
        return {
            "seed": self.seed,
            "lives": self.lives,
            "conns": self.conns,
            "links": self.links,
            "messages": self.messages,
            "inbound": self.inbound,
            "steps": self.steps,
            "virtual_s": self.virtual_s,
            "digest": f"{self.digest:016x}",
            "faults": self.faults,
            "checks": self.checks,
            "broken": None if self.broken is None else self.broken._asdict(),
        }


def explore(
    *,
    seed: int = 1,
    seeds: int = 1,
    profile: str = "any",
    plant: str = "none",
    trace: bool = False,
    jobs: int = 1,
    progress: Callable[[int], object] | None = None,
) -> Exploration:
    """Lives `seeds` lives, from `seed` on, up to the first that breaks a rule.

    profile: a name of `profiles()`; plant: a mistake made on purpose, a name of `plants()`;
    trace: keep the log of the last life; jobs: threads, which change nothing about the result;
    progress is called with the number of lives that are over.
    """
    first = _whole(seed, "seed", 0, SEED_MAX)
    count = _whole(seeds, "seeds", 1, LIVES_MAX)
    threads = _whole(jobs, "jobs", 1, 1024)
    kind = _index(profile, "profile", profiles())
    mistake = _index(plant, "plant", list(plants()))

    def live(at: int) -> Exploration:
        return _lived(at, min(SHARD, first + count - at), kind, mistake, trace)

    with ThreadPoolExecutor(threads) as pool:
        return _summed(pool, live, range(first, first + count, SHARD), threads, progress)


def _summed(
    pool: ThreadPoolExecutor,
    live: Callable[[int], Exploration],
    starts: range,
    threads: int,
    progress: Callable[[int], object] | None,
) -> Exploration:
    """In the order of the seeds, whichever thread is done first."""
    whole: Exploration | None = None
    for part in _ahead(pool, live, starts, threads):
        whole = part if whole is None else whole + part
        if progress is not None:
            progress(whole.lives)
        if whole.broken is not None:
            break
    assert whole is not None
    return whole


def _ahead(
    pool: ThreadPoolExecutor, live: Callable[[int], Exploration], starts: range, threads: int
) -> Iterator[Exploration]:
    """Each shard's result; no more are begun than the threads need."""
    begun = [pool.submit(live, at) for at in starts[: 2 * threads]]
    for number in range(len(starts)):
        yield begun[number].result()
        if len(begun) < len(starts):
            begun.append(pool.submit(live, starts[len(begun)]))


def _lived(seed: int, seeds: int, profile: int, plant: int, trace: bool) -> Exploration:
    sums, happened, looked, broken, text = _core.explore_run(seed, seeds, profile, plant, trace)
    lives, conns, links, messages, inbound, steps, virtual_ns, digest = sums
    return Exploration(
        seed=seed,
        lives=lives,
        conns=conns,
        links=links,
        messages=messages,
        inbound=inbound,
        steps=steps,
        virtual_ns=virtual_ns,
        digest=digest,
        faults=dict(zip(faults(), happened, strict=True)),
        checks=dict(zip([rule.name for rule in rules()], looked, strict=True)),
        broken=None if broken is None else Broken(broken[0], broken[1], broken[2] / 1e9, broken[3]),
        trace=text,
    )


def _index(name: str, what: str, known: list[str]) -> int:
    if name not in known:
        raise ConfigError(f"{what} {name!r} is none of {', '.join(known)}")
    return known.index(name)


def _whole(value: SupportsIndex, what: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be a whole number, not {value!r}")
    number = operator.index(value)
    if not least <= number <= most:
        raise ConfigError(f"{what} must be from {least:,} to {most:,}, not {number}")
    return number
