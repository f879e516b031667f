"""The SQLite archive keeps the contract, and says what is damaged."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

import pytest

from broker.journal.protocol import JournalCorrupt
from broker.journal.sqlite_archive import SqliteSource
from broker.journal.verify import VerifiedRoom
from tests.support.archive_contract import ROOMS, ArchiveContract, Life, Make, Store, lived
from tests.support.journal_writes import START_MS, RoomWriter
from tests.support.sqlite_store import SqliteStore
from wire.names import Slot


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    with ExitStack() as opened:
        numbers = count()
        yield lambda: SqliteStore(tmp_path / f"{next(numbers)}.sqlite", opened)


class TestSqliteArchive(ArchiveContract):
    pass


def read_all(store: Store) -> None:
    for reading in store.source().rooms():
        room = VerifiedRoom(reading)
        for epoch in room.epochs:
            list(room.portions(epoch))
        room.ids()


def damaged(store: Store, statement: str) -> str:
    """What reading everything says after a change in the file."""
    assert isinstance(store, SqliteStore)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount > 0
    with pytest.raises(JournalCorrupt) as refused:
        read_all(store)
    return str(refused.value)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE log SET chain = zeroblob(16) WHERE n = (SELECT max(n) FROM log)", "do not lead to the chain of its head"),
        ("UPDATE log SET at = at + 1 WHERE n = (SELECT max(n) FROM log)", "from another time"),
        ("UPDATE log SET entries = x'91' WHERE n = 3", "a stored row of "),
        ("UPDATE log SET entries = x'90' WHERE n = 3", " after "),
        ("UPDATE log SET ids = x'91' WHERE n = 3", "a stored row of "),
        ("DELETE FROM log WHERE n = 3", " after "),
        ("DELETE FROM log WHERE epoch_no = (SELECT epoch_no FROM rooms WHERE room = 'test/b')", "has no head"),
        ("UPDATE epochs SET kept_from = 1000000 WHERE room = 'test/b'", "is said to have"),
        ("DELETE FROM epochs WHERE room = 'test/b'", "it has no epoch"),
    ],
)
def test_what_is_damaged_is_named_by_its_room(make: Make, statement: str, sentence: str) -> None:
    store = make()
    life = Life(3)
    life.claim(store.journal(), 1)
    for _ in range(4):
        for writer in life.writers:
            writer.commit(store.journal(), "one", "two")
    said = damaged(store, statement)
    assert sentence in said
    assert any(f"{room} " in said for room in ROOMS)


def test_a_journal_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(JournalCorrupt, match=r"none\.sqlite: there is none"):
        SqliteSource(tmp_path / "none.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_reading_changes_nothing(make: Make) -> None:
    store = make()
    lived(store)
    source = store.source()
    with pytest.raises(sqlite3.OperationalError):
        source._connection.execute("DELETE FROM rooms")  # type: ignore[attr-defined]  # the guard itself


def test_writers_and_checkpoints_go_on_while_a_room_is_read(make: Make) -> None:
    store = make()
    life = lived(store)
    with closing(store.source().rooms()) as rooms:
        next(rooms)
        life.go_on(store.journal(), 20)
        next(rooms)
    store.journal().idle()


def test_what_a_file_knows_of_the_chain_is_what_its_rows_know(make: Make) -> None:
    store = make()
    journal = store.journal()
    writer = RoomWriter()
    writer.slot = Slot(7)
    writer.term = journal.claim([Slot(7)], 1, "shard-1")[Slot(7)]
    for _ in range(4):
        writer.commit(journal, *["text"] * 5)
    for keep_after, anchor in ((0, 0), (3, 5), (5, 10), (12, 15), (19, 20), (20, 20)):
        journal.retain(writer.room, keep_after, START_MS * 2, 0)
        (outline,) = next(store.source().rooms()).epochs
        assert (outline.first_kept, outline.anchor.offset) == (keep_after + 1, anchor)
