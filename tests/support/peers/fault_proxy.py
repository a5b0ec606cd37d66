"""A TCP proxy that hurts connections on command, and the client that commands it.

It runs in a process of its own (`python -m peers.fault_proxy --upstream-port N --control PATH`),
prints `ready PORT`, and takes one JSON object a line on the Unix socket PATH. It never changes or
reorders a byte by itself: faults end, delay, hold back or swallow streams, and `close_frame`
inserts one frame at a frame border.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.process import PeerProcess, start_python
from peers.proxy_relay import DIRECTIONS
from peers.proxy_server import ProxyServer

COMMAND_DEADLINE_S = 5.0


class ProxyError(Exception):
    """The proxy refused a command."""


@dataclass
class FaultProxy:
    """A running proxy. Faults return the CLOCK_MONOTONIC second at which they were in force."""

    process: PeerProcess
    _folder: tempfile.TemporaryDirectory[str]
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    @classmethod
    async def start(cls, upstream_port: int, port: int = 0) -> FaultProxy:
        """Starts the proxy process in front of a loopback port."""
        folder = tempfile.TemporaryDirectory(prefix="fault-proxy-")
        path = str(Path(folder.name) / "control")
        arguments = ["--upstream-port", str(upstream_port), "--port", str(port), "--control", path]
        process = await start_python("fault_proxy", *arguments)
        reader, writer = await asyncio.open_unix_connection(path)
        return cls(process, folder, reader, writer)

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self.process.port

    async def __aenter__(self) -> FaultProxy:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._writer.close()
        await self.process.kill()
        self._folder.cleanup()

    async def do(
        self, command: str, deadline: float = COMMAND_DEADLINE_S, **arguments: Any
    ) -> dict[str, Any]:
        """Sends one command and returns the answer; raises ProxyError if it was refused."""
        self._writer.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        async with asyncio.timeout(deadline):
            answer: dict[str, Any] = json.loads(await self._reader.readline())
        if not answer.pop("ok"):
            raise ProxyError(f"{command}: {answer['error']}")
        return answer

    async def _fault(self, command: str, **arguments: Any) -> float:
        return float((await self.do(command, **arguments))["t"])

    async def route(self, port: int) -> float:
        """Sends new connections to another loopback port; existing ones stay where they are."""
        return await self._fault("route", port=port)

    async def reset(self, conn: int | None = None) -> float:
        """RST to both ends of one or all current connections."""
        return await self._fault("reset", conn=conn)

    async def blackhole(
        self, directions: Sequence[str] = DIRECTIONS, conn: int | None = None
    ) -> float:
        """Swallows current connections silently, in `to_client`, `to_server` or both; new ones
        work."""
        return await self._fault("blackhole", directions=list(directions), conn=conn)

    async def stall(self, conn: int | None = None) -> float:
        """Holds current connections back without a loss until `heal`."""
        return await self._fault("stall", conn=conn)

    async def heal(self) -> float:
        """Ends all plans and shapes, and lets stalled connections flow. Swallowed ones stay
        dead."""
        return await self._fault("heal")

    async def accept_silent(self, count: int | None = None) -> float:
        """Accepts and never answers the next `count` connections, or all until `heal`."""
        return await self._fault("accept_silent", count=count)

    async def respond(
        self,
        status: str,
        headers: dict[str, str] | None = None,
        count: int | None = 1,
        body: str = "",
    ) -> float:
        """Answers the next `count` upgrade requests with an HTTP status."""
        return await self._fault(
            "respond", status=status, headers=headers or {}, count=count, body=body
        )

    async def close_frame(self, code: int, reason: str = "", conn: int | None = None) -> float:
        """Inserts a CLOSE frame towards the client at the next frame border, then ends the
        connection."""
        return await self._fault("close_frame", code=code, reason=reason, conn=conn)

    async def shape(
        self,
        directions: Sequence[str] = DIRECTIONS,
        *,
        delay_s: float = 0.0,
        jitter_s: float = 0.0,
        bytes_per_s: float = 0.0,
        seed: int = 0,
    ) -> float:
        """Delays, jitters (seeded) and throttles current and new connections; all zero is off."""
        shape = {"delay_s": delay_s, "jitter_s": jitter_s, "bytes_per_s": bytes_per_s, "seed": seed}
        return await self._fault("shape", directions=list(directions), shape=shape)

    async def refuse(self) -> float:
        """Closes the listener until `heal`; the port stays reserved and current connections
        live."""
        return await self._fault("refuse")

    async def cut_after(
        self, size: int, direction: str = "to_client", how: str = "rst", conn: int | None = None
    ) -> float:
        """Ends connections (`rst` or `fin`) after `size` further bytes of a direction."""
        return await self._fault("cut_after", size=size, direction=direction, how=how, conn=conn)

    async def half_close(self, direction: str = "to_client", conn: int | None = None) -> float:
        """Sends FIN in one direction of current connections; the other goes on."""
        return await self._fault("half_close", direction=direction, conn=conn)

    async def wait(self, counter: str, at_least: int = 1, timeout: float = 5.0) -> float:
        """Waits until a counter has reached a value; raises ProxyError at the timeout."""
        answer = await self.do(
            "wait",
            deadline=timeout + COMMAND_DEADLINE_S,
            counter=counter,
            at_least=at_least,
            timeout=timeout,
        )
        return float(answer["t"])

    async def counters(self) -> dict[str, int]:
        """accepted, connected, upstream_refused, silenced, responded, swallowed, close_frames,
        half_closed, resets, closed, errors; absent ones are 0."""
        return dict((await self.do("status"))["counters"])

    async def connections(self) -> list[dict[str, Any]]:
        """The current connections: number, mode, time of opening, bytes forwarded and swallowed
        each way."""
        return list((await self.do("status"))["connections"])


async def run(options: argparse.Namespace) -> None:
    """Serves until the process is killed."""
    proxy = ProxyServer(("127.0.0.1", options.upstream_port))
    proxy.listen(("127.0.0.1", options.port))
    control = await asyncio.start_unix_server(proxy.control, options.control)
    print("ready", proxy.address[1], flush=True)
    await control.serve_forever()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(prog="python -m peers.fault_proxy", description=__doc__)
    cli.add_argument("--port", type=int, default=0, help="0 takes a free one")
    cli.add_argument("--upstream-port", type=int, required=True)
    cli.add_argument("--control", type=Path, required=True, help="path of the control socket")
    return cli


if __name__ == "__main__":
    asyncio.run(run(parser().parse_args()))
