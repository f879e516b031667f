"""Percentiles against a sorted list."""

from hypothesis import given
from hypothesis import strategies as st

from bench.latency import LatencyHistogram


@given(st.lists(st.integers(0, 10**8), min_size=1), st.sampled_from([1, 50, 90, 99, 99.9, 100]))
def test_a_percentile_is_never_below_the_true_one_and_at_most_a_64th_above(latencies: list[int], percent: float) -> None:
    histogram = LatencyHistogram()
    for latency in latencies:
        histogram.record(latency)
    rank = max(1, -(-len(latencies) * percent // 100))
    true = sorted(latencies)[int(rank) - 1]
    assert true <= histogram.percentile_us(percent) <= true + true / 64 + 1
    assert histogram.maximum_us == max(latencies)


def test_a_weight_counts_as_that_many_latencies() -> None:
    histogram = LatencyHistogram()
    histogram.record(100, weight=98.5)
    histogram.record(1000, weight=1.5)
    assert histogram.percentile_us(98) == 100
    assert histogram.percentile_us(99) == 1000
    assert histogram.total == 100


def test_an_empty_histogram_has_percentiles_of_nothing() -> None:
    assert LatencyHistogram().percentile_us(99) == 0


def test_a_latency_before_its_time_counts_as_none() -> None:
    histogram = LatencyHistogram()
    histogram.record(-3)
    assert (histogram.percentile_us(50), histogram.maximum_us, histogram.total) == (0, 0, 1)
