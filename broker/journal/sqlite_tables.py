"""The tables and snapshots of rooms in SQLite: a group's rows in a number of statements that does not grow with it.

As in `sqlite_commit`, and for its reason: rows travel as JSON, their blobs are cut out of one
long parameter, and many come back as one.  Runs inside a transaction that the caller began.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from broker.journal.protocol import Row, Write
from wire.names import RoomName, TableName

# ?1 is [[room, table, key, start of value, its length], ...]; starts count from 1 in ?2.  Of an empty blob SQLite
# cuts NULL.
_PUT: Final = """
INSERT INTO table_rows (room, name, key, value)
SELECT value ->> 0, value ->> 1, value ->> 2, coalesce(substr(?2, value ->> 3, value ->> 4), x'') FROM json_each(?1)
WHERE true  -- without it the parser takes ON CONFLICT for a join's ON (sqlite.org/lang_upsert.html, 2.2)
ON CONFLICT (room, name, key) DO UPDATE SET value = excluded.value
"""
# ?1 is [[room, table, key], ...].
_DROP: Final = """
DELETE FROM table_rows
WHERE (room, name, key) IN (SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1))
"""
# ?1 is {room: sequence}.
_COUNT: Final = "UPDATE rooms SET rows_seq = q.value FROM json_each(?1) AS q WHERE rooms.room = q.key"
# ?1 is [room, ...].
_FORGET_SNAPSHOTS: Final = "DELETE FROM snapshots WHERE room IN (SELECT value FROM json_each(?1))"
# ?1 is [[room, epoch_no, offset, start of state, its length], ...], as above.
_PUT_SNAPSHOTS: Final = """
INSERT INTO snapshots (room, epoch_no, offset, state)
SELECT value ->> 0, value ->> 1, value ->> 2, coalesce(substr(?2, value ->> 3, value ->> 4), x'') FROM json_each(?1)
WHERE true
ON CONFLICT (room) DO UPDATE SET epoch_no = excluded.epoch_no, offset = excluded.offset, state = excluded.state
"""
_ROWS: Final = """
SELECT group_concat(hex(key) || ':' || hex(value)) FROM (
    SELECT key, value FROM table_rows WHERE room = ?1 AND name = ?2 AND key > ?3 ORDER BY key LIMIT ?4
)
"""
_NEXT_TABLE: Final = "SELECT min(name) FROM table_rows WHERE room = ?1 AND name > ?2"

_to_json = msgspec.json.Encoder().encode


def store_tables(connection: sqlite3.Connection, writes: Sequence[tuple[Write, int | None]]) -> None:
    """Store the rows and snapshots of writes that passed, each with the number of its epoch."""
    put_rows(connection, [(write.room, row) for write, _ in writes for row in write.rows])
    sequences = {write.room: write.rows_seq for write, _ in writes if write.rows}
    if sequences:
        connection.execute(_COUNT, (_to_json(sequences).decode(),))
    ended = [write.room for write, _ in writes if write.new_epoch and write.snapshot is None]
    if ended:
        connection.execute(_FORGET_SNAPSHOTS, (_to_json(ended).decode(),))
    states: list[bytes] = []
    snapshots: list[tuple[str, int | None, int, int, int]] = []
    start = 1  # substr counts from 1
    for write, epoch_no in writes:
        if write.snapshot is not None:
            state = write.snapshot.state
            snapshots.append((write.room, epoch_no, write.snapshot.offset, start, len(state)))
            states.append(state)
            start += len(state)
    if snapshots:
        connection.execute(_PUT_SNAPSHOTS, (_to_json(snapshots).decode(), b"".join(states)))


def put_rows(connection: sqlite3.Connection, rows: Sequence[tuple[RoomName, Row]]) -> None:
    """Put or delete rows, each of them named once."""
    values: list[bytes] = []
    put: list[tuple[str, str, str, int, int]] = []
    dropped: list[tuple[str, str, str]] = []
    start = 1
    for room, row in rows:
        if row.value is None:
            dropped.append((room, row.table, row.key))
        else:
            put.append((room, row.table, row.key, start, len(row.value)))
            values.append(row.value)
            start += len(row.value)
    if put:
        connection.execute(_PUT, (_to_json(put).decode(), b"".join(values)))
    if dropped:
        connection.execute(_DROP, (_to_json(dropped).decode(),))


def read_rows(
    connection: sqlite3.Connection, room: RoomName, table: TableName, after_key: str, limit: int
) -> list[tuple[str, bytes]]:
    """See `Journal.rows`."""
    (joined,) = connection.execute(_ROWS, (room, table, after_key, limit)).fetchone()
    pairs = (part.split(":") for part in joined.split(",")) if joined else ()
    # The order of group_concat is nobody's promise.
    return sorted((bytes.fromhex(key).decode(), bytes.fromhex(value)) for key, value in pairs)


def tables_of(connection: sqlite3.Connection, room: RoomName) -> Iterator[TableName]:
    """The tables of a room that have rows, in order."""
    name = ""
    while (name := connection.execute(_NEXT_TABLE, (room, name)).fetchone()[0]) is not None:
        yield TableName(name)
