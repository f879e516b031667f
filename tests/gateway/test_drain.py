"""Slots for those who have to come back elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.drain import CLIENTS_PER_SLOT_MAX, PACED_SHARE, pace_of, reconnect_slots

BUDGETS = st.none() | st.floats(0.0, 10_000.0)


@given(st.integers(0, 20_000), st.floats(1.0, 60.0), BUDGETS, st.floats(1.0, 10_000.0))
def test_everyone_gets_one_slot_in_order_and_before_the_deadline(
    count: int, deadline_s: float, elsewhere_per_s: float | None, own_per_s: float
) -> None:
    pace = pace_of(count, deadline_s, elsewhere_per_s, own_per_s)
    slots = list(reconnect_slots(range(count), pace.accepts_per_s))
    assert [client for _, group in slots for client in group] == list(range(count))
    assert all(len(group) <= CLIENTS_PER_SLOT_MAX for _, group in slots)
    waits = [wait_ms for wait_ms, _ in slots]
    assert waits == sorted(waits)
    assert all(wait_ms <= deadline_s * PACED_SHARE * 1000 for wait_ms in waits)


@given(st.integers(1, 20_000), st.floats(10.0, 10_000.0), st.floats(0.0, 30.0))
def test_the_survivors_get_no_more_than_their_budget(count: int, elsewhere_per_s: float, second: float) -> None:
    pace = pace_of(count, 1e6, elsewhere_per_s, 1.0)
    sent = sum(
        len(group)
        for wait_ms, group in reconnect_slots(range(count), pace.accepts_per_s)
        if second * 1000 <= wait_ms < second * 1000 + 1000
    )
    assert sent <= elsewhere_per_s + CLIENTS_PER_SLOT_MAX


def test_a_small_budget_is_not_met_by_bursts() -> None:
    waits = [(wait_ms, len(group)) for wait_ms, group in reconnect_slots(range(6), 2.0)]
    assert waits == [(0, 1), (500, 1), (1000, 1), (1500, 1), (2000, 1), (2500, 1)]


@pytest.mark.parametrize(
    ("elsewhere_per_s", "accepts_per_s", "words"),
    [
        (500.0, 500.0, "the other gateways' budget"),
        (None, 1000.0, "not known here"),
        (0.0, 1000.0, "no other gateway"),
        (10.0, 3000 / 7.5, "the deadline of 10 s; the other gateways' budget"),
    ],
)
def test_the_pace_says_whose_it_is(elsewhere_per_s: float | None, accepts_per_s: float, words: str) -> None:
    pace = pace_of(3000, 10.0, elsewhere_per_s, 1000.0)
    assert pace.accepts_per_s == pytest.approx(accepts_per_s)
    assert words in pace.reason
