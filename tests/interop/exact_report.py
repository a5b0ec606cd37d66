"""What the journals and the stores of the exactly-once run show."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import checker
from exact_messages import sent_line

CLASSES = ("lost", "duplicated", "reordered", "unexpected")
STRANGE = ("phantom", "altered")
"""The checker's further classes; the report counts them as unexpected."""

Line = dict[str, Any]


@dataclass
class Evidence:
    """What one direction left: the journal of those who took it, and the committed effects."""

    stream: str
    journal: list[Line]
    committed: list[Line]


@dataclass
class Report:
    """One run. `verdict` names the view that has to be right: raw, or committed. `why` says
    why it did not finish; what was still to come then counts as lost."""

    mode: str
    verdict: str
    seed: int
    messages: int
    is_finished: bool = False
    why: str = "it has not begun"
    duration_s: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    silence_s: dict[str, dict[str, float]] = field(default_factory=dict)
    links: int = 0
    client_lives: int = 0
    node_lives: int = 0
    streams: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    undone: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    first: str = ""

    @property
    def is_right(self) -> bool:
        """The run came to its end, nobody was told of a gap or a lost session, and 0 in all
        classes."""
        counts = [views[self.verdict][name] for views in self.streams.values() for name in CLASSES]
        return self.is_finished and not self.told and bool(counts) and not any(counts)

    def judge(self, evidence: Iterable[Evidence]) -> None:
        """Adds what the checker says of both views of each direction."""
        for one in evidence:
            sent = (sent_line(self.seed, one.stream, n) for n in range(1, self.messages + 1))
            raw, undone = without_undone(one.journal)
            verdicts = checker.check(sent, raw, one.committed)
            views = zip(("raw", "committed"), verdicts, strict=True)
            self.streams[one.stream] = {name: counts(verdict) for name, verdict in views}
            self.undone[one.stream] = undone
            judged = verdicts[0] if self.verdict == "raw" else verdicts[1]
            self.first = self.first or judged.first
            told = Counter(str(line["what"]) for line in one.journal if line["op"] == "told")
            self.told = dict(Counter(self.told) + told)

    def went_on(self, kind: str, silences: list[float]) -> None:
        """How long the client took nothing after faults of a kind, at the longest after each; a
        fault after which nothing was left to take is not among them."""
        if silences:
            middle, worst = round(statistics.median(silences), 3), round(max(silences), 3)
            self.silence_s[kind] = {"n": len(silences), "median": middle, "worst": worst}

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"is_right": self.is_right, **asdict(self)}

    def __str__(self) -> str:
        rate = round(self.messages / self.duration_s) if self.duration_s else 0
        lines = [
            f"exactly once, mode {self.mode}: {'right' if self.is_right else 'WRONG'}, judged "
            f"{'raw' if self.verdict == 'raw' else 'after dedup by the committed cursor'}",
            f"  seed {self.seed}, {self.messages} messages each way in {self.duration_s:.1f} s "
            f"({rate}/s each way), "
            + ("finished" if self.is_finished else f"NOT FINISHED: {self.why}"),
            f"  {sum(self.faults.values())} faults, {self.links} links, {self.client_lives} lives "
            f"of the client, {self.node_lives} of the nodes",
        ]
        for stream, views in self.streams.items():
            for view, row in views.items():
                classes = ", ".join(f"{row[name]} {name}" for name in CLASSES)
                lines.append(f"  {stream:4} {view:9} {row['taken']:7} taken: {classes}")
        lines.append(f"  undone by a fence, then taken again: {self.undone}; told: {self.told}")
        for kind, number in self.faults.items():
            row = self.silence_s.get(kind)
            times = f"silence {row['median']:.2f} s, at worst {row['worst']:.2f} s" if row else ""
            lines.append(f"  {number:4} {kind:20} {times}")
        return "\n".join([*lines, *([f"  first: {self.first}"] if self.first else [])])


def counts(verdict: checker.Verdict) -> dict[str, int]:
    """The four classes, with what is strange in another way among the unexpected."""
    row = {name: verdict.faults[name] for name in CLASSES}
    row["unexpected"] += sum(verdict.faults[name] for name in STRANGE)
    return {"sent": verdict.sent, "taken": verdict.taken, **row}


def without_undone(journal: Iterable[Line]) -> tuple[list[Line], int]:
    """The lines of what was taken and not given back by the one who took it, and how many were."""
    kept: list[Line | None] = []
    open_ones: dict[tuple[str, int], list[int]] = defaultdict(list)
    undone = 0
    for line in journal:
        if line["op"] == "taken":
            open_ones[line["life"], line["serial"]].append(len(kept))
            kept.append(line)
        elif line["op"] == "undone":
            kept[open_ones[line["life"], line["serial"]].pop()] = None
            undone += 1
    return [line for line in kept if line is not None], undone
