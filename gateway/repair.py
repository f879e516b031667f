"""Filling a hole in a feed: what it missed for so long that the attach reply did not reach back to it.  Pure.

The feed has given its readers all up to `head`.  What came after the hole waits here, in order,
while the hole is read from its beginning, a page at a time, once for all readers; each page goes
on to them as it comes.  What is put together may not weigh more than a ring holds, since nobody
could read it there: the oldest part of a hole that is too large, and the rest of one that cannot be
read, is a `Lost` stretch, which readers are told exactly.

There may be more holes than one: a link that is lost again during a repair leaves another.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from wire.limits import (
    FEED_REPAIR_EVENTS_MAX,
    FEED_RING_BYTES_MAX,
    FEED_RING_EVENTS_MAX,
    HISTORY_EVENTS_MAX,
)
from wire.node_messages import NodeFrame


@dataclass(frozen=True, slots=True)
class Lost:
    """Events that cannot be had: `first` to `last`."""

    first: int
    last: int


Piece = NodeFrame | Lost


class Repair:
    """Invariant: the pieces given out so far end at `head`, without a hole; with those to come they end at `end`."""

    __slots__ = ("_asked", "_bytes", "_events_read", "_measured", "_tombstones", "_waiting", "end", "head", "moved_at")

    def __init__(self, head: int, now: float) -> None:
        self.head = head
        self.end = head
        """The last offset that was heard of: the feed's position towards its shard."""
        self.moved_at = now
        """When a page came last, or the repair began."""
        self._waiting: deque[NodeFrame] = deque()
        """What follows the hole, rising; a step of more than one between two of them is another hole."""
        self._bytes = 0
        """What has been read and what waits, in frames' bytes."""
        self._events_read = 0
        self._asked: int | None = None
        """Behind which offset a page was asked for; None while none is awaited."""
        self._measured = head
        """The end of the hole whose oldest part was let go of, if it was too large."""
        self._tombstones: dict[int, NodeFrame] = {}
        """Of events in the holes, removed meanwhile; bounded by the holes."""

    @property
    def is_over(self) -> bool:
        return self.head == self.end

    # --- what comes while it lasts ---------------------------------------------------------------

    def jump(self, to: int) -> None:
        """All from `end` to `to` is missing."""
        self.end = to

    def offer(self, frame: NodeFrame) -> None:
        """The event after `end`: it waits for what is before it."""
        assert frame.offset == self.end + 1, "a jump is told as one"
        self._waiting.append(frame)
        self._bytes += len(frame.frame)
        self.end = frame.offset

    def hide(self, tombstone: NodeFrame) -> None:
        """An event was removed: whatever is held of it, or is read later, is the tombstone."""
        if self.head < tombstone.offset <= self.end:
            self._tombstones[tombstone.offset] = tombstone

    # --- reading the hole ------------------------------------------------------------------------

    def question(self) -> tuple[int, int] | None:
        """What to read now: after which offset, and how many at most; None while a page is awaited."""
        if self._asked is not None or self.is_over:
            return None
        self._asked = self.head
        return self.head, min(HISTORY_EVENTS_MAX, self._hole_end() - self.head)

    def refused(self, after: int) -> None:
        """Not now: `question` asks again."""
        if after == self._asked:
            self._asked = None

    def on_page(self, after: int, frames: Iterable[NodeFrame], now: float) -> list[Piece]:
        """The answer to the question about `after`: what may go on to readers.  What it leaves out has been forgotten."""
        if after != self._asked:
            return []
        self._asked = None
        self.moved_at = now
        pieces: list[Piece] = []
        hole_end = self._hole_end()
        found = [frame for frame in frames if after < frame.offset <= hole_end]
        if not found:
            self._lose(hole_end, pieces)
        for frame in found:
            self._lose(frame.offset - 1, pieces)
            self._bytes += len(frame.frame)
            self._events_read += 1
            self._give(frame, pieces)
        return pieces + self.advance()

    def advance(self) -> list[Piece]:
        """What may go on to readers now: what waits behind a closed hole, and what of a hole cannot be held."""
        pieces: list[Piece] = []
        while True:
            while self._waiting and self._waiting[0].offset == self.head + 1:
                self._give(self._waiting.popleft(), pieces)
            if self.is_over:
                return pieces
            hole_end = self._hole_end()
            if self._bytes > FEED_RING_BYTES_MAX:
                self._asked = None
                self._lose(hole_end, pieces)
            elif self._measured != hole_end:
                self._measured = hole_end
                self._lose(hole_end - self._fitting(), pieces)
            if self.head < hole_end:
                return pieces

    def give_up(self) -> list[Piece]:
        """What is not here is lost; all that waits goes on to readers."""
        pieces: list[Piece] = []
        for frame in self._waiting:
            self._lose(frame.offset - 1, pieces)
            self._give(frame, pieces)
        self._waiting.clear()
        self._lose(self.end, pieces)
        return pieces

    def _hole_end(self) -> int:
        return self._waiting[0].offset - 1 if self._waiting else self.end

    def _fitting(self) -> int:
        """How many events of the hole can be held beside what is held already; by the weight of those that are here."""
        room = FEED_RING_BYTES_MAX - self._bytes
        known = len(self._waiting) + self._events_read
        weight = self._bytes / known if known else FEED_RING_BYTES_MAX / FEED_RING_EVENTS_MAX
        return max(0, min(FEED_REPAIR_EVENTS_MAX - self._events_read, int(room / max(1.0, weight))))

    def _lose(self, upto: int, pieces: list[Piece]) -> None:
        if upto > self.head:
            pieces.append(Lost(self.head + 1, upto))
            self.head = upto

    def _give(self, frame: NodeFrame, pieces: list[Piece]) -> None:
        pieces.append(self._tombstones.pop(frame.offset, frame))
        self.head = frame.offset
