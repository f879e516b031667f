"""Slots of a plan: fixed in advance, shared by number, none lost at a bend."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.figures.messages import Stretch
from loadtest.workers.arrivals import ARRIVALS_PER_S_MAX, Plan, Slots, per_minute, per_second

_S = 1_000_000


def _moments(slots: Slots, until_us: int, step_us: int = 100_000) -> list[int]:
    return [due for now in range(0, until_us + 1, step_us) for due in slots.take(now)]


def test_slots_are_due_evenly_after_a_first_pause() -> None:
    slots = Slots()
    slots.follow(Plan().turn(_S, 4.0, [0])[0])
    assert slots.take(_S + 249_999) == []
    assert slots.next_due_us() == 1_250_000
    assert slots.take(2 * _S) == [1_250_000, 1_500_000, 1_750_000, 2 * _S]
    assert slots.next_due_us() == 2_250_000


def test_a_slot_is_due_at_its_moment_however_late_it_is_taken() -> None:
    slots = Slots()
    slots.follow(Plan().turn(0, 10.0, [0])[0])
    assert slots.take(10 * _S)[-1] == 10 * _S
    assert len(slots.take(20 * _S)) == 100


def test_a_bend_keeps_the_part_of_a_slot_that_has_gone_by() -> None:
    plan, slots = Plan(), Slots()
    for second in range(10):
        # The rate changes a little each second: half a slot a second is still five in ten seconds.
        slots.follow(plan.turn(second * _S, 0.5 + second / 1e6, [0])[0])
    assert [round(due / _S, 3) for due in _moments(slots, 10 * _S + 1)] == [2, 4, 6, 8, 10]


def test_what_holds_already_is_answered_as_before() -> None:
    plan = Plan()
    first = plan.turn(0, 5.0, [0, 1])
    assert plan.turn(7 * _S, 5.0, [0, 1]) == first
    assert plan.turn(8 * _S, 5.0, [1]) == {1: Stretch(8 * _S, 39, 8 * _S, 5.0, 0, 1)}


def test_slots_that_were_due_before_a_bend_that_does_not_hold_yet_are_counted_by_what_holds() -> None:
    plan = Plan()
    plan.turn(0, 10.0, [0])
    plan.turn(2 * _S, 100.0, [0])
    # Each replaces the other: what is told for a moment is told anew.
    plan.turn(2 * _S, 50.0, [0])
    assert plan.due_by(_S) == 9
    assert plan.due_by(3 * _S) == 69


def test_a_plan_is_bent_at_its_end_only() -> None:
    plan = Plan()
    plan.turn(5 * _S, 1.0, [0])
    assert plan.turn(2 * _S, 3.0, [0])[0].at_us == 5 * _S


def test_what_was_told_for_later_is_void_when_the_plan_changes_before_it() -> None:
    slots = Slots()
    slots.follow(Stretch(0, 0, 0, 1.0, 0, 1))
    slots.follow(Stretch(5 * _S, 5, 5 * _S, 100.0, 0, 1))
    slots.follow(Stretch(3 * _S, 3, 3 * _S, 0.0, 0, 1))
    assert _moments(slots, 10 * _S) == [0, _S, 2 * _S]
    assert slots.next_due_us() is None


def test_a_plan_without_workers_stands_still_and_goes_on_where_it_was() -> None:
    plan, slots = Plan(), Slots()
    slots.follow(plan.turn(0, 1.0, [0])[0])
    slots.follow(plan.turn(3 * _S, 1.0, [], [0])[0])
    slots.follow(plan.turn(8 * _S, 1.0, [0])[0])
    assert _moments(slots, 10 * _S) == [_S, 2 * _S, 8 * _S, 9 * _S, 10 * _S]
    assert plan.due_by(10 * _S) == 4


_BENDS = st.lists(
    st.tuples(
        st.integers(1, 3 * _S), st.floats(0, 2000, allow_subnormal=False), st.sets(st.integers(0, 4), min_size=1, max_size=5)
    ),
    min_size=1,
    max_size=6,
)


@given(bends=_BENDS, steps=st.lists(st.integers(1, 700_000), min_size=1, max_size=30))
def test_workers_together_begin_every_slot_of_the_plan_once(
    bends: list[tuple[int, float, set[int]]], steps: list[int]
) -> None:
    plan = Plan()
    workers = {number: Slots() for number in range(5)}
    at_us = 0
    for after_us, per_s, sharing in bends:
        shares = plan.turn(at_us, per_s, sorted(sharing))
        first = next(iter(shares.values()))
        for worker, slots in workers.items():
            slots.follow(shares.get(worker, Stretch(at_us, first.first, at_us, 0.0, 0, 1)))
        at_us += after_us
    begun: list[int] = []
    for worker, slots in workers.items():
        now, mine = 0, list[int]()
        for step in (*steps[worker:], 2**40):
            now = min(now + step, at_us)
            mine += slots.take(now)
            due = slots.next_due_us()
            assert due is None or due > now, "asked again at that moment there is something to take"
        assert all(earlier <= later for earlier, later in pairwise(mine))
        begun += mine
    assert len(begun) == plan.due_by(at_us + 1)


def test_rates_are_checked() -> None:
    assert per_minute(30) == per_second(0.5)
    for wrong in (-1.0, ARRIVALS_PER_S_MAX + 1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="must be between"):
            per_second(wrong)
