"""The demo's judge finds what is planted."""

from __future__ import annotations

import json

import pytest

from demo.analyse import Arrival, Event, Fault, HostRun, Report, analyse

RATE_S = 0.05


def clean(count: int = 200) -> list[Arrival]:
    """Messages 1 to `count`, sent every 50 ms from second 0 and arriving 1 ms later."""
    return [Arrival(n * RATE_S + 0.001, n, n * RATE_S) for n in range(1, count + 1)]


def run(
    arrivals: list[Arrival],
    events: list[Event] | None = None,
    sent: int = 200,
    name: str = "python",
) -> HostRun:
    return HostRun(name, sent, events or [], arrivals)


def reset_at(t: float) -> Fault:
    return Fault("reset", t, t, frozenset(["abnormal_rst"]), frozenset(["tcp_reset"]))


def lost_link(t: float, cause: str = "abnormal_rst") -> list[Event]:
    return [
        Event(t, "state", cause, "online", "connecting"),
        Event(t + 0.1, "state", "ready", "connecting", "online"),
        Event(t + 0.1, "replay", messages=3),
    ]


def judge(*hosts: HostRun, faults: list[Fault] | None = None) -> Report:
    return analyse(list(hosts), faults or [])


def test_a_clean_run_has_no_shortcomings() -> None:
    report = judge(run(clean(), lost_link(2.01)), faults=[reset_at(2.0)])
    (host,) = report.hosts
    assert (host.sent, host.lost, host.duplicates, host.reordered) == (200, 0, 0, 0)
    assert report.shortcomings == []


@pytest.mark.parametrize("missing", [[1], [200], [50, 51, 199]])
def test_planted_losses_are_counted(missing: list[int]) -> None:
    report = judge(run([one for one in clean() if one.number not in missing]))
    assert report.hosts[0].lost == len(missing)
    assert report.shortcomings == [f"python: {len(missing)} of 200 messages lost"]


def test_a_host_of_which_nothing_arrived_has_lost_everything() -> None:
    assert judge(run([])).hosts[0].lost == 200


def test_a_host_that_sent_nothing_proves_nothing() -> None:
    assert judge(run([], sent=0)).shortcomings == ["python: sent nothing"]


def test_planted_duplicates_are_counted_and_are_no_reordering() -> None:
    arrivals = clean()
    arrivals[100:100] = [Arrival(5.0, n, 0.0) for n in (97, 98, 98)]
    (host,) = judge(run(arrivals)).hosts
    assert (host.lost, host.duplicates, host.reordered) == (0, 3, 0)


def test_planted_reorderings_are_first_arrivals_behind_a_higher_number() -> None:
    arrivals = clean()
    arrivals[10], arrivals[11] = arrivals[11], arrivals[10]
    arrivals.insert(50, arrivals.pop(47))
    (host,) = judge(run(arrivals)).hosts
    assert (host.lost, host.duplicates, host.reordered) == (0, 0, 2)


def test_a_duplicate_does_not_hide_a_loss() -> None:
    arrivals = [one for one in clean() if one.number != 70] + [Arrival(9.9, 71, 0.0)]
    (host,) = judge(run(arrivals)).hosts
    assert (host.lost, host.duplicates) == (1, 1)


def test_detection_is_the_first_alarm_of_the_later_host() -> None:
    early, late = run(clean(), lost_link(2.1)), run(clean(), lost_link(2.3), name="lua")
    (result,) = judge(early, late, faults=[reset_at(2.0)]).faults
    assert result.detect_s == pytest.approx(0.3)


def test_a_fault_that_one_host_never_noticed_has_no_detection() -> None:
    (result,) = judge(
        run(clean(), lost_link(2.1)), run(clean(), name="lua"), faults=[reset_at(2.0)]
    ).faults
    assert result.detect_s is None
    assert not result.is_named_rightly
    assert result.cause == "none"


def test_restored_counts_only_what_was_sent_after_the_fault() -> None:
    old = Arrival(2.2, 40, 1.99)
    new = [Arrival(2.5, 41, 2.04), Arrival(2.5, 42, 2.09)]
    report = judge(run([old, *new], lost_link(2.1)), faults=[reset_at(2.0)])
    assert report.faults[0].restored_s == pytest.approx(0.5)


def test_restored_counts_from_when_the_server_can_be_reached() -> None:
    fault = Fault("killed", 2.0, 2.8, frozenset(["abnormal_fin"]))
    arrivals = [Arrival(3.1, 41, 2.04)]
    report = judge(run(arrivals, lost_link(2.1, "abnormal_fin")), faults=[fault])
    assert report.faults[0].restored_s == pytest.approx(0.3)
    assert report.to_json()["faults"] == [
        {
            "name": "killed",
            "server_down_s": 0.8,
            "cause": "abnormal_fin",
            "detect_s": 0.1,
            "restored_s": 0.3,
            "replayed": 3,
        }
    ]


def test_what_arrives_before_the_server_is_back_is_restored_at_once() -> None:
    fault = Fault("one way", 2.0, 3.0, frozenset(["heartbeat_timeout"]))
    report = judge(run([Arrival(2.5, 41, 2.04)]), faults=[fault])
    assert report.faults[0].restored_s == 0.0


def test_a_fault_that_is_not_restored_before_the_next_is_a_shortcoming() -> None:
    arrivals = [Arrival(5.2, 41, 2.04)]
    events = lost_link(2.0) + lost_link(5.0)
    report = judge(run(arrivals, events, sent=0), faults=[reset_at(2.0), reset_at(5.0)])
    assert report.faults[0].restored_s is None
    assert report.worst_restored_s is None and report.mean_restored_s is None
    assert "reset: not restored before the next fault" in report.shortcomings


def test_slow_restoring_is_a_shortcoming_in_the_worst_case_and_in_the_mean() -> None:
    late = [Arrival(6.5, 41, 2.04)]
    report = judge(run(late, lost_link(2.1)), faults=[reset_at(2.0)])
    assert "reset: restored after 4.50 s" in report.shortcomings
    assert "restored after 4.50 s in the mean" in report.shortcomings
    slow = [Arrival(5.0, 41, 2.04)]
    report = judge(run(slow, lost_link(2.1)), faults=[reset_at(2.0)])
    assert [one for one in report.shortcomings if "restored" in one] == [
        "restored after 3.00 s in the mean"
    ]


def test_a_wrong_cause_is_a_shortcoming() -> None:
    report = judge(run(clean(), lost_link(2.1, "going_away")), faults=[reset_at(2.0)])
    assert report.shortcomings == ["reset: the cause was named going_away, right is abnormal_rst"]


def test_a_right_cause_beside_a_wrong_one_is_not_right() -> None:
    events = [*lost_link(2.1), Event(2.15, "retry", "http_401")]
    (result,) = judge(run(clean(), events), faults=[reset_at(2.0)]).faults
    assert result.cause == "abnormal_rst" and not result.is_named_rightly


def test_side_causes_are_allowed_but_do_not_suffice() -> None:
    both = [*lost_link(2.1, "tcp_reset"), *lost_link(2.2)]
    (result,) = judge(run(clean(), both), faults=[reset_at(2.0)]).faults
    assert result.is_named_rightly and result.cause == "abnormal_rst"
    (result,) = judge(run(clean(), lost_link(2.1, "tcp_reset")), faults=[reset_at(2.0)]).faults
    assert not result.is_named_rightly


def test_each_fault_gets_its_own_time() -> None:
    events = lost_link(2.1) + lost_link(4.1)
    arrivals = clean()
    arrivals += [Arrival(10.5, 1, 0.0), Arrival(10.6, 2, 0.0)]
    faults = [reset_at(2.0), reset_at(4.0)]
    one, two = judge(run(arrivals, events), run(clean(), events, name="lua"), faults=faults).faults
    assert (one.replayed, two.replayed) == (6, 6)
    assert (one.duplicates, two.duplicates) == (0, 2)


def test_what_hosts_say_after_they_are_stopped_is_no_effect_of_the_last_fault() -> None:
    late = Event(9.0, "state", "abnormal_fin", "online", "connecting")
    wrong = Event(9.0, "state", "going_away", "online", "connecting")
    for event in (late, wrong):
        hosts = [run(clean(), [*lost_link(2.1), event])]
        assert analyse(hosts, [reset_at(2.0)], stopped=8.5).shortcomings == []
    assert analyse([run(clean(), lost_link(9.0))], [reset_at(2.0)], stopped=8.5).shortcomings != []


def test_the_json_has_the_documented_schema() -> None:
    report = judge(run(clean(), lost_link(2.1)), faults=[reset_at(2.0)])
    text = json.loads(json.dumps(report.to_json()))
    assert text["hosts"] == [
        {"name": "python", "sent": 200, "lost": 0, "duplicates": 0, "reordered": 0}
    ]
    assert set(text["faults"][0]) == {
        "name",
        "server_down_s",
        "cause",
        "detect_s",
        "restored_s",
        "replayed",
    }
