"""When to ask for a room again: one alarm a feed, of which only the last that was set counts.  Pure."""

from collections.abc import Iterator
from heapq import heappop, heappush

from shard_router.attachment import Attachment


class Alarms:
    """A heap; an alarm that was replaced or is not wanted any more stays in it until its time.

    So it is bounded by the attaches of the last PUBLISH_WAIT_S.
    """

    __slots__ = ("_heap", "_numbers")

    def __init__(self, numbers: Iterator[int]) -> None:
        """`numbers` are shared by all channels of a router: a feed that moved may have an alarm left in an old one."""
        self._heap: list[tuple[float, int, Attachment]] = []
        self._numbers = numbers

    def set(self, attachment: Attachment, when: float) -> None:
        """Wake the feed at `when`, unless `attachment.wake` has become 0 or another by then."""
        attachment.wake = next(self._numbers)
        heappush(self._heap, (when, attachment.wake, attachment))

    def due(self, now: float) -> Iterator[Attachment]:
        """Each feed whose alarm has come and still counts; more alarms may be set meanwhile."""
        while self._heap and self._heap[0][0] <= now:
            _, number, attachment = heappop(self._heap)
            if attachment.wake == number:
                yield attachment
