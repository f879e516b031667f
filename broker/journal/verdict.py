"""Whether a write may be stored: the one rule of fence, head and tables, as a pure function.

The term must be the slot's newest, neither older nor unknown: a store that was replaced by
an older copy knows lower terms than its writers, and accepting those would let two write.
"""

from typing import Final

from broker.journal.protocol import CommitOutcome, CommitVerdict, Write
from broker.record import CHAIN_BYTES, CHAIN_START, Head
from wire.limits import ROW_VALUE_BYTES_MAX, ROWS_PER_WRITE_MAX, SNAPSHOT_BYTES_MAX
from wire.names import Term, is_row_key, parse_table

COMMITTED: Final = CommitOutcome(CommitVerdict.COMMITTED)
FENCED: Final = CommitOutcome(CommitVerdict.FENCED)


def check_shape(write: Write) -> None:
    """Hold a writer to its word before anything is stored; a violation is a bug of ours."""
    entries, base, head = write.entries, write.base, write.head
    before = 0 if write.new_epoch else base.offset
    assert write.new_epoch == (base.epoch != head.epoch), "a write changes the epoch if, and only if, it says so"
    assert head.offset == before + len(entries), "the head of a write is the offset of its last entry"
    if entries:
        assert entries[0].offset == before + 1, "the entries of a write begin right after its base"
        assert entries[-1].offset == head.offset, "the entries of a write are contiguous"
        assert len(head.chain) == CHAIN_BYTES, "a chain has 16 bytes"
    else:
        assert not write.new_epoch, "a new epoch begins with an event"
        assert not write.ids, "an id names an event of its write"
        assert head.chain == base.chain, "without entries the head stays"
    if write.rows or write.snapshot is not None or write.rows_seq != write.rows_base:
        _check_tables(write)


def _check_tables(write: Write) -> None:
    rows, snapshot, last = write.rows, write.snapshot, write.head.offset
    assert last > 0, "tables and snapshots are of rooms that have a log"
    assert bool(rows) == (write.rows_seq > write.rows_base >= 0), "the sequence of tables rises with rows, and with nothing else"
    assert len(rows) <= ROWS_PER_WRITE_MAX, "a write has so many rows at most"
    assert len({(row.table, row.key) for row in rows}) == len(rows), "a row is written once in a write"
    for row in rows:
        assert parse_table(row.table), "a table has a name that tables can have"
        assert is_row_key(row.key), "a row has a key that rows can have"
        assert row.value is None or len(row.value) <= ROW_VALUE_BYTES_MAX, "a row is so long at most"
    if snapshot is not None:
        assert 1 <= snapshot.offset <= last, "a snapshot is of the log up to its head"
        assert len(snapshot.state) <= SNAPSHOT_BYTES_MAX, "a snapshot is so long at most"


def outcome_of(write: Write, term: Term | None, head: Head | None, rows_seq: int = 0) -> CommitOutcome:
    """The outcome of `write`, given the slot's newest term and the room's head and tables; None where the journal has none.

    Log and tables are judged alike, and the worse word counts: what is behind can be repaired, what diverged cannot.
    """
    if write.term != term:
        return FENCED
    base = write.base
    if head is None:
        head = Head(base.epoch, 0, CHAIN_START, 0)
    if base.epoch == head.epoch and write.rows_base >= rows_seq:
        if base.offset == head.offset and base.chain == head.chain:
            return COMMITTED if write.rows_base == rows_seq else CommitOutcome(CommitVerdict.BEHIND, head, rows_seq)
        if base.offset > head.offset:
            return CommitOutcome(CommitVerdict.BEHIND, head, rows_seq)
    return CommitOutcome(CommitVerdict.DIVERGED, head, rows_seq)
