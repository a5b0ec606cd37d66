"""Writes the two traces of this folder anew: synthetic paths with the shapes of the fault model.

drive.mahimahi: ten minutes, a packet every 250 ms, interrupted by gaps (Pareto, 1 s, 1.9).
commute.ping: the output of `ping -D` for ten minutes, with lost replies and a tunnel of 40 s.
"""

import random
from pathlib import Path

SECONDS = 600
HERE = Path(__file__).parent


def drive(dice: random.Random) -> str:
    lines, at, gap = [], 0, dice.expovariate(1 / 40)
    while at < SECONDS * 1000:
        lines.append(str(at))
        at += 250
        if at / 1000 >= gap:
            at += round(1000 * dice.paretovariate(1.9))
            gap = at / 1000 + dice.expovariate(1 / 40)
    return "\n".join(lines) + "\n"


def commute(dice: random.Random) -> str:
    lines = ["PING example.net (192.0.2.1) 56(84) bytes of data."]
    for number in range(1, SECONDS + 1):
        if 300 <= number < 340 or dice.random() < 0.01:
            continue
        rtt = dice.lognormvariate(4.2, 0.4)
        lines.append(
            f"[{1_700_000_000 + number}.{dice.randrange(1000000):06d}] 64 bytes from 192.0.2.1: "
            f"icmp_seq={number} ttl=54 time={rtt:.1f} ms"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (HERE / "drive.mahimahi").write_text(drive(random.Random(1)), encoding="utf-8")
    (HERE / "commute.ping").write_text(commute(random.Random(1)), encoding="utf-8")
