"""When the messages of an open-model class are due: slots of a plan that no slow server and no slow generator can move.  Pure.

A plan is a line: slot number over time, on the master's clock, bent where a shape changes the
rate or workers come and go.  Each bend is a `Stretch`, and everybody who knows it knows every later slot to the
microsecond, until the next bend.  Workers share the slots by their numbers, so that together
they follow one plan, none twice and none left out, and a worker that joins needs no history.

A worker begins its slots with `Slots`; who keeps the plan (`Plan`) can say at any moment how
many were due, and so how many nobody even tried.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import Final

from msgspec.structs import replace

from loadtest.figures.messages import Stretch

ARRIVALS_PER_S_MAX: Final = 100_000.0
# Once in twelve days: what is rarer is never.
ARRIVALS_PER_S_MIN: Final = 1e-6
# A slot begun later than this after its moment is counted as late: 10 times what a healthy event loop needs.
LATE_SLOT_S: Final = 0.05
# A slot that found nobody free for so long is given up, and counted as missed.
SLOT_WAIT_S_MAX: Final = 10.0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How often the tasks of a class begin, all its users on all workers together."""

    per_s: float


def per_second(rate: float) -> Arrivals:
    """`rate` messages a second of the whole class, however many users it has; at most ARRIVALS_PER_S_MAX."""
    if not (isfinite(rate) and 0 <= rate <= ARRIVALS_PER_S_MAX):
        raise ValueError(f"arrivals of {rate} a second: it must be between 0 and {ARRIVALS_PER_S_MAX:.0f}")
    return Arrivals(float(rate))


def per_minute(rate: float) -> Arrivals:
    """`rate` messages a minute of the whole class."""
    return per_second(rate / 60)


def due_us(stretch: Stretch, number: int) -> int:
    """The moment of a slot; `stretch.per_s` is not 0."""
    return stretch.first_us + ceil((number - stretch.first) / stretch.per_s * 1e6)


def _first_from(stretch: Stretch, at_us: int) -> int:
    """The first slot that is due at `at_us` or later."""
    if stretch.per_s == 0 or at_us <= stretch.first_us:
        return stretch.first
    number = stretch.first + ceil((at_us - stretch.first_us) * stretch.per_s / 1e6)
    # The product and the quotient may round to different sides of a slot.
    while number > stretch.first and due_us(stretch, number - 1) >= at_us:
        number -= 1
    while due_us(stretch, number) < at_us:
        number += 1
    return number


class Plan:
    """The plan of one class, where it is made."""

    def __init__(self) -> None:
        self._last = self._before = Stretch(0, 0, 0, 0.0, 0, 1)
        self._workers: tuple[int, ...] = ()
        # A plan begins with a whole pause: its first users are on their way then, and nobody is late who could not be there.
        self._to_come = 1.0
        """Which part of the next slot's time had not gone by when the rate was last 0."""

    def turn(self, at_us: int, per_s: float, workers: Sequence[int], others: Sequence[int] = ()) -> dict[int, Stretch]:
        """From `at_us` on at this rate, shared by these workers: what each of them is told, and the others: no more.

        Asked for what holds already it answers what it answered before.  The plan is bent
        at its end only: a moment before the last bend counts as that one.
        """
        workers = tuple(workers)
        per_s = per_s if workers and per_s >= ARRIVALS_PER_S_MIN else 0.0
        if per_s != self._last.per_s or workers != self._workers:
            self._bend(max(at_us, self._last.at_us), per_s)
            self._workers = workers
        told = {worker: replace(self._last, per_s=0.0) for worker in others}
        return told | {worker: replace(self._last, turn=turn, of=len(workers)) for turn, worker in enumerate(workers)}

    def _bend(self, at_us: int, per_s: float) -> None:
        last = self._last
        if at_us > last.at_us:
            self._before = last
        first = _first_from(last, at_us)
        if last.per_s > 0:
            self._to_come = max(0.0, (due_us(last, first) - at_us) * last.per_s / 1e6)
        first_us = at_us + ceil(self._to_come / per_s * 1e6) if per_s > 0 else at_us
        self._last = Stretch(at_us, first, first_us, per_s, 0, 1)

    def due_by(self, at_us: int) -> int:
        """How many slots were due before `at_us`, on all workers, since the plan began.

        `at_us` lies after the last bend but one: the last one may be told and not hold yet.
        """
        return _first_from(self._last if at_us >= self._last.at_us else self._before, at_us)


class Slots:
    """The slots of one class that one worker begins, in order."""

    def __init__(self) -> None:
        self._stretches: deque[Stretch] = deque()
        """The one that holds, then those that are to come; as many as bends were told and are not over."""
        self._next = 0
        """No slot below this number is given out again."""

    def follow(self, stretch: Stretch) -> None:
        """From `stretch.at_us` on the plan goes so; what was told for later than that is void."""
        while self._stretches and self._stretches[-1].at_us >= stretch.at_us:
            self._stretches.pop()
        self._stretches.append(stretch)

    def take(self, now_us: int) -> list[int]:
        """The moments of all slots that are due and were not taken yet, oldest first."""
        due: list[int] = []
        while self._stretches and self._stretches[0].at_us <= now_us:
            stretch = self._stretches[0]
            after = self._stretches[1] if len(self._stretches) > 1 else None
            if stretch.per_s > 0:
                # By number, not by time: a slot next to the bend is of one side exactly.
                end = _first_from(stretch, now_us + 1)
                end = end if after is None else min(end, after.first)
                for number in range(self._first(stretch), end, stretch.of):
                    due.append(due_us(stretch, number))
                    self._next = number + 1
            if after is None or after.at_us > now_us:
                break
            self._stretches.popleft()
        return due

    def next_due_us(self) -> int | None:
        """When to ask again; None while nothing is planned."""
        moments = [stretch.at_us for stretch in list(self._stretches)[1:2]]
        if self._stretches and self._stretches[0].per_s > 0:
            moments.append(due_us(self._stretches[0], self._first(self._stretches[0])))
        return min(moments, default=None)

    def _first(self, stretch: Stretch) -> int:
        """The lowest number of our share that is not taken and belongs to this stretch."""
        lowest = max(self._next, stretch.first)
        return lowest + (stretch.turn - lowest) % stretch.of
