"""Writes the seeds of fuzz_xmpp_sm and fuzz_xmpp_negotiate into corpus/xmpp_sm and
corpus/xmpp_negotiate: `python3 tests/fuzz/make_xmpp_corpus.py`.

The words are those of xmpp_input.h, the steps those of the two targets.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
HEADER = (HERE / "xmpp_input.h").read_text()

CLIENT = "jabber:client"
STREAM = "http://etherx.jabber.org/streams"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SM = "urn:xmpp:sm:3"
STREAMS = "urn:ietf:params:xml:ns:xmpp-streams"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"


def words(name: str) -> list[str]:
    """A list of strings of the header."""
    found = re.search(rf"\b{name}\[\] = \{{(.*?)\}};", HEADER, re.DOTALL)
    assert found, name
    return re.findall(r'"([^"]*)"', found[1])


NAMES, SPACES, KEYS, VALUES = words("names"), words("spaces"), words("keys"), words("values")


def value(text: str) -> bytes:
    if text in VALUES:
        return bytes([VALUES.index(text)])
    data = text.encode()
    return bytes([len(VALUES), len(data)]) + data


def element(name: str, space: str, *children: bytes | str, **attributes: str) -> bytes:
    out = bytes([NAMES.index(name), SPACES.index(space), len(attributes)])
    for key, text in attributes.items():
        out += bytes([KEYS.index(key.replace("_", "-").rstrip("-"))]) + value(text)
    out += bytes([len(children)])
    for child in children:
        out += b"\x00" + value(child) if isinstance(child, str) else b"\x01" + child
    return out


# --- stream management ----------------------------------------------------------------------------

NEW, RESUME, LOSE, WRITE, RECEIVE, HANDLE, MOVE, LEND, FORGET, HEAR = 0, 1, 2, 3, 5, 6, 7, 8, 9, 10
DATA, CONTROL, OWN = 1, 0, 2


def hear(name: str, **attributes: str) -> bytes:
    return bytes([HEAR]) + element(name, SM, **attributes)


def write(*kinds: int) -> bytes:
    return b"".join(bytes([WRITE, kind]) for kind in kinds)


ENABLED = bytes([NEW]) + hear("enabled", id="old", resume="true", max="2", location="c.example:1")
RESUMED = bytes([LOSE, RESUME])


def stream_management() -> dict[str, bytes]:
    three = write(DATA, DATA, DATA)
    inbound = bytes([RECEIVE, 0] * 4 + [HANDLE, 2])
    return {
        "acks": ENABLED + three + hear("a", h="1") + write(OWN, CONTROL) + hear("a", h="5"),
        "asked": ENABLED + inbound + hear("r"),
        "before_enabled": bytes([NEW]) + three + hear("enabled", id="old", resume="true"),
        "resumed": ENABLED + three + inbound + RESUMED + hear("resumed", previd="old", h="2"),
        "repeats": ENABLED
        + inbound
        + RESUMED
        + hear("resumed", previd="old", h="0")
        + bytes([RECEIVE, 0] * 3),
        "refused": ENABLED + three + RESUMED + hear("failed", h="1") + ENABLED + three,
        "refused_without_h": ENABLED + three + RESUMED + hear("failed") + ENABLED + three,
        "not_enabled": bytes([NEW]) + hear("failed") + three,
        "too_high": ENABLED + three + hear("a", h="4"),
        "gone_back": ENABLED + three + hear("a", h="2") + hear("a", h="1"),
        "wrong_previd": ENABLED + RESUMED + hear("resumed", previd="b", h="0"),
        "no_number": ENABLED + hear("a", h="4294967296"),
        "not_asked_for": ENABLED + hear("resumed", previd="old", h="0"),
        "long_id": bytes([NEW]) + hear("enabled", id="x" * 200, resume="true"),
        "many_runs": ENABLED + bytes([LEND, 39]) + write(*[DATA, OWN] * 18) + hear("a", h="2"),
        "moved": ENABLED
        + three
        + inbound
        + bytes([MOVE, 1])
        + RESUMED
        + hear("resumed", previd="old", h="10"),
        "damaged": ENABLED + three + bytes([MOVE, 0, 4, 0, 1]),
        "forgotten": ENABLED + three + bytes([FORGET]) + ENABLED,
    }


# --- negotiation ----------------------------------------------------------------------------------

ELEMENT, SASL_OUTPUT, CLAIM, AGAIN = 0, 4, 6, 7
TLS, PASSWORD, CERTIFICATE, BINDING, NO_SM, STRONG, NOBODY = 2, 4, 8, 16, 32, 64, 1
USUAL = TLS | PASSWORD


def say(name: str, space: str, *children: bytes | str, **attributes: str) -> bytes:
    return bytes([ELEMENT]) + element(name, space, *children, **attributes)


def offer(*mechanisms: str) -> bytes:
    items = [element("mechanism", SASL, mechanism) for mechanism in mechanisms]
    return say("features", STREAM, element("mechanisms", SASL, *items))


def output(text: str, *, is_verified: bool = False, fails: bool = False) -> bytes:
    bits = (2 if is_verified else 0) | (12 if fails else 0)
    return bytes([SASL_OUTPUT | bits << 3]) + value(text)


PLAIN = offer("PLAIN") + output("cj0=", is_verified=True) + say("success", SASL)
SCRAM = (
    offer("SCRAM-SHA-1", "PLAIN")
    + output("cj0=")
    + say("challenge", SASL, "cj0=")
    + output("cj0=")
    + say("success", SASL, "cj0=")
    + output("=", is_verified=True)
)
SESSION = say("features", STREAM, element("bind", BIND), element("sm", SM)) + bytes([CLAIM])
BOUND = say(
    "iq", CLIENT, element("bind", BIND, element("jid", BIND, "a@b/c")), type="result", id="bind"
)
READY = say("enabled", SM, id="old", resume="true")
LOGIN = PLAIN + SESSION + BOUND + READY
NEXT = bytes([AGAIN]) + PLAIN + SESSION


def failure(condition: str) -> bytes:
    return say("failure", SASL, element(condition, SASL), element("text", SASL, "too big"))


def stream_error(condition: str, *children: str) -> bytes:
    return say("error", STREAM, element(condition, STREAMS, *children))


def negotiation() -> dict[str, bytes]:
    seeds = {
        "plain": LOGIN,
        "scram": SCRAM + SESSION + BOUND + READY,
        "websocket": say("open", FRAMING) + PLAIN + say("open", FRAMING) + SESSION,
        "resumed": LOGIN + NEXT + say("resumed", SM, previd="old", h="0"),
        "refused": LOGIN
        + NEXT
        + say("failed", SM, element("item-not-found", STANZAS), h="0")
        + BOUND
        + READY,
        "too_high": LOGIN + NEXT + say("resumed", SM, previd="old", h="2"),
        "no_sm": PLAIN + say("features", STREAM, element("bind", BIND)) + bytes([CLAIM]) + BOUND,
        "not_bound": PLAIN
        + SESSION
        + say(
            "iq",
            CLIENT,
            element("error", CLIENT, element("conflict", STANZAS)),
            type="error",
            id="bind",
        ),
        "stanza_before_enabled": PLAIN + SESSION + BOUND + say("message", CLIENT) + READY,
        "no_mechanism": offer(),
        "wrong_password": offer("PLAIN")
        + output("cj0=", is_verified=True)
        + failure("not-authorized"),
        "next_mechanism": offer("SCRAM-SHA-256", "SCRAM-SHA-1")
        + output("cj0=")
        + failure("invalid-mechanism")
        + output("cj0="),
        "unproven": offer("SCRAM-SHA-1") + output("cj0=") + say("success", SASL),
        "challenges": offer("SCRAM-SHA-1")
        + output("cj0=")
        + (say("challenge", SASL, "=") + output("cj0=")) * 9,
        "sasl_fails": offer("SCRAM-SHA-1") + output("cj0=", fails=True),
        "conflict": PLAIN + stream_error("conflict"),
        "see_other_host": stream_error("see-other-host", "c.example:1"),
        "too_big": say(
            "error",
            STREAM,
            element("policy-violation", STREAMS),
            element("text", STREAMS, "too big"),
        ),
        "close": say("close", FRAMING, see_other_uri="c.example:1"),
        "strangers": say("a", "urn:other") * 40,
    }
    found = {name: bytes([USUAL]) + steps for name, steps in seeds.items()}
    found["plain_in_clear"] = bytes([PASSWORD]) + offer("PLAIN")
    found["downgrade"] = bytes([USUAL | STRONG]) + offer("PLAIN")
    found["external"] = (
        bytes([USUAL | CERTIFICATE])
        + offer("EXTERNAL", "PLAIN")
        + output("=", is_verified=True)
        + failure("not-authorized")
        + output("cj0=", is_verified=True)
    )
    found["binding"] = bytes([USUAL | BINDING]) + offer("SCRAM-SHA-1-PLUS", "SCRAM-SHA-1")
    found["anonymous"] = bytes([TLS | NOBODY]) + offer("ANONYMOUS") + output("=", is_verified=True)
    found["unwanted_sm"] = bytes([USUAL | NO_SM]) + PLAIN + SESSION + BOUND
    address = "Ro\u00e9@B.example./R \u2603".encode()
    found["address"] = bytes([USUAL, AGAIN, len(address)]) + address
    return found


def main() -> None:
    for target, seeds in (("xmpp_sm", stream_management()), ("xmpp_negotiate", negotiation())):
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in seeds.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
