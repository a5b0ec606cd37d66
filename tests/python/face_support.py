"""What the tests of the faces share: an echo server to kill, and waiting for conditions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[1] / "support"
DEADLINE_S = 10.0
CHECK_EVERY_S = 0.01


class Echo:
    """An echo server in a process of its own that can be killed and started again."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, on the same port as before."""
        command = [sys.executable, "-m", "peers.echo_server", "--port", str(self.port)]
        path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
        self.process = subprocess.Popen(
            [*command, *self.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self.process.stdout is not None
        word, port = self.process.stdout.readline().split()
        assert word == b"ready"
        self.port = int(port)

    def kill(self) -> None:
        """Ends it without a word to its clients."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def restart(self) -> None:
        """Kills it and starts it again."""
        self.kill()
        self.start()


def until(is_so: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Waits for a condition, blocking; fails at the deadline."""
    end = time.monotonic() + deadline_s
    never = threading.Event()
    while not is_so():
        assert time.monotonic() < end, "the condition did not come true in time"
        never.wait(CHECK_EVERY_S)


async def until_async(is_so: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Waits for a condition while the loop runs; fails at the deadline."""
    never = asyncio.Event()
    async with asyncio.timeout(deadline_s):
        while not is_so():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), CHECK_EVERY_S)
