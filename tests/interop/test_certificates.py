"""Bad TLS servers each end in a typed cause; what may be switched off is switched off by name."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import steadwire
from interop_support import DEADLINE_S, until, watched
from peers import certs, process
from steadwire.errors import ConnectError, TlsError
from steadwire.words import State

BY_CERTIFICATE = [name for name, case in certs.CASES.items() if case.verify_codes]
IN_THE_STREAM = ["no_close_notify", "renegotiation"]
SILENT = ["silent_handshake", "stalled_handshake"]
BY_PROTOCOL = [
    name for name in certs.CASES if name not in [*BY_CERTIFICATE, *IN_THE_STREAM, *SILENT]
]
SECRETS = ("PRIVATE KEY", "token=secret")


async def refusal(case: certs.Case, place: certs.Location) -> ConnectError:
    """Connects as a host does; answers what it gets, which has to come in time."""
    began = time.monotonic()
    with pytest.raises(ConnectError) as refused:
        await steadwire.connect(
            place.url + "?token=secret",
            ca_file=place.ca_file,
            connect_timeout=1.5 if case.bound_s < 5 else case.bound_s,
        )
    assert time.monotonic() - began < case.bound_s + 0.5
    return refused.value


def test_there_are_at_least_sixteen() -> None:
    assert len(BY_CERTIFICATE) + len(BY_PROTOCOL) + len(SILENT) + len(IN_THE_STREAM) >= 16


@pytest.mark.parametrize("name", [*BY_CERTIFICATE, *BY_PROTOCOL])
async def test_a_bad_server_is_a_typed_error(name: str) -> None:
    case = certs.CASES[name]
    async with certs.serve(name) as place:
        error = await refusal(case, place)
    assert error.cause in case.causes, error
    if error.cause.startswith("tls_"):
        assert isinstance(error, TlsError)
        assert error.attempts <= 1
    assert error.remedy
    assert not any(secret in str(error) for secret in SECRETS)


async def test_silent_handshakes_are_timed_out() -> None:
    async def one(name: str) -> ConnectError:
        async with certs.serve(name) as place:
            return await refusal(certs.CASES[name], place)

    for error in await asyncio.gather(*map(one, SILENT)):
        assert error.cause == "tls_timeout"
        assert isinstance(error, steadwire.ConnectTimeout)


async def test_a_stream_that_is_cut_without_close_notify_is_lost_not_closed() -> None:
    async with certs.serve("no_close_notify") as place:
        async with watched(place.url, ca_file=place.ca_file) as watch:
            assert await watch.first_trouble() in certs.CASES["no_close_notify"].causes
            assert watch.times_in(State.ONLINE) >= 1


async def test_renegotiation_is_never_a_hang() -> None:
    case = certs.CASES["renegotiation"]
    async with certs.serve("renegotiation") as place:
        async with watched(place.url, ca_file=place.ca_file) as watch:
            await until(lambda: watch.times_in(State.ONLINE) > 0 or bool(watch.troubles))
            assert set(watch.troubles) <= case.causes
            await asyncio.wait_for(watch.conn.close(timeout=0.3), DEADLINE_S)


@pytest.mark.parametrize("name", BY_CERTIFICATE)
async def test_insecure_takes_the_same_certificate(name: str) -> None:
    async with certs.serve(name) as place:
        async with watched(place.url, ca_file=place.ca_file, insecure=True) as watch:
            await until(lambda: watch.times_in(State.ONLINE) > 0 or bool(watch.troubles))
            assert watch.troubles == []


@pytest.mark.parametrize("name", ["tls_1_0_only", "tls_1_1_only", "plain_http"])
async def test_insecure_does_not_make_tls_older(name: str) -> None:
    case = certs.CASES[name]
    async with certs.serve(name) as place:
        with pytest.raises(TlsError) as refused:
            await steadwire.connect(place.url, insecure=True)
    assert refused.value.cause in case.causes


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_good_certificate_for_name_and_address_is_taken(host: str, tmp_path: Path) -> None:
    pem, ca = certs.good_pem(tmp_path, host)
    async with await process.start_echo("--ssl", str(pem)) as peer:
        async with steadwire.connect(f"wss://{host}:{peer.port}/", ca_file=ca) as conn:
            await conn.send("over TLS")
            assert (await conn.recv(timeout=DEADLINE_S)).data == "over TLS"


async def test_without_its_ca_a_good_certificate_is_not_trusted(tmp_path: Path) -> None:
    pem, _ca = certs.good_pem(tmp_path)
    async with await process.start_echo("--ssl", str(pem)) as peer:
        with pytest.raises(TlsError) as refused:
            await steadwire.connect(f"wss://localhost:{peer.port}/")
    assert refused.value.cause == "tls_untrusted"


async def test_server_name_stands_in_for_the_host(tmp_path: Path) -> None:
    pem, ca = certs.good_pem(tmp_path, "feed.example.org")
    async with await process.start_echo("--ssl", str(pem)) as peer:
        url = f"wss://127.0.0.1:{peer.port}/"
        with pytest.raises(TlsError) as refused:
            await steadwire.connect(url, ca_file=ca)
        assert refused.value.cause == "tls_name"
        async with steadwire.connect(url, ca_file=ca, server_name="feed.example.org") as conn:
            assert conn.state == State.ONLINE
        with pytest.raises(TlsError) as refused:
            await steadwire.connect(url, ca_file=ca, server_name="other.example.org")
        assert refused.value.cause == "tls_name"


async def test_a_bad_certificate_after_a_good_one_does_not_end_the_conn(tmp_path: Path) -> None:
    pem, ca = certs.good_pem(tmp_path)
    url = ""
    async with await process.start_echo("--ssl", str(pem)) as peer:
        url, port = f"wss://localhost:{peer.port}/", peer.port
        conn = await steadwire.connect(url, ca_file=ca)
    other = tmp_path / "other"
    other.mkdir()
    bad, _its_ca = certs.good_pem(other)
    events = conn.events()
    async with await process.start_echo("--ssl", str(bad), port=port):
        async with asyncio.timeout(DEADLINE_S):
            while (event := await events.next()).as_dict().get("cause") != "tls_untrusted":
                conn.kick()
        assert event.as_dict()["delay"] > 1.0
        assert conn.state == State.WAITING
    conn.abandon()
