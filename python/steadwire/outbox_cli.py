"""The command `steadwire outbox FILE VERB`: an outbox file at rest.

Payloads are only ever shown by `show`. Exit code 0: done; 1: the message is not there, the edit
does not fit its state, or the file is not sound; 2: wrong usage; 3: the file cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from steadwire._ids import MessageId
from steadwire.errors import (
    FormatError,
    LockedError,
    NotFoundError,
    QueueFull,
    StateError,
    SteadwireError,
    StoreError,
    TooBigError,
)
from steadwire.outbox import Outbox, OutboxEntry, OutboxFile
from steadwire.outbox_table import text_table
from steadwire.words import Edit, Lane, MessageState

OK, REFUSED, USAGE, UNUSABLE = range(4)
LISTED_MAX = 1000
SHORTEST_START = 4
SHOWN_BYTES = 4096
ID_HELP = f"as listed, its number, or its start ({SHORTEST_START} characters or more)"
HEX_COLUMNS = 16

STATES = [
    MessageState.QUEUED,
    MessageState.INFLIGHT,
    MessageState.HELD,
    MessageState.DEAD,
    MessageState.UNKNOWN,
]
EDITS = {
    "cancel": (Edit.CANCEL, "cancelled"),
    "hold": (Edit.HOLD, "held"),
    "release": (Edit.RELEASE, "released"),
    "requeue": (Edit.REQUEUE, "requeued"),
    "prioritise": (Edit.PRIORITISE, "moved to the control lane"),
    "demote": (Edit.DEMOTE, "moved to the data lane"),
}


def add_command(commands: Any) -> None:
    """Adds the command to a parser's commands."""
    command = commands.add_parser(
        "outbox",
        help="look into an outbox file and change it",
        description="Looks into an outbox file that no process uses, and changes it. Looking works "
        "while a process uses it, too.",
        epilog="Exit code: 0 done, 1 refused or not sound, 2 wrong usage, 3 no usable file.",
    )
    command.add_argument("file", metavar="FILE")
    verbs = command.add_subparsers(required=True, metavar="VERB", dest="verb")
    _add_looks(verbs)
    for verb, (edit, _done) in EDITS.items():
        one = verbs.add_parser(verb, help=edit.text)
        one.add_argument("id", nargs="+", metavar="ID", help=ID_HELP)
        one.set_defaults(run=_run(_edit, may_edit=True))
    one = verbs.add_parser("export", help="write messages to a new file; nothing is removed")
    one.add_argument("target", metavar="TARGET")
    _add_filters(one)
    one.set_defaults(run=_run(_export))
    one = verbs.add_parser("import", help="add the messages of an export: all or none")
    one.add_argument("source", metavar="SOURCE")
    one.set_defaults(run=_run(_import, may_edit=True))


def _add_looks(verbs: Any) -> None:
    for verb, text in (("list", "list messages"), ("dead", "list dead letters, with their causes")):
        one = verbs.add_parser(verb, help=text)
        _add_filters(one, has_state=verb == "list")
        one.add_argument("--json", action="store_true", help="one JSON object per line")
        one.add_argument(
            "--most",
            type=int,
            default=LISTED_MAX,
            metavar="N",
            help=f"rows to print (default {LISTED_MAX})",
        )
        one.set_defaults(run=_run(_list))
    one = verbs.add_parser("show", help="one message and its payload")
    one.add_argument("id", metavar="ID", help=ID_HELP)
    one.add_argument(
        "--bytes",
        type=int,
        default=SHOWN_BYTES,
        metavar="N",
        help=f"bytes of the payload to show (default {SHOWN_BYTES})",
    )
    one.set_defaults(run=_run(_show))
    one = verbs.add_parser("check", help="read the file from end to end")
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=_run(_check))


def _add_filters(parser: argparse.ArgumentParser, has_state: bool = True) -> None:
    if has_state:
        parser.add_argument("--state", action="append", choices=[str(s) for s in STATES])
    parser.add_argument("--lane", choices=[str(lane) for lane in Lane])
    parser.add_argument("--key", help="messages with exactly this key")
    parser.add_argument("--older-than", metavar="TIME", help='such as "10min"')


Verb = Callable[[OutboxFile, argparse.Namespace], int]


def _run(verb: Verb, may_edit: bool = False) -> Callable[[argparse.Namespace], int]:
    """Opens the file for a verb and turns errors into sentences and exit codes."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            with OutboxFile(arguments.file, edit=may_edit) as outbox:
                return verb(outbox, arguments)
        except LockedError as error:
            return _fail(f"{error}; `steadwire outbox {arguments.file} list` works meanwhile")
        except (StoreError, FormatError, QueueFull, TooBigError) as error:
            return _fail(str(error))
        except (NotFoundError, StateError) as error:
            return _fail(str(error), REFUSED)
        except SteadwireError as error:
            return _fail(str(error))

    return run


def _fail(sentence: str, code: int = UNUSABLE) -> int:
    print(f"steadwire: {sentence}", file=sys.stderr)
    return code


def _chosen(outbox: OutboxFile, arguments: argparse.Namespace) -> Outbox:
    state = ["dead"] if arguments.verb == "dead" else arguments.state
    return outbox.filter(
        state=state, lane=arguments.lane, key=arguments.key, older_than=arguments.older_than
    )


def _list(outbox: OutboxFile, arguments: argparse.Namespace) -> int:
    if arguments.most < 0:
        raise ValueError("--most must not be negative")
    entries: list[OutboxEntry] = []
    total = 0
    for total, entry in enumerate(_chosen(outbox, arguments), start=1):
        if total <= arguments.most:
            entries.append(entry)
    if not arguments.json:
        print(text_table(entries, total))
        return OK
    for entry in entries:
        print(json.dumps(entry.to_dict()))
    return OK


def _find(outbox: OutboxFile, text: str) -> MessageId:
    """The message whose id is `text`, begins with it, or has it as its number.

    Fewer than `SHORTEST_START` characters are a number and nothing else: who asks for message 9
    after it has ended must not get another whose id happens to begin with 9.
    """
    wanted = text.lower()
    try:
        return MessageId.parse(wanted)
    except ValueError:
        pass
    if not wanted or wanted.strip("0123456789abcdef-"):
        raise ValueError(f"{text!r} is no message id; `list` shows them")
    stream, dash, number = wanted.partition("-")
    is_start = len(wanted) >= SHORTEST_START
    found = [
        entry.id
        for entry in outbox
        if (is_start and str(entry.id).startswith(wanted))
        or (not dash and str(entry.id.number) == stream)
    ]
    exact = [one for one in found if str(one.number) == (number or stream)]
    found = exact or found
    if not found:
        raise NotFoundError(f"no message has the id {text}: it has ended or never was; see `list`")
    if len(found) > 1:
        some = ", ".join(map(str, found[:3]))
        raise ValueError(f"{text} can be {len(found)} messages ({some}, ...): write more of the id")
    return found[0]


def _show(outbox: OutboxFile, arguments: argparse.Namespace) -> int:
    if arguments.bytes < 0:
        raise ValueError("--bytes must not be negative")
    entry = outbox.get(_find(outbox, arguments.id))
    if entry is None:
        raise NotFoundError(f"no message has the id {arguments.id}; see `list`")
    for name, value in entry.to_dict().items():
        if value not in (None, ""):
            print(f"{name:10} {_visible(str(value))}")
    body = outbox.body(entry)
    print()
    if isinstance(body, str):
        shown = body[: arguments.bytes]
        print(_visible(shown))
    else:
        shown_bytes = body[: arguments.bytes]
        for at in range(0, len(shown_bytes), HEX_COLUMNS):
            print(f"{at:08x}  {shown_bytes[at : at + HEX_COLUMNS].hex(' ')}")
    if len(body) > arguments.bytes:
        unit = "characters" if isinstance(body, str) else "bytes"
        print(f"({len(body) - arguments.bytes} more {unit}: see --bytes)")
    return OK


def _visible(text: str) -> str:
    """What a terminal must not take for commands is escaped."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def _edit(outbox: OutboxFile, arguments: argparse.Namespace) -> int:
    edit, done = EDITS[arguments.verb]
    code = OK
    for text in arguments.id:
        try:
            found = _find(outbox, text)
            outbox._edit(found, edit)
        except (NotFoundError, StateError) as error:
            code = _fail(f"{text}: {error}", REFUSED)
        else:
            print(f"{found} {done}")
    return code


def _export(outbox: OutboxFile, arguments: argparse.Namespace) -> int:
    count = _chosen(outbox, arguments).export(arguments.target)
    print(f"{count} messages written to {arguments.target}")
    return OK


def _import(outbox: OutboxFile, arguments: argparse.Namespace) -> int:
    count = outbox.import_(arguments.source)
    print(f"{count} messages added")
    return OK


def _check(outbox: OutboxFile, arguments: argparse.Namespace) -> int:
    report = outbox.check()
    if arguments.json:
        print(json.dumps(report._asdict()))
    else:
        for lane in Lane:
            at = lane.number
            print(
                f"{lane}: {report.queued[at]} queued, {report.queued_bytes[at]} bytes, "
                f"last number {report.last_number[at]}"
            )
        print(f"parked: {report.held} held, {report.dead} dead, {report.unknown} of unknown fate")
        end = "closed in order" if report.was_clean else "not closed in order, or in use"
        print(f"file: {report.file_bytes} bytes, version {report.version}, {end}")
        print("sound" if report.is_sound else f"NOT SOUND: {report.detail}")
    return OK if report.is_sound else REFUSED
