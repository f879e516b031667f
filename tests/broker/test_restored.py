"""A restored room: its log as it was, and one epoch more that says why."""

from random import Random

from broker.event_frame import frame_of_stored
from broker.journal.verify import VerifiedRoom
from broker.load_room import room_of
from broker.restored import RESTORED, RestoredRoom
from broker.room import EPOCH_KIND
from tests.support.archive_contract import ModelStore, copy, lived
from tests.support.journal_contract import loaded
from wire.codes import ResumeReason
from wire.names import Epoch

NOW = 1_900_000_000_000


def restored(store: ModelStore) -> list[RestoredRoom]:
    salt = Random(1).randbytes
    return [RestoredRoom(room, Epoch(f"new-{n}"), NOW, salt(16)) for n, room in enumerate(store.source().rooms())]


def test_the_old_epochs_stay_and_the_new_one_begins_with_what_ended_them() -> None:
    store = ModelStore()
    lived(store)
    for before, room in zip(store.source().rooms(), restored(store), strict=True):
        assert room.name == before.name
        assert room.epochs[:-1] == before.epochs
        assert room.ids() == before.ids()
        verified = VerifiedRoom(room)
        portions = [list(verified.portions(epoch)) for epoch in verified.epochs]
        ((event,),) = (portion.entries for portion in portions[-1])
        assert (event.kind, event.id, event.target) == (EPOCH_KIND, before.epochs[-1].head.epoch, before.epochs[-1].head.offset)
        assert RESTORED.encode() in event.body


def test_a_clock_that_went_back_leaves_the_new_epoch_no_earlier_than_the_old_one() -> None:
    store = ModelStore()
    lived(store)
    (*_, reading) = store.source().rooms()
    room = RestoredRoom(reading, Epoch("new"), 1, b"s" * 16)
    assert room.epochs[-1].head.at == reading.epochs[-1].head.at


def test_whoever_comes_back_with_a_position_of_before_is_told_that_it_is_another_epoch() -> None:
    store, after = ModelStore(), ModelStore()
    life = lived(store)
    copy(store, after)
    for room in restored(store):
        del after.store.rooms[room.name]
        after.target().put(VerifiedRoom(room))
    for writer in life.writers:
        room = room_of(writer.room, loaded(after.journal(), writer.room), "store")
        back = room.continue_from(writer.head.epoch, writer.head.offset, writer.head.chain[:8])
        assert back is not None
        assert (back.resumed, back.reason) == (False, ResumeReason.EPOCH.value)
        (frame,) = back.frames
        assert frame == frame_of_stored(writer.room, loaded(after.journal(), writer.room).tail[0])


def test_a_retry_of_what_was_said_before_the_backup_is_answered_with_its_old_place() -> None:
    store, after = ModelStore(), ModelStore()
    life = lived(store, steps=0)
    (reading, *_) = store.source().rooms()
    after.target().put(VerifiedRoom(RestoredRoom(reading, Epoch("new"), NOW, b"s" * 16)))
    room = room_of(reading.name, loaded(after.journal(), reading.name), "store")
    writer = next(each for each in life.writers if each.room == reading.name)
    (row,) = reading.ids()
    place = room.place_of(row.author, row.id)
    assert place is not None
    assert (place.epoch, place.offset) == (writer.head.epoch, 1)
