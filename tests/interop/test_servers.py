"""steadwire talks with two WebSocket servers that nobody here wrote, over ws and wss."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import steadwire
from interop_support import DEADLINE_S, HERE, until, watched
from peers import certs, node, process
from steadwire.events import StateChanged
from steadwire.words import Cause, Proof, State

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEED = 20_240_611
SIZES = [0, 1, 2, 125, 126, 127, 4096, 65_535, 65_536, 65_537, 2**20]
FRAGMENTS = [[0], [1, 1, 1], [5, 0, 3], [1000] * 200, [70_000, 1]]
CLOSES = [
    (1000, Cause.CLOSE_NORMAL),
    (1001, Cause.GOING_AWAY),
    (1008, Cause.POLICY),
    (1011, Cause.SERVER_ERROR),
    (1012, Cause.RESTART),
    (1013, Cause.TRY_LATER),
    (3000, Cause.AUTH_FAILED),
    (4000, Cause.CLOSE_OTHER),
    (4409, Cause.REPLACED),
]


@dataclass(frozen=True)
class Server:
    """One running server, and what a client needs for it."""

    url: str
    options: dict[str, Any]

    def connect(self, **more: Any) -> steadwire.connect:
        return steadwire.connect(self.url, **self.options, **more)


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["websockets-ws", "websockets-wss", "npm_ws-ws", "npm_ws-wss"],
)
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    library, scheme = request.param.split("-")
    if library == "websockets":
        command = [sys.executable, str(HERE / "commanded_server.py")]
    else:
        command = [node.find(), str(HERE / "commanded_server.js")]
    options: dict[str, Any] = {}
    if scheme == "wss":
        pem, ca = certs.good_pem(tmp_path_factory.mktemp("tls"))
        command += ["--pem", str(pem)]
        options["ca_file"] = ca
    async with await process.start(command) as peer:
        yield Server(f"{scheme}://localhost:{peer.port}/", options)


def order(do: str, **arguments: Any) -> str:
    return json.dumps({"do": do, **arguments})


async def test_text_and_binary_of_any_size_come_back_unchanged(server: Server) -> None:
    rng = random.Random(SEED)
    async with server.connect() as conn:
        for size in SIZES:
            binary = rng.randbytes(size)
            text = "".join(rng.choices("aZ \u00e9\u4e2d\U0001f600", k=size // 4))
            for sent in (binary, text):
                receipt = await conn.send(sent)
                message = await conn.recv(timeout=DEADLINE_S)
                assert message.is_text is isinstance(sent, str)
                assert message.data == sent, f"{size} bytes changed"
        assert await receipt.wait("received", timeout=DEADLINE_S) == Proof.RECEIVED


async def test_a_thousand_messages_come_back_in_order(server: Server) -> None:
    async with server.connect() as conn:
        sent = [f"{number} ".ljust(number % 300, "x") for number in range(1000)]
        receipts = conn.post_many(sent)
        got = [(await conn.recv(timeout=DEADLINE_S)).data for _ in sent]
        assert got == sent
        await receipts.wait(timeout=DEADLINE_S)
        assert conn.stats()["attempts"] == 1


async def test_fragments_of_the_server_make_one_message(server: Server) -> None:
    text = "h\u00e9llo \U0001f600 "
    async with server.connect() as conn:
        for sizes in FRAGMENTS:
            await conn.send(order("fragments", text=text, times=40_000, sizes=sizes))
            message = await conn.recv(timeout=DEADLINE_S)
            assert message.is_text and message.data == text * 40_000


async def test_a_ping_of_the_server_is_answered_at_once(server: Server) -> None:
    async with server.connect() as conn:
        for _ in range(5):
            await conn.send(order("ping"))
            answer = (await conn.recv(timeout=DEADLINE_S)).data
            assert isinstance(answer, str) and answer.startswith("pong in ")
            assert float(answer.split()[-1]) < 500


async def test_a_close_of_the_server_is_told_with_code_and_reason(server: Server) -> None:
    for code, cause in CLOSES:
        async with watched(server.url, **server.options) as watch:
            await watch.conn.wait_online(DEADLINE_S)
            watch.conn.post(order("close", code=code, reason="because of tests"))
            assert await watch.first_trouble() == cause
            lost = next(one for one in watch.of(StateChanged) if one.cause is cause)
            assert lost.close_code == code
            assert "because of tests" in lost.detail


async def test_after_a_close_the_conn_comes_back_and_what_was_queued_arrives(
    server: Server,
) -> None:
    async with watched(server.url, **server.options, retry_window="50ms") as watch:
        await until(lambda: watch.times_in(State.ONLINE) == 1)
        watch.conn.post(order("close", code=1012, reason="r=20;w=20"), guarantee="at_most_once")
        await until(lambda: bool(watch.troubles))
        watch.conn.post("after the restart")
        await until(lambda: [one.data for one in watch.messages] == ["after the restart"])
        assert watch.times_in(State.ONLINE) == 2


async def test_our_close_reaches_the_server_as_1000(server: Server) -> None:
    async with server.connect() as conn:
        await conn.send("hello")
        await conn.recv(timeout=DEADLINE_S)
    async with server.connect() as conn:
        await conn.send(order("codes"))
        assert json.loads((await conn.recv(timeout=DEADLINE_S)).data)[-1] == 1000


async def test_cutting_a_conn_whose_messages_are_just_being_proven_raises_nothing(
    server: Server,
) -> None:
    for _ in range(30):
        conn = await server.connect()
        await conn.send(bytes(100_000))
        conn.abandon()
        again = await server.connect()
        assert again.stats()["attempts"] == 1, "the new conn heard of the old one's link"
        again.abandon()
