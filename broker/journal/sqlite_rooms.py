"""One room out of SQLite: its head, its tail, its ids and its history.

Many rows come back as one, their blobs in hex and joined by commas, for the reason given in
`sqlite_commit`: a step per row would let go of the interpreter lock a thousand times in a
load.  Each function runs inside a transaction that the caller began.
"""

import sqlite3
from collections.abc import Iterator
from typing import Final

from broker.journal.codec import (
    bounded_tail,
    decode_entries,
    decode_ids,
    live_ids,
    stored_bytes,
)
from broker.journal.protocol import IdRow, LoadedRoom, Snapshot
from broker.record import Entry, Head
from wire.names import Epoch, RoomName

_ID_ROWS_PER_STEP: Final = 2048

ROOM: Final = """
SELECT r.epoch_no, r.epoch, e.kept_from, l.last, l.chain, l.at, r.rows_seq, s.offset, s.state
FROM rooms AS r JOIN epochs AS e ON e.epoch_no = r.epoch_no
JOIN log AS l ON l.n = (SELECT n FROM log WHERE epoch_no = r.epoch_no ORDER BY first DESC LIMIT 1)
LEFT JOIN snapshots AS s ON s.room = r.room AND s.epoch_no = r.epoch_no
WHERE r.room = ?1
"""
EPOCHS: Final = "SELECT epoch_no, ids_from FROM epochs WHERE room = ?1 ORDER BY epoch_no DESC"
_EPOCH: Final = "SELECT epoch_no, kept_from FROM epochs WHERE room = ?1 AND epoch = ?2"
# Rows of epoch ?1 that hold offsets ?2 to ?3, until newer ones have more than ?4 bytes.
_ENTRIES: Final = """
SELECT group_concat(hex(entries)) FROM (
    SELECT entries, sum(length(entries)) OVER (ORDER BY first DESC) - length(entries) AS newer_bytes
    FROM log WHERE epoch_no = ?1 AND first <= ?3
    AND first >= coalesce((SELECT max(first) FROM log WHERE epoch_no = ?1 AND first <= ?2), 0)
) WHERE newer_bytes <= ?4
"""
# The next ?4 rows of epoch ?1 with ids, newest first, that begin below ?2 and not below ?3.
_IDS: Final = """
SELECT min(first), group_concat(first || ':' || hex(ids)) FROM (
    SELECT first, ids FROM log
    WHERE epoch_no = ?1 AND first < ?2 AND first >= ?3 AND ids IS NOT NULL ORDER BY first DESC LIMIT ?4
)
"""
OFFSET_MAX: Final = 2**62


def load_room(
    connection: sqlite3.Connection, room: RoomName, tail_events: int, tail_bytes: int, ids_since_ms: int, ids_min: int
) -> LoadedRoom | None:
    """See `Journal.load`."""
    found = connection.execute(ROOM, (room,)).fetchone()
    if found is None:
        return None
    epoch_no, epoch, kept_from, last, chain, at, rows_seq, snapshot_offset, state = found
    first = max(kept_from, last - tail_events + 1)
    # Twice, since a row's array header counts here and not in `stored_bytes`; the bound itself is held below.
    entries = _entries(connection, epoch_no, first, last, 2 * tail_bytes)
    return LoadedRoom(
        head=Head(epoch, last, chain, at),
        tail=bounded_tail(reversed(entries), tail_events, tail_bytes, stored_bytes),
        ids=live_ids((row for _, _, row in ids_newest_first(connection, room)), ids_since_ms, ids_min),
        first_offset=kept_from,
        rows_seq=rows_seq,
        snapshot=None if state is None else Snapshot(snapshot_offset, state),
    )


def read_entries(connection: sqlite3.Connection, room: RoomName, epoch: Epoch, after: int, limit: int) -> list[Entry]:
    """See `Journal.read`."""
    found = connection.execute(_EPOCH, (room, epoch)).fetchone()
    if found is None:
        return []
    epoch_no, kept_from = found
    first = max(after + 1, kept_from)
    return _entries(connection, epoch_no, first, first + limit - 1, OFFSET_MAX)


def _entries(connection: sqlite3.Connection, epoch_no: int, first: int, last: int, bytes_max: int) -> list[Entry]:
    """Entries with offsets `first` to `last`, in order; the oldest rows left out beyond `bytes_max`."""
    (joined,) = connection.execute(_ENTRIES, (epoch_no, first, last, bytes_max)).fetchone()
    rows = [decode_entries(bytes.fromhex(row)) for row in joined.split(",")] if joined else []
    entries = [entry for row in rows for entry in row if first <= entry.offset <= last]
    # The order of group_concat is nobody's promise.
    entries.sort(key=lambda entry: entry.offset)
    return entries


def ids_newest_first(connection: sqlite3.Connection, room: RoomName) -> Iterator[tuple[int, int, IdRow]]:
    """(epoch number, first offset of its row, id) of every id still kept, over all epochs; read as far as it is asked."""
    for epoch_no, ids_from in connection.execute(EPOCHS, (room,)).fetchall():
        below = OFFSET_MAX
        while True:
            oldest, joined = connection.execute(_IDS, (epoch_no, below, ids_from, _ID_ROWS_PER_STEP)).fetchone()
            if oldest is None:
                break
            parts = (part.split(":") for part in joined.split(","))
            for first, packed in sorted(((int(first), packed) for first, packed in parts), reverse=True):
                for row in reversed(decode_ids(bytes.fromhex(packed))):
                    yield epoch_no, first, row
            below = oldest
