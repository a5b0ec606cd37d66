"""`picows` in `./dev bench wire`: its core API (callbacks, zero copy) on uvloop, with aiofastnet.

The client sends from `on_ws_frame` itself, as its authors' own benchmark does.
"""

from __future__ import annotations

import asyncio
from time import monotonic, monotonic_ns

import peer
import uvloop
from peer import Case, Meter
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect


class Client(WSListener):
    """One case; `done` becomes the number of messages."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.payload = case.payload
        self.msgs = 0
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def start(self, transport: WSTransport, meter: Meter) -> None:
        self.transport = transport
        self.meter = meter
        self.begin()

    def begin(self) -> None:
        raise NotImplementedError


class Rtt(Client):
    def begin(self) -> None:
        self.sent_at = monotonic_ns()
        self.transport.send(WSMsgType.BINARY, self.payload)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.meter.round_trips_ns.append(monotonic_ns() - self.sent_at)
        self.msgs += 1
        if monotonic() < self.meter.end:
            self.sent_at = monotonic_ns()
            transport.send(WSMsgType.BINARY, self.payload)
        else:
            self.done.set_result(self.msgs)


class Echo(Client):
    def begin(self) -> None:
        self.in_flight = self.case.window
        self.is_over = False
        for _ in range(self.case.window):
            self.transport.send(WSMsgType.BINARY, self.payload)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        message = frame.get_payload_as_memoryview()
        peer.check(len(message) == len(self.payload), "size of an echo")
        self.msgs += 1
        if not self.is_over:
            transport.send(WSMsgType.BINARY, self.payload)
            if self.msgs % 64 == 0:
                self.is_over = monotonic() >= self.meter.end
            return
        self.in_flight -= 1
        if self.in_flight == 0:
            self.done.set_result(self.msgs)


class Send(Client):
    def begin(self) -> None:
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.task = asyncio.create_task(self.pump())

    def pause_writing(self) -> None:
        self.may_write.clear()

    def resume_writing(self) -> None:
        self.may_write.set()

    async def pump(self) -> None:
        send, payload, may_write = self.transport.send, self.payload, self.may_write
        while self.msgs % 64 or monotonic() < self.meter.end:
            if not may_write.is_set():
                await may_write.wait()
            send(WSMsgType.BINARY, payload)
            self.msgs += 1
        send(WSMsgType.TEXT, b"end")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        peer.check(int(frame.get_payload_as_ascii_text()) == self.msgs, "count of the sink")
        self.done.set_result(self.msgs)


class Receive(Client):
    def begin(self) -> None:
        self.transport.send(WSMsgType.TEXT, b"go")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        message = frame.get_payload_as_memoryview()
        peer.check(len(message) == self.case.size, "size of a message")
        self.msgs += 1
        if self.msgs % 64 == 0 and monotonic() >= self.meter.end and not self.done.done():
            self.done.set_result(self.msgs)
            transport.disconnect(False)


RUNS = {"rtt": Rtt, "echo": Echo, "send": Send, "receive": Receive}


async def run(case: Case) -> None:
    client = RUNS[case.name](case)
    transport, _ = await ws_connect(lambda: client, case.url)
    meter = Meter(case)
    client.start(transport, meter)
    meter.stop(await client.done)
    transport.disconnect(False)
    await transport.wait_disconnected()


def main() -> None:
    for case in peer.cases():
        uvloop.run(run(case))


if __name__ == "__main__":
    main()
