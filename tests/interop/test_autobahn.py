"""The Autobahn cases, served by PyPI `kosoku`, with steadwire as the client under test.

Each case is one connection on which everything comes back as it came. `heartbeat` is off, since
the cases count every PING; a conn that dials again after its case is cut before it does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import steadwire
from kosoku import FailureError, run_fuzzingserver
from steadwire.events import StateChanged
from steadwire.words import State

if TYPE_CHECKING:
    from kosoku._kosoku import CaseResult

AGENT = "steadwire"
CASE_S = 30.0
GROUPS = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]
COUNTS = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1}


async def echo(conn: steadwire.Connection) -> None:
    """Sends back what comes, text as text and binary as binary."""
    async for batch in conn.batches(raw=True):
        for message in batch:
            await conn.send(message)


async def run_case(url: str) -> None:
    """Plays one case, until its connection has ended."""
    async with asyncio.timeout(CASE_S):
        conn = await steadwire.connect(url, wait=False, heartbeat="off", retry_window="10s")
        changes = conn.events(StateChanged)
        echoing = asyncio.create_task(echo(conn))
        try:
            was_up = False
            async for event in changes:
                assert isinstance(event, StateChanged)
                if was_up or event.new is State.FAILED:
                    break
                was_up = event.new is State.ONLINE
        finally:
            echoing.cancel()
            await asyncio.gather(echoing, return_exceptions=True)
            conn.abandon()


async def ask(url: str) -> str:
    """The one message that the server sends there."""
    conn = await steadwire.connect(url, heartbeat="off")
    try:
        return str((await conn.recv(timeout=CASE_S)).data)
    finally:
        conn.abandon()


async def run_all(groups: list[str]) -> list[CaseResult]:
    """Every case of these groups, one after the other; if some fail, only those."""
    results: list[CaseResult] = []
    async with run_fuzzingserver(groups, host="127.0.0.1", port=0) as server:
        base = f"ws://127.0.0.1:{server.port}"
        count = int(await ask(f"{base}/getCaseCount"))
        for number in range(1, count + 1):
            await run_case(f"{base}/runCase?case={number}&agent={AGENT}")
        waiting = asyncio.create_task(server.get_result())
        await run_case(f"{base}/updateReports?agent={AGENT}")
        try:
            results += await asyncio.wait_for(waiting, CASE_S)
        except FailureError as failed:
            results += failed.results
    return results


@pytest.mark.parametrize("group", GROUPS)
async def test_every_case_passes(group: str) -> None:
    results = await run_all([group])
    verdicts = Counter((one.behavior.value, one.behavior_close.value) for one in results)
    print(f"{group}: {len(results)} cases: {dict(verdicts)}")
    for one in results:
        verdict = one.behavior.value, one.behavior_close.value
        if verdict != ("OK", "OK"):
            print(f"  {one.case_id}: {' / '.join(verdict)}: {one.result} {one.result_close}")
    assert [one.case_id for one in results if not one.passed] == []
    assert len(results) == COUNTS[group.removesuffix(".*")]
