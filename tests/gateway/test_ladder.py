"""The ladder: down at once, up one rung at a time, and not to and fro at the edge of a rung."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ladder import Place, Rung
from wire.limits import LADDER_CLIMB_S, SAMPLE_BLOCK_EVENTS

BOUND = 80_000


@pytest.mark.parametrize(
    ("behind", "rung"),
    [
        (0, Rung.FULL), (10_000, Rung.FULL), (10_001, Rung.SAMPLED_1), (20_001, Rung.SAMPLED_2),
        (40_001, Rung.SAMPLED_3), (60_001, Rung.STATE_ONLY), (BOUND, Rung.STATE_ONLY),
    ],
)  # fmt: skip
def test_a_reader_goes_at_once_to_the_rung_that_its_arrears_ask_for(behind: int, rung: Rung) -> None:
    assert Place().judged(behind, BOUND, 100.0) == Place(rung, 100.0)


def test_a_reader_that_has_caught_up_climbs_one_rung_at_a_time() -> None:
    place = Place(Rung.STATE_ONLY, 0.0)
    seen = []
    for second in range(25):
        place = place.judged(0, BOUND, float(second))
        seen.append(place.rung)
    assert seen == [Rung.STATE_ONLY] * 5 + [Rung.SAMPLED_3] * 5 + [Rung.SAMPLED_2] * 5 + [Rung.SAMPLED_1] * 5 + [Rung.FULL] * 5


def test_who_was_well_for_long_enough_is_at_the_top_when_it_is_judged_again() -> None:
    assert Place(Rung.STATE_ONLY, 10.0).judged(0, BOUND, 10.0 + 4 * LADDER_CLIMB_S).rung is Rung.FULL


def test_a_reader_in_the_upper_half_of_its_rung_s_arrears_keeps_the_rung() -> None:
    place = Place(Rung.SAMPLED_2, 0.0)
    for second in range(4):
        place = place.judged(11_000, BOUND, float(second))
    assert place == Place(Rung.SAMPLED_2, 3.0)


@given(st.lists(st.tuples(st.integers(0, BOUND), st.floats(0, 4)), max_size=50))
def test_nobody_climbs_more_than_a_rung_in_the_time_of_one(steps: list[tuple[int, float]]) -> None:
    now, place = 0.0, Place()
    for behind, pause in steps:
        now += pause
        before, place = place, place.judged(behind, BOUND, now)
        assert place.rung >= before.rung - 1
        assert place.since <= now


def test_each_rung_keeps_less_than_the_one_above_and_the_last_nothing() -> None:
    kept = [rung.kept for rung in Rung if rung is not Rung.FULL]
    assert kept == sorted({*kept, 0}, reverse=True)
    assert kept[0] < SAMPLE_BLOCK_EVENTS
    with pytest.raises(AssertionError):
        assert Rung.FULL.kept
