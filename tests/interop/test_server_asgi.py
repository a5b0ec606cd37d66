"""Sessions behind Starlette and uvicorn, mounted and as endpoints of routes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
import websockets
from interop_support import until
from session_peer import ScriptedClient
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, WebSocketRoute
from starlette.websockets import WebSocket
from steadwire.server import Sessions


async def echo(session: Any) -> None:
    async for message in session:
        await session.send(message.data)


def mounted(sessions: Sessions) -> BaseRoute:
    return Mount("/feed", sessions.asgi)


def endpoint(sessions: Sessions) -> BaseRoute:
    return WebSocketRoute("/feed/", sessions.endpoint)


def function(sessions: Sessions) -> BaseRoute:
    """What FastAPI's `@app.websocket` makes of a function, too."""

    async def feed(websocket: WebSocket) -> None:
        await sessions.endpoint(websocket)

    return WebSocketRoute("/feed/", feed)


@pytest.fixture(params=[mounted, endpoint, function])
def route(request: pytest.FixtureRequest) -> Callable[[Sessions], BaseRoute]:
    made: Callable[[Sessions], BaseRoute] = request.param
    return made


@contextlib.asynccontextmanager
async def serving(sessions: Sessions, route: BaseRoute) -> AsyncIterator[str]:
    config = uvicorn.Config(
        Starlette(routes=[route]), log_level="warning", lifespan="off", ws="websockets-sansio"
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([listener]))
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0)
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/feed/"
        finally:
            await sessions.drain(timeout=0.2)
            server.should_exit = True
            await task


async def test_sessions_over_asgi(route: Callable[[Sessions], BaseRoute]) -> None:
    sessions = Sessions(echo)
    async with serving(sessions, route(sessions)) as url:
        client = ScriptedClient(url)
        await client.open()
        await client.send("text")
        await client.send(b"bytes")
        await client.until(lambda: len(client.inbox) == 2 and client.acked[0] == 2)
        client.drop()
        await client.open()
        assert client.welcome["st"] == 2
        await client.send("again")
        await client.until(lambda: client.inbox[-1] == (0, 3, "again"))
        await client.write([3, 0, 9, 0, b"skips"])
        assert await client.until_closed() == 4400


async def test_plain_clients_over_asgi(route: Callable[[Sessions], BaseRoute]) -> None:
    sessions = Sessions(echo)
    async with serving(sessions, route(sessions)) as url, websockets.connect(url) as link:
        await link.send("plain")
        assert await link.recv() == "plain"


async def test_a_newer_link_and_a_client_that_vanishes_leave_no_traceback(
    route: Callable[[Sessions], BaseRoute], caplog: pytest.LogCaptureFixture
) -> None:
    async def flood(session: Any) -> None:
        async for _message in session:
            for _number in range(200):
                await session.send(bytes(10_000))

    sessions = Sessions(flood)
    with caplog.at_level(logging.WARNING):
        async with serving(sessions, route(sessions)) as url:
            client = ScriptedClient(url)
            for turn in range(4):
                await client.open()
                await client.send("go")
                await client.until(lambda turn=turn: len(client.inbox) > 20 * (turn + 1))
                if turn % 2 == 0:
                    client.drop()
                else:
                    old = client.link
                    await client.open()
                    with contextlib.suppress(websockets.ConnectionClosed):
                        while True:
                            await old.recv()
                    assert old.close_code == 4409
            await client.until(lambda: len(client.inbox) == 800)
            assert [number for _lane, number, _data in client.inbox] == list(range(1, 801))
            await client.link.close()
    assert [record.getMessage() for record in caplog.records] == []


async def test_the_upgrade_is_answered_503_where_there_is_no_room(
    route: Callable[[Sessions], BaseRoute], caplog: pytest.LogCaptureFixture
) -> None:
    sessions = Sessions(echo, handshakes_per_second=0.1)
    async with serving(sessions, route(sessions)) as url, websockets.connect(url) as link:
        await link.send("in")
        assert await link.recv() == "in"
        waiting = asyncio.create_task(websockets.connect(url, open_timeout=60).__aenter__())
        await until(lambda: sessions.stats()["queued"] == 1)
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url)
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) >= 10
        waiting.cancel()
        await until(lambda: sessions.stats()["queued"] == 0)
        assert sessions.stats()["abandoned"] == 1
    assert [record.getMessage() for record in caplog.records if record.levelno > 20] == []


async def test_an_endpoint_that_was_accepted_before_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sessions = Sessions(echo)

    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(ValueError, match=r"leave accept\(\) to the sessions"):
            await sessions.endpoint(websocket)
        await websocket.close(1008)

    async with (
        serving(sessions, WebSocketRoute("/feed/", feed)) as url,
        websockets.connect(url) as link,
    ):
        with pytest.raises(websockets.ConnectionClosed):
            await link.recv()
        assert link.close_code == 1008
    assert caplog.records == []
