"""One worker's whole work before real gateways: users, lean readers, auditors, and the ledger that a master would keep."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

from loadtest.audits.ledger import Ledger
from loadtest.figures.messages import Beat, Finding, Finish, Hush, Prepare, Welcome
from loadtest.people.scenario import load_scenario
from loadtest.people.shapes import Load
from loadtest.workers.assembly import make_work
from loadtest.workers.dispatch import Dispatch
from loadtest.workers.runner import Runner
from loadtest.workers.worker import Work

# Generous: the machine that runs the tests may be busy with others.
DEADLINE_S = 40.0
SETTLE_S = 20.0


def clock_us() -> int:
    return time.monotonic_ns() // 1000


class WorkerPlay:
    """What a master sees of one worker, added up."""

    def __init__(self, work: Work, dispatch: Dispatch) -> None:
        self.work = work
        self.ledger = Ledger()
        self.counts = Counter[str]()
        self.rows = Counter[str]()
        """Samples of each row."""
        self.failures = Counter[str]()
        self.refusals = Counter[str]()
        self.findings: list[Finding] = []
        self.raised: list[str] = []
        self.last: Beat | None = None
        self._dispatch = dispatch

    def want(self, users: int, arrivals_per_s: Mapping[Any, float] | float | None = None) -> None:
        """So many users from now on, as fast as they can come."""
        (goal,) = self._dispatch.goals(Load(users, 1000.0, arrivals_per_s), [0], clock_us()).values()
        self.work.goal(goal)

    def look(self) -> Beat:
        """Take a beat, and add it up."""
        beat = self.last = self.work.beat()
        self.counts.update(beat.counts)
        self.refusals.update(beat.refusals)
        for row in beat.rows:
            self.rows[row.name] += row.count
            self.failures.update(row.errors)
        self.findings += beat.findings
        self.raised += [each.message for each in beat.raised]
        for placed in beat.acked:
            self.ledger.acked(placed)
        for placed in beat.seen:
            self.ledger.seen(placed)
        return beat

    async def until(self, is_so: Callable[["WorkerPlay", Beat], bool]) -> None:
        """Look every 50 ms until it is so; fails with what was seen last."""
        with trio.move_on_after(DEADLINE_S):
            while not is_so(self, self.look()):
                await trio.sleep(0.05)
            return
        raise AssertionError(f"it never came to it: {self.last}, {self.counts}, {self.failures}, {self.findings}")

    async def end(self) -> None:
        """Fall silent, settle against the heads, leave; the ledger is closed."""
        await self.work.hush(Hush(5.0))
        self.look()
        await self.work.finish(Finish(self.ledger.heads(), SETTLE_S))
        self.look()
        self.findings += [*self.ledger.take_findings(), *self.ledger.close()]


@asynccontextmanager
async def worker_play(scenario_name: str, urls: Sequence[str], *, run: str = "play") -> AsyncIterator[WorkerPlay]:
    """The scenario's run has begun, with nobody in it yet."""
    scenario = load_scenario(scenario_name)
    work = await make_work(scenario, Prepare(run, 7, list(urls), [], [], [], 1000.0, {}), Welcome(0, 0, 0), clock_us)
    assert isinstance(work, Runner)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work.run)
        await wait_all_tasks_blocked()
        work.begin(clock_us())
        yield WorkerPlay(work, Dispatch(scenario.choose().kinds()))
        nursery.cancel_scope.cancel()
