"""A journal in SQLite read as a whole, room by room, while its shards go on writing.

Each room is read in one transaction, so it is as it was at one moment; a snapshot of all rooms
would keep the write-ahead log from being emptied until the last one was read.
"""

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.journal.archive import (
    BEGINNING,
    PAGE_ROOMS,
    PORTION_ENTRIES,
    PORTION_ROWS,
    Anchor,
    EpochOutline,
    Extent,
    RoomDamaged,
    Standing,
)
from broker.journal.codec import DECODE_ERRORS, live_ids
from broker.journal.protocol import IdRow, JournalCorrupt, Row, Snapshot
from broker.journal.sqlite import BUSY_TIMEOUT_S
from broker.journal.sqlite_file import cause_of, code_of, format_of, open_file, unavailable
from broker.journal.sqlite_rooms import ids_newest_first, read_entries
from broker.journal.sqlite_tables import read_rows, tables_of
from broker.record import Entry, Head
from wire.names import Epoch, RoomName, Slot, Term

_EXTENT: Final = """
SELECT (SELECT count(*) FROM rooms), (
    SELECT coalesce(sum((SELECT last FROM log WHERE epoch_no = e.epoch_no ORDER BY first DESC LIMIT 1) - e.kept_from + 1), 0)
    FROM epochs AS e
)
"""
_PAGE: Final = "SELECT room FROM rooms WHERE room > ?1 ORDER BY room LIMIT ?2"
_EPOCHS: Final = "SELECT epoch_no, epoch, kept_from FROM epochs WHERE room = ?1 ORDER BY epoch_no"
_HEAD: Final = "SELECT last, chain, at FROM log WHERE epoch_no = ?1 ORDER BY first DESC LIMIT 1"
_TABLES: Final = """
SELECT r.rows_seq, s.offset, s.state FROM rooms AS r
LEFT JOIN snapshots AS s ON s.room = r.room AND s.epoch_no = r.epoch_no WHERE r.room = ?1
"""
# Before this format a file has no tables; one that is only read stays as it is.
_TABLES_SINCE: Final = 2
# A row knows the chain after its last entry, unless it came from a journal that did not.
_ANCHOR: Final = "SELECT last, chain FROM log WHERE epoch_no = ?1 AND last >= ?2 AND chain <> x'' ORDER BY first LIMIT 1"


@dataclass(frozen=True, slots=True)
class _Reading:
    """One room, inside the transaction that `SqliteSource.rooms` began."""

    connection: sqlite3.Connection
    path: Path
    name: RoomName
    epochs: Sequence[EpochOutline]
    rows_seq: int
    snapshot: Snapshot | None

    def entries(self, epoch: EpochOutline) -> Iterator[Sequence[Entry]]:
        after = epoch.first_kept - 1
        while after < epoch.head.offset:
            with _reading(self.path, self.name):
                entries = read_entries(self.connection, self.name, epoch.head.epoch, after, PORTION_ENTRIES)
            if not entries:
                return
            yield entries
            after = entries[-1].offset

    def ids(self) -> Sequence[IdRow]:
        with _reading(self.path, self.name):
            return live_ids((row for _, _, row in ids_newest_first(self.connection, self.name)), 0, 0)

    def rows(self) -> Iterator[Sequence[Row]]:
        if not self.rows_seq:
            return
        with _reading(self.path, self.name):
            tables = list(tables_of(self.connection, self.name))
        for table in tables:
            after = ""
            while True:
                with _reading(self.path, self.name):
                    found = read_rows(self.connection, self.name, table, after, PORTION_ROWS)
                if not found:
                    break
                yield [Row(table, key, value) for key, value in found]
                after = found[-1][0]


class SqliteSource:
    """See `Source`."""

    def __init__(self, path: Path) -> None:
        """Raises `JournalCorrupt` also when there is no journal."""
        if not path.exists():
            raise JournalCorrupt(f"journal {path}: there is none")
        self._path = path
        self._connection = open_file(path, "", "full", BUSY_TIMEOUT_S, to_read=True)
        with _reading(path, "its tables"):
            self._connection.execute("PRAGMA query_only = ON")
            (store_id,) = self._connection.execute("SELECT value FROM meta WHERE name = 'store_id'").fetchone()
        self._store_id = str(store_id)

    @property
    def store_id(self) -> str:
        return self._store_id

    def standing(self) -> Standing:
        with self._snapshot("its tables"), _reading(self._path, "its tables"):
            (newest,) = self._connection.execute("SELECT value FROM meta WHERE name = 'map_version'").fetchone()
            terms = self._connection.execute("SELECT slot, term FROM slots").fetchall()
        return Standing(newest, {Slot(slot): Term(term) for slot, term in terms})

    def extent(self) -> Extent:
        with _reading(self._path, "its tables"):
            return Extent(*self._connection.execute(_EXTENT).fetchone())

    def rooms(self) -> Generator[_Reading, None, None]:
        """In the order of their names, each in a transaction of its own."""
        after = ""
        while page := self._names(after):
            for name in page:
                with self._snapshot(name):
                    yield self._room(name)
            after = page[-1]

    def close(self) -> None:
        self._connection.close()

    def _names(self, after: str) -> list[RoomName]:
        with _reading(self._path, "the list of rooms"):
            return [RoomName(name) for (name,) in self._connection.execute(_PAGE, (after, PAGE_ROOMS)).fetchall()]

    @contextmanager
    def _snapshot(self, what: str) -> Iterator[None]:
        with _reading(self._path, what):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _room(self, name: RoomName) -> _Reading:
        with _reading(self._path, name):
            epochs = [self._outline(name, *row) for row in self._connection.execute(_EPOCHS, (name,)).fetchall()]
            rows_seq, offset, state = 0, 0, None
            if format_of(self._connection) >= _TABLES_SINCE:
                rows_seq, offset, state = self._connection.execute(_TABLES, (name,)).fetchone()
        snapshot = None if state is None else Snapshot(offset, state)
        return _Reading(self._connection, self._path, name, epochs, rows_seq, snapshot)

    def _outline(self, name: RoomName, epoch_no: int, epoch: str, kept_from: int) -> EpochOutline:
        head = self._connection.execute(_HEAD, (epoch_no,)).fetchone()
        if head is None:
            raise RoomDamaged(name, f"epoch {epoch} has no head")
        last, chain, at = head
        anchor = BEGINNING
        if kept_from > 1:
            known = self._connection.execute(_ANCHOR, (epoch_no, kept_from - 1)).fetchone()
            anchor = Anchor(*known) if known is not None else Anchor(last, chain)
        return EpochOutline(Head(Epoch(epoch), last, chain, at), kept_from, anchor)


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """What the world does to a read, as a sentence."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if code_of(error) == sqlite3.SQLITE_CORRUPT:
            raise JournalCorrupt(f"journal {path}: {what} is damaged: {cause_of(error)}") from error
        raise unavailable(path, error, f"{what} could not be read") from error
    except DECODE_ERRORS as error:
        raise JournalCorrupt(f"journal {path}: a stored row of {what} is damaged: {error}") from error
