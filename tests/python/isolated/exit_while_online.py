"""Ends with a live conn, without close: the process must end at once and with code 0."""

from __future__ import annotations

import sys

from steadwire import sync

conn = sync.connect(sys.argv[1])
conn.post_many([b"x"] * 1000)
conn.recv(timeout=5)
