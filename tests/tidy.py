"""The layering rule and the style rules, executed: prints `path:line: message`, exits 1 on any.

Where a rule is wrong for a case, the case goes into
the rule's list of exceptions below with its reason; an exception that nothing needs any more fails,
so that the lists only shrink.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 700
LINE_CHARACTERS_MAX = 100

# --- who may include what -------------------------------------------------------------------------

LAYERS = {
    "include": {"include"},
    "core": {"core", "include"},
    "observe": {"observe", "core", "include"},
    "io": {"io", "core", "include"},
    "sim": {"sim", "core", "observe", "include"},
    "client": {"client", "io", "observe", "core", "include"},
}

PURE_LIBC = {"assert", "inttypes", "limits", "stdbool", "stddef", "stdint", "string"}

# The libc headers of a layer; a layer that is not here may use all of LIBC.
LAYER_LIBC = {
    "include": {"stdbool", "stddef", "stdint"},
    "core": PURE_LIBC | {"stdio", "strings"},  # snprintf and strcasecmp: pure; symbols.py checks
    "observe": PURE_LIBC | {"math", "stdarg", "stdio", "stdlib"},
    "sim": PURE_LIBC | {"math", "stdarg", "stdio", "stdlib"},
}

LIBC = PURE_LIBC | set(
    """ctype dirent endian errno fcntl float ifaddrs locale malloc math netdb poll pthread sched
    resolv setjmp signal stdalign stdarg stdatomic stdio stdlib stdnoreturn strings threads time
    unistd""".split()
)
LIBC_FOLDERS = ("arpa/", "linux/", "net/", "netinet/", "sys/")

# Header of a foreign library (a name, or a folder) -> the only files of the product that see it.
FOREIGN = {
    "libwebsockets.h": ["csrc/io/transport_ws*"],
    "uv.h": ["csrc/io/loop*", "csrc/io/resolve*", "csrc/io/hints*", "csrc/io/transport_*"],
    "openssl/": [
        "csrc/io/transport_ws*",
        "csrc/io/transport_xmpp*",
        "csrc/io/sasl*",
        "csrc/io/tls*",
    ],
    "strophe.h": ["csrc/io/transport_xmpp_strophe*"],
    "gsasl.h": ["csrc/io/sasl*"],
    "expat.h": ["csrc/io/xml_parse*"],
    "msgpack.h": ["csrc/io/envelope*"],
    "msgpack/": ["csrc/io/envelope*"],
    "sqlite3.h": ["csrc/io/store_sqlite*"],
    "zlib.h": ["csrc/io/deflate*", "csrc/io/http_client*"],
    "curl/": ["csrc/io/http_client*"],
    "Python.h": ["bindings/python/*"],
    "structmember.h": ["bindings/python/*"],
    "lua.h": ["bindings/lua/*"],
    "lauxlib.h": ["bindings/lua/*"],
    "lualib.h": ["bindings/lua/*"],
    "luaconf.h": ["bindings/lua/*"],
}

# "path: header" -> reason
INCLUDE_EXCEPTIONS: dict[str, str] = {
    "csrc/core/mem.c: stdlib.h": "the one place of core that allocates",
}

# --- calls that are banned, and what to use instead -----------------------------------------------

PRODUCT = ["csrc/*", "bindings/*"]
ANY_C = ["*"]


class Ban(NamedTuple):
    calls: str
    where: list[str]
    instead: str


BANS = [
    Ban("strcpy strcat strncpy strncat stpcpy", ANY_C, "snprintf, or memcpy with a checked size"),
    Ban("sprintf vsprintf", ANY_C, "snprintf or vsnprintf"),
    Ban("gets", ANY_C, "fgets"),
    Ban("strtok", ANY_C, "strtok_r or strcspn"),
    Ban("atoi atol atoll atof", ANY_C, "strtol with its errors checked"),
    Ban(
        "rand srand random srandom drand48", ANY_C, "io/clock's randomness; in tests a printed seed"
    ),
    Ban("alloca system popen", ANY_C, "a bounded buffer; no shell"),
    Ban(
        "time clock_gettime gettimeofday getrandom",
        ["csrc/*"],
        "an argument `now`, or the functions of io/clock",
    ),
    Ban(
        "printf vprintf fprintf vfprintf puts fputs putchar putc fputc perror",
        ["csrc/*"],
        "a status with a text, or an event; a library does not print",
    ),
    Ban(
        "exit _exit _Exit quick_exit abort",
        ["csrc/*"],
        "a status, or an assert for our own mistakes",
    ),
    Ban("signal sigaction", PRODUCT, "MSG_NOSIGNAL; the host's signal handlers stay its own"),
    Ban("sleep usleep nanosleep", [*PRODUCT, "tests/*"], "a deadline, in tests virtual time"),
    Ban(
        "malloc calloc realloc free strdup strndup aligned_alloc",
        ["csrc/core/*"],
        "the functions of core/mem.h",
    ),
]

# "path: call" -> reason
BAN_EXCEPTIONS: dict[str, str] = {}
for _name in ("free", "malloc", "realloc"):
    BAN_EXCEPTIONS[f"csrc/core/mem.c: {_name}"] = "the one place of core that allocates"
for _name in ("clock_gettime", "getrandom"):
    BAN_EXCEPTIONS[f"csrc/io/clock.c: {_name}"] = "the one place that reads clocks and randomness"
BAN_EXCEPTIONS["csrc/io/clock.c: abort"] = "without randomness every mask and id would be guessable"
BAN_EXCEPTIONS["csrc/io/transport_ws_context.c: sigaction"] = (
    "puts back what lws_create_context changes"
)

PYTHON_SLEEP = re.compile(r"\btime\.sleep\(|\basyncio\.sleep\((?!0\))")

# path -> reason
SLEEP_EXCEPTIONS: dict[str, str] = {}

# --- size, tests, bindings ------------------------------------------------------------------------

# "path: function" -> why it may be longer than FUNCTION_LINES_MAX: a table or a flat switch
LONG_FUNCTIONS: dict[str, str] = {}

# csrc path -> which test covers it instead of one of its own name
TESTED_ELSEWHERE: dict[str, str] = {}

# "language: function" -> reason
UNBOUND: dict[str, str] = {}
for _name in """
    hello_read refusal_write session_new session_free session_save session_load
    session_restore session_open session_lost session_receive session_take session_deadline
    session_accept session_processed session_send session_goaway session_close session_auth
    session_look
    """.split():
    UNBOUND[f"lua: stw_{_name}"] = "the server companion is a Python package"

for (
    _name
) in "count_at histogram_at bucket_us profile_at policy_at new free run why values log".split():
    UNBOUND[f"lua: stw_fleet_{_name}"] = "the simulator is for shells and notebooks"

for _name in "rule_at fault_at profile_at plant_at run free look trace".split():
    UNBOUND[f"lua: stw_explore_{_name}"] = "the simulator is for shells and notebooks"

for _name in "policy_at run free look seconds".split():
    UNBOUND[f"lua: stw_herd_{_name}"] = "the simulator is for shells and notebooks"

# --- text -----------------------------------------------------------------------------------------

# Written so that this file does not match itself.
MARKERS = re.compile(
    r"\b(?:TO[D]O|FIX[M]E|XX[X]|HAC[K])\b|\bNOLIN[T]|#\s*noq[a]\b|type:\s*ignor[e]\b"
    r"|[|][|] tru[e]\b|shellcheck disabl[e]|luacheck: ignor[e]"
)
MACHINE_PATHS = re.compile(r"(?<![\w.~$}-])/(?:work|root|home|tmp|farm)/")
REGISTRY_HOSTS = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian\.org|luarocks\.org"
)
TEXT_EXCEPTIONS = ["tests/fuzz/corpus/*", "tests/package-lock.json", "*.png", "*.svg"]
BY_PRODUCTS = set(
    """.git .venv __pycache__ .hypothesis .mypy_cache .pytest_cache .ruff_cache build
    build.luarocks dist node_modules""".split()
)
CODE_SUFFIXES = {".c", ".h", ".py", ".pyi", ".lua", ".sh", ".mjs", ".js"}


class Finding(NamedTuple):
    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass
class Source:
    """One file: its text, and for C the text with comments, strings and directives blanked."""

    path: str
    text: str

    @cached_property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix

    @cached_property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @cached_property
    def is_c(self) -> bool:
        return self.suffix in (".c", ".h")

    @cached_property
    def is_code(self) -> bool:
        return self.suffix in CODE_SUFFIXES or self.text.startswith("#!")

    @cached_property
    def without_comments(self) -> str:
        return blank_comments(self.text)

    @cached_property
    def code(self) -> str:
        return blank_directives(self.without_comments)

    def matches(self, patterns: list[str]) -> bool:
        return any(fnmatch(self.path, pattern) for pattern in patterns)

    def line_of(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1


@dataclass
class Tree:
    root: Path
    sources: dict[str, Source]
    used: set[str] = field(default_factory=set)

    @cached_property
    def c_sources(self) -> list[Source]:
        return [source for source in self.sources.values() if source.is_c]

    def under(self, folder: str) -> list[Source]:
        return [s for s in self.c_sources if s.path.startswith(folder)]

    def excuses(self, exceptions: dict[str, str], key: str) -> bool:
        """Whether `key` is a listed exception; remembers that it was needed."""
        if key not in exceptions:
            return False
        self.used.add(key)
        return True


Rule = Callable[[Tree], Iterator[Finding]]


def blank(match: re.Match[str]) -> str:
    """Spaces in place of the match, line breaks kept, so that offsets stay right."""
    return re.sub(r"[^\n]", " ", match[0])


TOKEN = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""", re.DOTALL | re.VERBOSE
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>\n]+)>|"([^"\n]+)")', re.MULTILINE)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)


def blank_comments(text: str) -> str:
    """C without comments and without what is inside strings."""

    def replace(match: re.Match[str]) -> str:
        token = match[0]
        if token[0] == "/":
            return blank(match)
        return token[0] + " " * (len(token) - 2) + token[-1]

    return TOKEN.sub(replace, text)


def blank_directives(text: str) -> str:
    return DIRECTIVE.sub(blank, text)


# --- rules ----------------------------------------------------------------------------------------


def layer_of(path: str) -> str:
    """The part a file belongs to: a folder of csrc, or `bindings`, or `` for tests and the like."""
    parts = path.split("/")
    if parts[0] == "csrc" and len(parts) > 2:
        return parts[1]
    return "bindings" if parts[0] == "bindings" else ""


def resolve(tree: Tree, source: Source, name: str) -> str | None:
    """The path of an included file of the project."""
    folder = str(PurePosixPath(source.path).parent)
    for base in (folder, "csrc", "csrc/include", "tests", "tests/support"):
        path = normal(f"{base}/{name}")
        if path in tree.sources:
            return path
    return None


def normal(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def refuse_own(source: Source, target: str) -> str | None:
    """Why `source` may not include the project's file `target`."""
    layer, other = layer_of(source.path), layer_of(target)
    if layer == "bindings":
        if other == "include" or PurePosixPath(target).parent == PurePosixPath(source.path).parent:
            return None
        return f"a binding sees only steadwire/*.h and its own folder, not {target}"
    if source.path.startswith("examples/") and other != "include":
        return f"an example sees only steadwire/*.h, not {target}"
    if not layer:
        return None
    if layer not in LAYERS:
        return f"csrc/{layer} is no layer: add it to LAYERS in tests/tidy.py"
    if other not in LAYERS[layer]:
        return f"{layer} must not include {other or 'tests'} ({target})"
    return None


def refuse_foreign(source: Source, header: str) -> str | None:
    """Why `source` may not include a header that is not the project's."""
    layer = layer_of(source.path)
    for name, places in FOREIGN.items():
        if header == name or (name.endswith("/") and header.startswith(name)):
            if layer and not source.matches(places):
                return f"<{header}> belongs to {' and '.join(places)}"
            return None
    if not layer:
        return None
    name = header.removesuffix(".h")
    if layer in LAYER_LIBC:
        allowed = name in LAYER_LIBC[layer]
        return None if allowed else f"{layer} must not include <{header}>"
    if name in LIBC or header.startswith(LIBC_FOLDERS):
        return None
    return f"<{header}> has no place yet: add it to FOREIGN in tests/tidy.py"


def layering(tree: Tree) -> Iterator[Finding]:
    for source in tree.c_sources:
        for match in INCLUDE.finditer(source.text):
            if source.without_comments[match.start() : match.end()].strip() == "":
                continue
            header = match[1] or match[2]
            is_own = match[2] is not None or header.startswith("steadwire/")
            message: str | None
            if is_own:
                target = resolve(tree, source, header)
                message = refuse_own(source, target) if target else f"there is no file {header}"
            else:
                message = refuse_foreign(source, header)
            if message and not tree.excuses(INCLUDE_EXCEPTIONS, f"{source.path}: {header}"):
                yield Finding(source.path, source.line_of(match.start()), message)


def faces_see_their_binding(tree: Tree) -> Iterator[Finding]:
    """The Python face imports the standard library and itself, and its server the libraries of the
    extra `server` and, for who has it, starlette; the Lua face requires itself, and an adapter the
    loop library it is named after."""
    for source in tree.sources.values():
        imported: Iterator[tuple[int, str]]
        if source.suffix == ".py" and source.path.startswith("python/"):
            imported, known = python_imports(source), sys.stdlib_module_names | {"steadwire"}
            if source.path.startswith("python/steadwire/server/"):
                known |= {"redis", "starlette", "websockets"}
        elif source.suffix == ".lua" and source.path.startswith("lua/"):
            imported, known = lua_requires(source), frozenset({"steadwire", source.stem})
        else:
            continue
        for line, name in imported:
            is_known = name.split(".")[0] in known
            if not is_known and not tree.excuses(INCLUDE_EXCEPTIONS, f"{source.path}: {name}"):
                yield Finding(source.path, line, f"must not depend on {name}")


def python_imports(source: Source) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source.text, source.path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, node.module or ""


def lua_requires(source: Source) -> Iterator[tuple[int, str]]:
    for match in re.finditer(r"""\brequire\s*\(?\s*["']([\w.]+)["']""", source.text):
        yield source.line_of(match.start()), match[1]


def banned_calls(tree: Tree) -> Iterator[Finding]:
    for ban in BANS:
        names = "|".join(ban.calls.split())
        pattern = re.compile(rf"(?<![\w.])(?<!->)(?:{names})(?=\s*\()")
        for source in tree.c_sources:
            if not source.matches(ban.where):
                continue
            for match in pattern.finditer(source.without_comments):
                call = match[0]
                if not tree.excuses(BAN_EXCEPTIONS, f"{source.path}: {call}"):
                    message = f"{call} is banned here: use {ban.instead}"
                    yield Finding(source.path, source.line_of(match.start()), message)


def sleeping_tests(tree: Tree) -> Iterator[Finding]:
    for source in tree.sources.values():
        is_test = source.path.startswith("tests/") and not source.path.startswith("tests/support/")
        if source.suffix != ".py" or not is_test:
            continue
        for number, line in enumerate(source.lines, 1):
            if PYTHON_SLEEP.search(line) and not tree.excuses(SLEEP_EXCEPTIONS, source.path):
                message = "a test does not sleep: wait for a condition with a deadline"
                yield Finding(source.path, number, message)


class Function(NamedTuple):
    name: str
    line: int
    lines: int


def functions(source: Source) -> Iterator[Function]:
    """The function definitions of a C file, from the first line of the signature to the brace."""
    code = re.sub(r'extern\s*" "\s*\{', blank, source.code)
    depth = 0
    head_start = 0
    body_start = -1
    for match in re.finditer(r"[{};]", code):
        at, token = match.start(), match[0]
        if token == "{":
            if depth == 0:
                body_start = at
            depth += 1
        elif token == "}":
            depth = max(0, depth - 1)
            if depth == 0 and body_start >= 0:
                head = code[head_start:body_start]
                signature = re.search(r"(\w+)\s*\(", head)
                if signature and "=" not in head and head.rstrip().endswith(")"):
                    start = head_start + len(head) - len(head.lstrip())
                    first, last = source.line_of(start), source.line_of(at)
                    yield Function(signature[1], first, last - first + 1)
                body_start = -1
        if depth == 0:
            head_start = at + 1


def sizes(tree: Tree) -> Iterator[Finding]:
    for source in tree.sources.values():
        if not source.is_code:
            continue
        if len(source.lines) - 1 > FILE_LINES_MAX:
            message = (
                f"{len(source.lines) - 1} lines, at most {FILE_LINES_MAX}: is there a second noun?"
            )
            yield Finding(source.path, FILE_LINES_MAX + 1, message)
        for number, line in enumerate(source.lines, 1):
            if len(line) > LINE_CHARACTERS_MAX:
                message = f"{len(line)} characters, at most {LINE_CHARACTERS_MAX}"
                yield Finding(source.path, number, message)
    for source in tree.c_sources:
        for function in functions(source):
            if function.lines > FUNCTION_LINES_MAX:
                if not tree.excuses(LONG_FUNCTIONS, f"{source.path}: {function.name}"):
                    message = (
                        f"{function.name} has {function.lines} lines, at most {FUNCTION_LINES_MAX}"
                    )
                    yield Finding(source.path, function.line, message)


def module_of(tree: Tree, path: PurePosixPath) -> str:
    """A module is what a header declares: a.c and a_b.c are one if a_b.h does not exist."""
    words = path.stem.split("_")
    for count in range(len(words), 0, -1):
        name = "_".join(words[:count])
        if str(path.with_name(f"{name}.h")) in tree.sources:
            return name
    return path.stem


def modules_have_tests(tree: Tree) -> Iterator[Finding]:
    for source in tree.under("csrc/"):
        if source.suffix != ".c" or layer_of(source.path) not in ("core", "client", "observe"):
            continue
        path = PurePosixPath(source.path)
        folder = "tests" / path.parent.relative_to("csrc")
        module = module_of(tree, path)
        tests = [str(folder / f"test_{name}.c") for name in (module, path.stem)]
        if tree.sources.keys().isdisjoint(tests):
            if not tree.excuses(TESTED_ELSEWHERE, source.path):
                yield Finding(source.path, 1, f"module {module} has no test: write {tests[0]}")


def public_functions(tree: Tree) -> dict[str, tuple[str, int]]:
    """Each stw_ function that the public headers declare, with its place."""
    found: dict[str, tuple[str, int]] = {}
    for source in tree.under("csrc/include/"):
        for match in re.finditer(r"\b(stw_[a-z0-9_]+)\s*\(", source.code):
            found.setdefault(match[1], (source.path, source.line_of(match.start())))
    return found


def functions_are_bound(tree: Tree) -> Iterator[Finding]:
    public = public_functions(tree)
    for language in ("python", "lua"):
        binding = tree.under(f"bindings/{language}/")
        words = {word for s in binding for word in re.findall(r"\bstw_\w+", s.without_comments)}
        for name, (path, line) in public.items() if binding else ():
            if name not in words and not tree.excuses(UNBOUND, f"{language}: {name}"):
                yield Finding(path, line, f"{name} is not bound in bindings/{language}")


def text(tree: Tree) -> Iterator[Finding]:
    for source in tree.sources.values():
        if source.matches(TEXT_EXCEPTIONS):
            continue
        for number, line in enumerate(source.lines, 1):
            for message in faults_of(line):
                yield Finding(source.path, number, message)
        if source.text and not source.text.endswith("\n"):
            yield Finding(source.path, len(source.lines), "no line break at the end of the file")
        if source.text.endswith("\n\n"):
            yield Finding(source.path, len(source.lines) - 1, "empty line at the end of the file")


def faults_of(line: str) -> Iterator[str]:
    if line.endswith("\r"):
        yield "carriage return"
    elif line != line.rstrip():
        yield "space at the end of the line"
    if "\t" in line:
        yield "tab"
    if match := MARKERS.search(line):
        yield f"leftover `{match[0]}`: finish it, or say so in an issue"
    if match := MACHINE_PATHS.search(line):
        yield f"path of one machine: {match[0]}"
    if match := REGISTRY_HOSTS.search(line):
        yield f"host of a package registry: {match[0]}"


def exceptions_are_needed(tree: Tree) -> Iterator[Finding]:
    """Runs last, when the other rules have said which exceptions they used."""
    tables = {
        "INCLUDE_EXCEPTIONS": INCLUDE_EXCEPTIONS,
        "BAN_EXCEPTIONS": BAN_EXCEPTIONS,
        "SLEEP_EXCEPTIONS": SLEEP_EXCEPTIONS,
        "LONG_FUNCTIONS": LONG_FUNCTIONS,
        "TESTED_ELSEWHERE": TESTED_ELSEWHERE,
        "UNBOUND": UNBOUND,
    }
    for table, exceptions in tables.items():
        for key, reason in exceptions.items():
            if key not in tree.used:
                yield Finding("tests/tidy.py", 1, f"{table} lists {key}, which nothing needs")
            if not reason.strip():
                yield Finding("tests/tidy.py", 1, f"{table} gives no reason for {key}")


RULES: list[Rule] = [
    layering,
    faces_see_their_binding,
    banned_calls,
    sleeping_tests,
    sizes,
    modules_have_tests,
    functions_are_bound,
    text,
    exceptions_are_needed,
]


def project_files(root: Path) -> list[str]:
    """What git knows or would add; outside a repository, all but the known by-products."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout
        names = listed.decode().rstrip("\0").split("\0")
    except (OSError, subprocess.CalledProcessError):
        paths = (path.relative_to(root) for path in root.rglob("*"))
        names = [str(path) for path in paths if not BY_PRODUCTS.intersection(path.parts)]
    return sorted({name for name in names if (root / name).is_file()})


def read_tree(root: Path) -> Tree:
    sources: dict[str, Source] = {}
    for name in project_files(root):
        path = root / name
        data = path.read_bytes()
        if b"\0" not in data and not path.is_symlink():
            sources[name] = Source(name, data.decode("utf-8", "replace"))
    return Tree(root, sources)


def check(root: Path) -> list[Finding]:
    tree = read_tree(root)
    return [finding for rule in RULES for finding in rule(tree)]


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the rules of the project.")
    parser.add_argument("--files", metavar="PATTERN", nargs="+", help="list files, NUL after each")
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).resolve().parents[1])
    arguments = parser.parse_args()
    if arguments.files:
        for name in project_files(arguments.root):
            if any(fnmatch(name, pattern) for pattern in arguments.files):
                print(name, end="\0")
        return 0
    findings = check(arguments.root)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
