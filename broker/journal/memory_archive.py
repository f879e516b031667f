"""A journal in memory as a whole: read room by room, and filled: the model the other archives are compared with."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from broker.journal.archive import (
    PORTION_ENTRIES,
    PORTION_ROWS,
    CheckedRoom,
    EpochOutline,
    Extent,
    Standing,
    Unfinished,
)
from broker.journal.codec import live_ids
from broker.journal.memory import KeptLog, KeptRoom, MemoryStore
from broker.journal.protocol import IdRow, Row, Snapshot
from broker.record import Entry
from wire.names import Epoch, RoomName


@dataclass(frozen=True, slots=True)
class _Reading:
    """One room, copied while the store was locked."""

    name: RoomName
    epochs: Sequence[EpochOutline]
    kept: dict[Epoch, list[Entry]]
    id_rows: Sequence[IdRow]
    table_rows: Sequence[Row]
    rows_seq: int
    snapshot: Snapshot | None

    def entries(self, epoch: EpochOutline) -> Iterator[Sequence[Entry]]:
        kept = self.kept[epoch.head.epoch]
        for start in range(0, len(kept), PORTION_ENTRIES):
            yield kept[start : start + PORTION_ENTRIES]

    def ids(self) -> Sequence[IdRow]:
        return self.id_rows

    def rows(self) -> Iterator[Sequence[Row]]:
        for start in range(0, len(self.table_rows), PORTION_ROWS):
            yield self.table_rows[start : start + PORTION_ROWS]


class MemorySource:
    """See `Source`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    @property
    def store_id(self) -> str:
        return self._store.store_id

    def standing(self) -> Standing:
        with self._store.lock:
            return Standing(self._store.map_version, dict(self._store.terms))

    def extent(self) -> Extent:
        with self._store.lock:
            rooms = self._store.rooms.values()
            return Extent(len(rooms), sum(len(log.entries) for room in rooms for log in room.logs.values()))

    def rooms(self) -> Generator[_Reading, None, None]:
        with self._store.lock:
            names = sorted(self._store.rooms)
        for name in names:
            with self._store.lock:
                room = self._store.rooms[name]
                reading = _Reading(
                    name,
                    [EpochOutline(log.head, log.first_kept, log.anchor) for log in room.logs.values()],
                    {epoch: list(log.entries) for epoch, log in room.logs.items()},
                    live_ids(reversed(room.ids), 0, 0),
                    [Row(table, *row) for table, rows in sorted(room.tables.items()) for row in sorted(rows.items())],
                    room.rows_seq,
                    room.snapshot,
                )
            yield reading

    def close(self) -> None:
        """Nothing to release."""


class MemoryTarget:
    """See `Target`."""

    name = "journal in memory"

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def unfinished(self) -> Unfinished | None:
        return self._store.unfinished

    def has_rooms(self) -> bool:
        return bool(self._store.rooms)

    def begin(self, mark: Unfinished) -> None:
        self._store.unfinished = mark

    def clear(self) -> None:
        assert self._store.unfinished is not None, "only what is being filled is emptied"
        self._store.rooms.clear()

    def has(self, room: RoomName) -> bool:
        return room in self._store.rooms

    def put(self, room: CheckedRoom) -> None:
        assert not self.has(room.name), "a room is put once"
        logs = {}
        for epoch in room.epochs:
            log = KeptLog(epoch.head, [], epoch.first_kept, epoch.anchor)
            for portion in room.portions(epoch):
                log.entries.extend(portion.entries)
            logs[epoch.head.epoch] = log
        kept = KeptRoom(room.epochs[-1].head, logs, list(room.ids()), rows_seq=room.rows_seq, snapshot=room.snapshot)
        for rows in room.rows():
            kept.put_rows(rows)
        with self._store.lock:
            self._store.rooms[room.name] = kept

    def finish(self, store_id: str, standing: Standing) -> None:
        store = self._store
        with store.lock:
            store.store_id = store_id
            after = standing.over(Standing(store.map_version, store.terms))
            store.map_version, store.terms = after.map_version, dict(after.terms)
            store.unfinished = None

    def close(self) -> None:
        """Nothing to release."""
