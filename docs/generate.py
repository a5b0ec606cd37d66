"""Writes the generated pages of docs/ from the engine's lists, or with --check compares them.

The lists come from `<build>/docs/dump_lists`; the environment's STW_BUILD names the build folder,
`build/release` if it is not set.

usage: python docs/generate.py [--check] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- Written by docs/generate.py from the engine's own lists: do not edit. -->"

Row = dict[str, Any]
Lists = dict[str, Any]


class Problem(Exception):
    """Something the person at the terminal can mend."""


def read_lists() -> Lists:
    """What the built engine says about itself."""
    build = ROOT / os.environ.get("STW_BUILD", "build/release")
    program = build / "docs/dump_lists"
    try:
        done = subprocess.run([program], capture_output=True, timeout=30)
    except OSError as error:
        raise Problem(f"{program} cannot be run ({error.strerror}): ./dev build release") from error
    if done.returncode != 0:
        raise Problem(f"{program} failed: {done.stderr.decode(errors='replace').strip()}")
    lists: Lists = json.loads(done.stdout)
    return lists


# --- Markdown -------------------------------------------------------------------------------------


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A Markdown table, with an empty line after it."""
    heads = list(heads)
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' for _ in heads)} |"
    for row in rows:
        cells = " | ".join(cell(text) for text in row)
        yield f"| {cells} |".replace("|  |", "| |").replace("|  |", "| |")
    yield ""


def words(rows: list[Row], head: str) -> Iterator[str]:
    """A list of names with their meaning."""
    return table((head, "meaning"), ((code(row["name"]), row["text"]) for row in rows))


def joined(names: list[str]) -> str:
    """`a`, `b` and `c`."""
    texts = [code(name) for name in names]
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


# --- options --------------------------------------------------------------------------------------

FORMS = {
    "text": "any text that the range allows",
    "duration": '`15` or `"15"` (seconds), `"1.5s"`, `"250ms"`, `"2min"`, `"1h"`',
    "bytes": '`65536`, `"64KiB"`, `"1.5MiB"`, `"1GiB"`',
    "count": "a whole number",
    "bool": "`true` or `false`",
    "choice": "one of the words of the range",
    "list": "in C `stw_config_set`, then `stw_config_add` for each further item",
    "map": "in C `stw_config_put` for each item",
}


def option_row(option: Row) -> Iterator[str]:
    notes = option["text"]
    if option["secret"]:
        notes += " *Secret.*"
    if option["face"]:
        notes += " *Faces only.*"
    return iter(
        (
            code(option["name"]),
            option["type"],
            code(option["default"]),
            option["range"],
            notes,
        )
    )


def options_page(lists: Lists) -> Iterator[str]:
    yield from ("# Options", "", NOTE, "")
    yield from (
        "An option has the same name in C, Python and Lua. An unknown name is an error that names",
        "the nearest one; a value that is not allowed is an error that says what is. A refused",
        "value changes nothing.",
        "",
    )
    yield from table(("type", "how it is written"), FORMS.items())
    heads = ("option", "type", "default", "allowed", "what it does")
    yield from table(heads, map(option_row, lists["options"]))
    yield from (
        "*Secret*: the value never stands in an error, a log or a dump. *Faces only*: the engine",
        "checks the value, the Python and Lua faces use it. All values of one conn together are at",
        "most 64 KiB of text.",
        "",
        "When a conn is opened the options are checked against one another:",
        "",
        "- `url` must be set.",
        "- `retry_cap` is not below `retry_window`.",
        "- `inbound_overflow = latest_by_key` needs `inbound_key`.",
        "- `client_cert` and `client_key` go together.",
        "- `origin` and `user_agent` do not also stand in `headers`.",
        "- `guarantee = exactly_once` needs a session profile.",
    )


# --- states ---------------------------------------------------------------------------------------


def common_inputs(rules: list[Row], states: list[str]) -> dict[str, str]:
    """Inputs that lead to one state from wherever they are taken, at least from half the states."""
    found = {}
    for name in dict.fromkeys(rule["input"] for rule in rules):
        taken = [rule for rule in rules if rule["input"] == name]
        targets = {rule["to"] for rule in taken}
        sources = {rule["from"] for rule in taken}
        if len(targets) == 1 and not targets & sources and 2 * len(sources) > len(states):
            found[name] = taken[0]["to"]
    return found


def diagram(rules: list[Row], left_out: Iterable[str], first: str) -> Iterator[str]:
    """A Mermaid state diagram; inputs that change nothing are left out too."""
    left_out = set(left_out)
    edges: dict[tuple[str, str], list[str]] = {}
    for rule in rules:
        if rule["from"] != rule["to"] and rule["input"] not in left_out:
            edges.setdefault((rule["from"], rule["to"]), []).append(rule["input"])
    yield from ("```mermaid", "stateDiagram-v2", f"  [*] --> {first}")
    for (source, target), inputs in edges.items():
        yield f"  {source} --> {target}: {', '.join(inputs)}"
    yield from ("```", "")


def product(
    states: list[str], inputs: list[str], rules: list[Row], text: Callable[[Row], str]
) -> Iterator[str]:
    """The table inputs x states; an empty cell is a refusal."""
    cells = {(rule["input"], rule["from"]): text(rule) for rule in rules}
    rows = ([code(name), *(cells.get((name, state), "") for state in states)] for name in inputs)
    return table(["input", *states], rows)


def rule_text(rule: Row) -> str:
    return f"**{rule['to']}** {', '.join(rule['actions'])}".strip()


def message_text(rule: Row) -> str:
    return f"**{rule['to']}**"


def conn_section(lists: Lists) -> Iterator[str]:
    states = [row["name"] for row in lists["states"]]
    inputs = [row["name"] for row in lists["inputs"]]
    rules = lists["rules"]
    common = common_inputs(rules, states)
    yield from diagram(rules, common, states[0])
    for name, target in common.items():
        sources = [rule["from"] for rule in rules if rule["input"] == name]
        yield f"- `{name}` leads to `{target}` from {joined(sources)}."
    yield ""
    yield from words(lists["states"], "state")
    yield from ("## Inputs", "")
    yield from words(lists["inputs"], "input")
    yield from (
        "## States and inputs",
        "",
        "Each cell says the next state, then what is done. In an empty cell the input means",
        "nothing: it is refused and changes nothing.",
        "",
    )
    yield from product(states, inputs, rules, rule_text)
    yield from words(lists["actions"], "action")


def message_section(lists: Lists) -> Iterator[str]:
    states = [row["name"] for row in lists["message_states"]]
    inputs = [row["name"] for row in lists["message_inputs"]]
    rules = lists["message_rules"]
    other = [rule for rule in lists["message_rules_at_most_once"] if rule not in rules]
    yield from ("## Messages", "", "Each message of the outbox has a state of its own.", "")
    yield from diagram(rules + other, (), states[0])
    yield from words(lists["message_states"], "state")
    yield from words(lists["message_inputs"], "input")
    sources = {rule["from"] for rule in rules}
    yield from product([s for s in states if s in sources], inputs, rules, message_text)
    for rule in other:
        yield f"- `at_most_once`: `{rule['input']}` leads `{rule['from']}` to `{rule['to']}`."


def states_page(lists: Lists) -> Iterator[str]:
    yield from ("# States", "", NOTE, "")
    yield from ("A conn is in one of these states; the event `state` tells each change.", "")
    yield from conn_section(lists)
    yield from ("## Phases of a link", "", "Each link of a conn runs through these, timed.", "")
    yield from words(lists["phases"], "phase")
    yield from message_section(lists)


# --- causes ---------------------------------------------------------------------------------------

PACES = {
    "now": "at once the first time, then in windows",
    "window": "in windows that double, from `retry_window`",
    "window_x4": "in windows that grow fourfold, from 4 x `retry_window`",
    "overload": "in windows that grow fourfold, from 4 x `retry_window` to 10 x `retry_cap`",
}
PERMANENCES = {
    "never": "",
    "first": "ends the conn unless it was online before",
    "fresh": "ends the conn if the credentials were fresh",
    "repeated": "ends the conn at the third time within 60 s",
    "always": "ends the conn",
}


def next_attempt(cause: Row) -> str:
    """What a cause means for retrying; those of class host are no failures."""
    if cause["permanence"] == "always":
        return PERMANENCES["always"]
    if cause["class"] == "host":
        return ""
    return "; ".join(filter(None, (PACES[cause["pace"]], PERMANENCES[cause["permanence"]])))


def code_rows(rows: list[Row]) -> Iterator[tuple[str, str]]:
    """Codes with their cause, neighbours as one range, the most frequent cause as the last row."""
    common = Counter(row["cause"] for row in rows).most_common(1)[0][0]
    for cause, group in groupby(rows, key=lambda row: row["cause"]):
        codes = [row["code"] for row in group]
        if cause != common:
            yield (str(codes[0]) if len(codes) == 1 else f"{codes[0]} .. {codes[-1]}"), code(cause)
    yield "any other", code(common)


def condition_rows(rows: list[Row]) -> Iterator[tuple[str, str]]:
    for row in rows:
        yield code(row["condition"]) if row["condition"] else "any other", code(row["cause"])


def causes_page(lists: Lists) -> Iterator[str]:
    yield from ("# Causes", "", NOTE, "")
    yield from (
        "Every change of state, every link that ends and every attempt that fails has a cause. Its",
        "class says where to look.",
        "",
    )
    yield from words(lists["classes"], "class")
    for name in (row["name"] for row in lists["classes"]):
        rows = [row for row in lists["causes"] if row["class"] == name]
        yield from (f"## {name}", "")
        cells = ((code(row["name"]), row["text"], row["remedy"], next_attempt(row)) for row in rows)
        yield from table(("cause", "meaning", "what to do", "next attempt"), cells)
    yield from (
        "## Close codes",
        "",
        "The option `causes` gives a code another class.",
        "",
    )
    yield from table(("code", "cause"), code_rows(lists["close_codes"]))
    yield from ("## HTTP statuses in place of the upgrade", "")
    yield from table(("status", "cause"), code_rows(lists["http_statuses"]))
    yield from (
        "## XMPP stream errors",
        "",
        "`policy-violation` is `too_big` where the server says that a stanza was.",
        "",
    )
    yield from table(("condition", "cause"), condition_rows(lists["stream_errors"]))
    yield from ("## Failures of an XMPP login", "")
    yield from table(("condition", "cause"), condition_rows(lists["login_failures"]))


# --- the rest -------------------------------------------------------------------------------------


def metrics_page(lists: Lists) -> Iterator[str]:
    yield from ("# Metrics", "", NOTE, "")
    yield from (
        "`stw_conn_stats` in C, `conn.stats()` in Python and Lua. A counter only grows; units are",
        "those of UCUM (`By` is bytes, `1` a plain number).",
        "",
    )
    rows = ((code(row["name"]), row["type"], row["unit"], row["text"]) for row in lists["metrics"])
    yield from table(("metric", "type", "unit", "meaning"), rows)


def statuses_page(lists: Lists) -> Iterator[str]:
    yield from ("# Statuses", "", NOTE, "")
    yield from (
        "What every call answers. A refusal changes nothing: what was asked for was not done.",
        "`stw_last_error()` has the sentence for a person. Python raises one exception class per",
        "status, Lua returns the name as its third value. Retryable: the same call may succeed",
        "later without a change by the caller.",
        "",
    )
    rows = (
        (
            str(row["value"]),
            code(row["name"]),
            "yes" if row["retryable"] else "",
            row["text"],
            row["remedy"],
        )
        for row in lists["statuses"]
    )
    yield from table(("value", "status", "retryable", "meaning", "what to do"), rows)


def events_page(lists: Lists) -> Iterator[str]:
    yield from ("# Events", "", NOTE, "")
    yield from ("What a conn tells its host, in the order in which it happened.", "")
    yield from words(lists["event_kinds"], "event")
    yield from ("## Proofs", "", "The evidence for a message, weakest first.", "")
    yield from words(lists["proofs"], "proof")
    yield from ("## Guarantees", "")
    yield from words(lists["guarantees"], "guarantee")
    yield from ("## Reasons of a gap", "")
    yield from words(lists["gap_reasons"], "reason")
    yield from ("## Lanes", "")
    yield from words(lists["lanes"], "lane")
    yield from ("## The outbox's file", "", "What the event `store` says of it.", "")
    yield from words(lists["store_healths"], "health")
    yield from ("## Edits of the outbox", "")
    yield from words(lists["edits"], "edit")


def fault_model_page(lists: Lists) -> Iterator[str]:
    yield from ("# The fault model", "", NOTE, "")
    yield from (
        "What `steadwire simulate fleet` puts its clients through. Each kind of fault has random",
        "numbers of its own for each client and seed, and comes at random (exponential) times.",
        "Assumed: the figure is ours; beside it is what was found, if anything was. Read: in the",
        "source named. Measured: in the recordings or on the system named. A single figure is that",
        "of all. The clock is that of a machine that is awake. What comes of this is a simulation,",
        "no figure of the field.",
        "",
    )
    rows = (
        (row["name"], row["unit"], *profile_values(row["values"]), row["mark"], row["source"])
        for row in lists["fault_model"]
    )
    heads = ("parameter", "unit", *lists["fault_profiles"], "mark", "source")
    yield from table(heads, rows)
    yield from (
        "Not in it: faults that many clients share (`steadwire simulate herd` has those), captive",
        "portals, names that do not resolve, servers that are half open, processes that stand",
        "still, and systems that tell what is not so.",
    )


def profile_values(values: list[float]) -> Iterator[str]:
    """One that all have stands once, in the first column."""
    shown = [f"{value:g}" for value in values]
    return (text if place == 0 or len(set(shown)) > 1 else "" for place, text in enumerate(shown))


PAGES: dict[str, Callable[[Lists], Iterator[str]]] = {
    "causes.md": causes_page,
    "events.md": events_page,
    "fault_model.md": fault_model_page,
    "metrics.md": metrics_page,
    "options.md": options_page,
    "states.md": states_page,
    "statuses.md": statuses_page,
}


def render(lists: Lists) -> dict[str, str]:
    """The text of each page."""
    return {name: "\n".join(page(lists)).rstrip("\n") + "\n" for name, page in PAGES.items()}


def differences(pages: dict[str, str], folder: Path) -> Iterator[str]:
    """A unified diff for each page that is not on disk as it should be."""
    for name, text in pages.items():
        path = folder / name
        present = path.read_text(encoding="utf-8") if path.is_file() else ""
        yield from difflib.unified_diff(
            present.splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"docs/{name} (present)",
            f"docs/{name} (generated)",
        )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Writes the generated pages of docs/.")
    parser.add_argument("--check", action="store_true", help="compare; exit 1 on a difference")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs")
    chosen = parser.parse_args(arguments)
    try:
        pages = render(read_lists())
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 2
    if chosen.check:
        found = list(differences(pages, chosen.folder))
        sys.stdout.writelines(found)
        if found:
            print("docs/ differs from the engine's lists: run ./dev docs", file=sys.stderr)
        return 1 if found else 0
    for name, text in pages.items():
        (chosen.folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
