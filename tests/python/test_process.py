"""The process: fork, exit, threads, leaks, and what the module looks like."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import steadwire
from face_support import Echo
from steadwire import _core, sync
from steadwire.errors import ForkedError

ISOLATED = Path(__file__).parent / "isolated"


def in_child(work: Callable[[], None], deadline_s: float = 20.0) -> None:
    """Runs `work` in a forked child; fails if it fails there."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(deadline_s)
    if child.exitcode is None:
        child.kill()
    assert child.exitcode == 0


def test_inherited_handles_raise_and_a_new_conn_works(shared_echo: Echo) -> None:
    with sync.connect(shared_echo.url) as conn:
        conn.send("parent").wait("received", timeout=5)

        def work() -> None:
            for call in (
                lambda: conn.post("x"),
                lambda: conn.send("x"),
                lambda: conn.recv(timeout=1),
                lambda: next(conn),
                lambda: conn.state,
                lambda: conn.stats(),
                lambda: conn.close(),
                lambda: list(conn.outbox),
                lambda: conn._core.wait(0),
            ):
                with pytest.raises(ForkedError):
                    call()
            with sync.connect(shared_echo.url) as own:
                own.send("child")
                assert own.recv(timeout=5).data == "child"

        in_child(work)
        assert conn.recv(timeout=5).data == "parent"
        conn.send("after")
        assert conn.recv(timeout=5).data == "after"


def test_freeing_inherited_handles_is_harmless(shared_echo: Echo) -> None:
    holder = [sync.connect(shared_echo.url)]

    def work() -> None:
        core = holder[0]._core
        holder.clear()
        core.free()
        del core

    in_child(work)
    holder[0].send("still here")
    assert holder[0].recv(timeout=5).data == "still here"
    holder.pop().close()


async def test_an_asyncio_parent_and_its_child(shared_echo: Echo) -> None:
    async with steadwire.connect(shared_echo.url) as conn:
        await conn.send("parent")

        def work() -> None:
            with pytest.raises(ForkedError):
                conn.post("x")

            async def main() -> None:
                async with steadwire.connect(shared_echo.url) as own:
                    await own.send("child")
                    assert (await own.recv(timeout=5)).data == "child"

            asyncio.events._set_running_loop(None)
            asyncio.run(main())

        in_child(work)
        assert (await conn.recv(timeout=5)).data == "parent"


def run_isolated(
    name: str, *arguments: str, deadline_s: float = 90.0
) -> subprocess.CompletedProcess[str]:
    """Runs a script of isolated/ in a process of its own."""
    return subprocess.run(
        [sys.executable, str(ISOLATED / name), *arguments],
        capture_output=True,
        text=True,
        timeout=deadline_s,
        env={**os.environ},
    )


def test_a_process_ends_at_once_with_a_live_conn(shared_echo: Echo) -> None:
    start = time.monotonic()
    done = run_isolated("exit_while_online.py", shared_echo.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - start < 5.0


@pytest.mark.parametrize("script", ["leak_connect.py", "leak_messages.py", "leak_sync.py"])
def test_nothing_leaks(script: str) -> None:
    done = run_isolated(script)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_reference_is_lost() -> None:
    """Runs with the debug interpreter named by STW_PYTHON_DEBUG."""
    python = os.environ.get("STW_PYTHON_DEBUG")
    if not python:
        pytest.skip("STW_PYTHON_DEBUG names no interpreter with reference counts")
    done = subprocess.run([python, str(ISOLATED / "reference_counts.py")], check=False)
    assert done.returncode == 0


def test_two_interpreters_share_nothing() -> None:
    code = (
        "import sys, importlib.util as u\n"
        "import steadwire._core as one\n"
        "spec = u.spec_from_file_location('steadwire._core', one.__file__)\n"
        "two = u.module_from_spec(spec); spec.loader.exec_module(two)\n"
        "assert one.Message is not two.Message\n"
        "two.bind_errors({})\n"
        "try: two.Config().set('nonsense', '1')\n"
        "except RuntimeError: pass\n"
        "try: one.Config().set('nonsense', '1')\n"
        "except Exception as error: assert type(error).__name__ == 'OptionError', error\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_module_is_of_the_stable_abi_and_exports_one_symbol() -> None:
    path = Path(_core.__file__).resolve()
    assert path.name == "_core.abi3.so"
    table = subprocess.run(
        ["nm", "-D", "--defined-only", str(path)], capture_output=True, text=True, check=True
    )
    assert [line.split()[-1] for line in table.stdout.splitlines()] == ["PyInit__core"]


def test_every_function_of_the_core_has_a_signature() -> None:
    things = [_core] + [_core.Conn, _core.Config, _core.Engine, _core.Message]
    for thing in things:
        for name, value in vars(thing).items():
            if callable(value) and not name.startswith("_") and not isinstance(value, type):
                assert value.__text_signature__, f"{thing}.{name}"
                assert value.__doc__, f"{thing}.{name}"


def test_the_version_is_that_of_the_engine() -> None:
    assert steadwire.__version__ == _core.version
    assert steadwire.__version__.count(".") == 2
