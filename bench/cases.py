"""What is measured on each server: a crowd that arrives, a steady rate, the highest rate; a quiet room; readers that stall."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import procfs, verdict
from bench.child import LoadFailed
from bench.exposed import histogram_buckets, quantile_between
from bench.floor import measure_floor
from bench.fsync import measure_fsync, percentile
from bench.rig import PAYLOAD_BYTES, Rig, Shape, Step
from bench.search import RateSearch
from bench.servers.started import NotStarted, Started, start_neighbour, start_parvis
from bench.sheet import Sheet
from runtime.schema import GatewaySettings
from wire.frames import header_length

STEADY_RATE = 20.0
ROOM = Shape(verdict.ROOM, rooms=1, each=3_000, speakers=16)
ROOMS = Shape(verdict.ROOMS, rooms=100, each=50, speakers=50)
QUIET = Shape("quiet", rooms=1, each=10, speakers=2)
FRAME_BYTES = header_length(PAYLOAD_BYTES) + PAYLOAD_BYTES
WARM_CONNECTIONS = 200
STALLED_SHARE = 0.05
STALLED_RECEIVE_BUFFER_BYTES = 4096
# 55 KiB a second: fills the kernel's buffer and the 256 KiB that a reader may be behind within 7 s.  A text has at most
# 500 letters.
FILL_RATE, FILL_PAYLOAD_BYTES, FILL_S = 100.0, 550, 8.0
SAMPLE_S = 0.25
CONFIRMATIONS_MAX = 4
# What a percentile of a slow rate needs at least.
MESSAGES_MIN = 10


@dataclass(frozen=True, slots=True)
class Pace:
    """How long each part takes: the full bench, or a short look."""

    floor_s: float
    steady_s: float
    search_step_s: float
    search_steps: int
    highest_s: float
    quiet_s: float
    stalled_s: float
    fsyncs: int


FULL = Pace(
    floor_s=1.0, steady_s=5.0, search_step_s=3.0, search_steps=8, highest_s=4.0, quiet_s=10.0, stalled_s=12.0, fsyncs=150
)  # fmt: skip
QUICK = Pace(floor_s=0.7, steady_s=3.0, search_step_s=2.0, search_steps=4, highest_s=2.0, quiet_s=5.0, stalled_s=5.0, fsyncs=100)


@dataclass(frozen=True, slots=True)
class Contestant:
    """One server in one configuration, and the rates at which the search for its highest begins."""

    key: str
    start: Callable[[Path], Started]
    first_rates: dict[str, float]


def _parvis(*, separate: bool, window: float) -> Callable[[Path], Started]:
    return lambda data_dir: start_parvis(data_dir, separate=separate, window_passes_per_s=window)


def _neighbour(name: str, module: str) -> Callable[[Path], Started]:
    return lambda _: start_neighbour(name, module)


WINDOW_DEFAULT = GatewaySettings().window_passes_per_s
CONTESTANTS = [
    Contestant(verdict.PARVIS, _parvis(separate=True, window=0.0), {ROOM.name: 160.0, ROOMS.name: 20.0}),
    # The window is for rooms above 2,000 members: the small rooms would measure the same again.
    Contestant(verdict.PARVIS_WINDOW, _parvis(separate=True, window=WINDOW_DEFAULT), {ROOM.name: 320.0}),
    Contestant(verdict.PARVIS_ONE, _parvis(separate=False, window=0.0), {ROOM.name: 160.0, ROOMS.name: 20.0}),
    Contestant(verdict.NAIVE, _neighbour("naive", "bench.servers.naive_trio"), {ROOM.name: 5.0, ROOMS.name: 2.5}),
    Contestant(
        verdict.WEBSOCKETS, _neighbour("websockets", "bench.servers.websockets_broadcast"), {ROOM.name: 20.0, ROOMS.name: 10.0}
    ),
]


class Bench:
    """Carries out cases and writes what they gave into the sheet."""

    def __init__(self, sheet: Sheet, pace: Pace, work_dir: Path) -> None:
        self._sheet = sheet
        self._pace = pace
        self._work_dir = work_dir
        self._servers_started = 0
        self._highest: dict[tuple[str, str], float] = {}
        self._faulty_steps = 0

    def attempt(self, part: str, measure: Callable[[], None]) -> None:
        """A part that cannot be measured is a failure of the run; the others are measured all the same."""
        try:
            measure()
        except (LoadFailed, NotStarted) as error:
            say(f"{part} FAILED: {error}")
            self._sheet.failures.append(f"{part}: {error}")

    def _data_dir(self) -> Path:
        self._servers_started += 1
        return self._work_dir / f"data-{self._servers_started}"

    def end_run(self) -> None:
        """After all cases of one run."""
        self._sheet.add(verdict.PARVIS, "all", "faulty_steps", self._faulty_steps)
        self._faulty_steps = 0

    def floor(self) -> None:
        """The bare loop, on as many sockets as the large room has members."""
        for joined, figure in ((1, "deliveries_per_cpu_s"), (10, "joined_10"), (50, "joined_50")):
            result = measure_floor(ROOM.subscribers, FRAME_BYTES, self._pace.floor_s, joined)
            self._sheet.add(verdict.FLOOR, ROOM.name, figure, result.deliveries_per_cpu_s)
            say(f"floor, {joined} frames a send: {result.deliveries_per_cpu_s:,.0f} deliveries per CPU-second")

    def crowd(self, contestant: Contestant, shape: Shape) -> None:
        """A crowd arrives, hears 20 messages a second, then as many as the server can give it."""
        with Rig(contestant.start(self._data_dir()), shape) as rig:
            who = contestant.key
            arrival = rig.arrive(max(1, WARM_CONNECTIONS // shape.rooms))
            per_cpu_s, kib = arrival.handshakes_per_cpu_s, arrival.kib_per_connection
            self._add(who, shape, handshakes_per_cpu_s=per_cpu_s, kib_per_connection=kib)
            say(f"{who} {shape.name}: {per_cpu_s:,.0f} handshakes/CPU-s, {kib:.1f} KiB each")
            rig.step(STEADY_RATE / 4, 0.5)
            steady = self._try_rate(who, rig, STEADY_RATE, self._pace.steady_s)
            self._add(who, shape, **figures_of(steady, ""), held=float(steady.held))
            before = commit_buckets(rig.server)
            highest = self._find_highest(contestant, rig)
            if highest is not None:
                self._add(who, shape, **figures_of(highest, "highest_"), highest_rate=highest.rate)
                self._add(who, shape, frame_bytes=highest.frame_bytes)
                commit_p99_s = quantile_between(before, commit_buckets(rig.server), 0.99)
                if not math.isnan(commit_p99_s):
                    self._add(who, shape, commit_p99_ms=commit_p99_s * 1e3)

    def _find_highest(self, contestant: Contestant, rig: Rig) -> Step | None:
        """Search in the first run; later runs measure at the rate it found, somewhat lower as long as that does not hold."""
        key = (contestant.key, rig.shape.name)
        if key not in self._highest:
            search = RateSearch(contestant.first_rates[rig.shape.name], self._pace.search_steps)
            while (rate := search.next_rate()) is not None:
                search.tell(self._try_rate(contestant.key, rig, rate, self._pace.search_step_s).held)
            if search.best is None:
                return None
            self._highest[key] = search.best
        rate = self._highest[key]
        for _ in range(CONFIRMATIONS_MAX):
            step = self._try_rate(contestant.key, rig, rate, self._pace.highest_s)
            if step.held:
                return step
            rate *= 0.85
        return None

    def _try_rate(self, who: str, rig: Rig, rate: float, seconds: float) -> Step:
        """A step that may be too much for the server; the room is whole again after it."""
        step = self._step(who, rig, rate, max(seconds, MESSAGES_MIN / rate))
        if step.closed or step.unanswered:
            rig.refill()
        return step

    def quiet(self) -> None:
        """One small room and nothing else to do: what a person feels, beside what the disk takes."""
        data = self._data_dir()
        with Rig(start_parvis(data, separate=True, window_passes_per_s=WINDOW_DEFAULT), QUIET) as rig:
            rig.arrive(1)
            rig.step(STEADY_RATE, 0.5)
            fsyncs = measure_fsync(data, self._pace.fsyncs)
            step = self._step(verdict.QUIET, rig, STEADY_RATE, self._pace.quiet_s)
            fsyncs += measure_fsync(data, self._pace.fsyncs)
        for percent in (50, 99):
            self._sheet.add(verdict.QUIET, "disk", f"fsync_p{percent}_ms", percentile(fsyncs, percent) * 1e3)
        self._sheet.add(verdict.QUIET, "publish", "p50_ms", step.p50_ms)
        self._sheet.add(verdict.QUIET, "publish", "p99_ms", step.p99_ms)

    def stalled(self) -> None:
        """The large room without, then with, a twentieth of its members never reading; then until their allowance is full."""
        stalled = round(ROOM.each * STALLED_SHARE)
        shape = Shape(ROOM.name, 1, ROOM.each - stalled, ROOM.speakers)
        who = verdict.STALLED
        with Rig(start_parvis(self._data_dir(), separate=True, window_passes_per_s=0.0), shape) as rig:
            rig.arrive(WARM_CONNECTIONS)
            rig.step(STEADY_RATE, 1.0)
            alone = self._step(who, rig, STEADY_RATE, self._pace.stalled_s)
            pids = rig.server.pids()
            kib_before = procfs.pss_kib(pids)
            ports = rig.stall(stalled, STALLED_RECEIVE_BUFFER_BYTES)
            beside = self._step(who, rig, STEADY_RATE, self._pace.stalled_s)
            worst_kib = worst_process_kib = worst_kernel_kib = 0.0
            running = rig.begin(FILL_RATE, FILL_S, FILL_PAYLOAD_BYTES)
            spoken = False
            while not spoken:
                spoken = running.is_spoken(SAMPLE_S)
                process_kib = (procfs.pss_kib(pids) - kib_before) / stalled
                kernel = procfs.socket_memory(rig.server.port, ports)
                kernel_kib = kernel.server_bytes / 1024 / stalled
                if process_kib + kernel_kib > worst_kib:
                    worst_kib, worst_process_kib, worst_kernel_kib = process_kib + kernel_kib, process_kib, kernel_kib
            self._note(who, running.end(), rig.shape)
        self._add(
            who, ROOM, p99_ratio=beside.p99_ms / alone.p99_ms, p99_ms_without=alone.p99_ms, p99_ms_with=beside.p99_ms,
            kib_per_client=worst_kib, process_kib=worst_process_kib, kernel_kib=worst_kernel_kib,
            closed_share=1 - kernel.open_at_server / stalled,
        )  # fmt: skip

    def _step(self, who: str, rig: Rig, rate: float, seconds: float) -> Step:
        step = rig.step(rate, seconds)
        self._note(who, step, rig.shape)
        return step

    def _note(self, who: str, step: Step, shape: Shape) -> None:
        record = {name: getattr(step, name) for name in step.__struct_fields__}
        self._sheet.steps.setdefault(f"{who}/{shape.name}", []).append(record)
        if who not in (verdict.NAIVE, verdict.WEBSOCKETS) and (step.repeated or step.unannounced or step.violations):
            self._faulty_steps += 1
        say(
            f"{who} {shape.name} at {step.rate:.4g}/s: {step.deliveries_per_cpu_s:,.0f} deliveries/CPU-s,"
            f" p50 {step.p50_ms:.1f} p99 {step.p99_ms:.1f} max {step.max_ms:.0f} ms,"
            f" CPU {step.server_cpu_s:.2f} s of {step.wall_s:.1f} (load {step.load_cpu_s:.1f})"
            f"{'' if step.held else ' NOT HELD: ' + fault_of(step)}"
        )

    def _add(self, who: str, shape: Shape, **values: float) -> None:
        for figure, value in values.items():
            self._sheet.add(who, shape.name, figure, value)


def figures_of(step: Step, prefix: str) -> dict[str, float]:
    """What a step says in the table; `whole_share` below 1 is loss."""
    return {
        f"{prefix}deliveries_per_cpu_s": step.deliveries_per_cpu_s,
        f"{prefix}p50_ms": step.p50_ms,
        f"{prefix}p99_ms": step.p99_ms,
        f"{prefix}max_ms": step.max_ms,
        f"{prefix}whole_share": step.deliveries / step.deliveries_wanted if step.deliveries_wanted else 0.0,
    }


def fault_of(step: Step) -> str:
    """Why a step did not hold, in a few words."""
    missing = step.deliveries_wanted - step.deliveries
    faults = {
        "unacknowledged": step.sent - step.acknowledged, "missing": missing, "skipped": step.lost - step.unannounced,
        "lost": step.unannounced, "repeated": step.repeated,
        "closed": step.closed, "violations": step.violations,
    }  # fmt: skip
    named = [f"{count} {name}" for name, count in faults.items() if count]
    return ", ".join(named + [f"{count} {code}" for code, count in step.refused.items()]) or "too late"


def commit_buckets(server: Started) -> dict[float, float]:
    """Our shard's commit times so far; empty for a neighbour."""
    return histogram_buckets(server.metrics(), "parvis_commit_seconds")


def say(line: str) -> None:
    """Progress, on stderr: the figures come last, on stdout."""
    print(line, file=sys.stderr, flush=True)
