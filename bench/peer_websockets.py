"""Python `websockets` in `./dev bench wire`: its asyncio client on uvloop, with its C extension.

Compression, keepalive and the proxy look-up are off. The receive queue holds a whole window, so
that flow control does not pause the socket 16 times in it.
"""

from __future__ import annotations

from time import monotonic, monotonic_ns

import peer
import uvloop
from peer import Case, Meter
from websockets.asyncio.client import ClientConnection, connect


async def rtt(ws: ClientConnection, meter: Meter) -> int:
    payload = meter.case.payload
    while monotonic() < meter.end:
        start = monotonic_ns()
        await ws.send(payload)
        await ws.recv(decode=False)
        meter.round_trips_ns.append(monotonic_ns() - start)
    return len(meter.round_trips_ns)


async def echo(ws: ClientConnection, meter: Meter) -> int:
    payload, window = meter.case.payload, meter.case.window
    for _ in range(window):
        await ws.send(payload)
    msgs = 0
    while msgs % 64 or monotonic() < meter.end:
        message = await ws.recv(decode=False)
        peer.check(len(message) == len(payload), "size of an echo")
        await ws.send(payload)
        msgs += 1
    for _ in range(window):
        await ws.recv(decode=False)
    return msgs + window


async def send(ws: ClientConnection, meter: Meter) -> int:
    payload = meter.case.payload
    msgs = 0
    while msgs % 64 or monotonic() < meter.end:
        await ws.send(payload)
        msgs += 1
    await ws.send("end")
    peer.check(int(await ws.recv()) == msgs, "count of the sink")
    return msgs


async def receive(ws: ClientConnection, meter: Meter) -> int:
    size, msgs = meter.case.size, 0
    await ws.send("go")
    while msgs % 64 or monotonic() < meter.end:
        message = await ws.recv(decode=False)
        peer.check(len(message) == size, "size of a message")
        msgs += 1
    return msgs


RUNS = {"rtt": rtt, "echo": echo, "send": send, "receive": receive}


async def run(case: Case) -> None:
    ws = await connect(
        case.url,
        compression=None,
        proxy=None,
        ping_interval=None,
        max_size=None,
        max_queue=max(16, case.window),
        close_timeout=0.01,
    )
    meter = Meter(case)
    meter.stop(await RUNS[case.name](ws, meter))
    ws.transport.abort()
    await ws.wait_closed()


def main() -> None:
    for case in peer.cases():
        uvloop.run(run(case))


if __name__ == "__main__":
    main()
