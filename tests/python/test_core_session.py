"""steadwire._core.Session: the server's side of steadwire.v1, driven with bytes."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from steadwire import _core, errors

CID = bytes(range(16))
NS_PER_MS = 1_000_000
MESSAGE, GAP, PROOF, REJECTED, AUTH, CLOSED = range(1, 7)


def pack(value: Any) -> bytes:
    """The msgpack of the few types that frames need."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return bytes([value]) if value < 128 else b"\xcf" + value.to_bytes(8, "big")
    if isinstance(value, str):
        data = value.encode()
        return b"\xd9" + bytes([len(data)]) + data
    if isinstance(value, bytes):
        return b"\xc6" + len(value).to_bytes(4, "big") + value
    if isinstance(value, dict):
        pairs = b"".join(pack(key) + pack(item) for key, item in value.items())
        return bytes([0x80 | len(value)]) + pairs
    return bytes([0x90 | len(value)]) + b"".join(pack(item) for item in value)


def hello(**fields: Any) -> bytes:
    said: dict[str, Any] = {
        "v": [1],
        "cid": CID,
        "rx": [0, 0],
        "lo": [1, 1],
        "nx": [1, 1],
        "pr": [0, 0],
    }
    said |= dict.fromkeys(("caps", "win_msgs", "win_bytes", "max", "idle_ms"), 0)
    return pack([1, said | fields])


def opened(**options: Any) -> tuple[_core.Session, int]:
    session = _core.Session(**options)
    link, refusal, why = session.open(hello(), "alice", 7, bytes(48), False, "", 0)
    assert (refusal, why) == (0, "")
    assert session.take(link, 0)
    return session, link


def test_a_hello_says_whose_session_it_is() -> None:
    cid, has_token, incarnation, auth, received, processed, lowest, following = _core.hello_read(
        hello(auth="secret")
    )
    assert (cid, has_token, incarnation, auth) == (CID, False, None, b"secret")
    assert (received, processed, lowest, following) == ((0, 0), (0, 0), (1, 1), (1, 1))


def test_what_is_no_hello_raises_with_a_close_code() -> None:
    for data in (b"", b"\xc1", pack([6, 1, 2]), hello(nx=[0, 0])):
        with pytest.raises(errors.SessionProtocolError) as raised:
            _core.hello_read(data)
        assert raised.value.close_code == 4400
        assert raised.value.status == "protocol"


def test_messages_arrive_as_str_and_bytes_and_are_acknowledged_in_time() -> None:
    session, link = opened()
    assert session.receive(link, pack([3, 0, 1, 1, b"text"]), 0) == (MESSAGE, 0, 1, "text", False)
    item = session.receive(link, bytearray(pack([3, 0, 2, 2, b"\xff"])), 0)
    assert item == (MESSAGE, 0, 2, b"\xff", True)
    assert session.receive(link, pack([3, 0, 2, 0, b"again"]), 0) is None
    gap = session.receive(link, pack([11, 0, 3, 5, 1]), 0)
    assert gap is not None
    assert gap[:4] == (GAP, 0, 3, 5)
    assert session.deadline() == 50 * NS_PER_MS
    assert session.take(link, 0) is None
    assert session.take(link, 50 * NS_PER_MS) == pack([4, 0, 5])
    assert session.deadline() is None


def test_what_is_sent_is_kept_until_the_client_has_it() -> None:
    session, link = opened()
    assert [session.send(0, "one"), session.send(0, b"two"), session.send(1, b"now")] == [1, 2, 1]
    frames = [session.take(link, 0) for _ in range(3)]
    assert [frame[-3:] for frame in frames if frame] == [b"now", b"one", b"two"]
    assert session.receive(link, pack([4, 0, 1]), 0) == (PROOF, 0, 1, 0, 2)
    data_lane, control_lane = session.look()[5:]
    assert (data_lane["kept"], control_lane["kept"]) == (1, 1)


def test_a_session_goes_on_from_its_saved_state() -> None:
    session, link = opened()
    session.receive(link, pack([3, 0, 1, 0, b"x"]), 0)
    session.send(0, "kept")
    token_hello = hello(nx=[2, 1])
    other = _core.Session()
    other.load(session.save())
    other.restore(0, 1, "kept")
    assert other.open(token_hello, "alice", 7, bytes(48), False, "", 0)[1] == 3
    link, refusal, _why = other.open(token_hello, "alice", 7, bytes(48), True, "", 0)
    assert refusal == 0
    assert other.take(link, 0)
    frame = other.take(link, 0)
    assert frame is not None
    assert frame.endswith(b"kept")
    with pytest.raises(errors.FormatError):
        _core.Session().load(b"SW")


def test_an_old_link_is_fenced() -> None:
    session, link = opened()
    newer = session.open(hello(), "alice", 7, bytes(48), False, "", 0)[0]
    with pytest.raises(errors.StateError) as raised:
        session.receive(link, pack([6, 1, 2]), 0)
    assert vars(raised.value)["close_code"] == 4409
    session.receive(newer, pack([6, 1, 2]), 0)


def test_broken_rules_raise_with_a_close_code() -> None:
    session, link = opened()
    with pytest.raises(errors.SessionProtocolError, match="number 2") as raised:
        session.receive(link, pack([3, 0, 2, 0, b""]), 0)
    assert raised.value.close_code == 4400


def test_the_end_of_a_link_is_a_frame_behind_the_acknowledgements() -> None:
    session, link = opened(says_processed=True, accepts_later=True)
    session.receive(link, pack([3, 0, 1, 0, b"x"]), 0)
    session.accept(0, 1, 0)
    session.processed(0, 1, 0)
    session.auth(True, 1000)
    session.goaway(1, 2, "wss://other/", 1012)
    session.close(1000, "done")
    frames = [session.take(link, 0) for _ in range(4)]
    assert [frame[1] for frame in frames if frame] == [10, 4, 9]
    assert session.receive(link, pack([9, 1000, "bye"]), 0) == (CLOSED, 1000, "bye")
    session.lost(link)


def test_refusals_are_frames() -> None:
    assert _core.refusal_write(1, "stale")[:3] == bytes([0x93, 13, 1])
    with pytest.raises(errors.ArgumentError):
        _core.refusal_write(9, "")


def test_wrong_arguments_raise() -> None:
    session, link = opened()
    wrong: dict[str, Any] = {"rings": 1}
    with pytest.raises(TypeError, match="no option 'rings'"):
        _core.Session(**wrong)
    with pytest.raises(ValueError, match="1 GiB"):
        _core.Session(message_max=1 << 40)
    with pytest.raises(ValueError, match="a lane"):
        session.send(2, "x")
    with pytest.raises(ValueError, match="48 bytes"):
        session.open(hello(), "alice", 7, b"", False, "", 0)
    with pytest.raises(errors.ArgumentError):
        session.accept(0, 1, 0)


def test_nothing_is_left_behind() -> None:
    for _ in range(100):
        session, link = opened()
        session.receive(link, pack([3, 0, 1, 0, b"x"]), 0)
        del session
    gc.collect()
    assert not [item for item in gc.get_objects() if isinstance(item, _core.Session)]
