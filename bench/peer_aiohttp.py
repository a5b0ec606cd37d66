"""`aiohttp` in `./dev bench wire`: its client on uvloop, with its C extensions, uncompressed."""

from __future__ import annotations

from time import monotonic, monotonic_ns

import aiohttp
import peer
import uvloop
from aiohttp import ClientWebSocketResponse
from peer import Case, Meter


async def rtt(ws: ClientWebSocketResponse, meter: Meter) -> int:
    payload = meter.case.payload
    while monotonic() < meter.end:
        start = monotonic_ns()
        await ws.send_bytes(payload)
        await ws.receive()
        meter.round_trips_ns.append(monotonic_ns() - start)
    return len(meter.round_trips_ns)


async def echo(ws: ClientWebSocketResponse, meter: Meter) -> int:
    payload, window = meter.case.payload, meter.case.window
    for _ in range(window):
        await ws.send_bytes(payload)
    msgs = 0
    while msgs % 64 or monotonic() < meter.end:
        message = await ws.receive()
        peer.check(len(message.data) == len(payload), "size of an echo")
        await ws.send_bytes(payload)
        msgs += 1
    for _ in range(window):
        await ws.receive()
    return msgs + window


async def send(ws: ClientWebSocketResponse, meter: Meter) -> int:
    payload = meter.case.payload
    msgs = 0
    while msgs % 64 or monotonic() < meter.end:
        await ws.send_bytes(payload)
        msgs += 1
    await ws.send_str("end")
    peer.check(int((await ws.receive()).data) == msgs, "count of the sink")
    return msgs


async def receive(ws: ClientWebSocketResponse, meter: Meter) -> int:
    size, msgs = meter.case.size, 0
    await ws.send_str("go")
    while msgs % 64 or monotonic() < meter.end:
        message = await ws.receive()
        peer.check(len(message.data) == size, "size of a message")
        msgs += 1
    return msgs


RUNS = {"rtt": rtt, "echo": echo, "send": send, "receive": receive}


async def run(case: Case) -> None:
    async with aiohttp.ClientSession() as session:
        timeout = aiohttp.ClientWSTimeout(ws_close=0.01)
        ws = await session.ws_connect(case.url, compress=0, max_msg_size=0, timeout=timeout)
        meter = Meter(case)
        meter.stop(await RUNS[case.name](ws, meter))
        await ws.close()


def main() -> None:
    for case in peer.cases():
        uvloop.run(run(case))


if __name__ == "__main__":
    main()
