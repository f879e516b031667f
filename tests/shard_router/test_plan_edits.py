"""What operators may change: each edit once, again, and where it is refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard_router import plan_edits
from shard_router.cluster_records import ClusterPlan, MemberRecord
from shard_router.plan_edits import EditRefused, Outlook, parse_slots
from shard_router.steward import FOUNDER_WEIGHT
from wire.limits import SLOT_COUNT
from wire.names import ShardId, Slot

A, B, C = ShardId("a"), ShardId("b"), ShardId("c")
PLAN = ClusterPlan(version=5, weights={A: 100, B: 50, C: 0}, pins={7: A}, moves={8: B, 9: A})


def outlook(plan: ClusterPlan = PLAN, alive: str = "abc") -> Outlook:
    return Outlook(plan, {ShardId(name): MemberRecord(role="shard", id=name, incarnation="1") for name in alive})


def test_adding_gives_the_weight_that_was_asked_for_or_had_or_that_of_a_founder() -> None:
    assert plan_edits.add(outlook(), C).weights == {**PLAN.weights, C: FOUNDER_WEIGHT}
    assert plan_edits.add(outlook(), C, 7).weights[C] == 7
    drained = plan_edits.drain(outlook(), B)
    assert drained.leaving == (B,)
    again = plan_edits.add(outlook(drained), B)
    assert (again.weights[B], again.leaving, again.version) == (50, (), 7)


def test_repeating_an_edit_changes_nothing() -> None:
    for edit in (
        lambda seen: plan_edits.add(seen, C, 30),
        lambda seen: plan_edits.drain(seen, A),
        lambda seen: plan_edits.move(seen, [Slot(20), Slot(21)], B),
        lambda seen: plan_edits.pin(seen, Slot(8), A),
        lambda seen: plan_edits.unpin(seen, Slot(7)),
        plan_edits.rebalance,
    ):
        once = edit(outlook())
        assert once.version == PLAN.version + 1
        assert edit(outlook(once)) is once


def test_a_pin_replaces_a_move_and_a_rebalance_leaves_pins() -> None:
    pinned = plan_edits.pin(outlook(), Slot(8), A)
    assert (pinned.pins, pinned.moves) == ({7: A, 8: A}, {9: A})
    balanced = plan_edits.rebalance(outlook(pinned))
    assert (balanced.pins, balanced.moves) == ({7: A, 8: A}, {})


def test_what_the_cluster_does_not_allow_is_a_sentence() -> None:
    drained = msgspec.structs.replace(PLAN, leaving=(B,))
    for edit, sentence in (
        (lambda: plan_edits.add(outlook(), ShardId("z")), "knows no shard z; it knows a, b, c"),
        (lambda: plan_edits.drain(Outlook(ClusterPlan(), {}), A), "knows no shard a; it knows none"),
        (lambda: plan_edits.add(outlook(), A, 0), "1 to 1000, not 0"),
        (lambda: plan_edits.add(outlook(), A, 1001), "1 to 1000, not 1001"),
        (lambda: plan_edits.drain(outlook(alive="ac"), A), "no other shard that is running"),
        (lambda: plan_edits.drain(outlook(drained), A), "no other shard that is running"),
        (lambda: plan_edits.move(outlook(), [Slot(7)], B), "slot 7 is pinned to a"),
        (lambda: plan_edits.move(outlook(), [Slot(SLOT_COUNT)], B), "slot 4096 is not within 0 to 4095"),
        (lambda: plan_edits.move(outlook(drained), [Slot(1)], B), "b is drained: add it first"),
        (lambda: plan_edits.pin(outlook(alive="bc"), Slot(1), A), "a is not running"),
        (lambda: plan_edits.pin(outlook(), Slot(-1), A), "slot -1 is not within"),
        (lambda: plan_edits.unpin(outlook(), Slot(5000)), "slot 5000 is not within"),
    ):
        with pytest.raises(EditRefused, match=sentence):
            edit()


def test_a_pinned_slot_may_be_moved_to_where_it_is() -> None:
    assert plan_edits.move(outlook(), [Slot(7)], A).moves[7] == A


def test_slots_are_numbers_and_ranges() -> None:
    assert parse_slots(["7", "100-102", "101", "4095", "0-0"]) == [0, 7, 100, 101, 102, 4095]
    assert parse_slots([]) == []


@pytest.mark.parametrize("word", ["", "x", "4096", "-1", "5-", "-", "9-5", "1-2-3", "1.5", "٣"])
def test_what_is_no_slot_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is no slot"):
        parse_slots([word])


@given(st.lists(st.integers(0, SLOT_COUNT - 1), max_size=30))
def test_every_list_of_numbers_is_read_as_it_is(numbers: list[int]) -> None:
    assert parse_slots([str(number) for number in numbers]) == sorted(set(numbers))
