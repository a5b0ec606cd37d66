"""steadwire.server over real sockets, with steadwire's own client and with plain ones."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

import pytest
import steadwire
from face_support import until_async
from peers.fault_proxy import FaultProxy
from session_nodes import collect, connecting, node
from steadwire.cli import main
from steadwire.server import MemoryStore, Session, SessionEnded, Sessions
from steadwire.server.store import Changes
from test_core_session import hello, pack
from websockets.asyncio.client import connect as plain_connect

MESSAGES = 300


async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message.data, lane=message.lane)


async def test_messages_go_both_ways_and_are_processed() -> None:
    sessions = Sessions(echo)
    async with node(sessions) as port, connecting(port) as conn:
        receipt = await conn.send("hello")
        await receipt.wait("processed")
        urgent = await conn.send(b"\x00\xff", lane="control")
        await urgent.wait("processed")
        got = [await anext(aiter(conn)) for _ in range(2)]
        assert [message.data for message in got] == ["hello", b"\x00\xff"]
        assert len(sessions.live) == 1


async def test_over_resets_every_message_arrives_once_in_order_both_ways() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    received: list[str | bytes] = []
    runs = 0

    async def handler(session: Session) -> None:
        nonlocal runs
        runs += 1
        async for message in session:
            received.append(message.data)
            await session.send(f"down {message.number}")

    down: list[str] = []
    async with (
        node(Sessions(handler)) as port,
        await FaultProxy.start(port) as proxy,
        connecting(proxy.port) as conn,
    ):
        listener = asyncio.create_task(collect(conn, down, MESSAGES))
        for number in range(MESSAGES):
            receipt = await conn.send(f"up {number}")
            if dice.random() < 0.03:
                await proxy.reset()
            elif dice.random() < 0.1:
                await receipt.wait("accepted")
        await receipt.wait("processed")
        await listener
        assert (await proxy.counters())["resets"] > 1
    assert received == [f"up {number}" for number in range(MESSAGES)]
    assert down == [f"down {number}" for number in range(1, MESSAGES + 1)]
    assert runs == 1


async def test_a_plain_client_gets_the_same_face() -> None:
    kinds: list[bool] = []

    async def handler(session: Any) -> None:
        kinds.append(session.is_plain)
        async for message in session:
            assert message.number == 0
            await message.ack()
            await session.send(message.data)

    sessions = Sessions(handler)
    async with node(sessions) as port:
        async with plain_connect(f"ws://127.0.0.1:{port}") as client:
            await client.send("plain")
            assert await client.recv() == "plain"
    assert kinds == [True]


async def test_a_session_in_memory_has_no_transactions() -> None:
    refused = asyncio.get_running_loop().create_future()

    async def handler(session: Session) -> None:
        async for message in session:
            with pytest.raises(TypeError, match="transactions"):
                message.transaction()
            refused.set_result(None)

    async with node(Sessions(handler)) as port, connecting(port) as conn:
        await conn.send("x")
        await asyncio.wait_for(refused, 5)


async def test_what_a_failed_handler_had_in_its_hand_comes_again() -> None:
    seen: list[tuple[str | bytes, bool]] = []

    async def handler(session: Session) -> None:
        async for message in session:
            seen.append((message.data, message.replayed))
            if len(seen) == 2:
                raise RuntimeError("it fails once")

    async with node(Sessions(handler)) as port, connecting(port) as conn:
        for data in ("a", "b", "c"):
            receipt = await conn.send(data)
        await receipt.wait("processed")
    assert [data for data, _ in seen] == ["a", "b", "b", "c"]
    assert [replayed for _, replayed in seen][:3] == [False, False, True]


async def test_draining_refuses_new_clients_and_ends_the_handlers() -> None:
    ended: list[str] = []

    async def handler(session: Session) -> None:
        async for message in session:
            await session.send(message.data)
        with pytest.raises(SessionEnded):
            await session.send("too late")
        ended.append("ended")

    sessions = Sessions(handler)
    async with node(sessions) as port, connecting(port) as conn:
        await (await conn.send("x")).wait("processed")
        await sessions.drain(spread=0.1, timeout=1)
        assert ended == ["ended"]
        assert sessions.live == []
        await conn.close()


async def test_a_session_goes_on_from_its_cursors_when_its_ring_is_gone() -> None:
    store = MemoryStore()
    received: list[str | bytes] = []

    async def handler(session: Session) -> None:
        async for message in session:
            received.append(message.data)

    sessions = Sessions(handler, store, ring_ms=50)
    async with (
        node(sessions) as port,
        await FaultProxy.start(port) as proxy,
        connecting(proxy.port) as conn,
    ):
        await (await conn.send("before")).wait("processed")
        await proxy.refuse()
        await proxy.reset()
        await until_async(lambda: len(store) == 1)
        assert sessions.live == []
        await proxy.heal()
        await (await conn.send("after")).wait("processed")
        assert len(sessions.live) == 1
    assert received == ["before", "after"]


async def test_what_is_no_hello_ends_the_link() -> None:
    async with node(Sessions(echo)) as port:
        client = await plain_connect(
            f"ws://127.0.0.1:{port}", subprotocols=Sessions(echo).subprotocols
        )
        await client.send(b"\xc1")
        await client.wait_closed()
        assert client.close_code == 4400


async def test_credentials_are_judged() -> None:
    async def nobody(_auth: bytes) -> str | None:
        return None

    sessions = Sessions(echo, authenticate=nobody)
    async with node(sessions) as port:
        with pytest.raises(steadwire.SteadwireError):
            async with connecting(port, connect_timeout="1s"):
                raise AssertionError("it must not be let in")
    assert sessions.live == []


async def test_a_session_that_is_stale_costs_one_login() -> None:
    asked: list[bytes] = []

    async def who(auth: bytes) -> str:
        asked.append(auth)
        return "somebody"

    first, second = (Sessions(echo, authenticate=who) for _ in range(2))
    async with node(first) as before, node(second) as port, await FaultProxy.start(before) as proxy:
        async with connecting(proxy.port) as conn:
            await (await conn.send("x")).wait("processed")
            await proxy.route(port)
            await proxy.reset()
            await (await conn.send("y")).wait("processed")
        assert [len(second.live), len(asked)] == [1, 2]


async def test_with_no_room_a_client_waits_until_another_is_gone() -> None:
    sessions = Sessions(echo, live_max=1)
    async with node(sessions) as port, connecting(port) as first:
        await (await first.send("x")).wait("processed")
        (only,) = sessions.live
        second = await connecting(port, wait=False)
        receipt = await second.send("y")
        await until_async(lambda: second.view().attempt > 1)
        assert [session.cid for session in sessions.live] == [only.cid]
        await first.close()
        await receipt.wait("processed")
        assert len(sessions.live) == 1
        await second.close()


async def test_memory_forgets_the_oldest_cursors_first_and_all_in_time() -> None:
    now = 0.0
    store = MemoryStore(2, clock=lambda: now)
    await store.start(1, 10)
    for number in range(3):
        store.park(bytes([number]), b"state %d" % number)
    assert [(await store.load(bytes([n]))).state for n in range(3)] == [
        None,
        b"state 1",
        b"state 2",
    ]
    now = 10.0
    assert (await store.load(b"\x01")).state is None
    assert len(store) == 0


def test_wrong_options_raise() -> None:
    with pytest.raises(TypeError, match="no option"):
        Sessions(echo, rings=1)
    with pytest.raises(ValueError):
        MemoryStore(0)


async def test_asgi_endpoints_serve_sessions_and_plain_clients() -> None:
    sessions = Sessions(echo)
    for offered, sent in (([], "plain"), (["steadwire.v1"], b"\xc1")):
        came: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        went: asyncio.Queue[Any] = asyncio.Queue()
        came.put_nowait({"type": "websocket.connect"})
        scope = {"type": "websocket", "subprotocols": offered}
        serving = asyncio.create_task(sessions.asgi(scope, came.get, went.put))
        accepted = await went.get()
        assert accepted["type"] == "websocket.accept"
        assert accepted["subprotocol"] == (offered[0] if offered else None)
        key = "text" if isinstance(sent, str) else "bytes"
        came.put_nowait({"type": "websocket.receive", key: sent})
        if not offered:
            assert await went.get() == {"type": "websocket.send", "text": "plain"}
            came.put_nowait({"type": "websocket.disconnect", "code": 1000})
        else:
            closed = await went.get()
            assert (closed["type"], closed["code"]) == ("websocket.close", 4400)
        await asyncio.wait_for(serving, 5)


async def test_the_newest_link_wins() -> None:
    async with node(Sessions(echo)) as port, await FaultProxy.start(port) as proxy:
        async with connecting(proxy.port, heartbeat_interval=0.1, heartbeat_timeout=0.1) as conn:
            await (await conn.send("x")).wait("processed")
            await proxy.blackhole()
            receipt = await conn.send("y")
            await receipt.wait("processed", timeout=5)


async def test_the_command_echoes_and_asks_its_clients_to_move() -> None:
    command = [sys.executable, "-m", "steadwire", "serve", "127.0.0.1:0", "--spread", "100ms"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    word, _host, port = (await process.stdout.readline()).split()
    assert word == b"listening"
    async with connecting(int(port)) as conn:
        await conn.send("hello")
        assert (await anext(aiter(conn))).data == "hello"
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:x", "127.0.0.1:65536", ":"])
def test_the_command_refuses_what_is_no_address(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", address]) == 2
    assert "HOST:PORT" in capsys.readouterr().err


async def test_an_older_link_of_a_session_is_closed_with_4409() -> None:
    sessions = Sessions(echo)
    async with node(sessions) as port:
        url = f"ws://127.0.0.1:{port}"
        older = await plain_connect(url, subprotocols=sessions.subprotocols)
        await older.send(hello())
        await older.recv()
        newer = await plain_connect(url, subprotocols=sessions.subprotocols)
        await newer.send(hello())
        await newer.recv()
        await older.wait_closed()
        assert older.close_code == 4409
        assert len(sessions.live) == 1
        await newer.close()


class SlowStore(MemoryStore):
    """Claims are taken when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun, self.may_end = asyncio.Event(), asyncio.Event()

    async def claim(self, cid: bytes, epoch: str, state: bytes | None, changes: Changes) -> str:
        self.has_begun.set()
        await self.may_end.wait()
        return await super().claim(cid, epoch, state, changes)


async def test_a_client_that_was_being_let_in_when_a_drain_began_is_sent_away() -> None:
    store = SlowStore()
    sessions = Sessions(echo, store)
    async with node(sessions) as port:
        url = f"ws://127.0.0.1:{port}"
        client = await plain_connect(url, subprotocols=sessions.subprotocols)
        await client.send(hello())
        await asyncio.wait_for(store.has_begun.wait(), 5)
        await sessions.drain(timeout=0.1)
        store.may_end.set()
        refusal = await asyncio.wait_for(client.recv(), 5)
        assert refusal == b"\x93\x0d\x04\xa9r=0;w=500"  # REFUSE BUSY: elsewhere
        await asyncio.wait_for(client.wait_closed(), 5)
        assert client.close_code == 1013
        assert sessions.live == []


async def test_a_client_without_a_word_and_one_that_floods_are_let_go() -> None:
    sessions = Sessions(echo, hello_timeout=0.1, window_messages=4)
    async with node(sessions) as port:
        url = f"ws://127.0.0.1:{port}"
        silent = await plain_connect(url, subprotocols=sessions.subprotocols)
        await asyncio.wait_for(silent.wait_closed(), 5)
        broken = await plain_connect(url, subprotocols=sessions.subprotocols)
        await broken.send(hello())
        await broken.send(pack([3, 0, 9, 0, b"out of order"]))
        await broken.wait_closed()
        assert broken.close_code == 4400


async def test_a_slow_handler_bounds_what_a_client_may_have_unaccepted() -> None:
    go = asyncio.Event()
    received: list[str | bytes] = []

    async def handler(session: Session) -> None:
        async for message in session:
            await go.wait()
            received.append(message.data)

    sessions = Sessions(handler, window_messages=4)
    async with node(sessions) as port, connecting(port) as conn:
        for number in range(50):
            receipt = await conn.send(str(number))
        await until_async(lambda: bool(sessions.live) and sessions.live[0].waiting >= 3)
        assert sessions.live[0].waiting <= 10
        go.set()
        await receipt.wait("processed")
    assert received == [str(number) for number in range(50)]
