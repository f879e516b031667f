"""The journal in one SQLite file: durable at each commit, shared by the shard processes of one machine.

The write-ahead log lets one process write while all read.  Every write begins with BEGIN
IMMEDIATE, so its check of term and head and its storing are one step for all processes:
that is what fences a writer whose slot was claimed by another.  Writes have one connection
(the lane's), reads another, which never waits for a writer.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from broker.journal.codec import DECODE_ERRORS
from broker.journal.protocol import CommitOutcome, LoadedRoom, StaleMap, Unavailable, Write
from broker.journal.sqlite_commit import commit_group
from broker.journal.sqlite_file import NOTHING_WRITTEN, Synchronous, code_of, connect, open_file, unavailable
from broker.journal.sqlite_retain import retain_room
from broker.journal.sqlite_rooms import load_room, read_entries
from broker.journal.sqlite_tables import read_rows
from broker.record import Entry
from wire.names import Epoch, RoomName, Slot, TableName, Term

# Below COMMIT_DEADLINE_S: the lane should know its own failure before its caller stops waiting for it.
BUSY_TIMEOUT_S: Final = 4.0
# `idle` checkpoints from here on: 256 pages take about as long as a commit, and two fsyncs are paid once for them.
_CHECKPOINT_BYTES: Final = 1024 * 1024
# A lane that waits for another process asks again after 1, 2 and 5 ms, and so on from the start.  Left alone,
# SQLite's pauses grow to 100 ms, and beside a process that commits without a pause it waited up to 2.8 s.
_BUSY_STEP_MS: Final = 8
_SET_BUSY_STEP: Final = f"PRAGMA busy_timeout = {_BUSY_STEP_MS}"
# What a write puts into the write-ahead log, about: a share of a page of the log, and most of one of its index.
_WRITE_BYTES: Final = 4096

_MAP_VERSION: Final = "SELECT value FROM meta WHERE name = 'map_version'"
_RAISE_TERMS: Final = """
INSERT INTO slots (slot, term, owner, map_version) SELECT value, 1, ?2, ?3 FROM json_each(?1)
WHERE true
ON CONFLICT (slot) DO UPDATE SET term = term + 1, owner = excluded.owner, map_version = excluded.map_version
"""
_TERMS: Final = "SELECT json_group_array(json_array(s.slot, s.term)) FROM json_each(?1) AS q JOIN slots AS s ON s.slot = q.value"

_to_json = msgspec.json.Encoder().encode
_pairs = msgspec.json.Decoder(list[tuple[int, int]]).decode


class SqliteJournal:
    """See `Journal`.  Safe to share between threads: writes wait for writes, reads for reads."""

    def __init__(
        self, path: Path, *, new_store_id: str, synchronous: Synchronous = "full", busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        """Open the file, or make it with `new_store_id` when there is none.

        Raises `JournalCorrupt` or `Unavailable` with a sentence that names path and cause.
        `normal` gives up the fsync per commit: a power cut may then lose the last commits,
        never the order or the file.
        """
        self._path = path
        self._synchronous: Synchronous = synchronous
        self._busy_timeout_s = busy_timeout_s
        self._begin_attempts = max(1, round(busy_timeout_s * 1000 / _BUSY_STEP_MS))
        self._lane_lock = threading.Lock()
        self._read_lock = threading.Lock()
        # Bytes that commits of ours put into the write-ahead log since `idle` last emptied it, about.
        self._unchecked_bytes = 0
        # What was erased may still be in the write-ahead log; also what a predecessor erased before it was killed.
        self._erased = True
        self._lane: sqlite3.Connection | None = open_file(path, new_store_id, synchronous, busy_timeout_s)
        self._lane.execute(_SET_BUSY_STEP)
        try:
            self._reader = connect(path, synchronous, busy_timeout_s)
            (self._store_id,) = self._reader.execute("SELECT value FROM meta WHERE name = 'store_id'").fetchone()
        except sqlite3.DatabaseError as error:
            self._lane.close()
            raise unavailable(self._path, error, "cannot be read") from error

    @property
    def store_id(self) -> str:
        return str(self._store_id)

    def store_run(self) -> str:
        return self.store_id

    def newest_map_version(self) -> int:
        with self._reading("the map version") as connection:
            return int(connection.execute(_MAP_VERSION).fetchone()[0])

    def claim(self, slots: Sequence[Slot], map_version: int, owner: str) -> Mapping[Slot, Term]:
        wanted = _to_json(list(dict.fromkeys(slots))).decode()
        with self._writing() as connection:
            (newest,) = connection.execute(_MAP_VERSION).fetchone()
            if map_version < newest:
                raise StaleMap(map_version, newest)
            if map_version > newest:
                connection.execute("UPDATE meta SET value = ?1 WHERE name = 'map_version'", (map_version,))
            connection.execute(_RAISE_TERMS, (wanted, owner, map_version))
            (answer,) = connection.execute(_TERMS, (wanted,)).fetchone()
        return {Slot(slot): Term(term) for slot, term in _pairs(answer)}

    def commit(self, writes: Sequence[Write]) -> Sequence[CommitOutcome]:
        with self._writing() as connection:
            outcomes = commit_group(connection, writes)
        self._unchecked_bytes += len(writes) * _WRITE_BYTES
        self._erased |= any(write.erasures or any(row.value is None for row in write.rows) for write in writes)
        return outcomes

    def load(self, room: RoomName, tail_events: int, tail_bytes: int, ids_since_ms: int, ids_min: int) -> LoadedRoom | None:
        with self._reading(f"room {room}") as connection:
            return load_room(connection, room, tail_events, tail_bytes, ids_since_ms, ids_min)

    def read(self, room: RoomName, epoch: Epoch, after: int, limit: int) -> Sequence[Entry]:
        with self._reading(f"room {room}, epoch {epoch}") as connection:
            return read_entries(connection, room, epoch, after, limit)

    def rows(self, room: RoomName, table: TableName, after_key: str, limit: int) -> Sequence[tuple[str, bytes]]:
        with self._reading(f"room {room}, table {table}") as connection:
            return read_rows(connection, room, table, after_key, limit)

    def retain(self, room: RoomName, keep_after: int, ids_before_ms: int, ids_min: int, entries_before_ms: int = 0) -> int:
        with self._writing() as connection:
            first_kept = retain_room(connection, room, keep_after, ids_before_ms, ids_min, entries_before_ms)
        self._erased = True
        return first_kept

    def idle(self) -> None:
        """Move the write-ahead log into the file once it has grown, and empty it when text was erased.

        Otherwise a commit would do it, at `AUTOCHECKPOINT_PAGES`.  What other processes keep
        from being done now is done at a later call.
        """
        if not self._erased and self._unchecked_bytes < _CHECKPOINT_BYTES:
            return
        with self._lane_lock:
            try:
                connection = self._open_lane()
                if self._erased:
                    self._erased = not _empty_wal(connection)
                else:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except sqlite3.DatabaseError as error:
                raise unavailable(self._path, error, "could not be checkpointed; nothing is lost") from error
            self._unchecked_bytes = 0

    def close(self) -> None:
        """The last process to close empties the write-ahead log and removes it."""
        with self._lane_lock, self._read_lock:
            self._reader.close()
            if self._lane is not None:
                self._lane.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction of the lane: all of it or nothing, and `Unavailable` when the world is at fault."""
        with self._lane_lock:
            connection: sqlite3.Connection | None = None
            doing = NOTHING_WRITTEN
            try:
                connection = self._open_lane()
                self._begin(connection)
                yield connection
                doing = "the commit itself failed, so what was written is unknown"
                connection.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                raise unavailable(self._path, error, doing) from error
            except DECODE_ERRORS as error:
                sentence = f"journal {self._path}: a stored row is damaged: {error}; {NOTHING_WRITTEN}"
                raise Unavailable(sentence, nothing_done=True) from error
            finally:
                if connection is not None and connection.in_transaction:
                    self._roll_back(connection)

    def _open_lane(self) -> sqlite3.Connection:
        """The lane's connection; a new one when the last had to be given up."""
        if self._lane is None:
            self._lane = connect(self._path, self._synchronous, self._busy_timeout_s)
            self._lane.execute(_SET_BUSY_STEP)
        return self._lane

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Wait for the file's one writer, `busy_timeout_s` at most."""
        for attempts_left in reversed(range(self._begin_attempts)):
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if attempts_left == 0 or code_of(error) != sqlite3.SQLITE_BUSY:
                    raise
            else:
                return

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        """Undo; a connection that cannot even do that is given up, and closing it undoes."""
        try:
            connection.execute("ROLLBACK")
        except sqlite3.DatabaseError:
            self._lane = None
            connection.close()

    @contextmanager
    def _reading(self, what: str) -> Iterator[sqlite3.Connection]:
        """One snapshot of the reading connection; it waits for no writer.  `what` is for the error's sentence."""
        with self._read_lock:
            connection = self._reader
            try:
                connection.execute("BEGIN")
                yield connection
            except sqlite3.DatabaseError as error:
                raise unavailable(self._path, error, f"{what} could not be read") from error
            except DECODE_ERRORS as error:
                raise Unavailable(f"journal {self._path}: a stored row of {what} is damaged: {error}") from error
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


def _empty_wal(connection: sqlite3.Connection) -> bool:
    """Move the whole write-ahead log into the file and cut it to nothing; False when others are in the way, without waiting."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(_SET_BUSY_STEP)
    return not busy
