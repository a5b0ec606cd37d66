"""The demo's schedule, its reading of the server's log, and what it draws."""

from __future__ import annotations

import io
import json
import time

import pytest
from peers.journal import Arrival as Noted
from rich.console import Console

from demo import hosts, run
from demo.analyse import Arrival, Event, Fault, HostRun, analyse
from demo.faults import PLANS, SHORTEST_S, STEADY_S, schedule
from demo.screen import Screen, print_report


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_happens_once_with_room_behind_it(seed: int) -> None:
    planned = schedule(seed, 40.0)
    assert {plan.name for _at, plan in planned} == {plan.name for plan in PLANS}
    assert len(planned) == 8
    ends = [at for at, _plan in planned[1:]] + [40.0]
    for (at, plan), end in zip(planned, ends, strict=True):
        assert at + plan.takes_s + STEADY_S <= end + 1e-9


def test_the_seed_alone_decides() -> None:
    assert schedule(7, 40.0) == schedule(7, 40.0)
    assert len({tuple(at for at, _plan in schedule(seed, 40.0)) for seed in range(20)}) == 20


def test_too_short_a_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.parse(["--seconds", str(SHORTEST_S - 1)])
    assert "the faults need at least" in capsys.readouterr().err


def test_without_a_seed_one_is_drawn_and_named() -> None:
    assert len({run.parse([]).seed for _ in range(20)}) > 1


def test_arrivals_are_those_of_the_host() -> None:
    noted = [
        Noted(5.0, 1, json.dumps({"host": "lua", "n": 1, "t": 4.9})),
        Noted(5.1, 1, json.dumps({"host": "python", "n": 9, "t": 5.05})),
    ]
    assert run.arrivals_of("python", noted) == [Arrival(5.1, 9, 5.05)]


def test_what_hosts_say_becomes_events() -> None:
    said = {"kind": "state", "t": 1.5, "from": "online", "to": "suspect", "cause": "x", "delay": 0}
    assert hosts.parse_event(said) == Event(1.5, "state", "x", "online", "suspect")
    assert hosts.parse_event({"kind": "replay", "t": 2.0, "messages": 3}).messages == 3


async def test_a_host_that_dies_is_an_error() -> None:
    host = hosts.Host("python", ["false"], lambda _host, _event: None)
    await host.start()
    with pytest.raises(hosts.HostError, match="has ended"):
        await host.until_online()
    with pytest.raises(hosts.HostError, match="ended with 1"):
        await host.until_done()


async def test_a_host_is_waited_for_until_it_has_noticed_and_is_back() -> None:
    begin = time.monotonic()
    said = [("online", -1.0), ("connecting", 0.1), ("online", 0.2)]
    lines = [json.dumps({"kind": "state", "t": begin + at, "to": to}) for to, at in said]
    host = hosts.Host("python", ["printf", "%s\\n", *lines], lambda _host, _event: None)
    await host.start()
    assert await host.until_noticed(begin)
    assert await host.until_online()
    assert [event.target for event in host.events] == ["online", "connecting", "online"]
    with pytest.raises(hosts.HostError):
        await host.until_noticed(begin + 1.0)


def test_a_run_that_was_broken_off_is_no_success() -> None:
    report = run.with_all_faults(analyse([HostRun("lua", 1, [], [Arrival(1.0, 1, 0.9)])], []))
    assert report.shortcomings == ["only 0 of 8 faults: a host did not come back online"]


def play(screen: Screen) -> None:
    now = time.monotonic()
    with screen:
        screen.fault("connection reset")
        screen.event("python", Event(now - 2.0, "state", "ready", "connecting", "online"))
        screen.event("python", Event(now - 1.0, "state", "abnormal_rst", "online", "connecting"))
        screen.event("python", Event(now - 0.9, "retry", "tcp_refused"))
        screen.event("python", Event(now - 0.5, "state", "ready", "connecting", "online"))
        screen.event("python", Event(now, "replay", messages=4))


def test_on_a_terminal_the_timeline_shows_trouble_however_short() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system="standard")
    screen = Screen(console, ["python", "lua"], 40.0, begin=time.monotonic() - 20.0)
    play(screen)
    drawn = out.getvalue()
    assert "faults" in drawn and "abnormal_rst" in drawn and "4 messages sent again" in drawn
    assert "\x1b[36m█" in drawn and "\x1b[32m█" in drawn


def test_elsewhere_it_is_one_plain_line_per_event() -> None:
    out = io.StringIO()
    play(Screen(Console(file=out, width=120), ["python", "lua"], 40.0))
    lines = out.getvalue().splitlines()
    assert len(lines) == 6
    assert "\x1b" not in out.getvalue()
    assert lines[2].endswith("python online -> connecting  abnormal_rst")


def test_the_report_names_every_figure_and_shortcoming() -> None:
    fault = Fault("connection reset", 2.0, 2.0, frozenset(["abnormal_rst"]))
    events = [Event(2.25, "state", "going_away", "online", "connecting")]
    report = analyse([HostRun("python", 2, events, [Arrival(2.5, 1, 2.1)])], [fault])
    out = io.StringIO()
    print_report(Console(file=out, width=120), report)
    for part in ("connection reset", "going_away", "0.250", "0.500", "1 of 2 messages lost"):
        assert part in out.getvalue()
