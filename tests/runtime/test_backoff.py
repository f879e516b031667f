"""Full jitter: spread from zero, rising to a cap, begun anew by a success."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backoff import Backoff


@given(st.integers(), st.floats(0.01, 10), st.floats(0.01, 100), st.integers(1, 80))
def test_a_delay_is_between_zero_and_its_ceiling(seed: int, base_s: float, more_s: float, tries: int) -> None:
    backoff = Backoff(Random(seed), base_s, base_s + more_s)
    for step in range(tries):
        assert 0 <= backoff.next_delay() <= min(base_s + more_s, base_s * 2 ** min(step, 31))


class Always(Random):
    """A source that always gives nearly one: the ceiling itself."""

    def random(self) -> float:
        return 1.0


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    backoff = Backoff(Always(), 0.5, 20)
    assert [backoff.next_delay() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 20, 20]


def test_a_success_begins_anew() -> None:
    backoff = Backoff(Always(), 0.5, 20)
    backoff.next_delay()
    backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() == 0.5


def test_two_nodes_do_not_come_back_together() -> None:
    first = {round(Backoff(Random(seed), 0.5, 20).next_delay(), 6) for seed in range(200)}
    assert len(first) > 190
    assert min(first) < 0.05
    assert max(first) > 0.45


@pytest.mark.parametrize(("base_s", "cap_s"), [(0, 1), (2, 1)])
def test_a_senseless_backoff_is_our_mistake(base_s: float, cap_s: float) -> None:
    with pytest.raises(AssertionError):
        Backoff(Random(1), base_s, cap_s)
