"""Histograms that can be added up."""

from collections import Counter

from hdrh.histogram import HdrHistogram
from hypothesis import example, given
from hypothesis import strategies as st

from loadtest.figures.latency import LATENCY_US_MAX, SIGNIFICANT_DIGITS, Latencies, merged

samples = st.lists(st.integers(1, LATENCY_US_MAX), max_size=50)


def _of(values: list[int]) -> Latencies:
    latencies = Latencies()
    for value in values:
        latencies.record(value)
    return latencies


@given(st.lists(samples, max_size=4))
def test_parts_added_up_give_the_percentiles_of_the_whole(parts: list[list[int]]) -> None:
    whole = _of([value for part in parts for value in part])
    added = merged(Latencies.decode(part.encode(), part.total_us) for part in map(_of, parts))
    assert added.percentiles_us() == whole.percentiles_us()
    assert (added.count, added.total_us, added.max_us) == (whole.count, whole.total_us, whole.max_us)
    # Found on a locust's page: a second in which nothing was delivered made the least latency of the run 0.
    assert added.min_us == whole.min_us


@given(st.lists(st.integers(1, LATENCY_US_MAX), min_size=1, max_size=200), st.sampled_from([50.0, 90.0, 99.0, 100.0]))
def test_a_percentile_is_at_most_a_thousandth_above_the_true_one(values: list[int], percent: float) -> None:
    rank = max(1, -(-len(values) * percent // 100))
    true = sorted(values)[int(rank) - 1]
    assert true <= _of(values).percentile_us(percent) <= true * 1.001 + 1


def test_a_percentile_is_of_so_many_samples_at_least() -> None:
    # Found by the law above: five of six are no 90 %, though the library's rounding said so.
    assert _of([1, 1, 1, 1, 1, 2]).percentile_us(90) == 2
    thousand = _of(list(range(1, 1001)))
    assert thousand.percentiles_us([0, 50, 99.9, 99.99, 100]) == [1, 500, 999, 1000, 1000]


@given(samples)
def test_counts_are_what_was_recorded(values: list[int]) -> None:
    counts = _of(values).counts()
    assert counts == sorted(counts)
    recorded = [latency_us for latency_us, count in counts for _ in range(count)]
    assert len(recorded) == len(values)
    for found, true in zip(recorded, sorted(values), strict=True):
        assert true * 0.999 - 1 <= found <= true


@given(samples, st.lists(st.sampled_from([0.0, 50.0, 66.6, 95.0, 99.0, 99.9, 99.99, 100.0]), max_size=6))
def test_percentiles_are_the_librarys_where_both_mean_the_same_rank(values: list[int], percents: list[float]) -> None:
    histogram = HdrHistogram(1, LATENCY_US_MAX, SIGNIFICANT_DIGITS)
    for value in values:
        histogram.record_value(value)
    whole_ranks = [100 * max(1, -(-len(values) * round(percent * 1000) // 100_000)) / max(1, len(values)) for percent in percents]
    expected = [histogram.get_value_at_percentile(rank) for rank in whole_ranks] if values else [0] * len(percents)
    assert _of(values).percentiles_us(percents) == expected


def test_a_batch_is_recorded_as_its_samples_are() -> None:
    batch = Latencies()
    batch.record_many({100: 3, 2000: 1})
    assert batch.percentiles_us() == _of([100, 100, 100, 2000]).percentiles_us()
    assert batch.mean_us == 575


@given(st.lists(st.one_of(st.integers(-10, 5000), st.integers(0, 2 * LATENCY_US_MAX)), max_size=60))
@example([LATENCY_US_MAX + 154_880])
def test_any_batch_is_recorded_as_its_samples_are(values: list[int]) -> None:
    batch, singly = Latencies(), _of(values)
    batch.record_many(Counter(values))
    assert batch.percentiles_us() == singly.percentiles_us()
    assert (batch.count, batch.total_us) == (singly.count, singly.total_us)
    assert (batch.min_us, batch.max_us) == (singly.min_us, singly.max_us)


def test_what_lies_outside_counts_at_the_edge() -> None:
    latencies = _of([-5, 0, LATENCY_US_MAX * 3])
    assert latencies.min_us == 1
    assert latencies.percentile_us(100) >= LATENCY_US_MAX
    assert latencies.count == 3


def test_nothing_recorded_is_all_zero() -> None:
    empty = Latencies()
    assert empty.percentiles_us([50, 100]) == [0, 0]
    assert (empty.min_us, empty.max_us, empty.mean_us) == (0, 0, 0.0)


@given(st.lists(st.integers(1, 20_000_000), max_size=60))
def test_counts_up_to_bounds_are_those_of_the_samples_to_within_a_thousandth(values: list[int]) -> None:
    bounds = [1000, 2500, 1_000_000, 10_000_000]
    found = _of(values).counts_up_to(bounds)
    assert found == sorted(found)
    for bound, count in zip(bounds, found, strict=True):
        assert sum(value <= bound for value in values) <= count <= sum(value <= bound * 1.001 + 1 for value in values)
