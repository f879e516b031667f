"""Writes as a shard makes them: true chains, offsets and ids of one room, for tests of journals."""

import random
from collections.abc import Sequence

from broker.journal.protocol import CommitOutcome, Erasure, IdRow, Journal, LoadedRoom, Row, Snapshot, Write
from broker.record import CHAIN_START, SALT_BYTES, Entry, Head, chain_after, digest_of
from wire.names import Epoch, RoomName, Slot, TableName, Term

START_MS = 1_700_000_000_000


class RoomWriter:
    """One room as its shard sees it: it decides writes, and moves its head only when told that they were committed."""

    def __init__(self, room: str = "test/room", slot: int = 7, term: int = 1, epoch: str = "epoch-a", seed: str = "") -> None:
        self.room = RoomName(room)
        self.slot = Slot(slot)
        self.term = Term(term)
        self.head = Head(Epoch(epoch), 0, CHAIN_START, 0)
        self.rows_seq = 0
        self.now = START_MS
        self._random = random.Random(f"{room} {seed}")

    def write(
        self, *texts: str, erasures: Sequence[Erasure] = (), new_epoch: str | None = None, base: Head | None = None,
        rows: Sequence[Row] = (), snapshot: Snapshot | None = None,
    ) -> Write:  # fmt: skip
        """A write of one message per text, on `base` or the head as it is known here; its rows build on `rows_seq`."""
        base = base or self.head
        epoch = Epoch(new_epoch) if new_epoch else base.epoch
        offset, chain, at = (0, CHAIN_START, base.at) if new_epoch else (base.offset, base.chain, base.at)
        entries: list[Entry] = []
        for text in texts:
            offset, at = offset + 1, self.now
            self.now += 1
            salt, body = self._random.randbytes(SALT_BYTES), text.encode()
            message_id = f"id-{self._random.getrandbits(48):012x}"
            digest = digest_of(salt, "ann", message_id, body)
            chain = chain_after(chain, epoch, offset, at, "message", digest)
            entries.append(Entry(offset, at, "message", digest, salt, "ann", message_id, body))
        ids = [IdRow(e.author, e.id, e.offset, e.at, e.digest[:8]) for e in entries]
        head = Head(epoch, offset, chain, at)
        return Write(
            self.room, self.slot, self.term, base, head, entries, ids, erasures, new_epoch is not None,
            rows, self.rows_seq, self.rows_seq + bool(rows), snapshot,
        )  # fmt: skip

    def commit(
        self, journal: Journal, *texts: str, erasures: Sequence[Erasure] = (), new_epoch: str | None = None,
        rows: Sequence[Row] = (), snapshot: Snapshot | None = None,
    ) -> CommitOutcome:  # fmt: skip
        """Commit one write of its own group; head and sequence move when the journal took it."""
        write = self.write(*texts, erasures=erasures, new_epoch=new_epoch, rows=rows, snapshot=snapshot)
        (outcome,) = journal.commit([write])
        if outcome.verdict.value == "committed":
            self.head, self.rows_seq = write.head, write.rows_seq
        return outcome


def row(key: str, value: str | None, table: str = "votes") -> Row:
    """One row; None takes it away."""
    return Row(TableName(table), key, None if value is None else value.encode())


def tables_in(journal: Journal, room: RoomName, *tables: str) -> dict[str, dict[str, str]]:
    """What a journal has in a room's tables, those that have rows."""
    found = {table: dict(journal.rows(room, TableName(table), "", 100_000)) for table in tables or ("votes", "supporters")}
    return {table: {key: value.decode() for key, value in rows.items()} for table, rows in found.items() if rows}


def loaded(
    journal: Journal, room: RoomName, *, events: int = 1000, size: int = 1 << 20, since: int = 0, ids: int = 1000
) -> LoadedRoom:
    found = journal.load(room, events, size, since, ids)
    assert found is not None
    return found


def verified_chain(entries: Sequence[Entry], epoch: Epoch, chain: bytes) -> bytes:
    """The chain after `entries`; asserts that each digest holds what it says it does, unless it was erased."""
    for entry in entries:
        if not entry.removed:
            assert entry.digest == digest_of(entry.salt, entry.author, entry.id, entry.body)
        chain = chain_after(chain, epoch, entry.offset, entry.at, entry.kind, entry.digest)
    return chain
