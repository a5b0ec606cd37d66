"""The echo server written with npm `ws`, started from Python.

The package is looked for as node does it, in `node_modules` of this folder and those above it, and
where `NODE_PATH` points.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from peers.process import PeerProcess, start

HERE = Path(__file__).resolve().parent


class NodeMissingError(RuntimeError):
    """Node or npm `ws` is not installed."""


def find() -> str:
    """The path of the node program; raises NodeMissingError, naming what is absent."""
    node = shutil.which("node")
    if node is None:
        raise NodeMissingError("node is not installed")
    named = filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep))
    above = [folder / "node_modules" for folder in (HERE, *HERE.parents)]
    places = [*above, *map(Path, named)]
    if not any((place / "ws" / "package.json").is_file() for place in places):
        raise NodeMissingError("npm package ws is not installed: run `npm ci` in tests/")
    return node


async def start_ws(*, port: int = 0, pem: Path | None = None, deflate: bool = False) -> PeerProcess:
    """Starts the server; with `pem` (key and chain in one file) it speaks wss."""
    command = [find(), str(HERE / "ws_server.js"), "--port", str(port)]
    if pem:
        command += ["--pem", str(pem)]
    if deflate:
        command.append("--deflate")
    return await start(command)
