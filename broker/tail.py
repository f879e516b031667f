"""The recent past of one room in memory: what attaches and most history reads are answered from.

Contiguous by construction and bounded by events and bytes; the journal holds the rest.  Only
published events are here.  A removal takes the text out of the tail as it passes.

It is also all that can be written again when the journal has forgotten its end (repair.py):
an entry is its frame, its salt and its digest, so what readers are not shown any more cannot
come back that way, and the second use costs 122 bytes an event where keeping the entries
costs 260 and the text once more.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct

from broker.journal.protocol import Erasure
from broker.record import Entry
from wire.limits import ROOM_TAIL_BYTES_MAX, ROOM_TAIL_EVENTS_MAX
from wire.node_messages import NodeFrame

# What an event costs besides its frame: the objects around it (measured with sys.getsizeof).
TAIL_ITEM_OVERHEAD_BYTES: Final = 322


class TailItem(Struct, gc=False):
    """One published event.

    `chain` is the chain after it; b"" when it was loaded from the middle of a log.  `erasures`
    is what it erased; None when that was longer ago than the loaded tail can tell.
    """

    frame: NodeFrame
    chain: bytes
    digest: bytes
    salt: bytes
    erasures: Sequence[Erasure] | None


class Tail:
    """Invariant: the items' offsets are `first_offset` .. `first_offset + len - 1`."""

    __slots__ = ("_bytes", "_items", "first_offset")

    def __init__(self, first_offset: int = 1) -> None:
        self.first_offset = first_offset
        """The offset of the oldest item, or of the next event while the tail is empty."""
        self._items: deque[TailItem] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def bytes_held(self) -> int:
        return self._bytes

    def append(self, frame: NodeFrame, chain: bytes, entry: Entry, erasures: Sequence[Erasure] | None) -> None:
        """Add the next event, the frame of `entry`, and let go of what is too much."""
        assert frame.offset == self.first_offset + len(self._items), "the tail has no holes"
        self._items.append(TailItem(frame, chain, entry.digest, entry.salt, erasures))
        self._bytes += len(frame.frame) + TAIL_ITEM_OVERHEAD_BYTES
        while len(self._items) > ROOM_TAIL_EVENTS_MAX or (self._bytes > ROOM_TAIL_BYTES_MAX and len(self._items) > 1):
            self._drop_oldest()

    def forget_before(self, offset: int) -> None:
        """Let go of what is older than `offset`."""
        while self._items and self.first_offset < offset:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._items.popleft()
        self._bytes -= len(oldest.frame.frame) + TAIL_ITEM_OVERHEAD_BYTES
        self.first_offset += 1

    def replace(self, tombstone: NodeFrame) -> None:
        """Put a tombstone in its event's place; nothing happens when the event has left the tail."""
        item = self._item(tombstone.offset)
        if item is not None:
            self._bytes += len(tombstone.frame) - len(item.frame.frame)
            item.frame = tombstone
            item.salt = b""

    def chain_at(self, offset: int) -> bytes:
        """The chain after the event at `offset`, or b"" when it is not known here."""
        item = self._item(offset)
        return item.chain if item is not None else b""

    def reaches(self, after: int) -> bool:
        """Whether every event after `after` is here."""
        return after + 1 >= self.first_offset

    def frames_after(self, after: int, limit: int = ROOM_TAIL_EVENTS_MAX) -> list[NodeFrame]:
        """At most `limit` frames with an offset above `after`, in order; `reaches(after)` holds."""
        start = max(0, after + 1 - self.first_offset)
        return [item.frame for item in islice(self._items, start, start + limit)]

    def items_after(self, after: int) -> Iterator[TailItem]:
        """All items with an offset above `after`, in order; `reaches(after)` holds."""
        return islice(self._items, max(0, after + 1 - self.first_offset), None)

    def _item(self, offset: int) -> TailItem | None:
        index = offset - self.first_offset
        return self._items[index] if 0 <= index < len(self._items) else None
