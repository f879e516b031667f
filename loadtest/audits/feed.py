"""One room on one connection, as a reader is promised it: every offset once, in order, or announced.  Pure.

On a connection nothing may come twice and nothing may be jumped over, whatever another
connection of the same client shows meanwhile; so each is held to the promise by itself, from
its `joined` on.  A hole is called lost only when the feed ends or has gone far beyond it:
until then what is missing may still come, late, which is another fault.
"""

from enum import Enum
from typing import Final

from loadtest.audits.ranges import Ranges

# Holes that may still be filled; with more of them the oldest is taken for lost.
HOLES_MAX: Final = 64
# As far behind a frame may come and be late instead of lost: what a gateway holds of a room.
LATE_OFFSETS_MAX: Final = 1000
ANNOUNCED_RANGES_MAX: Final = 64


class Arrival(Enum):
    """What an event is to its feed."""

    NEXT = "next"
    AFTER_HOLE = "after a hole"
    LATE = "late"
    REPEATED = "repeated"
    ANNOUNCED = "was announced as skipped"


class Feed:
    """From a `joined` to its end.  `told_up_to`: the head at the join, up to which history or a resume is told."""

    __slots__ = ("_announced", "_holes", "at_ms", "epoch", "is_recovered", "next", "told_up_to")

    def __init__(self, epoch: str, since: int, told_up_to: int, *, is_recovered: bool) -> None:
        self.epoch = epoch
        self.next = since + 1
        self.told_up_to = told_up_to
        self.is_recovered = is_recovered
        """The server said that nothing is missing after the position we came with."""
        self.at_ms = 0
        """The server's time of the last event, which never goes back."""
        self._holes = Ranges()
        self._announced = Ranges()

    def arrive(self, offset: int) -> Arrival:
        if offset == self.next:
            self.next += 1
            return Arrival.NEXT
        if offset > self.next:
            self._holes.add(self.next, offset - 1)
            self.next = offset + 1
            return Arrival.AFTER_HOLE
        if self._holes.take(offset):
            return Arrival.LATE
        return Arrival.ANNOUNCED if offset in self._announced else Arrival.REPEATED

    def announce(self, first: int, last: int) -> None:
        """The server will not send these; whatever was expected before them and did not come is a hole."""
        if last < self.next:
            return
        self._holes.add(self.next, first - 1)
        self._announced.add(max(first, self.next), last)
        if len(self._announced) > ANNOUNCED_RANGES_MAX:
            self._announced.take_first()
        self.next = last + 1

    @property
    def has_holes(self) -> bool:
        """Whether something is missing that may still come."""
        return len(self._holes) > 0

    def take_lost(self, *, ends: bool = False) -> list[tuple[int, int]]:
        """Ranges that will not come any more; all of them once the feed `ends`."""
        lost = []
        for first, last in self._holes:
            if ends or len(self._holes) > HOLES_MAX or last < self.next - LATE_OFFSETS_MAX:
                lost.append((first, last))
                self._holes.take_first()
        return lost
