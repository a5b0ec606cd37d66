"""Studies: fleets of several policies, profiles and seeds, cut into shards that run anywhere.

A shard is some clients of one world; `run` lives through one and gives back its sketch. It releases
the GIL, and works the same in a thread, in a process of a pool, or in a task of a cluster:

    import dask.bag
    shards = dask.bag.from_sequence(range(0, 10_000, 100))
    whole = shards.map(lambda first: sim.run(first=first, clients=100)).fold(sim.Sketch.merge)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Unpack

from steadwire._units import Duration
from steadwire.errors import ConfigError
from steadwire.sim.fleet import (
    CLIENTS_MAX,
    MIX,
    OURS,
    POLICIES,
    PROFILES,
    Setting,
    Step,
    World,
    count_of,
    parts,
    world_of,
)
from steadwire.sim.runners import Runner, runner
from steadwire.sim.sketch import Sketch, sketch_of

SHARD, SHARD_MAX = 5, 1000
"""Clients of a shard; five of ours for 90 days are two seconds of work."""
SHARDS = 2000
"""So many for each world, until they are as large as can be."""
SEEDS_MAX = 10_000


class Shard(NamedTuple):
    """Clients first .. first + clients - 1 of a world."""

    world: World
    first: int
    clients: int


class Lived(NamedTuple):
    """What a shard went through."""

    sketch: Sketch
    log: bytes


def run(*, first: int = 0, clients: int = 10, **world: Unpack[Setting]) -> Sketch:
    """Simulates clients first .. first + clients - 1 of one profile in this thread, without the
    GIL; the same clients give the same sketch everywhere.

    `policy`, `profile`, `seed` and the others are those of `fleet`.
    """
    if not 0 <= first < CLIENTS_MAX:
        raise ConfigError(f"first must be from 0 to {CLIENTS_MAX - 1:,}, not {first!r}")
    return live(Shard(world_of(**world), first, count_of(clients))).sketch


def live(shard: Shard) -> Lived:
    """Lives through a shard; what runners run."""
    fleet = shard.world.run(shard.first, shard.clients)
    return Lived(sketch_of(shard.world, fleet), fleet.log)


def shards_of(worlds: Iterable[World], clients: Mapping[str, int]) -> list[Shard]:
    """Those of `clients` (by profile) of each world. The first shards have something of each world,
    so that what is done says how long the rest takes."""
    size = {name: min(max(SHARD, n // SHARDS), SHARD_MAX) for name, n in clients.items()}
    shards = [
        Shard(world, first, min(size[world.profile], clients[world.profile] - first))
        for world in worlds
        for first in range(0, clients[world.profile], size[world.profile])
    ]
    return sorted(shards, key=lambda shard: (shard.first, shard.world.seed))


def collect(
    shards: Sequence[Shard], on: Runner, done: Callable[[Shard], None] | None = None
) -> Lived:
    """All shards together; `done` hears of each. The log is in the order in which the engine lists
    policies and profiles, and of seeds and clients."""
    sketch = Sketch()
    logs: dict[int, bytes] = {}
    for place, (counted, log) in on(live, shards):
        sketch = sketch.merge(counted)
        if log:
            logs[place] = log
        if done is not None:
            done(shards[place])
    ordered = sorted(logs, key=lambda place: _order(shards[place]))
    return Lived(sketch, b"".join(logs[place] for place in ordered))


def _order(shard: Shard) -> tuple[int, int, int, int]:
    world = shard.world
    policy, profile = POLICIES.index(world.policy), PROFILES.index(world.profile)
    return policy, profile, world.seed, shard.first


def study(
    *,
    policies: Iterable[str] = (OURS,),
    profile: str = MIX,
    clients: int = 200,
    days: float = 90.0,
    seeds: Sequence[int] = (1,),
    interval: Duration | None = None,
    hints: bool = True,
    drain: bool = True,
    hedge: bool = True,
    steps: Sequence[Step] | None = None,
    on: str = "processes",
    jobs: int | None = None,
    scheduler: str | None = None,
) -> Sketch:
    """Simulates `clients` of each policy and seed, those of a mix as 40 % mobile, 40 % desktop and
    20 % bots, in a pool of processes or, with `on="dask"`, on a Dask cluster; see `runner`.

    `report` makes its figures and their 95 % intervals of the sketch.
    """
    shares = parts(profile, count_of(clients))
    worlds = [
        world_of(
            policy=policy,
            profile=one,
            seed=seed,
            days=days,
            interval=interval,
            hints=hints,
            drain=drain,
            hedge=hedge,
            steps=steps,
        )
        for policy in dict.fromkeys(policies)
        for one in shares
        for seed in dict.fromkeys(seeds)
    ]
    if not worlds:
        raise ConfigError("a study needs a policy and a seed")
    with runner(on, jobs, scheduler) as chosen:
        return collect(shards_of(worlds, shares), chosen).sketch
