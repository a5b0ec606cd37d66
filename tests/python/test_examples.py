"""Each Python example runs against an echo server and says what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from face_support import Echo

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/python"
SAYS = {
    "hello.py": "got hello 2",
    "feed.py": "last {",
    "blocking.py": "line 4",
    "credentials.py": "the message is settled",
}


def test_each_example_is_known() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


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
