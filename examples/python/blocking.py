"""The blocking face: for scripts, threads and notebook cells.

usage: blocking.py [URL]      URL is that of an echo server
"""

import sys

from steadwire import Undelivered, sync

url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8765/"
try:
    with sync.connect(url, name="blocking") as conn:
        conn.post_many([f"line {number}" for number in range(5)]).wait("received", timeout=10)
        received = 0
        for batch in conn.batches():
            for message in batch:
                print(message.data)
            received += len(batch)
            if received == 5:
                break
except Undelivered as left:
    print("not delivered:", left.bodies)
