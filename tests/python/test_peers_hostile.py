"""Each hostile server does what its name says, seen with raw sockets and with an independent
client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from peers import hostile, ws
from peers.hostile import SCENARIOS, Address
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

SOON_S = 5.0
SHORT_S = 0.3
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
REQUEST = (
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
).encode()
NEVER_UP = [
    "never_accept",
    "accept_silent",
    "slow_handshake",
    "endless_headers",
    "endless_status_line",
    "informational_flood",
]
REFUSED = [
    "wrong_accept",
    "no_accept",
    "no_upgrade_header",
    "unasked_extension",
    "unasked_subprotocol",
    "ok_200",
    "http_1_0",
    "garbage",
    "eof_before_answer",
    "rst_before_answer",
    "eof_in_headers",
]
# The independent client takes these, or answers with another code.
LENIENT = {"long_form_of_short_length", "length_2_63", "close_code_1005", "close_code_999"}
CLOSED_BY_CLIENT = [
    name
    for name, one in SCENARIOS.items()
    if one.close_code not in (None, 1000) and name not in LENIENT
]


@contextlib.asynccontextmanager
async def raw(name: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """An upgrade request sent by hand."""
    async with hostile.serve(name) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(REQUEST)
        try:
            async with asyncio.timeout(SOON_S):
                yield reader, writer
        finally:
            writer.close()


async def code_sent_by_client(place: Address) -> int | None:
    async with asyncio.timeout(SOON_S):
        while not place.seen.close_codes:
            await asyncio.sleep(0)
    return place.seen.close_codes[0]


def test_the_table_is_complete() -> None:
    assert len(SCENARIOS) >= 40
    for name, one in SCENARIOS.items():
        assert one.name == name
        assert one.causes and one.bound_s > 0


@pytest.mark.parametrize("name", NEVER_UP)
async def test_the_handshake_never_ends(name: str) -> None:
    async with hostile.serve(name) as place:
        with pytest.raises((TimeoutError, InvalidHandshake)) as failed:
            await connect(place.url, open_timeout=SHORT_S, proxy=None)
        if failed.type is not TimeoutError:
            assert name.startswith("endless") or name == "informational_flood"


@pytest.mark.parametrize("name", REFUSED)
async def test_the_handshake_is_refused(name: str) -> None:
    async with hostile.serve(name) as place:
        with pytest.raises((InvalidHandshake, OSError, EOFError)):
            await connect(place.url, open_timeout=SOON_S, proxy=None)
        assert place.seen.upgrades == 1


@pytest.mark.parametrize("name", CLOSED_BY_CLIENT)
async def test_an_independent_client_closes_with_the_stated_code(name: str) -> None:
    async with hostile.serve(name) as place:
        async with connect(place.url, ping_interval=None, close_timeout=0.1) as conn:
            receiving = asyncio.create_task(conn.recv())
            assert await code_sent_by_client(place) == SCENARIOS[name].close_code
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)


@pytest.mark.parametrize("name", ["ping_flood", "pong_flood"])
async def test_a_flood_is_followed_by_one_message(name: str) -> None:
    async with raw(name) as (reader, _writer):
        await reader.readuntil(b"\r\n\r\n")
        count = 0
        while (frame := await ws.read_frame(reader)).opcode != ws.TEXT:
            count += 1
            if count == 2000:
                break
        assert frame.payload == b"flood"


async def test_a_million_empty_fragments_make_one_message() -> None:
    async with hostile.serve("empty_fragments") as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(REQUEST)
        size, tail = 0, b""
        async with asyncio.timeout(60):
            while not tail.endswith(b"\x80\x03end"):
                chunk = await reader.read(2**16)
                size, tail = size + len(chunk), (tail + chunk)[-5:]
        assert size > 2_000_000
        writer.close()


async def test_a_redirect_leads_back_to_the_same_place() -> None:
    async with raw("redirect_loop") as (reader, _writer):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 302 ") and b"Location: http://x/again" in head


async def test_the_401_comes_with_a_huge_body() -> None:
    async with raw("huge_401_body") as (reader, _writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 ") and b"209715200" in head
        assert len(await reader.readexactly(2**22)) == 2**22


async def test_data_follows_the_close_frame() -> None:
    async with raw("close_then_data") as (reader, _writer):
        await reader.readuntil(b"\r\n\r\n")
        assert (await ws.read_frame(reader)).close_code == 1000
        assert (await ws.read_frame(reader)).payload == b"after the end"


async def test_after_the_half_close_the_server_still_reads() -> None:
    async with raw("half_close") as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == b""
        writer.write(ws.encode(ws.TEXT, b"hello", mask=b"mask"))
        await writer.drain()


@pytest.mark.parametrize(("name", "is_reset"), [("fin_mid_frame", False), ("rst_mid_frame", True)])
async def test_the_stream_ends_inside_a_frame(name: str, is_reset: bool) -> None:
    async with raw(name) as (reader, _writer):
        try:
            assert (await reader.read())[-10:] == b"a" * 10
            assert not is_reset
        except ConnectionResetError:
            assert is_reset


@pytest.mark.parametrize("name", ["ignores_close", "frame_never_finished"])
async def test_a_close_is_never_answered(name: str) -> None:
    async with raw(name) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ws.encode(ws.CLOSE, b"\x03\xe8", mask=b"mask"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(100), SHORT_S)


async def test_a_zero_window_takes_only_what_the_kernel_holds() -> None:
    async with raw("zero_window") as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(bytes(2**25))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), SHORT_S)
        writer.transport.abort()


async def test_flap_lets_every_connection_up_and_drops_it() -> None:
    async with hostile.serve("flap") as place:
        for _ in range(3):
            with contextlib.suppress(ConnectionClosed):
                async with connect(place.url, open_timeout=SOON_S) as conn:
                    await conn.recv()
        assert place.seen.upgrades == len(place.seen.connected_at) == 3


@pytest.mark.parametrize("name", sorted(LENIENT))
async def test_the_bytes_of_what_the_independent_client_allows(name: str) -> None:
    expected = {
        "length_2_63": b"\x82\x7f\x80" + bytes(7) + b"a",
        "long_form_of_short_length": b"\x81\x7e\x00\x05hello",
        "close_code_1005": b"\x88\x02\x03\xed",
        "close_code_999": b"\x88\x02\x03\xe7",
    }
    async with raw(name) as (reader, _writer):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(expected[name])) == expected[name]
