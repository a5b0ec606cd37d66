"""connect(): when it returns, what it raises, and what it leaves behind."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import steadwire
import trustme
import uvloop
from face_support import Echo, until_async
from steadwire import _core
from steadwire.errors import (
    AuthError,
    ClosedError,
    ConnectError,
    ConnectTimeout,
    OverloadError,
    ProtocolError,
    TlsError,
)
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

QUIET = logging.getLogger("tests.quiet")
QUIET.propagate = False
QUIET.addHandler(logging.NullHandler())

Refuse = Callable[[ServerConnection, Request], Response | None]


@asynccontextmanager
async def server(
    handler: Callable[[ServerConnection], Awaitable[None]] | None = None,
    refuse: Refuse | None = None,
    **options: Any,
) -> AsyncIterator[str]:
    """A `websockets` server in this loop; its URL. Without a handler it echoes."""

    async def echo(conn: ServerConnection) -> None:
        async for message in conn:
            await conn.send(message)

    made = await serve(
        handler or echo, "127.0.0.1", 0, process_request=refuse, logger=QUIET, **options
    )
    async with made:
        yield f"ws://127.0.0.1:{made.sockets[0].getsockname()[1]}/"


def refuse_with(status: HTTPStatus) -> Refuse:
    return lambda conn, _request: conn.respond(status, "no\n")


async def test_it_can_be_awaited(shared_echo: Echo) -> None:
    conn = await steadwire.connect(shared_echo.url)
    assert conn.state == "online"
    await conn.close()
    assert conn.state == "closed"


async def test_it_is_a_context_manager(shared_echo: Echo) -> None:
    async with steadwire.connect(shared_echo.url, name="feed") as conn:
        assert conn.state is steadwire.State.ONLINE
        assert conn.view().endpoint.startswith("ws://127.0.0.1:")
    assert conn.is_finished


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (HTTPStatus.UNAUTHORIZED, AuthError),
        (HTTPStatus.FORBIDDEN, AuthError),
        (HTTPStatus.NOT_FOUND, ProtocolError),
    ],
)
async def test_a_refusal_that_retrying_cannot_mend_raises_at_once(
    status: HTTPStatus, error: type[ConnectError]
) -> None:
    async with server(refuse=refuse_with(status)) as url:
        start = time.monotonic()
        with pytest.raises(error) as caught:
            await steadwire.connect(url)
    assert time.monotonic() - start < 5.0
    assert caught.value.http_status == status
    assert caught.value.remedy in str(caught.value)
    assert not caught.value.retryable


async def test_a_certificate_that_is_not_trusted_is_a_tls_error(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    async with server(ssl=tls) as url:
        url = url.replace("ws://", "wss://")
        with pytest.raises(TlsError) as caught:
            await steadwire.connect(url)
        assert caught.value.cause == "tls_untrusted"
        async with steadwire.connect(url, ca_file=ca_file) as conn:
            await conn.send("safe")
            assert (await conn.recv(timeout=5)).data == "safe"


async def test_an_address_where_nothing_listens_is_retried_until_the_timeout(dead_url: str) -> None:
    start = time.monotonic()
    with pytest.raises(ConnectTimeout) as caught:
        await steadwire.connect(dead_url, connect_timeout="700ms")
    assert 0.6 < time.monotonic() - start < 3.0
    assert caught.value.cause == "tcp_refused"
    assert caught.value.attempts >= 1
    assert "check that the server runs" in str(caught.value)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.retryable


async def test_a_server_that_is_busy_at_first_is_waited_for() -> None:
    answers = iter([HTTPStatus.SERVICE_UNAVAILABLE])

    def refuse(conn: ServerConnection, _request: Request) -> Response | None:
        status = next(answers, None)
        return conn.respond(status, "soon\n") if status else None

    async with server(refuse=refuse) as url:
        async with steadwire.connect(url, retry_window="50ms") as conn:
            assert conn.stats()["attempts_failed"] == 1


async def test_a_silent_server_is_an_overload() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(ConnectTimeout) as caught:
            await steadwire.connect(
                f"ws://127.0.0.1:{port}/", open_timeout="300ms", connect_timeout=1
            )
    assert caught.value.cause == "upgrade_timeout"


async def test_wait_false_returns_at_once_and_queues(echo: Echo) -> None:
    echo.kill()
    conn = await steadwire.connect(echo.url, wait=False, retry_window="20ms")
    receipt = conn.post("early")
    assert receipt.state == "queued"
    echo.start()
    await receipt.wait("received", timeout=10)
    assert (await conn.recv(timeout=5)).data == "early"
    await conn.close()


async def test_cancelling_it_leaves_nothing(dead_url: str) -> None:
    task = asyncio.ensure_future(steadwire.connect(dead_url, connect_timeout=None)._open())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_many_at_once_share_the_engine(shared_echo: Echo) -> None:
    conns = await asyncio.gather(*(steadwire.connect(shared_echo.url) for _ in range(20)))
    for number, conn in enumerate(conns):
        conn.post(str(number))
    for number, conn in enumerate(conns):
        assert (await conn.recv(timeout=5)).data == str(number)
    await asyncio.gather(*(conn.close() for conn in conns))


async def test_headers_and_subprotocols_reach_the_server() -> None:
    seen: list[str | None] = []

    async def handler(conn: ServerConnection) -> None:
        assert conn.request is not None
        seen.append(conn.request.headers.get("X-Key"))
        await conn.wait_closed()

    async with server(handler, subprotocols=["second"]) as url:
        options: dict[str, Any] = {"headers": {"X-Key": "v"}, "subprotocols": ["first", "second"]}
        async with steadwire.connect(url, **options) as conn:
            assert conn.view().subprotocol == "second"
            await until_async(lambda: seen == ["v"])


async def test_a_list_of_urls_falls_back(shared_echo: Echo, dead_url: str) -> None:
    async with steadwire.connect([dead_url, shared_echo.url], retry_window="20ms") as conn:
        assert str(shared_echo.port) in conn.view().endpoint


async def test_a_failed_conn_raises_for_every_consumer() -> None:
    async def handler(conn: ServerConnection) -> None:
        await conn.close(4004, "go away")

    async with server(handler) as url:
        conn = await steadwire.connect(url, causes={4004: "host"})
        with pytest.raises((ConnectError, ClosedError)):
            await conn.recv(timeout=10)
        with pytest.raises(ClosedError):
            conn.post("late")
        await conn.close()


async def test_a_failed_conn_can_be_reopened() -> None:
    statuses = iter([HTTPStatus.UNAUTHORIZED])

    def refuse(conn: ServerConnection, _request: Request) -> Response | None:
        status = next(statuses, None)
        return conn.respond(status, "no\n") if status else None

    async with server(refuse=refuse) as url:
        conn = await steadwire.connect(url, wait=False)
        with pytest.raises(AuthError):
            await conn.recv(timeout=10)
        conn.reopen()
        await conn.wait_online(timeout=10)
        await conn.send("after")
        assert (await conn.recv(timeout=5)).data == "after"
        with pytest.raises(steadwire.errors.StateError):
            conn.reopen()
        await conn.close()


async def test_a_conn_dropped_without_close_is_freed(shared_echo: Echo) -> None:
    conn = await steadwire.connect(shared_echo.url)
    fd = conn._fd
    with pytest.warns(ResourceWarning, match="unclosed Connection"):
        del conn
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    assert not loop.remove_reader(fd)


async def test_overloaded_is_the_class_of_no_listener(dead_url: str) -> None:
    assert steadwire.errors.connect_error_class(steadwire.Cause.TCP_REFUSED) is OverloadError
    assert steadwire.errors.connect_error_class(steadwire.Cause.TLS_EXPIRED) is TlsError


async def test_the_network_can_be_declared_down_and_up(shared_echo: Echo) -> None:
    async with steadwire.connect(shared_echo.url) as conn:
        events = conn.events(steadwire.events.StateChanged)
        steadwire.network("down")
        assert isinstance(offline := await events.next(timeout=5), steadwire.events.StateChanged)
        assert offline.new == "offline"
        steadwire.network("up")
        await conn.wait_online(timeout=5)
        with pytest.raises(steadwire.errors.ArgumentError):
            _core.Engine().network("sideways")


def test_it_works_on_uvloop(shared_echo: Echo) -> None:
    async def main() -> Any:
        async def credentials() -> dict[str, Any]:
            return {"token": "t"}

        async with steadwire.connect(shared_echo.url, credentials=credentials) as conn:
            await (await conn.send("x")).wait("received", timeout=5)
            return (await conn.recv(timeout=5)).data

    assert uvloop.run(main()) == "x"
