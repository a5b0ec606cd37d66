"""Servers that are hostile once the WebSocket connection is up (RFC 6455 sections 5 to 8)."""

from __future__ import annotations

import asyncio
import itertools
import socket

from peers import ws
from peers.hostile_base import (
    ONLINE,
    Handler,
    Peer,
    Scenario,
    frames_then_wait,
    scenario,
    table,
)

MESSAGE_LIMIT = 16 * 2**20
SILENCE_BOUND_S = 10.0
FLOOD_FRAMES = 200_000
FLOOD_BATCH = 1_000
EMPTY_FRAGMENTS = 1_000_000


def breach(name: str, code: int, *pieces: bytes, cause: str = "frame_error") -> Scenario:
    """A breach of the protocol that the client must refuse with this close code."""
    handler: Handler = frames_then_wait(*pieces)
    return Scenario(name, handler, frozenset([cause]), 2.0, code)


BREACHES = [
    breach("ping_1000", 1002, ws.encode(ws.PING, b"a" * 1000)),
    breach("fragmented_ping", 1002, ws.encode(ws.PING, b"a", fin=False)),
    breach("masked_frame", 1002, ws.encode(ws.TEXT, b"hello", mask=b"mask")),
    breach("reserved_bits", 1002, ws.encode(ws.TEXT, b"hello", rsv=2)),
    breach("unasked_compression", 1002, ws.encode(ws.TEXT, b"\xcaH\xcd\xc9\xc9\x07\x00", rsv=4)),
    breach("reserved_opcode", 1002, ws.encode(0x3, b"hello")),
    breach("reserved_control_opcode", 1002, ws.encode(0xB, b"hello")),
    breach("length_2_63", 1002, ws.encode(ws.BINARY, b"a", length=1 << 63)),
    breach("long_form_of_short_length", 1002, b"\x81\x7e\x00\x05hello"),
    breach("continuation_without_start", 1002, ws.encode(ws.CONTINUATION, b"hello")),
    breach(
        "message_inside_fragments",
        1002,
        ws.encode(ws.TEXT, b"he", fin=False),
        ws.encode(ws.TEXT, b"llo"),
    ),
    breach("invalid_utf8", 1007, ws.encode(ws.TEXT, b"\xff\xfe")),
    breach(
        "late_invalid_utf8",
        1007,
        ws.encode(ws.TEXT, b"a" * 100_000, fin=False),
        ws.encode(ws.CONTINUATION, b"b" * 100_000 + b"\xe2\x82"),
    ),
    breach("close_code_1005", 1002, ws.close(1005)),
    breach("close_code_999", 1002, ws.close(999)),
    breach("close_payload_1_byte", 1002, ws.encode(ws.CLOSE, b"\x03")),
    breach("close_reason_bad_utf8", 1007, ws.encode(ws.CLOSE, b"\x03\xe8\xff\xfe")),
    breach(
        "huge_length_announced",
        1009,
        ws.encode(ws.BINARY, b"a", length=1 << 40),
        cause="inbound_too_big",
    ),
    breach(
        "message_over_limit",
        1009,
        ws.encode(ws.BINARY, bytes(MESSAGE_LIMIT + 1)),
        cause="inbound_too_big",
    ),
    breach(
        "fragments_over_limit",
        1009,
        ws.encode(ws.BINARY, b"", fin=False),
        *itertools.repeat(ws.encode(ws.CONTINUATION, bytes(2**20), fin=False), 20),
        cause="inbound_too_big",
    ),
]


async def _flood(peer: Peer, frame: bytes, count: int, last: bytes) -> None:
    await peer.upgrade()
    reading = asyncio.create_task(peer.until_gone())
    for _ in range(count // FLOOD_BATCH):
        await peer.send(frame * FLOOD_BATCH)
    await peer.send(last)
    await reading


@scenario(ONLINE, bound_s=10.0, most_connects=1)
async def ping_flood(peer: Peer) -> None:
    """Pings without a pause, then one message: a client may drop PONGs for all but the last."""
    await _flood(peer, ws.encode(ws.PING, b"flood"), FLOOD_FRAMES, ws.encode(ws.TEXT, b"end"))


@scenario(ONLINE, bound_s=10.0, most_connects=1)
async def pong_flood(peer: Peer) -> None:
    """PONGs that nobody asked for, then one message."""
    await _flood(peer, ws.encode(ws.PONG, b"flood"), FLOOD_FRAMES, ws.encode(ws.TEXT, b"end"))


@scenario(ONLINE, "frame_error", "inbound_too_big", bound_s=10.0, most_connects=1)
async def empty_fragments(peer: Peer) -> None:
    """One message of a million empty fragments, which is legal."""
    start = ws.encode(ws.TEXT, b"", fin=False)
    await peer.upgrade(start)
    reading = asyncio.create_task(peer.until_gone())
    for _ in range(EMPTY_FRAGMENTS // FLOOD_BATCH):
        await peer.send(ws.encode(ws.CONTINUATION, b"", fin=False) * FLOOD_BATCH)
    await peer.send(ws.encode(ws.CONTINUATION, b"end"))
    await reading


@scenario("close_normal", close_code=1000)
async def close_then_data(peer: Peer) -> None:
    """Data behind the CLOSE frame, in the same segment: it must not be delivered."""
    await peer.upgrade()
    await peer.send(ws.close(1000) + ws.encode(ws.TEXT, b"after the end"))
    await peer.until_gone()


@scenario(ONLINE, bound_s=10.0, most_connects=1)
async def ignores_close(peer: Peer) -> None:
    """Never answers a CLOSE and never ends TCP: closing must end by the client's own deadline."""
    await peer.upgrade()
    await peer.until_gone()
    await asyncio.sleep(30)


@scenario("abnormal_fin")
async def half_close(peer: Peer) -> None:
    """FIN without CLOSE, but goes on reading."""
    await peer.upgrade()
    peer.end()
    await peer.until_gone()


@scenario("abnormal_fin")
async def fin_mid_frame(peer: Peer) -> None:
    """FIN in the middle of a frame."""
    await peer.upgrade(ws.encode(ws.BINARY, b"a" * 10, length=1000))
    peer.end()
    await peer.until_gone()


@scenario("abnormal_rst", "abnormal_fin", "tcp_reset", "upgrade_eof")
async def rst_mid_frame(peer: Peer) -> None:
    """RST in the middle of a frame; it may overtake the upgrade's answer."""
    await peer.upgrade(ws.encode(ws.BINARY, b"a" * 10, length=1000))
    peer.reset()


@scenario("heartbeat_timeout", bound_s=SILENCE_BOUND_S, needs_traffic=True)
async def zero_window(peer: Peer) -> None:
    """Completes the upgrade and never reads again."""
    await peer.upgrade()
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    transport = peer.writer.transport
    assert isinstance(transport, asyncio.ReadTransport)
    transport.pause_reading()
    await asyncio.sleep(60)


@scenario("heartbeat_timeout", bound_s=SILENCE_BOUND_S, needs_traffic=True)
async def frame_never_finished(peer: Peer) -> None:
    """Announces 1,000 bytes, sends 10, and is silent from then on."""
    await peer.upgrade(ws.encode(ws.BINARY, b"a" * 10, length=1000))
    await peer.until_gone(is_mute=True)


SCENARIOS: dict[str, Scenario] = {
    **{one.name: one for one in BREACHES},
    **table(list(globals().values())),
}
