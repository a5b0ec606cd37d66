"""How long after a gap in the path does a kept TCP connection carry again?

usage: python bench/gap.py [SECONDS ...]      gaps, default 5 6 7 8 9 10; needs root, ip and nft

Two network namespaces and a veth pair; the far one drops everything for as long as the gap lasts,
and one byte is written as it begins. For each set of socket options: the time from the end of the
gap to the echo, and when the kernel had retransmitted three times (tcpi_backoff).
"""

from __future__ import annotations

import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

NEAR, FAR = f"stw-near-{os.getpid()}", f"stw-far-{os.getpid()}"
ADDRESS, PORT = "10.77.0.2", 7000
TCP_THIN_LINEAR_TIMEOUTS, TCP_RTO_MAX_MS = 16, 44
BACKOFF_BYTE = 4
"""Of struct tcp_info."""
GIVEN_UP_MS = 30_000
PATIENCE_S = 40.0
CASES = {
    "as it is": {},
    "TCP_THIN_LINEAR_TIMEOUTS": {TCP_THIN_LINEAR_TIMEOUTS: 1},
    "TCP_RTO_MAX_MS = 1000": {TCP_RTO_MAX_MS: 1000},
    "both": {TCP_THIN_LINEAR_TIMEOUTS: 1, TCP_RTO_MAX_MS: 1000},
}


def shell(*words: str) -> None:
    subprocess.run(words, check=True)


def within(name: str, *words: str) -> None:
    shell("ip", "netns", "exec", name, *words)


@contextmanager
def namespaces() -> Iterator[None]:
    shell("ip", "netns", "add", NEAR)
    try:
        shell("ip", "netns", "add", FAR)
        shell(
            "ip", "link", "add", "stw0", "netns", NEAR, "type", "veth", "peer", "stw1", "netns", FAR
        )
        for name, device, address in ((NEAR, "stw0", "10.77.0.1"), (FAR, "stw1", ADDRESS)):
            shell("ip", "-n", name, "addr", "add", f"{address}/24", "dev", device)
            shell("ip", "-n", name, "link", "set", device, "up")
        within(FAR, "nft", "add", "table", "inet", "gap")
        for hook in ("input", "output"):
            rule = f"{{ type filter hook {hook} priority 0; }}"
            within(FAR, "nft", "add", "chain", "inet", "gap", hook, rule)
        yield
    finally:
        for name in (NEAR, FAR):
            subprocess.run(("ip", "netns", "del", name), capture_output=True)


def drop(far: str, is_on: bool) -> None:
    for hook in ("input", "output"):
        if is_on:
            within(far, "nft", "add", "rule", "inet", "gap", hook, "drop")
        else:
            within(far, "nft", "flush", "chain", "inet", "gap", hook)


def serve() -> None:
    """Echoes, one connection after the other, until it is killed."""
    with socket.create_server((ADDRESS, PORT)) as server:
        print("ready", flush=True)
        while True:
            link, _address = server.accept()
            with link:
                while data := link.recv(64):
                    link.sendall(data)


def backoff(link: socket.socket) -> int:
    info = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("B", info, BACKOFF_BYTE)[0])


def measured(far: str, gap: float, options: dict[int, int]) -> tuple[float, float]:
    """Seconds from the gap's end to the echo, and from its begin to the third retransmission."""
    with socket.create_connection((ADDRESS, PORT), PATIENCE_S) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GIVEN_UP_MS)
        for option, value in options.items():
            link.setsockopt(socket.IPPROTO_TCP, option, value)
        for _ in range(5):
            link.sendall(b"x")
            link.recv(1)
        drop(far, True)
        begin, third = time.monotonic(), float("nan")
        link.sendall(b"x")
        while time.monotonic() - begin < gap:
            if third != third and backoff(link) >= 3:
                third = time.monotonic() - begin
            time.sleep(0.01)
        drop(far, False)
        end = time.monotonic()
        link.recv(1)
        return time.monotonic() - end, third


def measure(far: str, gaps: list[float]) -> None:
    for name, options in CASES.items():
        results = [measured(far, gap, options) for gap in gaps]
        after = [one for one, _third in results]
        third = statistics.mean(one for _after, one in results)
        print(
            f"{name}: mean {statistics.mean(after):.2f} s, worst {max(after):.2f} s; "
            f"third retransmission after {third:.2f} s",
            flush=True,
        )


def main(gaps: list[str]) -> None:
    me = (sys.executable, __file__)
    with namespaces():
        inside = ("ip", "netns", "exec", FAR, *me, "serve")
        with subprocess.Popen(inside, stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None
                server.stdout.readline()
                within(NEAR, *me, "measure", FAR, *gaps)
            finally:
                server.kill()


if sys.argv[1:2] == ["serve"]:
    serve()
elif sys.argv[1:2] == ["measure"]:
    measure(sys.argv[2], [float(word) for word in sys.argv[3:]])
else:
    main(sys.argv[1:] or ["5", "6", "7", "8", "9", "10"])
