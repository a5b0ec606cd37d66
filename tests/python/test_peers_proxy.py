"""Each fault of the proxy really happens, and nothing else does."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from peers import ws
from peers.fault_proxy import FaultProxy, ProxyError
from peers.process import PeerProcess, start_echo
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

SOON_S = 5.0
SILENCE_S = 0.15


@pytest_asyncio.fixture
async def server() -> AsyncIterator[PeerProcess]:
    async with await start_echo() as echo:
        yield echo


@pytest_asyncio.fixture
async def proxy(server: PeerProcess) -> AsyncIterator[FaultProxy]:
    async with await FaultProxy.start(server.port) as one:
        yield one


def dial(proxy: FaultProxy, open_timeout: float = SOON_S) -> connect:
    return connect(
        f"ws://127.0.0.1:{proxy.port}/",
        ping_interval=None,
        close_timeout=0.1,
        open_timeout=open_timeout,
    )


async def echoes(conn: ClientConnection, body: str | bytes = "hello") -> bool:
    await conn.send(body)
    return await asyncio.wait_for(conn.recv(), SOON_S) == body


async def is_silent(conn: ClientConnection) -> bool:
    await conn.send("into the dark")
    try:
        await asyncio.wait_for(conn.recv(), SILENCE_S)
    except TimeoutError:
        return True
    return False


async def ending(conn: ClientConnection) -> ConnectionClosed:
    with pytest.raises(ConnectionClosed) as closed:
        await asyncio.wait_for(conn.recv(), SOON_S)
    return closed.value


async def test_route_moves_new_connections_and_leaves_the_old_ones(proxy: FaultProxy) -> None:
    async with await start_echo() as other, dial(proxy) as before:
        await proxy.route(other.port)
        async with dial(proxy) as after:
            assert await echoes(after)
            await other.kill()
            assert await ending(after)
        assert await echoes(before)


async def test_bytes_pass_unchanged_in_both_directions(proxy: FaultProxy) -> None:
    body = random.Random(1).randbytes(900_000)
    async with dial(proxy) as conn:
        assert await echoes(conn, body)
        (row,) = await proxy.connections()
    assert row["to_client"]["forwarded"] > len(body) < row["to_server"]["forwarded"]
    assert row["to_client"]["swallowed"] == row["to_server"]["swallowed"] == 0


async def test_reset_is_seen_as_rst_and_new_connections_work(proxy: FaultProxy) -> None:
    async with dial(proxy) as conn:
        assert await echoes(conn)
        await proxy.reset()
        assert isinstance((await ending(conn)).__cause__, ConnectionResetError)
    async with dial(proxy) as conn:
        assert await echoes(conn)
    assert (await proxy.counters())["resets"] == 1


async def test_reset_of_one_connection_spares_the_others(proxy: FaultProxy) -> None:
    async with dial(proxy) as one, dial(proxy) as two:
        await proxy.reset(conn=1)
        await ending(one)
        assert await echoes(two)
    with pytest.raises(ProxyError):
        await proxy.reset(conn=99)


@pytest.mark.parametrize("directions", [("to_client", "to_server"), ("to_client",), ("to_server",)])
async def test_blackhole_swallows_the_old_and_lets_the_new_work(
    proxy: FaultProxy, directions: tuple[str, ...]
) -> None:
    async with dial(proxy) as old:
        assert await echoes(old)
        before = (await proxy.connections())[0]
        await proxy.blackhole(directions)
        assert await is_silent(old)
        row = (await proxy.connections())[0]
        reached_server = row["to_server"]["forwarded"] > before["to_server"]["forwarded"]
        assert reached_server == ("to_server" not in directions)
        async with dial(proxy) as new:
            assert await echoes(new)
            await proxy.heal()
            assert await is_silent(old)


async def test_a_swallowed_connection_does_not_even_show_that_the_server_died(
    proxy: FaultProxy, server: PeerProcess
) -> None:
    async with dial(proxy) as conn:
        await proxy.blackhole()
        await server.kill()
        assert await is_silent(conn)


async def test_stall_loses_nothing(proxy: FaultProxy) -> None:
    async with dial(proxy) as conn:
        await proxy.stall()
        assert await is_silent(conn)
        await proxy.heal()
        assert await asyncio.wait_for(conn.recv(), SOON_S) == "into the dark"


async def test_accept_silent_hits_the_next_connections_only(proxy: FaultProxy) -> None:
    async with dial(proxy) as old:
        await proxy.accept_silent(count=1)
        with pytest.raises(TimeoutError):
            await dial(proxy, open_timeout=SILENCE_S)
        async with dial(proxy) as new:
            assert await echoes(new)
        assert await echoes(old)
    assert (await proxy.counters())["silenced"] == 1


async def test_accept_silent_lasts_until_healed(proxy: FaultProxy) -> None:
    await proxy.accept_silent()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await dial(proxy, open_timeout=SILENCE_S)
    await proxy.heal()
    async with dial(proxy) as conn:
        assert await echoes(conn)


async def test_respond_answers_so_many_upgrades(proxy: FaultProxy) -> None:
    await proxy.respond("503 Service Unavailable", {"Retry-After": "2"}, count=2, body="busy")
    for _ in range(2):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{proxy.port}/").__aenter__()
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "2"
        assert refused.value.response.body == b"busy"
    async with dial(proxy) as conn:
        assert await echoes(conn)


async def test_close_frame_carries_code_and_reason(proxy: FaultProxy) -> None:
    async with dial(proxy) as conn:
        assert await echoes(conn)
        await proxy.close_frame(1012, "r=200;w=500")
        closed = await ending(conn)
        assert closed.rcvd and (closed.rcvd.code, closed.rcvd.reason) == (1012, "r=200;w=500")
    async with dial(proxy) as conn:
        assert await echoes(conn)


async def test_close_frame_waits_for_a_frame_border(proxy: FaultProxy) -> None:
    body = random.Random(2).randbytes(500_000)
    async with dial(proxy) as conn:
        await proxy.shape(["to_client"], bytes_per_s=2_000_000)
        await conn.send(body)
        await proxy.wait("connected")
        while not (await proxy.connections())[0]["to_client"]["forwarded"] > 10_000:
            pass
        await proxy.close_frame(1012)
        received = await asyncio.wait_for(conn.recv(), SOON_S)
        assert isinstance(received, bytes)
        assert hashlib.sha256(received).digest() == hashlib.sha256(body).digest()
        closed = await ending(conn)
        assert closed.rcvd and closed.rcvd.code == 1012


async def test_delay_and_jitter_are_added_and_keep_the_order(proxy: FaultProxy) -> None:
    async with dial(proxy) as conn:
        await proxy.shape(["to_client"], delay_s=0.1, jitter_s=0.05, seed=3)
        begin = time.monotonic()
        for number in range(20):
            await conn.send(str(number))
        answers = [await asyncio.wait_for(conn.recv(), SOON_S) for _ in range(20)]
        assert time.monotonic() - begin >= 0.1
        assert answers == [str(number) for number in range(20)]
        await proxy.heal()
        begin = time.monotonic()
        assert await echoes(conn)
        assert time.monotonic() - begin < 0.1


async def test_throttle_limits_the_rate(proxy: FaultProxy) -> None:
    async with dial(proxy) as conn:
        await proxy.shape(["to_server"], bytes_per_s=100_000)
        begin = time.monotonic()
        assert await echoes(conn, random.Random(4).randbytes(30_000))
        assert 0.2 < time.monotonic() - begin < 1.5


async def test_refuse_closes_the_door_but_not_the_house(proxy: FaultProxy) -> None:
    async with dial(proxy) as old:
        await proxy.refuse()
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await dial(proxy)
        assert await echoes(old)
        await proxy.heal()
        async with dial(proxy) as new:
            assert await echoes(new)


@pytest.mark.parametrize("how", ["rst", "fin"])
async def test_cut_after_passes_exactly_so_many_bytes(proxy: FaultProxy, how: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    await proxy.cut_after(100, how=how)
    writer.write(ws.encode(ws.BINARY, bytes(5000), mask=b"mask"))
    received = b""
    try:
        while chunk := await reader.read(4096):
            received += chunk
        assert how == "fin"
    except ConnectionResetError:
        assert how == "rst"
    assert len(received) <= 100 and (how == "rst" or len(received) == 100)
    writer.close()


async def test_half_close_ends_one_direction_only(proxy: FaultProxy) -> None:
    client = socket.create_connection(("127.0.0.1", proxy.port))
    client.setblocking(False)
    await proxy.wait("connected")
    await proxy.half_close("to_client")
    loop = asyncio.get_running_loop()
    assert await asyncio.wait_for(loop.sock_recv(client, 1), SOON_S) == b""
    await loop.sock_sendall(client, b"GET / HTTP/1.1\r\n")
    while (await proxy.connections())[0]["to_server"]["forwarded"] < 16:
        pass
    client.close()


async def test_a_dead_server_behind_the_proxy_is_a_reset(
    proxy: FaultProxy, server: PeerProcess
) -> None:
    async with dial(proxy) as conn:
        assert await echoes(conn)
        await server.kill()
        await ending(conn)
    with pytest.raises((OSError, InvalidMessage)):
        await dial(proxy)
    await proxy.wait("upstream_refused")


async def test_many_connections_leave_nothing_behind(proxy: FaultProxy) -> None:
    for wave in range(1, 4):
        conns = await asyncio.gather(*(dial(proxy) for _ in range(50)))
        assert all(await asyncio.gather(*(echoes(conn) for conn in conns)))
        await (proxy.reset() if wave % 2 else proxy.blackhole())
        await proxy.reset()
        for conn in conns:
            await conn.close()
        await proxy.wait("closed", at_least=50 * wave)
    assert await proxy.connections() == []
    assert "errors" not in await proxy.counters()


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("nonsense", {}),
        ("blackhole", {"directions": ["sideways"]}),
        ("reset", {"conn": "x"}),
        ("respond", {}),
        ("wait", {"counter": "resets", "at_least": 1, "timeout": 0.01}),
    ],
)
async def test_a_wrong_command_is_an_error_and_the_proxy_lives(
    proxy: FaultProxy, command: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ProxyError):
        await proxy.do(command, **arguments)
    async with dial(proxy) as conn:
        assert await echoes(conn)
