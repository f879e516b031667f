"""`parvis loadtest --worker --locust`: whole runs of ours, as one worker of a stock locust master.

What locust says of a run (users, host, tags, stop timeout) takes the place of the flags; all
the others hold as ever, so each run has its own files, record and verdict beside locust's tables.
"""

import importlib.util
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Literal

import trio

from loadtest.figures.record import RunRecord
from loadtest.master.collector import Closed, Collector
from loadtest.master.master import Master, RunFailed
from loadtest.master.steering import LogLine
from loadtest.reports.outputs import OutputError, Outputs
from loadtest.reports.terminal import Screen, Terminal
from loadtest.verdicts.verdict import Exit
from parvis.loadtest.checks import check_world, open_door, sources_of
from parvis.loadtest.conduct import conduct
from parvis.loadtest.flags import LoadtestFlags
from parvis.loadtest.reading import NoRun, Understood, read_flags
from runtime.lifecycle import Lifecycle

if TYPE_CHECKING:
    # They need ZeroMQ, which is an extra: loaded when it is known to be there.
    from loadtest.locust.words import Job
    from loadtest.locust.worker import Course, LocustWorker


class BehindLocust:
    """One process behind a locust master."""

    def __init__(self, flags: LoadtestFlags, command: Sequence[str]) -> None:
        """Raises `NoRun` for flags that no run could have."""
        if importlib.util.find_spec("zmq") is None:
            raise NoRun("--locust speaks ZeroMQ, which is not installed: pip install 'parvis[locust]'")
        if flags.users is not None or flags.spawn_rate is not None or flags.run_time is not None:
            raise NoRun("a locust master says how many users there are, how fast and how long: leave -u, -r and -t to it")
        self._flags = replace(flags, worker=False, locust=False, headless=True)
        self._command = command
        self._understood = read_flags(self._flags, command)
        """By the flags alone: what a run is when locust says nothing else."""
        self._rng: Random = SystemRandom()
        self._terminal = Terminal(Screen())
        self._unwritten: Course | None = None
        """The run whose files are not what they should be: the disk has said no."""

    async def run(self, lifecycle: Lifecycle) -> Exit:
        """Until the locust master says quit, or a signal comes; the last run's exit code.  Raises `NoRun`."""
        from loadtest.locust.worker import NoLocust

        # Once before the first run, so that nobody learns from locust's page that a folder is not there.
        with _outputs(self._understood):
            worker = self._worker()
        async with trio.open_nursery() as nursery:

            async def leave() -> None:
                await lifecycle.wait_drain()
                worker.leave()

            nursery.start_soon(leave)
            try:
                await worker.run()
            except NoLocust as no:
                raise NoRun(f"{no} with --master-host and --master-port", Exit.INVALID) from no
            nursery.cancel_scope.cancel()
        return Exit(worker.code)

    def _worker(self) -> "LocustWorker":
        from loadtest.locust.link import LocustLink
        from loadtest.locust.session import LocustSession
        from loadtest.locust.worker import LocustWorker

        host, port, cast = self._flags.master_host, self._flags.master_port, self._understood.cast
        # Locust deals out users evenly by what stands before the first underscore: the machine.
        name = self._flags.name or f"{socket.gethostname()}_{self._rng.getrandbits(64):016x}"
        try:
            link = LocustLink(host, port, name)
        except OSError as error:
            raise NoRun(f"--master-host {host}: {error.strerror or error}") from error
        self._say("info", f"works for the locust master at {host}:{port} as {name}")
        session = LocustSession(name, frozenset(cast.classes), trio.current_time())
        return LocustWorker(link, session, cast.kinds(), self._carry_out, wall_clock=time.time, say=partial(self._say, "info"))

    # --- a run ---------------------------------------------------------------------------------------------

    async def _carry_out(self, course: "Course") -> RunRecord:
        """Raises `RunFailed`."""
        try:
            understood = replace(read_flags(self._flags_of(course.job), self._command), shape=course.shape)
            await check_world(understood, self._rng)
            with _outputs(understood) as outputs:
                record = await conduct(
                    understood,
                    await open_door(self._flags, understood),
                    rng=self._rng,
                    sources=sources_of(self._flags, understood.orders),
                    beside=[self._terminal.show, partial(_end_with, course)],
                    on_second=partial(self._hear, course, outputs),
                    on_log=self._terminal.say,
                )
                self._finish(record, outputs)
        except NoRun as no:
            raise RunFailed(str(no), no.code) from no
        return record

    def _hear(self, course: "Course", outputs: Outputs, closed: Closed, run: Collector) -> None:
        course.hear(closed, run)
        if self._unwritten is course:
            return
        try:
            outputs.second(closed, run)
        except OSError as error:
            # The run goes on: locust is told all the same.
            self._unwritten = course
            self._say("error", f"files are not written any more: {error}")

    def _finish(self, record: RunRecord, outputs: Outputs) -> None:
        files: list[str] = []
        try:
            files = outputs.finish(record)
        except OSError as error:
            self._say("error", f"the run is over and its files could not be written: {error}")
        self._terminal.end(record, files)

    def _flags_of(self, job: "Job") -> LoadtestFlags:
        """What locust says takes the place of ours; one of several hosts of ours is what its page shows by default."""
        flags = self._flags
        return replace(
            flags,
            hosts=(job.host,) if job.host and job.host not in self._understood.orders.hosts else flags.hosts,
            tags=tuple(job.tags) or flags.tags,
            exclude_tags=tuple(job.exclude_tags) or flags.exclude_tags,
            stop_timeout=str(job.stop_timeout_s) if job.stop_timeout_s else flags.stop_timeout,
        )

    def _say(self, level: Literal["info", "error"], sentence: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._terminal.say(LogLine(now, level, sentence))


def _outputs(understood: Understood) -> Outputs:
    try:
        return Outputs(understood.files, datetime.now(UTC))
    except OutputError as error:
        raise NoRun(str(error)) from error


async def _end_with(course: "Course", master: Master, over: trio.Event) -> None:
    from loadtest.locust.worker import end_with

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_with, course, master)
        await over.wait()
        nursery.cancel_scope.cancel()
