"""A lane without threads: each job takes its time before and after its effect, in trio's time and under a seed.

As in runtime/offload.py a job belongs to the lane: a deadline or a cancelled waiter ends the
waiting, and the effect comes all the same.  A node that dies takes its waiters along; what was
under way is then with the store, and a coin says of each job, in order, whether it still
happens: so a late write can land after another owner has claimed.  A store that dies takes
what is under way along, whoever asked.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar, cast

import outcome
import trio

from broker.journal.protocol import Unavailable
from runtime.offload import OffloadTimeout

# How late a job of a dead node may still reach the store: later than its successor's claim.
LATE_S = 6.0

T = TypeVar("T")


@dataclass
class LanePace:
    """How long jobs take; shared by all lanes of a simulation, and changed by its faults."""

    usual_s: tuple[float, float] = (0.0003, 0.005)
    slow_until: float = 0.0
    slow_s: float = 0.0
    """Until then each half of a job takes up to this."""

    def draw(self, rng: Random) -> float:
        if trio.current_time() < self.slow_until:
            return rng.uniform(0, self.slow_s)
        return rng.uniform(*self.usual_s)


class SimLane:
    """An `Offload`.  `run` is its thread: a task that outlives the node which asks."""

    def __init__(self, name: str, rng: Random, pace: LanePace) -> None:
        self.name = name
        self._rng = rng
        self._pace = pace
        self._jobs: deque[_Job] = deque()
        self._asked = trio.lowlevel.ParkingLot()
        self._is_dead = False

    async def __call__(self, job: Callable[[], T], *, deadline_s: float | None) -> T:
        assert not self._is_dead, f"a job for the lane {self.name} after its end"
        with trio.CancelScope() as scope:
            if deadline_s is not None:
                scope.deadline = trio.current_time() + deadline_s
            asked = _Job(job)
            self._jobs.append(asked)
            self._asked.unpark()
            return cast(T, await asked.wait_ended())
        raise OffloadTimeout(f"lane {self.name}: no end of the job within {deadline_s} s")

    def node_died(self) -> None:
        """Nobody asks any more; from the first coin that falls so, nothing under way happens either."""
        self._is_dead = True
        kept = 0
        while kept < len(self._jobs) and self._rng.random() < 0.5:
            kept += 1
        for job in list(self._jobs)[kept:]:
            job.is_lost = True
        self._asked.unpark()

    def store_died(self) -> None:
        """The connection to the store is gone: what is under way is not done any more, or its answer may be lost."""
        if self._jobs:
            for job in list(self._jobs) if self._is_dead else [self._jobs[0]]:
                job.break_off(answer_lost=self._rng.random() < 0.5)

    async def run(self) -> None:
        """Do the jobs, one after another; ends after the last one of a node that died."""
        while self._jobs or not self._is_dead:
            if not self._jobs:
                await self._asked.park()
                continue
            job = self._jobs[0]
            await trio.sleep(self._pace.draw(self._rng))
            if self._is_dead and not job.is_lost:
                # Its bytes are with a kernel that goes on sending them.
                await trio.sleep(self._rng.uniform(0, LATE_S))
            job.take_effect()
            await trio.sleep(self._pace.draw(self._rng))
            self._jobs.popleft()
            job.answer()


class _Job:
    """One job: waited for by one task, or by nobody any more."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self._outcome: outcome.Outcome[object] | None = None
        self.is_lost = False
        """It never reaches the store."""

    async def wait_ended(self) -> object:
        def give_up(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(give_up)

    def take_effect(self) -> None:
        if not self.is_lost:
            self._outcome = outcome.capture(self._call)

    def break_off(self, *, answer_lost: bool) -> None:
        """What did not take effect never will; what did may be answered all the same."""
        if self._outcome is None:
            self.is_lost = True
        elif not answer_lost:
            return
        self._outcome = outcome.Error(Unavailable("the connection was lost"))

    def answer(self) -> None:
        if self._task is not None and self._outcome is not None:
            trio.lowlevel.reschedule(self._task, self._outcome)
        elif isinstance(self._outcome, outcome.Error) and isinstance(self._outcome.error, AssertionError):
            # A bug whose only witness has left: it must end the simulation all the same.
            raise self._outcome.error
