"""A run that is watched and steered, without workers and without a clock: each `advance` is a second of it."""

from collections.abc import Sequence

from loadtest.figures.latency import PERCENTILES, Latencies
from loadtest.figures.record import (
    ExceptionRecord,
    FoundRecord,
    Moment,
    Percentiles,
    RowTotal,
    RunRecord,
    ServerProbe,
    ThresholdResult,
    Verdict,
    WorkerProbe,
)
from loadtest.master.steering import LogLine, NotNow, Phase, Standing

STARTED_AT = "2026-11-25T19:58:00Z"
LOST = FoundRecord("lost", "square/main", 4711, 2, "auditor-17", "offsets 4711 and 4712 were neither sent nor announced")


class SteeredRun:
    """Begins `ready`, and does at once what it is told."""

    def __init__(self, *, shape: str | None = None) -> None:
        self._phase: Phase = "ready"
        self._shape = shape
        self._wanted = (5000, 250.0)
        self._latencies = Latencies()
        self._counts: dict[str, int] = {}
        self.moments: list[Moment] = []
        self.log: list[LogLine] = [LogLine(STARTED_AT, "info", "2 of 2 workers are here")]
        self.findings: list[FoundRecord] = []
        self.exceptions: list[ExceptionRecord] = []
        self.records_made = 0

    @property
    def standing(self) -> Standing:
        return Standing(
            phase=self._phase,
            sentence={"ready": "press Start", "running": "publishing by plan"}.get(self._phase, ""),
            scenario="election_night",
            hosts=["ws://127.0.0.1:8001", "ws://127.0.0.1:8002"],
            users=self._wanted[0],
            spawn_per_s=self._wanted[1],
            shape=self._shape,
            seconds=float(len(self.moments)),
            seconds_planned=60.0,
            workers_expected=2,
        )

    def start(self, users: int, spawn_per_s: float) -> None:
        if self._phase != "ready":
            raise NotNow(f"the run is {self._phase}: it was started already")
        self._wanted, self._phase = (users, spawn_per_s), "spawning"

    def edit(self, users: int, spawn_per_s: float) -> None:
        if self._shape:
            raise NotNow(f"{self._shape} decides how many users there are: start without a shape to decide yourself")
        if self._phase not in ("spawning", "running"):
            raise NotNow(f"the run is {self._phase}: there is nothing to edit")
        self._wanted = (users, spawn_per_s)

    def stop(self) -> None:
        if self._phase not in ("spawning", "running"):
            raise NotNow(f"the run is {self._phase}: there is nothing to stop")
        self._phase = "ended"
        self.log.append(LogLine(STARTED_AT, "warning", "stopped by somebody at the page"))

    def find(self, finding: FoundRecord) -> None:
        """From now on this has been found."""
        self.findings.append(finding)
        self._counts[finding.kind] = self._counts.get(finding.kind, 0) + finding.count

    def advance(self, seconds: int = 1) -> None:
        """So many seconds later."""
        for _ in range(seconds):
            self._second(len(self.moments) + 1)

    def _second(self, at: int) -> None:
        wanted, spawn = self._wanted
        users = min(wanted, int((self.moments[-1].users if self.moments else 0) + spawn))
        self._phase = "running" if users == wanted else "spawning"
        published = 20 + 15 * (at % 30 > 20)
        deliveries = users * published // 3
        # Tails grow with the wall, and one second is bad.
        slow = (3.0 if at % 30 > 20 else 1.0) * (6.0 if at == 42 else 1.0)
        took = Percentiles(deliveries, 4.1 * slow, 11.3 * slow, 24.7 * slow, 61.0 * slow, 88.2 * slow)
        for ms, count in ((took.p50, deliveries // 2), (took.p95, deliveries // 20), (took.p99, deliveries // 100 + 1)):
            self._latencies.record(int(ms * 1000), max(count, 1))
        connects = int(spawn) if users < wanted else 0
        counts = {"deliveries": deliveries, "publishes": published, "acked": published, "connects": connects}
        for name, count in {**counts, "audited": deliveries // 50}.items():
            self._counts[name] = self._counts.get(name, 0) + count
        self.moments.append(
            Moment(
                at_s=float(at),
                users=users,
                users_wanted=wanted,
                users_by_class={"Citizen": users // 20, "Lurker": users - users // 20},
                connected=users,
                servers={"gateway-1": users // 2, "gateway-2": users - users // 2},
                counts_per_s={name: float(count) for name, count in counts.items() if count},
                latencies={"deliver": took, "deliver (large)": took, "publish": took, "connect": took},
                violations=sum(finding.count for finding in self.findings),
                server=[ServerProbe("gateway-1", 0.4, 180 << 20), ServerProbe("shard-1", 0.2 + 0.1 * (at % 3), 90 << 20)],
                workers=[
                    WorkerProbe(f"worker-{number}", users // 2, 0.5 + at % 5 / 20, 120 << 20, 1.5 + at % 7, "running")
                    for number in (1, 2)
                ],
            )
        )

    def record(self) -> RunRecord:
        self.records_made += 1
        seconds = float(len(self.moments))
        row = self._row(seconds)
        lost = sum(finding.count for finding in self.findings)
        reasons = [f"loss is {lost}, and more than 0 fails"] if lost else []
        return RunRecord(
            version=1, scenario="election_night", started_at=STARTED_AT, seconds=seconds, command=["parvis", "loadtest"],
            hosts=self.standing.hosts, machine={"cores": "2"}, seed=7, moments=self.moments,
            rows=[row] if self.moments else [], counts=dict(self._counts), refusals={"4007": 3} if self.moments else {},
            findings=self.findings, thresholds=[ThresholdResult("loss>0", float(lost), "", bool(lost))],
            verdict=Verdict("MISS" if lost else "PASS", 1 if lost else 0, reasons), clock_error_ms=0.0,
            exceptions=self.exceptions,
        )  # fmt: skip

    def _row(self, seconds: float) -> RowTotal:
        took = self._latencies
        values: Sequence[int] = took.percentiles_us()
        return RowTotal(
            "WS", "deliver", took.count, 3, took.count / max(seconds, 1), 3 / max(seconds, 1), took.mean_us / 1000,
            took.min_us / 1000, took.max_us / 1000, 210.5,
            {f"{percent:g}": us / 1000 for percent, us in zip(PERCENTILES, values, strict=True)},
            {"connection lost": 3}, took.encode().decode(), took.total_us,
        )  # fmt: skip
