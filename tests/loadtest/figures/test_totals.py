"""Rows added up."""

from collections import Counter
from random import Random

import pytest

from loadtest.figures.latency import Latencies
from loadtest.figures.tally import OTHER_ERRORS
from loadtest.figures.totals import Totals, is_part
from tests.support.run_record import told_row


def test_rows_of_all_workers_are_one_row() -> None:
    totals = Totals()
    totals.add([told_row("publish", 1000, 3000, errors={"busy": 2}, size=20)])
    totals.add([told_row("publish", 2000, errors={"busy": 1, "muted": 1}, size=10), told_row("connect", 500)])
    connect, publish = totals.rows()
    assert (connect.name, connect.latencies.count) == ("connect", 1)
    assert (publish.latencies.count, publish.latencies.total_us, publish.failures, publish.bytes) == (3, 6000, 4, 30)
    assert publish.errors == {"busy": 3, "muted": 1}
    assert publish.requests == 7


def test_parts_make_a_whole_that_is_counted_once() -> None:
    totals = Totals()
    totals.add([told_row("deliver (small)", 1000), told_row("deliver (large)", 9000, 9000), told_row("connect", 500)])
    assert [(row.name, row.latencies.count) for row in totals.rows()] == [
        ("connect", 1), ("deliver", 3), ("deliver (large)", 2), ("deliver (small)", 1),
    ]  # fmt: skip
    assert [row.name for row in totals.told()] == ["connect", "deliver (large)", "deliver (small)"]
    assert (totals.aggregated().name, totals.aggregated().latencies.count) == ("Aggregated", 4)


def test_a_whole_that_was_told_is_not_made_again() -> None:
    totals = Totals()
    totals.add([told_row("deliver", 1000, 9000), told_row("deliver (large)", 9000)])
    assert [(row.name, row.latencies.count) for row in totals.rows()] == [("deliver", 2), ("deliver (large)", 1)]
    assert totals.aggregated().latencies.count == 2


def test_the_same_name_under_two_types_is_two_rows() -> None:
    totals = Totals()
    totals.add([told_row("deliver (large)", 1000), told_row("deliver (large)", 2000, kind="HTTP")])
    assert [(row.kind, row.name) for row in totals.rows()] == [
        ("HTTP", "deliver"), ("HTTP", "deliver (large)"), ("WS", "deliver"), ("WS", "deliver (large)"),
    ]  # fmt: skip


def test_seconds_added_up_are_the_run() -> None:
    random, whole, run = Random(4), Totals(), Latencies()
    for _ in range(5):
        second, taken = Totals(), [round(random.lognormvariate(8, 1)) for _ in range(400)]
        second.add([told_row("deliver", *taken)])
        whole.merge(second)
        run.record_many(Counter(taken))
    total = whole.rows()[0].total(5.0)
    assert total.count == 2000
    assert total.per_s == pytest.approx(400)
    assert total.percentiles_ms["99.9"] == run.percentile_us(99.9) / 1000
    assert list(total.percentiles_ms) == ["50", "66", "75", "80", "90", "95", "98", "99", "99.9", "99.99", "100"]
    assert Latencies.decode(total.latencies.encode(), total.total_us).percentiles_us() == run.percentiles_us()


def test_texts_of_errors_are_bounded_and_all_are_counted() -> None:
    second, totals = Totals(), Totals()
    for start in range(0, 120, 40):
        second.add([told_row("connect", errors={f"error {number}": 1 for number in range(start, start + 40)})])
    totals.merge(second)
    (connect,) = totals.rows()
    assert (len(connect.errors), connect.errors[OTHER_ERRORS], sum(connect.errors.values())) == (51, 70, 120)


def test_a_row_of_failures_only_has_no_latencies() -> None:
    totals = Totals()
    totals.add([told_row("connect", errors={"refused": 3})])
    total = totals.rows()[0].total(3.0)
    assert (total.count, total.failures, total.failures_per_s, total.mean_ms, total.mean_bytes) == (0, 3, 1.0, 0.0, 0.0)
    assert totals.rows()[0].percentiles().count == 0
    assert totals.rows()[0].total(0.0).per_s == 0.0


def test_names_of_parts() -> None:
    assert is_part("deliver (large)")
    assert not is_part("deliver")
    assert not is_part("GET /(id)/x")
