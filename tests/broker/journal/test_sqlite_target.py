"""A file that is being filled: private, marked, refused by every program, whole rooms only, and rows a shard can live with."""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from broker.journal.archive import Unfinished
from broker.journal.codec import decode_entries
from broker.journal.fill import fill, prepare
from broker.journal.protocol import Erasure, JournalCorrupt, Unavailable
from broker.journal.sqlite import SqliteJournal
from broker.journal.sqlite_file import APPLICATION_ID
from broker.journal.sqlite_target import ROW_ENTRIES, SqliteTarget
from broker.record import CHAIN_START
from tests.support.archive_contract import Life, ModelStore, copy, lived, quiet
from tests.support.disk import files_no_larger_than
from tests.support.journal_contract import loaded
from tests.support.journal_writes import START_MS, RoomWriter, verified_chain
from tests.support.sqlite_store import SqliteStore
from wire.names import RoomName, Slot

MARK = Unfinished("copy", "store-1", "seal")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_an_unfinished_file_is_private_and_no_program_takes_it_for_a_journal(path: Path) -> None:
    with closing(SqliteTarget(path, new_store_id="x")) as target:
        prepare(target, MARK, anew=False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(JournalCorrupt, match=rf"journal {path}: a copy into it was not finished; repeat that command"):
        SqliteJournal(path, new_store_id="y")
    assert path.read_bytes() == before
    # A program that knows no marks knows the number of a journal.
    assert rows(path, "PRAGMA application_id") != [(APPLICATION_ID,)]


def test_the_mark_outlives_the_process_and_goes_with_the_finish(path: Path) -> None:
    store = ModelStore()
    lived(store)
    with closing(SqliteTarget(path, new_store_id="x")) as target:
        assert target.unfinished() is None
        prepare(target, MARK, anew=False)
    with closing(SqliteTarget(path, new_store_id="x")) as target:
        assert target.unfinished() == MARK
        fill(target, store.source().rooms(), quiet)
        target.finish("store-1", store.source().standing())
        assert target.unfinished() is None
        assert not path.with_name(path.name + "-wal").stat().st_size, "all of it is in the file"
    with closing(SqliteJournal(path, new_store_id="y")) as journal:
        assert journal.store_id == "store-1"
    assert rows(path, "SELECT count(*) FROM meta") == [(3,)]


def test_a_long_log_becomes_rows_that_an_erasure_can_rewrite(path: Path, opened: ExitStack) -> None:
    store = ModelStore()
    writer = RoomWriter(slot=7, term=store.journal().claim([Slot(7)], 1, "shard-1")[Slot(7)])
    for _ in range(3):
        writer.commit(store.journal(), *(f"text {n}" for n in range(400)))
    copied = SqliteStore(path, opened)
    copy(store, copied)
    packed = rows(path, "SELECT first, last, entries FROM log ORDER BY first")
    assert sum(len(decode_entries(row[2])) for row in packed) == 1200  # type: ignore[arg-type]  # blobs
    assert max(row[1] - row[0] + 1 for row in packed) == ROW_ENTRIES  # type: ignore[operator]  # numbers
    with closing(SqliteJournal(path, new_store_id="y")) as journal:
        writer.term = journal.claim([Slot(7)], 2, "shard-1")[Slot(7)]
        writer.commit(journal, "gone", erasures=[Erasure(555, "author")])
        entries = journal.read(writer.room, writer.head.epoch, 0, 2000)
        assert [e.offset for e in entries if e.removed] == [555]
        assert verified_chain(entries, writer.head.epoch, CHAIN_START) == writer.head.chain


def test_each_id_lies_beside_its_entry_over_all_epochs(path: Path, opened: ExitStack) -> None:
    store = ModelStore()
    writer = RoomWriter(slot=7, term=store.journal().claim([Slot(7)], 1, "shard-1")[Slot(7)])
    for epoch in (None, "epoch-b", "epoch-c"):
        writer.commit(store.journal(), *["text"] * 200, new_epoch=epoch)
    copy(store, SqliteStore(path, opened))
    with closing(SqliteJournal(path, new_store_id="y")) as journal:
        room = loaded(journal, writer.room, ids=10_000)
        assert list(room.ids) == list(loaded(store.journal(), writer.room, ids=10_000).ids)
        # Forgetting them by age costs the rows they lie in, and no other.
        journal.retain(writer.room, 0, START_MS + 450, 0)
        assert [row.at for row in loaded(journal, writer.room, ids=10_000).ids] == list(range(START_MS + 450, START_MS + 600))
    left = rows(path, "SELECT e.epoch, l.first FROM log AS l JOIN epochs AS e USING (epoch_no) WHERE ids IS NOT NULL ORDER BY n")
    assert left == [("epoch-c", first) for first in (1, 65, 129, 193)]


def test_a_full_disk_leaves_whole_rooms_and_the_mark_and_the_next_try_goes_on(path: Path, opened: ExitStack) -> None:
    store, copied = ModelStore(), SqliteStore(path, opened)
    life = Life(1)
    life.claim(store.journal(), 1)
    for writer in life.writers:
        writer.commit(store.journal(), *["x" * 2000] * 200)
    with files_no_larger_than(1_000_000), pytest.raises(Unavailable, match=r"it is unfinished: repeat the command"):
        copy(store, copied)
    with pytest.raises(JournalCorrupt, match="not finished"):
        SqliteJournal(path, new_store_id="y")
    tally = copy(store, copied)
    assert tally.rooms_there > 0
    assert tally.rooms + tally.rooms_there == len(life.writers)
    with closing(SqliteJournal(path, new_store_id="y")) as journal:
        assert life.shown(journal) == life.shown(store.journal())


def test_only_a_marked_file_is_emptied(path: Path) -> None:
    with closing(SqliteTarget(path, new_store_id="x")) as target, pytest.raises(AssertionError):
        target.clear()


def test_a_room_without_a_beginning_keeps_what_it_knew_of_its_chain(path: Path, opened: ExitStack) -> None:
    """Entries between the oldest kept one and the place where the chain is known have none; the rows say so."""
    store, middle = SqliteStore(path, opened), ModelStore()
    with closing(SqliteJournal(path, new_store_id="one")) as journal:
        writer = RoomWriter(slot=7, term=journal.claim([Slot(7)], 1, "shard-1")[Slot(7)])
        for _ in range(3):
            writer.commit(journal, *["text"] * 10)
        journal.retain(writer.room, 4, 0, 1000)
    copy(store, middle)
    again = SqliteStore(path.with_name("again.sqlite"), opened)
    copy(middle, again)
    with closing(again.source()) as source:
        (epoch,) = next(source.rooms()).epochs
        assert (epoch.first_kept, epoch.anchor.offset) == (5, 10)
    with closing(SqliteTarget(again.path, new_store_id="x")) as target:
        assert target.has(RoomName("test/room"))
