"""The sessions of one node: links come in, handlers run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from steadwire import _core
from steadwire.errors import SteadwireError
from steadwire.server._link import (
    AsgiLink,
    Link,
    LinkLost,
    Receive,
    Scope,
    Send,
    WebsocketsLink,
    frame_of,
)
from steadwire.server._plain import PlainSession
from steadwire.server._session import Authenticate, Session
from steadwire.server.store import FencedError, Loaded, MemoryStore, Store

if TYPE_CHECKING:
    from starlette.websockets import WebSocket
    from websockets.asyncio.server import ServerConnection
    from websockets.typing import Subprotocol

logger = logging.getLogger("steadwire.server")

SUBPROTOCOL = "steadwire.v1"
RANDOM_BYTES = 48
STALE, VERSION, AUTH, BUSY = range(1, 5)
CLAIMS_MAX = 3
GOING_AWAY = 1001
RESTART = 1012
TRY_LATER = 1013
REFUSED = {VERSION: 4400, AUTH: 4401, BUSY: TRY_LATER}  # the close behind REFUSE
REASONS = {
    STALE: "this server does not know the session",
    VERSION: "this server speaks version 1",
    AUTH: "credentials or token not accepted",
    BUSY: "try again later",
}
ELSEWHERE = "r=0;w=500"  # of a node that leaves: at once, and another one takes it

Handler = Callable[[Any], Awaitable[None]]


async def _anybody(_auth: bytes) -> str | None:
    return ""


class Sessions:
    """Runs `handler(session)` once for each session while it lives.

    `store`: a MemoryStore of its own where none is given.  `authenticate(auth)` gives the principal
    of a HELLO's credentials, or None to refuse them; without it everybody is "".  `live_max` bounds
    the sessions in memory: the longest without a link gives way, and with none such a new client is
    asked to come later.  `plain` False refuses clients without steadwire.v1.  Other options are
    those of `stw_session_options`.
    """

    def __init__(
        self,
        handler: Handler,
        store: Store | None = None,
        *,
        authenticate: Authenticate | None = None,
        location: str = "",
        live_max: int = 10_000,
        hello_timeout: float = 10.0,
        plain: bool = True,
        **session_options: Any,
    ) -> None:
        self.store: Store = MemoryStore() if store is None else store
        self._handler = handler
        self._authenticate = authenticate or _anybody
        self._location = location
        self._live_max = live_max
        self._hello_timeout = hello_timeout
        self._plain = plain
        self._ring_ms: int = session_options.get("ring_ms") or 120_000
        self._watermark_ms: int = session_options.get("watermark_ms") or 86_400_000
        self._options = {
            **session_options,
            "accepts_later": True,
            "says_processed": True,
        }
        self._ring_messages: int = session_options.get("ring_messages") or 10_000
        self._ring_bytes: int = session_options.get("ring_bytes") or 16 << 20
        _core.Session(**self._options)  # so that wrong options raise here
        self._live: OrderedDict[bytes, Session] = OrderedDict()
        self._locks: dict[bytes, tuple[asyncio.Lock, int]] = {}
        self._plains: set[PlainSession] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_draining = False

    @property
    def subprotocols(self) -> list[Subprotocol]:
        """For `serve(..., subprotocols=)` of `websockets`."""
        from websockets.typing import Subprotocol

        return [Subprotocol(SUBPROTOCOL)]

    def select_subprotocol(
        self, _connection: ServerConnection, offered: Sequence[Subprotocol]
    ) -> Subprotocol | None:
        """For `serve(..., select_subprotocol=)`: lets clients without steadwire.v1 in."""
        return next((name for name in offered if name == SUBPROTOCOL), None)

    @property
    def live(self) -> list[Session]:
        """The sessions in memory, with and without a link."""
        return list(self._live.values())

    # ---- adapters ----

    async def websockets(self, connection: ServerConnection) -> None:
        """A handler for `websockets.asyncio.server.serve`."""
        await self.serve(WebsocketsLink(connection), connection.subprotocol == SUBPROTOCOL)

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application for websocket scopes."""
        if scope["type"] != "websocket":
            raise ValueError(f"this endpoint takes websockets, not {scope['type']}")
        if (await receive())["type"] != "websocket.connect":
            return
        is_session = SUBPROTOCOL in scope.get("subprotocols", ())
        if not is_session and not self._plain:
            await send({"type": "websocket.close", "code": 1002})
            return
        accept = {"type": "websocket.accept", "subprotocol": SUBPROTOCOL if is_session else None}
        await send(accept)
        await self.serve(AsgiLink(receive, send), is_session)

    async def endpoint(self, websocket: WebSocket) -> None:
        """An endpoint for Starlette's `WebSocketRoute`; FastAPI's `@app.websocket` calls it.

        The sessions accept the WebSocket, since they name its subprotocol.  ValueError where that
        was done before.
        """
        from starlette.websockets import WebSocketDisconnect, WebSocketState

        if websocket.application_state is not WebSocketState.CONNECTING:
            raise ValueError("the WebSocket was accepted before: leave accept() to the sessions")

        async def send(event: MutableMapping[str, Any]) -> None:
            try:
                await websocket.send(event)
            except WebSocketDisconnect as error:
                raise OSError("the client is gone") from error

        await self.asgi(websocket.scope, websocket.receive, send)

    async def serve(self, link: Link, is_session: bool) -> None:
        """Serves one WebSocket to its end."""
        try:
            if not is_session:
                await self._serve_plain(link)
            else:
                await self._serve_session(link)
        except (LinkLost, TimeoutError):
            pass
        finally:
            await link.close(1000, "")

    async def _serve_plain(self, link: Link) -> None:
        if not self._plain or self._is_draining:
            await link.close(TRY_LATER if self._is_draining else 1002, "")
            return
        session = PlainSession(link, "")
        self._plains.add(session)
        try:
            await self._handler(session)
        except Exception:
            logger.exception("the handler of a plain client failed")
            await session.close(1011, "")
        finally:
            self._plains.discard(session)

    async def _serve_session(self, link: Link) -> None:
        for _attempt in range(2):  # a stale HELLO may be followed by another
            try:
                async with asyncio.timeout(self._hello_timeout):
                    hello = await frame_of(link)
                cid, *_numbers = fields = _core.hello_read(hello)
                principal = await self._principal(fields[3])
                refusal, session, number = await self._open(link, cid, hello, principal)
            except SteadwireError as error:
                await link.close(getattr(error, "close_code", TRY_LATER), str(error)[:100])
                return
            if session is not None:
                await self._run(session, link, number)
                return
            is_leaving = refusal == BUSY and self._is_draining
            await link.send(
                _core.refusal_write(refusal, ELSEWHERE if is_leaving else REASONS[refusal])
            )
            if refusal != STALE:
                await link.close(REFUSED[refusal], "")
                return

    async def _principal(self, auth: bytes) -> str | None:
        try:
            return await self._authenticate(auth)
        except Exception:
            logger.exception("authenticate failed: the client is refused")
            return None

    # ---- opening ----

    @contextlib.asynccontextmanager
    async def _alone(self, cid: bytes) -> Any:
        lock, users = self._locks.get(cid, (asyncio.Lock(), 0))
        self._locks[cid] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(cid)
            if users > 1:
                self._locks[cid] = (lock, users - 1)

    async def _open(
        self, link: Link, cid: bytes, hello: bytes, principal: str | None
    ) -> tuple[int, Session | None, int]:
        """(0, session, link's number), or (refusal, None, 0)."""
        if principal is None:
            return AUTH, None, 0
        if self._is_draining:
            return BUSY, None, 0
        async with self._alone(cid):
            for attempt in range(CLAIMS_MAX):
                try:
                    if attempt > 0:  # its HELLO was judged: only now it may fence another node
                        await self.store.seize(cid, (await self.store.load(cid)).epoch)
                    opened = await self._open_alone(link, cid, hello, principal)
                    return self._let_in(*opened)
                except FencedError:
                    logger.info("session %s was claimed elsewhere: loaded again", cid.hex())
                    self._drop(cid)
                except (SteadwireError, asyncio.CancelledError):
                    raise
                except Exception:
                    logger.exception("session %s: its store failed", cid.hex())
                    self._drop(cid)
                    break
        return BUSY, None, 0

    def _let_in(
        self, refusal: int, session: Session | None, number: int
    ) -> tuple[int, Session | None, int]:
        """What was judged, except where a drain has begun meanwhile: that does not know of it."""
        if session is None or not self._is_draining:
            return refusal, session, number
        self._expire(session)
        return BUSY, None, 0

    async def _open_alone(
        self, link: Link, cid: bytes, hello: bytes, principal: str
    ) -> tuple[int, Session | None, int]:
        incarnation = await self.store.start(self._ring_ms / 1000, self._watermark_ms / 1000)
        session = self._live.get(cid)
        if session is not None and not await self.store.is_current(cid, session.epoch):
            self._drop(cid)
            session = None
        if session is not None and (session.is_over or session.principal != principal):
            if not session.is_over:
                return AUTH, None, 0
            self._drop(cid)
            session = None
        if session is None:
            if not self._make_room():
                return BUSY, None, 0
            session = self._make(cid, principal, await self.store.load(cid))
        random = secrets.token_bytes(RANDOM_BYTES)
        number, refusal = await session.open(link, hello, incarnation, random, self._location)
        if refusal:
            return refusal, None, 0
        self._live[cid] = session
        self._live.move_to_end(cid)
        if session.expiry is not None:
            session.expiry.cancel()
            session.expiry = None
        return 0, session, number

    def _make(self, cid: bytes, principal: str, loaded: Loaded) -> Session:
        core = _core.Session(**self._options)
        if loaded.state is not None:
            core.load(loaded.state)
            for lane, number, data in loaded.kept:
                core.restore(lane, number, data)
        session = Session(core, cid, principal, self.store, loaded)
        session.ring_messages, session.ring_bytes = self._ring_messages, self._ring_bytes
        session.touch_s = self._ring_ms / 3000 if self.store.is_durable else None
        return session

    def _make_room(self) -> bool:
        if len(self._live) < self._live_max:
            return True
        idle = next((session for session in self._live.values() if not session.is_open), None)
        if idle is not None:
            self._expire(idle)
        return idle is not None

    # ---- running ----

    async def _run(self, session: Session, link: Link, number: int) -> None:
        if session.handling is None or session.handling.done():
            session.handling = asyncio.create_task(self._handle(session))
            self._tasks.add(session.handling)
            session.handling.add_done_callback(self._tasks.discard)
        try:
            await session.run(link, number, self._principal)
        finally:
            if session.is_over:
                self._drop(session.cid, session)
            elif not session.is_open and session.expiry is None:
                self._live.move_to_end(session.cid)
                loop = asyncio.get_running_loop()
                session.expiry = loop.call_later(self._ring_ms / 1000, self._expire, session)

    async def _handle(self, session: Session) -> None:
        code, text = 1000, ""
        try:
            await self._handler(session)
            await session.finish_in_hand()
        except Exception:
            if not session.is_over:
                logger.exception("the handler of session %s failed", session.cid.hex())
            code = 1011
        finally:
            session.put_back()
        await session.close(code, text)

    def _expire(self, session: Session) -> None:
        """No link for as long as the ring is kept: the cursors stay."""
        if session.expiry is not None:
            session.expiry.cancel()
        if self._live.get(session.cid) is session:
            del self._live[session.cid]
        if session.is_over:
            return
        self.store.park(session.cid, session.save())
        session.end(GOING_AWAY, "")

    def _drop(self, cid: bytes, session: Session | None = None) -> None:
        """The object cannot go on: another node has the session, or the store failed."""
        found = self._live.get(cid)
        if found is None or (session is not None and found is not session):
            return
        del self._live[cid]
        if found.expiry is not None:
            found.expiry.cancel()
        found.end(TRY_LATER, "")
        if found.handling is not None and found.handling is not asyncio.current_task():
            found.handling.cancel()

    # ---- the end ----

    async def drain(self, spread: float = 0.0, *, location: str = "", timeout: float = 5.0) -> None:
        """Asks all clients to move within `spread` seconds, closes who stays, ends the handlers.

        New clients are refused from now on.  `timeout` is what they have beyond the spread, and
        what handlers have to end.
        """
        self._is_draining = True
        for session in self.live:
            session.goaway(0, int(spread * 1000), location, RESTART)
        await self._until(lambda: not any(s.is_open for s in self.live), spread + timeout / 2)
        for session in self.live:
            await session.close(RESTART, "going away")
        for plain in list(self._plains):
            await plain.close(GOING_AWAY, "going away")
        await self._until(lambda: not any(s.is_open for s in self.live), timeout / 2)
        for session in self.live:
            with contextlib.suppress(Exception):
                await session.commit()
            self._expire(session)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @staticmethod
    async def _until(is_so: Callable[[], bool], seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not is_so():
                    await asyncio.sleep(0.02)
