"""Writes python/steadwire/words.py from the lists of the built module, or with --check compares.

usage: python bindings/python/generate_words.py [--check]      (with `steadwire` importable)
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

TARGET = Path(__file__).resolve().parents[2] / "python/steadwire/words.py"
LISTS = {
    "state": ("State", "Word", "States of a conn."),
    "phase": ("Phase", "RankedWord", "Phases of one link, in their order."),
    "proof": ("Proof", "RankedWord", "Evidence for a message, weakest first."),
    "message_state": ("MessageState", "Word", "States of a message in the outbox."),
    "guarantee": ("Guarantee", "Word", "How often a message may reach the peer."),
    "cause_class": ("CauseClass", "Word", "What a cause means for retrying."),
    "event_kind": ("EventKind", "Word", "Kinds of events."),
    "gap_reason": ("GapReason", "Word", "Why inbound messages may be missing."),
    "lane": ("Lane", "Word", "Lanes of an outbox: the control lane goes first."),
    "store_health": ("StoreHealth", "Word", "What has happened to the outbox's file."),
    "edit": ("Edit", "Word", "What can be done to a message in an outbox."),
}
TYPES = {
    "text": "str | PathLike[str]",
    "duration": "Duration",
    "bytes": "Size",
    "count": "int",
    "bool": "bool",
    "choice": "str",
    "list": "str | Sequence[str]",
    "map": "Mapping[str, str] | Mapping[int, str]",
}
# Arguments of connect() that have a meaning of their own there.
ARGUMENTS = {"url", "codec", "outbox", "wait", "connect_timeout", "credentials", "inbound_from"}
WIDTH = 100


def load_core() -> ModuleType:
    """The extension alone: `steadwire` itself may be unable to import before words.py is right."""
    for folder in sys.path:
        for path in sorted(Path(folder or ".").glob("steadwire/_core*.so")):
            spec = importlib.util.spec_from_file_location("steadwire._core", path)
            if spec and spec.loader:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    raise SystemExit("steadwire/_core*.so is not on sys.path: build it first")


def member(name: str, *fields: str | int) -> Iterator[str]:
    """One enum member, broken as ruff breaks it."""
    texts = [f'"{field}"' if isinstance(field, str) else str(field) for field in fields]
    line = f"    {name} = {', '.join(texts)}"
    if len(line) <= WIDTH:
        yield line
        return
    yield f"    {name} = ("
    yield from (f"        {text}," for text in texts)
    yield "    )"


def enum(title: str, base: str, doc: str, rows: Iterable[tuple[str | int, ...]]) -> Iterator[str]:
    """One enum class."""
    yield from ("", "", f"class {title}({base}):", f'    """{doc}"""', "")
    for row in rows:
        yield from member(str(row[0]).upper(), *row)


def comment(text: str) -> Iterator[str]:
    """A comment in the body of a class, wrapped."""
    line = "    #"
    for word in text.split():
        if len(line) + 1 + len(word) > WIDTH:
            yield line
            line = "    #"
        line += " " + word
    yield line


def options(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """The keyword arguments of connect()."""
    doc = "Options of a conn: the keyword arguments of connect()."
    yield from ("", "", "class Options(TypedDict, total=False):", f'    """{doc}"""', "")
    for name, kind, unit, default, limits, text, *_flags in rows:
        if name in ARGUMENTS:
            continue
        known = [f"default {default}" if default else "", limits, unit if unit != "1" else ""]
        yield from comment(f"{text} ({'; '.join(filter(None, known))})" if any(known) else text)
        yield f"    {name}: {TYPES[kind]}"


def render(core: ModuleType) -> str:
    """The text of words.py."""
    classes = [name for _number, name, _text in core.words("cause_class")]
    lines = [
        '"""The engine\'s lists, written by bindings/python/generate_words.py: do not edit."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping, Sequence",
        "from os import PathLike",
        "from typing import TypedDict",
        "",
        "from steadwire._units import Duration, Size",
        "from steadwire._word import CauseWord, RankedWord, Word",
    ]
    for key, (title, base, doc) in LISTS.items():
        rows = [(name, number, text) for number, name, text in core.words(key)]
        lines += enum(title, base, doc, rows)
    causes = [
        (name, number, classes[class_number], text, remedy)
        for number, name, class_number, text, remedy in core.causes()
    ]
    lines += enum("Cause", "CauseWord", "Why a state changed or a link ended.", causes)
    lines += options(core.options())
    return "\n".join(lines) + "\n"


def main() -> int:
    text = render(load_core())
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() == text:
            return 0
        print(f"{TARGET.name} differs from the engine's lists: run {Path(__file__).name}")
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
