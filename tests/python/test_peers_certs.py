"""Each bad TLS server is refused by Python's own client, for the reason that the table states."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

import pytest
from peers import certs

BOUND_S = 6.0
HANDSHAKE_RECORD = 22
IN_THE_STREAM = ["no_close_notify", "renegotiation"]
SILENT = ["silent_handshake", "stalled_handshake"]
BY_CERTIFICATE = [name for name, case in certs.CASES.items() if case.verify_codes]
BY_PROTOCOL = [
    name for name in certs.CASES if name not in [*BY_CERTIFICATE, *IN_THE_STREAM, *SILENT]
]
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def dial(
    place: certs.Location, *, trusting: bool = True
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context(cafile=str(place.ca_file))
    if not trusting:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    async with asyncio.timeout(BOUND_S):
        return await asyncio.open_connection(place.host, place.port, ssl=context)


def test_there_are_at_least_sixteen_and_each_states_what_is_expected() -> None:
    assert len(certs.CASES) >= 16
    assert all(case.causes and case.bound_s for case in certs.CASES.values())


@pytest.mark.parametrize("name", BY_CERTIFICATE)
async def test_the_certificate_is_refused_for_the_stated_reason(name: str) -> None:
    async with certs.serve(name) as place:
        with pytest.raises(ssl.SSLCertVerificationError) as refused:
            await dial(place)
        assert refused.value.verify_code in certs.CASES[name].verify_codes


@pytest.mark.parametrize("name", BY_CERTIFICATE)
async def test_nothing_but_the_certificate_is_wrong(name: str) -> None:
    async with certs.serve(name) as place:
        reader, writer = await dial(place, trusting=False)
        writer.write(REQUEST)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.close()


@pytest.mark.parametrize("name", BY_PROTOCOL)
async def test_the_handshake_fails_without_a_word_on_certificates(name: str) -> None:
    async with certs.serve(name) as place:
        with pytest.raises((ssl.SSLError, ConnectionError)) as refused:
            await dial(place)
        assert not isinstance(refused.value, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("name", ["tls_1_0_only", "tls_1_1_only"])
async def test_an_old_version_is_the_only_fault(name: str) -> None:
    async with certs.serve(name) as place:
        context = ssl.create_default_context(cafile=str(place.ca_file))
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        _reader, writer = await asyncio.open_connection(place.host, place.port, ssl=context)
        old = {"tls_1_0_only": "TLSv1", "tls_1_1_only": "TLSv1.1"}
        assert writer.get_extra_info("ssl_object").version() == old[name]
        writer.close()


@pytest.mark.parametrize("name", SILENT)
async def test_a_silent_handshake_stays_silent(name: str) -> None:
    async with certs.serve(name) as place:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(dial(place), 0.3)


async def test_without_close_notify_the_stream_ends_truncated() -> None:
    async with certs.serve("no_close_notify") as place:
        reader, writer = await dial(place)
        writer.write(REQUEST)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await asyncio.wait_for(reader.read(1), BOUND_S) == b""
        writer.close()


async def test_renegotiation_comes_in_the_middle_of_the_stream() -> None:
    async with certs.serve("renegotiation") as place:
        context = ssl.create_default_context(cafile=str(place.ca_file))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=place.host)
        reader, writer = await asyncio.open_connection(place.host, place.port)

        async def exchange() -> bytes:
            sent = outgoing.read()
            writer.write(sent)
            incoming.write(await asyncio.wait_for(reader.read(4096), BOUND_S))
            return sent

        await until_done(tls.do_handshake, exchange)
        tls.write(REQUEST)
        head = await until_done(lambda: tls.read(4096), exchange)
        assert isinstance(head, bytes) and head.startswith(b"HTTP/1.1 101 ")
        while not outgoing.pending:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.read(4096)
            if not outgoing.pending:
                await exchange()
        assert outgoing.read()[0] == HANDSHAKE_RECORD
        writer.close()


async def until_done(
    operation: Callable[[], object], exchange: Callable[[], Awaitable[bytes]]
) -> object:
    """Repeats a TLS operation, moving bytes between the tries, until it has what it needs."""
    while True:
        try:
            return operation()
        except ssl.SSLWantReadError:
            await exchange()
