"""What is put, skipped, counted and refused; whole copies are held by tests/support/archive_contract.py."""

import pytest

from broker.journal.archive import Unfinished
from broker.journal.fill import Tally, TargetRefused, check_target, fill, prepare
from tests.support.archive_contract import ModelStore, lived
from wire.names import RoomName

COPY = Unfinished("copy", "store-1", "seal-1")


def put_all(store: ModelStore, source: ModelStore) -> list[tuple[int, int, int]]:
    seen: list[tuple[int, int, int]] = []
    fill(store.target(), source.source().rooms(), lambda tally: seen.append((tally.rooms, tally.events, tally.rooms_there)))
    return seen


def test_progress_is_told_with_every_portion_and_every_room() -> None:
    source, store = ModelStore(), ModelStore()
    lived(source, steps=0)
    assert put_all(store, source)[:4] == [(0, 1, 0), (1, 1, 0), (1, 2, 0), (2, 2, 0)]


def test_a_room_that_is_there_is_not_put_again() -> None:
    source, store = ModelStore(), ModelStore()
    lived(source, steps=0)
    put_all(store, source)
    del store.store.rooms[RoomName("test/b")]
    assert put_all(store, source)[-1] == (1, 1, 3)


def test_an_empty_target_is_marked_and_a_marked_one_goes_on() -> None:
    source, store = ModelStore(), ModelStore()
    lived(source, steps=0)
    target = store.target()
    prepare(target, COPY, anew=False)
    assert target.unfinished() == COPY
    put_all(store, source)
    prepare(target, COPY, anew=False)
    assert target.has_rooms()


def test_what_was_copied_before_its_source_was_written_to_again_is_thrown_away() -> None:
    source, store = ModelStore(), ModelStore()
    lived(source, steps=0)
    target = store.target()
    prepare(target, COPY, anew=False)
    put_all(store, source)
    later = Unfinished("copy", "store-1", "seal-2")
    prepare(target, later, anew=False)
    assert (target.unfinished(), target.has_rooms()) == (later, False)


@pytest.mark.parametrize("other", [Unfinished("restore", "store-1", "seal-1"), Unfinished("copy", "store-2", "seal-1")])
def test_other_work_is_thrown_away_on_demand_only(other: Unfinished) -> None:
    source, store = ModelStore(), ModelStore()
    lived(source, steps=0)
    target = store.target()
    prepare(target, other, anew=False)
    put_all(store, source)
    with pytest.raises(TargetRefused, match=rf"journal in memory has an unfinished {other.doing} from elsewhere in it; --anew"):
        prepare(target, COPY, anew=False)
    assert target.has_rooms()
    check_target(target, COPY, anew=True)
    prepare(target, COPY, anew=True)
    assert (target.unfinished(), target.has_rooms()) == (COPY, False)


def test_a_journal_with_rooms_is_never_filled() -> None:
    store = ModelStore()
    lived(store, steps=0)
    with pytest.raises(TargetRefused, match="journal in memory is not empty"):
        prepare(store.target(), COPY, anew=True)
    assert store.target().unfinished() is None


def test_a_tally_begins_at_nothing() -> None:
    assert Tally() == Tally(rooms=0, events=0, rooms_there=0)
