"""A master and workers over real sockets, in one process, with users that are numbers."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import trio

from loadtest.figures.messages import MESSAGES_VERSION, Beat, Finish, Goal, Health, Hello, Hit, Hush, Prepare, Welcome
from loadtest.figures.record import RunRecord
from loadtest.figures.tally import Tally
from loadtest.master.admission import Terms
from loadtest.master.collector import Closed
from loadtest.master.master import Master, RunFailed
from loadtest.master.orders import Orders, RunPlan
from loadtest.master.steering import LogLine
from loadtest.people.shapes import LoadTestShape, Steady
from loadtest.workers.dispatch import Dispatch, Kind
from loadtest.workers.worker import WorkRefused, run_worker
from runtime.sockets import SocketNetwork
from runtime.transport import Listener

# Generous: the machine that runs the tests may be busy with others.
DEADLINE_S = 30.0


def clock_us() -> int:
    return time.monotonic_ns() // 1000


class NumberWork:
    """A `Work` whose users are there as soon as they are wanted; each is a connect, and an ack a beat."""

    def __init__(self, prepare: Prepare) -> None:
        self.prepare = prepare
        self.tally = Tally()
        self.users: dict[str, int] = {}
        self.began_us: int | None = None
        self.hits: list[Hit] = []
        self.finish_order: Finish | None = None
        self._beats = 0
        self._left = trio.Event()

    async def run(self) -> None:
        await self._left.wait()

    def begin(self, start_us: int) -> None:
        self.began_us = start_us

    def goal(self, goal: Goal) -> None:
        self.tally.counts["connects"] += max(0, sum(goal.users.values()) - sum(self.users.values()))
        self.users = dict(goal.users)

    def hit(self, hit: Hit) -> None:
        self.hits.append(hit)

    async def hush(self, hush: Hush) -> None:
        await trio.lowlevel.checkpoint()

    async def finish(self, finish: Finish) -> None:
        self.finish_order = finish
        self.users = {}
        self._left.set()
        await trio.lowlevel.checkpoint()

    def beat(self) -> Beat:
        self._beats += 1
        self.tally.counts["acked"] += sum(self.users.values())
        rows, counts, findings = self.tally.take()
        users = sum(self.users.values())
        return Beat(
            self._beats, clock_us(), dict(self.users), users, {"gateway-1": users}, rows, Counter(counts), findings, [], [], {},
            Health(0.1, 1000, 2000, 0, 9),
        )  # fmt: skip


@dataclass
class Run:
    """One run of a test."""

    master: Master
    listener: Listener
    nursery: trio.Nursery
    secret: bytes
    seconds: list[Closed] = field(default_factory=list)
    log: list[LogLine] = field(default_factory=list)
    works: list[NumberWork] = field(default_factory=list)
    ends: list[Exception | None] = field(default_factory=list)
    """How each worker ended."""
    record: RunRecord | None = None
    failure: RunFailed | None = None
    over: trio.Event = field(default_factory=trio.Event)

    def start_worker(self, name: str, *, scenario: str = "digest", refuses: WorkRefused | None = None) -> trio.CancelScope:
        """A worker in a task of its own; cancelling the scope is its sudden death."""
        scope = trio.CancelScope()
        self.nursery.start_soon(self._work, name, scenario, refuses, scope)
        return scope

    async def _work(self, name: str, scenario: str, refuses: WorkRefused | None, scope: trio.CancelScope) -> None:
        own = Hello(MESSAGES_VERSION, "0.1", name, "host", "boot", 1, 2, scenario, 1000, b"", b"")

        async def make_work(prepare: Prepare, _welcome: Welcome) -> NumberWork:
            if refuses is not None:
                raise refuses
            self.works.append(NumberWork(prepare))
            return self.works[-1]

        try:
            with scope:
                await run_worker(
                    SocketNetwork(), self.listener.host, self.listener.port, own, self.secret, make_work,
                    clock_us=clock_us, rng=Random(1),
                )  # fmt: skip
            self.ends.append(None)
        except Exception as error:  # noqa: BLE001  # a test looks at it
            self.ends.append(error)

    async def end(self) -> RunRecord:
        """Wait for the record; raises the run's failure."""
        with trio.fail_after(DEADLINE_S):
            await self.over.wait()
        if self.failure is not None:
            raise self.failure
        assert self.record is not None
        return self.record

    async def until(self, what: str) -> None:
        """Wait until the log says it."""
        with trio.fail_after(DEADLINE_S):
            while not any(what in line.text for line in self.log):
                await trio.sleep(0.01)


@asynccontextmanager
async def a_run(
    workers: int = 2, *, users: int = 10, run_time_s: float | None = None, by_itself: bool = True, secret: bytes = b"s",
    shape: LoadTestShape | None = None, workers_wait_s: float | None = None, stop_timeout_s: float = 1.0,
) -> AsyncIterator[Run]:  # fmt: skip
    """A master that listens; the block starts workers.  What still runs at the end of the block is cancelled."""
    if shape is None:
        shape = Steady()
        shape.users, shape.spawn_rate, shape.run_time_s = users, 100.0, None
    orders = Orders(
        plan=RunPlan(workers, by_itself, run_time_s, stop_timeout_s, 1.0, workers_wait_s),
        scenario="numbers", hosts=("ws://127.0.0.1:1",), seed=1,
    )  # fmt: skip
    seconds: list[Closed] = []
    log: list[LogLine] = []
    master = Master(
        orders, shape, Dispatch([Kind("Citizen")]), Terms("0.1", "digest", "boot", secret),
        clock_us=clock_us, wall_clock=time.time, rng=Random(7),
        on_second=lambda closed, _whole: seconds.append(closed), on_log=log.append,
    )  # fmt: skip
    listener = await SocketNetwork().listen("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        run = Run(master, listener, nursery, secret, seconds, log)

        async def conduct() -> None:
            try:
                run.record = await master.run(listener)
            except RunFailed as failure:
                run.failure = failure
            run.over.set()

        nursery.start_soon(conduct)
        yield run
        nursery.cancel_scope.cancel()
    listener.close()
