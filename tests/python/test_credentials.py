"""Credentials: asked for per attempt, supplied by a plain or an async function of either face."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
import steadwire
from face_support import Echo
from steadwire import sync
from steadwire._setup import make_setup
from steadwire.errors import AuthError, ConnectTimeout
from steadwire.events import CredentialsNeeded
from test_connect import server
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

USER: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


class Guard:
    """A server's door: takes the tokens in `good`, remembers what was shown."""

    def __init__(self, *good: str) -> None:
        self.good = set(good)
        self.seen: list[str | None] = []

    def __call__(self, conn: ServerConnection, request: Request) -> Response | None:
        shown = request.headers.get("Authorization")
        self.seen.append(shown)
        if shown in {f"Bearer {token}" for token in self.good}:
            return None
        return conn.respond(HTTPStatus.UNAUTHORIZED, "no\n")


async def test_an_async_function_supplies_a_token() -> None:
    guard = Guard("t1")

    async def credentials() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"token": "t1", "expires_in": "1h"}

    async with server(refuse=guard) as url:
        async with steadwire.connect(url, credentials=credentials) as conn:
            await conn.send("x")
            assert (await conn.recv(timeout=5)).data == "x"
    assert guard.seen == ["Bearer t1"]


async def test_a_plain_function_may_take_the_event() -> None:
    asked: list[CredentialsNeeded] = []

    def credentials(event: CredentialsNeeded) -> dict[str, Any]:
        asked.append(event)
        return {"headers": {"X-Key": "k"}}

    seen: list[str | None] = []

    def look(_conn: ServerConnection, request: Request) -> None:
        seen.append(request.headers.get("X-Key"))

    async with server(refuse=look) as url, steadwire.connect(url, credentials=credentials):
        pass
    assert seen == ["k"]
    assert asked[0].deadline > 0


async def test_refused_credentials_are_asked_for_once_more() -> None:
    guard = Guard("fresh")
    tokens = iter(["stale", "fresh"])
    async with server(refuse=guard) as url:
        async with steadwire.connect(
            url, credentials=lambda: {"token": next(tokens)}, retry_window="20ms"
        ):
            pass
    assert guard.seen == ["Bearer stale", "Bearer fresh"]


async def test_credentials_that_are_refused_twice_are_permanent() -> None:
    guard = Guard()
    async with server(refuse=guard) as url:
        with pytest.raises(AuthError) as caught:
            await steadwire.connect(
                url, credentials=lambda: {"token": "bad"}, retry_window="20ms", connect_timeout=10
            )
    assert caught.value.cause == "http_401"
    assert "bad" not in str(caught.value)
    assert len(guard.seen) == 2


def broken() -> dict[str, Any]:
    raise RuntimeError("the vault is locked")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (broken, "the vault is locked"),
        (lambda: "token", "returns a dict"),
        (lambda: {"password": "x"}, "no 'password'"),
        (lambda: {"token": "a\r\nb"}, "refused"),
        (lambda: {"url": "http://x/"}, "refused"),
    ],
)
async def test_a_function_that_fails_is_logged_and_named_as_the_reason(
    shared_echo: Echo, caplog: pytest.LogCaptureFixture, source: Any, reason: str
) -> None:
    with pytest.raises(ConnectTimeout) as caught:
        await steadwire.connect(
            shared_echo.url,
            credentials=source,
            credentials_timeout="100ms",
            connect_timeout="300ms",
        )
    assert caught.value.cause == "token_failed"
    assert reason in str(caught.value.__cause__)
    assert any(record.levelno == logging.ERROR for record in caplog.records)


class SlowVault:
    """Takes longer than the engine waits; notes how many calls are under way at once."""

    def __init__(self) -> None:
        self.calls = self.running = self.most_running = 0
        self.is_open = asyncio.Event()

    def begin(self) -> None:
        self.calls += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)

    async def ask(self) -> dict[str, Any]:
        self.begin()
        await self.is_open.wait()
        self.running -= 1
        return {"token": "t"}

    def ask_blocking(self) -> dict[str, Any]:
        self.begin()
        threading.Event().wait(0.7)  # several attempts fail meanwhile
        self.running -= 1
        return {"token": "t"}


EAGER = {"credentials_timeout": "100ms", "retry_window": "20ms", "retry_cap": "20ms"}


async def test_one_call_answers_all_who_ask_meanwhile() -> None:
    guard, vault = Guard("t"), SlowVault()
    async with server(refuse=guard) as url:
        conn = await steadwire.connect(url, wait=False, credentials=vault.ask, **EAGER)
        events = conn.events(CredentialsNeeded)
        async with asyncio.timeout(10):
            for _ in range(4):
                await anext(events)
        vault.is_open.set()
        await conn.wait_online(10)
        await conn.close()
    assert (vault.calls, vault.most_running) == (1, 1)
    assert guard.seen == ["Bearer t"]


async def test_what_is_no_function_is_refused(shared_echo: Echo) -> None:
    token: Any = "token"
    with pytest.raises(TypeError, match="credentials"):
        make_setup(shared_echo.url, None, None, True, None, token, None, {})


async def test_the_function_runs_in_the_context_of_connect() -> None:
    guard = Guard("alice")

    async def credentials() -> dict[str, Any]:
        return {"token": USER.get()}

    USER.set("alice")
    async with server(refuse=guard) as url:
        connecting = steadwire.connect(url, credentials=credentials)
        conn = await connecting
        USER.set("bob")
        await conn.close()
    assert guard.seen == ["Bearer alice"]


@pytest.fixture
def guarded() -> Iterator[tuple[Guard, str]]:
    """A guarded server in a loop of its own, for the blocking face."""
    guard = Guard("t")
    ready, done = threading.Event(), threading.Event()
    urls: list[str] = []

    def serve() -> None:
        async def run() -> None:
            async with server(refuse=guard) as url:
                urls.append(url)
                ready.set()
                await asyncio.to_thread(done.wait)

        asyncio.run(run())

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(10)
    yield guard, urls[0]
    done.set()
    thread.join(10)


def test_the_blocking_face_asks_whoever_drains(guarded: tuple[Guard, str]) -> None:
    guard, url = guarded

    async def later() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"token": "t"}

    for source in (later, lambda: {"token": "t"}):
        with sync.connect(url, credentials=source) as conn:
            conn.send("x")
            assert conn.recv(timeout=5).data == "x"
    assert guard.seen == ["Bearer t"] * 2


def test_one_call_of_the_blocking_face_answers_all_who_ask_meanwhile(
    guarded: tuple[Guard, str],
) -> None:
    guard, url = guarded
    vault = SlowVault()
    with sync.connect(url, credentials=vault.ask_blocking, **EAGER) as conn:
        conn.send("x")
        assert conn.recv(timeout=5).data == "x"
    assert (vault.calls, vault.most_running) == (1, 1)
    assert guard.seen == ["Bearer t"]


def test_an_async_function_serves_the_blocking_face_inside_a_loop(
    guarded: tuple[Guard, str],
) -> None:
    _guard, url = guarded

    async def later() -> dict[str, Any]:
        return {"token": "t"}

    async def cell() -> str:
        with sync.connect(url, credentials=later) as conn:
            return str(conn.state)

    assert asyncio.run(cell()) == "online"
