"""`steadwire outbox FILE VERB`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from steadwire import MessageId, Outbox, sync
from steadwire.cli import main
from steadwire.outbox_cli import OK, REFUSED, UNUSABLE, USAGE

Capture = pytest.CaptureFixture[str]


class Feed:
    """A file with five messages."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        with sync.connect(url, wait=False, outbox=path) as conn:
            receipts = [conn.post(f"secret {number}", key=f"k{number}") for number in range(3)]
            receipts.append(conn.post(b"\x00\xff secret" * 20))
            receipts.append(conn.post("urgent\x1b[31m", lane="control"))
            for receipt in receipts:
                receipt.wait("stored", timeout=10)
            self.ids = [receipt.id for receipt in receipts]
            conn.close(0)

    def run(self, *arguments: str) -> int:
        """The command on the file."""
        return main(["outbox", str(self.path), *arguments])

    def states(self) -> dict[MessageId, str]:
        """The states of what is there."""
        with Outbox.open(self.path) as file:
            return {entry.id: str(entry.state) for entry in file}


@pytest.fixture
def feed(tmp_path: Path, dead_url: str) -> Feed:
    """A file at rest."""
    return Feed(tmp_path / "feed.db", dead_url)


def test_messages_are_listed_without_their_payloads(feed: Feed, capsys: Capture) -> None:
    assert feed.run("list") == OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["id", "lane", "state"]
    assert lines[1].startswith(str(feed.ids[4]))
    assert lines[-1] == "5 messages"
    assert "secret" not in "".join(lines)


def test_a_list_can_be_filtered_and_cut(feed: Feed, capsys: Capture) -> None:
    assert feed.run("list", "--key", "k1", "--json") == OK
    [row] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["id"], row["key"], row["lane"]) == (str(feed.ids[1]), "k1", "data")
    assert feed.run("list", "--lane", "data", "--most", "1") == OK
    assert capsys.readouterr().out.endswith("3 more\n")
    assert feed.run("list", "--older-than", "1h", "--state", "queued") == OK
    assert capsys.readouterr().out == "0 messages\n"
    assert feed.run("dead") == OK
    assert capsys.readouterr().out == "0 messages\n"


def test_a_payload_is_shown_when_asked_for(feed: Feed, capsys: Capture) -> None:
    assert feed.run("show", str(feed.ids[0])) == OK
    assert capsys.readouterr().out.endswith("\n\nsecret 0\n")
    assert feed.run("show", "--bytes", "4", str(feed.ids[3])) == OK
    assert "00000000  00 ff 20 73\n(176 more bytes" in capsys.readouterr().out
    assert feed.run("show", str(feed.ids[4])) == OK
    assert "\x1b" not in capsys.readouterr().out


def test_the_start_of_an_id_will_do(feed: Feed, capsys: Capture) -> None:
    assert feed.run("hold", "2", "3") == OK
    assert f"{feed.ids[1]} held" in capsys.readouterr().out
    assert feed.states()[feed.ids[1]] == feed.states()[feed.ids[2]] == "held"
    assert feed.run("release", str(feed.ids[1]).upper()) == OK
    assert feed.run("hold", "1") == USAGE
    assert "can be 2 messages" in capsys.readouterr().err
    assert feed.run("hold", str(feed.ids[4]).partition("-")[0]) == OK
    assert feed.states()[feed.ids[4]] == "held"
    assert feed.run("hold", str(feed.ids[4])[:3]) == REFUSED
    assert feed.run("hold", "xyz") == USAGE
    assert "no message id" in capsys.readouterr().err


def test_edits_say_what_they_did_and_what_not(feed: Feed, capsys: Capture) -> None:
    assert feed.run("prioritise", "2") == OK
    assert feed.run("demote", "2") == OK
    assert feed.run("cancel", "9", "2") == REFUSED
    captured = capsys.readouterr()
    assert f"{feed.ids[1]} cancelled" in captured.out
    assert "9: no message has the id 9" in captured.err
    assert feed.ids[1] not in feed.states()
    assert feed.run("requeue", "3") == REFUSED
    assert feed.run("release", "3") == REFUSED


def test_messages_move_by_export_and_import(
    feed: Feed, tmp_path: Path, dead_url: str, capsys: Capture
) -> None:
    export = str(tmp_path / "export")
    assert feed.run("export", "--lane", "data", export) == OK
    assert capsys.readouterr().out == f"4 messages written to {export}\n"
    assert feed.run("export", export) == UNUSABLE
    assert feed.run("cancel", "2") == OK
    assert feed.run("import", export) == OK
    assert capsys.readouterr().out.endswith("1 messages added\n")
    assert feed.ids[1] in feed.states()
    Path(export).write_bytes(b"broken")
    assert feed.run("import", export) == UNUSABLE
    assert feed.run("import", export + "-missing") == UNUSABLE


def test_a_file_is_checked(feed: Feed, capsys: Capture) -> None:
    assert feed.run("check") == OK
    assert capsys.readouterr().out.endswith("sound\n")
    assert feed.run("check", "--json") == OK
    report = json.loads(capsys.readouterr().out)
    assert (report["queued"], report["is_sound"]) == ([4, 1], True)


def test_wrong_files_and_wrong_usage(tmp_path: Path, feed: Feed, capsys: Capture) -> None:
    assert main(["outbox", str(tmp_path / "missing"), "list"]) == UNUSABLE
    assert "missing" in capsys.readouterr().err
    noise = tmp_path / "noise"
    noise.write_bytes(b"noise" * 1000)
    assert main(["outbox", str(noise), "list"]) == UNUSABLE
    assert feed.run("list", "--older-than", "soon") == USAGE
    assert feed.run("list", "--most", "-1") == USAGE
    assert feed.run("show", "--bytes", "-1", "2") == USAGE
    for arguments in (["steal", "1"], ["list", "--state", "settled"], ["cancel"]):
        with pytest.raises(SystemExit) as exit_code:
            feed.run(*arguments)
        assert exit_code.value.code == USAGE


HOLDER = """
import sys
from steadwire import sync
conn = sync.connect(sys.argv[1], wait=False, outbox=sys.argv[2])
print("ready", flush=True)
sys.stdin.read()
conn.abandon()
"""


@pytest.fixture
def holder(feed: Feed, dead_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that uses the file."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, dead_url, str(feed.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.stdin.close()


def test_a_file_in_use_can_be_read_but_not_changed(
    feed: Feed, holder: subprocess.Popen[bytes], capsys: Capture
) -> None:
    assert feed.run("cancel", "2") == UNUSABLE
    error = capsys.readouterr().err
    assert str(holder.pid) in error
    assert "list` works" in error
    assert feed.run("list") == OK
    assert capsys.readouterr().out.endswith("5 messages\n")
