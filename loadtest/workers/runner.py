"""The worker's work: users and readers of a scenario, as many as the master's goals say, and all that they measure.

    begin    the run's zero
    goal     users and readers come and go at the goal's pace; plans of slots are followed
    hush     nobody begins anything: tasks end, or are cancelled when their time is over
    finish   auditors and readers wait for the heads, then everybody leaves
    beat     all that was measured since the last one

`run` owns every task.  The others return at once, or wait as their docstrings say.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final, Protocol

import trio

from loadtest.audits.auditor import Auditor
from loadtest.audits.sightings import Sightings
from loadtest.connections.watch import Heard, Watch
from loadtest.figures.messages import Beat, Finish, Goal, Hit, Hush
from loadtest.figures.tally import Tally
from loadtest.people.environment import Environment
from loadtest.people.scenario import Cast
from loadtest.people.users import Reader, User
from loadtest.verdicts.selfcheck import SelfCheck
from loadtest.workers.audience import Audience
from loadtest.workers.auditors import Auditors
from loadtest.workers.crowds import Crowd, Dials, Ground, UserCrowd
from loadtest.workers.speech import Speech, count_requests

# Users are started in steps of at least so long: a step of many costs no more than one of one.
STEP_S: Final = 0.01
# A worker that was held up starts at once what was due meanwhile, of so long at most.
CATCH_UP_S: Final = 1.0


class Readers(Protocol):
    """Lean readers (`loadtest/readers/pool.py`), by the names of their classes."""

    def open(self, name: str, rooms: tuple[str, ...]) -> None: ...
    def close(self, name: str) -> None: ...
    def living(self, name: str) -> int: ...
    def servers(self) -> Counter[str]: ...
    def hit(self, hit: Hit) -> None: ...
    async def run(self) -> None: ...
    async def finish(self, heads: Mapping[str, tuple[str, int]], settle_s: float) -> None: ...


class Runner:
    """One worker's part of a run.  Implements `loadtest.workers.worker.Work`."""

    def __init__(
        self, cast: Cast, environment: Environment, dialer: Dials, readers: Readers, tally: Tally, clock_us: Callable[[], int]
    ) -> None:
        """`clock_us` is the master's clock."""
        self._cast = cast
        self._environment = environment
        self._dialer = dialer
        self._readers = readers
        self._tally = tally
        self._clock_us = clock_us
        self._events = environment.events
        self._check = SelfCheck()
        self._sightings = Sightings(environment.run, tally)
        self._speech = Speech(environment.run, environment.worker_index, tally, self._events.request, clock_us)
        self._auditors: Auditors | None = None
        self._users: dict[str, UserCrowd] = {}
        self._crowds: dict[str, Crowd] = {}
        """Of all classes, users' and readers'."""
        self._goal = Goal({}, 1.0, {})
        self._goal_changed = trio.Event()
        self._begun = trio.Event()
        """The run's zero has come."""
        self._start_us: int | None = None
        self._next_step_at = 0.0
        self._is_hushed = False
        self._all_left = trio.Event()
        self._beats = 0

    async def run(self) -> None:
        """Be there for everybody until all have left.  Owner of every task of the run."""
        count = self._events.request.add_listener(count_requests(self._tally), first=True)
        keep = self._events.user_error.add_listener(self._keep_error, first=True)
        for hook in self._events.all():
            hook.told = self._keep_error
        try:
            async with trio.open_nursery() as nursery:
                self._cast_in(nursery)
                nursery.start_soon(self._watch_itself)
                nursery.start_soon(self._readers.run)
                nursery.start_soon(self._follow_goals)
                self._events.init.fire(environment=self._environment)
                await self._all_left.wait()
                nursery.cancel_scope.cancel()
            self._events.quitting.fire(environment=self._environment)
        finally:
            self._events.request.remove_listener(count)
            self._events.user_error.remove_listener(keep)
            for hook in self._events.all():
                hook.told = None

    def begin(self, start_us: int) -> None:
        """The run's zero, on the master's clock; it may lie in the future."""
        self._start_us = start_us
        self._goal_changed.set()

    def goal(self, goal: Goal) -> None:
        """Have these users and plans from now on; before the run's zero, from then on."""
        self._goal = goal
        self._goal_changed.set()

    def hit(self, hit: Hit) -> None:
        """A fault that readers make."""
        self._readers.hit(hit)

    async def hush(self, hush: Hush) -> None:
        """Returns when no task runs and no message is on its way; exactly after its time tasks are cancelled."""
        if not self._is_hushed:
            self._is_hushed = True
            self._goal_changed.set()
            self._events.test_stopping.fire(environment=self._environment)
        for crowd in self._users.values():
            crowd.stop_all()
        with trio.move_on_after(hush.stop_timeout_s):
            await self._wait_quiet()
        for crowd in self._users.values():
            crowd.cancel_all()
        await self._wait_quiet()

    async def finish(self, finish: Finish) -> None:
        """Returns when audits are closed and all have left; tasks that still run are cancelled."""
        await self.hush(Hush(0.0))
        async with trio.open_nursery() as nursery:
            if self._auditors is not None:
                nursery.start_soon(self._auditors.finish, finish.heads, finish.settle_s)
            nursery.start_soon(self._readers.finish, finish.heads, finish.settle_s)
            for crowd in self._users.values():
                nursery.start_soon(crowd.wait_left)
        self._events.test_stop.fire(environment=self._environment)
        self._all_left.set()

    def beat(self) -> Beat:
        """All that was measured since the last one."""
        self._beats += 1
        rows, counts, findings = self._tally.take()
        servers = self._readers.servers()
        for crowd in self._users.values():
            servers += crowd.servers()
        if self._auditors is not None:
            servers += self._auditors.servers()
        living = {name: crowd.living for name, crowd in self._crowds.items()}
        health = self._check.take()
        return Beat(
            number=self._beats, at_us=self._clock_us(), users={name: count for name, count in living.items() if count},
            connected=servers.total(), servers=dict(servers), rows=rows, counts={name: n for name, n in counts.items() if n},
            findings=findings, acked=self._speech.take_acked(), seen=self._sightings.take(),
            refusals=self._tally.take_refusals(), health=health,
            stops=[*self._tally.stops, *(self._check.stops() if self._is_hushed else [])],
            raised=self._tally.take_raised(), wish=self._environment.runner.wish,
        )  # fmt: skip

    # --- who is there ----------------------------------------------------------------------------------

    def _cast_in(self, nursery: trio.Nursery) -> None:
        """Make room for all classes."""
        index, workers = self._environment.worker_index, self._environment.workers
        self._auditors = Auditors(self._make_auditor, self._dialer, self._random_of, nursery)
        ground = Ground(
            self._environment, self._cast.tasks, self._tally, self._dialer, self._speech, self._make_watch, self._random_of,
            self._clock_us, self._check.looked_at, nursery,
        )  # fmt: skip
        for name, kind in self._cast.classes.items():
            if issubclass(kind, User):
                self._crowds[name] = self._users[name] = crowd = UserCrowd(kind, ground)
                if crowd.feed is not None:
                    nursery.start_soon(crowd.feed.run)
            elif issubclass(kind, Reader):
                self._crowds[name] = Audience(kind, self._readers, self._auditors, index, workers)

    def _make_auditor(self, name: str) -> Auditor:
        name = f"{name}@{self._environment.worker_index}"
        return Auditor(name, self._environment.run, self._tally, self._sightings, self._clock_us)

    def _make_watch(self, name: str, heard: Heard) -> Watch:
        return Watch(name, self._environment.run, self._tally, self._sightings, self._clock_us, heard)

    def _random_of(self, name: str) -> Random:
        # Seeds of text are hashed by SHA-512: alike in all processes, unlike for neighbours.
        return Random(f"{self._environment.seed}/{name}")

    def _keep_error(self, exception: BaseException, tb: Any = None, **_: object) -> None:
        lines = traceback.format_exception(type(exception), exception, tb or exception.__traceback__)
        self._tally.raised(f"{type(exception).__name__}: {exception}", "".join(lines))

    async def _wait_quiet(self) -> None:
        for crowd in self._users.values():
            await crowd.wait_quiet()

    # --- coming and going --------------------------------------------------------------------------------

    async def _follow_goals(self) -> None:
        while self._start_us is None:
            await self._wait_change()
        await trio.sleep(max(0, self._start_us - self._clock_us()) / 1e6)
        self._begun.set()
        self._events.test_start.fire(environment=self._environment)
        while not self._is_hushed:
            goal = self._goal
            for name, stretch in goal.arrivals.items():
                if name in self._users:
                    self._users[name].follow(stretch)
            await self._approach(goal)
            if goal is self._goal:
                await self._wait_change()

    async def _watch_itself(self) -> None:
        # A worker may wait an hour for its start, idle: an hour of that would make any generator look fit.
        await self._begun.wait()
        await self._check.run()

    async def _wait_change(self) -> None:
        self._goal_changed = trio.Event()
        await self._goal_changed.wait()

    async def _approach(self, goal: Goal) -> None:
        """Start and stop users at the goal's pace, until there are as many as it says or there is another goal."""
        self._next_step_at = max(self._next_step_at, trio.current_time())
        missing = self._missing(goal)
        if not missing:
            return
        while missing and goal is self._goal and not self._is_hushed:
            now = trio.current_time()
            while missing and self._next_step_at <= now:
                self._step(goal, missing)
                self._next_step_at += 1 / goal.spawn_per_s
                missing = self._missing(goal)
            self._count_users()
            if missing:
                await trio.sleep_until(max(self._next_step_at, now + STEP_S))
                self._next_step_at = max(self._next_step_at, trio.current_time() - CATCH_UP_S)
        if not missing:
            self._events.spawning_complete.fire(user_count=self._count_users())

    def _missing(self, goal: Goal) -> dict[str, int]:
        """Classes of which there are too few, or (below 0) too many."""
        missing = {name: goal.users.get(name, 0) - crowd.wanted for name, crowd in self._crowds.items()}
        return {name: count for name, count in missing.items() if count}

    def _step(self, goal: Goal, missing: Mapping[str, int]) -> None:
        """One user less, or one more of the class that is furthest behind."""
        too_many = next((name for name, count in missing.items() if count < 0), None)
        if too_many is not None:
            self._crowds[too_many].stop()
            return
        # Those of a fixed count come before the others, as the master counts them.
        first = [name for name in missing if self._cast.classes[name].fixed_count] or missing
        self._crowds[max(first, key=lambda name: missing[name] / goal.users[name])].start()

    def _count_users(self) -> int:
        self._environment.user_count = sum(crowd.living for crowd in self._crowds.values())
        return self._environment.user_count
