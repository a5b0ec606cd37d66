"""Writes the seeds of fuzz_store: small outbox files, whole and broken, into corpus/store.

The tables are those of csrc/io/store_sqlite_schema.c, so that a seed is one of today's files.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1] / "csrc"
SCHEMA = SOURCES / "io/store_sqlite_schema.c"
FOLDER = HERE / "corpus/store"


def expanded() -> str:
    """The file behind the preprocessor."""
    command = ["cc", "-E", "-P", f"-I{SOURCES}", f"-I{SOURCES / 'include'}", str(SCHEMA)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def statements(source: str) -> list[str]:
    """The C strings of the table `objects`, joined; tables before what stands on them."""
    text = source.split("} objects[] = {")[1].split("\n};")[0]
    rows = re.findall(r'\{"\w+",\s*((?:"[^"]*"\s*)+)\}', text)
    found = ["".join(re.findall(r'"([^"]*)"', row)) for row in rows]
    return sorted(found, key=lambda one: not one.startswith("CREATE TABLE"))


def version(source: str) -> int:
    """Of the files that are written today."""
    [number] = re.findall(r"stwi_sql_version = (\d+)", source)
    return int(number)


def make(queued: int, parked: int, clean: bool) -> bytes:
    source = expanded()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA page_size=512")
        db.execute("PRAGMA application_id=0x53545744")
        db.execute(f"PRAGMA user_version={version(source)}")
        for statement in statements(source):
            db.execute(statement)
        db.execute(
            "INSERT INTO meta VALUES(1, 4, 1, ?, 0, 9, 9, zeroblob(16), 0, 0, zeroblob(32), 0, "
            "0, 0, 0)",
            (clean,),
        )
        for number in range(queued):
            row = (number + 1 + (number % 2 << 62), number + 1, number % 3, number % 2)
            db.execute("INSERT INTO outbox VALUES(?, 4, ?, ?, ?, 0, 1, 0, x'6b', x'74657874')", row)
        for number in range(parked):
            db.execute(
                "INSERT INTO parked VALUES(?, 0, 4, ?, 0, 1, 3, 1, 0, x'', zeroblob(600), ?, ?)",
                (number + 1, number + 50, ["held", "dead", "unknown"][number % 3], "poison"),
            )
        db.close()
        return path.read_bytes()


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    whole = make(6, 3, clean=True)
    seeds = {
        "empty_file": b"\0",
        "no_message": b"\0" + make(0, 0, clean=True),
        "whole": b"\0" + whole,
        "unclean": b"\0" + make(5, 1, clean=False),
        "cut": b"\3" + whole[: len(whole) // 2],
        "damaged": b"\1" + whole[:1500] + b"\xa5" * 300 + whole[1800:],
        "foreign": b"\0" + b"not a database" * 20,
    }
    for name, data in seeds.items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
