"""Servers that are awkward, not hostile: no loop of reconnects, and no later message is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from interop_support import Feed, Watched, run_for, until, watched
from peers import process, ws
from peers.journal import Arrival, read_journal
from steadwire.errors import MessageDead
from steadwire.events import NoPong
from steadwire.words import MessageState, Proof, State

SEND_EVERY_S = 0.02
MANY = 500
BRISK = {"retry_window": "50ms", "retry_cap": "500ms"}


def texts(arrivals: list[Arrival]) -> list[str]:
    return [str(one.message) for one in arrivals]


async def send_for(watch: Watched, seconds: float) -> None:
    """Sends numbered messages for a time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watch.post(f"message {len(watch.sent)}")
        await run_for(SEND_EVERY_S)


async def all_have_arrived(log: Path, sent: list[str], deadline_s: float = 10.0) -> list[Arrival]:
    """Waits until the server has noted all of them; answers what it noted."""
    await until(lambda: set(sent) <= set(texts(read_journal(log))), deadline_s)
    return read_journal(log)


def in_first_order(arrivals: list[Arrival]) -> list[str]:
    """What has arrived, each at its first time."""
    return list(dict.fromkeys(texts(arrivals)))


async def echoes_but_answers_no_ping(log: Path) -> None:
    async with await process.start_echo("--no-pong", log=log) as peer:
        async with watched(f"ws://127.0.0.1:{peer.port}/") as watch:
            await send_for(watch, 8.0)
            assert len(watch.of(NoPong)) == 1
            links = watch.conn.stats()["attempts"]
            assert links <= 6
            last = watch.post("and the last one")
            assert await last.wait(timeout=5) >= Proof.WRITTEN
            await run_for(2.0)
            assert watch.conn.stats()["attempts"] == links, "it still loops"
            assert watch.conn.state == State.ONLINE
            assert in_first_order(await all_have_arrived(log, watch.sent)) == watch.sent


class SilentServer:
    """Takes everything and says nothing at all, not even PONG."""

    def __init__(self) -> None:
        self.connections = 0
        self.messages: list[str] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            writer.write(ws.switching(await ws.read_request(reader)))
            while await self.take(await ws.read_frame(reader), writer):
                pass
        writer.close()

    async def take(self, frame: ws.Frame, _writer: asyncio.StreamWriter) -> bool:
        """Notes a frame; False at the end."""
        if frame.opcode == ws.TEXT:
            self.messages.append(frame.payload.decode())
        return frame.opcode != ws.CLOSE

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        async with server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def takes_everything_and_never_says_a_word() -> None:
    silent = SilentServer()
    async with silent.serve() as url, watched(url) as watch:
        await send_for(watch, 9.0)
        links = silent.connections
        assert links <= 6
        await send_for(watch, 2.0)
        assert silent.connections == links, "it still loops"
        assert watch.conn.state == State.ONLINE
        await until(lambda: set(watch.sent) <= set(silent.messages))


async def closes_on_ping(code: int, log: Path) -> None:
    async with await process.start_echo("--close-on-ping", str(code), log=log) as peer:
        async with watched(f"ws://127.0.0.1:{peer.port}/", retry_cap="2s") as watch:
            await send_for(watch, 7.0)
            links = watch.conn.stats()["attempts"]
            assert links <= 8
            assert len(watch.of(NoPong)) == 1
            await send_for(watch, 2.0)
            assert watch.conn.stats()["attempts"] == links, "it still loops"
            assert watch.conn.state == State.ONLINE
            assert in_first_order(await all_have_arrived(log, watch.sent)) == watch.sent


async def test_servers_that_cannot_take_a_ping(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as together:
        together.create_task(echoes_but_answers_no_ping(tmp_path / "no pong"))
        together.create_task(takes_everything_and_never_says_a_word())
        for code in (0, 1002, 1008):
            together.create_task(closes_on_ping(code, tmp_path / str(code)))


async def allows_one_login(policy: str, log: Path) -> None:
    async with await process.start_echo("--one-login", policy, log=log) as peer:
        async with watched(f"ws://127.0.0.1:{peer.port}/?login=me") as watch:
            await until(lambda: watch.times_in(State.ONLINE) == 1)
            for _ in range(2):
                peer.stop()
                await send_for(watch, 2.5)
                peer.resume()
                await send_for(watch, 1.5)
            last = watch.post("the last one")
            assert await last.wait("received", timeout=10) == Proof.RECEIVED
            stats = watch.conn.stats()
            assert stats["suspects"] >= 1, "no second link was ever wanted"
            assert stats["attempts"] <= 8
            assert watch.times_in(State.FAILED) == 0
            assert in_first_order(await all_have_arrived(log, watch.sent)) == watch.sent


async def test_a_server_that_allows_one_login(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as together:
        for policy in ("close-first", "refuse"):
            together.create_task(allows_one_login(policy, tmp_path / policy))


class FussyServer(SilentServer):
    """Answers PINGs, and closes at a message with `poison` in it before it looks at anything else,
    as a WebSocket layer does with what it cannot take."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    async def take(self, frame: ws.Frame, writer: asyncio.StreamWriter) -> bool:
        if b"poison" in frame.payload:
            writer.write(ws.close(self.code, "cannot take that"))
            return False
        if frame.opcode == ws.PING:
            writer.write(ws.encode(ws.PONG, frame.payload))
        return await super().take(frame, writer)


@pytest.mark.parametrize("code", [1007, 1009])
async def test_a_message_that_the_server_cannot_take_dies_alone(code: int) -> None:
    fussy = FussyServer(code)
    async with fussy.serve() as url, watched(url, **BRISK) as watch:
        post_many(watch, "before")
        poison = watch.conn.post("this is poison to the server")
        post_many(watch, "after")
        with pytest.raises(MessageDead) as died:
            await poison.wait("received", timeout=30)
        assert died.value.state == MessageState.DEAD
        assert died.value.cause == {1007: "bad_payload", 1009: "too_big"}[code]
        await until(lambda: set(watch.sent) <= set(fussy.messages), 20.0)
        assert list(dict.fromkeys(fussy.messages)) == watch.sent
        await until(lambda: watch.conn.stats()["outbox_messages"] == 0)
        assert watch.conn.stats()["dead"] == 1
        assert fussy.connections <= 5
        last = watch.post("later")
        assert await last.wait("received", timeout=10) == Proof.RECEIVED


def post_many(watch: Watched, name: str) -> None:
    for number in range(MANY):
        watch.post(f"{name} {number}")


async def test_two_messages_over_the_limit_of_a_library_die_alone(log: Path) -> None:
    async with await process.start_echo("--max-size", "1000", log=log) as peer:
        async with watched(f"ws://127.0.0.1:{peer.port}/", **BRISK) as watch:
            post_many(watch, "first")
            poisons = [watch.conn.post("x" * 1001)]
            post_many(watch, "second")
            poisons.append(watch.conn.post("y" * 5000))
            post_many(watch, "third")
            for poison in poisons:
                with pytest.raises(MessageDead) as died:
                    await poison.wait("received", timeout=30)
                assert died.value.cause == "too_big"
            assert in_first_order(await all_have_arrived(log, watch.sent)) == watch.sent
            await until(lambda: watch.conn.state == State.ONLINE)
            assert watch.conn.stats()["dead"] == 2


@pytest.mark.parametrize("code", [1007, 1009])
async def test_a_message_that_the_application_refuses_holds_up_no_other(
    code: int, log: Path
) -> None:
    """Its WebSocket layer has taken the message, and may prove that before the refusal."""
    async with await process.start_echo("--reject", str(code), log=log) as peer:
        async with watched(f"ws://127.0.0.1:{peer.port}/", **BRISK) as watch:
            post_many(watch, "before")
            watch.conn.post("this is poison to the server")
            post_many(watch, "after")
            arrivals = await all_have_arrived(log, watch.sent, 20.0)
            alive = [text for text in in_first_order(arrivals) if "poison" not in text]
            assert alive == watch.sent
            await until(lambda: watch.conn.stats()["outbox_messages"] == 0)
            assert watch.conn.stats()["attempts"] <= 6


async def test_subscriptions_that_the_server_forgets_are_made_again(log: Path) -> None:
    subscribe = json.dumps({"op": "subscribe", "channel": "trades"})
    async with Feed(log, "--subscriptions", "--rate", "100") as feed:
        async with watched(feed.url, ready_when="contains:subscribed") as watch:
            watch.conn.opening["trades"] = subscribe
            await until(lambda: len(watch.messages) > 20)
            await feed.kill()
            await feed.start()
            await until(lambda: watch.messages[-1].link == 2)
            first = next(one for one in watch.messages if one.link == 2)
            assert first.received_at - feed.back_at < 2.0
            await until(lambda: watch.messages[-1].received_at > first.received_at + 0.2)
    assert Counter(texts(read_journal(log)))[subscribe] == 2
