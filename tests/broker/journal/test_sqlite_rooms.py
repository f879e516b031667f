"""A room is loaded in a number of statements that does not grow with it, each answering one row."""

from contextlib import closing
from pathlib import Path

import pytest

from broker.journal.sqlite import SqliteJournal
from tests.support.journal_contract import loaded
from tests.support.journal_writes import START_MS, RoomWriter
from wire.names import Slot


@pytest.mark.parametrize("rows", [3, 600])
def test_a_load_is_a_few_statements_whatever_the_length_of_the_log(tmp_path: Path, rows: int) -> None:
    with closing(SqliteJournal(tmp_path / "journal.sqlite", new_store_id="store-1", synchronous="normal")) as journal:
        journal.claim([Slot(7)], 1, "shard-1")
        writer = RoomWriter()
        for _ in range(rows):
            writer.commit(journal, "text")
        statements: list[str] = []
        journal._reader.set_trace_callback(statements.append)
        assert len(loaded(journal, writer.room).tail) == rows
        # BEGIN, room, entries, epochs, ids, ids again to find that there are no more, ROLLBACK.
        assert len(statements) <= 7
        statements.clear()
        assert len(journal.read(writer.room, writer.head.epoch, 0, 1000)) == rows
        assert len(statements) == 4


def test_ids_are_read_in_portions_and_only_as_far_as_they_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.journal.sqlite_rooms._ID_ROWS_PER_STEP", 10)
    with closing(SqliteJournal(tmp_path / "journal.sqlite", new_store_id="store-1", synchronous="normal")) as journal:
        journal.claim([Slot(7)], 1, "shard-1")
        writer = RoomWriter()
        for n in range(45):
            writer.commit(journal, *["text"] * (n % 2 + 1))
        last = writer.head.offset
        every = [row.offset for row in loaded(journal, writer.room).ids]
        assert every == list(range(1, last + 1))
        for wanted in range(0, last + 5, 3):
            offsets = [row.offset for row in loaded(journal, writer.room, since=START_MS + 10**6, ids=wanted).ids]
            assert offsets == every[max(0, last - wanted):]
        statements: list[str] = []
        journal._reader.set_trace_callback(statements.append)
        loaded(journal, writer.room, since=START_MS + 10**6, ids=5)
        assert sum("ids" in statement and "FROM log" in statement for statement in statements) == 1
