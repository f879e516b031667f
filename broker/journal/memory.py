"""A journal in memory: the model the others are compared with, and the store of simulated clusters."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from broker.journal.codec import bounded_tail, live_ids
from broker.journal.protocol import CommitOutcome, IdRow, LoadedRoom, StaleMap, Write
from broker.journal.verdict import COMMITTED, check_shape, outcome_of
from broker.record import Entry, Head
from wire.names import Epoch, RoomName, Slot, Term


@dataclass(slots=True)
class _Log:
    """One epoch of a room: what is kept of it, oldest first, and the oldest offset that is."""

    entries: list[Entry] = field(default_factory=list)
    first_kept: int = 1

    def after(self, offset: int) -> list[Entry]:
        """What is kept beyond `offset`."""
        return self.entries[max(0, offset + 1 - self.first_kept):]

    def forget(self, keep_after: int) -> None:
        """Drop entries up to `keep_after`."""
        kept = self.after(keep_after)
        self.first_kept += len(self.entries) - len(kept)
        self.entries = kept


@dataclass(slots=True)
class _Room:
    """All that is known of one room; `logs` is ordered by age, the last one is the head's."""

    head: Head
    logs: dict[Epoch, _Log] = field(default_factory=dict)
    ids: list[IdRow] = field(default_factory=list)


class MemoryJournal:
    """See `Journal`.  Thread-safe by one lock; never `Unavailable`; forgets everything with its process."""

    def __init__(self, store_id: str) -> None:
        self._store_id = store_id
        self._lock = threading.Lock()
        self._map_version = 0
        self._terms: dict[Slot, Term] = {}
        self._rooms: dict[RoomName, _Room] = {}

    @property
    def store_id(self) -> str:
        return self._store_id

    def store_run(self) -> str:
        return self.store_id

    def newest_map_version(self) -> int:
        with self._lock:
            return self._map_version

    def claim(self, slots: Sequence[Slot], map_version: int, owner: str) -> Mapping[Slot, Term]:
        with self._lock:
            if map_version < self._map_version:
                raise StaleMap(map_version, self._map_version)
            self._map_version = map_version
            claimed = {slot: Term(self._terms.get(slot, 0) + 1) for slot in slots}
            self._terms.update(claimed)
            return claimed

    def commit(self, writes: Sequence[Write]) -> Sequence[CommitOutcome]:
        assert len({write.room for write in writes}) == len(writes), "at most one write per room in a group"
        for write in writes:
            check_shape(write)
        with self._lock:
            return [self._commit_one(write) for write in writes]

    def _commit_one(self, write: Write) -> CommitOutcome:
        room = self._rooms.get(write.room)
        outcome = outcome_of(write, self._terms.get(write.slot), room.head if room else None)
        if outcome is not COMMITTED:
            return outcome
        if room is None:
            if not write.entries:
                return outcome
            room = self._rooms[write.room] = _Room(write.head)
        assert not (write.new_epoch and write.head.epoch in room.logs), "an epoch is begun once"
        room.head = write.head
        log = room.logs.setdefault(write.head.epoch, _Log())
        log.entries.extend(write.entries)
        room.ids.extend(write.ids)
        for erasure in write.erasures:
            index = erasure.offset - log.first_kept
            if 0 <= index < len(log.entries) and not log.entries[index].removed:
                log.entries[index] = log.entries[index].erased(erasure.reason)
        return outcome

    def load(self, room: RoomName, tail_events: int, tail_bytes: int, ids_since_ms: int, ids_min: int) -> LoadedRoom | None:
        with self._lock:
            kept = self._rooms.get(room)
            if kept is None:
                return None
            log = kept.logs[kept.head.epoch]
            return LoadedRoom(
                head=kept.head,
                tail=bounded_tail(reversed(log.entries), tail_events, tail_bytes),
                ids=live_ids(reversed(kept.ids), ids_since_ms, ids_min),
                first_offset=log.first_kept,
            )

    def read(self, room: RoomName, epoch: Epoch, after: int, limit: int) -> Sequence[Entry]:
        with self._lock:
            kept = self._rooms.get(room)
            log = kept.logs.get(epoch) if kept else None
            return log.after(after)[:limit] if log else []

    def retain(self, room: RoomName, keep_after: int, ids_before_ms: int, ids_min: int) -> None:
        with self._lock:
            kept = self._rooms.get(room)
            if kept is None:
                return
            kept.ids = live_ids(reversed(kept.ids), ids_before_ms, ids_min)
            if keep_after > 0:
                for epoch, log in kept.logs.items():
                    # An ended epoch is older than anything in this one, so it goes first, and whole.
                    ended = epoch != kept.head.epoch
                    log.forget(log.first_kept + len(log.entries) if ended else keep_after)

    def idle(self) -> None:
        """Nothing to tidy."""

    def close(self) -> None:
        """Nothing to release; what was committed stays as long as this object."""

