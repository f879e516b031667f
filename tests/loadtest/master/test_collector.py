"""Beats become seconds, and seconds a run."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.figures.latency import Latencies
from loadtest.figures.messages import Beat, Finding, Health, Raised, Row
from loadtest.figures.record import ExceptionRecord, FoundRecord, Mark, ServerProbe
from loadtest.master.collector import (
    EXCEPTIONS_MAX,
    FINDINGS_MAX,
    OTHER_EXCEPTIONS,
    OTHER_REFUSALS,
    REFUSALS_MAX,
    Closed,
    Collector,
    clock_error_ms,
)
from wire.errors import PeerError

START_US = 5_000_000_000
SECOND_US = 1_000_000


def _row(name: str, *latencies_us: int, kind: str = "WS") -> Row:
    took = Latencies()
    for latency_us in latencies_us:
        took.record(latency_us)
    return Row(kind, name, took.count, took.total_us, took.encode(), 0, {}, 0)


def _beat(
    at_s: float, *, number: int = 1, users: int = 0, counts: dict[str, int] | None = None, rows: list[Row] | None = None,
    findings: list[Finding] | None = None, refusals: dict[str, int] | None = None, stops: list[str] | None = None,
    raised: list[Raised] | None = None,
) -> Beat:  # fmt: skip
    return Beat(
        number, START_US + round(at_s * SECOND_US), {"Citizen": users}, users, {"gateway-1": users}, rows or [], counts or {},
        findings or [], [], [], refusals or {}, Health(0.5, 1000, 2000, 0, 9), stops or [], raised or [],
    )  # fmt: skip


def _running(*names: str) -> Collector:
    collector = Collector()
    for index, name in enumerate(names):
        collector.joined(index, name)
        collector.became(index, "running")
    collector.begin(START_US)
    return collector


def _at(seconds: float) -> int:
    return START_US + round(seconds * SECOND_US)


def test_a_second_is_closed_when_all_workers_have_told_of_it() -> None:
    collector = _running("w-1", "w-2")
    collector.take(0, _beat(1.01, users=3, counts={"deliveries": 10}))
    assert collector.close_due(_at(1.1)) == []
    collector.take(1, _beat(0.99, users=4, counts={"deliveries": 5}))
    (closed,) = collector.close_due(_at(1.1))
    moment = closed.moment
    assert (moment.at_s, moment.users, moment.connected, moment.servers) == (1.0, 7, 7, {"gateway-1": 7})
    assert (moment.users_by_class, moment.counts_per_s) == ({"Citizen": 7}, {"deliveries": 15.0})
    assert collector.close_due(_at(1.1)) == []


def test_a_late_worker_holds_a_second_up_for_so_long_and_its_beat_counts_into_the_next() -> None:
    collector = _running("w-1", "w-2")
    collector.take(0, _beat(1, counts={"deliveries": 10}))
    assert collector.close_due(_at(2.9)) == []
    (first,) = collector.close_due(_at(3.1))
    collector.take(1, _beat(1, counts={"deliveries": 7}))
    collector.take(0, _beat(2, counts={"deliveries": 1}))
    collector.take(1, _beat(2, counts={"deliveries": 1}))
    (second,) = collector.close_due(_at(3.2))
    assert first.moment.counts_per_s == {"deliveries": 10.0}
    assert second.moment.counts_per_s == {"deliveries": 9.0}


def test_a_dead_workers_beat_is_not_waited_for_and_its_users_are_gone() -> None:
    collector = _running("w-1", "w-2")
    collector.take(0, _beat(1, users=3))
    collector.take(1, _beat(1, users=4))
    collector.close_due(_at(1.1))
    collector.became(1, "dead")
    collector.take(0, _beat(2, users=3))
    (closed,) = collector.close_due(_at(2.1))
    assert closed.moment.users == 3
    assert [worker.state for worker in closed.moment.workers] == ["running", "dead"]


def test_no_second_is_closed_before_it_has_passed_or_before_the_start() -> None:
    collector = Collector()
    assert collector.close_due(_at(9)) == []
    collector = _running("w-1")
    collector.take(0, _beat(1.4))
    collector.take(0, _beat(1.6))
    assert len(collector.close_due(_at(1.6))) == 1


def test_percentiles_are_of_all_workers_together() -> None:
    collector = _running("w-1", "w-2")
    collector.take(0, _beat(1, rows=[_row("deliver (small)", *[1000] * 99)]))
    collector.take(1, _beat(1, rows=[_row("deliver (large)", 9000)]))
    (closed,) = collector.close_due(_at(1.1))
    deliver = closed.moment.latencies["deliver"]
    assert (deliver.count, round(deliver.p50), round(deliver.max)) == (100, 1, 9)
    assert collector.row_totals(10.0)[0].per_s == 10.0


def test_a_row_of_another_kind_is_told_apart() -> None:
    collector = _running("w-1")
    collector.take(0, _beat(1, rows=[_row("page", 10, kind="GET"), _row("page", 20, kind="POST")]))
    (closed,) = collector.close_due(_at(1.1))
    assert set(closed.moment.latencies) == {"page", "POST page"}


def test_a_row_that_is_no_histogram_is_the_workers_fault_and_nothing_counts() -> None:
    collector = _running("w-1")
    for bytes_ in (b"x", b"", b"AAAA" * 10):
        with pytest.raises(PeerError, match="no histogram"):
            collector.take(0, _beat(1, counts={"acked": 1}, rows=[Row("WS", "x", 1, 1, bytes_, 0, {}, 0)]))
    assert not collector.counts


def test_violations_are_counted_since_the_start_and_the_first_are_named() -> None:
    collector = _running("w-1")
    found = Finding("lost", "a/b", 7, 2, "auditor-1", "two offsets are missing")
    collector.take(0, _beat(1, counts={"lost": 2, "acked": 9}, findings=[found]))
    collector.found(FoundRecord("altered", "a/b", 9, 1, "", "read differently"))
    (closed,) = collector.close_due(_at(1.1))
    assert closed.moment.violations == 3
    assert [each.offset for each in collector.findings] == [7, 9]
    collector.take(0, _beat(2, findings=[found] * (FINDINGS_MAX + 5)))
    assert len(collector.findings) == FINDINGS_MAX


def test_reasons_of_refusal_are_bounded() -> None:
    collector = _running("w-1")
    collector.take(0, _beat(1, refusals={f"http {number}": 1 for number in range(REFUSALS_MAX + 5)}))
    assert len(collector.refusals) == REFUSALS_MAX + 1
    assert collector.refusals[OTHER_REFUSALS] == 5


def test_a_workers_doubts_about_itself_are_kept_once_with_its_name() -> None:
    collector = _running("w-1")
    for at_s in (1, 2):
        collector.take(0, _beat(at_s, stops=["too slow"]))
    assert collector.stops == ["w-1: too slow"]


def test_what_was_done_on_purpose_stands_in_its_second() -> None:
    collector = _running("w-1")
    collector.mark(Mark(1.5, "fault", "kill shard"))
    collector.take(0, _beat(2))
    assert [[mark.text for mark in closed.moment.marks] for closed in collector.close_due(_at(2.1))] == [[], ["kill shard"]]


def test_what_the_master_counts_and_sees_is_in_the_moment() -> None:
    collector = _running("w-1")
    collector.users_wanted = 12
    collector.server = [ServerProbe("gateway-1", 0.5, 10)]
    collector.count("slots_missed", 4, _at(1))
    collector.count("slots_missed", 0, _at(1))
    collector.take(0, _beat(1, users=2))
    (closed,) = collector.close_due(_at(1.1))
    assert closed.moment.counts_per_s == {"slots_missed": 4.0}
    assert closed.moment.users_wanted == 12
    assert closed.moment.server == [ServerProbe("gateway-1", 0.5, 10)]
    (worker,) = closed.moment.workers
    assert (worker.name, worker.users, worker.cpu_share, worker.lag_ms) == ("w-1", 2, 0.5, 2.0)
    assert collector.users == 2


_TOLD = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 12, allow_nan=False), st.integers(0, 50)), max_size=60)


@given(_TOLD, st.lists(st.floats(0, 15, allow_nan=False), max_size=10))
def test_every_count_is_in_exactly_one_second_however_late_it_comes(
    told: list[tuple[int, float, int]], looks: list[float]
) -> None:
    collector = _running("w-1", "w-2", "w-3")
    closed: list[Closed] = []
    for position, (index, at_s, count) in enumerate(told):
        collector.take(index, _beat(at_s, counts={"acked": count}, rows=[_row("publish", *[10] * count)] if count else []))
        if position < len(looks):
            closed += collector.close_due(_at(looks[position]))
    closed += collector.close_all()
    assert sum(each.moment.counts_per_s.get("acked", 0) for each in closed) == sum(count for _, _, count in told)
    assert sum(row.latencies.count for each in closed for row in each.totals.rows()) == sum(count for _, _, count in told)
    assert [each.moment.at_s for each in closed] == [float(n) for n in range(1, len(closed) + 1)]
    assert collector.counts == Counter({"acked": sum(count for _, _, count in told)}) or not told


def test_two_clocks_can_be_wrong_in_two_directions() -> None:
    assert clock_error_ms([]) == 0.0
    assert clock_error_ms([0, 0]) == 0.0
    assert clock_error_ms([500, 100, 700]) == 1.2


def test_an_exception_of_several_workers_is_one() -> None:
    collector = _running("w-1", "w-2")
    for index, count in ((0, 2), (1, 1), (0, 4)):
        collector.take(index, _beat(1, raised=[Raised(count, "KeyError: 'room'", "in line 7")]))
    assert collector.exceptions == [ExceptionRecord(7, "KeyError: 'room'", "in line 7", ["w-1", "w-2"])]


def test_kinds_of_exceptions_are_bounded_and_all_are_counted() -> None:
    collector = _running("w-1")
    collector.take(0, _beat(1, raised=[Raised(1, f"ValueError: {number}", "") for number in range(EXCEPTIONS_MAX + 9)]))
    assert len(collector.exceptions) == EXCEPTIONS_MAX + 1
    assert collector.exceptions[-1] == ExceptionRecord(9, OTHER_EXCEPTIONS, "", ["w-1"])
