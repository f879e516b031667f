"""How much of a room a reader gets that takes too little: a place on the ladder.  Pure.

    full -> sampled in three classes -> state only -> closed

A reader goes down at once, to the rung that its arrears ask for: each rung begins at a share of what
it may be behind at all, and at the whole of that it is closed (`Membership.is_too_slow`).  It climbs one rung for
every LADDER_CLIMB_S in which it did not need its rung, which is to say in which it was behind by less than half of
where the rung begins: a reader at the edge of a rung would otherwise change it with every event.
"""

from dataclasses import dataclass
from enum import IntEnum

from wire.limits import LADDER_CLIMB_S

# Where each rung below the top begins, as a share of what a reader may be behind.
# The first is above a pass's buffer: whom one pass finds slow misses nothing by it.
LADDER_SHARES = (1 / 8, 1 / 4, 1 / 2, 3 / 4)
# What the three classes keep of a block, beside removals and their own: each range left out costs 50 bytes, so
# the first class cannot keep much more than a quarter and save anything where messages are short.
SAMPLE_KEPT = (8, 4, 1)


class Rung(IntEnum):
    FULL = 0
    SAMPLED_1 = 1
    SAMPLED_2 = 2
    SAMPLED_3 = 3
    STATE_ONLY = 4

    @property
    def kept(self) -> int:
        """Events of a block that its readers get; what they get in any case is not counted."""
        assert self is not Rung.FULL, "who is at the top gets all there is"
        return (*SAMPLE_KEPT, 0)[self - 1]


@dataclass(frozen=True, slots=True)
class Place:
    """A reader's rung, and since when it has not needed it."""

    rung: Rung = Rung.FULL
    since: float = 0.0

    def judged(self, behind: int, behind_max: int, now: float) -> "Place":
        """Where a reader is now that is `behind` bytes behind and may be `behind_max`."""
        asked = Rung(sum(behind > share * behind_max for share in LADDER_SHARES))
        climbed = min(int(self.rung), max(0, int((now - self.since) / LADDER_CLIMB_S)))
        rung = max(asked, Rung(self.rung - climbed))
        if rung is Rung.FULL or asked >= rung or behind * 2 > LADDER_SHARES[rung - 1] * behind_max:
            return Place(rung, now)
        return Place(rung, self.since + climbed * LADDER_CLIMB_S)


assert len(LADDER_SHARES) == len(Rung) - 1, "each rung has its share"
