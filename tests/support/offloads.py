"""Offloads without threads, for tests that own the clock."""

from collections.abc import Callable
from typing import TypeVar

import trio

from runtime.offload import OffloadTimeout

T = TypeVar("T")


class InlineOffload:
    """Runs each job at once, in the event loop, after one checkpoint."""

    async def __call__(self, job: Callable[[], T], *, deadline_s: float | None) -> T:
        await trio.lowlevel.checkpoint()
        return job()


class HeldOffload:
    """Holds each job until the test lets it go; `waiting` is how many are held.

    The deadline ends the waiting as in a real lane: the job, once let go, still runs.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self._gate = trio.lowlevel.ParkingLot()
        self._late: list[Callable[[], object]] = []

    async def __call__(self, job: Callable[[], T], *, deadline_s: float | None) -> T:
        self.waiting += 1
        with trio.CancelScope() as scope:
            if deadline_s is not None:
                scope.deadline = trio.current_time() + deadline_s
            try:
                await self._gate.park()
            except trio.Cancelled:
                self._late.append(job)
                raise
            self.waiting -= 1
            return job()
        raise OffloadTimeout(f"held beyond {deadline_s} s")

    def let_go(self) -> None:
        """Run one held job: one that nobody waits for any more first, since it is older."""
        if self._late:
            self.waiting -= 1
            self._late.pop(0)()
        else:
            self._gate.unpark()
