"""What a master decides: when a run begins, what each worker shall do, and what follows when one is lost.  Pure.

    waiting   for the workers that are expected; each is given its orders as it comes
    ready     all are prepared; somebody has to say start
    spawning  the run is on, and users are on their way
    running   all users wanted are there
    stopping  first everybody falls silent, then audits are closed against the heads, then all leave
    ended

Words and time go in; `outbox` and `news` are what comes out, taken by the owner
(`loadtest/master/master.py`) after each call.  A worker that dies, fails or is silent for SILENT_S is
lost for good: its share goes to the others at once.  Where they cannot carry it, or nobody is
left, the run's figures are of another load than was asked for, and `invalid` says so.
"""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Final, Literal, Protocol

from loadtest.figures.messages import (
    Beat,
    Ended,
    Failed,
    Finish,
    Goal,
    Hello,
    Hit,
    Hush,
    Hushed,
    MasterMessage,
    Prepare,
    Probe,
    Probed,
    Quit,
    Ready,
    Start,
    WorkerMessage,
)
from loadtest.master.orders import RunPlan
from loadtest.master.seats import ALIVE, Seat, Seats, WorkerState, many
from loadtest.master.steering import NotNow, Phase
from loadtest.people.shapes import Load, LoadTestShape, ShapeError, Steady
from loadtest.verdicts.verdict import Exit

# Workers beat and answer probes once a second; a process under full load may miss some, a living one not so many.
SILENT_S: Final = 6.0
# From the order to begin to the beginning: far longer than any way to a worker takes.
START_LEAD_S: Final = 0.5
# How long before it holds a new plan is told.
GOAL_LEAD_S: Final = 0.3
# What a worker may take beyond what it was given for falling silent, and for leaving.
HUSH_SLACK_S: Final = 15.0
LEAVE_SLACK_S: Final = 30.0

_SECOND_US: Final = 1_000_000

Level = Literal["info", "warning", "error"]
News = tuple[Level, str]


class Spread(Protocol):
    """`loadtest.workers.dispatch.Dispatch`."""

    def goals(self, load: Load, workers: Sequence[int], at_us: int) -> dict[int, Goal]: ...


class Conductor:
    """One run.  Every method takes `now_us`, microseconds of the master's clock, and returns at once."""

    def __init__(
        self,
        plan: RunPlan,
        shape: LoadTestShape,
        spread: Spread,
        prepare: Callable[[int], Prepare],
        heads: Callable[[], Mapping[str, tuple[str, int]]],
        now_us: int,
    ) -> None:
        """`prepare` gives a worker's orders by its index; `heads` is the newest known position of each room."""
        self.plan = plan
        self.shape = shape
        self.outbox: list[tuple[int, MasterMessage]] = []
        self.news: list[News] = []
        self.seats = Seats()
        self.phase: Phase = "waiting"
        self.start_us: int | None = None
        self.hushed_us: int | None = None
        """When the load ended: figures are of the time before."""
        self.load = Load(0, 1.0)
        self.invalid: list[str] = []
        """Why the load was not the one that was asked for."""
        self.failure: Failed | None = None
        """Why the run could not go on at all."""
        self._spread = spread
        self._prepare = prepare
        self._heads = heads
        self._began_us = now_us
        self._deadline_us = 0
        """Of what `stopping` waits for."""
        self._is_settling = False
        """Whether `stopping` is at its second part."""
        self._next_shape_us = now_us
        self._next_probe_us = now_us
        self._ticked_us = now_us

    # --- from workers --------------------------------------------------------------------------------

    def joined(self, index: int, hello: Hello, now_us: int) -> None:
        """An admitted worker; one that comes in mid-run takes its share when it is prepared."""
        self.seats.take(index, Seat(hello.name, hello.clients_max, now_us))
        self.outbox.append((index, self._prepare(index)))
        there = len(self.seats.having(*ALIVE))
        self._tell("info", f"{hello.name} is here ({there} of {self.plan.workers_expected} workers)")

    def heard(self, index: int, message: WorkerMessage, now_us: int) -> None:
        """A worker said something.  Words that do not belong where the run is are passed over: it may be on its way out."""
        seat = self.seats[index]
        seat.heard_us = now_us
        match message:
            case Ready() if seat.state is WorkerState.PREPARING:
                seat.state = WorkerState.READY
                self._take_in(index, now_us)
            case Beat():
                seat.users = sum(message.users.values())
                self._look_for_users()
                if message.wish:
                    self.stop(message.wish, now_us)
            case Failed():
                self._failed(index, message, now_us)
            case Hushed() if seat.state is WorkerState.RUNNING:
                seat.state = WorkerState.HUSHED
                self._go_on_stopping(now_us)
            case Ended() if seat.state in ALIVE:
                seat.state = WorkerState.ENDED
                self._go_on_stopping(now_us)
            case Probed() | _:
                return

    def lost(self, index: int, why: str, now_us: int) -> None:
        """Its connection is over; idempotent."""
        seat = self.seats[index]
        if seat.state not in ALIVE:
            return
        users, seat.users, seat.state = seat.users, 0, WorkerState.DEAD
        # One that still hears it must not go on with a share that others have now.
        self.outbox.append((index, Quit()))
        left = len(self.seats.having(*ALIVE))
        if self.phase in ("waiting", "ready"):
            self._tell("error", f"{seat.name} is gone before the run began: {why}")
            self.phase = "waiting"
            return
        self._tell("error", f"{seat.name} is lost with {users} users: {why}; {_left(left)}")
        if self.phase == "ended":
            return
        if self.phase == "stopping":
            self.invalid.append(f"{seat.name} was lost while the run was ending, and with it what its auditors had seen: {why}")
            self._go_on_stopping(now_us)
        elif not left:
            self.invalid.append(f"no worker was left: {seat.name} was the last ({why})")
            self._end()
        else:
            self._give_goals(now_us)

    # --- from people -------------------------------------------------------------------------------------

    def start(self, users: int, spawn_per_s: float, now_us: int) -> None:
        """As `Steered.start`."""
        if self.phase != "ready":
            raise NotNow(_NOT_READY.get(self.phase, "the run has begun already"))
        self._set_load(users, spawn_per_s)
        self._begin(now_us)

    def edit(self, users: int, spawn_per_s: float, now_us: int) -> None:
        """As `Steered.edit`."""
        if self.phase not in ("spawning", "running"):
            raise NotNow("users can be changed while the run is on")
        if not isinstance(self.shape, Steady):
            raise NotNow(f"the shape {type(self.shape).__name__} decides how many users there are")
        self._set_load(users, spawn_per_s)
        self._tell("info", f"{users} users are wanted now, {spawn_per_s:g} more a second")
        self._ask_shape(now_us)

    def stop(self, why: str, now_us: int) -> None:
        """End in order.  Before the beginning there is nothing to end in order: it just ends."""
        if self.phase in ("stopping", "ended"):
            return
        self._tell("info", f"the run ends: {why}")
        if self.start_us is None:
            self._end()
            return
        self.hushed_us = now_us
        self.load = Load(0, self.load.spawn_rate)
        self.phase = "stopping"
        self._say_to(self.seats.having(WorkerState.RUNNING), Hush(self.plan.stop_timeout_s))
        self._deadline_us = now_us + round((self.plan.stop_timeout_s + HUSH_SLACK_S) * _SECOND_US)
        self._go_on_stopping(now_us)

    def fail(self, sentence: str, code: int) -> None:
        """The run cannot go on, for a reason that is not the target's."""
        if self.phase != "ended":
            self.failure = Failed(sentence, code)
            self._end()

    def hit(self, hit: Hit) -> None:
        """Dealt out evenly over the workers that run."""
        running = self.seats.having(WorkerState.RUNNING)
        for place, index in enumerate(running):
            count = (hit.count + place) // len(running)
            if count:
                self.outbox.append((index, Hit(hit.kind, count, hit.seconds)))

    # --- time ------------------------------------------------------------------------------------------------

    def tick(self, now_us: int) -> None:
        """Called some times a second: asks the shape once a second, and looks who is silent."""
        self._forgive_own_stall(now_us)
        self._probe(now_us)
        for index in self.seats.having(*ALIVE):
            silent_s = (now_us - self.seats[index].heard_us) / _SECOND_US
            if silent_s > SILENT_S:
                self.lost(index, f"it has said nothing for {silent_s:.0f} s", now_us)
        wait_s = self.plan.workers_wait_s
        if self.phase == "waiting" and wait_s is not None and now_us - self._began_us > wait_s * _SECOND_US:
            ready = len(self.seats.having(WorkerState.READY))
            expected = self.plan.workers_expected
            self.fail(f"{ready} of {expected} workers were there after {wait_s:g} s: start the others, or expect fewer", 3)
        elif self.phase in ("spawning", "running"):
            if now_us >= self._next_shape_us:
                self._ask_shape(now_us)
        elif self.phase == "stopping" and now_us > self._deadline_us:
            late = self.seats.having(WorkerState.HUSHED if self._is_settling else WorkerState.RUNNING)
            for index in late:
                self.lost(index, "it did not end in time", now_us)

    def seconds(self, now_us: int) -> float:
        """Of load so far."""
        if self.start_us is None:
            return 0.0
        return max(0.0, ((self.hushed_us or now_us) - self.start_us) / _SECOND_US)

    # --- inside ------------------------------------------------------------------------------------------------

    def _say_to(self, indexes: Sequence[int], message: MasterMessage) -> None:
        self.outbox += [(index, message) for index in indexes]

    def _tell(self, level: Level, text: str) -> None:
        self.news.append((level, text))

    def _set_load(self, users: int, spawn_per_s: float) -> None:
        if isinstance(self.shape, Steady):
            self.shape.users, self.shape.spawn_rate = users, spawn_per_s

    def _take_in(self, index: int, now_us: int) -> None:
        """A worker is prepared: the last one opens the barrier, one of mid-run gets its share."""
        if self.start_us is not None:
            if self.phase in ("spawning", "running"):
                self.seats[index].state = WorkerState.RUNNING
                self.outbox.append((index, Start(self.start_us)))
                self._give_goals(now_us)
            return
        if self.phase == "waiting" and len(self.seats.having(WorkerState.READY)) >= self.plan.workers_expected:
            self.phase = "ready"
            self._tell("info", "all workers are ready")
            if self.plan.starts_by_itself:
                self._begin(now_us)

    def _begin(self, now_us: int) -> None:
        self.start_us = now_us + round(START_LEAD_S * _SECOND_US)
        ready = self.seats.having(WorkerState.READY)
        for index in ready:
            self.seats[index].state = WorkerState.RUNNING
        self._say_to(ready, Start(self.start_us))
        self.phase = "spawning"
        self._tell("info", f"the run begins on {many(len(ready), 'worker')}")
        self._ask_shape(now_us)

    def _ask_shape(self, now_us: int) -> None:
        assert self.start_us is not None, "only a run that has begun has a load"
        at_s = max(0.0, (now_us - self.start_us) / _SECOND_US)
        run_time_s = self.plan.run_time_s if self.plan.run_time_s is not None else inf
        if at_s >= run_time_s:
            self.stop(f"{run_time_s:g} s are over", now_us)
            return
        # On the run's whole seconds, whenever it was asked last.
        self._next_shape_us = self.start_us + round(min(int(at_s) + 1, run_time_s) * _SECOND_US)
        try:
            load = self.shape.load_at(at_s, self.seats.users)
        except ShapeError as error:
            self.fail(str(error), 2)
            return
        if load is None:
            self.stop("its shape is over", now_us)
            return
        self.load = load
        self._give_goals(now_us)

    def _give_goals(self, now_us: int) -> None:
        """Tell those whose goal has changed."""
        running = self.seats.having(WorkerState.RUNNING)
        carried = self.seats.carried(running)
        if self.load.users > carried:
            self._too_many(carried, len(running), now_us)
            return
        assert self.start_us is not None, "goals follow the start"
        at_us = max(now_us + round(GOAL_LEAD_S * _SECOND_US), self.start_us)
        for index, goal in self._spread.goals(self.load, running, at_us).items():
            if goal != self.seats[index].goal:
                self.seats[index].goal = goal
                self.outbox.append((index, goal))
        self._look_for_users()

    def _too_many(self, carried: int, workers: int, now_us: int) -> None:
        sentence = (
            f"{self.load.users} users need a socket each, and the limit of open files leaves {carried} "
            f"for {many(workers, 'worker')}: raise it (ulimit -n), or ask for fewer users"
        )
        if self.seats.are_loaded:
            self.invalid.append(sentence)
            self.stop("the workers that are left cannot carry its users", now_us)
        else:
            self.fail(sentence, 2)

    def _look_for_users(self) -> None:
        if self.phase in ("spawning", "running"):
            self.phase = "running" if self.seats.users >= self.load.users else "spawning"

    def _failed(self, index: int, failed: Failed, now_us: int) -> None:
        if self.start_us is None:
            # No word of a worker makes a run that was none a success.
            self.fail(failed.sentence, failed.code if failed.code in _FAILURES else Exit.INVALID)
        else:
            self.lost(index, failed.sentence, now_us)

    def _go_on_stopping(self, now_us: int) -> None:
        if self.phase != "stopping":
            return
        if not self._is_settling and not self.seats.having(WorkerState.RUNNING):
            self._is_settling = True
            self._say_to(self.seats.having(WorkerState.HUSHED), Finish(dict(self._heads()), self.plan.settle_s))
            self._deadline_us = now_us + round((self.plan.settle_s + LEAVE_SLACK_S) * _SECOND_US)
        if self._is_settling and not self.seats.having(WorkerState.HUSHED):
            self._end()

    def _end(self) -> None:
        """Nothing more is waited for.  Those that are still there may go."""
        self.phase = "ended"
        self._say_to(self.seats.having(*ALIVE, WorkerState.ENDED), Quit())

    def _forgive_own_stall(self, now_us: int) -> None:
        """While we ourselves stood still nobody was heard, so nobody was silent: a laptop's sleep, Ctrl-Z, a full disk."""
        stalled_us = now_us - self._ticked_us - _SECOND_US
        self._ticked_us = now_us
        if stalled_us > 0:
            self._deadline_us += stalled_us
            for index in self.seats.having(*ALIVE):
                seat = self.seats[index]
                seat.heard_us = min(now_us, seat.heard_us + stalled_us)

    def _probe(self, now_us: int) -> None:
        """Once a second: so that a worker that waits shows that it lives, and for its clock (`loadtest/master/clocks.py`)."""
        if now_us >= self._next_probe_us:
            self._next_probe_us = now_us + _SECOND_US
            self._say_to(self.seats.having(*ALIVE), Probe(now_us))


_FAILURES: Final = (Exit.USAGE, Exit.INVALID, Exit.UNREACHABLE)
_NOT_READY: Final[dict[str, str]] = {
    "waiting": "not all workers are there yet",
    "stopping": "the run is ending",
    "ended": "the run is over: start the command again",
}


def _left(count: int) -> str:
    match count:
        case 0:
            return "no worker is left"
        case 1:
            return "the other worker takes its share"
        case _:
            return f"the other {count} workers share it"
