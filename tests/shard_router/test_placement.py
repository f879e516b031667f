"""The laws of placement: bounded load, least movement, pins, the same map on every node."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shard_router.placement import LOAD_PERCENT_MAX, BadSlotMap, SlotMap, capacity, changed_slots, place
from wire.limits import SHARDS_MAX, SLOT_COUNT
from wire.names import ShardId, Slot

SIZES = range(2, SHARDS_MAX + 1)
TWO_PERCENT = SLOT_COUNT * 2 // 100

shard_ids = st.from_regex(r"[a-z0-9][a-z0-9-]{0,15}", fullmatch=True).map(ShardId)
weighted_shards = st.dictionaries(shard_ids, st.integers(0, 8), min_size=1, max_size=12).filter(lambda w: any(w.values()))
pins_by_index = st.dictionaries(st.integers(0, SLOT_COUNT - 1).map(Slot), st.integers(0, 63), max_size=40)


def equal_weights(size: int) -> dict[ShardId, int]:
    return {ShardId(f"shard-{number}"): 1 for number in range(1, size + 1)}


@pytest.fixture(scope="module")
def maps() -> dict[int, SlotMap]:
    return {size: place(1, equal_weights(size)) for size in range(1, SHARDS_MAX + 1)}


def loads(slot_map: SlotMap) -> dict[ShardId, int]:
    counts = Counter(slot_map.owners)
    return {shard: counts[index] for index, shard in enumerate(slot_map.shards)}


@pytest.mark.parametrize("size", SIZES)
def test_no_shard_holds_more_than_115_percent_of_the_mean(maps: dict[int, SlotMap], size: int) -> None:
    assert max(loads(maps[size]).values()) * 100 * size <= LOAD_PERCENT_MAX * SLOT_COUNT
    assert min(loads(maps[size]).values()) > 0


@pytest.mark.parametrize("size", SIZES)
def test_one_shard_more_moves_its_share_and_at_most_two_percent(maps: dict[int, SlotMap], size: int) -> None:
    assert len(changed_slots(maps[size - 1], maps[size])) <= SLOT_COUNT / size + TWO_PERCENT


@pytest.mark.parametrize("size", SIZES)
def test_removing_a_shard_moves_its_own_slots_and_at_most_two_percent(maps: dict[int, SlotMap], size: int) -> None:
    middle = ShardId(f"shard-{(size + 1) // 2}")
    weights = equal_weights(size)
    del weights[middle]
    for gone, after in ((middle, place(2, weights)), (ShardId(f"shard-{size}"), maps[size - 1])):
        moved = set(changed_slots(maps[size], after))
        own = set(maps[size].slots_of(gone))
        assert own <= moved
        assert len(moved - own) <= TWO_PERCENT


@settings(max_examples=60, deadline=None)
@given(weighted_shards, pins_by_index)
def test_weights_and_pins_are_honoured_whatever_they_are(weights: dict[ShardId, int], pin_indexes: dict[Slot, int]) -> None:
    shards = sorted(weights)
    pins = {slot: shards[index % len(shards)] for slot, index in pin_indexes.items()}
    slot_map = place(7, weights, pins)
    assert all(slot_map.owner_of(slot) == shard for slot, shard in pins.items())
    free = SLOT_COUNT - len(pins)
    for shard in shards:
        held = len([slot for slot in slot_map.slots_of(shard) if slot not in pins])
        share = free * weights[shard] / sum(weights.values())
        assert held <= capacity(free, weights[shard], sum(weights.values()))
        assert held <= share * LOAD_PERCENT_MAX / 100 or share < 7
        assert held == 0 or weights[shard] > 0


@settings(max_examples=40, deadline=None)
@given(weighted_shards, shard_ids, st.integers(1, 8), pins_by_index)
def test_a_weighted_shard_that_joins_takes_its_share_and_little_else_moves(
    weights: dict[ShardId, int], newcomer: ShardId, weight: int, pin_indexes: dict[Slot, int]
) -> None:
    shards = sorted(weights.keys() - {newcomer})
    weights = {shard: weights[shard] for shard in shards}
    if not any(weights.values()):
        return
    pins = {slot: shards[index % len(shards)] for slot, index in pin_indexes.items()}
    before, after = place(1, weights, pins), place(2, weights | {newcomer: weight}, pins)
    moved = changed_slots(before, after)
    assert not pins.keys() & set(moved)
    assert len(moved) <= SLOT_COUNT * weight / (sum(weights.values()) + weight) + TWO_PERCENT


def test_the_order_in_which_shards_are_given_does_not_matter() -> None:
    weights = {ShardId("b"): 2, ShardId("a"): 1, ShardId("c"): 3}
    assert place(3, weights) == place(3, dict(sorted(weights.items())))


def test_the_map_of_three_shards_is_the_one_that_earlier_releases_computed() -> None:
    """Nodes of two releases work side by side: another map for the same inputs would split the cluster."""
    slot_map = place(1, {ShardId("shard-1"): 1, ShardId("shard-2"): 2, ShardId("shard-3"): 1})
    assert slot_map.owners[:24].hex() == "010001000101010101010100010101000102010100000102"
    assert loads(slot_map) == {"shard-1": 1013, "shard-2": 2042, "shard-3": 1041}


def test_a_pin_to_a_shard_that_is_not_there_waits_for_it() -> None:
    slot = Slot(77)
    pins = {slot: ShardId("shard-9")}
    assert place(1, equal_weights(3), pins) == place(1, equal_weights(3))
    assert place(2, equal_weights(9), pins).owner_of(slot) == "shard-9"


def test_a_shard_of_weight_zero_owns_its_pinned_slots_only() -> None:
    slot_map = place(1, {ShardId("hall"): 0, ShardId("plain"): 1}, {Slot(5): ShardId("hall")})
    assert slot_map.slots_of(ShardId("hall")) == [5]


@pytest.mark.parametrize("weights", [{}, {"a": 0}, {"a": -1, "b": 1}, {"a": 1001}, {f"s{n}": 1 for n in range(65)}])
def test_impossible_weights_are_refused_with_a_reason(weights: dict[ShardId, int]) -> None:
    with pytest.raises(ValueError, match=r"shard|weight"):
        place(1, weights)


@settings(max_examples=20, deadline=None)
@given(weighted_shards, st.integers(0, 2**40))
def test_a_map_survives_encoding(weights: dict[ShardId, int], version: int) -> None:
    slot_map = place(version, weights)
    assert SlotMap.decode(slot_map.encode()) == slot_map


@pytest.mark.parametrize(
    "damage",
    [
        {"version": "1"},
        {"shards": []},
        {"shards": ["a", "a"]},
        {"shards": [1]},
        {"owners": None},
        {"owners": "00"},
        {"owners": "zz" * SLOT_COUNT},
        {"owners": "05" * SLOT_COUNT},
    ],
)
def test_damaged_map_data_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(BadSlotMap):
        SlotMap.decode(place(1, equal_weights(2)).encode() | damage)


@pytest.mark.parametrize("data", [None, [], "map", {}, {"version": 1}])
def test_data_that_is_no_map_at_all_is_refused(data: object) -> None:
    with pytest.raises(BadSlotMap):
        SlotMap.decode(data)


def test_a_shard_outside_the_map_owns_nothing(maps: dict[int, SlotMap]) -> None:
    assert maps[2].slots_of(ShardId("shard-3")) == []
