"""A group costs the same number of statements however large it is, and leaves one row for each write."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from broker.journal.codec import decode_entries, decode_ids, erased
from broker.journal.protocol import Erasure, Write
from broker.journal.sqlite import SqliteJournal
from tests.support.journal_writes import RoomWriter
from wire.names import Slot


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with closing(SqliteJournal(tmp_path / "journal.sqlite", new_store_id="store-1")) as journal:
        journal.claim([Slot(7)], 1, "shard-1")
        yield journal


def statements_of(journal: SqliteJournal, writes: list[Write]) -> int:
    """How often a commit of `writes` called into SQLite."""
    statements: list[str] = []
    journal._lane.set_trace_callback(statements.append)
    journal.commit(writes)
    journal._lane.set_trace_callback(None)
    return len(statements)


def test_a_group_is_four_statements_whatever_its_size(journal: SqliteJournal) -> None:
    writers = [RoomWriter(f"test/room-{n}") for n in range(100)]
    first = [writer.write("one") for writer in writers]
    assert statements_of(journal, first) == 7, "three more for rooms that begin"
    for writer, write in zip(writers, first, strict=True):
        writer.head = write.head
    one, rest = [writers[0].write("two")], [writer.write("two", "three") for writer in writers[1:]]
    assert statements_of(journal, one) == 4
    assert statements_of(journal, rest) == 4


def test_a_group_in_which_nothing_passes_writes_nothing(journal: SqliteJournal) -> None:
    assert statements_of(journal, [RoomWriter(term=9).write("fenced")]) == 3


def test_a_write_is_one_row_with_its_blobs_cut_in_the_right_places(journal: SqliteJournal) -> None:
    writers = [RoomWriter(f"test/room-{n}") for n in range(3)]
    writes = [writer.write(*(f"größer {n} " * (n + 1) for _ in range(n + 1))) for n, writer in enumerate(writers)]
    journal.commit(writes)
    rows = journal._reader.execute("SELECT epoch_no, first, last, at, chain, ids, entries FROM log ORDER BY n").fetchall()
    assert [row[:5] for row in rows] == [(n + 1, 1, n + 1, w.head.at, w.head.chain) for n, w in enumerate(writes)]
    assert [decode_ids(row[5]) for row in rows] == [w.ids for w in writes]
    assert [decode_entries(row[6]) for row in rows] == [w.entries for w in writes]


def test_a_write_without_ids_has_none_in_its_row(journal: SqliteJournal) -> None:
    write = RoomWriter().write("one")
    journal.commit([Write(write.room, write.slot, write.term, write.base, write.head, write.entries)])
    assert journal._reader.execute("SELECT ids FROM log").fetchall() == [(None,)]


def test_erasing_keeps_offset_time_kind_digest_and_the_first_reason() -> None:
    one, two = RoomWriter().write("one", "two").entries
    after = erased([one, two], [Erasure(2, "author"), Erasure(9, "author")])
    assert after[0] == one
    assert (after[1].offset, after[1].at, after[1].kind, after[1].digest) == (2, two.at, two.kind, two.digest)
    assert (after[1].removed, after[1].salt, after[1].author, after[1].id, after[1].body) == ("author", b"", "", "", b"")
    assert erased(after, [Erasure(2, "moderator")]) == after
