"""A worker behind a stock locust master: one of its workers to locust, and a whole run of ours to us.

Its `spawn` begins a run, with a master and worker processes of our own, whose shape is what
locust dictates; its `stop` ends that run in order, audits and verdict included; the next
`spawn` begins another.  What our master has collected of each second is told to locust in its
words.  Our own record stays the truth: locust's buckets are coarse, and it has no verdicts.

    LocustLink  ->  LocustSession  ->  Course  ->  whatever makes a run out of it
    (socket)        (conversation)     (one run)   (`parvis/loadtest/command.py`)
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

import trio

from loadtest.figures.record import ExceptionRecord, FoundRecord, Moment, RunRecord
from loadtest.figures.totals import Totals
from loadtest.locust.dictated import Dictated
from loadtest.locust.link import LocustLink
from loadtest.locust.session import GIVE_UP_S, GiveUp, Leave, LocustSession, Redial, Shared, Stop, Wish
from loadtest.locust.words import Job, NotLocust, Span, report
from loadtest.master.collector import Closed, Collector
from loadtest.master.master import Master, RunFailed
from loadtest.workers.dispatch import Kind

# As often as a heartbeat may be late without anybody minding.
TICK_S: Final = 0.1


class NoLocust(Exception):
    """There is no locust master; one plain sentence."""


class Course:
    """One run, from locust's first `spawn` to its `stop`; what was measured waits here until it is told."""

    def __init__(self, job: Job, shape: Dictated, wall_clock: Callable[[], float]) -> None:
        self.job = job
        """The first one: host and tags hold for the whole run."""
        self.shape = shape
        self.over = trio.Event()
        """Set when the run shall end, or be given up if it has not begun."""
        self.why = "it was stopped"
        self.moment: Moment | None = None
        """The newest second."""
        self._wall_clock = wall_clock
        self._zero_at: float | None = None
        self._news = trio.Event()
        self._has_more = False
        self._totals = Totals()
        self._counts: Counter[str] = Counter()
        self._counts_told: Counter[str] = Counter()
        self._findings: list[FoundRecord] = []
        self._findings_told = 0
        self._raised: dict[tuple[str, str], ExceptionRecord] = {}
        """By words: each is told once, however often it came."""
        self._raised_told = 0
        self._began_s: float | None = None

    def end(self, why: str) -> None:
        if not self.over.is_set():
            self.why = why
            self.over.set()

    def hear(self, closed: Closed, collector: Collector) -> None:
        """One second of the run; called by its master, and returns at once.

        Seconds that locust has not been told of yet are added up: nothing waits longer, and nothing grows.
        """
        if self._zero_at is None:
            self._zero_at = self._wall_clock() - closed.moment.at_s
        if self._began_s is None:
            self._began_s = closed.moment.at_s - 1
        self.moment = closed.moment
        self._totals.merge(closed.totals)
        self._take(collector.counts, collector.findings, collector.exceptions)

    def close(self, record: RunRecord) -> None:
        """What became known only at the end."""
        self._take(record.counts, record.findings, record.exceptions)

    def _take(self, counts: Mapping[str, int], findings: Sequence[FoundRecord], exceptions: Iterable[ExceptionRecord]) -> None:
        self._counts = Counter(counts)
        self._findings = list(findings)
        for raised in exceptions:
            self._raised.setdefault((raised.message, raised.traceback), raised)
        self._has_more = True
        self._news.set()

    async def wait_news(self) -> None:
        """Until there is something to tell, or the run shall end."""
        await self._news.wait()
        self._news = trio.Event()

    def take_exceptions(self) -> list[ExceptionRecord]:
        """Those that were not told yet."""
        new, self._raised_told = list(self._raised.values())[self._raised_told :], len(self._raised)
        return new

    def take(self) -> Callable[[], dict[str, object]] | None:
        """Everything that was not told yet, as a job for a thread: it takes tens of milliseconds.  None when there is nothing."""
        if self.moment is None or self._zero_at is None or not self._has_more:
            return None
        self._has_more = False
        totals, self._totals = self._totals, Totals()
        counts = self._counts - self._counts_told
        self._counts_told = self._counts
        findings, self._findings_told = self._findings[self._findings_told :], len(self._findings)
        began_s, self._began_s = self._began_s, None
        ended_at = self._zero_at + self.moment.at_s
        span = Span(ended_at if began_s is None else self._zero_at + began_s, ended_at)
        users = self.moment.users_by_class
        return lambda: report(totals, counts, findings, users, span)


CarryOut = Callable[[Course], Awaitable[RunRecord]]
"""Makes a whole run: reads `course.job` and `course.shape`, ends when `course.over` is set, tells each second to `course.hear`.

Raises `RunFailed` when there was none.
"""


async def end_with(course: Course, master: Master) -> None:
    """Beside `master.run`: ends it when the course is over."""
    await course.over.wait()
    master.give_up(course.why)


class LocustWorker:
    """One worker of a locust master, as long as that has work for it."""

    def __init__(
        self,
        link: LocustLink,
        session: LocustSession,
        kinds: Sequence[Kind],
        carry_out: CarryOut,
        *,
        wall_clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        """`kinds` are the scenario's classes; `say` gets plain sentences for whoever watches this process."""
        self.record: RunRecord | None = None
        """Of the last run that had one."""
        self.code = 0
        """The exit code of the last run, also of one that could not be."""
        self._link = link
        self._session = session
        self._kinds = kinds
        self._carry_out = carry_out
        self._wall_clock = wall_clock
        self._say = say
        self._runs = 1
        self._course: Course | None = None
        self._is_given_up = False
        self._is_dismissed = False
        """The master has said quit."""
        self._is_leaving = False
        """So do we."""
        self._left = trio.Event()

    async def run(self) -> None:
        """Until the master says quit, or `leave`; the link is closed then.  Its nursery owns the runs.

        Raises `NoLocust` when no master answers.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive, nursery)
                nursery.start_soon(self._keep_time, nursery)
                await self._left.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._send()
            await self._link.aclose()
        if self._is_given_up:
            raise NoLocust(f"no locust master has answered for {GIVE_UP_S / 60:g} minutes: start it, or say where it is")

    def leave(self) -> None:
        """End the run in order, then go, by this process's own wish."""
        self._is_leaving = True
        self._end_course("this worker was stopped")

    # --- from the master -------------------------------------------------------------------------------------

    async def _receive(self, nursery: trio.Nursery) -> None:
        while True:
            try:
                self._session.heard(await self._link.receive(), trio.current_time())
            except NotLocust as error:
                self._say(f"the locust master said something that is not understood: {error}")
            self._settle(nursery)

    async def _keep_time(self, nursery: trio.Nursery) -> None:
        while True:
            workers = self._course.moment.workers if self._course and self._course.moment else []
            cpu = max((each.cpu_share for each in workers), default=0.0)
            self._session.tick(trio.current_time(), 100 * cpu, sum(each.rss_bytes for each in workers))
            self._settle(nursery)
            await trio.sleep(TICK_S)

    def _settle(self, nursery: trio.Nursery) -> None:
        """Carry out what the conversation has come to."""
        while self._session.wishes:
            self._do(self._session.wishes.pop(0), nursery)
        for sentence in self._session.news:
            self._say(sentence)
        self._session.news.clear()
        self._send()

    def _send(self) -> None:
        while self._session.outbox:
            if not self._link.send_nowait(self._session.outbox.pop(0)):
                self._say("the locust master takes nothing: what it should hear is dropped")

    def _do(self, wish: Wish, nursery: trio.Nursery) -> None:
        match wish:
            case Job():
                self._follow(wish, nursery)
            case Shared(workers=workers):
                self._runs = workers
                if self._course is not None:
                    self._course.shape.runs = workers
            case Redial(node=node):
                self._link.redial(node)
            case Stop(why=why):
                self._end_course(why)
            case GiveUp():
                self._is_given_up = True
                self._left.set()
            case Leave():
                self._is_dismissed = True
                self._end_course("the locust master says quit")

    def _follow(self, job: Job, nursery: trio.Nursery) -> None:
        if self._course is None:
            self._course = Course(job, Dictated(self._kinds), self._wall_clock)
            self._course.shape.runs = max(self._runs, job.workers)
            nursery.start_soon(self._run_course, self._course)
        self._course.shape.want(job.users)

    def _end_course(self, why: str) -> None:
        if self._course is not None:
            self._course.end(why)
        else:
            self._ended()

    def _ended(self) -> None:
        """No run is on: say so, or go."""
        if self._is_leaving:
            self._session.leave()
        elif not self._is_dismissed:
            self._session.stopped()
        self._send()
        if self._is_leaving or self._is_dismissed:
            self._left.set()

    # --- a run ---------------------------------------------------------------------------------------------------

    async def _run_course(self, course: Course) -> None:
        """From begin to end; whatever it comes to is told before the master hears that we are free.

        That it does not hear before it has said stop: it would give us the next step of the same ramp.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_seconds, course)
            try:
                record = self.record = await self._carry_out(course)
            except RunFailed as failure:
                self._say(str(failure))
                if not course.over.is_set():
                    self.code = failure.code
                    self._session.failed(str(failure))
                    self._send()
                    await course.over.wait()
            else:
                self.code = record.verdict.code
                course.close(record)
                self._tell_verdict(record)
                if not course.over.is_set():
                    self._say("the run ended by itself: this worker is free again when the locust master says stop")
                    await course.over.wait()
            nursery.cancel_scope.cancel()
        await self._tell(course)
        self._course = None
        self._ended()

    async def _tell_seconds(self, course: Course) -> None:
        while True:
            await course.wait_news()
            # Half a report would be lost with its figures.
            with trio.CancelScope(shield=True):
                await self._tell(course)

    async def _tell(self, course: Course) -> None:
        if course.moment is not None:
            self._session.have(course.moment.users_by_class, trio.current_time())
        for raised in course.take_exceptions():
            self._session.failed(raised.message, raised.traceback)
        make = course.take()
        if make is not None:
            self._session.measured(await trio.to_thread.run_sync(make))
        self._send()

    def _tell_verdict(self, record: RunRecord) -> None:
        verdict = record.verdict
        self._say(f"the run is over: {verdict.word}{''.join(f'; {reason}' for reason in verdict.reasons)}")
        if verdict.code:
            # On its page, and in its exit code: locust has no other word for figures that are worth nothing.
            self._session.failed(f"{verdict.word}: {'; '.join(verdict.reasons)}")
