"""Two nodes behind one address, a real Redis: kill -9 of either, rolling restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import steadwire
from session_peer import (
    Address,
    Node,
    RedisServer,
    Refused,
    ScriptedClient,
    redis_server,
    serving,
)
from steadwire.server import Sessions
from steadwire.server.redis_store import RedisStore

NODE = str(Path(__file__).with_name("session_node.py"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def database(server: RedisServer) -> AsyncIterator[Any]:
    client = redis.asyncio.Redis.from_url(server.url)
    await client.flushall()
    yield client
    await client.aclose()


async def echo(session: Any) -> None:
    async for message in session:
        await session.send(message.data)


async def eventually(is_true: Any) -> None:
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0)


async def test_redis_holds_nothing_that_is_done_with(server: RedisServer, database: Any) -> None:
    sessions = Sessions(echo, store=RedisStore(database))
    async with serving(sessions) as url:
        async with ScriptedClient(url) as client:
            for number in range(50):
                await client.send(str(number))
            await client.until(lambda: len(client.inbox) == 50)
            ring = f"steadwire:{{{client.cid.hex()}}}:ring"
            async with asyncio.timeout(20):
                while await database.hlen(ring):
                    await client.write([6, 1, 1])
                    await client.step()
            state = f"steadwire:{{{client.cid.hex()}}}:state"
            assert 0 < await database.pttl(state) <= 24 * 3600 * 1000


async def test_a_redis_that_forgot_everything_makes_sessions_stale(
    server: RedisServer, database: Any
) -> None:
    async with serving(Sessions(echo, store=RedisStore(database))) as url:
        client = ScriptedClient(url)
        await client.open()
        client.drop()
    await database.flushall()
    async with serving(Sessions(echo, store=RedisStore(database))) as url:
        client.url = url
        with pytest.raises(Refused) as refused:
            await client.open()
        assert refused.value.code == 1
        await client.link.close()


async def test_a_redis_that_dies_costs_a_link_not_a_message(tmp_path: Path) -> None:
    redis_process = RedisServer(tmp_path, is_durable=True)
    redis_process.start()
    try:
        async with serving(
            Sessions(echo, store=RedisStore(redis.asyncio.from_url(redis_process.url)))
        ) as url:
            client = ScriptedClient(url)
            await client.open()
            await client.send("a")
            await client.until(lambda: client.acked[0] == 1 and client.inbox)
            redis_process.kill()
            await client.send("b")
            assert await client.until_closed() == 1013
            redis_process.start()
            await client.open()
            await client.until(lambda: client.acked[0] == 2 and len(client.inbox) == 2)
            assert client.gaps == []
            await client.link.close()
    finally:
        redis_process.kill()


async def send_numbers(conn: Any, count: int, sent: asyncio.Event) -> None:
    for number in range(count):
        await conn.send(str(number), guarantee="exactly_once")
        await asyncio.sleep(0)
    sent.set()


async def take_answers(conn: Any, count: int) -> list[str]:
    got: list[str] = []
    async for message in conn:
        got.append(message.data)
        if len(got) == count:
            break
    return got


async def exchange(url: str, count: int, disturb: Any) -> list[str]:
    """Sends `count` messages and takes their answers while `disturb` runs."""
    async with steadwire.connect(
        url, profile="session", close_timeout="20s", retry_window=0.02, retry_cap=0.1
    ) as conn:
        sent = asyncio.Event()
        sending = asyncio.create_task(send_numbers(conn, count, sent))
        disturbing = asyncio.create_task(disturb(conn))
        async with asyncio.timeout(100):
            got = await take_answers(conn, count)
            await sending
            await disturbing
    return got


@pytest.mark.timeout(180)
async def test_exactly_once_over_kill_9_of_two_nodes(server: RedisServer, database: Any) -> None:
    count = 3000
    async with Address() as address:
        nodes = [Node(NODE, server.url) for _ in range(2)]

        async def kill(_conn: Any) -> None:
            for turn in range(6):
                size = (turn + 1) * count // 8
                async with asyncio.timeout(60):
                    while await database.llen("journal") < size:
                        await asyncio.sleep(0)
                nodes[turn % 2].kill()
                nodes[turn % 2] = await asyncio.to_thread(Node, NODE, server.url)
                address.targets = [nodes[(turn + 1) % 2].port, nodes[turn % 2].port]

        address.targets = [node.port for node in nodes]
        got = await exchange(address.url, count, kill)
        for node in nodes:
            node.kill()
        journal = [data.decode() for data in await database.lrange("journal", 0, -1)]
        assert journal == [str(number) for number in range(count)]
        assert got == [f"kept {number}" for number in range(count)]
        assert address.links >= 6


@pytest.mark.timeout(180)
async def test_exactly_once_over_rolling_restarts(server: RedisServer, database: Any) -> None:
    count = 3000
    serve = ("-m", "steadwire", "serve", "127.0.0.1:0", "--redis", server.url, "--spread", "0.3")
    async with Address() as address:
        nodes = [Node(*serve) for _ in range(2)]
        exits: list[int] = []

        async def restart(_conn: Any) -> None:
            for turn in range(4):
                old = nodes[turn % 2]
                address.targets = [nodes[(turn + 1) % 2].port]
                old.terminate()
                exits.append(await asyncio.to_thread(old.wait))
                nodes[turn % 2] = await asyncio.to_thread(Node, *serve)

        address.targets = [nodes[0].port]
        got = await exchange(address.url, count, restart)
        for node in nodes:
            node.kill()
        assert got == [str(number) for number in range(count)]
        assert exits == [0, 0, 0, 0]
        assert address.links >= 4
