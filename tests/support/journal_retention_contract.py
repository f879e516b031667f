"""What every journal promises about forgetting: a part of `JournalContract`, by number, by age and of ids."""

from broker.journal.protocol import CommitVerdict, Journal
from tests.support.journal_writes import START_MS, RoomWriter, loaded
from wire.names import Epoch, RoomName

COMMITTED = CommitVerdict.COMMITTED


class RetentionContract:
    """Has the fixture `journal` from the class that it is a part of."""

    def test_retention_forgets_the_oldest_entries_and_nothing_else(self, journal: Journal) -> None:
        writer, other = RoomWriter(), RoomWriter("test/other")
        other.commit(journal, "other")
        for n in range(1, 5):
            writer.commit(journal, *("x" for _ in range(n)))  # rows 1, 2-3, 4-6, 7-10
        for keep_after in (-1, 0, 1, 2, 1, 5, 6, 9):
            journal.retain(writer.room, keep_after, 0, 1000)
            room = loaded(journal, writer.room)
            kept = max(keep_after, room.first_offset - 1)
            assert [e.offset for e in room.tail] == list(range(kept + 1, 11))
            assert [e.offset for e in journal.read(writer.room, writer.head.epoch, 0, 2)] == [kept + 1, kept + 2][: 10 - kept]
            assert (room.head, room.first_offset) == (writer.head, kept + 1)
        assert len(loaded(journal, other.room).tail) == 1
        journal.retain(RoomName("test/never"), 5, 5, 5)

    def test_a_room_of_which_all_is_forgotten_keeps_its_identity(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one", "two")
        for _ in range(2):
            journal.retain(writer.room, 99, START_MS + 99, 0)
        room = loaded(journal, writer.room)
        assert (room.head, room.first_offset, list(room.tail), list(room.ids)) == (writer.head, 3, [], [])
        assert writer.commit(journal, "three").verdict is COMMITTED
        assert [e.offset for e in loaded(journal, writer.room).tail] == [3]
        journal.retain(writer.room, 2, START_MS, 0)
        assert [e.offset for e in loaded(journal, writer.room).tail] == [3]

    def test_retention_by_age_forgets_what_is_older_in_every_epoch_and_says_what_is_kept(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "old 0", "old 1")
        writer.commit(journal, "begun 2", "new 3", "new 4", new_epoch="epoch-b")
        writer.commit(journal, "new 5", "new 6")
        assert journal.retain(writer.room, 0, 0, 0) == 1
        for before, old, kept in ((0, 2, 1), (1, 1, 1), (2, 0, 1), (1, 0, 1), (4, 0, 3), (5, 0, 4), (6, 0, 5), (7, 0, 6)):
            assert journal.retain(writer.room, 0, 0, 1000, START_MS + before) == kept
            assert len(journal.read(writer.room, Epoch("epoch-a"), 0, 10)) == old
            assert [e.offset for e in journal.read(writer.room, Epoch("epoch-b"), 0, 10)] == list(range(kept, 6))
            room = loaded(journal, writer.room)
            assert (room.head, room.first_offset, len(room.tail), len(room.ids)) == (writer.head, kept, 6 - kept, 7)
        assert writer.commit(journal, "new 7").verdict is COMMITTED
        assert journal.retain(writer.room, 0, 0, 1000, START_MS + 7) == 6
        assert [e.body for e in loaded(journal, writer.room).tail] == [b"new 7"]
        assert journal.retain(RoomName("test/never"), 0, 0, 0, START_MS) == 0

    def test_retention_takes_the_more_of_number_and_age(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, *("x" for _ in range(10)))
        assert journal.retain(writer.room, 3, 0, 1000, START_MS + 2) == 4
        assert journal.retain(writer.room, 3, 0, 1000, START_MS + 7) == 8
        assert [e.offset for e in loaded(journal, writer.room).tail] == [8, 9, 10]

    def test_retention_takes_ended_epochs_before_anything_of_the_newest(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "old 1", "old 2")
        writer.commit(journal, "begun", "new", new_epoch="epoch-b")
        journal.retain(writer.room, 0, 0, 0)
        assert len(journal.read(writer.room, Epoch("epoch-a"), 0, 10)) == 2
        journal.retain(writer.room, 1, START_MS + 3, 0)
        assert list(journal.read(writer.room, Epoch("epoch-a"), 0, 10)) == []
        room = loaded(journal, writer.room)
        assert [e.body for e in room.tail] == [b"new"]
        assert [(row.offset, row.at) for row in room.ids] == [(2, START_MS + 3)]
        assert writer.commit(journal, "more").verdict is COMMITTED
