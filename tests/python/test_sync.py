"""The blocking face: the same promises without a loop."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from functools import partial
from typing import Any

import pytest
import steadwire
from face_support import Echo, until
from steadwire import sync
from steadwire.errors import (
    ClosedError,
    ConnectTimeout,
    QueueFull,
    StateError,
    Timeout,
    Undelivered,
)
from steadwire.events import Closed, Event, StateChanged


def test_send_receipt_and_recv(shared_echo: Echo) -> None:
    with sync.connect(shared_echo.url, codec="json") as conn:
        receipt = conn.send({"a": 1})
        assert receipt.wait("received", timeout=5) >= "received"
        assert receipt.state == "settled"
        assert conn.recv(timeout=5).data == {"a": 1}
        with pytest.raises(Timeout):
            conn.recv(timeout="50ms")
    assert conn.state == "closed"
    with pytest.raises(ClosedError):
        conn.send("late")
    with pytest.raises(ClosedError):
        conn.recv(timeout=1)


def test_iteration_and_batches_survive_a_restart(echo: Echo) -> None:
    with sync.connect(echo.url, retry_window="20ms") as conn:
        conn.post("0")
        for message in conn:
            number = int(message.data)
            if number == 3:
                break
            if number == 1:
                assert conn.last_receipt
                conn.last_receipt.wait("received", timeout=5)
                echo.restart()
            conn.post(str(number + 1))
        assert conn.last_receipt
        conn.last_receipt.wait("received", timeout=5)
        for raw in (False, True):
            conn.post_many([b"x"] * 1000).wait("received", timeout=10)
            count = 0
            for batch in conn.batches(raw=raw):
                assert {type(item) for item in batch} == {bytes if raw else steadwire.Message}
                count += len(batch)
                if count == 1000:
                    break


def test_iteration_ends_with_the_conn(shared_echo: Echo) -> None:
    conn = sync.connect(shared_echo.url)
    conn.send("last").wait("received", timeout=5)
    until(lambda: conn.stats()["received"] == 1)
    conn.close()
    assert [message.data for message in conn] == ["last"]
    assert list(conn.batches()) == []
    assert list(conn.stream()) == []


def test_events_and_stream(echo: Echo) -> None:
    with sync.connect(echo.url, retry_window="20ms") as conn:
        events = conn.events(StateChanged)
        echo.restart()
        assert events.next(timeout=5).kind == "state"
        conn.wait_online(timeout=10)
        stream = conn.stream()
        with pytest.raises(StateError):
            conn.recv()
        conn.post("x")
        for item in stream:
            if not isinstance(item, Event):
                assert item.data == "x"
                break
        stream.close()
    assert isinstance(list(conn.events()), list)
    closed = [event for event in events if isinstance(event, Closed | StateChanged)]
    assert closed[-1].new == "closed"


def test_permanent_causes_raise_at_once_and_others_at_the_timeout(dead_url: str) -> None:
    start = time.monotonic()
    with pytest.raises(ConnectTimeout) as caught:
        sync.connect(dead_url, connect_timeout="400ms")
    assert 0.3 < time.monotonic() - start < 3.0
    assert caught.value.cause == "tcp_refused"
    with pytest.raises(steadwire.ConfigError):
        sync.connect("http://127.0.0.1/")


def test_what_cannot_be_delivered(dead_url: str) -> None:
    with pytest.raises(Undelivered) as caught:
        with sync.connect(dead_url, wait=False, close_timeout="100ms") as conn:
            conn.post("lost")
    assert caught.value.bodies == ["lost"]
    assert conn.is_finished
    with pytest.raises(KeyError):
        with sync.connect(dead_url, wait=False, close_timeout=0) as conn:
            conn.post("lost")
            raise KeyError


def test_a_full_outbox(dead_url: str) -> None:
    conn = sync.connect(dead_url, wait=False, outbox_messages=2)
    conn.post("1")
    with pytest.raises(QueueFull) as caught:
        conn.post_many(["2", "3"])
    assert caught.value.receipts is not None
    assert len(caught.value.receipts) == 1
    with pytest.raises(Timeout):
        conn.send("3", timeout="200ms")
    with pytest.raises(Timeout):
        conn.post_many([]).wait(timeout=1)
        assert conn.last_receipt
        conn.last_receipt.wait("received", timeout="50ms")
    with pytest.raises(Undelivered):
        conn.close(0)


def test_send_waits_for_room_and_proofs_pass_messages_that_wait(echo: Echo) -> None:
    with sync.connect(echo.url, outbox_messages=200) as conn:
        for number in range(2000):
            receipt = conn.send(str(number), timeout=10)
        receipt.wait("received", timeout=10)
        assert [conn.recv(timeout=5).data for _ in range(2000)] == [str(n) for n in range(2000)]


def test_send_many_waits_for_room(echo: Echo) -> None:
    with sync.connect(echo.url, outbox_messages=100) as conn:
        receipts = conn.send_many([str(number) for number in range(250)], timeout=10)
        assert list(receipts.numbers) == list(range(1, 251))
        receipts.wait("received", timeout=10)
        assert [conn.recv(timeout=5).data for _ in range(250)] == [str(n) for n in range(250)]


def test_it_works_inside_a_running_loop(shared_echo: Echo) -> None:
    async def cell() -> Any:
        with sync.connect(shared_echo.url) as conn:
            conn.send("notebook")
            return conn.recv(timeout=5).data

    assert asyncio.run(cell()) == "notebook"


def test_threads_may_send_and_receive_together(shared_echo: Echo) -> None:
    got: list[str] = []
    with sync.connect(shared_echo.url) as conn:

        def receive() -> None:
            while len(got) < 600:
                got.append(str(conn.recv(timeout=10).data))

        def send(worker: int) -> None:
            for number in range(200):
                conn.send(f"{worker}:{number}")
            assert conn.last_receipt
            conn.last_receipt.wait("received", timeout=10)

        threads = [threading.Thread(target=receive)]
        threads += [threading.Thread(target=send, args=(worker,)) for worker in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert not any(thread.is_alive() for thread in threads)
    for worker in range(3):
        mine = [text for text in got if text.startswith(f"{worker}:")]
        assert mine == [f"{worker}:{number}" for number in range(200)]


def test_two_threads_receive_each_message_once(shared_echo: Echo) -> None:
    got: list[int] = []
    with sync.connect(shared_echo.url) as conn:

        def receive() -> None:
            try:
                while True:
                    got.append(int(conn.recv(timeout="500ms").data))
            except Timeout:
                pass

        threads = [threading.Thread(target=receive) for _ in range(2)]
        for thread in threads:
            thread.start()
        conn.post_many([str(number) for number in range(3000)])
        for thread in threads:
            thread.join(20)
    assert sorted(got) == list(range(3000))


def test_close_ends_a_recv_in_another_thread(shared_echo: Echo) -> None:
    conn = sync.connect(shared_echo.url)
    errors: list[BaseException] = []

    def receive() -> None:
        try:
            conn.recv()
        except ClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    until(lambda: len(conn._waiting) == 1)
    conn.close()
    thread.join(5)
    assert len(errors) == 1


def has(conn: sync.Connection, count: int) -> bool:
    return len(conn._inbox) >= count


def test_a_signal_interrupts_a_wait_and_loses_nothing(shared_echo: Echo) -> None:
    """An alarm raises at many random moments of draining, as Ctrl-C would."""

    class Alarm(Exception):
        pass

    armed = []

    def ring(_number: int, _frame: object) -> None:
        if armed:
            armed.clear()
            raise Alarm

    seed = random.randrange(2**32)
    print(f"seed={seed}")
    dice = random.Random(seed)
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with sync.connect(shared_echo.url) as conn, conn._urgently():
            interrupted = sent = 0
            while interrupted < 300:
                conn.post_many([str(sent), str(sent + 1)])
                sent += 2
                try:
                    armed.append(None)
                    signal.setitimer(signal.ITIMER_REAL, dice.uniform(1e-5, 1e-3))
                    conn._wait_for(partial(has, conn, sent), 1)
                    armed.clear()
                except Alarm:
                    interrupted += 1
            conn._wait_for(partial(has, conn, sent), 5)
            got = [conn.recv(timeout=1).data for _ in range(len(conn._inbox))]
            assert got == [str(number) for number in range(sent)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_blocked_host_keeps_its_conn(shared_echo: Echo) -> None:
    """C code holds the GIL for a while: the engine goes on without it."""
    with sync.connect(
        shared_echo.url, heartbeat_interval="100ms", heartbeat_timeout="300ms"
    ) as conn:
        barriers = conn.stats()["barriers"]
        end = time.monotonic() + 1.5
        number = 3**200_000
        while time.monotonic() < end:
            number * number
        assert conn.stats()["links"] == 1
        assert conn.stats()["links_lost"] == 0
        assert conn.stats()["barriers"] >= barriers + 5
