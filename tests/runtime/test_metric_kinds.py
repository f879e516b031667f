"""The cheap counters: bounded labels, honest histograms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.metric_kinds import Histogram, LabelCounts, Metric


def test_a_known_value_is_counted_in_place() -> None:
    counts = LabelCounts(("busy", "too_fast"))
    counts["busy"] += 1
    counts["too_fast"] += 2
    assert list(counts.by_label()) == [("busy", 1), ("too_fast", 2), ("other", 0)]


def test_a_value_from_outside_makes_no_series() -> None:
    counts = LabelCounts(("1000",))
    for code in range(4000, 4999):
        counts[str(code)] += 1
    assert list(counts.by_label()) == [("1000", 0), ("other", 999)]


@given(st.lists(st.floats(0, 20)))
def test_every_observation_is_in_one_bucket_and_in_the_sum(values: list[float]) -> None:
    histogram = Histogram((0.1, 1.0, 10.0))
    for value in values:
        histogram.observe(value)
    assert histogram.count == len(values)
    assert histogram.sum == pytest.approx(sum(values))
    assert histogram.buckets[0] == sum(value <= 0.1 for value in values)
    assert histogram.last == (values[-1] if values else 0.0)


def test_a_quantile_is_the_bound_that_holds_it() -> None:
    histogram = Histogram((0.1, 1.0))
    assert histogram.quantile(0.99) == 0.0
    for _ in range(99):
        histogram.observe(0.05)
    histogram.observe(0.5)
    assert histogram.quantile(0.5) == 0.1
    assert histogram.quantile(0.99) == 0.1
    assert histogram.quantile(1.0) == 1.0
    histogram.observe(5.0)
    assert histogram.quantile(1.0) == float("inf")


@pytest.mark.parametrize(
    ("name", "unit"), [("parvis_commit_seconds", "seconds"), ("parvis_gateway_bytes_total", "bytes"), ("parvis_fds_open", "")]
)
def test_the_unit_is_in_the_name(name: str, unit: str) -> None:
    assert Metric(name, "", "counter").unit == unit
