"""A journal in SQLite that is filled from elsewhere: each room in one transaction, the file marked until all are there.

The mark is the file's application id, so programs that know nothing of marks refuse it as well.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from broker.journal.archive import CheckedRoom, EpochOutline, Standing, Unfinished
from broker.journal.codec import encode_entries, encode_ids
from broker.journal.protocol import IdRow
from broker.journal.sqlite import BUSY_TIMEOUT_S
from broker.journal.sqlite_file import APPLICATION_ID, UNFINISHED_ID, mark_of, open_file, unavailable
from broker.journal.sqlite_rooms import OFFSET_MAX
from broker.journal.sqlite_tables import put_rows
from broker.record import Entry
from wire.names import RoomName, Slot, Term

# As many as a busy room puts into one write: an erasure rewrites a row, and a page of history decodes a few.
ROW_ENTRIES: Final = 64
_NOTHING: Final = encode_entries([])

_BEGIN_EPOCH: Final = "INSERT INTO epochs (room, epoch, kept_from) VALUES (?1, ?2, ?3) RETURNING epoch_no"
_ENTER_ROOM: Final = "INSERT INTO rooms (room, epoch_no, epoch, rows_seq) VALUES (?1, ?2, ?3, ?4)"
_PUT_SNAPSHOT: Final = "INSERT INTO snapshots (room, epoch_no, offset, state) VALUES (?1, ?2, ?3, ?4)"
_APPEND: Final = "INSERT INTO log (epoch_no, first, last, at, chain, ids, entries) VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6)"
_PUT_IDS: Final = "UPDATE log SET ids = ?2 WHERE n = ?1"
_SET_META: Final = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_SET_SLOT: Final = """
INSERT INTO slots VALUES (?1, ?2, '', ?3)
ON CONFLICT (slot) DO UPDATE SET term = excluded.term, owner = '', map_version = excluded.map_version
"""


class _Row(NamedTuple):
    """A row of `log`."""

    first: int
    n: int
    epoch_no: int


class SqliteTarget:
    """See `Target`."""

    def __init__(self, path: Path, *, new_store_id: str) -> None:
        """Open the file, or make it, empty and without a mark.  Raises `JournalCorrupt` or `Unavailable`."""
        self._path = path
        self.name = f"journal {path}"
        # What is lost by a power cut in the middle is put again; `finish` syncs all of it.
        self._connection = open_file(path, new_store_id, "normal", BUSY_TIMEOUT_S, to_fill=True)

    def unfinished(self) -> Unfinished | None:
        with self._telling():
            (application_id,) = self._connection.execute("PRAGMA application_id").fetchone()
            return mark_of(self._connection) if application_id == UNFINISHED_ID else None

    def has_rooms(self) -> bool:
        with self._telling():
            return self._connection.execute("SELECT 1 FROM epochs LIMIT 1").fetchone() is not None

    def begin(self, mark: Unfinished) -> None:
        with self._transaction() as connection:
            connection.execute(f"PRAGMA application_id = {UNFINISHED_ID}")
            connection.execute(_SET_META, ("unfinished", msgspec.json.encode(mark).decode()))

    def clear(self) -> None:
        assert self.unfinished() is not None, "only what is being filled is emptied"
        with self._transaction() as connection:
            for table in ("rooms", "epochs", "log", "table_rows", "snapshots"):
                connection.execute(f"DELETE FROM {table}")

    def has(self, room: RoomName) -> bool:
        with self._telling():
            return self._connection.execute("SELECT 1 FROM rooms WHERE room = ?1", (room,)).fetchone() is not None

    def put(self, room: CheckedRoom) -> None:
        with self._transaction() as connection:
            epochs = [_put_epoch(connection, room, epoch) for epoch in room.epochs]
            _put_ids(connection, epochs, room.ids())
            for rows in room.rows():
                put_rows(connection, [(room.name, row) for row in rows])
            epoch_no = epochs[-1][-1].epoch_no
            if room.snapshot is not None:
                connection.execute(_PUT_SNAPSHOT, (room.name, epoch_no, room.snapshot.offset, room.snapshot.state))
            connection.execute(_ENTER_ROOM, (room.name, epoch_no, room.epochs[-1].head.epoch, room.rows_seq))

    def finish(self, store_id: str, standing: Standing) -> None:
        with self._telling():
            self._connection.execute("PRAGMA synchronous = full")
        with self._transaction() as connection:
            (newest,) = connection.execute("SELECT value FROM meta WHERE name = 'map_version'").fetchone()
            slots = connection.execute("SELECT slot, term FROM slots").fetchall()
            after = standing.over(Standing(newest, {Slot(slot): Term(term) for slot, term in slots}))
            connection.executemany(_SET_SLOT, [(slot, term, after.map_version) for slot, term in after.terms.items()])
            connection.executemany(_SET_META, [("map_version", after.map_version), ("store_id", store_id)])
            connection.execute("DELETE FROM meta WHERE name = 'unfinished'")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        with self._telling():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        try:
            with self._telling():
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What the world does to the file, as a sentence."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise unavailable(self._path, error, "it is unfinished: repeat the command when that is mended") from error


def _put_epoch(connection: sqlite3.Connection, room: CheckedRoom, epoch: EpochOutline) -> list[_Row]:
    """Its rows, in order."""
    head, anchor, before = epoch.head, epoch.anchor, epoch.first_kept - 1
    (epoch_no,) = connection.execute(_BEGIN_EPOCH, (room.name, head.epoch, epoch.first_kept)).fetchone()
    rows: list[_Row] = []

    def append(first: int, last: int, at: int, chain: bytes, entries: bytes) -> None:
        cursor = connection.execute(_APPEND, (epoch_no, first, last, at, chain, entries))
        assert cursor.lastrowid is not None, "a row that was inserted has a number"
        rows.append(_Row(first, cursor.lastrowid, epoch_no))

    if before == head.offset:
        append(before, before, head.at, head.chain, _NOTHING)
    elif before > 0 and anchor.offset == before:
        # As retention leaves it behind for its ids: a row without entries that knows the chain.
        append(before, before, 0, anchor.chain, _NOTHING)
    for portion in room.portions(epoch):
        for start, stop in _cuts(portion.entries, anchor.offset):
            entries = portion.entries[start:stop]
            last = entries[-1]
            append(entries[0].offset, last.offset, last.at, portion.chains[stop - 1], encode_entries(entries))
    return rows


def _cuts(entries: Sequence[Entry], anchor: int) -> Iterator[tuple[int, int]]:
    """Where rows begin and end: every `ROW_ENTRIES`, and after `anchor`, where knowing the chain begins."""
    start, known_from = 0, anchor - entries[0].offset + 1
    while start < len(entries):
        stop = min(start + ROW_ENTRIES, len(entries))
        if start < known_from < stop:
            stop = known_from
        yield start, stop
        start = stop


def _put_ids(connection: sqlite3.Connection, epochs: Sequence[Sequence[_Row]], ids: Sequence[IdRow]) -> None:
    """Lay each id beside its entry, or where that would be.

    An id does not name its epoch; from new to old its offsets fall until an older epoch begins.
    Where that goes unseen the id lies beside another entry, and still in its order, which is
    all that counts.
    """
    laid: dict[int, list[IdRow]] = {}
    epoch, newer_offset = len(epochs) - 1, OFFSET_MAX
    for each in reversed(ids):
        if each.offset >= newer_offset and epoch > 0:
            epoch -= 1
        newer_offset = each.offset
        rows = epochs[epoch]
        place = bisect_right(rows, each.offset, key=lambda row: row.first)
        laid.setdefault(rows[max(0, place - 1)].n, []).append(each)
    connection.executemany(_PUT_IDS, [(n, encode_ids(newest_first[::-1])) for n, newest_first in laid.items()])
