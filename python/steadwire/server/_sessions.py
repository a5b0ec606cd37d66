"""The sessions of one node: links come in, handlers run."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from steadwire import _core
from steadwire.errors import SteadwireError
from steadwire.server._door import APPOINTMENT_MAX_S, Abandoned, Door, Refused, Turn
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
    from websockets.http11 import Request, Response
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


class Sessions:
    """Runs `handler(session)` once for each session while it lives.

    `store`: a MemoryStore of its own where none is given.  `authenticate(auth)` gives the principal
    of a HELLO's credentials, or None to refuse them; without it everybody is "".  `live_max` bounds
    the sessions in memory: the longest without a link gives way, and with none such a new client is
    asked to come later.  `handshakes_per_second` is how many clients are let in; without it that is
    measured while clients wait.  `plain` False refuses clients without steadwire.v1.  Other options
    are those of `stw_session_options`.
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
        handshakes_per_second: float | None = None,
        plain: bool = True,
        **session_options: Any,
    ) -> None:
        self.store: Store = MemoryStore() if store is None else store
        self._handler = handler
        self._authenticate = authenticate
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
        self._door = Door(handshakes_per_second)
        self._turns: weakref.WeakKeyDictionary[Any, Turn] = weakref.WeakKeyDictionary()

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

    def stats(self) -> dict[str, int]:
        """Figures for a dashboard.

        `admitted`, `refused` and `abandoned` count clients at the door since the start: abandoned
        are those that had left before their handshake was done, of whatever was left of it nothing
        was done.  `queued` clients wait for their turn now, `appointments_ms` is how far ahead
        clients were told to come back, `handshakes_per_second` what is given or was measured.
        `live` sessions are in memory, `open` of them have a link, `plain` clients have no session.
        """
        door = self._door
        return {
            "admitted": door.admitted,
            "refused": door.refused,
            "abandoned": door.abandoned,
            "queued": door.queued,
            "appointments_ms": door.appointments_ms,
            "handshakes_per_second": round(door.handshakes_per_second),
            "live": len(self._live),
            "open": sum(session.is_open for session in self._live.values()),
            "plain": len(self._plains),
        }

    # ---- adapters ----

    async def process_request(
        self, connection: ServerConnection, _request: Request
    ) -> Response | None:
        """For `serve(..., process_request=)` of `websockets`: 503 and Retry-After, at the upgrade
        and before any work, for whom there is no room.  One of your own calls this last."""
        try:
            self._turns[connection] = await self._door.enter(WebsocketsLink(connection))
        except Refused as refused:
            response = connection.respond(503, f"{refused}\n")
            response.headers["Retry-After"] = refused.retry_after
            return response
        except Abandoned:
            connection.transport.abort()
            return connection.respond(503, "")
        return None

    async def websockets(self, connection: ServerConnection) -> None:
        """A handler for `websockets.asyncio.server.serve`."""
        turn = self._turns.pop(connection, None)
        is_session = connection.subprotocol == SUBPROTOCOL
        await self._serve(WebsocketsLink(connection), is_session, turn)

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
        link = AsgiLink(receive, send)
        link.look_ahead()
        await asyncio.sleep(0)  # what has arrived is seen
        try:
            turn = await self._door.enter(link)
        except Abandoned:
            return
        except Refused as refused:
            await self._turn_away(scope, link, send, refused)
            return
        accept = {"type": "websocket.accept", "subprotocol": SUBPROTOCOL if is_session else None}
        try:
            await send(accept)
        except (OSError, RuntimeError):
            turn.end()
            return
        await self._serve(link, is_session, turn)

    @staticmethod
    async def _turn_away(scope: Scope, link: AsgiLink, send: Send, refused: Refused) -> None:
        """A server that cannot answer the upgrade with 503 would say 403: then a close says it."""
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.accept"})
            await link.close(TRY_LATER, refused.reason)
            return
        headers = [(b"retry-after", refused.retry_after.encode()), (b"content-type", b"text/plain")]
        start = {"type": "websocket.http.response.start", "status": 503, "headers": headers}
        body = {"type": "websocket.http.response.body", "body": f"{refused}\n".encode()}
        with contextlib.suppress(OSError, RuntimeError):
            await send(start)
            await send(body)

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
        await self._serve(link, is_session, None)

    async def _serve(self, link: Link, is_session: bool, turn: Turn | None) -> None:
        try:
            turn = turn or await self._door.enter(link)
            if not is_session:
                await self._serve_plain(link, turn)
            else:
                await self._serve_session(link, turn)
        except Refused as refused:
            await link.close(TRY_LATER, refused.reason)
        except (LinkLost, TimeoutError, Abandoned):
            pass
        finally:
            if turn is not None:
                turn.end()
            await link.close(1000, "")

    async def _serve_plain(self, link: Link, turn: Turn) -> None:
        turn.end()
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

    async def _serve_session(self, link: Link, turn: Turn) -> None:
        shown: tuple[bytes, str | None] | None = None
        for _attempt in range(2):  # a stale HELLO may be followed by another
            try:
                async with asyncio.timeout(self._hello_timeout):
                    hello = await frame_of(link)
                turn.begin()
                cid, *_numbers = fields = _core.hello_read(hello)
                if shown is None or shown[0] != fields[3]:
                    shown = fields[3], await self._while_there(link, fields[3])
                principal = shown[1]
                refusal, session, number = await self._open(link, cid, hello, principal)
            except SteadwireError as error:
                await link.close(getattr(error, "close_code", TRY_LATER), str(error)[:100])
                return
            if session is not None:
                turn.end()
                await self._run(session, link, number)
                return
            is_leaving = refusal == BUSY and self._is_draining
            await link.send(
                _core.refusal_write(refusal, ELSEWHERE if is_leaving else REASONS[refusal])
            )
            if refusal != STALE:
                await link.close(REFUSED[refusal], "")
                return

    async def _ask(self, link: Link, auth: bytes) -> str | None:
        self._check_there(link)  # others in the same turn of the loop may have taken long
        return await self._principal(auth)

    async def _principal(self, auth: bytes) -> str | None:
        if self._authenticate is None:
            return ""
        try:
            return await self._authenticate(auth)
        except Exception:
            logger.exception("authenticate failed: the client is refused")
            return None

    async def _while_there(self, link: Link, auth: bytes) -> str | None:
        """The principal; LinkLost as soon as the client has left, and nothing more is done."""
        if self._authenticate is None:
            self._check_there(link)
            return ""
        asking = asyncio.ensure_future(self._ask(link, auth))
        leaving = asyncio.ensure_future(link.wait_gone())
        try:
            await asyncio.wait({asking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                self._abandon()
            return await asking
        finally:
            for task in (asking, leaving):
                task.cancel()

    def _check_there(self, link: Link) -> None:
        if link.is_gone():
            self._abandon()

    def _abandon(self) -> NoReturn:
        self._door.abandoned += 1
        raise LinkLost("the client left before its handshake was done")

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
                    self._check_there(link)
                    if attempt > 0:  # its HELLO was judged: only now it may fence another node
                        await self.store.seize(cid, (await self.store.load(cid)).epoch)
                    opened = await self._open_alone(link, cid, hello, principal)
                    return self._let_in(*opened)
                except FencedError:
                    logger.info("session %s was claimed elsewhere: loaded again", cid.hex())
                    self._drop(cid)
                except (SteadwireError, LinkLost, asyncio.CancelledError):
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

    async def drain(
        self,
        after: float = 0.0,
        spread: float | None = None,
        *,
        in_place: bool = False,
        location: str = "",
        timeout: float = 5.0,
    ) -> None:
        """Asks all clients to come elsewhere, or here again, and ends the handlers.

        They come at a random moment of the `spread` seconds that begin in `after` seconds.  Without
        a `spread` it is what the clients need at 80 % of `handshakes_per_second`.  Another node
        takes them, and who has a session opens the new link before it leaves the old one.
        `in_place`: this address is served again in `after` seconds; all links are closed at once,
        with what to do.  New clients are refused from now on.  `timeout` is what clients have
        beyond the spread, and what handlers have to end.
        """
        clients = sum(session.is_open for session in self.live) + len(self._plains)
        spread = self._door.spread(clients) if spread is None else spread
        after, spread = (min(max(0.0, time), APPOINTMENT_MAX_S) for time in (after, spread))
        self._is_draining = True
        if in_place:
            self._door.shut(after)
            await self._close_all(f"r={int(after * 1000)};w={int(spread * 1000)}")
        else:
            await self._move_all(after, spread, location, timeout / 2)
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

    async def _close_all(self, reason: str) -> None:
        for session in self.live:
            await session.close(RESTART, reason)
        await asyncio.gather(*(plain.close(RESTART, reason) for plain in list(self._plains)))

    async def _move_all(self, after: float, spread: float, location: str, late: float) -> None:
        """Sessions are asked to move; plain clients know no other way than to be closed, so that is
        spread here."""
        for session in self.live:
            session.goaway(int(after * 1000), int(spread * 1000), location, RESTART)
        closing = asyncio.ensure_future(self._close_plains(after, spread))
        await self._until(lambda: not any(s.is_open for s in self.live), after + spread + late)
        for session in self.live:
            await session.close(RESTART, "going away")
        await closing

    async def _close_plains(self, after: float, spread: float) -> None:
        plains = list(self._plains)
        if plains:
            await asyncio.sleep(after)
        begun = asyncio.get_running_loop().time()
        closing = []
        for number, plain in enumerate(plains):
            at = begun + spread * number / len(plains)
            await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
            closing.append(asyncio.ensure_future(plain.close(GOING_AWAY, ELSEWHERE)))
        await asyncio.gather(*closing)

    @staticmethod
    async def _until(is_so: Callable[[], bool], seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not is_so():
                    await asyncio.sleep(0.02)
