"""Token buckets: a burst at once, then the rate, and an honest waiting time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.buckets import BucketTable, TokenBucket


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


steps = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=150)


@given(st.floats(0.1, 100), st.integers(1, 50), steps, st.booleans())
def test_a_table_answers_as_one_bucket_for_each_key_would(
    rate: float, burst: int, asked: list[tuple[str, float]], is_tidied: bool
) -> None:
    table: BucketTable[str] = BucketTable(rate, burst, keys_max=100)
    alone: dict[str, TokenBucket] = {}
    now = 1000.0
    for key, wait in asked:
        now += wait
        if is_tidied:
            table.forget_full(now)
        expected = alone.setdefault(key, TokenBucket(rate, burst, now)).take(now)
        answer = table.wait_s(key, now)
        assert answer == pytest.approx(expected, abs=0.01 / rate)
        # A hair's breadth from a token the two may round apart, and would go on apart.
        if (answer == 0.0) != (expected == 0.0):
            return
        if answer == 0.0:
            table.spend(key, now)


def test_asking_takes_nothing() -> None:
    table: BucketTable[str] = BucketTable(1.0, 2, keys_max=10)
    assert [table.wait_s("a", 0.0) for _ in range(5)] == [0.0] * 5
    assert len(table) == 0


def test_keys_whose_buckets_are_full_again_are_forgotten() -> None:
    table: BucketTable[int] = BucketTable(10.0, 20, keys_max=1000)
    for key in range(100):
        table.spend(key, 0.0)
    table.forget_full(2.0)
    assert len(table) == 100
    table.forget_full(3.9)
    assert len(table) == 100
    table.forget_full(4.0)
    assert len(table) == 0


def test_no_number_of_keys_makes_a_table_larger_than_its_bound() -> None:
    table: BucketTable[int] = BucketTable(0.001, 1, keys_max=64)
    sizes = []
    for key in range(10_000):
        table.spend(key, 0.0)
        sizes.append(len(table))
    assert max(sizes) <= 64
    # The newest are remembered, whatever came before them.
    assert [table.wait_s(key, 0.0) > 0 for key in range(10_000 - 32, 10_000)] == [True] * 32


def test_at_the_bound_a_busy_key_is_remembered_and_a_quiet_one_is_not() -> None:
    table: BucketTable[str] = BucketTable(0.001, 1000, keys_max=8)
    for number in range(1000):
        assert table.wait_s("busy", 0.0) == 0.0
        table.spend("busy", 0.0)
        table.spend(f"other {number}", 0.0)
    assert table.wait_s("busy", 0.0) == pytest.approx(1000.0)
    assert table.wait_s("other 3", 0.0) == 0.0
