"""steadwire's Python in `./dev bench wire`, with its options at their defaults.

`steadwire_py.py PORT await` sends and receives one message at a time in asyncio on uvloop, as
`websockets` does it; `sync` does the same without a loop; `batch` is asyncio again, but takes all
that has arrived at once (`batches(raw=True)`) and answers it with one `post_many`.
"""

from __future__ import annotations

import sys
from time import monotonic, monotonic_ns
from typing import Any

import peer
import steadwire
import uvloop
from peer import Case, Meter
from steadwire import aio, sync

BATCH_BYTES = 64 << 10
BATCH_MAX = 256


# ---- one message at a time, awaited ----


async def await_rtt(conn: aio.Connection, meter: Meter) -> int:
    payload = meter.case.payload
    while monotonic() < meter.end:
        start = monotonic_ns()
        await conn.send(payload)
        await conn.recv()
        meter.round_trips_ns.append(monotonic_ns() - start)
    return len(meter.round_trips_ns)


async def await_echo(conn: aio.Connection, meter: Meter) -> int:
    payload, window = meter.case.payload, meter.case.window
    for _ in range(window):
        await conn.send(payload)
    msgs = 0
    while msgs % 64 or monotonic() < meter.end:
        message = await conn.recv()
        peer.check(len(message.raw) == len(payload), "size of an echo")
        await conn.send(payload)
        msgs += 1
    for _ in range(window):
        await conn.recv()
    return msgs + window


async def await_send(conn: aio.Connection, meter: Meter) -> int:
    payload = meter.case.payload
    msgs = 0
    while msgs % 64 or monotonic() < meter.end:
        await conn.send(payload)
        msgs += 1
    await conn.send("end")
    peer.check(int((await conn.recv()).raw) == msgs, "count of the sink")
    return msgs


async def await_receive(conn: aio.Connection, meter: Meter) -> int:
    size, msgs = meter.case.size, 0
    await conn.send("go")
    while msgs % 64 or monotonic() < meter.end:
        message = await conn.recv()
        peer.check(len(message.raw) == size, "size of a message")
        msgs += 1
    return msgs


# ---- batches ----


async def batch_rtt(conn: aio.Connection, meter: Meter) -> int:
    payload, batches = meter.case.payload, conn.batches(raw=True)
    while monotonic() < meter.end:
        start = monotonic_ns()
        conn.post(payload)
        await anext(batches)
        meter.round_trips_ns.append(monotonic_ns() - start)
    return len(meter.round_trips_ns)


async def batch_echo(conn: aio.Connection, meter: Meter) -> int:
    size, in_flight, msgs = meter.case.size, meter.case.window, 0
    conn.post_many([meter.case.payload] * in_flight)
    async for batch in conn.batches(raw=True):
        peer.check(all(len(message) == size for message in batch), "size of an echo")
        msgs += len(batch)
        if monotonic() < meter.end:
            conn.post_many(batch)
        else:
            in_flight -= len(batch)
            if not in_flight:
                break
    return msgs


async def post_when_room(conn: aio.Connection, messages: list[bytes]) -> None:
    """Queues a batch, waiting for room in the outbox."""
    while messages:
        try:
            conn.post_many(messages)
            return
        except steadwire.QueueFull as full:
            messages = messages[len(full.receipts or ()) :]
            await conn.send(messages[0])
            messages = messages[1:]


async def batch_send(conn: aio.Connection, meter: Meter) -> int:
    count = max(1, min(BATCH_MAX, BATCH_BYTES // (meter.case.size + 1)))
    batch = [meter.case.payload] * count
    msgs = 0
    while monotonic() < meter.end:
        await post_when_room(conn, batch)
        msgs += count
    await conn.send("end")
    peer.check(int((await conn.recv()).raw) == msgs, "count of the sink")
    return msgs


async def batch_receive(conn: aio.Connection, meter: Meter) -> int:
    size, msgs = meter.case.size, 0
    await conn.send("go")
    async for batch in conn.batches(raw=True):
        peer.check(all(len(message) == size for message in batch), "size of a message")
        msgs += len(batch)
        if monotonic() >= meter.end:
            break
    return msgs


# ---- without a loop ----


def sync_rtt(conn: sync.Connection, meter: Meter) -> int:
    payload = meter.case.payload
    while monotonic() < meter.end:
        start = monotonic_ns()
        conn.send(payload)
        conn.recv()
        meter.round_trips_ns.append(monotonic_ns() - start)
    return len(meter.round_trips_ns)


def sync_echo(conn: sync.Connection, meter: Meter) -> int:
    payload, window = meter.case.payload, meter.case.window
    for _ in range(window):
        conn.send(payload)
    msgs = 0
    while msgs % 64 or monotonic() < meter.end:
        message = conn.recv()
        peer.check(len(message.raw) == len(payload), "size of an echo")
        conn.send(payload)
        msgs += 1
    for _ in range(window):
        conn.recv()
    return msgs + window


def sync_send(conn: sync.Connection, meter: Meter) -> int:
    payload = meter.case.payload
    msgs = 0
    while msgs % 64 or monotonic() < meter.end:
        conn.send(payload)
        msgs += 1
    conn.send("end")
    peer.check(int(conn.recv().raw) == msgs, "count of the sink")
    return msgs


def sync_receive(conn: sync.Connection, meter: Meter) -> int:
    size, msgs = meter.case.size, 0
    conn.send("go")
    while msgs % 64 or monotonic() < meter.end:
        message = conn.recv()
        peer.check(len(message.raw) == size, "size of a message")
        msgs += 1
    return msgs


# ---- the program ----

RUNS: dict[str, dict[str, Any]] = {
    "await": {"rtt": await_rtt, "echo": await_echo, "send": await_send, "receive": await_receive},
    "batch": {"rtt": batch_rtt, "echo": batch_echo, "send": batch_send, "receive": batch_receive},
    "sync": {"rtt": sync_rtt, "echo": sync_echo, "send": sync_send, "receive": sync_receive},
}


async def run_async(face: str, case: Case) -> None:
    conn = await steadwire.connect(case.url)
    meter = Meter(case)
    meter.stop(await RUNS[face][case.name](conn, meter))
    conn.abandon()


def run_sync(case: Case) -> None:
    conn = sync.connect(case.url)
    meter = Meter(case)
    meter.stop(RUNS["sync"][case.name](conn, meter))
    conn.abandon()


def main() -> None:
    face = sys.argv[2]
    for case in peer.cases():
        if face == "sync":
            run_sync(case)
        else:
            uvloop.run(run_async(face, case))


if __name__ == "__main__":
    main()
