"""steadwire.server on a real Redis: a client goes on at another node, effects happen once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from peers.fault_proxy import FaultProxy
from redis.asyncio import Redis
from session_nodes import collect, connecting, node
from session_peer import ScriptedClient
from steadwire.server import FencedError, Session, Sessions
from steadwire.server.redis_store import RedisStore
from steadwire.server.store import Changes

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")

MESSAGES = 200


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    """A fresh redis-server in a folder of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = await asyncio.create_subprocess_exec(
        *command, "--dir", str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async for line in process.stdout:
        if b"Ready to accept connections" in line:
            break
    client = Redis(host="127.0.0.1", port=port)
    yield client
    await client.aclose()
    process.kill()
    await process.wait()


async def keep_journal(session: Session) -> None:
    """A handler whose effect and answer are one transaction."""
    async for message in session:
        async with message.transaction() as pipe:
            pipe.rpush("up", message.data)
            await session.send(f"down {message.number}")


async def test_a_client_goes_on_at_another_node_and_nothing_is_lost_or_twice(redis: Redis) -> None:
    one, two = (Sessions(keep_journal, RedisStore(redis)) for _ in range(2))
    down: list[str] = []
    async with node(one) as first, node(two) as second, await FaultProxy.start(first) as proxy:
        async with connecting(proxy.port, second) as conn:
            listener = asyncio.create_task(collect(conn, down, MESSAGES))
            for number in range(MESSAGES):
                receipt = await conn.send(f"up {number}")
                if number == MESSAGES // 2:
                    await receipt.wait("accepted")
                if number == MESSAGES // 2 + 20:
                    await proxy.refuse()
                    await proxy.reset()
            await receipt.wait("processed")
            await listener
            assert len(two.live) == 1
    got = [data.decode() for data in await redis.lrange("up", 0, -1)]
    assert got == [f"up {number}" for number in range(MESSAGES)]
    assert down == [f"down {number}" for number in range(1, MESSAGES + 1)]


async def test_what_a_node_kept_for_a_client_is_sent_by_another(redis: Redis) -> None:
    sent = asyncio.Event()
    begun, lost = asyncio.Event(), asyncio.Event()

    async def before(session: Session) -> None:
        async for _message in session:
            begun.set()
            await lost.wait()
            for number in range(10):
                await session.send(f"kept {number}")
            sent.set()
            await asyncio.Event().wait()

    async def after(session: Session) -> None:
        async for _message in session:
            await session.send("fresh")

    one, two = Sessions(before, RedisStore(redis)), Sessions(after, RedisStore(redis))
    async with node(one) as first, node(two) as second, await FaultProxy.start(first) as proxy:
        async with connecting(proxy.port, second) as conn:
            await conn.send("go")
            await asyncio.wait_for(begun.wait(), 5)
            await proxy.stall()
            lost.set()
            await asyncio.wait_for(sent.wait(), 5)
            await proxy.refuse()
            await proxy.reset()
            got = []
            async for message in conn:
                got.append(message.data)
                if message.data == "fresh":
                    break
    assert got == [*(f"kept {number}" for number in range(10)), "fresh"]


async def test_over_resets_effects_happen_once(redis: Redis) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)

    async def handler(session: Session) -> None:
        async for message in session:
            async with message.transaction() as pipe:
                pipe.rpush("effects", message.data)

    sessions = Sessions(handler, RedisStore(redis))
    async with (
        node(sessions) as port,
        await FaultProxy.start(port) as proxy,
        connecting(proxy.port) as conn,
    ):
        for number in range(MESSAGES):
            receipt = await conn.send(str(number))
            if dice.random() < 0.05:
                await proxy.reset()
            elif dice.random() < 0.1:
                await receipt.wait("accepted")
        await receipt.wait("processed")
    got = [int(data) for data in await redis.lrange("effects", 0, -1)]
    assert got == list(range(MESSAGES))


async def test_an_older_node_is_fenced_in_every_transaction(redis: Redis) -> None:
    older, newer = RedisStore(redis), RedisStore(redis)
    cid, changes = bytes(16), Changes(b"state", [(0, 1, "kept"), (1, 1, b"\xff")])
    assert await older.start(60, 60) == await newer.start(60, 60)
    epoch = await older.claim(cid, "", None, changes)
    await older.commit(cid, epoch, Changes(b"later", [], [(1, 1)]))
    found = await newer.load(cid)
    assert (found.state, found.kept) == (b"later", [(0, 1, "kept")])
    await newer.claim(cid, found.epoch, b"later", Changes(b"newer"))
    assert not await older.is_current(cid, epoch)
    with pytest.raises(FencedError):
        await older.commit(cid, epoch, changes)
    with pytest.raises(FencedError):
        await older.claim(cid, found.epoch, b"later", changes)
    assert (await newer.load(cid)).state == b"newer"


async def test_a_claim_of_what_another_node_has_changed_since_is_refused(redis: Redis) -> None:
    older, newer = RedisStore(redis), RedisStore(redis)
    cid = bytes(16)
    for store in (older, newer):
        await store.start(60, 60)
    epoch = await older.claim(cid, "", None, Changes(b"one"))
    found = await newer.load(cid)
    await older.commit(cid, epoch, Changes(b"two"))
    with pytest.raises(FencedError):
        await newer.claim(cid, found.epoch, found.state, Changes(b"three"))
    await newer.seize(cid, found.epoch)
    with pytest.raises(FencedError):
        await older.commit(cid, epoch, Changes(b"four"))
    found = await newer.load(cid)
    assert found.state == b"two"
    await newer.claim(cid, found.epoch, found.state, Changes(b"five"))


async def test_a_handler_that_is_fenced_has_not_failed(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    begun, fenced = asyncio.Event(), asyncio.Event()

    async def handler(session: Session) -> None:
        async for message in session:
            begun.set()
            await fenced.wait()
            async with message.transaction() as pipe:
                pipe.rpush("up", message.data)

    one, two = (Sessions(handler, RedisStore(redis)) for _ in range(2))
    async with node(one) as first, node(two) as second:
        client = ScriptedClient(f"ws://127.0.0.1:{first}/")
        await client.open()
        await client.send("once")
        await asyncio.wait_for(begun.wait(), 5)
        older, client.url = client.link, f"ws://127.0.0.1:{second}/"
        await client.open()
        fenced.set()
        await client.until(lambda: client.processed[0] == 1)
        await asyncio.wait_for(older.wait_closed(), 5)
        assert one.live == []
        await client.link.close()
    assert older.close_code == 1013
    assert await redis.lrange("up", 0, -1) == [b"once"]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_new_link_to_the_same_node_undoes_no_transaction(redis: Redis) -> None:
    begun, renewed = asyncio.Event(), asyncio.Event()
    handed: list[str | bytes] = []

    async def handler(session: Session) -> None:
        async for message in session:
            handed.append(message.data)
            async with message.transaction() as pipe:
                pipe.rpush("up", message.data)
                begun.set()
                await renewed.wait()

    sessions = Sessions(handler, RedisStore(redis))
    async with node(sessions) as port:
        client = ScriptedClient(f"ws://127.0.0.1:{port}/")
        await client.open()
        await client.send("once")
        await asyncio.wait_for(begun.wait(), 5)
        client.drop()
        await client.open()
        renewed.set()
        await client.until(lambda: client.processed[0] == 1)
        assert handed == ["once"]
        await client.link.close()
    assert await redis.lrange("up", 0, -1) == [b"once"]


async def test_a_claim_during_a_transaction_undoes_it(redis: Redis) -> None:
    older, newer = RedisStore(redis), RedisStore(redis)
    cid = bytes(16)
    for store in (older, newer):
        await store.start(60, 60)
    epoch = await older.claim(cid, "", None, Changes(b"one"))
    with pytest.raises(FencedError):
        async with older.transaction(cid, epoch) as (pipe, put):
            pipe.set("effect", "x")
            put(Changes(b"two"))
            await newer.claim(cid, epoch, b"one", Changes(b"three"))
            await pipe.execute()
    assert await redis.get("effect") is None
    assert (await newer.load(cid)).state == b"three"


async def test_echoes_come_once_over_kills_of_the_server(redis: Redis) -> None:
    port = redis.connection_pool.connection_kwargs["port"]
    got: list[str] = []

    async def start(address: str) -> tuple[asyncio.subprocess.Process, int]:
        command = [sys.executable, "-m", "steadwire", "serve", address]
        process = await asyncio.create_subprocess_exec(
            *command, "--redis", f"redis://127.0.0.1:{port}", stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        return process, int((await process.stdout.readline()).split()[2])

    process, at = await start("127.0.0.1:0")
    async with connecting(at) as conn:
        listener = asyncio.create_task(collect(conn, got, MESSAGES))
        for number in range(MESSAGES):
            await conn.send(str(number))
            if number % 70 == 69:
                process.kill()
                await process.wait()
                process, _at = await start(f"127.0.0.1:{at}")
        await listener
    process.kill()
    await process.wait()
    assert got == [str(number) for number in range(MESSAGES)]


async def test_a_transaction_that_fails_undoes_all_and_the_message_comes_again(
    redis: Redis,
) -> None:
    tries: list[bool] = []

    async def handler(session: Session) -> None:
        async for message in session:
            tries.append(message.replayed)
            async with message.transaction() as pipe:
                pipe.incr("count")
                await session.send(f"done {message.number - 1}")
                if len(tries) == 1:
                    raise RuntimeError("it fails once")

    sessions = Sessions(handler, RedisStore(redis))
    async with node(sessions) as port, connecting(port) as conn:
        for number in range(2):
            receipt = await conn.send("x")
            await receipt.wait("processed")
            assert (await anext(aiter(conn))).data == f"done {number}"
    assert tries == [False, True, False]
    assert await redis.get("count") == b"2"


async def test_a_session_that_commits_during_a_transaction_does_not_fence_itself(
    redis: Redis,
) -> None:
    runs: list[str] = []

    async def handler(session: Session) -> None:
        runs.append("run")
        async for message in session:
            async with message.transaction() as pipe:
                pipe.incr("count")
                beside = asyncio.create_task(session.send("beside"))
                await beside

    sessions = Sessions(handler, RedisStore(redis), ring_ms=3)
    async with node(sessions) as port, connecting(port) as conn:
        for _ in range(20):
            receipt = await conn.send("x")
        await receipt.wait("processed")
    assert runs == ["run"]
    assert await redis.get("count") == b"20"


async def test_a_rolling_restart_loses_and_repeats_nothing(redis: Redis) -> None:
    down: list[str] = []
    one, two, three = (Sessions(keep_journal, RedisStore(redis)) for _ in range(3))
    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(node(sessions)) for sessions in (one, two, three)]
        async with connecting(*ports) as conn:
            listener = asyncio.create_task(collect(conn, down, MESSAGES))
            for number in range(MESSAGES):
                receipt = await conn.send(f"up {number}")
                if number in (MESSAGES // 3, 2 * MESSAGES // 3):
                    await receipt.wait("written")
                    gone = next(sessions for sessions in (one, two, three) if sessions.live)
                    await gone.drain(spread=0.05, timeout=1)
            await receipt.wait("processed")
            await listener
    up = [data.decode() for data in await redis.lrange("up", 0, -1)]
    assert up == [f"up {number}" for number in range(MESSAGES)]
    assert down == [f"down {number}" for number in range(1, MESSAGES + 1)]
