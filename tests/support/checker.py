"""Counts what went wrong between those who sent messages and those who took them, over JSONL logs.

Hosts write one object a line, with a flush before the next thing happens:

    {"op": "sent", "stream": "up/data", "serial": 7, "digest": "..."}   before the send
    {"op": "refused" | "withdrawn" | "unsure", "stream": ..., "serial": 7}
    {"op": "taken", "stream": ..., "serial": 7, "digest": "...", "of": "up/data", "life": "host-2"}
    {"op": "gap", "stream": ..., "from": 7, "to": 9}                    serials

A stream is one way of one lane of one conn; its serials count from 1 in the order in which they
must be taken. `committed` gives the effects that hosts committed together with their cursor, as
the same `taken` lines: the deduped view. A log whose last line was cut by kill -9 is read up to it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAULTS = ("lost", "duplicated", "reordered", "unexpected", "phantom", "altered")
NEVER_SENT = {"refused", "withdrawn"}


@dataclass
class Verdict:
    """What a view of the logs shows."""

    view: str
    sent: int = 0
    taken: int = 0
    unsure: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    first: str = ""

    @property
    def is_right(self) -> bool:
        """No fault of any class."""
        return not any(self.faults.values())

    def fault(self, name: str, stream: str, serial: int, how: str) -> None:
        """Counts a fault and remembers the first one as a sentence."""
        self.faults[name] += 1
        self.first = self.first or f"{name}: message {serial} of {stream} {how}"

    def report(self) -> dict[str, Any]:
        """All of it, with every class named."""
        counts = {name: self.faults[name] for name in FAULTS}
        return {"view": self.view, "sent": self.sent, "taken": self.taken, **counts}


class Ledger:
    """What the senders say: of each stream, the digests by serial and how each one ended."""

    def __init__(self, lines: Iterable[dict[str, Any]]) -> None:
        self.digests: dict[str, dict[int, str]] = {}
        self.ends: dict[tuple[str, int], str] = {}
        for line in lines:
            if line["op"] == "sent":
                stream = self.digests.setdefault(line["stream"], {})
                stream[line["serial"]] = line["digest"]
            elif line["op"] in {"refused", "withdrawn", "unsure"}:
                self.ends[line["stream"], line["serial"]] = line["op"]

    def judge(self, view: str, lines: Iterable[dict[str, Any]]) -> Verdict:
        """Holds what was taken, in the order in which it was, against what was sent."""
        verdict = Verdict(view)
        times: Counter[tuple[str, int]] = Counter()
        highest: Counter[str] = Counter()
        gaps: set[tuple[str, int]] = set()
        for line in lines:
            stream = line["stream"]
            if line["op"] == "gap":
                gaps.update((stream, one) for one in range(line["from"], line["to"] + 1))
            elif line["op"] == "taken" and self._is_its_own(line, verdict):
                serial = line["serial"]
                times[stream, serial] += 1
                if times[stream, serial] > 1:
                    verdict.fault("duplicated", stream, serial, "was taken again")
                elif serial < highest[stream]:
                    verdict.fault("reordered", stream, serial, "came after a later one")
                highest[stream] = max(highest[stream], serial)
        self._sum_up(verdict, times, gaps)
        return verdict

    def _is_its_own(self, line: dict[str, Any], verdict: Verdict) -> bool:
        stream, serial, source = line["stream"], line["serial"], line.get("of", line["stream"])
        digest = self.digests.get(source, {}).get(serial)
        if digest is None:
            verdict.fault("phantom", source, serial, "was never sent")
        elif source != stream:
            verdict.fault("unexpected", source, serial, f"came in {stream}")
        elif digest != line["digest"]:
            verdict.fault("altered", stream, serial, "came with another body")
        else:
            return True
        return False

    def _sum_up(
        self, verdict: Verdict, times: Counter[tuple[str, int]], gaps: set[tuple[str, int]]
    ) -> None:
        for stream, digests in self.digests.items():
            for serial in digests:
                end = self.ends.get((stream, serial), "sent")
                is_taken = times[stream, serial] > 0
                verdict.sent += 1
                verdict.taken += is_taken
                verdict.unsure += end == "unsure"
                if is_taken and end in NEVER_SENT:
                    verdict.fault("unexpected", stream, serial, f"was {end}, and taken")
                elif is_taken and (stream, serial) in gaps:
                    verdict.fault("unexpected", stream, serial, "was told as a gap, and taken")
                elif not is_taken and end == "sent":
                    verdict.fault("lost", stream, serial, "was never taken")


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log; a last one without its line break was cut, and is left out."""
    with path.open(encoding="utf-8") as file:
        for text in file:
            if text.endswith("\n"):
                yield json.loads(text)


def check(
    sent: Iterable[dict[str, Any]],
    taken: Iterable[dict[str, Any]],
    committed: Iterable[dict[str, Any]] | None = None,
) -> list[Verdict]:
    """The verdicts of the raw view and, where given, of the deduped one."""
    ledger = Ledger(sent)
    verdicts = [ledger.judge("raw", taken)]
    if committed is not None:
        verdicts.append(ledger.judge("deduped", committed))
    return verdicts
