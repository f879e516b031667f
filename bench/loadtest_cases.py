"""What is measured of the load test's machinery, and how."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bench.cases import say
from bench.child import ROOT, Lines, LoadFailed
from bench.loadtest_emitter import HOST, ROOM
from bench.loadtest_speaker import Speaker
from bench.loadtest_verdict import CITY, FULL_PROCESS, JOINED_MAX, LOCUST, OURS
from bench.loadtest_words import Crowd, Emit, Emitted, Gathered, Mark
from bench.sheet import Sheet
from tests.support.fleet import Fleet, NodeFailed, free_ports

# An event goes to all at once, and the next one when all have long read it: nothing is joined.
_READERS: Final = 3000
_EVENTS_PER_S: Final = 20.0
# Locust takes five times as long, and would be late.
_LOCUST_EVENTS_PER_S: Final = 4.0
_SETTLE_S: Final = 1.0
_ANSWER_S: Final = 30.0
_GATHER_S: Final = 600.0
_CONNECTS_PER_S: Final = 2000.0
_CITY_CONNECTS_PER_S: Final = 1500.0
# As many as the reading processes open at once, so that a machine which is short of CPU is slow and does not refuse.
_PENDING: Final = 2000
_PROCESS_CLIENTS: Final = 15_000
_CITY_CLIENTS: Final = 100_000
_CITY_PROCESSES: Final = 7
_CITY_WORKERS: Final = 8
_SOURCES: Final = [f"127.0.0.{number}" for number in range(2, 10)]
_ROOMS: Final = 50
# Few and large ones: a gateway tells small rooms of every change of their head count, four times a second, and while 100,000
# enter that would be all that two cores do.
_CITY_ROOMS: Final = 4
_SPOKEN_PER_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take."""

    repeats: int
    emit_s: float
    speak_s: float


FULL: Final = Pace(5, 10.0, 20.0)
QUICK: Final = Pace(2, 4.0, 10.0)


class Emitting:
    """The emitter's process, and a crowd's before it."""

    def __init__(self, module: str) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "bench.loadtest_emitter"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self._server.stdout is not None, "started with a pipe"
        url = f"ws://{HOST}:{int(self._server.stdout.readline())}"
        self.crowd = Lines(module, Crowd([url], [ROOM], _READERS, _CONNECTS_PER_S))

    def emit(self, order: Emit) -> Emitted:
        assert self._server.stdin is not None, "started with pipes"
        assert self._server.stdout is not None, "started with pipes"
        self._server.stdin.write(msgspec.json.encode(order) + b"\n")
        return msgspec.json.decode(self._server.stdout.readline(), type=Emitted)

    def mark(self) -> Mark:
        self.crowd.tell("mark")
        return self.crowd.wait(Mark, _ANSWER_S)

    def end(self) -> None:
        self.crowd.end()
        self._server.kill()
        self._server.wait()
        for stream in (self._server.stdin, self._server.stdout):
            if stream is not None:
                stream.close()


class LoadtestBench:
    """Carries out cases and writes what they gave into the sheet."""

    def __init__(self, sheet: Sheet, pace: Pace, work_dir: Path) -> None:
        self._sheet = sheet
        self._pace = pace
        self._work_dir = work_dir

    def attempt(self, part: str, measure: Callable[[], None]) -> None:
        """A part that cannot be measured is a failure of the run; the others are measured all the same."""
        try:
            measure()
        except (LoadFailed, NodeFailed, msgspec.DecodeError) as error:
            say(f"FAILED {part}: {error}")
            self._sheet.failures.append(f"{part}: {error}")

    def frames(self) -> None:
        """Ours and locust's in turns, so that a disturbance disturbs both."""
        ours, theirs = Emitting("bench.loadtest_readers"), Emitting("bench.loadtest_locust")
        try:
            self._gathered(OURS, ours.crowd.wait(Gathered, _GATHER_S))
            self._gathered(LOCUST, theirs.crowd.wait(Gathered, _GATHER_S))
            for _ in range(self._pace.repeats):
                self._measure(OURS, ours, _EVENTS_PER_S)
                self._measure(LOCUST, theirs, _LOCUST_EVENTS_PER_S)
        finally:
            ours.end()
            theirs.end()

    def _gathered(self, who: str, gathered: Gathered) -> None:
        self._add(who, "frames", kib_per_client=gathered.kib_per_client, connects_per_s=gathered.clients / gathered.seconds)
        say(f"{who}: {gathered.clients} clients in {gathered.seconds:.1f} s, {gathered.kib_per_client:.2f} KiB each")

    def _measure(self, who: str, emitting: Emitting, per_s: float) -> None:
        before = emitting.mark()
        emitted = emitting.emit(Emit(round(per_s * self._pace.emit_s), per_s))
        time.sleep(_SETTLE_S)
        after = emitting.mark()
        frames, cpu_s, receives = after.frames - before.frames, after.cpu_s - before.cpu_s, after.receives - before.receives
        if frames != emitted.frames or emitted.blocked:
            raise LoadFailed(f"{who} received {frames} of {emitted.frames} frames, and {emitted.blocked} sends were not taken")
        joined = frames / receives if receives else 1.0
        say(
            f"{who}: {frames / cpu_s:,.0f} frames/CPU-s, {joined:.3f} a receive, p50 {after.p50_ms:.1f} ms,"
            f" p99 {after.p99_ms:.1f} ms; the emitter was {emitted.late_ms:.0f} ms late at worst"
        )
        if joined > JOINED_MAX and emitted.late_ms > 500 / per_s:
            say("the emitter had no turn on this machine, and its frames were joined: left out")
            return
        self._add(who, "frames", frames_per_cpu_s=frames / cpu_s)
        if receives:
            self._add(who, "frames", frames_per_receive=joined)
        self._add(who, "all", violations=after.violations - before.violations)

    def full_process(self) -> None:
        """15,000 readers of a real gateway in one process."""
        with self._parvis(_PROCESS_CLIENTS, ()) as port:
            self._read(FULL_PROCESS, port, [_PROCESS_CLIENTS], _ROOMS, _CONNECTS_PER_S, [])

    def city(self) -> None:
        """100,000 readers of one gateway on all cores, beside it."""
        each, rest = divmod(_CITY_CLIENTS, _CITY_PROCESSES)
        with self._parvis(_CITY_CLIENTS, ("--workers", str(_CITY_WORKERS))) as port:
            crowds = [each + (place < rest) for place in range(_CITY_PROCESSES)]
            self._read(CITY, port, crowds, _CITY_ROOMS, _CITY_CONNECTS_PER_S, _SOURCES)

    def _read(self, who: str, port: int, crowds: list[int], room_count: int, connects_per_s: float, sources: list[str]) -> None:
        """Gather, speak in every room, and see that everybody got everything."""
        total = sum(crowds)
        # As many readers in each room, so that what is expected is exact.
        rooms = [f"bench/r{number:03d}" for number in range(room_count)]
        url, each_per_s, began = f"ws://{HOST}:{port}", connects_per_s / len(crowds), time.monotonic()
        processes = [
            Lines("bench.loadtest_readers", Crowd([url], rooms, clients, each_per_s, sources)) for clients in crowds
        ]
        try:
            gathered = [process.wait(Gathered, _GATHER_S) for process in processes]
            seconds = time.monotonic() - began
            before = _marks(processes)
            speaker = Speaker(port, rooms)
            try:
                expected = speaker.speak(_SPOKEN_PER_S, self._pace.speak_s) * total
            finally:
                speaker.end()
            deadline = time.monotonic() + _ANSWER_S
            while True:
                time.sleep(_SETTLE_S)
                after = _marks(processes)
                frames = sum(mark.frames for mark in after) - sum(mark.frames for mark in before)
                if frames >= expected or time.monotonic() > deadline:
                    break
        finally:
            for process in processes:
                process.end()
        clients, violations = sum(mark.clients for mark in after), sum(mark.violations for mark in after)
        self._add(
            who, "all", clients=clients, seconds=seconds, violations=violations + abs(expected - frames),
            kib_per_client=max(report.kib_per_client for report in gathered),
            connect_p99_ms=max(report.connect_p99_ms for report in gathered), deliveries_per_s=frames / self._pace.speak_s,
            deliver_p99_ms=max(mark.p99_ms for mark in after),
        )  # fmt: skip
        say(
            f"{who}: {clients:,} clients in {seconds:.0f} s, {max(report.kib_per_client for report in gathered):.2f} KiB each,"
            f" {frames:,} of {expected:,} deliveries, {violations} violations"
        )

    @contextmanager
    def _parvis(self, clients: int, arguments: tuple[str, ...]) -> Iterator[int]:
        """A shard and a gateway; answers the gateway's port."""
        port, link, gateway_admin, broker_admin = free_ports(4)
        shared = {
            "log.level": "warning", "gateway.publish_rate_per_s": "1000000.0", "gateway.publish_burst": "1000000",
            "admission.room_publish_rate_per_s": "1000000.0", "admission.room_publish_burst": "1000000",
            "cluster.shards": f"shard-1={HOST}:{link}",
            "gateway.handshakes_pending_max": str(_PENDING),
            # Workers share them out, and the kernel gives each a few more or less of the connections.
            "gateway.connections_max": str(clients * 6 // 5), "gateway.connections_soft_max": str(clients * 11 // 10),
        }  # fmt: skip
        with Fleet(self._work_dir, shared) as fleet:
            fleet.add("shard-1", "broker", port=link, admin_port=broker_admin, settings={})
            fleet.add("gateway-1", "gateway", port=port, admin_port=gateway_admin, settings={}, arguments=arguments)
            fleet.start("shard-1", "gateway-1")
            yield port

    def _add(self, who: str, where: str, **values: float) -> None:
        for figure, value in values.items():
            self._sheet.add(who, where, figure, value)


def _marks(processes: list[Lines]) -> list[Mark]:
    for process in processes:
        process.tell("mark")
    return [process.wait(Mark, _ANSWER_S) for process in processes]


PARTS: Final[dict[str, Callable[[LoadtestBench], None]]] = {
    "frames": LoadtestBench.frames,
    "process": LoadtestBench.full_process,
    "city": LoadtestBench.city,
}
