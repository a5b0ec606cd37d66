"""The vectors of steadwire.v1 against the server's role: every frame, and every dialogue byte by
byte."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgpack
import pytest
from steadwire import _core, errors

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
FRAMES = json.loads((VECTORS / "frames.json").read_text(encoding="utf-8"))
DIALOGUES = {
    name: steps
    for name, steps in json.loads((VECTORS / "dialogues.json").read_text(encoding="utf-8")).items()
    if name != "about" and not any(step["from"] == "server" and step.get("wrong") for step in steps)
}

BIG = (1 << 63) - 1
INCARNATION = 0x0123456789ABCDEF
ACK_NS = 60_000_000  # longer than an acknowledgement may wait
BUSY = 4
MESSAGE, GAP, PROOF, REJECTED, AUTH, CLOSED = range(1, 7)


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def of_types(*types: str) -> list[dict[str, Any]]:
    return [vector for vector in FRAMES["good"] if vector["fields"]["type"] in types]


def session_at(lane: int, received: int, following: int, sent: int) -> tuple[_core.Session, int]:
    """A session whose client has sent up to `received` and has got up to `sent` of one lane."""

    def both(value: int, other: int) -> list[int]:
        return [value, other] if lane == 0 else [other, value]

    hello: dict[str, Any] = {"v": [1], "cid": bytes(16), "rx": both(sent, 0)}
    hello |= {"lo": both(received + 1, 1), "nx": both(following, 1), "pr": [0, 0]}
    hello |= {"caps": 6} | dict.fromkeys(("win_msgs", "win_bytes", "max", "idle_ms"), 0)
    session = _core.Session()
    link, refusal, why = session.open(msgpack.packb([1, hello]), "", 1, bytes(48), False, "", 0)
    assert (refusal, why) == (0, "")
    assert session.take(link, 0)
    return session, link


def session_before(fields: dict[str, Any]) -> tuple[_core.Session, int]:
    """A session for which the frame of these fields comes next."""
    lane = fields.get("lane", 0)
    first = fields.get("from", fields.get("number", 1))
    if fields["type"] in ("ACK", "NACK"):
        return session_at(lane, 0, 1, fields.get("accepted", first))
    return session_at(lane, max(first, 1) - 1, BIG, 0)


def item_of(fields: dict[str, Any]) -> tuple[Any, ...] | None:
    """What the session gives for a frame that a client may send."""
    lane = fields.get("lane", 0)
    if fields["type"] == "DATA":
        body = bytes.fromhex(fields["payload"])
        data = body.decode() if fields["flags"] & 1 and body != b"\xff\x00" else body
        return MESSAGE, lane, fields["number"], data, bool(fields["flags"] & 2)
    if fields["type"] == "GAP":
        return GAP, lane, fields["from"], fields["to"]
    if fields["type"] == "NACK":
        return REJECTED, lane, fields["number"], fields["code"], fields["text"]
    if fields["type"] == "ACK" and fields.get("processed", 0) > 0:
        return PROOF, lane, fields["accepted"], fields["processed"], fields["accepted"] + 1
    if fields["type"] == "AUTH":
        return AUTH, fields["token"]
    if fields["type"] == "CLOSE":
        return CLOSED, fields["code"], fields["text"]
    return None


# ---- frames ----


@pytest.mark.parametrize("vector", of_types("HELLO"), ids=named)
def test_a_hello_is_read(vector: dict[str, Any]) -> None:
    fields = vector["fields"]
    cid, has_token, incarnation, auth, *numbers = _core.hello_read(bytes.fromhex(vector["hex"]))
    assert cid.hex() == fields["cid"]
    assert has_token == ("tok" in fields)
    assert incarnation == fields.get("inc")
    assert auth.decode() == fields.get("auth", "")
    assert [list(pair) for pair in numbers] == [fields[key] for key in ("rx", "pr", "lo", "nx")]


FROM_CLIENT = of_types("DATA", "PART", "ACK", "NACK", "GAP", "PING", "PONG", "CLOSE", "ignored")
ANSWERS = [vector for vector in of_types("AUTH") if "ok" in vector["fields"]]
FROM_CLIENT += [vector for vector in of_types("AUTH") if vector not in ANSWERS]


@pytest.mark.parametrize("vector", FROM_CLIENT, ids=named)
def test_a_frame_of_a_client_is_taken(vector: dict[str, Any]) -> None:
    fields = vector["fields"]
    session, link = session_before(fields)
    if vector["name"] == "data, largest number":
        with pytest.raises(errors.SessionProtocolError, match="not UTF-8") as raised:
            session.receive(link, bytes.fromhex(vector["hex"]), 0)
        assert raised.value.close_code == 1007
        return
    item = session.receive(link, bytes.fromhex(vector["hex"]), 0)
    wanted = item_of(fields)
    assert item == wanted or (item is not None and fields["type"] == "GAP" and item[:4] == wanted)
    if fields["type"] == "PING":
        assert session.take(link, 0) == msgpack.packb([7, fields["n"], fields["t"]])


@pytest.mark.parametrize("vector", of_types("WELCOME", "GOAWAY", "REFUSE") + ANSWERS, ids=named)
def test_a_frame_of_a_server_ends_the_link(vector: dict[str, Any]) -> None:
    session, link = session_at(0, 0, 1, 0)
    with pytest.raises(errors.SessionProtocolError, match="client") as raised:
        session.receive(link, bytes.fromhex(vector["hex"]), 0)
    assert raised.value.close_code == 4400


def test_every_good_frame_is_run() -> None:
    run = of_types("HELLO", "WELCOME", "GOAWAY", "REFUSE") + ANSWERS + FROM_CLIENT
    assert sorted(map(named, run)) == sorted(map(named, FRAMES["good"]))


@pytest.mark.parametrize("vector", FRAMES["malformed"], ids=named)
def test_a_malformed_frame_is_refused_with_its_reason(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    why = re.escape(vector["why"] if data else "it is empty")
    with pytest.raises(errors.SessionProtocolError, match=why) as first:
        _core.hello_read(data)
    session, link = session_at(0, 0, 1, 0)
    with pytest.raises(errors.SessionProtocolError, match=why) as later:
        session.receive(link, data, 0)
    assert (first.value.close_code, later.value.close_code) == (4400, 4400)


# ---- dialogues ----


class Server:
    """Does what the server of a dialogue does, on sessions that are driven with bytes."""

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        self.steps = steps
        self.sessions: dict[bytes, _core.Session] = {}
        self.session = self.new()
        self.link = self.old_link = 0
        self.now = 0
        self.refusal = 0
        self.takes_nobody = False
        self.close_code = 0

    def new(self) -> _core.Session:
        small = any(step.get("does", "").startswith("send 2 to 4") for step in self.steps)
        return _core.Session(takes_optimistic=True, ring_messages=1 if small else 0)

    def run(self) -> None:
        for at, step in enumerate(self.steps):
            self.now += ACK_NS
            if step["from"] == "client" and step.get("lost"):
                continue
            if step["from"] == "client":
                self.from_client(at, step)
            elif "hex" in step:
                self.written(step)
            else:
                self.done(step["does"])
        assert self.close_code == 0, "the dialogue does not tell the close"
        if self.link:
            assert self.session.take(self.link, self.now + ACK_NS) is None

    def from_client(self, at: int, step: dict[str, Any]) -> None:
        if "hex" not in step:
            if step["does"] == "lose":
                self.session.lost(self.link)
            return
        data = bytes.fromhex(step["hex"])
        if step["fields"]["type"] == "HELLO" and self.takes_nobody:
            self.refusal = BUSY
            return
        if step["fields"]["type"] == "HELLO":
            self.claim(at, data)
            return
        try:
            self.session.receive(self.link, data, self.now)
        except errors.SessionProtocolError as error:
            self.close_code = error.close_code

    def claim(self, at: int, hello: bytes) -> None:
        welcome: dict[str, Any] = next(
            (
                step["fields"]
                for step in self.steps[at:]
                if "tok" in step.get("fields", {}) and step["from"] == "server"
            ),
            {"sid": "00" * 16, "tok": "00" * 32},
        )
        cid = _core.hello_read(hello)[0]
        session = self.sessions.get(cid) or self.new()
        random = bytes.fromhex(welcome["sid"] + welcome["tok"])
        link, self.refusal, _why = session.open(
            hello, "alice", INCARNATION, random, False, "", self.now
        )
        if self.refusal == 0:
            self.old_link, self.link = self.link, link
            self.sessions[cid] = self.session = session

    def written(self, step: dict[str, Any]) -> None:
        fields, data = step["fields"], bytes.fromhex(step["hex"])
        if fields["type"] == "REFUSE":
            assert self.refusal == fields["code"]
            assert _core.refusal_write(self.refusal, fields["text"]) == data
            return
        lanes = self.session.look()[5:]
        if fields["type"] == "DATA" and lanes[fields["lane"]]["next"] == fields["number"]:
            self.session.send(fields["lane"], bytes.fromhex(fields["payload"]).decode())
        if fields["type"] == "GOAWAY":
            self.session.goaway(fields["after_ms"], fields["spread_ms"], "", fields["code"])
        assert self.session.take(self.link, self.now) == data, step

    def done(self, what: str) -> None:
        if what.startswith("close"):
            self.closed(int(what.split()[1]))
        elif what == "take nobody":
            self.takes_nobody = True
        elif what.startswith("send 2 to 4"):
            for text in "bcd":
                self.session.send(0, text)
        else:
            assert what == "forget the ring"
            state = self.session.save()
            self.session = self.new()
            self.session.load(state)
            self.sessions[self.session.look()[0]] = self.session

    def closed(self, code: int) -> None:
        if code == 4409:
            with pytest.raises(errors.StateError) as raised:
                self.session.receive(self.old_link, b"\x93\x06\x01\x02", self.now)
            assert vars(raised.value)["close_code"] == code
        elif self.refusal == 0:
            assert self.close_code == code
            self.close_code = 0


@pytest.mark.parametrize("name", DIALOGUES)
def test_a_dialogue_is_led_as_written(name: str) -> None:
    Server(DIALOGUES[name]).run()
