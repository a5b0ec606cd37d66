"""Each Python example runs and does what it promises; docs/server.md shows the servers."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import steadwire
from face_support import Echo
from session_peer import Address, Node, free_port, redis_server

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples/python"
SAYS = {
    "hello.py": "got hello 2",
    "feed.py": "last {",
    "blocking.py": "line 4",
    "credentials.py": "the message is settled",
}
SERVERS = ("server.py", "server_asgi.py", "server_redis.py")


def test_each_example_is_known() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*SAYS, *SERVERS}


@pytest.mark.parametrize("name", SAYS)
def test_example(name: str) -> None:
    feed = ["--subscriptions", "--rate", "200"] if name == "feed.py" else []
    echo = Echo(*feed)
    try:
        command = [sys.executable, str(EXAMPLES / name), echo.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    finally:
        echo.kill()
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
    assert done.stderr == ""


# ---- servers ----


@pytest.mark.parametrize("name", SERVERS)
def test_the_page_shows_the_server_that_runs_here(name: str) -> None:
    page = (ROOT / "docs/server.md").read_text(encoding="utf-8")
    assert f"```python\n{(EXAMPLES / name).read_text(encoding='utf-8')}```" in page


def test_python_on_the_page_compiles() -> None:
    page = (ROOT / "docs/server.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) > len(SERVERS)
    for block in blocks:
        compile(block, "docs/server.md", "exec")


async def say(conn: steadwire.Connection, count: int) -> list[str | bytes]:
    """Sends so many, and gives as many answers."""
    answers = []
    for number in range(count):
        await conn.send(f"line {number}")
        answers.append((await conn.recv(timeout=20)).data)
    return answers


def connecting(url: str) -> steadwire.connect:
    return steadwire.connect(url, profile="session", retry_window=0.05, retry_cap=0.2)


async def test_the_server_of_websockets() -> None:
    node = Node(str(EXAMPLES / "server.py"), "0")
    async with connecting(f"ws://127.0.0.1:{node.port}") as conn:
        assert await say(conn, 3) == ["line 0", "line 1", "line 2"]
        node.terminate()
        assert await asyncio.to_thread(node.wait) == 0


@contextmanager
def uvicorn_of(application: str) -> Iterator[int]:
    port = free_port()
    serve = ["-m", "uvicorn", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(
        [sys.executable, *serve, "--ws", "websockets-sansio", application], cwd=EXAMPLES
    )
    try:
        yield port
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15)


async def test_the_server_of_an_asgi_route() -> None:
    with uvicorn_of("server_asgi:app") as port:
        async with connecting(f"ws://127.0.0.1:{port}/feed") as conn:
            assert await say(conn, 3) == ["line 0", "line 1", "line 2"]


async def test_a_rolling_deploy_of_the_nodes_with_redis_loses_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    with redis_server(tmp_path) as redis:
        async with Address() as address:
            nodes = [Node(str(EXAMPLES / "server_redis.py"), redis.url, "0")]
            address.targets = [nodes[0].port]
            async with connecting(address.url) as conn:
                assert await say(conn, 5) == ["kept"] * 5
                nodes.append(Node(str(EXAMPLES / "server_redis.py"), redis.url, "0"))
                address.targets = [nodes[1].port]
                nodes[0].terminate()
                assert await say(conn, 5) == ["kept"] * 5
                assert await asyncio.to_thread(nodes[0].wait) == 0
                assert await say(conn, 5) == ["kept"] * 5
            nodes[1].terminate()
            assert await asyncio.to_thread(nodes[1].wait) == 0
        journal = subprocess.run(
            ["redis-cli", "-p", str(redis.port), "LRANGE", "journal", "0", "-1"],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert journal.stdout.split("\n")[:-1] == [f"line {n}" for n in range(5)] * 3
