"""Blocking jobs on worker threads: a lane runs them in order, and only the waiting can be cut short.

A thread cannot be cancelled.  So a job belongs to its lane and runs to its end, whatever
becomes of who asked for it: a deadline, or a cancelled waiter, ends the *waiting*, and the
outcome is then unknown.  Roles get an `Offload` and never know which; a simulation gives
one that has no threads.
"""

import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

import outcome
import trio

# A lane that is this far behind is not going to catch up in anybody's patience.
JOBS_WAITING_MAX = 1000

T = TypeVar("T")


class OffloadTimeout(Exception):
    """The job did not end within the time its waiter had; whether it took effect is unknown."""


class OffloadFull(OffloadTimeout):
    """The lane had too many jobs waiting; this one was never started."""


class Offload(Protocol):
    """Run `job` away from the event loop and answer with what it returned or raised.

    `deadline_s` is counted from the call, waiting for a turn included; None waits for ever.
    Raises `OffloadTimeout`.
    """

    async def __call__(self, job: Callable[[], T], *, deadline_s: float | None) -> T: ...


class ThreadLane:
    """An `Offload` of persistent threads that share one queue; with one thread, jobs run one by one in order.

    A thread of its own and `run_sync_soon` to answer: an empty job takes 44 us there and back
    (47 us of CPU), against 64 us (69) of `trio.to_thread.run_sync`, which first finds a thread
    and a token of a limiter.  The threads are daemons: a store that hangs must not keep a
    process from ending.
    """

    def __init__(self, name: str, threads: int = 1, on_unseen_error: Callable[[BaseException], None] | None = None) -> None:
        """`name` is what the threads are called in a debugger.

        `on_unseen_error` gets, in the trio thread, what a job raised after its waiter had left:
        the one case in which nobody else would ever hear of it.
        """
        self.name = name
        self._on_unseen_error = on_unseen_error
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = threads
        self._is_closed = False
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    async def __call__(self, job: Callable[[], T], *, deadline_s: float | None) -> T:
        assert not self._is_closed, f"a job for the lane {self.name} after its end"
        if self.jobs_waiting >= JOBS_WAITING_MAX:
            raise OffloadFull(f"lane {self.name} has {JOBS_WAITING_MAX} jobs waiting")
        with trio.CancelScope() as scope:
            if deadline_s is not None:
                scope.deadline = trio.current_time() + deadline_s
            asked = _Job(job, self._on_unseen_error)
            self._jobs.put(asked)
            return cast(T, await asked.wait_ended())
        raise OffloadTimeout(f"lane {self.name}: no end of the job within {deadline_s} s")

    @property
    def jobs_waiting(self) -> int:
        """Jobs that no thread has begun."""
        return self._jobs.qsize()

    def close(self) -> None:
        """Take no more jobs; the threads end after what they were given.  Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.run()


class _Job:
    """One job: run by a thread, waited for by one task or by nobody any more."""

    __slots__ = ("_call", "_on_unseen_error", "_outcome", "_task", "_token")

    def __init__(self, call: Callable[[], object], on_unseen_error: Callable[[BaseException], None] | None) -> None:
        self._call = call
        self._on_unseen_error = on_unseen_error
        self._token = trio.lowlevel.current_trio_token()
        self._task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        """Who waits; only touched in the trio thread.  None once it has given up."""
        self._outcome: outcome.Outcome[object] | None = None

    def run(self) -> None:
        """In the lane's thread."""
        self._outcome = outcome.capture(self._call)
        try:
            self._token.run_sync_soon(self._answer)
        except trio.RunFinishedError:
            # The event loop is gone, and with it whoever waited.
            return

    async def wait_ended(self) -> object:
        def give_up(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(give_up)

    def _answer(self) -> None:
        """In the trio thread."""
        assert self._outcome is not None, "an answer is given after the run"
        if self._task is not None:
            trio.lowlevel.reschedule(self._task, self._outcome)
        elif isinstance(self._outcome, outcome.Error) and self._on_unseen_error is not None:
            self._on_unseen_error(self._outcome.error)
