"""The search for the highest rate, against servers that hold up to some rate."""

from hypothesis import given
from hypothesis import strategies as st

from bench.search import RateSearch


def search(first: float, holds_up_to: float, steps_max: int = 100) -> tuple[float | None, int]:
    found = RateSearch(first, steps_max, lowest=0.25)
    steps = 0
    while (rate := found.next_rate()) is not None:
        found.tell(rate <= holds_up_to)
        steps += 1
    return found.best, steps


@given(first=st.floats(1, 1000), holds_up_to=st.floats(0.5, 100_000))
def test_the_highest_rate_is_found_within_an_eighth(first: float, holds_up_to: float) -> None:
    best, steps = search(first, holds_up_to)
    assert best is not None
    assert best <= holds_up_to <= best * 1.12
    assert steps < 25


def test_steps_are_bounded_even_when_nothing_holds() -> None:
    assert search(100.0, 0.0, steps_max=5) == (None, 5)


def test_a_rate_too_low_to_measure_is_not_asked_for() -> None:
    assert search(1.0, 0.0) == (None, 3)


def test_steps_are_bounded_even_when_everything_holds() -> None:
    assert search(100.0, 1e9, steps_max=5) == (1600.0, 5)
