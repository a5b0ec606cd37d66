"""Starts a peer as a process, waits until it is ready, and can stop, continue and kill it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

READY_DEADLINE_S = 20.0
SUPPORT = Path(__file__).resolve().parents[1]


@dataclass
class PeerProcess:
    """One running peer. `port` is what it printed after `ready`."""

    process: asyncio.subprocess.Process
    port: int

    def stop(self) -> None:
        """Freezes the process: its sockets stay open and its kernel goes on acknowledging."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends `stop`."""
        self.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL, and waits until the process is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def __aenter__(self) -> PeerProcess:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.kill()


async def start(command: Sequence[str], env: dict[str, str] | None = None) -> PeerProcess:
    """Starts a command that prints `ready PORT` as its first line.

    Raises RuntimeError if the process ends or prints something else first, TimeoutError if it stays
    silent.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_DEADLINE_S):
            line = (await process.stdout.readline()).decode().split()
        if len(line) != 2 or line[0] != "ready":
            raise RuntimeError(f"{command[0]} said {line!r} instead of `ready PORT`")
    except BaseException:
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise
    return PeerProcess(process, int(line[1]))


async def start_python(module: str, *arguments: str) -> PeerProcess:
    """Starts `python -m peers.<module>` with this interpreter."""
    path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", f"peers.{module}", *arguments]
    return await start(command, {"PYTHONPATH": path})


async def start_echo(*arguments: str, port: int = 0, log: Path | None = None) -> PeerProcess:
    """Starts the echo server."""
    extra = ["--log", str(log)] if log else []
    return await start_python("echo_server", "--port", str(port), *extra, *arguments)
