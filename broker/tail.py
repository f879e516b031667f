"""The recent past of one room in memory: what attaches and most history reads are answered from.

Contiguous by construction and bounded by events and bytes; the journal holds the rest.  Only
published events are here.  A removal takes the text out of the tail as it passes.

It is also all that can be written again when the journal has forgotten its end (repair.py):
an entry is its frame, its salt and its digest, so what readers are not shown any more cannot
come back that way, and the second use costs 122 bytes an event where keeping the entries
costs 260 and the text once more.

A room that is loaded brings its past as entries, and a frame is made of one when somebody asks
for it.  Readers whose shard has changed ask for what came after their position, a few of a
thousand, and making all of them is most of what a load costs (`Tail.restore`).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct

from broker.event_frame import entry_of, frame_bytes_max, frame_of_stored
from broker.journal.protocol import Erasure
from broker.record import Entry
from wire.limits import ROOM_TAIL_BYTES_MAX, ROOM_TAIL_EVENTS_MAX
from wire.names import RoomName
from wire.node_messages import NodeFrame

# What an event costs besides its frame: the objects around it (measured with sys.getsizeof).
TAIL_ITEM_OVERHEAD_BYTES: Final = 322


class TailItem(Struct, gc=False):
    """One published event: its `frame`, or the `stored` entry that the frame will be made of; one of the two.

    `chain` is the chain after it; b"" when it was loaded from the middle of a log.  `erasures`
    is what it erased; None when that was longer ago than the loaded tail can tell.
    """

    frame: NodeFrame | None
    stored: Entry | None
    chain: bytes
    digest: bytes
    salt: bytes
    erasures: Sequence[Erasure] | None

    @property
    def entry(self) -> Entry:
        """The event as it was written, or erased.  Changes nothing, so another thread may ask while frames are made."""
        stored = self.stored
        if stored is not None:
            return stored
        assert self.frame is not None, "an event that is not as it was stored has a frame"
        return entry_of(self.frame, self.digest, self.salt)


class Tail:
    """Invariant: the items' offsets are `first_offset` .. `first_offset + len - 1`."""

    __slots__ = ("_bytes", "_items", "_room", "_unmade", "first_offset")

    def __init__(self, room: RoomName, first_offset: int = 1) -> None:
        self.first_offset = first_offset
        """The offset of the oldest item, or of the next event while the tail is empty."""
        self._room = room
        self._items: deque[TailItem] = deque()
        self._unmade = 0
        """Items whose frame is not made yet."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def bytes_held(self) -> int:
        """Of frames and what is around them; of one that is not made yet the most that it can have."""
        return self._bytes

    def append(self, frame: NodeFrame, chain: bytes, entry: Entry, erasures: Sequence[Erasure] | None) -> None:
        """Add the next event, the frame of `entry`, and let go of what is too much."""
        assert frame.offset == self.first_offset + len(self._items), "the tail has no holes"
        self._items.append(TailItem(frame, None, chain, entry.digest, entry.salt, erasures))
        self._bytes += len(frame.frame) + TAIL_ITEM_OVERHEAD_BYTES
        if self._bytes > ROOM_TAIL_BYTES_MAX:
            self._make_all()
        while len(self._items) > ROOM_TAIL_EVENTS_MAX or (self._bytes > ROOM_TAIL_BYTES_MAX and len(self._items) > 1):
            self._drop_oldest()

    def restore(self, entry: Entry, chain: bytes, erasures: Sequence[Erasure] | None) -> None:
        """Add the next event as the journal has it: as `append` does, but its frame is made when it is asked for.

        Near the bound of bytes, where it matters how long a frame is, it is made at once.
        """
        bytes_max = frame_bytes_max(self._room, entry) + TAIL_ITEM_OVERHEAD_BYTES
        if self._bytes + bytes_max > ROOM_TAIL_BYTES_MAX or len(self._items) == ROOM_TAIL_EVENTS_MAX:
            self.append(frame_of_stored(self._room, entry), chain, entry, erasures)
            return
        assert entry.offset == self.first_offset + len(self._items), "the tail has no holes"
        self._items.append(TailItem(None, entry, chain, entry.digest, entry.salt, erasures))
        self._bytes += bytes_max
        self._unmade += 1

    def forget_before(self, offset: int) -> None:
        """Let go of what is older than `offset`."""
        while self._items and self.first_offset < offset:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._items.popleft()
        self._bytes -= TAIL_ITEM_OVERHEAD_BYTES
        if oldest.frame is not None:
            self._bytes -= len(oldest.frame.frame)
        else:
            self._forget_stored(oldest)
        self.first_offset += 1

    def replace(self, tombstone: NodeFrame) -> None:
        """Put a tombstone in its event's place; nothing happens when the event has left the tail."""
        item = self._item(tombstone.offset)
        if item is not None:
            before = self._frame_of(item)
            self._bytes += len(tombstone.frame) - len(before.frame)
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
        return [item.frame or self._frame_of(item) for item in islice(self._items, start, start + limit)]

    def items_after(self, after: int) -> Iterator[TailItem]:
        """All items with an offset above `after`, in order; `reaches(after)` holds."""
        return islice(self._items, max(0, after + 1 - self.first_offset), None)

    def _item(self, offset: int) -> TailItem | None:
        index = offset - self.first_offset
        return self._items[index] if 0 <= index < len(self._items) else None

    # --- frames of what was loaded ----------------------------------------------------------------

    def _frame_of(self, item: TailItem) -> NodeFrame:
        if item.frame is not None:
            return item.frame
        assert item.stored is not None, "an item without a frame is as it was stored"
        frame = frame_of_stored(self._room, item.stored)
        self._forget_stored(item, frame)
        self._bytes += len(frame.frame)
        return frame

    def _forget_stored(self, item: TailItem, frame: NodeFrame | None = None) -> None:
        """The item's frame has been made, or is not needed any more."""
        assert item.stored is not None, "what is not made is as it was stored"
        self._bytes -= frame_bytes_max(self._room, item.stored)
        self._unmade -= 1
        # In this order: `TailItem.entry` may be read by another thread in between.
        item.frame, item.stored = frame, None

    def _make_all(self) -> None:
        if self._unmade:
            for item in self._items:
                self._frame_of(item)
