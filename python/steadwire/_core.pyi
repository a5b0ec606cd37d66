from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, final

from typing_extensions import disjoint_base

from steadwire._ids import MessageId
from steadwire.words import Lane

class _Messages(Protocol):
    def extend(self, items: list[Any], /) -> object: ...
    def append(self, item: Any, /) -> object: ...

class _Events(Protocol):
    def append(self, item: Any, /) -> object: ...

_Row: TypeAlias = tuple[int, int, int, int, int, bool, int, int, int, int, str, int, int, int, int]
_Rows: TypeAlias = list[_Row]

version: str

def bind_errors(classes: dict[int, Any], /) -> None: ...
def words(name: str, /) -> list[tuple[int, str, str]]: ...
def causes() -> list[tuple[int, str, int, str, str]]: ...
def statuses() -> list[tuple[int, str, bool, str, str]]: ...
def metrics() -> list[tuple[str, bool, str, str]]: ...
def bind_ids(make_id: Callable[[int, int], Any], lanes: tuple[Any, ...], /) -> None: ...
def options() -> list[tuple[str, str, str, str, str, str, bool, bool]]: ...
def fleet_lists() -> tuple[
    list[str], list[str], list[tuple[str, str]], list[tuple[str, str]], list[int]
]: ...
def explore_faults() -> list[tuple[str, str]]: ...
def explore_plants() -> list[tuple[str, str]]: ...
def explore_profiles() -> list[tuple[str, str]]: ...
def explore_rules() -> list[tuple[str, str, str]]: ...
def explore_run(
    seed: int, seeds: int, profile: int, plant: int, has_trace: bool, /
) -> tuple[list[int], list[int], list[int], tuple[int, str, int, str] | None, str]: ...
def fleet_run(
    policy: str,
    profile: str,
    seed: int,
    seconds: int,
    interval_ms: int,
    idle_interval_ms: int,
    first: int,
    count: int,
    has_no_hints: bool,
    has_no_drain: bool,
    has_no_hedge: bool,
    has_log: bool,
    is_event_level: bool,
    steps: list[tuple[int, int, int, bool]] | None,
    /,
) -> tuple[list[int], bytes]: ...
def herd_policies() -> list[tuple[str, str]]: ...
def herd_run(
    policy: int,
    clients: int,
    capacity: int,
    down_ns: int,
    is_naive: bool,
    has_no_retry_after: bool,
    retry_window_ns: int,
    seed: int,
    /,
) -> tuple[
    float,
    float,
    float,
    int | None,
    int | None,
    int | None,
    int,
    int,
    int,
    int,
    int,
    int,
    list[tuple[int, int]],
]: ...
def hello_read(
    data: bytes, /
) -> tuple[
    bytes,
    bool,
    int | None,
    bytes,
    tuple[int, int],
    tuple[int, int],
    tuple[int, int],
    tuple[int, int],
]: ...
def refusal_write(refusal: int, text: str, /) -> bytes: ...

@disjoint_base
class Message:
    def __new__(
        cls, raw: str | bytes, link: int = 0, at_ns: int = 0, like: Message | None = None
    ) -> Message: ...
    @property
    def data(self) -> Any: ...  # str or bytes, but with a codec what it decodes to
    @property
    def raw(self) -> str | bytes: ...
    @property
    def is_text(self) -> bool: ...
    @property
    def link(self) -> int: ...
    @property
    def received_at(self) -> float: ...
    @property
    def at_ns(self) -> int: ...
    @property
    def id(self) -> MessageId | None: ...
    @property
    def number(self) -> int: ...
    @property
    def lane(self) -> Lane: ...
    @property
    def replayed(self) -> bool: ...
    def ack(self) -> None: ...
    def json(self) -> Any: ...

@final
class Engine:
    def __new__(cls) -> Engine: ...
    def stop(self) -> None: ...
    def network(self, what: str, /) -> None: ...

@final
class Config:
    def __new__(cls) -> Config: ...
    def set(self, name: str, value: str, /) -> None: ...
    def add(self, name: str, value: str, /) -> None: ...
    def put(self, name: str, key: str, value: str, /) -> None: ...
    def get(self, name: str, /) -> str | None: ...

@final
class Conn:
    def __new__(cls, engine: Engine, config: Config) -> Conn: ...
    @property
    def stream(self) -> int: ...
    @property
    def has_lent(self) -> bool: ...
    def free(self) -> None: ...
    def fd(self) -> int: ...
    def drain(
        self,
        messages: _Messages,
        events: _Events,
        most: int,
        most_bytes: int,
        raw: bool,
        ordered: bool,
        /,
    ) -> int: ...
    def wait(self, seconds: float, /) -> bool: ...
    def send(
        self, message: Any, guarantee: int, ttl_ms: int, key: str | bytes | None, lane: int, /
    ) -> int: ...
    def send_many(
        self, messages: Any, guarantee: int, ttl_ms: int, key: str | bytes | None, lane: int, /
    ) -> tuple[int, int]: ...
    def close(self, timeout_ms: int, /) -> None: ...
    def reopen(self) -> None: ...
    def kick(self) -> None: ...
    def opening(self, key: str, message: Any, /) -> None: ...
    def ready(self) -> None: ...
    def supply(
        self, url: str | None, token: str | None, headers: list[str] | None, valid_ms: int, /
    ) -> None: ...
    def look(
        self,
    ) -> tuple[
        int,
        bool,
        int,
        int,
        int,
        int,
        int,
        int,
        int,
        int,
        int,
        int,
        int,
        int,
        str,
        str,
        str,
        int,
        int,
        bool,
        bool,
    ]: ...
    def stats(self) -> list[int]: ...
    def processed(self, message: Message | None, /) -> None: ...
    def outbox(self) -> Outbox: ...

@final
class Outbox:
    def __new__(cls, path: str, edit: bool = False) -> Outbox: ...
    def list(
        self,
        states: int,
        lanes: int,
        key: str | bytes | None,
        older_than_ns: int,
        cursor: int,
        most: int,
        /,
    ) -> tuple[_Rows, int]: ...
    def get(self, id: tuple[int, int], /) -> _Row: ...
    def body(self, id: tuple[int, int], most: int, /) -> bytes: ...
    def edit(self, id: tuple[int, int], edit: int, /) -> None: ...
    def export(
        self,
        states: int,
        lanes: int,
        key: str | bytes | None,
        older_than_ns: int,
        path: str,
        /,
    ) -> int: ...
    def import_(self, path: str, /) -> int: ...
    def check(
        self,
    ) -> tuple[
        tuple[int, int],
        tuple[int, int],
        tuple[int, int],
        int,
        int,
        int,
        int,
        int,
        bool,
        bool,
        str,
    ]: ...
    def close(self) -> None: ...

@final
class Session:
    def __new__(
        cls,
        *,
        ring_messages: int = 0,
        ring_bytes: int = 0,
        window_messages: int = 0,
        window_bytes: int = 0,
        message_max: int = 0,
        part_bytes: int = 0,
        idle_ms: int = 0,
        ring_ms: int = 0,
        watermark_ms: int = 0,
        ack_messages: int = 0,
        ack_bytes: int = 0,
        ack_ms: int = 0,
        accepts_later: bool = False,
        says_processed: bool = False,
        refuses_when_full: bool = False,
        takes_optimistic: bool = False,
        server: str = "",
    ) -> Session: ...
    def save(self) -> bytes: ...
    def load(self, state: bytes, /) -> None: ...
    def restore(self, lane: int, number: int, data: str | bytes, /) -> None: ...
    def open(
        self,
        hello: bytes,
        principal: str,
        incarnation: int,
        random: bytes,
        may_lack_token: bool,
        location: str,
        now: int,
        /,
    ) -> tuple[int, int, str]: ...
    def lost(self, link: int, /) -> None: ...
    def receive(
        self, link: int, data: bytes | bytearray | memoryview, now: int, /
    ) -> tuple[Any, ...] | None: ...
    def take(self, link: int, now: int, /) -> bytes | None: ...
    def deadline(self) -> int | None: ...
    def accept(self, lane: int, upto: int, now: int, /) -> None: ...
    def processed(self, lane: int, upto: int, now: int, /) -> None: ...
    def send(self, lane: int, data: str | bytes, /) -> int: ...
    def goaway(self, after_ms: int, spread_ms: int, location: str, code: int, /) -> None: ...
    def close(self, code: int, text: str, /) -> None: ...
    def auth(self, is_ok: bool, expires_ms: int, /) -> None: ...
    def look(self) -> tuple[bytes, bool, bool, bool, int, dict[str, int], dict[str, int]]: ...
