"""A journal in memory: the model the others are compared with, and the store of simulated clusters."""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from broker.journal.archive import BEGINNING, Anchor, Unfinished, unfinished_refusal
from broker.journal.codec import bounded_tail, live_ids, stored_bytes
from broker.journal.protocol import CommitOutcome, IdRow, LoadedRoom, Row, Snapshot, StaleMap, Write
from broker.journal.verdict import COMMITTED, check_shape, outcome_of
from broker.record import Entry, Head, chain_after
from wire.names import Epoch, RoomName, Slot, TableName, Term


@dataclass(slots=True)
class KeptLog:
    """One epoch of a room: its head, what is kept of it, oldest first, and the oldest offset that is."""

    head: Head
    entries: list[Entry] = field(default_factory=list)
    first_kept: int = 1
    anchor: Anchor = BEGINNING
    """The oldest place whose chain is known: ``first_kept - 1``, unless the log came from a store that knew less."""

    def after(self, offset: int) -> list[Entry]:
        """What is kept beyond `offset`."""
        return self.entries[max(0, offset + 1 - self.first_kept):]

    def forget(self, keep_after: int) -> None:
        """Drop entries up to `keep_after`."""
        kept = self.after(keep_after)
        gone = self.entries[:len(self.entries) - len(kept)]
        for entry in gone:
            if entry.offset > self.anchor.offset:
                chain = chain_after(self.anchor.chain, self.head.epoch, entry.offset, entry.at, entry.kind, entry.digest)
                self.anchor = Anchor(entry.offset, chain)
        self.first_kept += len(gone)
        self.entries = kept


@dataclass(slots=True)
class KeptRoom:
    """All that is known of one room; `logs` is ordered by age, the last one is the head's."""

    head: Head
    logs: dict[Epoch, KeptLog] = field(default_factory=dict)
    ids: list[IdRow] = field(default_factory=list)
    tables: dict[TableName, dict[str, bytes]] = field(default_factory=dict)
    rows_seq: int = 0
    snapshot: Snapshot | None = None

    def put_rows(self, rows: Iterable[Row]) -> None:
        for row in rows:
            table = self.tables.setdefault(row.table, {})
            if row.value is None:
                table.pop(row.key, None)
            else:
                table[row.key] = row.value


@dataclass(slots=True)
class MemoryStore:
    """What a file is to other engines; everything in it is guarded by `lock`."""

    store_id: str
    map_version: int = 0
    terms: dict[Slot, Term] = field(default_factory=dict)
    rooms: dict[RoomName, KeptRoom] = field(default_factory=dict)
    unfinished: Unfinished | None = None
    """Set while it is being filled from elsewhere (broker/journal/memory_archive.py)."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class MemoryJournal:
    """See `Journal`.  Thread-safe by one lock; never `Unavailable`; forgets everything with its process."""

    def __init__(self, store_id: str, store: MemoryStore | None = None) -> None:
        """A new store with `store_id`, or one that was filled before; raises `JournalCorrupt` when it was not filled whole."""
        self.store = store or MemoryStore(store_id)
        if self.store.unfinished is not None:
            raise unfinished_refusal("journal in memory", self.store.unfinished)

    @property
    def store_id(self) -> str:
        return self.store.store_id

    def store_run(self) -> str:
        return self.store_id

    def newest_map_version(self) -> int:
        with self.store.lock:
            return self.store.map_version

    def claim(self, slots: Sequence[Slot], map_version: int, owner: str) -> Mapping[Slot, Term]:
        with self.store.lock:
            if map_version < self.store.map_version:
                raise StaleMap(map_version, self.store.map_version)
            self.store.map_version = map_version
            claimed = {slot: Term(self.store.terms.get(slot, 0) + 1) for slot in slots}
            self.store.terms.update(claimed)
            return claimed

    def commit(self, writes: Sequence[Write]) -> Sequence[CommitOutcome]:
        assert len({write.room for write in writes}) == len(writes), "at most one write per room in a group"
        for write in writes:
            check_shape(write)
        with self.store.lock:
            return [self._commit_one(write) for write in writes]

    def _commit_one(self, write: Write) -> CommitOutcome:
        room = self.store.rooms.get(write.room)
        head, rows_seq = (room.head, room.rows_seq) if room else (None, 0)
        outcome = outcome_of(write, self.store.terms.get(write.slot), head, rows_seq)
        if outcome is not COMMITTED:
            return outcome
        if room is None:
            if not write.entries:
                return outcome
            room = self.store.rooms[write.room] = KeptRoom(write.head)
        assert not (write.new_epoch and write.head.epoch in room.logs), "an epoch is begun once"
        room.head = write.head
        log = room.logs.setdefault(write.head.epoch, KeptLog(write.head))
        log.head = write.head
        log.entries.extend(write.entries)
        room.ids.extend(write.ids)
        room.put_rows(write.rows)
        room.rows_seq = write.rows_seq
        if write.snapshot is not None or write.new_epoch:
            room.snapshot = write.snapshot
        for erasure in write.erasures:
            index = erasure.offset - log.first_kept
            if 0 <= index < len(log.entries) and not log.entries[index].removed:
                log.entries[index] = log.entries[index].erased(erasure.reason)
        return outcome

    def load(self, room: RoomName, tail_events: int, tail_bytes: int, ids_since_ms: int, ids_min: int) -> LoadedRoom | None:
        with self.store.lock:
            kept = self.store.rooms.get(room)
            if kept is None:
                return None
            log = kept.logs[kept.head.epoch]
            return LoadedRoom(
                head=kept.head,
                tail=bounded_tail(reversed(log.entries), tail_events, tail_bytes, stored_bytes),
                ids=live_ids(reversed(kept.ids), ids_since_ms, ids_min),
                first_offset=log.first_kept,
                rows_seq=kept.rows_seq,
                snapshot=kept.snapshot,
            )

    def read(self, room: RoomName, epoch: Epoch, after: int, limit: int) -> Sequence[Entry]:
        with self.store.lock:
            kept = self.store.rooms.get(room)
            log = kept.logs.get(epoch) if kept else None
            return log.after(after)[:limit] if log else []

    def rows(self, room: RoomName, table: TableName, after_key: str, limit: int) -> Sequence[tuple[str, bytes]]:
        with self.store.lock:
            kept = self.store.rooms.get(room)
            rows = kept.tables.get(table, {}) if kept else {}
            return sorted(row for row in rows.items() if row[0] > after_key)[:limit]

    def retain(self, room: RoomName, keep_after: int, ids_before_ms: int, ids_min: int, entries_before_ms: int = 0) -> int:
        with self.store.lock:
            kept = self.store.rooms.get(room)
            if kept is None:
                return 0
            kept.ids = live_ids(reversed(kept.ids), ids_before_ms, ids_min)
            if keep_after > 0:
                for epoch, log in kept.logs.items():
                    # An ended epoch is older than anything in this one, so it goes first, and whole.
                    ended = epoch != kept.head.epoch
                    log.forget(log.first_kept + len(log.entries) if ended else keep_after)
            for log in kept.logs.values():
                log.forget(log.first_kept + bisect_left(log.entries, entries_before_ms, key=lambda entry: entry.at) - 1)
            return kept.logs[kept.head.epoch].first_kept

    def idle(self) -> None:
        """Nothing to tidy."""

    def close(self) -> None:
        """Nothing to release; what was committed stays as long as this object."""

