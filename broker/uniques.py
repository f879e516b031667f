"""How many different people were in a room lately: what its gateways have seen, merged.  Pure.

An estimate costs a walk over the room's registers, so rooms take turns, each at most every
SEEN_ESTIMATE_INTERVAL_S, and once a minute when nothing is heard of it: time alone changes it.
"""

from typing import Final

from wire.limits import COUNT_SHARE_MIN, SEEN_ESTIMATE_INTERVAL_S, SKETCH_MINUTES_MAX
from wire.sketch import Sketch, unpack_entries

_SHORT_MINUTES: Final = 5


class Uniques:
    """One room's people of the last minutes; bounded as its sketch is."""

    __slots__ = ("_due_s", "_sketch", "last_5m", "last_60m")

    def __init__(self) -> None:
        self._sketch = Sketch()
        self._due_s = 0.0
        self.last_5m = 0
        self.last_60m = 0

    def __len__(self) -> int:
        """What an estimate costs, in registers."""
        return len(self._sketch)

    def is_due(self, now_s: float) -> bool:
        return now_s >= self._due_s

    def hear(self, data: bytes, now_s: float) -> bool:
        """A gateway has seen these; whether that was news."""
        return self._sketch.merge(unpack_entries(data, int(now_s // 60)))

    def estimate(self, now_s: float) -> bool:
        """Count again; whether readers should be told: a change of less than COUNT_SHARE_MIN is noise."""
        minute = int(now_s // 60)
        self._due_s = now_s + SEEN_ESTIMATE_INTERVAL_S
        self._sketch.forget_before(minute - SKETCH_MINUTES_MAX)
        last_5m = self._sketch.estimate(minute - _SHORT_MINUTES)
        last_60m = self._sketch.estimate(minute - SKETCH_MINUTES_MAX)
        if max(_share(self.last_5m, last_5m), _share(self.last_60m, last_60m)) < COUNT_SHARE_MIN:
            return False
        self.last_5m, self.last_60m = last_5m, last_60m
        return True


def _share(before: int, after: int) -> float:
    return abs(after - before) / max(before, after, 1)
