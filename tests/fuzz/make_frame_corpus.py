"""Writes the seeds of fuzz_frame into corpus/frame: `python3 tests/fuzz/make_frame_corpus.py`.

Each seed is one option byte (bit 0: role, bits 1-3: limit), one byte that seeds the cuts, and wire
bytes: legal traffic of both roles and one input for each rule of RFC 6455 that the codec enforces.
"""

from pathlib import Path

CLIENT, SERVER = 0, 1
LIMIT_126, LIMIT_1_MIB = 3, 6
MASK = b"\x37\xfa\x21\x3d"

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = False) -> bytes:
    mask_bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        length = bytes([mask_bit | size])
    elif size < 65536:
        length = bytes([mask_bit | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([mask_bit | 127]) + size.to_bytes(8, "big")
    head = bytes([(0x80 if fin else 0) | opcode]) + length
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))


def seed(wire: bytes, role: int = CLIENT, limit: int = LIMIT_1_MIB) -> bytes:
    return bytes([limit << 1 | role, 0x5A]) + wire


def legal(masked: bool) -> dict[str, bytes]:
    snowman = "snow \N{SNOWMAN} and \N{GRINNING FACE}".encode()
    return {
        "text": frame(TEXT, b"Hello", masked=masked),
        "text_multibyte": frame(TEXT, snowman, masked=masked),
        "binary_126": frame(BINARY, bytes(range(126)), masked=masked),
        "binary_16_bit": frame(BINARY, b"b" * 300, masked=masked),
        "fragments": frame(TEXT, snowman[:6], fin=False, masked=masked)
        + frame(PING, b"between", masked=masked)
        + frame(CONTINUATION, b"", fin=False, masked=masked)
        + frame(CONTINUATION, snowman[6:], masked=masked),
        "controls": frame(PING, b"", masked=masked) + frame(PONG, b"p" * 125, masked=masked),
        "close": frame(CLOSE, b"\x03\xf4r=1000;w=500", masked=masked),
        "close_empty": frame(CLOSE, b"", masked=masked) + frame(TEXT, b"late", masked=masked),
    }


def broken() -> dict[str, bytes]:
    return {
        "reserved_bit": b"\xc1\x00",
        "masked": frame(TEXT, b"Hello", masked=True),
        "data_opcode": b"\x83\x00",
        "control_opcode": b"\x8b\x00",
        "control_fragmented": b"\x09\x00",
        "control_long": b"\x89\x7e\x00\x7e" + b"x" * 126,
        "nothing_to_continue": b"\x80\x00",
        "message_in_message": b"\x01\x00\x81\x00",
        "length_16_not_shortest": b"\x82\x7e\x00\x7d",
        "length_64_not_shortest": b"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff",
        "length_top_bit": b"\x82\x7f\x80" + b"\x00" * 7,
        "length_63_bit": b"\x82\x7f\x7f" + b"\xff" * 7 + b"some",
        "text_invalid": frame(TEXT, b"\xce\xba\xed\xa0\x80edited"),
        "text_cut": frame(TEXT, b"\xf0\x9f\x98"),
        "close_half_code": frame(CLOSE, b"\x03"),
        "close_code_1005": frame(CLOSE, b"\x03\xed"),
        "close_reason": frame(CLOSE, b"\x03\xe8\xff"),
    }


def seeds() -> dict[str, bytes]:
    found = {f"client_{name}": seed(wire) for name, wire in legal(masked=False).items()}
    found |= {f"server_{name}": seed(wire, SERVER) for name, wire in legal(masked=True).items()}
    found |= {f"broken_{name}": seed(wire) for name, wire in broken().items()}
    found["broken_unmasked"] = seed(frame(TEXT, b"Hello"), SERVER)
    found["broken_too_big"] = seed(frame(BINARY, b"b" * 127), limit=LIMIT_126)
    found["client_all"] = seed(b"".join(legal(masked=False).values()))
    found["server_all"] = seed(b"".join(legal(masked=True).values()), SERVER)
    return found


def main() -> None:
    folder = Path(__file__).parent / "corpus" / "frame"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in seeds().items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
