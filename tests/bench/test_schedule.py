"""The open loop's plan, and latencies counted from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.schedule import Deliveries, Schedule


def test_rooms_take_turns_at_even_distances() -> None:
    schedule = Schedule(start=100.0, rate=20.0, rooms=4, seconds=2.0)
    assert schedule.messages == 160
    assert [schedule.due(k) for k in (0, 1, 4, 80)] == pytest.approx([100.0, 100.0125, 100.05, 101.0])


@given(st.floats(0, 5), st.integers(1, 100), st.floats(0.5, 1000))
def test_what_is_due_was_due_before_now(elapsed: float, rooms: int, rate: float) -> None:
    schedule = Schedule(start=0.0, rate=rate, rooms=rooms, seconds=2.0)
    due = schedule.due_by(elapsed)
    assert 0 <= due <= schedule.messages
    assert due == 0 or schedule.due(due - 1) <= elapsed + 1e-9
    assert due == schedule.messages or schedule.due(due) >= elapsed - 1e-9


def test_nothing_is_due_before_the_start() -> None:
    assert Schedule(start=5.0, rate=1000.0, rooms=1, seconds=1.0).due_by(4.999) == 0


def test_latency_counts_from_the_plan_whatever_order_the_offsets_came_in() -> None:
    schedule = Schedule(start=10.0, rate=10.0, rooms=1, seconds=0.3)
    deliveries = Deliveries(schedule, [[2, 1, 3]])
    deliveries.add(0, 1, 1, 10.15)  # offset 1 is message 1, due at 10.1
    deliveries.add(0, 2, 1, 10.15)  # offset 2 is message 0, due at 10.0
    assert deliveries.histogram.total == 2
    assert deliveries.histogram.percentile_us(50) == pytest.approx(50_000, rel=0.02)
    assert deliveries.histogram.maximum_us == pytest.approx(150_000, abs=1)


def test_a_joined_buffer_weighs_as_much_as_its_frames_and_shows_its_oldest() -> None:
    schedule = Schedule(start=0.0, rate=100.0, rooms=1, seconds=1.0)
    deliveries = Deliveries(schedule, [list(range(1, 101))])
    deliveries.add(0, 100, 100, 1.0)
    assert deliveries.histogram.total == 100
    assert deliveries.histogram.maximum_us == pytest.approx(1_000_000, abs=1)
    assert 300_000 < deliveries.histogram.percentile_us(50) < 700_000


def test_frames_that_nobody_was_told_of_are_counted_apart() -> None:
    deliveries = Deliveries(Schedule(start=0.0, rate=10.0, rooms=1, seconds=0.2), [[1, 0]])
    deliveries.add(0, 2, 2, 1.0)
    assert (deliveries.unplanned, deliveries.histogram.total) == (1, 1)
