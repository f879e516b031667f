"""When readers are told how many are in their room: what a head count is worth against what it costs.  Pure.

A count that rides with events costs its 40 bytes.  One that travels alone costs what an event
costs, a `send` to every local member, and while a crowd comes in every room has another count
at every tick.  So:

- It rides with the next events, at most SIGNALS_PER_S_MAX times a second.
- Alone it travels when the last one is COUNT_WAIT_MIN_S old; a change of less than COUNT_SHARE_MIN
  waits longer in proportion, COUNT_WAIT_MAX_S at most.  One person more is one per cent of a
  hundred and nothing in ten thousand.
- Then it takes its place in a queue, which lets COUNT_SENDS_PER_S_MAX through over all rooms of a
  gateway: half of them for small rooms, half for the rest, so that ten thousand who have to be
  told of themselves delay no room of ten.  A feed has one place at a time: nobody waits there for
  longer than it takes to tell everyone once.

The newest count replaces what waits, so nothing here grows.
"""

from math import ceil, inf
from typing import Final

from wire.limits import (
    COUNT_SENDS_PER_S_MAX,
    COUNT_SHARE_MIN,
    COUNT_SLICE_S,
    COUNT_SMALL_ROOM_MEMBERS_MAX,
    COUNT_WAIT_MAX_S,
    COUNT_WAIT_MIN_S,
    SIGNALS_PER_S_MAX,
)

# What a pass costs beside its sends (4 us, and a turn of the scheduler), in sends: a room of one reader is
# not told for the price of one.
PASS_SENDS: Final = 4


class HeadCount:
    """How many are in one room, and what its local members know of it.  Written by its feed.

    `present` is handed in: the sum of all gateways, and at least as many as are here.
    """

    __slots__ = ("_told", "_told_at", "_unknown_to_some", "place", "seen", "total")

    def __init__(self) -> None:
        self.total = 0
        """What the shard said last: the sum over all gateways."""
        self.seen = (0, 0)
        """Estimates of how many different people were there in the last 5 and 60 minutes."""
        self.place: float | None = None
        """When its turn in the queue comes; None while it stands in none."""
        self._told = 0
        self._told_at = -inf
        self._unknown_to_some = False
        """Somebody was told another number, in the answer to its join, than the rest; or the estimates have changed."""

    def hear(self, total: int, seen: tuple[int, int]) -> None:
        """The shard has said so."""
        self.total = total
        if seen != self.seen:
            self.seen = seen
            self._unknown_to_some = True

    def joined(self, present: int, members: int) -> None:
        """Somebody was told `present` as it came in, the only one or one of several `members`."""
        if members == 1:
            self._told, self._unknown_to_some = present, False
        elif present != self._told:
            self._unknown_to_some = True

    def is_news(self, present: int) -> bool:
        return present != self._told or self._unknown_to_some

    def may_ride(self, present: int, now: float) -> bool:
        """Whether a pass that goes anyway should take it along."""
        return self.is_news(present) and now >= self._told_at + 1 / SIGNALS_PER_S_MAX

    def alone_at(self, present: int) -> float:
        """From when on it is worth a pass of its own."""
        return self._told_at + patience_s(self._told, present)

    def told(self, present: int, now: float) -> None:
        """A pass has taken it to all members."""
        self._told, self._told_at = present, now
        self._unknown_to_some = False
        self.place = None


def patience_s(told: int, present: int) -> float:
    """How long after `told` the number `present` is worth a pass of its own."""
    changed = abs(present - told)
    if not changed:
        return COUNT_WAIT_MAX_S
    return min(COUNT_WAIT_MAX_S, max(COUNT_WAIT_MIN_S, COUNT_WAIT_MIN_S * COUNT_SHARE_MIN * max(told, present) / changed))


class CountQueue:
    """Whose count may travel alone, and when: one for each gateway."""

    __slots__ = ("_crowds_free_at", "_small_free_at")

    def __init__(self) -> None:
        self._small_free_at = 0.0
        self._crowds_free_at = 0.0

    def due(self, count: HeadCount, present: int, members: int, now: float) -> float:
        """When a feed's count may travel alone, or is to be looked at again; `inf` while there is nothing to tell.

        To be asked when the time has come: a count that is worth it takes its place, and keeps it.
        """
        if not members or not count.is_news(present):
            return inf
        if count.place is None:
            worth_it_at = count.alone_at(present)
            if worth_it_at > now:
                # The room may fill meanwhile, and then it is worth it sooner.
                return min(worth_it_at, now + COUNT_WAIT_MIN_S)
            count.place = self._take_place(present <= COUNT_SMALL_ROOM_MEMBERS_MAX, members, now)
        return count.place

    def _take_place(self, is_small: bool, members: int, now: float) -> float:
        free_at = self._small_free_at if is_small else self._crowds_free_at
        # Places of one slice come up together: the scheduler wakes for the slice, not for each of them.
        place = now if free_at <= now else max(now, ceil(free_at / COUNT_SLICE_S) * COUNT_SLICE_S)
        free_at = max(now, free_at) + (members + PASS_SENDS) / (COUNT_SENDS_PER_S_MAX / 2)
        if is_small:
            self._small_free_at = free_at
        else:
            self._crowds_free_at = free_at
        return place
