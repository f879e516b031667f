"""One server with its load, and the steps that are measured on it.

The order of a step is what makes its figures exact: readers forget what was, CPU clocks
are read, messages are published by the clock, everyone receives everything, CPU clocks
are read again.  So the CPU between is the price of exactly these deliveries.
"""

import time
from dataclasses import dataclass
from types import TracebackType

from msgspec import Struct

from bench import procfs
from bench.child import LoadProcess
from bench.orders import (
    Begin,
    Close,
    Connect,
    Connected,
    Done,
    Evaluate,
    Measured,
    OpenSpeakers,
    Settle,
    Settled,
    Speak,
    Spoken,
    Stall,
)
from bench.servers.started import HOST, Started

PAYLOAD_BYTES = 128
P99_MS_MAX = 500.0
QUIET_S = 1.0
SETTLE_DEADLINE_S = 8.0
ANSWER_WAIT_S = 3.0
LEAD_S = 0.05
# Long enough for the collections and reports that follow a crowd's arrival.
REST_S = 1.0
_NEVER = 2**53


@dataclass(frozen=True, slots=True)
class Shape:
    """How many rooms, and how many subscribers in each."""

    name: str
    rooms: int
    each: int
    speakers: int
    """Publishing connections, each with at most 64 messages in flight.  They are members too: what they get is not counted."""

    @property
    def subscribers(self) -> int:
        return self.rooms * self.each

    @property
    def names(self) -> list[str]:
        return [f"bench/r{number:03d}" for number in range(self.rooms)]


class Arrival(Struct, frozen=True):
    """What a crowd's arrival cost the server; each connection is one upgrade, one hello, one join."""

    connections: int
    cpu_s: float
    kib_per_connection: float

    @property
    def handshakes_per_cpu_s(self) -> float:
        return self.connections / self.cpu_s


class Step(Struct, frozen=True, kw_only=True):
    """One measured rate; latencies in milliseconds from the intended time, CPU in seconds."""

    rate: float
    seconds: float
    sent: int
    acknowledged: int
    refused: dict[str, int]
    unanswered: int
    deliveries: int
    deliveries_wanted: int
    lost: int
    unannounced: int
    repeated: int
    closed: int
    violations: int
    audited: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    ack_p50_ms: float
    ack_p99_ms: float
    speaker_late_p99_ms: float
    frame_bytes: int
    server_cpu_s: float
    wall_s: float
    load_cpu_s: float
    steal_ticks: int

    @property
    def whole(self) -> bool:
        """Everything was acknowledged, and everyone got it once and in order."""
        return (
            self.acknowledged == self.sent
            and self.deliveries == self.deliveries_wanted
            and not (self.lost or self.repeated or self.closed or self.violations)
        )

    @property
    def held(self) -> bool:
        return self.whole and self.p99_ms < P99_MS_MAX

    @property
    def deliveries_per_cpu_s(self) -> float:
        return self.deliveries / self.server_cpu_s if self.server_cpu_s else 0.0


class Rig:
    """A started server, a process that reads and one that speaks; a context manager that ends all three."""

    def __init__(self, server: Started, shape: Shape, *, rest_s: float = REST_S) -> None:
        self._rest_s = rest_s
        self.server = server
        self.shape = shape
        self._load = LoadProcess("bench.load")
        self._speak = LoadProcess("bench.speak")

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._load.end()
        self._speak.end()
        self.server.stop()

    def arrive(self, warm_each: int) -> Arrival:
        """Connect everyone.  The first `warm_each` of each room pay for what a server builds once, and are not measured."""
        shape = self.shape
        self._connect(warm_each)
        time.sleep(self._rest_s)
        kib, cpu = procfs.pss_kib(self.server.pids()), procfs.cpu_seconds(self.server.pids())
        measured = self._connect(shape.each - warm_each)
        cpu_s = procfs.cpu_seconds(self.server.pids()) - cpu
        time.sleep(self._rest_s)
        kib_each = (procfs.pss_kib(self.server.pids()) - kib) / measured
        self._open_speakers()
        return Arrival(measured, cpu_s, kib_each)

    def refill(self) -> None:
        """After too much: everyone leaves and comes again, so that the next step has whole rooms and no backlog."""
        self._load.order(Close(), Done)
        self._speak.order(Close(), Done)
        time.sleep(self._rest_s)
        self._connect(self.shape.each)
        self._open_speakers()
        time.sleep(self._rest_s)

    def _open_speakers(self) -> None:
        order = OpenSpeakers(host=HOST, port=self.server.port, rooms=self.shape.names, connections=self.shape.speakers)
        self._speak.order(order, Connected)

    def _connect(self, each: int) -> int:
        order = Connect(host=HOST, port=self.server.port, rooms=self.shape.names, each=each)
        return self._load.order(order, Connected).connections

    def stall(self, count: int, receive_buffer_bytes: int) -> set[int]:
        """Connect readers that never read, to the first room; answers the ports of their ends."""
        order = Stall(
            host=HOST, port=self.server.port, room=self.shape.names[0], count=count, receive_buffer_bytes=receive_buffer_bytes
        )
        return set(self._load.order(order, Connected).ports)

    def begin(self, rate: float, seconds: float, payload_bytes: int = PAYLOAD_BYTES) -> "RunningStep":
        """Start a step; the caller may look at the server until the speaker is done."""
        self._load.order(Begin(), Done)
        return RunningStep(self, self._load, self._speak, rate, seconds, payload_bytes)

    def step(self, rate: float, seconds: float) -> Step:
        return self.begin(rate, seconds).end()


class RunningStep:
    """A step between its first message and its figures."""

    def __init__(self, rig: Rig, load: LoadProcess, speak: LoadProcess, rate: float, seconds: float, payload_bytes: int) -> None:
        self._rig, self._load, self._speak = rig, load, speak
        self._rate, self._seconds = rate, seconds
        self._pids = rig.server.pids()
        self._steal = procfs.steal_ticks()
        self._cpu_s = procfs.cpu_seconds(self._pids)
        self._began = time.monotonic()
        self._start = self._began + LEAD_S
        speak.send(
            Speak(start=self._start, rate=rate, seconds=seconds, payload_bytes=payload_bytes, answer_wait_s=ANSWER_WAIT_S)
        )

    def is_spoken(self, timeout_s: float) -> bool:
        """Whether all is published and answered; waits so long for it."""
        return self._speak.is_done(timeout_s)

    def end(self) -> Step:
        spoken = self._speak.wait(Spoken)
        # With answers missing there may be more events than the highest acknowledged offset: then only quiet ends the wait.
        heads = [_NEVER if spoken.unanswered else max(offsets) for offsets in spoken.offsets]
        settled = self._load.order(Settle(heads=heads, quiet_s=QUIET_S, deadline_s=SETTLE_DEADLINE_S), Settled)
        cpu_s = procfs.cpu_seconds(self._pids) - self._cpu_s
        steal = procfs.steal_ticks() - self._steal
        order = Evaluate(start=self._start, rate=self._rate, seconds=self._seconds, offsets=spoken.offsets)
        took = self._load.order(order, Measured)
        published = spoken.sent - sum(spoken.refused.values())
        return Step(
            rate=self._rate, seconds=self._seconds,
            sent=spoken.sent, acknowledged=spoken.acknowledged, refused=spoken.refused, unanswered=spoken.unanswered,
            deliveries=took.deliveries, deliveries_wanted=published * self._rig.shape.each,
            lost=took.lost, unannounced=took.unannounced, repeated=took.repeated, closed=took.closed + spoken.closed,
            violations=took.violations, audited=took.audited,
            p50_ms=took.p50_ms, p99_ms=took.p99_ms, max_ms=took.max_ms,
            ack_p50_ms=spoken.ack_p50_ms, ack_p99_ms=spoken.ack_p99_ms, speaker_late_p99_ms=spoken.late_p99_ms,
            frame_bytes=took.frame_bytes, server_cpu_s=cpu_s, wall_s=settled.at - self._began,
            load_cpu_s=took.cpu_s + spoken.cpu_s, steal_ticks=steal,
        )  # fmt: skip
