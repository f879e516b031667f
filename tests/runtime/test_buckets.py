"""Token buckets: a burst at once, then the rate, and an honest waiting time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.buckets import TokenBucket


def test_a_full_bucket_gives_its_burst_at_once_and_then_says_how_long() -> None:
    bucket = TokenBucket(5.0, 3, now=100.0)
    assert [bucket.take(100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take(100.0) == pytest.approx(0.2)


def test_a_refused_take_costs_nothing() -> None:
    bucket = TokenBucket(1.0, 1, now=0.0)
    bucket.take(0.0)
    assert [bucket.take(0.5) for _ in range(3)] == [pytest.approx(0.5)] * 3
    assert bucket.take(1.0) == 0.0


def test_it_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(5.0, 2, now=0.0)
    assert [bucket.take(1e9) == 0.0 for _ in range(3)] == [True, True, False]


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    bucket = TokenBucket(1.0, 1, now=100.0)
    bucket.take(100.0)
    assert bucket.take(50.0) == pytest.approx(1.0)
    assert bucket.take(100.5) == pytest.approx(0.5)


@given(st.floats(0.1, 100), st.integers(1, 50), st.lists(st.floats(0, 5), max_size=200))
def test_in_any_stretch_of_time_it_gives_at_most_burst_and_rate(rate: float, burst: int, waits: list[float]) -> None:
    now = 0.0
    bucket = TokenBucket(rate, burst, now)
    given_out = 0
    for wait in waits:
        now += wait
        given_out += bucket.take(now) == 0.0
    assert given_out <= burst + now * rate + 1e-6


@given(st.floats(0.1, 100), st.integers(1, 5))
def test_after_the_waiting_time_there_is_one(rate: float, burst: int) -> None:
    bucket = TokenBucket(rate, burst, 0.0)
    for _ in range(burst):
        bucket.take(0.0)
    assert bucket.take(bucket.take(0.0) + 1e-9) == 0.0
