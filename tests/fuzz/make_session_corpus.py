"""Writes the seeds of fuzz_session into corpus/session from tests/vectors/dialogues.json:
`python3 tests/fuzz/make_session_corpus.py`.

Each dialogue makes two: what the client writes for the server's role, what the server writes for
the client's.  The steps are those of fuzz_session.c.
"""

import json
import re
from pathlib import Path
from typing import Any

RAW, TAKE, CALL = 0, 6, 7
HELLO, WRITE = 4, 6
SERVER, CLIENT = 0b00111010, 1
LATER = 0x70  # 70 ms pass


def raw(step: dict[str, Any]) -> bytes:
    data = bytes.fromhex(step["hex"])
    return bytes([RAW | LATER]) + len(data).to_bytes(2, "little") + data


def for_server(steps: list[dict[str, Any]]) -> bytes:
    out = bytes([SERVER])
    for step in steps:
        if step["from"] == "client" and "hex" in step:
            out += raw(step) + bytes([TAKE | LATER])
        elif "hex" in step and step["fields"]["type"] == "DATA":
            out += bytes([CALL, 2, step["fields"]["lane"], 5, 0, TAKE])
    return out


def for_client(steps: list[dict[str, Any]]) -> bytes:
    out = bytes([CLIENT])
    for step in steps:
        if step["from"] == "server" and "hex" in step:
            out += raw(step)
        elif "hex" in step and step["fields"]["type"] == "HELLO":
            out += bytes([HELLO, 9, 9])
        elif "hex" in step and step["fields"]["type"] == "DATA":
            out += bytes([WRITE, step["fields"]["lane"], 0])
    return out + bytes([CALL | LATER, 1, 0])


DATA = bytes([1, 0, 1, 1, 0, 5])
PART = bytes([1, 0, 10, 1, 5])
SEND = bytes([CALL, 2, 0, 5, 0])
BEGIN = bytes([5, 0, 0, 0, 99, 0, 0, 99])
SMALL = bytes([5, 4, 2, 0, 0, 0, 99, 0, 0, 99])  # a window of 3 messages


def full() -> dict[str, bytes]:
    """Windows and rings just filled, and messages in parts."""
    accept = bytes([CALL, 0, 0, 3])
    return {
        "server_window": bytes([8]) + BEGIN + DATA * 8 + accept + DATA,
        "server_ring": bytes([0]) + SMALL + bytes([TAKE]) + (SEND + bytes([TAKE])) * 5,
        "server_parts": bytes([0]) + BEGIN + (PART * 2 + DATA) * 3,
    }


def main() -> None:
    here = Path(__file__).resolve().parent
    folder = here / "corpus" / "session"
    folder.mkdir(parents=True, exist_ok=True)
    dialogues = json.loads((here.parent / "vectors" / "dialogues.json").read_text(encoding="utf-8"))
    del dialogues["about"]
    for name, seed in full().items():
        (folder / name).write_bytes(seed)
    for name, steps in dialogues.items():
        plain = re.sub(r"\W+", "_", name)
        (folder / f"server_{plain}").write_bytes(for_server(steps))
        (folder / f"client_{plain}").write_bytes(for_client(steps))


if __name__ == "__main__":
    main()
