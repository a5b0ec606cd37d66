"""Writes the byte-level vectors of steadwire.v1: `python tests/vectors/make.py`.

The bytes come from the msgpack package, not from our codec.  Each vector is one line of its file,
so that a reader without a JSON library can find it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgpack

TYPES = {
    1: "HELLO",
    2: "WELCOME",
    3: "DATA",
    4: "ACK",
    5: "NACK",
    6: "PING",
    7: "PONG",
    8: "GOAWAY",
    9: "CLOSE",
    10: "AUTH",
    11: "GAP",
    12: "PART",
    13: "REFUSE",
}
ELEMENTS = {
    3: ("lane", "number", "flags", "payload"),
    5: ("lane", "number", "code", "text"),
    6: ("n", "t"),
    7: ("n", "t"),
    9: ("code", "text"),
    11: ("lane", "from", "to", "reason"),
    12: ("lane", "number", "payload"),
    13: ("code", "text"),
}

CID = bytes(range(16))
SID = bytes(range(0x40, 0x50))
TOKEN = bytes(range(0x80, 0xA0))
TOKEN_2 = bytes(range(0xA0, 0xC0))
INCARNATION = 0x0123456789ABCDEF
HELLO: dict[str, Any] = {
    "v": [1],
    "cid": CID,
    "rx": [0, 0],
    "lo": [1, 1],
    "nx": [1, 1],
    "pr": [0, 0],
    "caps": 6,
    "win_msgs": 1024,
    "win_bytes": 4194304,
    "max": 16777216,
    "idle_ms": 45000,
}
WELCOME: dict[str, Any] = {
    "v": 1,
    "sid": SID,
    "tok": TOKEN,
    "inc": INCARNATION,
    "st": 0,
    "rx": [0, 0],
    "lo": [1, 1],
    "nx": [1, 1],
    "pr": [0, 0],
    "caps": 7,
    "ttl_ms": 120000,
    "wm_ttl_ms": 86400000,
    "win_msgs": 1024,
    "win_bytes": 4194304,
    "max": 1048576,
    "idle_ms": 0,
}
GOAWAY: dict[str, Any] = {"after_ms": 0, "spread_ms": 5000, "code": 1012, "resumable": True}
ORDER = {
    1: "v cid tok inc rx lo nx pr caps win_msgs win_bytes max idle_ms auth".split(),
    2: (
        "v sid tok inc st rx lo nx pr caps ttl_ms wm_ttl_ms win_msgs win_bytes max idle_ms loc srv"
    ).split(),
    8: "after_ms spread_ms code resumable loc".split(),
}


def pack(frame: Any) -> bytes:
    packed: bytes = msgpack.packb(frame, use_bin_type=True)
    return packed


def in_order(kind: int, values: dict[str, Any], **changes: Any) -> list[Any]:
    merged = values | changes
    return [kind, {key: merged[key] for key in ORDER[kind] if key in merged}]


def hello(**changes: Any) -> list[Any]:
    return in_order(1, HELLO, **changes)


def welcome(**changes: Any) -> list[Any]:
    return in_order(2, WELCOME, **changes)


def goaway(**changes: Any) -> list[Any]:
    return in_order(8, GOAWAY, **changes)


def without(frame: list[Any], key: str) -> list[Any]:
    return [frame[0], {name: value for name, value in frame[1].items() if name != key}]


def shown(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def fields(frame: list[Any]) -> dict[str, Any]:
    """A frame's fields by name, as both test programs show them."""
    kind, rest = frame[0], frame[1:]
    named: dict[str, Any]
    if kind in ORDER:
        named = {key: rest[0][key] for key in ORDER[kind] if key in rest[0]}
    elif kind == 4:
        named = dict(zip(("lane", "accepted", "processed"), rest, strict=False))
    elif kind == 10:
        named = {"token": rest[0]} if len(rest) == 1 else {"ok": rest[0], "expires_ms": rest[1]}
    elif kind in ELEMENTS:
        named = dict(zip(ELEMENTS[kind], rest, strict=False))
    else:
        return {"type": "ignored", "number": kind}
    return {"type": TYPES[kind]} | {key: shown(value) for key, value in named.items()}


def vector(name: str, frame: list[Any], data: bytes | None = None) -> dict[str, Any]:
    """`shortest`: the bytes are what our encoder writes for these fields."""
    return {
        "name": name,
        "hex": (data or pack(frame)).hex(),
        "shortest": data is None,
        "fields": fields(frame),
    }


def good() -> list[dict[str, Any]]:
    big = (1 << 63) - 1
    data = [3, 0, 1, 1, b"hello"]
    frames = [
        vector("hello, new client", hello()),
        vector(
            "hello, everything",
            hello(
                v=[1, 2],
                tok=TOKEN,
                inc=INCARNATION,
                rx=[70000, 3],
                lo=[5, 1],
                nx=[9, 2],
                pr=[69990, 3],
                caps=7,
                auth="bearer \N{SNOWMAN}",
            ),
        ),
        vector("hello, largest numbers", hello(lo=[big, 1], nx=[big, big], rx=[big, 0], inc=0)),
        vector("welcome, new session", welcome()),
        vector(
            "welcome, full, everything",
            welcome(
                st=2,
                rx=[8, 1],
                pr=[7, 1],
                lo=[70001, 4],
                nx=[70050, 4],
                loc="wss://b.example.net/feed",
                srv="steadwire 1",
            ),
        ),
        vector("welcome, partial", welcome(st=1, lo=[40, 1], nx=[50, 1], inc=(1 << 64) - 1)),
        vector("data, text", data),
        vector("data, empty", [3, 1, 2, 0, b""]),
        vector("data, replayed, bin 8", [3, 0, 70000, 2, bytes(200)]),
        vector("data, not numbered", [3, 1, 0, 1, b'{"op":"login"}']),
        vector("data, bin 16", [3, 0, 1 << 32, 0, bytes(range(256)) * 2]),
        vector("data, largest number", [3, 0, big, 3, b"\xff\x00"]),
        vector("ack", [4, 0, 127]),
        vector("ack with processed", [4, 1, 256, 128]),
        vector("ack of nothing", [4, 0, 0, 0]),
        vector("nack", [5, 0, 12, 4413, "not a known order"]),
        vector("ping", [6, 1, 1234567890123]),
        vector("pong", [7, 1, 1234567890123]),
        vector("goaway", goaway()),
        vector("goaway with a place", goaway(loc="wss://b.example.net/feed", resumable=False)),
        vector("close", [9, 1000, ""]),
        vector("close with a reason", [9, 4401, "credentials have ended"]),
        vector("auth, credentials", [10, "eyJhbGciOi"]),
        vector("auth, taken", [10, True, 3600000]),
        vector("auth, refused", [10, False, 0]),
        vector("gap", [11, 0, 3, 9, 1]),
        vector("gap of one, reason of a later version", [11, 1, 65536, 65536, 77]),
        vector("part", [12, 0, 5, b"first piece "]),
        vector("part, empty", [12, 1, 5, b""]),
        vector("refuse, stale", [13, 1, "cid_stale"]),
        vector("refuse, version", [13, 2, "this server speaks 1"]),
    ]
    later = hello()
    later[1] = {"later": {"deep": [1, {"x": None}], "f": 1.5}} | later[1] | {"neg": -5}
    backwards = [1, dict(reversed(list(hello()[1].items())))]
    wide = b"\x95\xcd\x00\x03\xd2\x00\x00\x00\x00\xd3" + bytes(7) + b"\x01\xd0\x01\xc6\x00\x00\x00"
    frames += [
        vector("hello with unknown keys", hello(), pack(later)),
        vector("hello in another order", hello(), pack(backwards)),
        vector("caps of a later version", hello(caps=5), pack(hello(caps=(1 << 40) | 5))),
        vector("data with a sixth element", data, pack([*data, {"ts": 1, "x": [1, 2]}])),
        vector("data, every number wide", data, wide + b"\x05hello"),
        vector("array 16 for a frame", [4, 0, 127], b"\xdc\x00\x03\x04\x00\x7f"),
        vector("a type to ignore", [64], b"\x91\x40"),
        vector("a type to ignore with content", [200], pack([200, {"a": [1, 2, "b"]}, None])),
    ]
    return frames


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def malformed() -> list[dict[str, str]]:
    data = pack([3, 0, 1, 0, b"hello"])
    raw: list[tuple[str, str, bytes]] = [
        ("empty", "ends inside", b""),
        ("a map", "the frame is not a msgpack array with elements", b"\x80"),
        ("no elements", "the frame is not a msgpack array with elements", b"\x90"),
        ("five bytes that announce a map", "array with elements", b"\xdf\x0f\xff\xff\xff"),
        ("five bytes that announce an array", "announces more", b"\xdd\x0f\xff\xff\xff"),
        ("type is text", "the frame's type", pack(["3", 0, 1, 0, b""])),
        ("type is negative", "the frame's type", pack([-1, 0])),
        ("type 0", "unknown frame type", pack([0, 1])),
        ("type 14", "unknown frame type", pack([14, 1])),
        ("type 63", "unknown frame type", pack([63])),
        ("bytes behind", "bytes follow", data + b"\x00"),
        ("payload longer than the frame", "ends inside", data[:-1]),
        ("payload of 4 GiB", "ends inside", b"\x95\x03\x00\x01\x00\xc6\xff\xff\xff\xffabc"),
        ("ignored, with ext", "ext", b"\x92\x40\xd4\x01\x00"),
        ("ignored, with 0xc1", "0xc1", b"\x92\x40\xc1"),
        ("ignored, too deep", "16 arrays", pack([64, nested(16)])),
        ("ignored, a key twice", "twice", b"\x92\x40\x82\xa1a\x01\xa1a\x02"),
        ("ignored, a key is a number", "not a string", b"\x92\x40\x81\x01\x01"),
        ("ignored, a long key", "64 bytes", pack([64, {"k" * 65: 1}])),
        ("ignored, a large map", "64 entries", pack([64, {str(i): i for i in range(65)}])),
        ("ignored, broken UTF-8", "UTF-8", b"\x92\x40\xa2\xc0\x80"),
        ("hello, a key twice", "twice", b"\x92\x01\x82\xa1v\x91\x01\xa1v\x91\x01"),
        ("hello, cid cut", "ends inside", pack(hello())[:30]),
    ]
    raw += [
        (f"hello without {key}", f"HELLO: {key} is missing", pack(without(hello(), key)))
        for key in HELLO
    ]
    raw += [
        (f"welcome without {key}", f"WELCOME: {key} is missing", pack(without(welcome(), key)))
        for key in WELCOME
    ]
    raw += [
        (f"goaway without {key}", f"GOAWAY: {key} is missing", pack(without(goaway(), key)))
        for key in GOAWAY
    ]
    wrong: list[tuple[str, str, list[Any]]] = [
        ("hello, three elements", "HELLO: not 2", [*hello(), 0]),
        ("hello, no map", "not a map", [1, []]),
        ("hello, v is a number", "HELLO: v ", hello(v=1)),
        ("hello, v holds text", "HELLO: v ", hello(v=["1"])),
        ("hello, cid of 15 bytes", "HELLO: cid ", hello(cid=CID[:15])),
        ("hello, cid is text", "HELLO: cid ", hello(cid="0123456789abcdef")),
        ("hello, tok of 31 bytes", "HELLO: tok ", hello(tok=TOKEN[:31])),
        ("hello, tok is nil", "HELLO: tok ", hello(tok=None)),
        ("hello, inc is negative", "HELLO: inc ", hello(inc=-1)),
        ("hello, rx of one lane", "HELLO: rx ", hello(rx=[0])),
        ("hello, rx of three lanes", "HELLO: rx ", hello(rx=[0, 0, 0])),
        ("hello, rx past 2^63-1", "HELLO: rx ", hello(rx=[1 << 63, 0])),
        ("hello, lo is 0", "HELLO: lo ", hello(lo=[0, 1])),
        ("hello, lo is past nx", "HELLO: lo is past nx", hello(lo=[3, 1], nx=[2, 1])),
        ("hello, nx is a float", "HELLO: nx ", hello(nx=[1.0, 1])),
        ("hello, pr is past rx", "HELLO: pr is past rx", hello(rx=[4, 0], pr=[5, 0])),
        ("hello, caps is text", "HELLO: caps ", hello(caps="6")),
        ("hello, win_msgs is negative", "HELLO: win_msgs ", hello(win_msgs=-1)),
        ("hello, max is true", "HELLO: max ", hello(max=True)),
        ("hello, auth is bin", "HELLO: auth ", hello(auth=b"x")),
        ("welcome, v is 2^32", "WELCOME: v ", welcome(v=1 << 32)),
        ("welcome, st is 3", "WELCOME: st ", welcome(st=3)),
        ("welcome, tok of 33 bytes", "WELCOME: tok ", welcome(tok=TOKEN + b"x")),
        ("welcome, sid missing a byte", "WELCOME: sid ", welcome(sid=SID[1:])),
        ("welcome, lo is past nx", "WELCOME: lo is past nx", welcome(lo=[2, 1])),
        ("welcome, pr is past rx", "WELCOME: pr is past rx", welcome(pr=[0, 1])),
        ("welcome, loc is a number", "WELCOME: loc ", welcome(loc=1)),
        ("data, four elements", "DATA: not 5 or 6", [3, 0, 1, b"x"]),
        ("data, seven elements", "DATA: not 5 or 6", [3, 0, 1, 0, b"x", {}, {}]),
        ("data, lane 2", "DATA: lane ", [3, 2, 1, 0, b"x"]),
        ("data, lane is text", "DATA: lane ", [3, "0", 1, 0, b"x"]),
        ("data, number is negative", "DATA: number ", [3, 0, -1, 0, b"x"]),
        ("data, number is 2^63", "DATA: number ", [3, 0, 1 << 63, 0, b"x"]),
        ("data, flags is nil", "DATA: flags ", [3, 0, 1, None, b"x"]),
        ("data, payload is text", "DATA: payload ", [3, 0, 1, 1, "x"]),
        ("data, the sixth is no map", "DATA: the sixth ", [3, 0, 1, 0, b"x", []]),
        ("ack, two elements", "ACK: not 3 or 4", [4, 0]),
        ("ack, five elements", "ACK: not 3 or 4", [4, 0, 1, 1, 1]),
        ("ack, lane is true", "ACK: lane ", [4, True, 1]),
        ("ack, accepted is a float", "ACK: accepted ", [4, 0, 1.5]),
        ("ack, processed past accepted", "ACK: processed ", [4, 0, 5, 6]),
        ("nack, number 0", "NACK: number ", [5, 0, 0, 1, ""]),
        ("nack, code is text", "NACK: code ", [5, 0, 1, "x", ""]),
        ("nack, text is bin", "NACK: text ", [5, 0, 1, 1, b""]),
        ("ping, two elements", "PING: not 3", [6, 1]),
        ("pong, t is negative", "PING, PONG: t ", [7, 1, -1]),
        ("goaway, after_ms is text", "GOAWAY: after_ms ", goaway(after_ms="1")),
        ("goaway, resumable is 1", "GOAWAY: resumable ", goaway(resumable=1)),
        ("close, two elements", "CLOSE: not 3", [9, 1000]),
        ("close, code is 2^32", "CLOSE, REFUSE: code ", [9, 1 << 32, ""]),
        ("refuse, text is nil", "CLOSE, REFUSE: text ", [13, 1, None]),
        ("auth, four elements", "AUTH: not 2 or 3", [10, True, 1, 1]),
        ("auth, token is bin", "AUTH: token ", [10, b"x"]),
        ("auth, ok is 1", "AUTH: ok ", [10, 1, 1]),
        ("gap, from is 0", "GAP: from ", [11, 0, 0, 3, 1]),
        ("gap, to is before from", "GAP: to ", [11, 0, 4, 3, 1]),
        ("gap, four elements", "GAP: not 5", [11, 0, 3, 4]),
        ("part, five elements", "PART: not 4", [12, 0, 1, 0, b"x"]),
        ("part, payload is an array", "PART: payload ", [12, 0, 1, [1]]),
    ]
    raw += [(name, why, pack(frame)) for name, why, frame in wrong]
    return [{"name": name, "hex": data.hex(), "why": why} for name, why, data in raw]


def step(sender: str, frame: list[Any] | str, note: str = "", **marks: bool) -> dict[str, Any]:
    """`lost`: it never arrives.  `wrong`: no sound peer writes it."""
    if isinstance(frame, str):
        return {"from": sender, "does": frame, "note": note}
    shown = {"hex": pack(frame).hex(), "fields": fields(frame)}
    return {"from": sender, "note": note} | marks | shown


def broken_rules(begin: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """What ends a link whoever of the two writes it; the last frame is the wrong one."""
    rules: dict[str, list[list[Any]]] = {
        "a number is skipped": [[3, 0, 2, 0, b"two"]],
        "an ack beyond what was sent": [[4, 0, 1]],
        "a gap past the next number": [[11, 0, 2, 3, 1]],
        "a part past the next number": [[12, 0, 2, b"two"]],
        "a part without a number": [[12, 0, 0, b"none"]],
        "data without a number between parts": [[12, 0, 1, b"one"], [3, 0, 0, 0, b"none"]],
        "a nack of what was not sent": [[5, 0, 1, 1, "no"]],
    }
    made = {}
    for sender, other in (("client", "server"), ("server", "client")):
        for name, frames in rules.items():
            sound = [step(sender, frame) for frame in frames[:-1]]
            wrong = step(sender, frames[-1], wrong=True)
            made[f"{name}, by the {sender}"] = [*begin, *sound, wrong, step(other, "close 4400")]
    return made


def dialogues() -> dict[str, list[dict[str, Any]]]:
    def c(frame: list[Any] | str, note: str = "", **marks: bool) -> dict[str, Any]:
        return step("client", frame, note, **marks)

    def s(frame: list[Any] | str, note: str = "", **marks: bool) -> dict[str, Any]:
        return step("server", frame, note, **marks)

    def back(**changes: Any) -> list[Any]:
        return hello(**({"tok": TOKEN, "inc": INCARNATION} | changes))

    def greet(**changes: Any) -> list[Any]:
        return welcome(**({"caps": 5} | changes))  # its acknowledgements say nothing of processed

    begin = [c(hello(), "a cid the server has never seen"), s(greet(), "st 0")]
    one = [c([3, 0, 1, 1, b"one"], "number 1 of the data lane"), s([4, 0, 1], "within 50 ms")]
    lost = c("lose", "the link is lost")
    again = greet(tok=TOKEN_2, rx=[1, 0], st=2)
    return {
        "begin": [*begin, *one, s([3, 1, 1, 1, b"two"]), c([4, 1, 1, 1], "at once: control lane")],
        "resume, full": [
            *begin,
            *one,
            s([3, 0, 1, 1, b"a"]),
            s([3, 0, 2, 1, b"b"], lost=True),
            c([3, 0, 2, 1, b"two"], lost=True),
            lost,
            c(back(rx=[1, 0], pr=[1, 0], lo=[2, 1], nx=[3, 1]), "2 was written, not acknowledged"),
            s(greet(tok=TOKEN_2, st=2, rx=[1, 0], lo=[2, 1], nx=[3, 1])),
            s([3, 0, 2, 3, b"b"], "flag REPLAY"),
            c([3, 0, 2, 3, b"two"], "flag REPLAY"),
            c([4, 0, 2, 2]),
            s([4, 0, 2]),
        ],
        "resume, nothing new": [
            *begin,
            *one,
            lost,
            c(back(lo=[2, 1], nx=[2, 1])),
            s(again),
        ],
        "resume, partial": [
            *begin,
            s([3, 0, 1, 1, b"a"]),
            lost,
            s("send 2 to 4, then drop 2 and 3", "the ring overflows while no link is there"),
            c(back(rx=[1, 0], pr=[1, 0])),
            s(greet(tok=TOKEN_2, st=1, lo=[4, 1], nx=[5, 1])),
            s([11, 0, 2, 3, 2], "2 and 3 gave way"),
            s([3, 0, 4, 1, b"d"]),
            c([4, 0, 4, 4]),
        ],
        "resume, partial: the ring is gone, the cursor is not": [
            *begin,
            c([3, 0, 1, 1, b"one"]),
            s([4, 0, 1], lost=True),
            s([3, 0, 1, 1, b"a"]),
            s([3, 0, 2, 1, b"b"], lost=True),
            lost,
            s("forget the ring", "its 120 s are over; 24 h of the cursor are not"),
            c(back(rx=[1, 0], pr=[1, 0], nx=[3, 1])),
            s(greet(tok=TOKEN_2, st=1, rx=[1, 0], lo=[3, 1], nx=[3, 1])),
            s([11, 0, 2, 2, 3], "2 is lost"),
            c([3, 0, 2, 1, b"two"], "1 is settled by rx, it is not sent again"),
            c([4, 0, 2, 2]),
            s([4, 0, 2]),
        ],
        "resume, the first WELCOME was lost": [
            c(hello()),
            s(greet(), lost=True),
            lost,
            c(hello(), "no token: none was ever shown"),
            s(greet(tok=TOKEN_2, st=2)),
        ],
        "resume, the second WELCOME was lost": [
            *begin,
            *one,
            lost,
            c(back(lo=[2, 1], nx=[2, 1])),
            s(greet(tok=TOKEN_2, rx=[1, 0], st=2), lost=True),
            lost,
            c(back(lo=[2, 1], nx=[2, 1]), "the token before is valid still"),
            s(greet(tok=TOKEN_2, rx=[1, 0], st=2), "the last token again: a late HELLO voids none"),
        ],
        "refuse, no token": [
            *begin,
            *one,
            lost,
            c(hello(lo=[2, 1], nx=[2, 1]), "a frame under the first token had come", wrong=True),
            s([13, 3, "token"]),
            s("close 4401"),
        ],
        "stale": [
            c(back(lo=[7, 1], nx=[9, 1]), "welcomed before; this server has another incarnation"),
            s([13, 1, "cid_stale"]),
            c(
                hello(cid=bytes(range(0x10, 0x20)), lo=[7, 1], nx=[9, 1]),
                "a new cid on the same link; the numbering goes on, no token, no incarnation",
            ),
            s(greet(rx=[6, 0], pr=[6, 0]), "the base of a new cid is lo - 1"),
            c([3, 0, 7, 3, b"seven"]),
            c([3, 0, 8, 3, b"eight"]),
            s([4, 0, 8]),
        ],
        "refuse, version": [
            c(hello(v=[9]), "a client of a later version", wrong=True),
            s([13, 2, "this server speaks 1"]),
            s("close 4400", "the code of REFUSE counts"),
        ],
        "refuse, auth": [
            *begin,
            lost,
            c(back(tok=bytes(32)), "a wrong token", wrong=True),
            s([13, 3, "token"]),
            s("close 4401"),
        ],
        "refuse, busy": [
            s("take nobody"),
            c(hello()),
            s([13, 4, "r=0;w=500"], "come back within 500 ms"),
            s("close 1013"),
        ],
        "gap": [
            *begin,
            *one,
            c([11, 0, 2, 3, 1], "2 and 3 were cancelled by the client's host"),
            c([3, 0, 4, 1, b"four"]),
            s([4, 0, 4]),
        ],
        "part": [
            *begin,
            c([12, 0, 1, b"first "]),
            c([3, 1, 1, 1, b"urgent"], "passes between two pieces"),
            s([4, 1, 1], "at once"),
            c([12, 0, 1, b"second "]),
            c([3, 0, 1, 1, b"last"], "message 1 is 'first second last'"),
            s([4, 0, 1]),
        ],
        "optimistic start": [
            *begin,
            c([3, 0, 1, 1, b"one"]),
            s([4, 0, 1], lost=True),
            lost,
            c(back(nx=[3, 1])),
            c([3, 0, 1, 3, b"one"], "ahead of WELCOME: a repeat, dropped"),
            s(again),
            c([3, 0, 2, 1, b"two"]),
            s([4, 0, 2], "of the repeat, too"),
        ],
        "an ack is said again": [*begin, *one, s([3, 0, 1, 1, b"a"]), *[c([4, 0, 1, 1])] * 2],
        "an ack goes back, by the client": [
            *begin,
            s([3, 0, 1, 1, b"a"]),
            c([4, 0, 1, 1]),
            c([4, 0, 1, 0], wrong=True),
            s("close 4400"),
        ],
        "an ack goes back, by the server": [
            *begin,
            *one,
            s([4, 0, 0], wrong=True),
            c("close 4400"),
        ],
        **broken_rules(begin),
        "goaway": [
            *begin,
            s(goaway(), "come back on another link within 5 s"),
            *one,
            c("open another link"),
            c(back(lo=[2, 1], nx=[2, 1])),
            s("close 4409", "the old link"),
            s(again),
        ],
        "close": [*begin, *one, c([9, 1000, ""], "the last frame"), c("close 1000")],
    }


def lines(items: list[Any]) -> str:
    return ",\n".join("    " + json.dumps(item, ensure_ascii=False) for item in items)


def written(about: str, parts: dict[str, list[Any]]) -> str:
    body = ",\n".join(
        f"  {json.dumps(name)}: [\n{lines(items)}\n  ]" for name, items in parts.items()
    )
    return f'{{\n  "about": {json.dumps(about)},\n{body}\n}}\n'


def wrapped(data: str) -> str:
    return "\n".join(data[at : at + 96] for at in range(0, len(data), 96))


def example() -> str:
    """The section of docs/protocol.md that shows bytes."""
    out = []
    for name in ("begin", "resume, full"):
        out.append(f"### {name}\n")
        for line in dialogues()[name]:
            note = f": {line['note']}" if line["note"] else ""
            if "hex" not in line:
                out.append(f"{line['from']}, {line['does']}{note}\n")
                continue
            rest = {key: value for key, value in line["fields"].items() if key != "type"}
            shown_fields = json.dumps(rest, ensure_ascii=False)
            out.append(f"{line['from']}, {line['fields']['type']}{note}\n")
            out.append(f"```\n{wrapped(line['hex'])}\n{shown_fields}\n```\n")
    return "\n".join(out)


BEGIN = "<!-- example: written by tests/vectors/make.py -->\n"
END = "<!-- end of example -->\n"


def with_example(page: str) -> str:
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{example()}\n{END}{rest.split(END)[1]}"


FRAMES_ABOUT = (
    "Frames of steadwire.v1. good: hex <-> fields (bytes as hex); shortest: these bytes are what "
    "an encoder that writes shortest forms and the key order of docs/protocol.md gives. malformed: "
    "to be refused with 4400; why: a part of our decoder's sentence."
)
DIALOGUES_ABOUT = (
    "Who sends what, in order. A step without hex is something done. sid, tok, inc and texts are "
    "the sender's choice; acknowledgements may be fewer. lost: it never arrives. wrong: no sound "
    "peer writes it; such a dialogue tests the other role alone. Every other one runs against "
    "either: play one side, and see that what comes is what the other side's steps say."
)


def main() -> int:
    folder = Path(__file__).resolve().parent
    page = folder.parents[1] / "docs" / "protocol.md"
    files = {
        page: with_example(page.read_text(encoding="utf-8")),
        folder / "frames.json": written(FRAMES_ABOUT, {"good": good(), "malformed": malformed()}),
        folder / "dialogues.json": written(DIALOGUES_ABOUT, dict(dialogues())),
    }
    status = 0
    for path, text in files.items():
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"{path.name} is not what make.py writes")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
