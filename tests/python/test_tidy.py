"""Feeds tests/tidy.py with trees that are broken in one way each."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
Check = Callable[..., list[str]]


def load_tidy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tidy", ROOT / "tests/tidy.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["tidy"] = module
    spec.loader.exec_module(module)
    return module


tidy = load_tidy()
EXCEPTIONS = [name for name in vars(tidy) if name.endswith(("_EXCEPTIONS", "_FUNCTIONS"))]
EXCEPTIONS += ["TESTED_ELSEWHERE", "UNBOUND"]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Writes files into a fresh tree and answers with what tidy finds there."""
    for name in EXCEPTIONS:
        if isinstance(getattr(tidy, name), dict):
            monkeypatch.setattr(tidy, name, {})
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    def run(files: dict[str, str]) -> list[str]:
        for path, text in files.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return [str(finding) for finding in tidy.check(tmp_path)]

    return run


def with_test(path: str, text: str) -> dict[str, str]:
    """A module of csrc together with the test file that the rules ask for."""
    module = Path(path)
    test = Path("tests") / module.parent.relative_to("csrc") / f"test_{module.name}"
    return {path: text, str(test): "int main(void) {\n  return 0;\n}\n"}


def only(findings: list[str], *words: str) -> None:
    """Exactly one finding, which holds all the words."""
    assert len(findings) == 1, findings
    for word in words:
        assert word in findings[0]


def test_a_clean_tree_has_no_findings(check: Check) -> None:
    files = with_test("csrc/core/pace.c", '#include "pace.h"\n\n#include <string.h>\n')
    files["csrc/core/pace.h"] = "#include <stdint.h>\n"
    assert check(files) == []


@pytest.mark.parametrize(
    ("path", "include", "words"),
    [
        ("csrc/core/a.c", '"io/b.h"', "core must not include io"),
        ("csrc/core/a.c", '"../io/b.h"', "core must not include io"),
        ("csrc/observe/a.c", '"io/b.h"', "observe must not include io"),
        ("csrc/io/a.c", '"client/b.h"', "io must not include client"),
        ("csrc/io/a.c", '"observe/b.h"', "io must not include observe"),
        ("csrc/sim/a.c", '"io/b.h"', "sim must not include io"),
        ("csrc/include/steadwire/a.h", '"core/b.h"', "include must not include core"),
        ("csrc/core/a.c", '"tests/b.h"', "there is no file tests/b.h"),
        ("csrc/odd/a.c", '"core/b.h"', "csrc/odd is no layer"),
        ("bindings/lua/a.c", '"../../csrc/core/b.h"', "sees only steadwire/*.h"),
        ("bindings/lua/a.c", '"../python/b.h"', "sees only steadwire/*.h"),
        ("examples/c/a.c", '"../../csrc/core/b.h"', "sees only steadwire/*.h"),
    ],
)
def test_layers_do_not_look_up(check: Check, path: str, include: str, words: str) -> None:
    files = with_test(path, f"#include {include}\n") if path.startswith("csrc") else {}
    files[path] = f"#include {include}\n"
    for part in ("io", "core", "client", "observe"):
        files[f"csrc/{part}/b.h"] = "int b;\n"
    files["bindings/python/b.h"] = "int b;\n"
    only(check(files), f"{path}:1:", words)


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("csrc/core/a.c", "time.h"),
        ("csrc/core/a.c", "stdlib.h"),
        ("csrc/core/a.c", "time.h"),
        ("csrc/core/a.c", "pthread.h"),
        ("csrc/core/a.c", "openssl/rand.h"),
        ("csrc/observe/a.c", "sys/socket.h"),
        ("csrc/include/steadwire/a.h", "stdio.h"),
        ("csrc/io/a.c", "libwebsockets.h"),
        ("csrc/io/tls.c", "libwebsockets.h"),
        ("csrc/io/store_memory.c", "uv.h"),
        ("csrc/client/a.c", "uv.h"),
        ("csrc/io/loop.c", "openssl/ssl.h"),
        ("csrc/io/transport_ws.c", "sqlite3.h"),
        ("csrc/io/a.c", "Python.h"),
        ("csrc/io/a.c", "unheard_of.h"),
        ("bindings/lua/a.c", "Python.h"),
    ],
)
def test_foreign_headers_stay_in_their_file(check: Check, path: str, header: str) -> None:
    text = f"#include <{header}>\n"
    files = with_test(path, text) if path.startswith("csrc") else {path: text}
    only(check(files), f"{path}:1:", header)


def test_headers_in_their_place_and_outside_the_product_are_fine(check: Check) -> None:
    assert (
        check(
            {
                "csrc/io/transport_ws.c": "#include <libwebsockets.h>\n#include <uv.h>\n",
                "csrc/io/tls.c": "#include <openssl/ssl.h>\n",
                "csrc/io/loop.c": "#include <pthread.h>\n#include <sys/epoll.h>\n#include <uv.h>\n",
                "bindings/python/a.c": "#include <Python.h>\n",
                "tests/io/test_a.c": "#include <cmocka.h>\n#include <openssl/ssl.h>\n",
                "csrc/io/note.c": "/*\n#include <uv.h>\n*/\n// #include <uv.h>\n",
            }
        )
        == []
    )


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("csrc/io/a.c", "strcpy(a, b)"),
        ("csrc/io/a.c", "strcat (a, b)"),
        ("bench/a.c", "sprintf(a, b)"),
        ("tests/io/test_a.c", "gets(a)"),
        ("tests/io/test_a.c", "rand()"),
        ("csrc/client/a.c", "time(NULL)"),
        ("csrc/io/a.c", "clock_gettime(0, &t)"),
        ("csrc/io/a.c", 'printf("x")'),
        ("csrc/observe/a.c", 'fprintf(stderr, "x")'),
        ("csrc/client/a.c", "exit(1)"),
        ("csrc/core/a.c", "abort()"),
        ("csrc/core/a.c", "malloc(1)"),
        ("csrc/core/a.c", "free(a)"),
        ("csrc/io/a.c", "signal(SIGPIPE, SIG_IGN)"),
        ("tests/io/test_a.c", "usleep(10)"),
        ("csrc/io/a.c", "nanosleep(&t, 0)"),
    ],
)
def test_banned_calls_are_found(check: Check, path: str, call: str) -> None:
    text = f"void f(void) {{\n  {call};\n}}\n"
    files = with_test(path, text) if path.startswith("csrc") else {path: text}
    only(check(files), f"{path}:2:", f"{call.split('(')[0].strip()} is banned", "use ")


def test_what_only_looks_like_a_banned_call_is_fine(check: Check) -> None:
    text = (
        "/* never free(a) here, nor exit(1) */\n"
        'static const char *text = "malloc(1)";\n'
        "void f(void) {\n"
        "  stw_config_free(a);\n"
        "  ops->free(a);\n"
        "  ops.time(a);\n"
        "  snprintf(a, 1, text);\n"
        "  uptime(a);\n"
        "}\n"
    )
    assert check(with_test("csrc/core/a.c", text)) == []


@pytest.mark.parametrize("call", ["time.sle" + "ep(1)", "await asyncio.sle" + "ep(0.1)"])
def test_tests_do_not_sleep(check: Check, call: str) -> None:
    files = {"tests/python/test_a.py": f"{call}\nawait asyncio.sleep(0)\n"}
    files["tests/support/peer.py"] = f"{call}\n"
    files["demo/a.py"] = f"{call}\n"
    only(check(files), "tests/python/test_a.py:1:", "does not sleep")


def function_of(lines: int, brace: str = " ") -> str:
    head = f"static int f(int a,\n             int b){brace}{{\n".replace("\n{", "\n{")
    body = lines - head.count("\n") - 1
    return "struct s {\n  int a;\n};\n\n" + head + "  a++;\n" * body + "}\n"


@pytest.mark.parametrize("brace", [" ", "\n"])
def test_a_function_of_71_lines_is_too_long(check: Check, brace: str) -> None:
    limit = tidy.FUNCTION_LINES_MAX
    assert check({"csrc/io/a.c": function_of(limit, brace)}) == []
    only(check({"csrc/io/a.c": function_of(limit + 1, brace)}), "a.c:5:", "f has 71 lines")


def test_a_long_table_is_no_function(check: Check) -> None:
    rows = '  { 1, "}" },\n' * 200
    text = f"static const struct row table[] = {{\n{rows}}};\n\nint f(void) {{\n  return 1;\n}}\n"
    assert check({"csrc/io/a.c": text}) == []


def test_functions_inside_extern_c_are_measured(check: Check) -> None:
    text = '#ifdef __cplusplus\nextern "C" {\n#endif\n' + function_of(80) + "#ifdef A\n}\n#endif\n"
    only(check({"csrc/io/a.h": text}), "f has 80 lines")


def test_files_and_lines_have_a_limit(check: Check) -> None:
    only(check({"python/steadwire/a.py": "a = 1\n" * 701}), "a.py:701:", "701 lines")
    only(check({"python/steadwire/a.py": "a" * 101 + "\n"}), "a.py:1:", "101 characters")
    assert check({"python/steadwire/a.py": "é" * 100 + "\n", "docs/a.md": "a" * 500 + "\n"}) == []


@pytest.mark.parametrize("part", ["core", "client", "observe", "core/xmpp"])
def test_a_module_without_its_test_is_found(check: Check, part: str) -> None:
    only(check({f"csrc/{part}/a.c": "int a;\n"}), f"write tests/{part}/test_a.c")


def test_a_file_without_a_header_belongs_to_the_module_it_is_named_after(check: Check) -> None:
    files = with_test("csrc/core/conn.c", "int a;\n")
    files |= {"csrc/core/conn.h": "int a;\n", "csrc/core/conn_in.c": "int b;\n"}
    assert check(files) == []
    files["csrc/core/conn_in.h"] = "int b;\n"
    only(check(files), "conn_in.c:1:", "module conn_in has no test")


def test_a_function_that_a_binding_forgot_is_found(check: Check) -> None:
    files = {
        "csrc/include/steadwire/a.h": (
            "/* not stw_in_comment(x) */\n#define STW_X(y) stw_in_macro(y)\n"
            "int stw_first(int a);\nint stw_second(\n  int a);\n"
        )
    }
    assert check(files) == []
    files["bindings/python/a.c"] = "int f(void) {\n  return stw_first(1); /* stw_second */\n}\n"
    only(check(files), "a.h:4:", "stw_second is not bound in bindings/python")
    files["bindings/python/a.c"] += "int g(void) {\n  return stw_second(1);\n}\n"
    assert check(files) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/* TO" + "DO: later */", "leftover"),
        ("x = 1  # no" + "qa", "leftover"),
        ("x = 1  # type: ign" + "ore[misc]", "leftover"),
        ("make || tr" + "ue", "leftover"),
        ("see /wo" + "rk/main/x", "path of one machine"),
        ("see /ro" + "ot/x", "path of one machine"),
        ("https://py" + "pi.org/simple", "host of a package registry"),
        ("a ", "space at the end"),
        ("\ta", "tab"),
        ("a\r", "carriage return"),
    ],
)
def test_leftovers_are_found(check: Check, line: str, words: str) -> None:
    only(check({"docs/a.md": f"\n{line}\n"}), "docs/a.md:2:", words)


@pytest.mark.parametrize(
    ("text", "words"), [("a", "no line break at the end"), ("a\n\n", "empty line at the end")]
)
def test_files_end_with_one_line_break(check: Check, text: str, words: str) -> None:
    only(check({"docs/a.md": text}), words)


def test_harmless_text_is_fine(check: Check) -> None:
    text = "XXXXXX docs/work/x .venv/home/x a/tmp/b\n"
    assert check({"docs/a.md": text}) == []


def test_files_that_git_ignores_are_not_read(check: Check) -> None:
    files = {".gitignore": "build/\n", "build/a.c": "\tx", "tests/fuzz/corpus/a/1": "\t\r\n\n"}
    assert check(files) == []


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("python/steadwire/a.py", "import rich\n", "rich"),
        (
            "python/steadwire/a.py",
            "def f():\n    from websockets.sync import client\n",
            "websockets",
        ),
        ("lua/steadwire/bot.lua", 'local uv = require("luv")\n', "luv"),
    ],
)
def test_a_face_that_depends_on_more_than_its_binding_is_found(
    check: Check, path: str, text: str, name: str
) -> None:
    only(check({path: text}), f"{path}:", f"must not depend on {name}")


def test_faces_see_themselves_and_their_loop(check: Check) -> None:
    files = {
        "python/steadwire/a.py": "import asyncio\nfrom . import b\nimport steadwire._core\n",
        "lua/steadwire/luv.lua": 'local uv = require "luv"\nlocal s = require "steadwire.core"\n',
    }
    assert check(files) == []


def test_an_exception_excuses_while_it_is_needed(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidy, "BAN_EXCEPTIONS", {"csrc/io/a.c: exit": "a reason"})
    assert check({"csrc/io/a.c": "void f(void) {\n  exit(1);\n}\n"}) == []
    only(check({"csrc/io/a.c": "void f(void) {\n}\n"}), "csrc/io/a.c: exit, which nothing needs")


def test_the_program_prints_findings_and_exits_1(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "a.md").write_text("a \n")
    command = [sys.executable, str(ROOT / "tests/tidy.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "a.md:1: space at the end of the line\n" in done.stdout


def test_files_are_listed_with_and_without_a_repository(tmp_path: Path) -> None:
    for name in ("a.c", "b.h", "build/c.c", ".venv/d.c", "deep/e.c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("\n")
    assert tidy.project_files(tmp_path) == ["a.c", "b.h", "deep/e.c"]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("build/\n.venv/\n")
    assert tidy.project_files(tmp_path) == [".gitignore", "a.c", "b.h", "deep/e.c"]
    command = [sys.executable, str(ROOT / "tests/tidy.py"), str(tmp_path), "--files", "*.c"]
    assert subprocess.run(command, capture_output=True).stdout == b"a.c\0deep/e.c\0"
