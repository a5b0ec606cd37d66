"""Sessions in memory, over the `websockets` library, with a client written from the protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import steadwire
import websockets
from session_peer import (
    ACK,
    AUTH,
    DATA,
    REPLAY,
    STALE,
    TEXT,
    VERSION,
    Refused,
    ScriptedClient,
    serving,
)
from steadwire.server import Sessions


async def echo(session: Any) -> None:
    async for message in session:
        await session.send(message.data, message.lane)


class Note:
    """A handler that notes what it gets, and can be made to wait or fail."""

    def __init__(self) -> None:
        self.seen: list[str | bytes] = []
        self.sessions: list[Any] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.fails_at: str | None = None

    async def __call__(self, session: Any) -> None:
        self.sessions.append(session)
        async for message in session:
            await self.may_go_on.wait()
            if message.data == self.fails_at:
                self.fails_at = None
                raise ValueError("planned")
            self.seen.append(message.data)


async def eventually(is_true: Any) -> None:
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0)


async def test_messages_go_both_ways_and_are_acknowledged_when_processed() -> None:
    async with serving(Sessions(echo)) as url, ScriptedClient(url) as client:
        assert client.welcome["st"] == 0
        await client.send("text")
        await client.send(b"\x00\xff")
        await client.send("now", lane=1)
        await client.until(lambda: len(client.inbox) == 3 and client.processed == [2, 1])
        assert sorted(client.inbox) == [(0, 1, "text"), (0, 2, b"\x00\xff"), (1, 1, "now")]
        assert client.unproven == [{}, {}]


async def test_a_message_is_not_acknowledged_before_it_was_processed() -> None:
    note = Note()
    note.may_go_on.clear()
    async with serving(Sessions(note)) as url, ScriptedClient(url) as client:
        await client.send("slow")
        await client.write([6, 1, 2])
        await client.until(lambda: client.answers == [[7, 1, 2]])
        assert client.acked == [0, 0]
        note.may_go_on.set()
        await client.until(lambda: client.processed == [1, 0])
        assert note.seen == ["slow"]


async def test_the_function_goes_on_over_links_and_nothing_is_lost_or_repeated() -> None:
    note = Note()
    async with serving(Sessions(note)) as url:
        client = ScriptedClient(url)
        await client.open()
        for number in range(200):
            await client.send(str(number))
            if number % 50 == 25:
                client.drop()
                await client.open()
        await client.until(lambda: client.acked[0] == 200)
        assert note.seen == [str(number) for number in range(200)]
        assert len(note.sessions) == 1
        await client.link.close()


async def test_what_was_sent_while_no_link_was_there_comes_with_the_next_one() -> None:
    note = Note()
    async with serving(Sessions(note)) as url:
        client = ScriptedClient(url)
        await client.open()
        session = note.sessions[0]
        await session.send("one")
        await client.until(lambda: client.inbox)
        client.drop()
        await eventually(lambda: not session.is_open)
        await session.send("two")
        await session.send("urgent", lane="control")
        await client.open()
        assert client.welcome["st"] == 2
        await client.until(lambda: len(client.inbox) == 3)
        assert client.inbox[1:] == [(1, 1, "urgent"), (0, 2, "two")]
        await client.link.close()


async def test_the_newest_link_wins() -> None:
    async with serving(Sessions(echo)) as url:
        client = ScriptedClient(url)
        await client.open()
        old = client.link
        await client.open()
        await old.wait_closed()
        assert old.close_code == 4409
        await client.send("still")
        await client.until(lambda: client.inbox == [(0, 1, "still")])
        await client.link.close()


async def test_a_failing_function_gets_its_message_again() -> None:
    note = Note()
    note.fails_at = "b"
    async with serving(Sessions(note)) as url:
        client = ScriptedClient(url)
        await client.open()
        for data in "abc":
            await client.send(data)
        assert await client.until_closed() == 1011
        await client.open()
        await client.until(lambda: client.acked[0] == 3)
        assert note.seen == ["a", "b", "c"]
        assert len(note.sessions) == 2
        await client.link.close()


async def test_large_messages_come_in_parts() -> None:
    async with serving(Sessions(echo)) as url, ScriptedClient(url) as client:
        large = "\N{SNOWMAN}" * 100_000
        await client.send(large)
        await client.until(lambda: client.inbox)
        assert client.inbox == [(0, 1, large)]


async def test_a_server_that_lost_its_memory_calls_the_session_stale() -> None:
    note = Note()
    async with serving(Sessions(note)) as url:
        client = ScriptedClient(url)
        await client.open()
        await client.send("one")
        await client.until(lambda: client.acked[0] == 1)
        client.drop()
    async with serving(Sessions(note)) as url:
        client.url = url
        client.unproven[0][2] = "two"
        client.next[0] = 3
        with pytest.raises(Refused) as refused:
            await client.open()
        assert refused.value.code == STALE
        client.cid, client.token, client.received = bytes(16), None, [0, 0]
        await client.write(client.hello())
        client.acked = client.processed = [1, 0]
        await client.welcomed()
        assert client.welcome["rx"] == [1, 0]
        await client.write([DATA, 0, 2, TEXT | REPLAY, b"two"])
        await client.until(lambda: client.acked[0] == 2)
        assert note.seen == ["one", "two"]
        await client.link.close()


async def test_a_stolen_cid_is_of_no_use_and_does_no_harm() -> None:
    async with serving(Sessions(echo)) as url, ScriptedClient(url) as client:
        await client.send("mine")
        await client.until(lambda: client.acked[0] == 1)
        thief = ScriptedClient(url)
        thief.cid = client.cid
        for token in (None, bytes(32)):
            thief.token, thief.incarnation = token, client.incarnation
            with pytest.raises(Refused) as refused:
                await thief.open()
            assert refused.value.code == 3
            assert await thief.until_closed() == 4401
        await client.send("still mine")
        await client.until(lambda: client.acked[0] == 2)


async def test_credentials_are_judged_and_bind_the_session() -> None:
    async def who(auth: bytes) -> str | None:
        user, _colon, word = auth.decode().partition(":")
        return user if word == "good" else None

    async with serving(Sessions(echo, authenticate=who)) as url:
        with pytest.raises(Refused) as refused:
            await ScriptedClient(url, auth="alice:bad").open()
        assert refused.value.code == 3
        async with ScriptedClient(url, auth="alice:good") as client:
            for number, (auth, is_ok) in enumerate([("alice:good", True), ("bob:good", False)], 1):
                await client.write([AUTH, auth])
                await client.until(lambda number=number: len(client.answers) == number)
                assert client.answers[-1][1] is is_ok
            client.auth = "bob:good"
            with pytest.raises(Refused):
                await client.open()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ([DATA, 0, 2, 0, b"x"], 4400),
        ([ACK, 0, 1, 1], 4400),
        ([99], None),
        ([20], 4400),
        ([DATA, 0, 1, TEXT, b"\xff"], 1007),
        ([DATA, 0, 1, 0, bytes((1 << 20) + 1)], 1009),
    ],
    ids=["skips a number", "acknowledges too much", "to ignore", "unknown", "UTF-8", "too big"],
)
async def test_hostile_frames_end_the_link_not_the_session(frame: list[Any], code: Any) -> None:
    async with serving(Sessions(echo)) as url:
        client = ScriptedClient(url)
        await client.open()
        await client.write(frame)
        if code is not None:
            assert await client.until_closed() == code
            await client.open()
        await client.send("fine")
        await client.until(lambda: client.inbox == [(0, 1, "fine")])
        await client.link.close()


async def test_a_client_of_a_later_version_is_refused_as_such() -> None:
    async with serving(Sessions(echo)) as url:
        client = ScriptedClient(url)
        await client.connect()
        await client.write(client.hello(v=[9]))
        with pytest.raises(Refused) as refused:
            await client.welcomed()
        assert refused.value.code == VERSION
        assert await client.until_closed() == 4400


async def test_text_messages_are_no_frames() -> None:
    async with serving(Sessions(echo)) as url:
        client = ScriptedClient(url)
        for is_welcomed in (False, True):
            await (client.open() if is_welcomed else client.connect())
            await client.link.send("a text message")
            assert await client.until_closed() == 4400
            assert client.link.close_reason == "a text message on a link of steadwire.v1"


@pytest.mark.parametrize("first", ["text", b"", b"\xc1", b"\x93\x06\x01\x02"])
async def test_what_is_no_hello_is_refused(first: str | bytes) -> None:
    async with serving(Sessions(echo)) as url:
        client = ScriptedClient(url)
        await client.connect()
        await client.link.send(first)
        assert await client.until_closed() == 4400


async def test_a_hello_with_huge_numbers_costs_nothing() -> None:
    async with serving(Sessions(echo)) as url:
        client = ScriptedClient(url)
        big = 1 << 61
        client.received, client.next, client.acked = [big, big], [big, big], [big - 1, big - 1]
        client.processed = [big - 1, big - 1]
        await client.open()
        await client.send("far")
        await client.until(lambda: client.inbox == [(0, big + 1, "far")])
        await client.link.close()


async def test_the_ring_overflows_into_a_gap() -> None:
    note = Note()
    async with serving(Sessions(note, ring_messages=3)) as url:
        client = ScriptedClient(url)
        await client.open()
        client.drop()
        await eventually(lambda: not note.sessions[0].is_open)
        for number in range(1, 6):
            await note.sessions[0].send(str(number))
        await client.open()
        assert client.welcome["st"] == 1
        await client.until(lambda: len(client.inbox) == 3)
        assert client.gaps == [(0, 1, 2, 2)]
        await client.link.close()


async def test_after_the_ring_time_the_cursor_still_holds() -> None:
    note = Note()
    async with serving(Sessions(note, ring_ms=10)) as url:
        client = ScriptedClient(url)
        await client.open()
        await client.send("one")
        await client.until(lambda: client.acked[0] == 1)
        await note.sessions[0].send("lost")
        client.drop()
        await eventually(lambda: note.sessions[0].is_over)
        client.received = [0, 0]
        await client.open()
        assert client.welcome["rx"] == [1, 0]
        assert client.welcome["st"] == 1
        await client.until(lambda: client.gaps == [(0, 1, 1, 3)])
        await client.link.close()


async def test_draining_asks_then_closes_and_loses_nothing() -> None:
    note = Note()
    sessions = Sessions(note)
    async with serving(sessions) as url:
        client = ScriptedClient(url)
        await client.open()
        drained = asyncio.create_task(sessions.drain(spread=0.2, timeout=1))
        await client.send("in between")
        assert await client.until_closed() == 1012
        assert client.goaways[0]["spread_ms"] == 200
        assert client.acked[0] == 1
        await drained
        assert note.seen == ["in between"]
        assert sessions.live == []


async def test_a_draining_node_sends_who_comes_on_at_once() -> None:
    sessions = Sessions(echo)
    async with serving(sessions) as url, ScriptedClient(url) as client:
        draining = asyncio.create_task(sessions.drain(spread=20, timeout=1))
        await client.until(lambda: client.goaways)
        late = ScriptedClient(url)
        with pytest.raises(Refused, match="^4 r=0;w=500$"):
            await late.open()
        assert await late.until_closed() == 1013
        await client.link.close()
        await draining


async def test_a_full_node_says_so_without_a_time() -> None:
    async with serving(Sessions(echo, live_max=1)) as url, ScriptedClient(url):
        with pytest.raises(Refused, match="^4 try again later$"):
            await ScriptedClient(url).open()


async def test_plain_clients_can_be_refused() -> None:
    async with serving(Sessions(echo, plain=False)) as url:
        async with websockets.connect(url) as link:
            await link.wait_closed()
            assert link.close_code == 1002


async def test_our_own_client_speaks_to_it() -> None:
    async with serving(Sessions(echo)) as url:
        async with steadwire.connect(url, profile="session") as conn:
            receipt = await conn.send("hello", guarantee="exactly_once")
            await receipt.wait("processed", timeout=20)
            async for message in conn:
                assert message.data == "hello"
                break
