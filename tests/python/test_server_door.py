"""The door of steadwire.server: admission, appointments, and clients that leave early."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import steadwire
from face_support import until_async
from session_nodes import connecting, node
from steadwire.cli import main
from steadwire.events import StateChanged
from steadwire.server import Session, Sessions
from steadwire.server._door import Abandoned, Appointments, Capacity, Door, Refused, Turn
from steadwire.words import Cause, State
from test_core_session import hello
from websockets.asyncio.client import connect as plain_connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message.data, message.lane)


class Guest:
    """A client at a door without a socket."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    def is_gone(self) -> bool:
        return self.left.is_set()

    async def wait_gone(self) -> None:
        await self.left.wait()


# ---- appointments and capacity, in virtual time ----


def test_appointments_are_ninety_percent_of_the_capacity_apart() -> None:
    clock = Appointments()
    given = [clock.take(5.0, 100.0) for _ in range(900)]
    assert given[-1] == pytest.approx(10.0)
    assert all(b - a == pytest.approx(1 / 90) for a, b in zip(given, given[1:], strict=False))
    assert clock.ahead(7.0) == pytest.approx(8.0)
    assert clock.take(100.0, 100.0) == pytest.approx(1 / 90), "what is past is not handed out"


def test_appointments_end_at_ten_minutes_without_a_wave_there() -> None:
    clock = Appointments()
    given = [clock.take(0.0, 1.0) for _ in range(2000)]
    assert max(given) <= 600
    late = given[600:]
    assert len({round(after) for after in late}) > 200
    assert clock.ahead(0.0) == 600


def test_the_capacity_is_measured_while_clients_wait_and_only_then() -> None:
    capacity = Capacity(None)
    for step in range(800):
        capacity.done(step / 800, is_crowded=True)
    assert capacity.per_second == pytest.approx(800, rel=0.02)
    for step in range(400):
        capacity.done(10 + step / 50, is_crowded=step % 10 != 0)
    assert capacity.per_second == pytest.approx(800, rel=0.02)
    for step in range(400):
        capacity.done(100 + step / 200, is_crowded=True)
    assert capacity.per_second == pytest.approx(200, rel=0.2)


def test_a_given_capacity_stays() -> None:
    capacity = Capacity(30)
    for step in range(400):
        capacity.done(step / 800, is_crowded=True)
    assert capacity.per_second == 30


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="handshakes_per_second"):
        Sessions(echo, handshakes_per_second=rate)


# ---- the door, in virtual time ----


class World:
    """A door whose clock the test moves."""

    def __init__(self, rate: float) -> None:
        self.now = 1000.0
        self.door = Door(rate, clock=lambda: self.now)


async def let_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_nine_tenths_of_a_second_wait_and_who_comes_then_gets_appointments() -> None:
    world = World(10.0)
    waiting = []
    refused = []
    for _ in range(60):
        waiting.append(asyncio.ensure_future(world.door.enter(Guest())))
        await let_run()
    for task in waiting:
        if task.done() and isinstance(task.exception(), Refused):
            refused.append(task.exception())
    assert (world.door.admitted, world.door.queued, world.door.refused) == (1, 9, 50)
    afters = [one.after for one in refused if isinstance(one, Refused)]
    assert afters[0] >= 0.9
    assert all(b - a == pytest.approx(1 / 9) for a, b in zip(afters[1:], afters[2:], strict=False))
    assert world.door.appointments_ms == pytest.approx(60 / 9 * 1000, abs=2)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert world.door.queued == 0


async def test_who_left_the_queue_takes_nobodys_turn() -> None:
    world = World(4.0)
    first = await world.door.enter(Guest())
    gone, there = Guest(), Guest()
    waiting = [asyncio.ensure_future(world.door.enter(one)) for one in (gone, there)]
    await let_run()
    assert world.door.queued == 2
    gone.left.set()
    with pytest.raises(Abandoned):
        await waiting[0]
    world.now += 0.25
    first.end()
    (await waiting[1]).end()
    assert (world.door.admitted, world.door.abandoned, world.door.queued) == (2, 1, 0)


async def test_a_shut_door_tells_when_it_opens_and_empties_its_queue() -> None:
    world = World(4.0)
    (await world.door.enter(Guest())).end()
    waiting = asyncio.ensure_future(world.door.enter(Guest()))
    await let_run()
    world.door.shut(5.0)
    with pytest.raises(Refused) as emptied:
        await waiting
    assert emptied.value.after >= 5
    world.now += 2.0
    with pytest.raises(Refused) as late:
        await world.door.enter(Guest())
    assert 3 <= late.value.after < 7
    assert late.value.retry_after == str(int(late.value.after) + 1)


async def test_without_a_rate_so_many_are_let_in_as_end() -> None:
    door = Door()
    turns = [await door.enter(Guest()) for _ in range(50)]  # 100 a second are guessed
    waiting = asyncio.ensure_future(door.enter(Guest()))
    await let_run()
    assert not waiting.done()
    turns[0].end()
    turns[0].end()
    (await waiting).end()
    for turn in turns:
        turn.end()
    assert door.queued == 0


@pytest.mark.parametrize("can", [20.0, 80.0, 400.0])
async def test_a_server_that_is_slower_or_faster_than_guessed_finds_its_measure(can: float) -> None:
    """It does one after the other; clients never stop coming."""
    now = 0.0
    door = Door(clock=lambda: now)
    waiting: list[asyncio.Future[Turn]] = []
    working: list[Turn] = []
    for _ in range(int(20 * can)):
        while door.queued < 5:
            waiting.append(asyncio.ensure_future(door.enter(Guest())))
            await let_run()
        now += 1 / can
        working += [task.result() for task in waiting if task.done()]
        waiting = [task for task in waiting if not task.done()]
        working.pop(0).end()
    assert door.handshakes_per_second == pytest.approx(can, rel=0.1)
    assert len(working) <= max(0.6 * can, 16)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for turn in working:
        turn.end()


# ---- over sockets ----


def leave_at_once(port: int, *, reset: bool) -> None:
    """A client that asks for an upgrade and is gone; it never waits."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(UPGRADE)


async def test_nothing_is_done_for_clients_that_left_while_the_server_was_busy() -> None:
    runs = 0

    async def handler(session: Session) -> None:
        nonlocal runs
        runs += 1
        await echo(session)

    sessions = Sessions(handler, handshakes_per_second=1000)
    async with node(sessions) as port:
        for number in range(80):  # the loop does not run meanwhile
            leave_at_once(port, reset=number % 2 == 0)
        async with plain_connect(f"ws://127.0.0.1:{port}") as client:
            await client.send("here")
            assert await client.recv() == "here"
            stats = sessions.stats()
            assert (stats["admitted"], stats["plain"], stats["refused"]) == (1, 1, 0)
            assert 40 <= stats["abandoned"] <= 80  # of a reset the loop may hear first
            assert runs == 1


def came(sessions: Sessions) -> int:
    """How many have been at the door."""
    stats = sessions.stats()
    return sum(stats[name] for name in ("admitted", "refused", "abandoned", "queued"))


async def test_a_queue_of_clients_that_gave_up_holds_up_nobody() -> None:
    sessions = Sessions(echo, handshakes_per_second=30)
    async with node(sessions) as port:
        queued = []
        for _ in range(25):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.sendall(UPGRADE)
            queued.append(sock)
        await until_async(lambda: came(sessions) == 25)
        for sock in queued:
            sock.close()
        await until_async(lambda: sessions.stats()["queued"] == 0)
        stats = sessions.stats()
        assert stats["abandoned"] > 0
        assert stats["admitted"] + stats["abandoned"] == 25
        async with plain_connect(f"ws://127.0.0.1:{port}") as client:
            await client.send("next")
            assert await client.recv() == "next"


async def test_credentials_of_who_left_are_judged_no_further() -> None:
    asked = asyncio.Event()
    stopped = asyncio.Event()

    async def who(_auth: bytes) -> str | None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError("it waits for ever")

    sessions = Sessions(echo, authenticate=who)
    async with node(sessions) as port:
        client = await plain_connect(f"ws://127.0.0.1:{port}", subprotocols=sessions.subprotocols)
        await client.send(hello())
        await asyncio.wait_for(asked.wait(), 5)
        client.transport.abort()
        await asyncio.wait_for(stopped.wait(), 5)
        await until_async(lambda: sessions.stats()["abandoned"] == 1)
        assert sessions.live == []


async def test_what_the_kernel_knows_of_a_client_is_known_within_a_turn_of_the_loop() -> None:
    calls = 0

    async def who(_auth: bytes) -> str | None:
        nonlocal calls
        calls += 1
        for link in links:  # while this one holds up the loop, all leave
            link.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        return "somebody"

    sessions = Sessions(echo, authenticate=who)
    async with node(sessions) as port, contextlib.AsyncExitStack() as stack:
        url = f"ws://127.0.0.1:{port}"
        links = [
            await stack.enter_async_context(plain_connect(url, subprotocols=sessions.subprotocols))
            for _ in range(20)
        ]
        await asyncio.gather(
            *(link.send(hello(cid=bytes([n] * 16))) for n, link in enumerate(links))
        )
        await until_async(lambda: sessions.stats()["abandoned"] >= 19)
        assert calls == 1
        assert sessions.live == []


async def crowd(port: int, count: int) -> list[int]:
    """The Retry-After of those who were refused, of so many that come at once and stay."""
    after: list[int] = []
    stack = contextlib.AsyncExitStack()

    async def come() -> None:
        try:
            await stack.enter_async_context(plain_connect(f"ws://127.0.0.1:{port}"))
        except InvalidStatus as error:
            assert error.response.status_code == 503
            after.append(int(error.response.headers["Retry-After"]))

    async with stack:
        await asyncio.gather(*(come() for _ in range(count)))
    return after


async def test_the_upgrade_of_whom_there_is_no_room_for_is_answered_503_with_an_appointment() -> (
    None
):
    sessions = Sessions(echo, handshakes_per_second=4)
    async with node(sessions) as port:
        after = await crowd(port, 30)
        stats = sessions.stats()
        assert len(after) == stats["refused"] >= 10
        assert stats["admitted"] == 30 - len(after)
        assert stats["handshakes_per_second"] == 4
        assert 0 < stats["appointments_ms"] <= 1000 * 30 / 3.6
        assert min(after) >= 1
        assert len(set(after)) >= 3, "they are spread"


async def test_a_client_comes_back_at_its_appointment() -> None:
    sessions = Sessions(echo, handshakes_per_second=2)
    async with node(sessions) as port:
        conns = [await connecting(port, wait=False) for _ in range(6)]
        try:
            histories = [until_online(conn.events(StateChanged)) for conn in conns]
            changes = await asyncio.wait_for(asyncio.gather(*histories), 60)
        finally:
            for conn in conns:
                await conn.close()
    refused = 0
    for history in changes:
        for waiting, again in zip(history, history[1:], strict=False):
            if waiting.new is State.WAITING:
                refused += 1
                assert (waiting.cause, waiting.http_status) == (Cause.HTTP_5XX, 503)
                assert waiting.delay >= 1.0
                assert again.at - waiting.at >= waiting.delay - 0.01
    assert refused >= 2


async def until_online(queue: Any) -> list[StateChanged]:
    changes: list[StateChanged] = []
    async for event in queue:
        changes.append(event)
        if event.new is State.ONLINE:
            return changes
    raise AssertionError("the conn has ended")


async def next_in(queue: Any, state: State) -> StateChanged:
    async with asyncio.timeout(10):
        async for event in queue:
            if event.new is state:
                assert isinstance(event, StateChanged)
                return event
    raise AssertionError("the conn has ended")


async def test_without_process_request_the_close_says_when_to_come_back() -> None:
    sessions = Sessions(echo, handshakes_per_second=0.1)
    async with serve(sessions.websockets, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        links = [await plain_connect(f"ws://127.0.0.1:{port}") for _ in range(6)]
        reasons = []
        for link in links[3:]:
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(link.recv(), 10)
            reasons.append((link.close_code, link.close_reason))
        assert {code for code, _ in reasons} == {1013}
        assert all(reason.startswith("r=") and ";w=" in reason for _, reason in reasons)
        await sessions.drain(timeout=0.5)


# ---- drains ----


@contextlib.asynccontextmanager
async def plains(port: int, count: int) -> AsyncIterator[list[Any]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(plain_connect(f"ws://127.0.0.1:{port}"))
            for _ in range(count)
        ]


async def test_a_drain_in_place_closes_all_at_once_with_the_spread_they_need() -> None:
    sessions = Sessions(echo, handshakes_per_second=50)
    async with node(sessions) as port, plains(port, 4) as links, connecting(port) as conn:
        await (await conn.send("x")).wait("processed")
        events = conn.events(StateChanged)
        await sessions.drain(0.3, in_place=True, timeout=1)
        for link in links:
            await asyncio.wait_for(link.wait_closed(), 5)
            assert (link.close_code, link.close_reason) == (1012, "r=300;w=125")
        waiting = await next_in(events, State.WAITING)
        assert waiting.cause is Cause.RESTART
        assert 0.3 <= waiting.delay <= 0.425
        with pytest.raises(InvalidStatus) as late:
            await plain_connect(f"ws://127.0.0.1:{port}")
        assert late.value.response.headers["Retry-After"] == "1"
        with contextlib.suppress(steadwire.Undelivered):
            await conn.close()


async def test_plain_clients_are_closed_one_after_the_other() -> None:
    sessions = Sessions(echo)
    async with node(sessions) as port, plains(port, 5) as links:
        loop = asyncio.get_running_loop()
        began = loop.time()
        draining = asyncio.create_task(sessions.drain(spread=0.5, timeout=1))
        ends = []
        for link in links:
            await asyncio.wait_for(link.wait_closed(), 5)
            ends.append(loop.time() - began)
        await draining
        assert max(ends) >= 0.4
        assert {link.close_code for link in links} == {1001}
        assert {link.close_reason for link in links} == {"r=0;w=500"}


async def test_spreads_and_delays_are_bounded() -> None:
    sessions = Sessions(echo)
    async with node(sessions) as port, plains(port, 1) as (link,):
        await sessions.drain(1e9, 1e9, in_place=True, timeout=1)
        await asyncio.wait_for(link.wait_closed(), 5)
        assert link.close_reason == "r=600000;w=600000"


# ---- ASGI ----


async def knock(sessions: Sessions, extensions: dict[str, Any]) -> list[dict[str, Any]]:
    """What an ASGI server is told about a client that comes when there is no room."""
    went: list[dict[str, Any]] = []
    came: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    came.put_nowait({"type": "websocket.connect"})

    async def send(event: Any) -> None:
        went.append(event)

    await sessions.asgi({"type": "websocket", "extensions": extensions}, came.get, send)
    return went


async def fill(sessions: Sessions) -> list[asyncio.Future[Any]]:
    waiting = [asyncio.ensure_future(sessions._door.enter(Guest())) for _ in range(30)]
    await let_run()
    return waiting


async def test_asgi_answers_503_where_the_server_can_and_else_closes() -> None:
    sessions = Sessions(echo, handshakes_per_second=1)
    waiting = await fill(sessions)
    start, body = await knock(sessions, {"websocket.http.response": {}})
    assert start["status"] == 503
    assert int(dict(start["headers"])[b"retry-after"]) >= 2
    assert body["type"] == "websocket.http.response.body"
    accepted, closed = await knock(sessions, {})
    assert accepted["type"] == "websocket.accept"
    assert closed["code"] == 1013
    assert closed["reason"].startswith("r=")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_an_asgi_client_that_left_is_not_accepted() -> None:
    sessions = Sessions(echo)
    came: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    came.put_nowait({"type": "websocket.connect"})
    came.put_nowait({"type": "websocket.disconnect", "code": 1006})
    went: list[Any] = []

    async def send(event: Any) -> None:
        went.append(event)

    await sessions.asgi({"type": "websocket"}, came.get, send)
    assert went == []
    assert sessions.stats()["abandoned"] == 1


@pytest.mark.parametrize("rate", ["0", "x", "inf"])
def test_the_command_refuses_a_rate_that_is_none(
    rate: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "127.0.0.1:0", "--handshakes-per-second", rate])
    assert ended.value.code == 2
    assert "--handshakes-per-second" in capsys.readouterr().err


async def test_a_flood_of_comers_and_leavers_leaves_the_door_empty() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    world = World(dice.choice([1.0, 7.0, 100.0]))
    guests, tasks = [], []
    for _ in range(300):
        if dice.random() < 0.6:
            guests.append(Guest())
            tasks.append(asyncio.ensure_future(world.door.enter(guests[-1])))
        elif guests:
            dice.choice(guests).left.set()
        if dice.random() < 0.1:
            world.now += dice.random()
        if dice.random() < 0.05 and tasks:
            dice.choice(tasks).cancel()
        await asyncio.sleep(0)
    for guest in guests:
        guest.left.set()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(result, BaseException):
            result.end()
    door = world.door
    assert door.queued == 0
    came = door.admitted + door.refused + door.abandoned
    never_began = sum(task.cancelled() for task in tasks)
    assert len(tasks) - never_began <= came <= len(tasks)
