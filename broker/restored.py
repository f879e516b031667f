"""A room out of a backup: its old log as it was, and a new epoch that goes on from it.

What was said after the backup is gone, and may have been read; so the old log's next offset
must never be given to anything else.  Pure: the new epoch's name, salt and time are arguments.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from broker.journal.archive import BEGINNING, EpochOutline, RoomReading
from broker.journal.protocol import IdRow, Row
from broker.record import Entry
from broker.room import Room
from shard_router.slots import slot_of
from wire.names import Epoch, RoomName, Term

# Why the epoch ended, as its successor's first event says.
RESTORED: Final = "restored"


class RestoredRoom:
    """A `RoomReading` of `reading` with one epoch more."""

    __slots__ = ("_began", "_reading", "epochs", "snapshot")

    def __init__(self, reading: RoomReading, epoch: Epoch, now_ms: int, salt: bytes) -> None:
        old = reading.epochs[-1].head
        room = Room(reading.name, old, tail_from=old.offset + 1)
        room.end_epoch(epoch, RESTORED, now_ms, salt)
        # Only its entry and its head are wanted: whom the slot belongs to is not asked here.
        write = room.take_write(slot_of(reading.name), Term(0))
        self._reading = reading
        self._began = write.entries
        self.snapshot = None
        """That of the old epoch ended with it."""
        self.epochs: Sequence[EpochOutline] = [*reading.epochs, EpochOutline(write.head, 1, BEGINNING)]

    @property
    def name(self) -> RoomName:
        return self._reading.name

    def entries(self, epoch: EpochOutline) -> Iterator[Sequence[Entry]]:
        if epoch is self.epochs[-1]:
            yield self._began
        else:
            yield from self._reading.entries(epoch)

    @property
    def rows_seq(self) -> int:
        return self._reading.rows_seq

    def ids(self) -> Sequence[IdRow]:
        return self._reading.ids()

    def rows(self) -> Iterator[Sequence[Row]]:
        """Tables belong to the room: they go on as they were."""
        return self._reading.rows()
