"""When each message of a run is due: fixed before the run begins, so that a slow server cannot slow its own load."""

from dataclasses import dataclass

from bench.latency import LatencyHistogram


@dataclass(frozen=True, slots=True)
class Schedule:
    """`rate` messages a second in each of `rooms` rooms, spread evenly, from `start` (monotonic seconds) on.

    Message k is the ``k // rooms``-th of room ``k % rooms``.
    """

    start: float
    rate: float
    rooms: int
    seconds: float

    @property
    def messages(self) -> int:
        return max(1, round(self.rate * self.seconds)) * self.rooms

    def due(self, k: int) -> float:
        return self.start + k / (self.rate * self.rooms)

    def due_by(self, now: float) -> int:
        """How many messages are due at `now`."""
        if now < self.start:
            return 0
        return min(self.messages, int((now - self.start) * self.rate * self.rooms) + 1)


class Deliveries:
    """What readers took, as (last offset, how many, when), turned into latencies against a schedule.

    All frames of a joined buffer arrive at once but were due at different times: at most
    four of them, the oldest and the newest included, stand for all.
    """

    def __init__(self, schedule: Schedule, offsets: list[list[int]]) -> None:
        """`offsets[room][i]` is the offset that message i of that room was acknowledged with, 0 if it was not."""
        self.histogram = LatencyHistogram()
        self.unplanned = 0
        """Frames whose offset nobody was told: published by someone else, or never acknowledged."""
        self._due: list[dict[int, float]] = [
            {offset: schedule.due(i * schedule.rooms + room) for i, offset in enumerate(of_room) if offset}
            for room, of_room in enumerate(offsets)
        ]

    def add(self, room: int, last: int, count: int, at: float) -> None:
        due = self._due[room]
        if count <= 4:
            places, weight = range(last - count + 1, last + 1), 1.0
        else:
            first = last - count + 1
            third = (count - 1) // 3
            places, weight = (first, first + third, last - third, last), count / 4  # type: ignore[assignment]
        for offset in places:
            planned = due.get(offset)
            if planned is None:
                self.unplanned += 1
            else:
                self.histogram.record(int((at - planned) * 1e6), weight)
