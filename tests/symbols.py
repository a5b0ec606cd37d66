"""Checks what the built files show and need.

- libsteadwire exports exactly the functions that the public headers declare.
- A Lua module exports only its luaopen_ functions.
- core is pure: its objects need nothing but memory and string functions and other parts of core,
  hold no variable, and only core/mem allocates.

usage: symbols.py INCLUDE_FOLDER FILE...   (.so and .o files)
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PURE = re.compile(
    r"stwi?_\w+|memp?cpy|mem(move|set|cmp|chr|mem)|explicit_bzero"
    r"|str(len|nlen|cmp|ncmp|chr|rchr|str|c?spn)|strn?casecmp|v?snprintf"
    r"|__(mem|str|explicit_bzero|v?snprintf)\w*_chk"
    r"|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_"
)
ALLOCATORS = {"malloc", "calloc", "realloc", "free"}


def run(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def exported(path: Path) -> set[str]:
    rows = run("nm", "-D", "--defined-only", str(path))
    names = {row.split()[-1].split("@")[0] for row in rows if row.split()[1] != "A"}
    return names


def declared(include: Path) -> set[str]:
    names: set[str] = set()
    for header in include.rglob("*.h"):
        text = re.sub(
            r"/\*.*?\*/|^\s*#(?:[^\n]*\\\n)*[^\n]*", "", header.read_text(), flags=re.S | re.M
        )
        names.update(re.findall(r"STW_API[^;(]*?\b(stw_\w+)\s*\(", text))
    return names


def library_faults(path: Path, include: Path) -> Iterator[str]:
    has, wants = exported(path), declared(include)
    for name in sorted(has - wants):
        yield f"{path.name} exports {name}, which no public header declares with STW_API"
    for name in sorted(wants - has):
        yield f"{path.name} lacks {name}, which a public header declares"


def module_faults(path: Path) -> Iterator[str]:
    names = exported(path)
    for name in sorted(names):
        if not name.startswith("luaopen_"):
            yield f"{path} exports {name}"
    if not names:
        yield f"{path} exports no luaopen_ function"


def core_faults(path: Path) -> Iterator[str]:
    for row in run("nm", "--undefined-only", str(path)):
        name = row.split()[-1]
        is_allocator = name in ALLOCATORS and path.name.startswith("mem.c")
        if not PURE.fullmatch(name) and not is_allocator:
            yield f"core/{path.name} needs {name}"
    for row in run("size", "-A", str(path)):
        section = row.split()
        is_variable = section and re.fullmatch(
            r"\.(data|bss|tdata|tbss)(\.(?!rel\.ro)\S+)?", section[0]
        )
        if is_variable and int(section[1]) > 0:
            yield f"core/{path.name} holds a variable ({section[0]}, {section[1]} bytes)"


def faults(path: Path, include: Path) -> Iterator[str]:
    if path.suffix == ".o":
        return core_faults(path)
    if path.name.startswith("libsteadwire"):
        return library_faults(path, include)
    return module_faults(path)


def main() -> int:
    include = Path(sys.argv[1])
    found = [fault for name in sys.argv[2:] for fault in faults(Path(name), include)]
    print("\n".join(found) or f"{len(sys.argv) - 2} files are right")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
