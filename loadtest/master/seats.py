"""The workers of a run, as its master knows them.  Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from loadtest.figures.messages import Goal


class WorkerState(Enum):
    """The values are the words of `loadtest.figures.record.WorkerProbe.state`."""

    PREPARING = "waiting"
    READY = "ready"
    RUNNING = "running"
    HUSHED = "hushed"
    ENDED = "ended"
    DEAD = "dead"


@dataclass(slots=True)
class Seat:
    """One worker."""

    name: str
    clients_max: int
    heard_us: int
    state: WorkerState = WorkerState.PREPARING
    goal: Goal | None = None
    users: int = 0


ALIVE: Final = (WorkerState.PREPARING, WorkerState.READY, WorkerState.RUNNING, WorkerState.HUSHED)


class Seats:
    """Every worker that ever was admitted, by its index."""

    def __init__(self) -> None:
        self._seats: dict[int, Seat] = {}

    def __getitem__(self, index: int) -> Seat:
        return self._seats[index]

    def take(self, index: int, seat: Seat) -> None:
        assert index not in self._seats, "an index is given out once"
        self._seats[index] = seat

    def items(self) -> list[tuple[int, Seat]]:
        """All, in order of their indexes."""
        return sorted(self._seats.items())

    def having(self, *states: WorkerState) -> list[int]:
        """Indexes, in order."""
        return [index for index, seat in self.items() if seat.state in states]

    @property
    def users(self) -> int:
        """That live now, by the last beats."""
        return sum(seat.users for seat in self._seats.values())

    @property
    def are_loaded(self) -> bool:
        """Whether anybody was ever told a goal."""
        return any(seat.goal is not None for seat in self._seats.values())

    def carried(self, indexes: Sequence[int]) -> int:
        """Users that these workers can hold when they share evenly: the poorest decides."""
        return len(indexes) * min((self._seats[index].clients_max for index in indexes), default=0)


def many(count: int, noun: str) -> str:
    """`1 worker`, `2 workers`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
