"""Rows and snapshots of a group are a few statements more, however many they are, and what is deleted is in no file."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from broker.journal.protocol import Snapshot
from broker.journal.sqlite import SqliteJournal
from broker.journal.sqlite_tables import tables_of
from tests.broker.journal.test_sqlite_commit import statements_of
from tests.support.journal_writes import RoomWriter, row, tables_in
from wire.names import Slot, TableName


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with closing(SqliteJournal(tmp_path / "journal.sqlite", new_store_id="store-1")) as journal:
        journal.claim([Slot(7)], 1, "shard-1")
        yield journal


@pytest.mark.parametrize("size", [1, 100])
def test_rows_of_a_group_are_three_statements_and_snapshots_one(journal: SqliteJournal, size: int) -> None:
    writers = [RoomWriter(f"test/room-{n}") for n in range(size)]
    for writer in writers:
        writer.commit(journal, "one")
    rows = [row(f"person-{n}", "yes") for n in range(10)]
    assert statements_of(journal, [writer.write("two", rows=rows) for writer in writers]) == 4 + 2
    for writer in writers:
        writer.head, writer.rows_seq = writer.write().head, 1
    writers = [RoomWriter(f"test/other-{n}") for n in range(size)]
    for writer in writers:
        writer.commit(journal, "one", rows=rows)
    both = [row("person-1", None), row("person-2", "no")]
    assert statements_of(journal, [writer.write("two", rows=both, snapshot=Snapshot(2, b"s")) for writer in writers]) == 4 + 3 + 1


def test_a_write_of_rows_alone_adds_nothing_to_the_log(journal: SqliteJournal) -> None:
    writer = RoomWriter()
    writer.commit(journal, "one")
    assert statements_of(journal, [writer.write(rows=[row("ann", "yes")])]) == 5
    assert journal._reader.execute("SELECT count(*) FROM log").fetchone() == (1,)


def test_a_row_that_was_deleted_is_in_no_file_once_the_lane_was_idle(journal: SqliteJournal, tmp_path: Path) -> None:
    writer = RoomWriter()
    writer.commit(journal, "one", rows=[row("ann", "SECRET-VOTE"), row("bob", "kept")])
    journal.idle()
    writer.commit(journal, rows=[row("ann", None)])
    journal.idle()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"SECRET-VOTE" not in files
    assert b"kept" in files
    assert tables_in(journal, writer.room) == {"votes": {"bob": "kept"}}


def test_the_tables_of_a_room_are_listed_in_order(journal: SqliteJournal) -> None:
    writer, other = RoomWriter(), RoomWriter("test/other")
    writer.commit(journal, "one", rows=[row("ann", "1", table) for table in ("votes", "a", "supporters")] + [row("b", "1", "a")])
    other.commit(journal, "one", rows=[row("ann", "1", "elsewhere")])
    assert list(tables_of(journal._reader, writer.room)) == [TableName(name) for name in ("a", "supporters", "votes")]
