"""The slot of a room is a promise to every journal ever written."""

import json
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shard_router.slots import slot_of
from wire.limits import SLOT_COUNT
from wire.names import DESK_SUFFIX, RoomName, parse_room

VECTORS = json.loads((Path(__file__).parent / "slot_vectors.json").read_text())
rooms = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}/[a-z0-9][a-z0-9_.-]{0,63}", fullmatch=True).map(RoomName)


def test_the_golden_vectors_still_hold() -> None:
    assert len(VECTORS["slots"]) >= 50
    assert VECTORS["slot_count"] == SLOT_COUNT
    assert {room: slot_of(RoomName(room)) for room in VECTORS["slots"]} == VECTORS["slots"]


def test_the_golden_vectors_name_valid_rooms() -> None:
    assert all(parse_room(room.removesuffix(DESK_SUFFIX)) for room in VECTORS["slots"])


@given(rooms)
def test_every_room_has_a_slot_and_its_companion_shares_it(room: RoomName) -> None:
    assert 0 <= slot_of(room) < SLOT_COUNT
    assert slot_of(RoomName(room + DESK_SUFFIX)) == slot_of(room)


def test_numbered_rooms_spread_evenly_over_the_slots() -> None:
    """40,960 rooms, ten a slot: a fair hash leaves each of 64 groups of slots within 15 % of its share."""
    groups = Counter(slot_of(RoomName(f"load/room-{number}")) >> 6 for number in range(10 * SLOT_COUNT))
    assert len(groups) == 64
    assert max(groups.values()) < 640 * 1.15
    assert min(groups.values()) > 640 * 0.85
