"""The client of the exactly-once run: sends `up`, takes `down`; may be killed and started again.

    exact_client.py URL FOLDER SEED MESSAGES [--cursor] [--plant BUG]

It goes on where its outbox file says that the last message was admitted. What arrives is noted in
the journal first, then committed: the effects and the cursor in one transaction of SQLite. With
--cursor that cursor is passed back to the session when it starts. It ends with 0 when all was sent
and taken.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sqlite3
from pathlib import Path
from typing import Any

import steadwire
from exact_messages import DOWN, UP, Journal, body, pause, taken_line
from steadwire.events import Downgraded, Gap, SessionStale
from steadwire.outbox import Outbox

PLANTS = ("no_cursor", "forgets_outbox", "cursor_first")
PLANT_S = 0.1
"""How long the two halves of a planted bug lie apart, so that a kill falls between them."""

QUIET_S = 0.3
OPTIONS: dict[str, Any] = {
    "profile": "session",
    "guarantee": "exactly_once",
    "processed": "manual",
    "open_timeout": 1.0,
    "heartbeat_interval": 0.5,
    "heartbeat_timeout": 0.5,
    "retry_window": 0.15,
    "retry_cap": 1.0,
}


class Effects:
    """What has taken effect, and the cursor: one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS effects (place INTEGER PRIMARY KEY, source TEXT, "
            "serial INTEGER, digest TEXT, life TEXT)"
        )
        self._db.execute("CREATE TABLE IF NOT EXISTS cursor (one INTEGER PRIMARY KEY, number INT)")

    def cursor(self) -> int:
        """The number of the last message whose effect is here."""
        found = self._db.execute("SELECT number FROM cursor").fetchone()
        return int(found[0]) if found else 0

    def has(self, serial: int) -> bool:
        """Whether a message has taken effect; reads the whole table."""
        found = self._db.execute("SELECT 1 FROM effects WHERE serial = ? LIMIT 1", (serial,))
        return found.fetchone() is not None

    def commit(self, lines: list[dict[str, Any]], number: int) -> None:
        """The effects of messages, the last of which has this number."""
        self._db.execute("BEGIN IMMEDIATE")
        self.add(lines)
        self.move(number)
        self._db.execute("COMMIT")

    def add(self, lines: list[dict[str, Any]]) -> None:
        """The effects alone."""
        rows = [(line["of"], line["serial"], line["digest"], line["life"]) for line in lines]
        self._db.executemany(
            "INSERT INTO effects (source, serial, digest, life) VALUES (?, ?, ?, ?)", rows
        )

    def move(self, number: int) -> None:
        """The cursor alone."""
        self._db.execute("INSERT OR REPLACE INTO cursor VALUES (1, ?)", (number,))


class Host:
    """The application around one conn."""

    def __init__(self, options: argparse.Namespace) -> None:
        folder: Path = options.folder
        self._options = options
        self._outbox = folder / "outbox.db"
        self._effects = Effects(folder / "effects.db")
        self._journal = Journal(folder / "client.jsonl")
        self._life = f"client-{os.getpid()}"
        self._has_last = asyncio.Event()

    def admitted(self) -> int:
        """The last serial that the outbox has ever taken: it gives numbers in the same order."""
        if not self._outbox.exists() or self._options.plant == "forgets_outbox":
            return self._effects.cursor()
        with Outbox.open(self._outbox) as file:
            return file.check().last_number[0]

    async def run(self) -> None:
        """Sends and takes until all is done."""
        first = self.admitted() + 1
        is_told = self._options.cursor and self._options.plant != "no_cursor"
        inbound_from = self._effects.cursor() if is_told else None
        conn = await steadwire.connect(
            self._options.url,
            wait=False,
            outbox=self._outbox,
            outbox_messages=self._options.ahead,
            durability=self._options.durability,
            inbound_from=inbound_from,
            **OPTIONS,
        )
        if self._effects.has(self._options.messages):
            self._has_last.set()
        async with conn, asyncio.TaskGroup() as group:
            noting = group.create_task(self._note_trouble(conn))
            sending = group.create_task(self._send(conn, first))
            taking = group.create_task(self._take(conn))
            await sending
            await self._has_last.wait()
            await asyncio.wait([taking], timeout=QUIET_S)  # for those that should not come
            taking.cancel()
            noting.cancel()

    async def _send(self, conn: Any, first: int) -> None:
        loop = asyncio.get_running_loop()
        began, rate = loop.time(), self._options.rate
        for serial in range(first, self._options.messages + 1):
            early = began + (serial - first) / rate - loop.time() if rate else 0.0
            if early > 0.0:
                await pause(early)
            await conn.send(body(self._options.seed, UP, serial))

    async def _take(self, conn: Any) -> None:
        async for batch in conn.batches():
            lines = [taken_line(DOWN, message.data, self._life) for message in batch]
            self._journal.write(*lines)
            await self._commit(lines, batch[-1].number)
            if self._options.plant != "no_cursor":
                batch[-1].ack()
            if any(line["serial"] == self._options.messages for line in lines):
                self._has_last.set()

    async def _commit(self, lines: list[dict[str, Any]], number: int) -> None:
        if self._options.plant == "cursor_first":
            self._effects.move(number)
            await pause(PLANT_S)
            self._effects.add(lines)
        else:
            self._effects.commit(lines, number)

    async def _note_trouble(self, conn: Any) -> None:
        async for event in conn.events(Gap, SessionStale, Downgraded):
            self._journal.write({"op": "told", "what": type(event).__name__, "event": str(event)})


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cli.add_argument("url")
    cli.add_argument("folder", type=Path)
    cli.add_argument("seed", type=int)
    cli.add_argument("messages", type=int)
    cli.add_argument("--rate", type=float, default=0.0, help="messages a second; 0: no bound")
    cli.add_argument("--ahead", type=int, default=1000, help="messages that wait for a proof")
    cli.add_argument("--durability", default="durable")
    cli.add_argument("--cursor", action="store_true", help="pass the committed cursor back")
    cli.add_argument("--plant", choices=PLANTS)
    return cli


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s client %(process)d %(message)s")
    asyncio.run(Host(parser().parse_args()).run())
