"""Each call leaves the total of references alone.

Needs an interpreter that counts references, and the module built with Py_REF_DEBUG for it.
"""

from __future__ import annotations

import gc
import sys

from steadwire import _core

config = _core.Config()
config.set("url", "ws://127.0.0.1:9/")
engine = _core.Engine()
conn = _core.Conn(engine, config)


def calls() -> None:
    _core.words("state")
    _core.causes()
    _core.options()
    _core.metrics()
    _core.statuses()
    _core.Config().get("name")
    repr(_core.Message("x", 1, 2))
    _core.Message("[1]").json()
    conn.look()
    conn.stats()
    conn.outbox_list(0, 10)
    number = conn.send("x", 0, 0, "key")
    conn.outbox_body(number, 1)
    conn.outbox_body(number, 0)
    conn.outbox_body(number, 9)
    conn.outbox_cancel(number)
    conn.opening("a", b"x")
    conn.opening("a", None)
    conn.supply("ws://127.0.0.1:9/", "t", ["a", "b"], 5)
    conn.drain([], [], 100, 100, True, True)


if not hasattr(sys, "gettotalrefcount"):
    raise SystemExit("this interpreter does not count references")
for _ in range(20):
    calls()
gc.collect()
before = sys.gettotalrefcount()
for _ in range(100):
    calls()
gc.collect()
grown = sys.gettotalrefcount() - before
print("references grew by", grown)
raise SystemExit(0 if grown < 50 else 1)
