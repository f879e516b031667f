"""The master's ledger: what was acknowledged, against what auditors read, over all workers.  Pure.

An acknowledgement names a place: room, epoch, offset.  The place must hold that message and no other, for every
reader; a message must stand at one place; and what an auditor was there for must have been seen.  A
hole that one auditor finds is its own finding (`loadtest/audits/audit.py`): here is found what no
single reader can see.  Nobody was there: nothing is said, but it is counted.

Both sides of a place mostly come within a second, and are settled then; settled places are kept
as long as there is room, to be compared with what comes late.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from loadtest.audits.places import REMOVED
from loadtest.audits.ranges import Ranges
from loadtest.figures.messages import Finding, Placed

# Places that are kept at once, settled or not: the oldest goes first.  500 bytes each with its id (`tracemalloc`), so
# 150 MB at most, for five minutes of 1,000 messages a second.
PLACES_MAX: Final = 300_000
# Findings that are not told a second time when the other side of the same place comes.
TOLD_MAX: Final = 10_000
LEDGER: Final = "the ledger"
"""Who saw it, in findings that no single client could make."""


class _Place:
    """What is said of one offset."""

    __slots__ = ("acked", "is_removed", "seen")

    def __init__(self) -> None:
        self.acked = 0
        """The id's hash by an acknowledgement, 0 without one."""
        self.seen = 0
        self.is_removed = False
        """Somebody saw that a message had been there."""


class Ledger:
    """Invariant: at most PLACES_MAX places and as many ids are kept, and a few numbers for each log."""

    def __init__(self) -> None:
        self.unjudged = 0
        """Acknowledged messages that nobody could be expected to see, or that were forgotten for want of room."""
        self._places: OrderedDict[tuple[str, str, int], _Place] = OrderedDict()
        self._ids: OrderedDict[tuple[str, str, int], int] = OrderedDict()
        """Where an id stands, by room, epoch and hash."""
        self._watched: dict[tuple[str, str], Ranges] = {}
        self._heads: dict[str, dict[str, int]] = {}
        """By room: each epoch's highest acknowledged offset, the newest epoch last."""
        self._forgotten: dict[tuple[str, str], int] = {}
        """By log: the highest offset that had to be forgotten; what is said of lower ones later is half of the truth."""
        self._told: set[tuple[str, str, str, int]] = set()
        self._findings: list[Finding] = []

    def heads(self) -> dict[str, tuple[str, int]]:
        """Where rooms end, by what was acknowledged: what auditors must reach.  The newest epoch of each."""
        return {room: list(epochs.items())[-1] for room, epochs in self._heads.items()}

    def acked(self, placed: Placed) -> None:
        """A beat's acknowledgements, in the order in which they came."""
        for offset, hashed in _pairs(placed):
            place = self._place(placed, offset)
            if place.acked not in {0, hashed}:
                self._found("duplicated", placed, offset, "two messages were acknowledged for one place")
            elif place.seen not in {0, hashed}:
                self._found("lost", placed, offset, "a message was acknowledged for a place where readers got another one")
            place.acked = hashed
            self._stands(placed, offset, hashed)
            epochs = self._heads.setdefault(placed.room, {})
            epochs[placed.epoch] = max(offset, epochs.get(placed.epoch, 0))

    def seen(self, placed: Placed) -> None:
        """What auditors of one worker read, and where they had been when they left."""
        for offset, hashed in _pairs(placed):
            place = self._place(placed, offset)
            if hashed == REMOVED:
                place.is_removed = True
                continue
            if place.seen not in {0, hashed}:
                self._found("altered", placed, offset, "readers of different workers got different messages at one place")
            elif place.acked not in {0, hashed}:
                self._found("lost", placed, offset, "a message was acknowledged for a place where readers got another one")
            place.seen = hashed
            self._stands(placed, offset, hashed)
        watched = self._watched.setdefault((placed.room, placed.epoch), Ranges()) if placed.watched else Ranges()
        for first, last in zip(placed.watched[::2], placed.watched[1::2], strict=True):
            watched.add(first, last)

    def take_findings(self) -> list[Finding]:
        """What was found since the last call."""
        findings, self._findings = self._findings, []
        return findings

    def close(self) -> list[Finding]:
        """All workers have ended: what was acknowledged and seen by none of those who were there is lost."""
        for (room, epoch, offset), place in self._places.items():
            if place.acked and not place.seen and not place.is_removed:
                is_known = offset > self._forgotten.get((room, epoch), 0)
                if is_known and offset in self._watched.get((room, epoch), Ranges()):
                    detail = "acknowledged, and seen by no auditor, though one was there"
                    self._findings.append(Finding("lost", room, offset, 1, LEDGER, detail))
                else:
                    self.unjudged += 1
        self._places.clear()
        return self.take_findings()

    def _place(self, placed: Placed, offset: int) -> _Place:
        key = (placed.room, placed.epoch, offset)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _Place()
            if len(self._places) > PLACES_MAX:
                (room, epoch, gone), oldest = self._places.popitem(last=False)
                self._forgotten[room, epoch] = max(gone, self._forgotten.get((room, epoch), 0))
                self.unjudged += bool(oldest.acked and not oldest.seen and not oldest.is_removed)
        return place

    def _stands(self, placed: Placed, offset: int, hashed: int) -> None:
        known = self._ids.setdefault((placed.room, placed.epoch, hashed), offset)
        if known != offset:
            self._found("duplicated", placed, offset, f"a message that stands at offset {known} stands here once more")
        if len(self._ids) > PLACES_MAX:
            self._ids.popitem(last=False)

    def _found(self, kind: str, placed: Placed, offset: int, detail: str) -> None:
        finding = (kind, placed.room, placed.epoch, offset)
        if finding not in self._told:
            self._findings.append(Finding(kind, placed.room, offset, 1, LEDGER, detail))
            if len(self._told) < TOLD_MAX:
                self._told.add(finding)


def _pairs(placed: Placed) -> Iterator[tuple[int, int]]:
    return zip(placed.pairs[::2], placed.pairs[1::2], strict=True)
