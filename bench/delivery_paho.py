"""Paho MQTT in `./dev bench delivery`: `server PORT`, or `client URL BURST RATE SECONDS`.

As safe as its options make it: QoS 2, a persistent session, a broker with persistence (mosquitto).
The server role is a broker and a subscriber beside it; Paho for Python keeps its queue in memory.
The broker takes any number of messages in flight: with its default of 20 mosquitto 2.0.11 never
answers the 21st PUBLISH of a client that sends more at once.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

TOPIC = "delivery"
PAYLOAD = b"x" * 256
READY_S = 10.0


def say(word: str, number: int) -> None:
    print(word, number, time.monotonic(), flush=True)


def make_client(name: str) -> mqtt.Client:
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=name,
        clean_session=False,
        reconnect_on_failure=True,
    )
    client.max_queued_messages_set(0)
    client.max_inflight_messages_set(256)
    client.reconnect_delay_set(min_delay=1, max_delay=60)
    return client


def serve(port: int) -> None:
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if binary is None:
        sys.exit("mosquitto is not installed")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "mosquitto.conf")
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nmax_queued_messages 0\n"
            f"max_inflight_messages 0\nuser root\n"
        )
        broker = subprocess.Popen([binary, "-c", str(config)], stderr=subprocess.DEVNULL)
        subscriber = make_client("subscriber")
        subscriber.on_message = lambda _c, _u, m: say("got", int(m.payload[:8]))
        subscribed = threading.Event()
        subscriber.on_connect = lambda client, *_: client.subscribe(TOPIC, qos=2)
        subscriber.on_subscribe = lambda *_: subscribed.set()
        subscriber.connect_async("127.0.0.1", port)
        subscriber.loop_start()
        try:
            if not subscribed.wait(READY_S):
                sys.exit("the broker did not answer")
            print("ready", flush=True)
            sys.stdin.read()
        finally:
            broker.terminate()
            broker.wait()


class Open:
    """What is published and not acknowledged yet.

    `wait_for_publish` refuses what was queued without a connection, although it goes out later.
    """

    def __init__(self, client: mqtt.Client) -> None:
        self._done: set[int] = set()
        self._changed = threading.Condition()
        client.on_publish = lambda _c, _u, mid, *_: self._note(mid)

    def _note(self, mid: int) -> None:
        with self._changed:
            self._done.add(mid)
            self._changed.notify_all()

    def wait(self, mids: set[int]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: mids <= self._done)
            self._done -= mids


def send(url: str, burst: int, rate: float, seconds: float) -> None:
    port = urlsplit(url).port
    client = make_client("publisher")
    unproven = Open(client)
    client.connect("127.0.0.1", port or 1883)
    client.loop_start()
    number = 0

    def post() -> int:
        nonlocal number
        number += 1
        say("sent", number)
        return client.publish(TOPIC, b"%08d" % number + PAYLOAD, qos=2).mid

    unproven.wait({post() for _ in range(burst)})
    print("burst", flush=True)
    sys.stdin.readline()
    mids, begin = set(), time.monotonic()
    pace = threading.Event()
    while (elapsed := time.monotonic() - begin) < seconds:
        mids.add(post())
        pace.wait(max(0.0, len(mids) / rate - elapsed))
    unproven.wait(mids)
    print("done", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve(int(sys.argv[2]))
    else:
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
