"""A real locust as a master, and runs of ours whose users are numbers to put behind it."""

import csv
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import trio

from loadtest.figures.messages import MESSAGES_VERSION, Beat, Finding, Hello, Prepare, Welcome
from loadtest.figures.record import RunRecord
from loadtest.locust.link import LocustLink
from loadtest.locust.session import LocustSession
from loadtest.locust.worker import Course, LocustWorker, end_with
from loadtest.master.admission import Terms
from loadtest.master.master import Master
from loadtest.master.orders import Orders, RunPlan
from loadtest.workers.dispatch import Dispatch, Kind
from loadtest.workers.worker import run_worker
from runtime.sockets import SocketNetwork
from tests.support.http import fetch
from tests.support.loadtest_run import NumberWork, clock_us

# Generous: locust alone takes seconds to load, and the machine that runs the tests may be busy with others.
DEADLINE_S = 60.0
KINDS = [Kind("Citizen", 2), Kind("Reporter", 1, arrivals_per_s=10.0)]


class FigureWork(NumberWork):
    """Each user publishes once a beat in 3 ms, and reads it in 250 ms; one in all is refused, one event in all is lost."""

    def __init__(self, prepare: Prepare) -> None:
        super().__init__(prepare)
        self.published = 0
        self.plans: set[float] = set()

    def beat(self) -> Beat:
        users = sum(self.users.values())
        if users and self._beats == 0:
            self.tally.row("publish").fail("refused: too fast")
            self.tally.found(Finding("lost", "square/main", 7, 1, "auditor 1", "offset 7 never came"))
        for name, latency_us in (("publish", 3000), ("deliver (small)", 250_000)):
            self.tally.row(name).latencies.record_many({latency_us: users} if users else {})
        self.published += users
        return super().beat()


@dataclass
class NumberRuns:
    """Makes a run of each course: a real master of ours and one worker, in this process."""

    works: list[FigureWork] = field(default_factory=list)
    courses: list[Course] = field(default_factory=list)
    records: list[RunRecord] = field(default_factory=list)

    async def carry_out(self, course: Course) -> RunRecord:
        self.courses.append(course)
        plan = RunPlan(workers_expected=1, starts_by_itself=True, run_time_s=None, stop_timeout_s=1.0, settle_s=1.0)
        orders = Orders(plan=plan, scenario="numbers", hosts=("ws://127.0.0.1:1",), seed=1)
        master = Master(
            orders, course.shape, Dispatch(KINDS), Terms("0.1", "digest", "boot", b""),
            clock_us=clock_us, wall_clock=time.time, rng=Random(7),
            on_second=lambda closed, _whole: course.hear(closed, master.collector),
        )  # fmt: skip
        listener = await SocketNetwork().listen("127.0.0.1", 0)
        with closing(listener):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._work, listener.host, listener.port)
                nursery.start_soon(end_with, course, master)
                self.records.append(await master.run(listener))
                nursery.cancel_scope.cancel()
        return self.records[-1]

    async def _work(self, host: str, port: int) -> None:
        own = Hello(MESSAGES_VERSION, "0.1", "worker-1", "host", "boot", 1, 2, "digest", 1000, b"", b"")
        await run_worker(SocketNetwork(), host, port, own, b"", self._make_work, clock_us=clock_us, rng=Random(1))

    async def _make_work(self, prepare: Prepare, _welcome: Welcome) -> FigureWork:
        self.works.append(FigureWork(prepare))
        return self.works[-1]


@dataclass
class Behind:
    """A worker of ours behind a locust master."""

    worker: LocustWorker
    runs: NumberRuns
    said: list[str]


def worker_behind(port: int, name: str) -> Behind:
    """Run its `worker.run`."""
    runs, said = NumberRuns(), list[str]()
    link = LocustLink("127.0.0.1", port, name)
    session = LocustSession(name, frozenset(kind.name for kind in KINDS), trio.current_time())
    worker = LocustWorker(link, session, KINDS, runs.carry_out, wall_clock=time.time, say=said.append)
    return Behind(worker, runs, said)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


@dataclass
class LocustMaster:
    """A locust process."""

    process: trio.Process
    folder: Path
    port: int
    web_port: int
    log: Path

    async def wait(self) -> int:
        with trio.fail_after(DEADLINE_S):
            return await self.process.wait()

    def rows(self, name: str) -> list[dict[str, str]]:
        """Of one of the files that ``--csv out`` wrote."""
        with (self.folder / f"out_{name}.csv").open() as file:
            return list(csv.DictReader(file))

    async def ask(self, path: str, **form: object) -> Any:
        """The answer of its web page's own interface, out of JSON where it is."""
        body = urllib.parse.urlencode(form)
        head = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n" if form else ""
        answer = await fetch(self.web_port, path, method="POST" if form else "GET", head=head, body=body.encode())
        if answer.status == 405:
            # `/stop` is a GET in older ones.
            answer = await fetch(self.web_port, path)
        assert answer.status == 200, answer
        return json.loads(answer.body) if b"{" in answer.body[:1] else answer.body.decode()

    async def wait_stats(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask for /stats/requests until `holds` of it is true."""
        stats: dict[str, Any] = {}
        with trio.move_on_after(DEADLINE_S):
            while True:
                with suppress(OSError):  # it does not listen yet
                    stats = await self.ask("/stats/requests")
                    if holds(stats):
                        return stats
                await trio.sleep(0.1)
        raise AssertionError(f"not so: {stats}\n{self.log.read_text()}")

    async def wait_ready(self, workers: int) -> None:
        await self.wait_stats(lambda stats: [each["state"] for each in stats["workers"]] == ["ready"] * workers)


@asynccontextmanager
async def locust_master(
    folder: Path, locustfile: str, *arguments: str, port: int, web_port: int = 0
) -> AsyncIterator[LocustMaster]:
    """`locust --master`, killed at the end of the block if it is still there."""
    (folder / "locustfile.py").write_text(locustfile)
    log = folder / "locust.log"
    where: Sequence[str] = ["--web-host", "127.0.0.1", "--web-port", str(web_port)] if web_port else ["--headless"]
    command = [
        sys.executable, "-m", "locust", "-f", "locustfile.py", "--master",
        "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port), *where, *arguments,
    ]  # fmt: skip
    with log.open("ab") as output:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, env=environment
        )
    try:
        yield LocustMaster(process, folder, port, web_port, log)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
