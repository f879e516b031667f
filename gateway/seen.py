"""Who was seen in a room at this gateway, as a sketch, and what of it the shard has not been told.  Pure.

Everybody is seen as they come in, and once a minute for as long as they stay.  The whole sketch
is kept for the longest window, so that a shard that has just taken over has it back with the
first report: merging makes sending again harmless.  What a gateway that died had seen is missing until
its readers are seen elsewhere, which is where they go.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from wire.limits import SEEN_PER_TICK_MAX, SKETCH_MINUTES_MAX
from wire.sketch import Sketch, cell_of, pack_entries


class Seen:
    """People of one room; bounded as its sketch is."""

    __slots__ = ("_sketch", "_untold")

    def __init__(self) -> None:
        self._sketch = Sketch()
        self._untold: dict[int, None] = {}
        """Registers that the shard has not been told of as they are."""

    def see(self, room: str, author: str, minute: int) -> None:
        register, rank = cell_of(room, author)
        if self._sketch.see(register, rank, minute):
            self._untold[register] = None

    def forget_before(self, minute: int) -> None:
        self._sketch.forget_before(minute)

    def take(self, minute: int) -> bytes:
        """What the shard has not been told, which it is from here on; b"" when that is nothing."""
        untold, self._untold = self._untold, {}
        return pack_entries(self._sketch.entries(untold), minute) if untold else b""

    def tell_again(self) -> None:
        """Another shard, or another link, or a report that did not leave: all of it."""
        self._untold = dict.fromkeys(register for register, _, _ in self._sketch.entries())


class Place(Protocol):
    """A room and who is in it, as the walk sees it."""

    seen: Seen

    def see_members(self, minute: int) -> Iterator[None]:
        """See every member, one at each step."""


class SeenWalk:
    """Once a minute past everybody who is here, SEEN_PER_TICK_MAX of them in each tick of a second.

    A walk that takes longer than a minute is ended before the next begins: no room is always the last.
    """

    def __init__(self) -> None:
        self._minute = -1
        self._walk: Iterator[None] = iter(())

    def tick(self, places: Iterable[Place], minute: int) -> None:
        stepped = sum(1 for _ in islice(self._walk, SEEN_PER_TICK_MAX))
        if stepped < SEEN_PER_TICK_MAX and minute != self._minute:
            self._minute = minute
            self._walk = _see_all(list(places), minute)


def _see_all(places: list[Place], minute: int) -> Iterator[None]:
    for place in places:
        place.seen.forget_before(minute - SKETCH_MINUTES_MAX)
        yield from place.see_members(minute)
