"""Waits between tasks, with locust's meaning."""

from random import Random

import pytest
import trio
from trio.testing import MockClock

from loadtest.people.waits import Pacing, WaitTime, between, constant, constant_pacing, constant_throughput, poisson


class _Waiting:
    def __init__(self) -> None:
        self.random = Random(1)
        self.pacing = Pacing()


async def _starts(wait_time: WaitTime, task_s: list[float], clock: MockClock) -> list[float]:
    """When tasks of these lengths begin, one after the other."""
    waiting, starts = _Waiting(), []
    for seconds in task_s:
        starts.append(trio.current_time())
        clock.jump(seconds)
        clock.jump(wait_time(waiting))
    return [round(at - starts[0], 6) for at in starts]


async def test_between_is_within_its_bounds_and_spread(mock_clock: MockClock) -> None:
    waiting, wait_time = _Waiting(), between(1, 3)
    times = [wait_time(waiting) for _ in range(1000)]
    assert min(times) >= 1
    assert max(times) <= 3
    assert 1.9 < sum(times) / 1000 < 2.1


async def test_constant_counts_from_the_end_of_a_task(mock_clock: MockClock) -> None:
    assert await _starts(constant(3), [0.5, 2, 0.5], mock_clock) == [0, 3.5, 8.5]


async def test_pacing_counts_from_the_beginning_and_forgives_a_long_task(mock_clock: MockClock) -> None:
    assert await _starts(constant_pacing(10), [1, 4, 12, 1, 1], mock_clock) == [0, 10, 20, 32, 42]


async def test_throughput_is_pacing_the_other_way_round(mock_clock: MockClock) -> None:
    assert await _starts(constant_throughput(0.1), [1, 4, 12, 1, 1], mock_clock) == [0, 10, 20, 32, 42]


async def test_poisson_has_the_mean_of_its_rate(mock_clock: MockClock) -> None:
    waiting, wait_time = _Waiting(), poisson(4)
    assert 0.23 < sum(wait_time(waiting) for _ in range(5000)) / 5000 < 0.27


def test_wrong_times_are_refused_with_a_sentence() -> None:
    for wrong in (lambda: between(3, 1), lambda: between(-1, 1), lambda: constant(float("nan")), lambda: constant_pacing(-1)):
        with pytest.raises(ValueError, match=r"\(.*\): "):
            wrong()
    for rate in (0, -1, float("inf")):
        with pytest.raises(ValueError, match="above 0"):
            constant_throughput(rate)
        with pytest.raises(ValueError, match="above 0"):
            poisson(rate)
