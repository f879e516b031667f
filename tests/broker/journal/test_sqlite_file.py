"""Opening: one journal is made, ours is recognised, and whatever else is there is named and left as it was."""

import os
import resource
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from broker.journal import sqlite_file
from broker.journal.protocol import JournalCorrupt, Snapshot, Unavailable
from broker.journal.sqlite import SqliteJournal
from broker.journal.sqlite_archive import SqliteSource
from broker.journal.sqlite_file import APPLICATION_ID, FORMAT_VERSION, FULL_CHECK_BYTES_MAX
from broker.journal.verify import VerifiedRoom
from tests.support.journal_writes import RoomWriter, loaded, row, tables_in
from wire.names import RoomName, Slot


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with something in it, closed."""
    path = tmp_path / "journal.sqlite"
    with closing(SqliteJournal(path, new_store_id="store-1")) as journal:
        journal.claim([Slot(7)], 1, "shard-1")
        journal.commit([RoomWriter(f"test/room-{n}").write("x" * 300) for n in range(200)])
    return path


def refusal(path: Path) -> str:
    """The sentence with which `path` is refused; nothing in its directory may have changed by it."""
    before = contents(path.parent)
    with pytest.raises(JournalCorrupt) as refused:
        SqliteJournal(path, new_store_id="never")
    assert contents(path.parent) == before
    return str(refused.value)


def contents(directory: Path) -> dict[str, bytes]:
    # Without the index of the write-ahead log, which is no content: SQLite makes it anew from the log.
    files = sorted(directory.glob("*")) if directory.is_dir() else []
    return {file.name: file.read_bytes() for file in files if file.is_file() and not file.name.endswith("-shm")}


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


# --- making one ------------------------------------------------------------------------------------


def test_a_new_journal_is_private_durable_and_known_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "a name with 100 % and ? and # in it.sqlite"
    with closing(SqliteJournal(path, new_store_id="store-1")) as journal:
        assert journal.store_id == "store-1"
        for connection in (journal._lane, journal._reader):
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
            assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in tmp_path.iterdir())
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_store_id_is_that_of_the_first_opening(path: Path) -> None:
    with closing(SqliteJournal(path, new_store_id="another")) as journal:
        assert journal.store_id == "store-1"


def test_synchronous_normal_is_a_setting(path: Path) -> None:
    with closing(SqliteJournal(path, new_store_id="x", synchronous="normal")) as journal:
        assert journal._lane.execute("PRAGMA synchronous").fetchone() == (1,)


# --- what is not ours ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"dear diary\n" * 1000, b"SQLite format 3\x00" * 50, b"\x00" * 8192])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(content)
    assert f"journal {path}: this is not an SQLite database" in refusal(path)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "places.sqlite"
    change(path, "CREATE TABLE bookmarks (url)", "INSERT INTO bookmarks VALUES ('https://example.org')")
    assert refusal(path) == f"journal {path}: this is an SQLite database, but not a journal of parvis"


def test_a_journal_of_a_newer_program_is_refused(path: Path) -> None:
    change(path, f"UPDATE meta SET value = {FORMAT_VERSION + 1} WHERE name = 'format'")
    sentence = f"written by a newer parvis: its format is {FORMAT_VERSION + 1}, this program knows {FORMAT_VERSION}"
    assert sentence in refusal(path)


def before_tables(path: Path) -> None:
    """Make it a file of format 1."""
    change(
        path, "DROP TABLE table_rows", "DROP TABLE snapshots", "ALTER TABLE rooms DROP COLUMN rows_seq",
        "UPDATE meta SET value = 1 WHERE name = 'format'",
    )  # fmt: skip


def test_a_file_from_before_tables_is_brought_to_this_format_with_all_that_is_in_it(path: Path) -> None:
    with closing(SqliteJournal(path, new_store_id="never")) as journal:
        before = loaded(journal, RoomName("test/room-7"))
    before_tables(path)
    with closing(SqliteJournal(path, new_store_id="never")) as journal, closing(SqliteJournal(path, new_store_id="no")) as other:
        assert loaded(journal, RoomName("test/room-7")) == before
        writer = RoomWriter("test/room-7")
        writer.head = before.head
        assert writer.commit(journal, "two", rows=[row("ann", "yes")], snapshot=Snapshot(2, b"s")).verdict.value == "committed"
        assert tables_in(other, writer.room) == {"votes": {"ann": "yes"}}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone() == (FORMAT_VERSION,)


def test_an_upgrade_that_is_cut_leaves_the_older_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before_tables(path)
    with monkeypatch.context() as cut:
        cut.setattr("broker.journal.sqlite_file._TABLES", sqlite_file._TABLES + "CREATE TABLE rooms (again)")
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            SqliteJournal(path, new_store_id="never")
    with closing(SqliteSource(path)) as source:
        assert len(list(source.rooms())) == 200
    with closing(SqliteJournal(path, new_store_id="never")) as journal:
        assert loaded(journal, RoomName("test/room-7")).rows_seq == 0


def test_who_only_reads_an_older_file_leaves_it_to_its_program(path: Path) -> None:
    before_tables(path)
    before = contents(path.parent)
    with closing(SqliteSource(path)) as source:
        rooms = [VerifiedRoom(room) for room in source.rooms()]
        assert {(room.rows_seq, room.snapshot) for room in rooms} == {(0, None)}
        assert [list(room.rows()) for room in rooms] == [[]] * 200
    assert contents(path.parent) == before


def test_a_program_from_before_tables_refuses_this_format(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.journal.sqlite_file.FORMAT_VERSION", 1)
    assert "written by a newer parvis: its format is 2, this program knows 1" in refusal(path)


@pytest.mark.parametrize(
    "damage", ["DELETE FROM meta WHERE name = 'store_id'", "UPDATE meta SET value = 'one' WHERE name = 'format'"]
)
def test_a_journal_without_its_versions_is_damaged(path: Path, damage: str) -> None:
    change(path, damage)
    assert "the file is damaged" in refusal(path)


# --- damage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 60, 511])
def test_an_empty_file_is_damage_and_no_beginning(path: Path, size: int) -> None:
    os.truncate(path, size)
    assert f"journal {path}: {size} bytes are too few for a journal" in refusal(path)


@pytest.mark.parametrize("pages", [1, 2, 7, -1])
def test_a_truncated_file_is_refused(path: Path, pages: int) -> None:
    size = path.stat().st_size
    os.truncate(path, pages * 4096 if pages > 0 else size - 4096)
    assert "the file is damaged" in refusal(path)


def test_damage_in_the_middle_is_found(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(os.urandom(2 * 4096))
    assert "the file is damaged" in refusal(path)


def test_a_large_journal_is_opened_without_reading_all_of_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.journal.sqlite_file.FULL_CHECK_BYTES_MAX", path.stat().st_size - 1)
    assert FULL_CHECK_BYTES_MAX >= 1 << 20
    SqliteJournal(path, new_store_id="x").close()
    os.truncate(path, path.stat().st_size - 4096)
    assert "the file is damaged" in refusal(path)


def test_a_write_ahead_log_without_its_file_is_refused(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    with closing(SqliteJournal(path, new_store_id="x")) as journal:
        RoomWriter(room="test/other").commit(journal, "one")
        log = wal.read_bytes()
    path.unlink()
    wal.write_bytes(log)
    assert f"the file is gone, its log {wal.name} is there" in refusal(path)


# --- places ----------------------------------------------------------------------------------------------


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "not" / "here.sqlite").endswith(f"there is no directory {tmp_path / 'not'}")


def test_a_directory_is_no_journal(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith("this is a directory")


def test_a_full_disk_is_unavailable_and_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # the nearest to a full disk that needs no mount
    try:
        with pytest.raises(Unavailable, match="cannot be opened now"):
            SqliteJournal(tmp_path / "journal.sqlite", new_store_id="x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_stays_locked_is_unavailable(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=f"journal {path}: database is locked"):
            SqliteJournal(path, new_store_id="x", busy_timeout_s=0.01)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Permissions say nothing to root, so root becomes nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that nobody can reach, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    directory.chmod(0o755)
    shutil.rmtree(directory)


@pytest.mark.parametrize(("file_mode", "directory_mode"), [(0o444, 0o755), (0o444, 0o555), (0o000, 0o755)])
def test_what_may_not_be_written_is_refused(path: Path, public_directory: Path, file_mode: int, directory_mode: int) -> None:
    place = public_directory / "journal.sqlite"
    shutil.copy(path, place)
    place.chmod(file_mode)
    public_directory.chmod(directory_mode)
    before = place.read_bytes() if os.geteuid() == 0 or file_mode else b""
    with without_privileges(), pytest.raises(JournalCorrupt, match=f"journal {place}: cannot be"):
        SqliteJournal(place, new_store_id="x")
    assert before in (b"", place.read_bytes())
    assert [file.name for file in public_directory.iterdir()] == [place.name]


def test_a_directory_that_may_not_be_written_is_refused(public_directory: Path) -> None:
    public_directory.chmod(0o555)
    with without_privileges(), pytest.raises(JournalCorrupt, match=r"cannot be made or opened: Permission denied"):
        SqliteJournal(public_directory / "journal.sqlite", new_store_id="x")
