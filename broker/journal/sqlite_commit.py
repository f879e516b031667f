"""One group of writes into SQLite, in a number of statements that does not grow with the group.

At each step the sqlite3 module lets go of the interpreter lock and takes it back, and during
a fan-out pass each taking may wait the switch interval: so a group is one SELECT that answers
one row and one INSERT ... SELECT, with rows as JSON and blobs cut out of one long parameter.
Runs inside a transaction that the caller began; judges each write by `verdict.outcome_of`.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from broker.journal.codec import decode_entries, encode_entries, encode_ids, erased
from broker.journal.protocol import CommitOutcome, Erasure, Write
from broker.journal.sqlite_tables import store_tables
from broker.journal.verdict import COMMITTED, check_shape, outcome_of
from broker.record import CHAIN_BYTES, Head
from wire.names import Epoch, RoomName, Term

# ?1 is {room: slot}.  json_each walks it in the order it was written, and a LEFT JOIN keeps the left side's
# order, so answers stand in the order of the writes.  JSON has no blobs: the chain travels as hex.
_HEADS: Final = """
SELECT json_group_array(json_array(s.term, r.epoch_no, r.epoch, l.last, hex(l.chain), l.at, coalesce(r.rows_seq, 0)))
FROM json_each(?1) AS q
LEFT JOIN slots AS s ON s.slot = q.value
LEFT JOIN rooms AS r ON r.room = q.key
LEFT JOIN log AS l ON l.n = (SELECT n FROM log WHERE epoch_no = r.epoch_no ORDER BY first DESC LIMIT 1)
"""
# ?1 is {room: epoch} of the epochs that begin.
_BEGIN_EPOCHS: Final = "INSERT INTO epochs (room, epoch) SELECT key, value FROM json_each(?1)"
_ENTER_EPOCHS: Final = """
INSERT INTO rooms (room, epoch_no, epoch)
SELECT e.room, e.epoch_no, e.epoch FROM json_each(?1) AS q JOIN epochs AS e ON e.room = q.key AND e.epoch = q.value
WHERE true  -- without it the parser takes ON CONFLICT for a join's ON (sqlite.org/lang_upsert.html, 2.2)
ON CONFLICT (room) DO UPDATE SET epoch_no = excluded.epoch_no, epoch = excluded.epoch
"""
_EPOCH_NUMBERS: Final = "SELECT json_group_object(r.room, r.epoch_no) FROM json_each(?1) AS q JOIN rooms AS r ON r.room = q.key"
# ?1 is [[epoch_no, first, last, at, start of chain, start of ids, their length, start of entries, their length], ...];
# starts count from 1 in ?2, the blobs of all rows.
_APPEND: Final = """
INSERT INTO log (epoch_no, first, last, at, chain, ids, entries)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, substr(?2, value ->> 4, 16),
       nullif(substr(?2, value ->> 5, value ->> 6), x''), substr(?2, value ->> 7, value ->> 8)
FROM json_each(?1)
"""
_ROW_OF: Final = "SELECT n, first, entries FROM log WHERE epoch_no = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1"
_REWRITE: Final = "UPDATE log SET entries = ?2 WHERE n = ?1"


class _Standing(NamedTuple):
    """What the journal knows about one room and its slot; None for what it does not have."""

    term: Term | None
    epoch_no: int | None
    epoch: Epoch | None
    last: int | None
    chain_hex: str
    at: int | None
    rows_seq: int

    def head_for(self, base: Head) -> Head | None:
        """The room's head; `base` itself when it stands there, as it nearly always does: a `Head` costs 1 us to make."""
        if self.last == base.offset and self.epoch == base.epoch and self.chain_hex == base.chain.hex().upper():
            return base
        if self.epoch is None or self.last is None or self.at is None:
            return None
        return Head(self.epoch, self.last, bytes.fromhex(self.chain_hex), self.at)


_to_json = msgspec.json.Encoder().encode
_standings = msgspec.json.Decoder(list[_Standing]).decode
_numbers = msgspec.json.Decoder(dict[str, int]).decode


def commit_group(connection: sqlite3.Connection, writes: Sequence[Write]) -> list[CommitOutcome]:
    """Store those writes of a group that may be stored; the outcomes in the order of the writes."""
    slots = {write.room: write.slot for write in writes}
    assert len(slots) == len(writes), "at most one write per room in a group"
    (answer,) = connection.execute(_HEADS, (_to_json(slots).decode(),)).fetchone()
    standings = _standings(answer)
    outcomes: list[CommitOutcome] = []
    passed: list[tuple[Write, int | None]] = []
    for write, standing in zip(writes, standings, strict=True):
        check_shape(write)
        outcome = outcome_of(write, standing.term, standing.head_for(write.base), standing.rows_seq)
        outcomes.append(outcome)
        if outcome is COMMITTED:
            passed.append((write, None if write.new_epoch else standing.epoch_no))
    begun = {write.room: write.head.epoch for write, epoch_no in passed if epoch_no is None and write.entries}
    numbers = _begin_epochs(connection, begun) if begun else {}
    numbered = [(write, numbers.get(write.room, epoch_no)) for write, epoch_no in passed]
    _append(connection, numbered)
    with_tables = [each for each in numbered if each[0].rows or each[0].snapshot is not None or each[0].new_epoch]
    if with_tables:
        store_tables(connection, with_tables)
    return outcomes


def _begin_epochs(connection: sqlite3.Connection, begun: dict[RoomName, Epoch]) -> dict[str, int]:
    """Give each epoch that begins its number; the older ones keep theirs."""
    rooms = _to_json(begun).decode()
    connection.execute(_BEGIN_EPOCHS, (rooms,))
    connection.execute(_ENTER_EPOCHS, (rooms,))
    (answer,) = connection.execute(_EPOCH_NUMBERS, (rooms,)).fetchone()
    return _numbers(answer)


def _append(connection: sqlite3.Connection, writes: Sequence[tuple[Write, int | None]]) -> None:
    """Add a row for each write that has entries, then erase what they ask for in older rows."""
    rows: list[tuple[int, ...]] = []
    blobs: list[bytes] = []
    start = 1  # substr counts from 1
    older: list[tuple[int, Sequence[Erasure]]] = []
    for write, epoch_no in writes:
        if epoch_no is None:
            continue  # a write without entries to a room without a log: nothing to store, nothing to erase
        entries, head = write.entries, write.head
        if write.erasures:
            entries = erased(entries, write.erasures)
            older.append((epoch_no, write.erasures))
        if entries:
            ids = encode_ids(write.ids) if write.ids else b""
            packed = encode_entries(entries)
            ids_start = start + CHAIN_BYTES
            entries_start = ids_start + len(ids)
            rows.append((
                epoch_no, entries[0].offset, head.offset, head.at, start, ids_start, len(ids), entries_start, len(packed),
            ))
            blobs += (head.chain, ids, packed)
            start = entries_start + len(packed)
    if rows:
        connection.execute(_APPEND, (_to_json(rows).decode(), b"".join(blobs)))
    for epoch_no, erasures in older:
        for erasure in erasures:
            _erase(connection, epoch_no, erasure)


def _erase(connection: sqlite3.Connection, epoch_no: int, erasure: Erasure) -> None:
    """Rewrite the row that holds the offset; erasures are rare, so row by row is cheap enough."""
    row = connection.execute(_ROW_OF, (epoch_no, erasure.offset)).fetchone()
    if row is None:
        return
    n, entries = row[0], decode_entries(row[2])
    after = erased(entries, [erasure])
    if after != entries:
        connection.execute(_REWRITE, (n, encode_entries(after)))
