"""What the steward decides: laws over all plans and memberships, and the cases that hurt when they go wrong."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from shard_router.cluster_records import ClusterPlan, MemberRecord
from shard_router.placement import capacity, changed_slots, place
from shard_router.steward import (
    FOUNDER_WEIGHT,
    Placer,
    next_version,
    overrides,
    plan_with_newcomers,
    same_owners,
    weights_in_force,
)
from wire.limits import SHARDS_MAX, SLOT_COUNT
from wire.names import ShardId, Slot

NAMES = [ShardId(f"shard-{number}") for number in range(1, 7)]
names = st.sampled_from(NAMES)
by_slot = st.dictionaries(st.integers(0, SLOT_COUNT - 1), names, max_size=20)
plans = st.builds(
    ClusterPlan,
    version=st.integers(0, 9),
    weights=st.dictionaries(names, st.sampled_from([0, 1, 50, 100, 300]), max_size=6),
    pins=by_slot,
    moves=by_slot,
    leaving=st.lists(names, unique=True, max_size=2).map(lambda found: tuple(sorted(found))),
)
memberships = st.dictionaries(names, st.booleans(), max_size=6)


def shard(name: str, *, weight: int = 0, is_leaving: bool = False) -> MemberRecord:
    return MemberRecord(role="shard", id=name, incarnation="x", weight=weight, is_leaving=is_leaving)


def alive(*shards: ShardId) -> dict[ShardId, MemberRecord]:
    return {each: shard(each) for each in shards}


def plan_of(**weights: int) -> ClusterPlan:
    return ClusterPlan(version=1, weights={ShardId(f"shard-{name[1:]}"): weight for name, weight in weights.items()})


THREE = plan_of(s1=100, s2=100, s3=100)
FULL = place(7, dict.fromkeys(NAMES[:3], 100))


@settings(max_examples=60, deadline=None)
@given(plans, memberships, st.integers(0, 50), st.lists(st.integers(0, 60), max_size=4))
def test_a_map_names_living_shards_only_and_does_what_the_plan_says(
    plan: ClusterPlan, leaves: dict[ShardId, bool], stored: int, reported: list[int]
) -> None:
    members = {name: shard(name, is_leaving=is_leaving) for name, is_leaving in leaves.items()}
    weights = weights_in_force(plan, members)
    new = Placer().next_map(None, plan, members, stored=stored, reported=reported)
    if not any(weights.values()):
        assert new is None
        return
    assert new is not None
    assert new.version > max(stored, *reported, 0)
    staying = {name for name, is_leaving in leaves.items() if not is_leaving and name not in plan.leaving}
    assert set(new.shards) == staying
    placed_by_hand = {slot: owner for slot, owner in overrides(plan).items() if owner in staying}
    assert all(new.owner_of(slot) == owner for slot, owner in placed_by_hand.items())
    free = SLOT_COUNT - len(placed_by_hand)
    for name in staying:
        held = [slot for slot in new.slots_of(name) if slot not in placed_by_hand]
        assert len(held) <= (capacity(free, weights[name], sum(weights.values())) if weights[name] else 0)
    # The same data, on another node that has seen nothing before: the same owners.
    assert Placer().next_map(None, plan, members, stored=stored, reported=reported) == new
    # And with that map stored there is nothing to do.
    assert Placer().next_map(new, plan, members, stored=new.version, reported=[*reported, new.version]) is None


@settings(max_examples=40, deadline=None)
@given(st.lists(names, min_size=2, unique=True), st.data())
def test_when_a_shard_dies_its_slots_move_and_hardly_any_other(present: list[ShardId], data: st.DataObject) -> None:
    plan = ClusterPlan(version=1, weights=dict.fromkeys(present, 100))
    before = Placer().next_map(None, plan, alive(*present), stored=0, reported=[])
    dead = data.draw(st.sampled_from(present))
    assert before is not None
    left = [name for name in present if name != dead]
    after = Placer().next_map(before, plan, alive(*left), stored=before.version, reported=[])
    assert after is not None
    moved = set(changed_slots(before, after))
    own = set(before.slots_of(dead))
    assert own <= moved
    assert len(moved - own) <= SLOT_COUNT * 2 // 100
    back = Placer().next_map(after, plan, alive(*present), stored=after.version, reported=[])
    assert back is not None
    assert same_owners(back, before)


def test_nothing_changes_when_nothing_has_changed() -> None:
    placer = Placer()
    for _ in range(3):
        assert placer.next_map(FULL, THREE, alive(*NAMES[:3]), stored=7, reported=[7, 6]) is None


def test_with_no_shard_alive_or_only_such_as_may_own_nothing_the_old_map_stays() -> None:
    assert Placer().next_map(FULL, THREE, {}, stored=7, reported=[7]) is None
    plan = msgspec.structs.replace(THREE, leaving=(NAMES[0],), weights={**THREE.weights, NAMES[3]: 0})
    assert Placer().next_map(FULL, plan, alive(NAMES[0], NAMES[3]), stored=7, reported=[7]) is None


def test_a_store_that_forgot_its_newest_map_gets_a_newer_one_with_the_same_owners() -> None:
    new = Placer().next_map(FULL, THREE, alive(*NAMES[:3]), stored=5, reported=[7, 6])
    assert new is not None
    assert new.version == 8
    assert same_owners(new, FULL)


def test_a_map_that_only_a_journal_has_heard_of_is_outdone() -> None:
    new = Placer().next_map(None, THREE, alive(*NAMES[:3]), stored=0, reported=[0, 41])
    assert new is not None
    assert new.version == 42
    assert next_version(0, []) == 1


def test_a_pin_counts_for_more_than_a_move() -> None:
    plan = msgspec.structs.replace(THREE, pins={5: NAMES[0]}, moves={5: NAMES[1], 6: NAMES[1]})
    assert overrides(plan) == {Slot(5): NAMES[0], Slot(6): NAMES[1]}


def test_a_pin_to_a_shard_that_is_drained_waits_for_it() -> None:
    plan = msgspec.structs.replace(THREE, pins={5: NAMES[0]}, leaving=(NAMES[0],))
    new = Placer().next_map(FULL, plan, alive(*NAMES[:3]), stored=7, reported=[7])
    assert new is not None
    assert NAMES[0] not in new.shards


def test_founders_get_a_weight_and_later_shards_what_they_asked_for() -> None:
    founding = plan_with_newcomers(ClusterPlan(), {NAMES[0]: shard("a"), NAMES[1]: shard("b", weight=7)}, is_founding=True)
    assert founding is not None
    assert founding.weights == {NAMES[0]: FOUNDER_WEIGHT, NAMES[1]: 7}
    assert founding.version == 1
    later = plan_with_newcomers(founding, {NAMES[0]: shard("a"), NAMES[2]: shard("c")}, is_founding=False)
    assert later is not None
    assert later.weights == {**founding.weights, NAMES[2]: 0}
    known = {NAMES[1]: shard("b", weight=900)}
    assert plan_with_newcomers(later, known, is_founding=False) is None


def test_weights_beyond_the_bounds_are_brought_within_them() -> None:
    plan = plan_with_newcomers(ClusterPlan(), {NAMES[0]: shard("a", weight=5000)}, is_founding=False)
    assert plan is not None
    assert plan.weights == {NAMES[0]: 1000}


def test_more_shards_than_a_map_can_name_leave_out_those_without_a_weight_first() -> None:
    many = [ShardId(f"s-{number:03}") for number in range(SHARDS_MAX + 5)]
    plan = ClusterPlan(version=1, weights={name: int(number >= 5) for number, name in enumerate(many)})
    weights = weights_in_force(plan, alive(*many))
    assert len(weights) == SHARDS_MAX
    assert all(weights.values())
