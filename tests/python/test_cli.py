"""The command `steadwire connect`: stdin to stdout, states to stderr, and its exit code."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import steadwire
from face_support import Echo
from steadwire import cli

COMMAND = [sys.executable, "-m", "steadwire"]


def run(
    *arguments: str, lines: str | bytes = "", deadline_s: float = 30.0
) -> subprocess.CompletedProcess[bytes]:
    data = lines.encode() if isinstance(lines, str) else lines
    return subprocess.run(
        [*COMMAND, *arguments], input=data, capture_output=True, timeout=deadline_s
    )


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *arguments], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def test_lines_are_sent_and_messages_printed(shared_echo: Echo) -> None:
    done = run("connect", shared_echo.url, lines="one\ntwo ü\n\nlast without end")
    assert done.returncode == 0
    assert done.stdout.decode() == "one\ntwo ü\n\nlast without end\n"
    errors = done.stderr.decode()
    assert "connecting -> online: ready" in errors
    assert "online -> closed: requested" in errors


def test_nothing_on_stdin_is_fine(shared_echo: Echo) -> None:
    done = run("connect", shared_echo.url, "--linger", "0")
    assert (done.returncode, done.stdout) == (0, b"")


def test_json_lines(shared_echo: Echo) -> None:
    done = run("connect", shared_echo.url, "--json", lines="hello\n")
    assert done.returncode == 0
    message = json.loads(done.stdout)
    assert (message["event"], message["text"], message["link"]) == ("message", "hello", 1)
    rows = [json.loads(line) for line in done.stderr.splitlines()]
    assert [row["new"] for row in rows if row["event"] == "state"][-2:] == ["online", "closed"]
    assert rows[-1]["event"] == "closed"
    assert abs(rows[-1]["at"] - message["at"]) < 30


def test_binary(shared_echo: Echo) -> None:
    raw = b"\xff\xfe\x00x"
    done = run("connect", shared_echo.url, "--binary", lines=raw + b"\n")
    assert done.stdout == raw + b"\n"
    done = run("connect", shared_echo.url, "--binary", "--json", lines=raw + b"\n")
    assert base64.b64decode(json.loads(done.stdout)["base64"]) == raw


def test_quiet(shared_echo: Echo) -> None:
    done = run("connect", shared_echo.url, "--quiet", lines="x\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"x\n", b"")


def test_it_survives_a_restart_and_delivers_all(echo: Echo) -> None:
    with started("connect", echo.url, "-o", "retry_window=20ms") as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"before\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"before\n"
        echo.kill()
        process.stdin.write(b"during\n")
        process.stdin.close()
        echo.start()
        assert b"during\n" in process.stdout.read()
        errors = process.stderr.read().decode()
        assert process.wait(20) == 0
    assert "online -> " in errors
    assert "check for crashes" in errors


def test_what_is_not_delivered_is_counted_and_exits_with_1(dead_url: str) -> None:
    with started("connect", dead_url, "-o", "close_timeout=100ms") as process:
        assert process.stdin and process.stderr
        process.stdin.write(b"a\nb\n")
        process.stdin.close()
        while b"tcp_refused" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read().decode()
        assert process.wait(20) == 1
    assert "2 not delivered" in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_in_order(shared_echo: Echo, number: signal.Signals) -> None:
    with started("connect", shared_echo.url, "--linger", "ever") as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"x\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"x\n"
        process.send_signal(number)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["http://127.0.0.1/"], "scheme"),
        (["ws://127.0.0.1:9/", "-o", "heartbeat_intervall=3"], "heartbeat_interval"),
        (["ws://127.0.0.1:9/", "-o", "heartbeat_interval=never"], "heartbeat_interval"),
        (["ws://127.0.0.1:9/", "-o", "heartbeat_interval"], "NAME=VALUE"),
        (["ws://127.0.0.1:9/", "--header", "X"], "NAME: VALUE"),
        (["ws://127.0.0.1:9/", "--linger", "never"], "linger"),
        (["ws://127.0.0.1:9/", "-o", "connect_timeout=2"], "goes on until"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], text: str) -> None:
    done = run("connect", *arguments)
    assert done.returncode == 2
    assert text in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_permanent_cause_exits_with_3() -> None:
    listener = (
        "import asyncio\n"
        "async def answer(reader, writer):\n"
        "    await reader.readuntil(b'\\r\\n\\r\\n')\n"
        "    writer.write(b'HTTP/1.1 401 No\\r\\nContent-Length: 0\\r\\n\\r\\n')\n"
        "    await writer.drain(); writer.close()\n"
        "async def main():\n"
        "    server = await asyncio.start_server(answer, '127.0.0.1', 0)\n"
        "    print(server.sockets[0].getsockname()[1], flush=True)\n"
        "    await server.serve_forever()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", listener], stdout=subprocess.PIPE) as server:
        assert server.stdout
        port = int(server.stdout.readline())
        done = run("connect", f"ws://127.0.0.1:{port}/", "--linger", "ever")
        server.kill()
    assert done.returncode == 3
    assert "http_401" in done.stderr.decode()
    assert "check the credentials" in done.stderr.decode()


def test_a_reader_that_goes_away_ends_it(shared_echo: Echo) -> None:
    with started("connect", shared_echo.url, "--linger", "ever") as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"x\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"y\n")
        process.stdin.flush()
        assert process.wait(20) in (0, 1)


def test_headers_lists_and_maps_on_the_command_line() -> None:
    arguments = cli._parser().parse_args(
        ["connect", "ws://x/", "--header", "A: b: c", "-o", "subprotocols=one"]
        + ["-o", "subprotocols=two", "-o", "causes=4004:auth", "-o", "name=feed"]
    )
    assert cli._options_of(arguments) == {
        "headers": {"A": "b: c"},
        "subprotocols": ["one", "two"],
        "causes": {"4004": "auth"},
        "name": "feed",
    }


def test_options_lists_the_table() -> None:
    done = run("options")
    assert done.returncode == 0
    assert "heartbeat_interval (duration; default 15s" in done.stdout.decode()


def test_the_version() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.decode().strip() == steadwire.__version__
