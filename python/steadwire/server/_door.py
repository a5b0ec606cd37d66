"""The door of a server: who is let in now, who waits, and when the others shall come back.

A handshake is the work from the upgrade until a session is open. Clients wait in one queue of less
than a second of it; who finds that full is turned away before any of the work is done, with an
appointment. Appointments come from a clock that gives 90 % of the capacity of them a second, so a
fleet that is turned away comes back spread. Who leaves the queue is dropped from it: nothing is
done for a client that is gone. `sim/herd_server.c` is the same door in virtual time.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

QUEUE_S = 0.9  # our clients begin a second attempt when one is silent for 1 s
APPOINTED = 0.9  # of the capacity
SPREAD_OVER = 0.8  # of the capacity, by a drain
APPOINTMENT_MAX_S = 600.0  # clients wait no longer
FIRST_GUESS = 100.0  # handshakes a second, until they were measured
# Where no rate is given so many handshakes are in progress as take half a second.  While they take
# less, because the network is slower than the server, that makes them more, and the other way.
TAKES_S = 0.5
AT_ONCE_MIN, AT_ONCE_MAX = 16, 256
SILENT_S = 1.0  # how long one that was let in and says nothing counts as in progress
CATCH_UP_S = 0.02  # of lateness of timers
MEASURED_S = 0.5


class Client(Protocol):
    """Who stands at the door."""

    def is_gone(self) -> bool:
        """As far as is known without waiting."""
        ...

    async def wait_gone(self) -> None:
        """Returns when the client has left; may be cancelled."""
        ...


class Refused(Exception):
    """There is no room: come back in `after` seconds."""

    def __init__(self, after: float) -> None:
        super().__init__(f"no room: come back in {after:.1f} s")
        self.after = after

    @property
    def retry_after(self) -> str:
        """The header: whole seconds, so that nobody comes early; 0 would say nothing."""
        return str(max(1, math.ceil(self.after)))

    @property
    def reason(self) -> str:
        """Of a close frame."""
        return f"r={int(self.after * 1000)};w={500 + int(self.after * 50)}"


class Abandoned(Exception):
    """The client left before its turn."""


class Appointments:
    """The clock of the appointments.

    Everybody who comes takes one, also who is let in: it is the share of newcomers in what the
    server can do.
    """

    def __init__(self) -> None:
        self._last = 0.0

    def ahead(self, now: float) -> float:
        """Seconds up to the last one given."""
        return max(0.0, self._last - now)

    def take(self, now: float, per_second: float) -> float:
        """The next one, in seconds from now."""
        last = max(self._last, now) + 1 / (APPOINTED * per_second)
        self._last = min(last, now + APPOINTMENT_MAX_S)
        if self._last < last:  # one wave at the end of what can be said would be a herd again
            return random.uniform(APPOINTMENT_MAX_S / 2, APPOINTMENT_MAX_S)
        return last - now


class Capacity:
    """Handshakes a second: as given, or as many as were done while others waited."""

    def __init__(self, given: float | None) -> None:
        self.is_given = given is not None
        self.per_second = FIRST_GUESS if given is None else float(given)
        self._is_measured = False
        self._since: float | None = None
        self._done = 0

    def done(self, now: float, is_crowded: bool) -> None:
        """A handshake has come to its end, while others waited or not."""
        if self.is_given:
            return
        if not is_crowded:
            self._since = None
        elif self._since is None:
            self._since, self._done = now, 0
        else:
            self._done += 1
            if now - self._since >= MEASURED_S:
                self._learn(self._done / (now - self._since))
                self._since, self._done = now, 0

    def _learn(self, rate: float) -> None:
        self.per_second = (self.per_second + rate) / 2 if self._is_measured else rate
        self._is_measured = True


class Turn:
    """A handshake in progress, from the door to its end."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._counts = True
        self._has_ended = False
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SILENT_S, self._release)

    def begin(self) -> None:
        """The client has said what it wants: from now on it is the server's work."""
        self._timer.cancel()

    def end(self) -> None:
        """More than once does nothing."""
        if not self._has_ended:
            self._has_ended = True
            self._timer.cancel()
            self._door.finished()
            self._release()

    def _release(self) -> None:
        if self._counts:
            self._counts = False
            self._door.released()


class Door:
    """See above. `handshakes_per_second`: measured where it is None."""

    def __init__(
        self,
        handshakes_per_second: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if handshakes_per_second is not None and not 0 < handshakes_per_second < math.inf:
            raise ValueError(
                f"handshakes_per_second is a number above 0, not {handshakes_per_second!r}"
            )
        self.admitted = self.refused = self.abandoned = 0
        self._clock = clock
        self._capacity = Capacity(handshakes_per_second)
        self._appointments = Appointments()
        self._queue: OrderedDict[asyncio.Future[Turn], Client] = OrderedDict()
        self._in_progress = 0
        self._free_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._shut_until: float | None = None

    @property
    def handshakes_per_second(self) -> float:
        return self._capacity.per_second

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def appointments_ms(self) -> int:
        """How far ahead appointments have been given."""
        return int(self._appointments.ahead(self._clock()) * 1000)

    def spread(self, clients: int) -> float:
        """Seconds in which so many clients can come back without a crowd."""
        return min(APPOINTMENT_MAX_S, clients / (SPREAD_OVER * self.handshakes_per_second))

    async def enter(self, client: Client) -> Turn:
        """Returns when it is the client's turn; Refused, Abandoned."""
        now = self._clock()
        after = max(self._appointments.take(now, self.handshakes_per_second), self._wait_s())
        if self._shut_until is not None:
            self.refused += 1
            raise Refused(min(APPOINTMENT_MAX_S, max(0.0, self._shut_until - now) + after))
        if self._wait_s() >= QUEUE_S:
            self.refused += 1
            raise Refused(after)
        ticket: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._queue[ticket] = client
        self._call()
        if not ticket.done():
            await self._wait(ticket, client)
        return ticket.result()

    def shut(self, after: float) -> None:
        """Nobody enters any more: who comes is told to come back in `after` seconds or later."""
        self._shut_until = self._clock() + after
        while self._queue:
            ticket, _client = self._queue.popitem(last=False)
            self.refused += 1
            ticket.set_exception(Refused(after + self._wait_s()))

    def finished(self) -> None:
        """A turn has come to its end."""
        self._capacity.done(self._clock(), bool(self._queue))

    def released(self) -> None:
        """A turn does not count as in progress any more."""
        self._in_progress -= 1
        self._call()

    def _wait_s(self) -> float:
        return len(self._queue) / self.handshakes_per_second

    async def _wait(self, ticket: asyncio.Future[Any], client: Client) -> None:
        leaving: asyncio.Future[Any] = asyncio.ensure_future(client.wait_gone())
        try:
            await asyncio.wait([ticket, leaving], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if ticket.done() and ticket.exception() is None:
                ticket.result().end()
            raise
        finally:
            leaving.cancel()
            if self._queue.pop(ticket, None) is not None:
                self._give_up(ticket)

    def _give_up(self, ticket: asyncio.Future[Turn]) -> None:
        self.abandoned += 1
        ticket.set_exception(Abandoned())
        ticket.exception()  # nobody asks for it where the wait was cancelled

    def _call(self) -> None:
        """Lets in whose turn it is."""
        now = self._clock()
        while self._queue and self._has_room(now):
            ticket, client = self._queue.popitem(last=False)
            if client.is_gone():
                self._give_up(ticket)
                continue
            self.admitted += 1
            self._in_progress += 1
            each = 1 / self.handshakes_per_second
            self._free_at = max(self._free_at, now - CATCH_UP_S) + each
            ticket.set_result(Turn(self))
        if self._queue and self._capacity.is_given and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._free_at - now, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._call()

    def _has_room(self, now: float) -> bool:
        if self._capacity.is_given:
            return now >= self._free_at
        at_once = self.handshakes_per_second * TAKES_S
        return self._in_progress < min(max(at_once, AT_ONCE_MIN), AT_ONCE_MAX)
