"""A run as a document: what `--json` writes, `compare` reads, and every report is made from.  Pure.

`Moment`s are the run's seconds, in order; `RunRecord` is the whole.  Times are in the unit
their name says; latencies for people are milliseconds.
"""

from typing import Final

from msgspec import Struct

RECORD_VERSION: Final = 1


class Percentiles(Struct, frozen=True):
    """In milliseconds; all 0 when nothing was measured."""

    count: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    p999: float = 0.0
    max: float = 0.0


class ServerProbe(Struct, frozen=True):
    """A process of the server, as its /metrics or the machine tells."""

    name: str
    cpu_share: float
    """Of one core, since the moment before."""
    rss_bytes: int


class WorkerProbe(Struct, frozen=True):
    """A process of the generator."""

    name: str
    users: int
    cpu_share: float
    rss_bytes: int
    lag_ms: float
    state: str
    """`waiting`, `ready`, `running`, `ended` or `dead`."""


class Mark(Struct, frozen=True):
    """Something done to the system on purpose, to be drawn on the time line."""

    at_s: float
    """Since the start, when it was done."""
    kind: str
    """`fault`, `failed` for one that could not be done, `worker` for one that came or was lost."""
    text: str
    """As a person says it: ``kill shard: shard-1``."""
    seconds: float = 0.0
    """How long it lasted by plan; 0 for what happens at once."""


class Moment(Struct, frozen=True):
    """One second of the run."""

    at_s: float
    """Since the start."""
    users: int
    users_wanted: int
    users_by_class: dict[str, int]
    connected: int
    servers: dict[str, int]
    """Connections of each gateway, by its name."""
    counts_per_s: dict[str, float]
    """Every count of `loadtest.figures.messages.COUNTS` that moved, as a rate."""
    latencies: dict[str, Percentiles]
    """By row name, of this second alone; `deliver` is the sum of its parts (`loadtest/figures/totals.py`)."""
    violations: int
    """Since the start."""
    server: list[ServerProbe]
    workers: list[WorkerProbe]
    marks: list[Mark] = []
    """What was done within this second."""


class RowTotal(Struct, frozen=True):
    """One row over the whole run, in locust's columns."""

    kind: str
    name: str
    count: int
    failures: int
    per_s: float
    failures_per_s: float
    mean_ms: float
    min_ms: float
    max_ms: float
    mean_bytes: float
    percentiles_ms: dict[str, float]
    """By the percentile as text: "50", "99.9", "100"."""
    errors: dict[str, int]
    latencies: str
    """The histogram itself, in the standard's base64 form, microseconds: exact comparisons need it."""
    total_us: int


class FoundRecord(Struct, frozen=True):
    """A violation by name, as an auditor or a reader found it."""

    kind: str
    room: str
    offset: int
    count: int
    client: str
    detail: str


class ExceptionRecord(Struct, frozen=True):
    """What a scenario's own code raised, as locust's table of exceptions has it."""

    count: int
    message: str
    traceback: str
    workers: list[str]


class ThresholdResult(Struct, frozen=True):
    """One `--fail-if`: what was asked, the figure, and whether the run failed by it."""

    text: str
    figure: float | None
    unit: str
    failed: bool


class Verdict(Struct, frozen=True):
    """The run in one word, and why."""

    word: str
    """`PASS`, `MISS`, `INVALID` or `UNREACHABLE`."""
    code: int
    """The exit code (`loadtest/verdicts/verdict.py`)."""
    reasons: list[str]
    """Plain sentences; empty for PASS."""


class RunRecord(Struct, frozen=True):
    """Everything about one run."""

    version: int
    scenario: str
    started_at: str
    """ISO 8601, UTC."""
    seconds: float
    command: list[str]
    hosts: list[str]
    machine: dict[str, str]
    """Cores, memory, kernel, Python, parvis: what a figure depends on."""
    seed: int
    moments: list[Moment]
    rows: list[RowTotal]
    counts: dict[str, int]
    refusals: dict[str, int]
    findings: list[FoundRecord]
    thresholds: list[ThresholdResult]
    verdict: Verdict
    clock_error_ms: float
    """The greatest error of a worker's clock: latencies across machines are known to within it."""
    exceptions: list[ExceptionRecord] = []
    notes: list[str] = []
    """Plain sentences about the run itself that a reader of its figures should know: workers lost, load edited."""

    @property
    def marks(self) -> list[Mark]:
        """All of them, in order."""
        return [mark for moment in self.moments for mark in moment.marks]
