"""Retention deletes rows, keeps heads, and pays for what goes."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from broker.journal.codec import encode_entries
from broker.journal.sqlite import SqliteJournal
from tests.support.journal_contract import loaded
from tests.support.journal_writes import START_MS, RoomWriter
from wire.names import Slot

NOTHING = encode_entries([])


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with closing(SqliteJournal(tmp_path / "journal.sqlite", new_store_id="store-1", synchronous="normal")) as journal:
        journal.claim([Slot(7)], 1, "shard-1")
        yield journal


def rows(journal: SqliteJournal) -> list[tuple[int, int, bool, bool]]:
    """First and last offset of each row, and whether it has ids and entries."""
    found = journal._reader.execute("SELECT first, last, ids IS NOT NULL, entries <> ? FROM log ORDER BY n", (NOTHING,))
    return [(first, last, bool(ids), bool(entries)) for first, last, ids, entries in found.fetchall()]


def test_a_row_goes_when_neither_its_entries_nor_its_ids_are_kept(journal: SqliteJournal) -> None:
    writer = RoomWriter()
    for n in (1, 2, 3, 4):
        writer.commit(journal, *["text"] * n)  # 1, 2-3, 4-6, 7-10
    journal.retain(writer.room, 4, START_MS + 5, 0)  # entries from 5, ids from 6
    assert rows(journal) == [(4, 6, True, True), (7, 10, True, True)]
    assert [e.offset for e in loaded(journal, writer.room).tail] == [5, 6, 7, 8, 9, 10]
    assert [row.offset for row in loaded(journal, writer.room).ids] == [6, 7, 8, 9, 10]


def test_a_row_whose_ids_live_longer_is_blanked_and_goes_with_them(journal: SqliteJournal) -> None:
    writer = RoomWriter()
    for _ in range(4):
        writer.commit(journal, "text")
    journal.retain(writer.room, 3, 0, 2)
    assert rows(journal) == [(1, 1, True, False), (2, 2, True, False), (3, 3, True, False), (4, 4, True, True)]
    journal.retain(writer.room, 3, START_MS + 99, 2)
    assert rows(journal) == [(3, 3, True, False), (4, 4, True, True)]
    assert [row.offset for row in loaded(journal, writer.room).ids] == [3, 4]


def test_the_row_of_a_head_is_blanked_and_stays_until_there_is_another(journal: SqliteJournal) -> None:
    writer = RoomWriter()
    writer.commit(journal, "one", "two")
    journal.retain(writer.room, 2, START_MS + 99, 0)
    assert rows(journal) == [(1, 2, False, False)]
    writer.commit(journal, "three")
    journal.retain(writer.room, 2, START_MS + 2, 0)
    assert rows(journal) == [(3, 3, True, True)]


def test_an_ended_epoch_keeps_its_head_alone(journal: SqliteJournal) -> None:
    writer = RoomWriter()
    writer.commit(journal, "one")
    writer.commit(journal, "two", "three")
    writer.commit(journal, "begun", "four", new_epoch="epoch-b")
    journal.retain(writer.room, 1, START_MS + 4, 0)
    assert rows(journal) == [(2, 3, False, False), (1, 2, True, True)]


def test_a_room_under_retention_does_not_grow(journal: SqliteJournal) -> None:
    writer = RoomWriter()
    pages = []
    for _ in range(6):
        for _ in range(100):
            writer.commit(journal, "x" * 500)
        journal.retain(writer.room, writer.head.offset - 100, writer.now - 100, 0)
        pages.append(journal._reader.execute("PRAGMA page_count").fetchone()[0])
    assert len(rows(journal)) == 100
    assert max(pages[2:]) <= pages[1] + 4
