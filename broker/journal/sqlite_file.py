"""The file of the SQLite journal: made once and whole, and examined before anything is written to it.

A new journal is built beside its place and linked into it, so that a file at the path is
either a whole journal or not one of ours: an empty or cut one is damage, never a
beginning, and of two processes that start together one makes the journal and both open it.
The file is only ever read through SQLite: closing a file descriptor of our own would drop
the locks that this process holds on it (sqlite.org/howtocorrupt.html, 2.2).
"""

import errno
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from broker.journal.archive import Unfinished, unfinished_refusal
from broker.journal.directory_sync import sync_directory
from broker.journal.protocol import JournalCorrupt, Unavailable
from runtime.closing import closed_on_error

Synchronous = Literal["full", "normal"]

NOTHING_WRITTEN: Final = "nothing was written"
"""The consequence of whatever ends a transaction before its COMMIT."""

FORMAT_VERSION: Final = 2
APPLICATION_ID: Final = 0x70727673  # "prvs", at byte 68 of the file: how file(1) and we know it
# "prvu": a file that is being filled from elsewhere.  An older program does not know it, and leaves it alone, too.
UNFINISHED_ID: Final = 0x70727675
_FILE_BYTES_MIN: Final = 512  # the smallest page of SQLite
# quick_check reads every page: 1 ms a MiB out of the page cache, some ten times that from a cold disk.  A larger
# file has only its small tables checked; its length SQLite compares with its header at every opening.
FULL_CHECK_BYTES_MAX: Final = 256 * 1024 * 1024
# 32 MiB of pages: with SQLite's 2 MiB the index of a few thousand rooms is read again at each group.
CACHE_KIB: Final = 32 * 1024
# A commit that finds this many pages in the WAL checkpoints them itself; `idle` comes long before.
AUTOCHECKPOINT_PAGES: Final = 4096
WAL_BYTES_KEPT_MAX: Final = AUTOCHECKPOINT_PAGES * 4096

# What format 2 has and format 1 has not.
_TABLES: Final = """
-- How often a room's tables were written to.
ALTER TABLE rooms ADD COLUMN rows_seq INTEGER NOT NULL DEFAULT 0;
-- One row for each row of each room's tables.
CREATE TABLE table_rows (
    room TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (room, name, key)
) WITHOUT ROWID;
-- The newest snapshot of each room; void when its epoch is not the room's.
CREATE TABLE snapshots (room TEXT PRIMARY KEY, epoch_no INTEGER NOT NULL, offset INTEGER NOT NULL, state BLOB NOT NULL);
"""
_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
-- Who may write to a slot.
CREATE TABLE slots (slot INTEGER PRIMARY KEY, term INTEGER NOT NULL, owner TEXT NOT NULL, map_version INTEGER NOT NULL);
-- One row for each epoch of each room, never deleted.  `kept_from` is the oldest offset still kept;
-- rows of `log` whose `first` is below `ids_from` have no ids left.
CREATE TABLE epochs (
    epoch_no INTEGER PRIMARY KEY, room TEXT NOT NULL, epoch TEXT NOT NULL,
    kept_from INTEGER NOT NULL DEFAULT 1, ids_from INTEGER NOT NULL DEFAULT 1,
    UNIQUE (room, epoch)
);
-- The newest epoch of each room.
CREATE TABLE rooms (room TEXT PRIMARY KEY, epoch_no INTEGER NOT NULL, epoch TEXT NOT NULL) WITHOUT ROWID;
-- One row for each write: offsets `first` to `last`, and the head after it.  An epoch's newest row is
-- its head and outlives its entries.  Rows are appended in the order of commits and found by the index:
-- clustered by room they cost 4 times the CPU and 7 times the WAL.
CREATE TABLE log (
    n INTEGER PRIMARY KEY, epoch_no INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    at INTEGER NOT NULL, chain BLOB NOT NULL, ids BLOB, entries BLOB NOT NULL
);
CREATE INDEX log_by_epoch ON log (epoch_no, first);
""" + _TABLES

# What the world does to a file.  Anything else (a constraint, a misspelt statement) is a bug of ours.
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNWRITABLE: Final = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_FAILING: Final = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_NOLFS,
}
_OS_FAILING: Final = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE}


def is_worlds_fault(error: sqlite3.Error) -> bool:
    """Whether SQLite failed because of the disk, the file or another process, and not because of our statement."""
    return code_of(error) in _DAMAGED | _UNWRITABLE | _FAILING


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code; extended ones carry it in their low byte."""
    # The module itself raises an OperationalError, without a code, for a text that is not UTF-8 any more.
    damaged_text = sqlite3.SQLITE_CORRUPT if isinstance(error, sqlite3.OperationalError) else sqlite3.SQLITE_OK
    return getattr(error, "sqlite_errorcode", damaged_text) & 0xFF


def cause_of(error: sqlite3.Error) -> str:
    """SQLite's own words and the name of its code, for a sentence to an operator."""
    return f"{error} ({getattr(error, 'sqlite_errorname', 'damaged text')})"


def unavailable(path: Path, error: sqlite3.DatabaseError, consequence: str) -> Unavailable:
    """The world's fault as a sentence; a fault of ours is raised again as it is."""
    if not is_worlds_fault(error):
        raise error
    return Unavailable(f"journal {path}: {cause_of(error)}; {consequence}", nothing_done=consequence == NOTHING_WRITTEN)


def open_file(
    path: Path, new_store_id: str, synchronous: Synchronous, busy_timeout_s: float, *,
    to_fill: bool = False, to_read: bool = False,
) -> sqlite3.Connection:  # fmt: skip
    """A connection to the journal at `path`, which is made, with `new_store_id`, when there is none.

    `to_fill`: one that is marked as unfinished is opened, too.  `to_read`: one of an older format stays
    one; for everybody else it is brought to this one, and older programs refuse it from then on.  Raises `JournalCorrupt` when
    this is no place or no file for a journal of ours, and `Unavailable` when the disk is full
    or the file stays locked.
    """
    try:
        if not path.parent.is_dir():
            raise JournalCorrupt(f"journal {path}: there is no directory {path.parent}")
        if path.is_dir():
            raise JournalCorrupt(f"journal {path}: this is a directory")
        if not path.exists():
            _create(path, new_store_id)
        size = path.stat().st_size
        if size < _FILE_BYTES_MIN:  # SQLite would take it for an empty database, and begin a new one in it
            raise JournalCorrupt(f"journal {path}: {size} bytes are too few for a journal; put back a backup, or remove the file")
        connection = connect(path, synchronous, busy_timeout_s)
        with closed_on_error(connection):
            _verify(connection, path, to_fill)
            if not to_read:
                _upgrade(connection)
        return connection
    except OSError as error:
        sentence = f"journal {path}: cannot be made or opened: {error.strerror}"
        raise (Unavailable if error.errno in _OS_FAILING else JournalCorrupt)(sentence) from error
    except sqlite3.DatabaseError as error:
        raise _refusal(path, error) from error


def connect(path: Path, synchronous: Synchronous, busy_timeout_s: float) -> sqlite3.Connection:
    """One more connection to a journal that was opened before; raises `sqlite3.Error`.

    Statements are transactions of their own unless BEGIN says otherwise.
    """
    # `mode=rw` never creates; check_same_thread is off because a lane's jobs run on whichever worker
    # thread is free, one at a time.
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=rw", uri=True,
        isolation_level=None, check_same_thread=False, timeout=busy_timeout_s,
    )
    with closed_on_error(connection):
        _configure(connection, synchronous)
    return connection


def _configure(connection: sqlite3.Connection, synchronous: Synchronous) -> None:
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # What is erased is overwritten with zeros, not only unlinked.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {AUTOCHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT_MAX}")


def _create(path: Path, store_id: str) -> None:
    """Build an empty journal and link it to `path`, unless another process was first."""
    wal = path.with_name(path.name + "-wal")
    # SQLite would play an orphaned log into any file of that name.
    if wal.exists() and not path.exists():
        raise JournalCorrupt(f"journal {path}: the file is gone, its log {wal.name} is there; bring it back, or remove the log")
    # mkstemp makes it private (0600) from its first byte: it will hold what people wrote, and who they are.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    os.close(descriptor)
    draft = Path(name)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; {_SCHEMA}; COMMIT")
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [("format", FORMAT_VERSION), ("store_id", store_id), ("map_version", 0)],
            )
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        sync_directory(path.parent)
    finally:
        for suffix in ("", "-wal", "-shm"):
            draft.with_name(draft.name + suffix).unlink(missing_ok=True)


def _verify(connection: sqlite3.Connection, path: Path, to_fill: bool) -> None:
    """Read-only until the last line, which shows that it could be written."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id == UNFINISHED_ID and not to_fill:
        raise unfinished_refusal(f"journal {path}", mark_of(connection))
    if application_id not in (APPLICATION_ID, UNFINISHED_ID):
        raise JournalCorrupt(f"journal {path}: this is an SQLite database, but not a journal of parvis")
    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    if not {"format", "store_id", "map_version"} <= meta.keys():
        raise JournalCorrupt(f"journal {path}: the file is damaged: its table of versions is incomplete")
    if not isinstance(meta["format"], int):
        raise JournalCorrupt(f"journal {path}: the file is damaged: its format is no number")
    if meta["format"] > FORMAT_VERSION:
        raise JournalCorrupt(
            f"journal {path}: written by a newer parvis: its format is {meta['format']}, this program knows {FORMAT_VERSION}"
        )
    small = path.stat().st_size <= FULL_CHECK_BYTES_MAX
    for check in ("quick_check(1)",) if small else ("quick_check(meta)", "quick_check(slots)", "quick_check(rooms)"):
        (finding,) = connection.execute(f"PRAGMA {check}").fetchone()
        if finding != "ok":
            raise JournalCorrupt(f"journal {path}: the file is damaged: {finding}; put a backup in its place")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")


def format_of(connection: sqlite3.Connection) -> int:
    """The format of a file that was verified; raises `sqlite3.Error`."""
    return int(connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()[0])


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring a file to this format, in one transaction; of two processes one does it."""
    if format_of(connection) == FORMAT_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if format_of(connection) < FORMAT_VERSION:
            for statement in _TABLES.split(";\n"):
                connection.execute(statement)
            connection.execute("UPDATE meta SET value = ?1 WHERE name = 'format'", (FORMAT_VERSION,))
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def mark_of(connection: sqlite3.Connection) -> Unfinished:
    """What a file with `UNFINISHED_ID` is being filled from."""
    (mark,) = connection.execute("SELECT value FROM meta WHERE name = 'unfinished'").fetchone()
    return msgspec.json.decode(mark, type=Unfinished)


def _refusal(path: Path, error: sqlite3.DatabaseError) -> JournalCorrupt | Unavailable:
    """Why the file at `path` cannot be used; a fault of ours is raised again as it is."""
    refusal = unavailable(path, error, "it cannot be opened now")
    code = code_of(error)
    if code == sqlite3.SQLITE_NOTADB:
        return JournalCorrupt(f"journal {path}: this is not an SQLite database; nothing was changed")
    if code == sqlite3.SQLITE_CORRUPT:
        return JournalCorrupt(f"journal {path}: the file is damaged: {cause_of(error)}; put a backup in its place")
    if code in _UNWRITABLE:
        return JournalCorrupt(f"journal {path}: cannot be written: {cause_of(error)}; see who may write to it and its directory")
    return refusal
