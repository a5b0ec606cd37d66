"""The servers that steadwire is proven against do what they say."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import pytest
from peers import certs, node, ws
from peers.journal import Journal, read_journal
from peers.process import PeerProcess, start, start_echo
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


def dial(peer: PeerProcess, path: str = "/") -> connect:
    return connect(f"ws://127.0.0.1:{peer.port}{path}", ping_interval=None, close_timeout=0.2)


async def close_code(conn: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        while True:
            await conn.recv()
    return conn.close_code


async def test_a_message_is_in_the_log_before_its_echo_and_survives_kill_9(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async with await start_echo(log=log) as server:
        async with dial(server) as conn:
            for body in ("one\ntwo", b"\0\xff"):
                await conn.send(body)
                assert await conn.recv() == body
        await server.kill()
        assert server.process.returncode == -9
    assert [one.message for one in read_journal(log)] == ["one\ntwo", b"\0\xff"]


async def test_a_killed_server_starts_again_on_its_port_and_appends(tmp_path: Path) -> None:
    log = tmp_path / "log"

    port = 0
    for body in ("before", "after"):
        async with await start_echo(port=port, log=log) as server:
            port = server.port
            async with dial(server) as conn:
                await conn.send(body)
                await conn.recv()
    assert [one.message for one in read_journal(log)] == ["before", "after"]


def test_a_torn_last_line_of_the_log_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    Journal(log).note(1, "whole")
    with log.open("ab") as file:
        file.write(b'{"t": 1.0, "conn": 1, "te')
    assert [(one.conn, one.message) for one in read_journal(log)] == [(1, "whole")]


async def test_a_stopped_server_answers_only_after_it_goes_on() -> None:
    async with await start_echo() as server, dial(server) as conn:
        server.stop()
        await conn.send("hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(conn.recv(), 0.2)
        server.resume()
        assert await conn.recv() == "hello"


async def test_a_feed_begins_with_the_subscription_and_is_forgotten_at_a_restart() -> None:
    port = 0
    for _life in range(2):
        arguments = ["--subscriptions", "--rate", "200", "--size", "100"]
        async with await start_echo(*arguments, port=port) as server:
            port = server.port
            async with dial(server) as conn:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(conn.recv(), 0.1)
                await conn.send(json.dumps({"op": "subscribe", "channel": "trades"}))
                assert json.loads(await conn.recv())["op"] == "subscribed"
                feed = [await conn.recv() for _ in range(5)]
            assert {len(one) for one in feed} == {100}
            numbers = [json.loads(one)["n"] for one in feed]
            assert numbers == list(range(numbers[0], numbers[0] + 5))


async def test_a_feed_without_subscriptions_reaches_everybody_at_the_rate() -> None:
    async with await start_echo("--rate", "2000", "--size", "64") as server:
        async with dial(server) as one, dial(server) as two:
            for conn in (one, two):
                times = [json.loads(await conn.recv())["t"] for _ in range(400)]
                assert 0.1 < times[-1] - times[0] < 1.0


@pytest.mark.parametrize("first_message", [False, True])
async def test_the_second_login_closes_the_first(first_message: bool) -> None:
    path = "/" if first_message else "/?login=ann"
    async with await start_echo("--one-login", "close-first") as server:
        async with dial(server, path) as one, dial(server, path) as two:
            for conn in (one, two) if first_message else ():
                await conn.send("login ann")
            assert await close_code(one) == 4409
            assert await two.recv() == "welcome ann"
            await two.send("still here")
            assert await two.recv() == "still here"


async def test_the_second_login_can_be_refused_in_the_url_or_as_a_message() -> None:
    async with await start_echo("--one-login", "refuse") as server:
        async with dial(server, "/?login=ann") as one:
            assert await one.recv() == "welcome ann"
            with pytest.raises(InvalidStatus) as refused:
                await dial(server, "/?login=ann")
            assert refused.value.response.status_code == 409
            async with dial(server) as two:
                await two.send("login ann")
                assert await close_code(two) == 4409
        async with dial(server, "/?login=ann") as three:
            assert await three.recv() == "welcome ann"


@pytest.mark.parametrize("code", [1007, 1009])
async def test_a_poison_message_closes_with_the_code(code: int) -> None:
    async with await start_echo("--reject", str(code), "--reject-when", "bad") as server:
        async with dial(server) as conn:
            await conn.send("good")
            assert await conn.recv() == "good"
            await conn.send("a bad one")
            assert await close_code(conn) == code


async def test_no_pong_means_no_pong_while_data_flows(tmp_path: Path) -> None:
    async with await start_echo("--no-pong", log=tmp_path / "log") as server:
        async with dial(server) as conn:
            pong = asyncio.ensure_future(await conn.ping())
            for body in ("text", b"binary"):
                await conn.send(body)
                assert await conn.recv() == body
            await conn.send(["frag", "ments"])
            assert await conn.recv() == "fragments"
            assert not pong.done()
    assert len(read_journal(tmp_path / "log")) == 3


@pytest.mark.parametrize(("code", "seen"), [(1002, 1002), (0, 1006)])
async def test_a_ping_can_end_the_connection(code: int, seen: int) -> None:
    async with await start_echo("--close-on-ping", str(code)) as server:
        async with dial(server) as conn:
            await conn.send("hello")
            assert await conn.recv() == "hello"
            await conn.ping()
            assert await close_code(conn) == seen


@pytest.mark.parametrize("maker", ["python", "node"])
async def test_wss_works_with_the_good_certificate_and_only_with_its_ca(
    maker: str, tmp_path: Path
) -> None:
    pem, ca_file = certs.good_pem(tmp_path)

    begin = start_echo("--ssl", str(pem)) if maker == "python" else node.start_ws(pem=pem)
    async with await begin as server:
        url = f"wss://localhost:{server.port}/"
        trusting = ssl.create_default_context(cafile=ca_file)
        async with connect(url, ssl=trusting) as conn:
            await conn.send("hello")
            assert await conn.recv() == "hello"
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(url, ssl=ssl.create_default_context())


async def test_the_npm_server_echoes_text_and_binary() -> None:
    async with await node.start_ws() as server, dial(server) as conn:
        for body in ("text", b"binary"):
            await conn.send(body)
            assert await conn.recv() == body


async def test_a_process_that_is_never_ready_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="instead of"):
        await start(["echo", "hello"])


def test_borders_are_found_wherever_the_stream_is_split() -> None:
    frames = [ws.encode(ws.TEXT, b"a" * size) for size in (0, 5, 125, 126, 70_000)]
    frames.append(ws.encode(ws.BINARY, b"masked", mask=b"mask"))
    head = ws.response("101 Switching Protocols", [("Upgrade", "websocket")])
    stream = head + b"".join(frames)
    ends = {len(head)}
    for frame in frames:
        ends.add(max(ends) + len(frame))
    for step in (1, 7, 1000, len(stream)):
        borders, found, position = ws.Borders(), set(), 0
        while position < len(stream):
            position += borders.feed(stream[position : position + step])
            if borders.at_border:
                found.add(position)
        assert found == ends
