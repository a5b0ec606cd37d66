"""Sketches: what was counted of fleets, so that parts simulated anywhere can be put together.

A sketch holds, for each part of a study (a policy, a profile, a seed, a setting), counts, sums and
log-linear histograms, all of them whole numbers. So it does not matter how clients were cut into
shards, where these ran, and in which order their sketches are merged: the bytes are the same.

    whole = sim.run(clients=500).merge(sim.run(first=500, clients=500))
    whole.fleet("steadwire", "mobile").reliability_pct
"""

from __future__ import annotations

import hashlib
import json
import operator
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from itertools import chain
from typing import Any, NamedTuple

from steadwire.errors import ConfigError
from steadwire.sim.fleet import BUCKETS_US, COUNTS, HISTOGRAMS, MIX, Fleet, World

FORM = "steadwire sketch 1"
_PART_KEYS = ("policy", "profile", "seed")
_NOT_OF_THE_SETTING = {*_PART_KEYS, "log", "event_level"}
_WORD_MAX = 2**128


class SketchError(ConfigError):
    """Bytes that are no sketch, or sketches that cannot be read together."""


class Part(NamedTuple):
    """Whose clients are counted together."""

    policy: str
    profile: str
    seed: int
    setting: str
    """All else that their world was asked to be; see `setting_of`."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """Counts of the clients of some fleets. `Sketch()` has none; `merge` is sound for disjoint
    shards, in any order and grouping: a shard that is merged twice counts twice."""

    parts: Mapping[Part, tuple[int, ...]] = field(default_factory=dict)
    """The values of each: the counts, then the histograms; see `fleet`."""

    def merge(self, *others: Sketch) -> Sketch:
        """The clients of all of these."""
        parts = dict(self.parts)
        for other in others:
            for part, values in other.parts.items():
                known = parts.get(part)
                parts[part] = values if known is None else tuple(map(operator.add, known, values))
        return Sketch(parts)

    def to_bytes(self) -> bytes:
        """JSON, the same bytes for the same counts; buckets without a count are left out."""
        parts = [
            {**part._asdict(), "counts": _counts(values), "histograms": _histograms(values)}
            for part, values in sorted(self.parts.items())
        ]
        return json.dumps({"form": FORM, "parts": parts}, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Sketch:
        """What `to_bytes` wrote, in any process of the same version; SketchError."""
        try:
            whole = json.loads(data)
            if whole["form"] != FORM:
                raise ValueError(f"its form is {whole['form']!r}, not {FORM!r}")
            parts = dict(map(_part, whole["parts"]))
            if len(parts) != len(whole["parts"]):
                raise ValueError("a part is there twice")
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise SketchError(f"these bytes are no sketch of this version: {error!r}") from None
        return cls(parts)

    @property
    def settings(self) -> list[str]:
        return sorted({part.setting for part in self.parts})

    def only(self, setting: str) -> Sketch:
        """The parts of one setting."""
        return Sketch({part: v for part, v in self.parts.items() if part.setting == setting})

    def fleet(self, policy: str, profile: str, seed: int | None = None) -> Fleet:
        """The clients of a policy and a profile ("mix": of all profiles), of one seed or all."""
        if len(self.settings) > 1:
            raise SketchError(f"choose one with only(): {'; '.join(self.settings)}")
        chosen = [
            values
            for part, values in self.parts.items()
            if part.policy == policy
            and profile in (MIX, part.profile)
            and seed in (None, part.seed)
        ]
        if not chosen:
            raise SketchError(f"it has no clients of {policy}, {profile}, seed {seed or 'any'}")
        return Fleet(policy, profile, tuple(map(sum, zip(*chosen, strict=True))))


def sketch_of(world: World, fleet: Fleet) -> Sketch:
    """The counts of clients that lived in this world."""
    part = Part(world.policy, world.profile, world.seed, setting_of(world))
    return Sketch({part: fleet.values})


def setting_of(world: World) -> str:
    """Everything that the results depend on but policy, profile and seed: `name=value ...`."""
    texts = []
    for one in fields(world):
        value = getattr(world, one.name)
        if one.name == "steps" and value is not None:
            value = hashlib.sha256(array("Q", chain.from_iterable(value)).tobytes()).hexdigest()
        if one.name not in _NOT_OF_THE_SETTING:
            texts.append(f"{one.name}={value}")
    return " ".join(texts)


def merged(sketches: Iterable[Sketch]) -> Sketch:
    """All of them together."""
    return Sketch().merge(*sketches)


def _counts(values: tuple[int, ...]) -> dict[str, int]:
    return {name: values[place] for name, place in COUNTS.items()}


def _histograms(values: tuple[int, ...]) -> dict[str, dict[str, int]]:
    whole = Fleet("", "", values)
    return {
        name: {str(bucket): n for bucket, n in enumerate(whole.histogram(name)) if n}
        for name in HISTOGRAMS
    }


def _part(row: dict[str, Any]) -> tuple[Part, tuple[int, ...]]:
    part = Part(*(row[name] for name in Part._fields))
    if not all(isinstance(text, str) for text in (part.policy, part.profile, part.setting)):
        raise ValueError("a name is no text")
    _word(part.seed)
    if row["counts"].keys() != COUNTS.keys() or row["histograms"].keys() != HISTOGRAMS.keys():
        raise ValueError("it counts other things")
    values = [_word(row["counts"][name]) for name in COUNTS]
    for name in HISTOGRAMS:
        buckets = [0] * len(BUCKETS_US)
        for bucket, number in row["histograms"][name].items():
            buckets[_word(int(bucket))] = _word(number)
        values += buckets
    return part, tuple(values)


def _word(number: Any) -> int:
    if type(number) is not int or not 0 <= number < _WORD_MAX:
        raise ValueError(f"{number!r} is no count")
    return number
