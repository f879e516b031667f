"""What every journal promises about snapshots: a part of `JournalContract`."""

import dataclasses
from collections.abc import Callable

import pytest

from broker.journal.protocol import CommitVerdict, Erasure, Journal, Snapshot
from tests.support.journal_writes import RoomWriter, loaded, row
from wire.limits import SNAPSHOT_BYTES_MAX
from wire.names import Slot, Term

COMMITTED, FENCED, BEHIND = CommitVerdict.COMMITTED, CommitVerdict.FENCED, CommitVerdict.BEHIND


class SnapshotContract:
    """Has the fixtures `journal` and `reopen` from the class that it is a part of."""

    def test_the_newest_snapshot_takes_the_place_of_the_one_before(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one")
        assert loaded(journal, writer.room).snapshot is None
        for snapshot in (Snapshot(2, b"after two"), Snapshot(1, b"of what was before"), Snapshot(3, bytes(range(256)))):
            assert writer.commit(journal, "more", snapshot=snapshot).verdict is COMMITTED
            assert loaded(journal, writer.room).snapshot == snapshot
        assert writer.commit(journal, "another").verdict is COMMITTED
        assert loaded(journal, writer.room).snapshot == Snapshot(3, bytes(range(256)))

    def test_a_snapshot_may_come_alone_or_with_rows_or_with_the_first_event(self, journal: Journal) -> None:
        writer = RoomWriter()
        assert writer.commit(journal, "one", snapshot=Snapshot(1, b"first")).verdict is COMMITTED
        assert loaded(journal, writer.room).snapshot == Snapshot(1, b"first")
        assert writer.commit(journal, snapshot=Snapshot(1, b"")).verdict is COMMITTED
        assert loaded(journal, writer.room).snapshot == Snapshot(1, b"")
        assert writer.commit(journal, rows=[row("ann", "yes")], snapshot=Snapshot(1, b"with rows")).verdict is COMMITTED
        room = loaded(journal, writer.room)
        assert (room.head, room.rows_seq, room.snapshot) == (writer.head, 1, Snapshot(1, b"with rows"))

    def test_a_snapshot_as_long_as_it_may_be_comes_back_whole(self, journal: Journal) -> None:
        writer = RoomWriter()
        snapshot = Snapshot(1, b"\n \0\xff" * (SNAPSHOT_BYTES_MAX // 4))
        assert writer.commit(journal, "one", snapshot=snapshot).verdict is COMMITTED
        assert loaded(journal, writer.room).snapshot == snapshot

    def test_a_group_stores_the_snapshots_of_those_that_pass(self, journal: Journal) -> None:
        names = ["with", "without", "behind", "fenced", "empty"]
        writers = {name: RoomWriter(f"test/{name}") for name in names}
        for name, writer in writers.items():
            writer.commit(journal, "one", snapshot=Snapshot(1, f"{name} before".encode()))
        writers["behind"].head = writers["behind"].write("lost").head
        writers["fenced"].term = Term(9)
        states = {"with": b"now", "behind": b"x", "fenced": b"y", "empty": b""}
        snapshots = {name: Snapshot(1, state) for name, state in states.items()}
        outcomes = journal.commit([writer.write("two", snapshot=snapshots.get(name)) for name, writer in writers.items()])
        assert [outcome.verdict for outcome in outcomes] == [COMMITTED, COMMITTED, BEHIND, FENCED, COMMITTED]
        found = {name: loaded(journal, writer.room).snapshot for name, writer in writers.items()}
        assert {name: snapshot.state for name, snapshot in found.items() if snapshot is not None} == {
            "with": b"now", "without": b"without before", "behind": b"behind before", "fenced": b"fenced before", "empty": b"",
        }  # fmt: skip

    def test_a_snapshot_ends_with_its_epoch(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one", "two", snapshot=Snapshot(2, b"old"))
        assert writer.commit(journal, "begun", new_epoch="epoch-b").verdict is COMMITTED
        assert loaded(journal, writer.room).snapshot is None
        writer.commit(journal, "two", snapshot=Snapshot(2, b"new"))
        assert writer.commit(journal, "begun", new_epoch="epoch-c", snapshot=Snapshot(1, b"newest")).verdict is COMMITTED
        assert loaded(journal, writer.room).snapshot == Snapshot(1, b"newest")

    def test_retention_leaves_a_snapshot_and_an_erasing_write_may_bring_another(self, journal: Journal) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one", "SECRET", snapshot=Snapshot(2, b"SECRET"))
        journal.retain(writer.room, 1, 0, 10)
        assert loaded(journal, writer.room).snapshot == Snapshot(2, b"SECRET")
        writer.commit(journal, "the removal", erasures=[Erasure(2, "author")], snapshot=Snapshot(2, b"without it"))
        assert loaded(journal, writer.room).snapshot == Snapshot(2, b"without it")

    @pytest.mark.parametrize("snapshot", [Snapshot(2, b"above"), Snapshot(0, b""), Snapshot(1, bytes(SNAPSHOT_BYTES_MAX + 1))])
    def test_a_misshapen_snapshot_is_a_bug_and_stores_nothing(self, journal: Journal, snapshot: Snapshot) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one")
        with pytest.raises(AssertionError):
            journal.commit([dataclasses.replace(writer.write(), snapshot=snapshot)])
        assert loaded(journal, writer.room).snapshot is None

    def test_a_snapshot_is_there_when_the_store_is_opened_again(self, journal: Journal, reopen: Callable[[], Journal]) -> None:
        writer = RoomWriter()
        writer.commit(journal, "one", snapshot=Snapshot(1, b"kept"))
        again = reopen()
        assert loaded(again, writer.room).snapshot == Snapshot(1, b"kept")
        assert again.claim([Slot(7)], 1, "shard-1") == {Slot(7): Term(2)}
