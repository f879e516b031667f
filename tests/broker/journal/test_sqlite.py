"""The SQLite journal keeps the contract, says what fails, and erases what it was told to erase."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from broker.journal.protocol import CommitVerdict, Erasure, Unavailable
from broker.journal.sqlite import SqliteJournal
from tests.support.disk import files_no_larger_than
from tests.support.journal_contract import JournalContract, Reopen, loaded
from tests.support.journal_writes import RoomWriter
from wire.names import Slot


class TestSqliteJournal(JournalContract):
    @pytest.fixture(params=["full", "normal"])
    def reopen(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Reopen]:
        opened: list[SqliteJournal] = []

        def open_again() -> SqliteJournal:
            while opened:
                opened.pop().close()
            path = tmp_path / "journal.sqlite"
            opened.append(SqliteJournal(path, new_store_id="store-1", synchronous=request.param))
            return opened[0]

        yield open_again
        opened[0].close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    with closing(SqliteJournal(path, new_store_id="store-1", busy_timeout_s=0.05)) as journal:
        journal.claim([Slot(7)], 1, "shard-1")
        yield journal


@contextmanager
def foreign(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that is not the journal's: an operator's shell."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def bytes_on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


# --- what fails ---------------------------------------------------------------------------------


def test_a_locked_file_is_unavailable_and_nothing_was_written(journal: SqliteJournal, path: Path) -> None:
    writer = RoomWriter()
    writer.commit(journal, "one")
    with foreign(path) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=rf"{path}: database is locked \(SQLITE_BUSY\); nothing was written") as away:
            writer.commit(journal, "two")
        assert away.value.nothing_done
        with pytest.raises(Unavailable):
            journal.claim([Slot(7)], 1, "shard-1")
        assert loaded(journal, writer.room).head == writer.head, "reads wait for no writer"
        shell.execute("ROLLBACK")
    assert writer.commit(journal, "two").verdict is CommitVerdict.COMMITTED


def test_a_full_file_system_is_unavailable_and_heals(journal: SqliteJournal, path: Path) -> None:
    writer = RoomWriter()
    writer.commit(journal, "one")
    unknown = "the commit itself failed, so what was written is unknown"
    with files_no_larger_than(200_000), pytest.raises(Unavailable, match=unknown) as away:
        writer.commit(journal, "x" * 300_000)
    assert not away.value.nothing_done
    assert loaded(journal, writer.room).head == writer.head
    assert writer.commit(journal, "after").verdict is CommitVerdict.COMMITTED
    journal.close()
    with closing(SqliteJournal(path, new_store_id="other")) as again:
        assert loaded(again, writer.room).head == writer.head


def test_a_database_that_may_not_grow_is_unavailable_and_nothing_was_written(journal: SqliteJournal) -> None:
    writer = RoomWriter()
    journal._lane.execute("PRAGMA max_page_count = 10")  # SQLite raises it to the pages that there are
    with pytest.raises(Unavailable, match=r"full \(SQLITE_FULL\); nothing was written"):
        writer.commit(journal, "x" * 100_000)
    assert journal.load(writer.room, 1, 1, 0, 0) is None


def test_a_fault_of_ours_is_not_blamed_on_the_disk(journal: SqliteJournal, path: Path) -> None:
    with foreign(path) as shell:
        shell.execute("DROP TABLE slots")
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        RoomWriter().commit(journal, "one")


def test_a_damaged_row_makes_its_room_unavailable_and_no_other(journal: SqliteJournal, path: Path) -> None:
    good, bad = RoomWriter("test/good"), RoomWriter("test/bad")
    good.commit(journal, "one")
    bad.commit(journal, "one")
    with foreign(path) as shell:
        shell.execute("UPDATE log SET entries = x'93' WHERE n = 2")
    with pytest.raises(Unavailable, match="a stored row of room test/bad is damaged"):
        loaded(journal, bad.room)
    with pytest.raises(Unavailable, match="test/bad"):
        journal.read(bad.room, bad.head.epoch, 0, 10)
    with pytest.raises(Unavailable, match="damaged"):
        bad.commit(journal, erasures=[Erasure(1, "moderator")])
    assert loaded(journal, good.room).head == good.head


def test_a_connection_that_cannot_roll_back_is_replaced(journal: SqliteJournal, path: Path) -> None:
    class Stuck:
        """A connection of which only its end works."""

        in_transaction = True

        def execute(self, statement: str) -> None:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR, "SQLITE_IOERR"
            raise error

        def close(self) -> None:
            real.close()

    real, journal._lane = journal._lane, Stuck()  # type: ignore[assignment]  # the few calls that are made of it
    with pytest.raises(Unavailable, match="SQLITE_IOERR"):
        RoomWriter().commit(journal, "one")
    away = path.rename(path.with_name("away"))
    for call in (lambda: RoomWriter().commit(journal, "one"), journal.idle):
        with pytest.raises(Unavailable, match="SQLITE_CANTOPEN"):
            call()
    away.rename(path)
    assert RoomWriter().commit(journal, "one").verdict is CommitVerdict.COMMITTED


def test_closing_leaves_one_file(journal: SqliteJournal, path: Path) -> None:
    RoomWriter().commit(journal, "one")
    journal.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# --- readers and writers ------------------------------------------------------------------------


def test_many_threads_read_what_one_writes(journal: SqliteJournal) -> None:
    writer = RoomWriter()
    writer.commit(journal, "first")
    seen: list[int] = []

    def read() -> None:
        for _ in range(50):
            room = loaded(journal, writer.room)
            assert [entry.offset for entry in room.tail] == list(range(1, room.head.offset + 1))
            seen.append(room.head.offset)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(50):
        writer.commit(journal, f"message {n}")
    for thread in threads:
        thread.join()
    assert len(seen) == 150


# --- the write-ahead log ------------------------------------------------------------------------


def test_what_was_erased_is_in_no_file_once_the_lane_was_idle(journal: SqliteJournal, path: Path) -> None:
    writer = RoomWriter()
    writer.commit(journal, "keep", "THE-SECRET", "keep")
    assert b"THE-SECRET" in bytes_on_disk(path)
    writer.commit(journal, erasures=[Erasure(2, "moderator")])
    journal.idle()
    assert b"THE-SECRET" not in bytes_on_disk(path)
    assert b"keep" in bytes_on_disk(path)


def test_what_retention_forgets_is_in_no_file_either(journal: SqliteJournal, path: Path) -> None:
    writer = RoomWriter()
    writer.commit(journal, "THE-SECRET")
    writer.commit(journal, "SECRET-TOO", "keep")
    journal.retain(writer.room, 2, 0, 0)
    journal.idle()
    assert b"SECRET" not in bytes_on_disk(path)
    assert b"keep" in bytes_on_disk(path)


def test_an_erasure_that_a_reader_keeps_in_the_log_goes_at_a_later_idle(journal: SqliteJournal, path: Path) -> None:
    writer = RoomWriter()
    writer.commit(journal, "THE-SECRET")
    with foreign(path) as shell:
        shell.execute("BEGIN")
        shell.execute("SELECT count(*) FROM log").fetchone()
        writer.commit(journal, erasures=[Erasure(1, "moderator")])
        journal.idle()
        assert b"THE-SECRET" in bytes_on_disk(path)
        shell.execute("ROLLBACK")
    journal.idle()
    assert b"THE-SECRET" not in bytes_on_disk(path)


def test_the_write_ahead_log_is_bounded_with_and_without_idle_moments(journal: SqliteJournal, path: Path) -> None:
    writers = [RoomWriter(f"test/room-{n}") for n in range(50)]
    wal = path.with_name(path.name + "-wal")
    for idle, bytes_max in ((True, 6 << 20), (False, 18 << 20)):
        for _ in range(40):
            writes = [writer.write("x" * 8000) for writer in writers]
            journal.commit(writes)
            for writer, write in zip(writers, writes, strict=True):
                writer.head = write.head
            if idle:
                journal.idle()
            assert wal.stat().st_size <= bytes_max


def test_what_a_killed_predecessor_erased_goes_at_the_first_idle(journal: SqliteJournal, path: Path) -> None:
    writer = RoomWriter()
    writer.commit(journal, "THE-SECRET")
    writer.commit(journal, erasures=[Erasure(1, "moderator")])
    with closing(SqliteJournal(path, new_store_id="unused")) as successor:
        successor.idle()
        assert b"THE-SECRET" not in bytes_on_disk(path)


def test_idle_does_nothing_when_there_is_nothing_to_do(journal: SqliteJournal) -> None:
    journal.idle()
    RoomWriter().commit(journal, "one")
    statements: list[str] = []
    journal._lane.set_trace_callback(statements.append)
    journal.idle()
    assert statements == []
