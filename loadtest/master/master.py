"""The master of a run: the owner of its sockets and its time.

What to do is `loadtest/master/conductor.py`'s, what was measured `loadtest/master/collector.py`'s; this file
carries words between them and the workers (`loadtest/master/reception.py`), and is what the web view
and the terminal steer (`loadtest/master/steering.py`).
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final

import trio

from loadtest.audits.ledger import Ledger
from loadtest.figures.messages import Beat, Finding, Hello, Hit, Probed, Quit, Welcome, WorkerMessage
from loadtest.figures.record import RECORD_VERSION, FoundRecord, Mark, Moment, RunRecord
from loadtest.master.admission import Terms
from loadtest.master.clocks import ClockWatch, Offset, Sample
from loadtest.master.collector import Closed, Collector, clock_error_ms
from loadtest.master.conductor import Conductor, Level
from loadtest.master.orders import Orders
from loadtest.master.reception import Reception
from loadtest.master.seats import WorkerState
from loadtest.master.steering import LogLine, NotNow, Standing
from loadtest.people.shapes import LoadTestShape, Steady
from loadtest.verdicts.thresholds import judge_thresholds
from loadtest.verdicts.verdict import Exit, judge, unreachable_reason
from loadtest.workers.dispatch import Dispatch
from runtime.transport import Listener
from wire.codes import CloseCode
from wire.errors import PeerError

# A tenth of a second late is early enough for whatever is decided by time.
TICK_S: Final = 0.1
LOG_LINES_MAX: Final = 500
# Ten times the most that a clock can be wrong which was asked ten times within the deadline of an admission.
BEAT_AHEAD_US_MAX: Final = 5_000_000
NOTES_MAX: Final = 100


class RunFailed(Exception):
    """There was no run; one plain sentence that says what to change, and the exit code that follows."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


class Master:
    """One run, from the first worker to the record.  Implements `loadtest.master.steering.Steered`."""

    def __init__(
        self,
        orders: Orders,
        shape: LoadTestShape,
        dispatch: Dispatch,
        terms: Terms,
        *,
        clock_us: Callable[[], int],
        wall_clock: Callable[[], float],
        rng: Random,
        on_second: Callable[[Closed, Collector], None] = lambda _closed, _run: None,
        on_log: Callable[[LogLine], None] = lambda _line: None,
    ) -> None:
        """`clock_us` is this machine's monotonic clock; `on_second` gets each second, and all so far."""
        self.begun = trio.Event()
        """Somebody or something has started the run."""
        self.load_ended = trio.Event()
        """Nobody begins anything any more: what follows is the reckoning."""
        self.collector = Collector()
        self._orders = orders
        self._shape = shape
        self._dispatch = dispatch
        self._ledger = Ledger()
        self._clock_us = clock_us
        self._wall_clock = wall_clock
        self._on_second = on_second
        self._on_log = on_log
        self._ended = trio.Event()
        self._clocks: dict[int, ClockWatch] = {}
        self._moments: list[Moment] = []
        self._log: deque[LogLine] = deque(maxlen=LOG_LINES_MAX)
        self._notes: list[str] = []
        self._started_at = ""
        self._reception = Reception(self, terms, clock_us=clock_us, rng=rng)
        run = f"{rng.getrandbits(32):08x}"
        self._conductor = Conductor(
            orders.plan, shape, dispatch, lambda index: orders.prepare(run, index), self._ledger.heads, clock_us()
        )

    # --- the run ------------------------------------------------------------------------------------------

    async def run(self, listener: Listener) -> RunRecord:
        """Until the run has ended in order; owns the tasks of all its connections.

        Raises `RunFailed` when there was no run.  Cancelled, it leaves its workers at once,
        and they end with their connection.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reception.run, listener)
            nursery.start_soon(self._keep_time)
            await self._ended.wait()
            await self._reception.wait_sent()
            nursery.cancel_scope.cancel()
        failure = self._conductor.failure
        if failure is not None:
            raise RunFailed(failure.sentence, failure.code)
        if self._conductor.start_us is None:
            # Whoever waited for a person who did not come has missed nothing.
            code = Exit.INVALID if self._orders.plan.starts_by_itself else Exit.PASS
            raise RunFailed("the run was ended before it began", code)
        self._balance()
        return self.record()

    def fail(self, sentence: str, code: int) -> None:
        """The run cannot go on, for a reason that is neither a worker's nor the target's."""
        self._conductor.fail(sentence, code)
        self._settle()

    def worker_ended(self, name: str, code: int) -> None:
        """A worker's process on this machine has ended before its run: its connection, if it had one, says so too."""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if self._conductor.start_us is None:
            # A worker that refused has said why: its code is the run's.
            own = code if code in (Exit.USAGE, Exit.UNREACHABLE) else Exit.INVALID
            self.fail(f"{name} did not start ({how}); what it said is above", own)
        elif self._conductor.phase != "ended":
            self.say("error", f"the process of {name} ended ({how})")

    def hit(self, hit: Hit) -> None:
        """A fault that clients make, from now on."""
        self._conductor.hit(hit)
        self._settle()

    def mark(self, mark: Mark) -> None:
        """Something was done on purpose: on the time line, and in the log."""
        self.collector.mark(mark)
        self.say("warning" if mark.kind == "failed" else "info", mark.text)

    def say(self, level: Level, text: str) -> None:
        """A line of the log."""
        line = LogLine(self._iso_time(), level, text)
        self._log.append(line)
        self._on_log(line)

    # --- Steered -------------------------------------------------------------------------------------------

    @property
    def standing(self) -> Standing:
        conductor, plan = self._conductor, self._orders.plan
        is_steady = isinstance(self._shape, Steady)
        wanted = conductor.load.users if conductor.start_us is not None else self._shape.users
        return Standing(
            phase=conductor.phase,
            sentence=self._sentence(),
            scenario=self._orders.scenario,
            hosts=list(self._orders.hosts),
            users=wanted,
            spawn_per_s=conductor.load.spawn_rate if conductor.start_us is not None else self._shape.spawn_rate,
            shape=None if is_steady else type(self._shape).__name__,
            seconds=conductor.seconds(self._clock_us()),
            seconds_planned=plan.run_time_s if plan.run_time_s is not None else self._shape.run_time_s,
            workers_expected=plan.workers_expected,
        )

    @property
    def moments(self) -> Sequence[Moment]:
        return self._moments

    @property
    def log(self) -> Sequence[LogLine]:
        return list(self._log)

    def record(self) -> RunRecord:
        orders, collector = self._orders, self.collector
        seconds = self._conductor.seconds(self._clock_us())
        rows = collector.row_totals(seconds)
        counts = dict(collector.counts)
        thresholds = judge_thresholds(orders.thresholds, rows, counts, seconds)
        waited_s = sum(1.0 for moment in self._moments if moment.users) if not counts.get("connects") else 0.0
        nobody = unreachable_reason(counts, collector.refusals, orders.hosts, waited_s)
        verdict = judge(
            unreachable=[nobody] if nobody is not None else [],
            invalid=[*self._conductor.invalid, *collector.stops],
            thresholds=thresholds,
            counts=counts,
            findings=collector.findings,
        )
        return RunRecord(
            version=RECORD_VERSION,
            scenario=orders.scenario,
            started_at=self._started_at,
            seconds=seconds,
            command=list(orders.command),
            hosts=list(orders.hosts),
            machine=dict(orders.machine),
            seed=orders.seed,
            moments=list(self._moments),
            rows=rows,
            counts=counts,
            refusals=dict(collector.refusals),
            findings=list(collector.findings),
            thresholds=thresholds,
            verdict=verdict,
            clock_error_ms=clock_error_ms([clock.error_us for clock in self._clocks.values()]),
            exceptions=collector.exceptions,
            notes=list(self._notes),
        )

    def start(self, users: int, spawn_per_s: float) -> None:
        self._conductor.start(users, spawn_per_s, self._clock_us())
        self._settle()

    def edit(self, users: int, spawn_per_s: float) -> None:
        self._conductor.edit(users, spawn_per_s, self._clock_us())
        self._note(
            f"edited after {self._conductor.seconds(self._clock_us()):.0f} s: {users} users, {spawn_per_s:g} more a second"
        )
        self._settle()

    def stop(self, why: str = "it was stopped") -> None:
        if self._conductor.start_us is None:
            raise NotNow("the run has not begun")
        self._conductor.stop(why, self._clock_us())
        self._settle()

    def give_up(self, why: str) -> None:
        """As `stop`, and a run that has not begun ends as well."""
        self._conductor.stop(why, self._clock_us())
        self._settle()

    # --- what the reception tells (`loadtest.master.reception.Host`) -------------------------------------------------

    def why_full(self) -> str | None:
        is_over = self._conductor.phase in ("stopping", "ended")
        return "the run is over: start the worker again for the next one" if is_over else None

    def worker_joined(self, index: int, hello: Hello, welcome: Welcome) -> None:
        self._clocks[index] = ClockWatch(Offset(welcome.offset_us, welcome.error_us))
        self.collector.joined(index, hello.name)
        self._conductor.joined(index, hello, self._clock_us())
        self._settle()

    def worker_said(self, index: int, message: WorkerMessage) -> None:
        if self._conductor.seats[index].state is WorkerState.DEAD:
            # It was given up, and others have its share: what it says now belongs to no run.
            return
        if isinstance(message, Beat):
            if message.at_us > self._clock_us() + BEAT_AHEAD_US_MAX:
                # Every second up to it would have to be closed.
                raise PeerError(CloseCode.BAD_REQUEST, "a beat of a time that has not come")
            self.collector.take(index, message)
            self._enter(message)
        elif isinstance(message, Probed):
            self._clocks[index].saw(Sample(message.n, message.at_us, self._clock_us()))
        self._conductor.heard(index, message, self._clock_us())
        self._settle()

    def worker_left(self, index: int, why: str) -> None:
        self._conductor.lost(index, why, self._clock_us())
        self._settle()

    def somebody_refused(self, sentence: str) -> None:
        self.say("warning", sentence)

    # --- inside ----------------------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        while True:
            now_us = self._clock_us()
            self._conductor.tick(now_us)
            self._settle()
            self._close(self.collector.close_due(now_us))
            await trio.sleep(TICK_S)

    def _settle(self) -> None:
        """Carry out what the conductor has decided."""
        conductor = self._conductor
        while conductor.outbox:
            index, message = conductor.outbox.pop(0)
            if not self._reception.send(index, message) and not isinstance(message, Quit):
                conductor.lost(index, "it takes nothing of what it is told", self._clock_us())
        for index, seat in conductor.seats.items():
            self.collector.became(index, "running" if seat.state is WorkerState.HUSHED else seat.state.value)
        self.collector.users_wanted = conductor.load.users
        if conductor.start_us is not None and not self.begun.is_set():
            self.collector.begin(conductor.start_us)
            self._started_at = self._iso_time()
            self.begun.set()
        for level, text in conductor.news:
            if level != "info":
                self._note(text)
            self.say(level, text)
        conductor.news.clear()
        if conductor.phase in ("stopping", "ended"):
            self.load_ended.set()
        if conductor.phase == "ended":
            self._ended.set()

    def _close(self, seconds: Sequence[Closed]) -> None:
        for closed in seconds:
            self._moments.append(closed.moment)
            self._on_second(closed, self.collector)

    def _note(self, text: str) -> None:
        """For the record, and on the time line of a run that is on."""
        if len(self._notes) < NOTES_MAX:
            self._notes.append(text)
        if self._conductor.start_us is not None:
            self.collector.mark(Mark(self._conductor.seconds(self._clock_us()), "worker", text))

    def _enter(self, beat: Beat) -> None:
        """Into the ledger, what was acknowledged and what was seen."""
        if any(len(placed.pairs) % 2 or len(placed.watched) % 2 for placed in (*beat.acked, *beat.seen)):
            raise PeerError(CloseCode.BAD_REQUEST, "offsets and messages that are no pairs")
        for placed in beat.acked:
            self._ledger.acked(placed)
        for placed in beat.seen:
            self._ledger.seen(placed)
        self._found(self._ledger.take_findings())

    def _found(self, findings: Sequence[Finding]) -> None:
        for found in findings:
            self.collector.found(
                FoundRecord(found.kind, found.room, found.offset, found.count, found.client, found.detail)
            )

    def _balance(self) -> None:
        """At the end: what only shows when everybody has told everything."""
        collector, hushed_us = self.collector, self._conductor.hushed_us
        if hushed_us is not None:
            # Slots that no worker told of: it was dead, or nobody served the class.
            untold = max(0, self._dispatch.slots_due_by(hushed_us) - collector.counts["slots"])
            collector.count("slots", untold, hushed_us)
            collector.count("slots_missed", untold, hushed_us)
        self._found(self._ledger.close())
        if self._ledger.unjudged:
            self._notes.append(f"{self._ledger.unjudged} acknowledged messages were seen by nobody because no auditor was there")
        self._close(collector.close_all())

    def _iso_time(self) -> str:
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _sentence(self) -> str:
        conductor, plan = self._conductor, self._orders.plan
        match conductor.phase:
            case "waiting":
                ready = len(conductor.seats.having(WorkerState.READY))
                return f"waits for workers: {ready} of {plan.workers_expected} are ready"
            case "ready":
                return "all workers are ready: it begins when somebody starts it"
            case "spawning":
                return f"{conductor.seats.users:,} of {conductor.load.users:,} users are there"
            case "running":
                return f"{conductor.seats.users:,} users"
            case "stopping":
                return "users leave, and what was read is compared with what was said"
            case "ended":
                return "it is over"
