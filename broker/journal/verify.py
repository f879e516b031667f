"""Whether what is stored of a room is what was committed: contiguous, each digest true, the chain whole.

The head of an epoch names its whole log.  Where the beginning was forgotten, the chain is
verified from the oldest place at which it is known (`Anchor`), and before that the digests
alone.  A tombstone's content is gone; its envelope still stands in the chain.  Rows have no
digest: their shape and order are what can be checked.  Pure.
"""

from collections.abc import Callable, Iterator, Sequence

from broker.journal.archive import BEGINNING, EpochOutline, Portion, RoomDamaged, RoomReading
from broker.journal.protocol import IdRow, Row, Snapshot
from broker.record import CHAIN_BYTES, Entry, chain_after, digest_of
from wire.limits import ROW_VALUE_BYTES_MAX, SNAPSHOT_BYTES_MAX
from wire.names import RoomName, is_row_key, parse_table


class VerifiedRoom:
    """A `RoomReading` as a `CheckedRoom`."""

    __slots__ = ("_on_verified", "_reading")

    def __init__(self, reading: RoomReading, on_verified: Callable[[int], None] = lambda _: None) -> None:
        """`on_verified` hears how many events each portion had.  Raises `RoomDamaged` when the outlines alone cannot be true."""
        self._reading = reading
        self._on_verified = on_verified
        if not reading.epochs:
            raise RoomDamaged(reading.name, "it has no epoch")
        if len({epoch.head.epoch for epoch in reading.epochs}) < len(reading.epochs):
            raise RoomDamaged(reading.name, "one of its epochs is there twice")
        for epoch in reading.epochs:
            _check_outline(reading.name, epoch)
        _check_snapshot(reading.name, reading.epochs[-1], reading.snapshot)

    @property
    def name(self) -> RoomName:
        return self._reading.name

    @property
    def epochs(self) -> Sequence[EpochOutline]:
        return self._reading.epochs

    @property
    def rows_seq(self) -> int:
        return self._reading.rows_seq

    @property
    def snapshot(self) -> Snapshot | None:
        return self._reading.snapshot

    def ids(self) -> Sequence[IdRow]:
        return self._reading.ids()

    def rows(self) -> Iterator[Sequence[Row]]:
        """Each portion after it was verified; raises `RoomDamaged`."""
        name, before = self.name, ("", "")
        if self.rows_seq < 0:
            raise RoomDamaged(name, f"its tables are said to have been written to {self.rows_seq} times")
        for rows in self._reading.rows():
            for row in rows:
                if not self.rows_seq:
                    raise RoomDamaged(name, f"table {row.table} has rows, and was never written to")
                is_named = is_row_key(row.key) and parse_table(row.table) is not None
                if not is_named or row.value is None or len(row.value) > ROW_VALUE_BYTES_MAX:
                    raise RoomDamaged(name, f"table {row.table} has a row that no write can have")
                if (row.table, row.key) <= before:
                    raise RoomDamaged(name, f"table {row.table} has rows out of order")
                before = (row.table, row.key)
            yield rows

    def portions(self, epoch: EpochOutline) -> Iterator[Portion]:
        """What is kept of one epoch, each portion after it was verified; raises `RoomDamaged`."""
        name, head, anchor = self.name, epoch.head, epoch.anchor
        offset, at = epoch.first_kept - 1, 0
        chain = anchor.chain if anchor.offset == offset else b""
        for entries in self._reading.entries(epoch):
            chains: list[bytes] = []
            for entry in entries:
                if entry.offset != offset + 1:
                    raise RoomDamaged(name, f"epoch {head.epoch} has offset {entry.offset} after {offset}")
                offset = entry.offset
                _check_entry(name, epoch, entry, at)
                at = entry.at
                if chain:
                    chain = chain_after(chain, head.epoch, offset, at, entry.kind, entry.digest)
                elif anchor.offset == offset:
                    chain = anchor.chain
                chains.append(chain)
            self._on_verified(len(entries))
            yield Portion(entries, chains)
        if offset != head.offset:
            raise RoomDamaged(name, f"epoch {head.epoch} ends at offset {offset}, its head is at {head.offset}")
        if chain != head.chain:
            raise RoomDamaged(name, f"epoch {head.epoch}: its events do not lead to the chain of its head at offset {offset}")
        if at and at != head.at:
            raise RoomDamaged(name, f"epoch {head.epoch}: its last event is from another time than its head")


def _check_outline(name: RoomName, epoch: EpochOutline) -> None:
    head, anchor = epoch.head, epoch.anchor
    if not 1 <= epoch.first_kept <= head.offset + 1 or head.offset < 1 or len(head.chain) != CHAIN_BYTES:
        raise RoomDamaged(name, f"epoch {head.epoch} is said to have {epoch.first_kept} to {head.offset}")
    if epoch.first_kept == 1 and anchor != BEGINNING:
        raise RoomDamaged(name, f"epoch {head.epoch} is kept from its beginning, and has another beginning")
    if not epoch.first_kept - 1 <= anchor.offset <= head.offset or len(anchor.chain) != CHAIN_BYTES:
        raise RoomDamaged(name, f"epoch {head.epoch} is said to be known at {anchor.offset}, which is not kept")


def _check_snapshot(name: RoomName, epoch: EpochOutline, snapshot: Snapshot | None) -> None:
    if snapshot is None:
        return
    if not 1 <= snapshot.offset <= epoch.head.offset or len(snapshot.state) > SNAPSHOT_BYTES_MAX:
        raise RoomDamaged(name, f"its snapshot is of offset {snapshot.offset}, and of {len(snapshot.state)} bytes")


def _check_entry(name: RoomName, epoch: EpochOutline, entry: Entry, before_at: int) -> None:
    where = f"epoch {epoch.head.epoch}, offset {entry.offset}"
    if entry.at < before_at:
        raise RoomDamaged(name, f"{where}: time goes back")
    if not entry.removed:
        if entry.digest != digest_of(entry.salt, entry.author, entry.id, entry.body):
            raise RoomDamaged(name, f"{where}: the content is not the one that was committed")
    elif entry.salt or entry.author or entry.id or entry.body:
        raise RoomDamaged(name, f"{where}: it was removed, and something of it is still there")
