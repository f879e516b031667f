"""What charts show of a run: columns of numbers over time, and which chart shows which.  Pure.

The report and the live page draw the same charts with the same script (`pages/charts.js`):

    a timeline  {"at": [0, 1, ...], "every_s": 1, "columns": {"users.living": [5, 9, ...], ...}, "marks": [...]}
    a point     {"at": 2, "values": {"users.living": 12, ...}, "marks": []}   one more of each column
    a chart     `Chart`; a line's `column` may have one ``*``: a line for each column that fits

`null` is a second in which nothing was measured.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Final

from msgspec import Struct

from loadtest.figures.record import Mark, Moment
from loadtest.figures.totals import is_part

# Lines of one kind in a chart, for instance of each worker: more cannot be told apart.
FAMILY_MAX: Final = 12


class Line(Struct, frozen=True, omit_defaults=True):
    """One line of a chart, or one for each column that fits a pattern."""

    column: str
    label: str
    """``*`` stands for what the pattern's ``*`` stands for."""
    tone: str = ""
    """`tone-1` ... `tone-8`, `p50` ... `max`, `faint` or `bad`, colours of `pages/charts.css`; empty for the next free one."""
    dash: bool = False
    fill: bool = False


class Chart(Struct, frozen=True, omit_defaults=True):
    """What is drawn into one frame."""

    id: str
    title: str
    unit: str
    """`ms`, `/s`, `%`, `MiB`, or empty for a count."""
    lines: list[Line]
    log: bool = False
    about: str = ""
    """One sentence below the title."""
    over: str = ""
    """`share` for a curve over shares of all samples: its `at` counts nines, 1 is 90 %, 2 is 99 %."""


class Timeline(Struct, frozen=True):
    """Columns of equal length; each point stands for `every_s` seconds."""

    at: list[float]
    every_s: int
    columns: dict[str, list[float | None]]
    marks: list[Mark]


class Point(Struct, frozen=True):
    """One moment, as charts take it."""

    at: float
    values: dict[str, float]
    marks: list[Mark]


def _percentiles(row: str) -> list[Line]:
    return [Line(f"latency.{row}.{part}", label, tone=part, dash=part == "max") for part, label in _PERCENTILES.items()]


_PERCENTILES: Final = {"p50": "p50", "p95": "p95", "p99": "p99", "p999": "p99.9", "max": "max"}

CHARTS: Final = (
    Chart(
        "users", "Users", "",
        [
            Line("users.wanted", "wanted", "faint", dash=True), Line("users.living", "living", "tone-2"),
            Line("users.connected", "connected", "tone-1", fill=True),
        ],
    ),
    Chart(
        "deliver", "Delivery latency", "ms", _percentiles("deliver"), log=True,
        about="From the moment a message was meant to be sent until a reader had it.",
    ),
    Chart(
        "deliver-parts", "Delivery latency by room size, p99", "ms", [Line("latency.deliver (*).p99", "*")], log=True,
    ),
    Chart("deliveries", "Deliveries", "/s", [Line("per_s.deliveries", "deliveries", "tone-1", fill=True)]),
    Chart(
        "publish", "Publish latency", "ms", _percentiles("publish"), log=True,
        about="From the moment a message was meant to be sent until it was acknowledged.",
    ),
    Chart(
        "publishes", "Publishes", "/s",
        [
            Line("per_s.publishes", "sent", "tone-2", fill=True), Line("per_s.acked", "acknowledged", "tone-3", dash=True),
            Line("per_s.refused", "refused", "tone-4"), Line("per_s.unknown", "unknown", "bad"),
        ],
    ),
    Chart(
        "connects", "Connections", "/s",
        [
            Line("per_s.connects", "welcomed", "tone-3", fill=True),
            Line("per_s.resumes", "of these, resumed", "tone-2", dash=True),
            Line("per_s.disconnects", "lost", "tone-4"), Line("per_s.connects_failed", "failed", "bad"),
            Line("per_s.moves", "moved", "tone-5"),
        ],
    ),
    Chart(
        "connect", "Connect and resume latency", "ms",
        [
            Line("latency.connect.p50", "connect p50", "p50"), Line("latency.connect.p99", "connect p99", "p99"),
            Line("latency.resume.p50", "resume p50", "tone-2", dash=True),
            Line("latency.resume.p99", "resume p99", "tone-5", dash=True),
        ],
        log=True,
    ),
    Chart(
        "wrong", "Violations", "", [Line("violations", "since the start", "bad", fill=True)],
        about="Lost, doubled, out of order, of another room, altered, missing after a resume, or no protocol.",
    ),
    Chart(
        "late", "Skipped by the server, and slots not served in time", "/s",
        [
            Line("per_s.skipped", "skipped, and announced", "tone-4"), Line("per_s.slots_late", "slots late", "tone-5"),
            Line("per_s.slots_missed", "slots missed", "bad"),
        ],
    ),
    Chart("gateways", "Connections of each gateway", "", [Line("gateway.*", "*")]),
    Chart("server-cpu", "Server: CPU", "%", [Line("server.*.cpu", "*")], about="Of one core."),
    Chart("server-memory", "Server: memory", "MiB", [Line("server.*.memory", "*")]),
    Chart("worker-cpu", "Generator: CPU", "%", [Line("worker.*.cpu", "*")], about="Of one core."),
    Chart(
        "worker-lag", "Generator: lag of the event loop", "ms", [Line("worker.*.lag", "*")],
        about="What the generator adds to its own figures at worst.",
    ),
)  # fmt: skip


def values_of(moment: Moment) -> dict[str, float]:
    """One point of every column."""
    values: dict[str, float] = {
        "users.wanted": moment.users_wanted, "users.living": moment.users, "users.connected": moment.connected,
        "violations": moment.violations,
    }  # fmt: skip
    values.update((f"gateway.{name}", count) for name, count in moment.servers.items())
    values.update((f"per_s.{name}", rate) for name, rate in moment.counts_per_s.items())
    for row, took in moment.latencies.items():
        if took.count:
            parts = ("p99",) if is_part(row) else _PERCENTILES
            values.update((f"latency.{row}.{part}", getattr(took, part)) for part in parts)
    for server in moment.server:
        values[f"server.{server.name}.cpu"] = server.cpu_share * 100
        values[f"server.{server.name}.memory"] = server.rss_bytes / 2**20
    for worker in moment.workers:
        values[f"worker.{worker.name}.cpu"] = worker.cpu_share * 100
        values[f"worker.{worker.name}.lag"] = worker.lag_ms
    return {column: _short(value) for column, value in values.items()}


def point_of(moment: Moment) -> Point:
    return Point(moment.at_s, values_of(moment), moment.marks)


def timeline_of(moments: Sequence[Moment], points_max: int) -> Timeline:
    """The run in at most `points_max` points.

    Where a point is several seconds it is the worst of them for latencies, CPU, memory and lag,
    their mean for rates, and the last for numbers that stand: users, connections, violations.
    """
    every_s = max(1, -(-len(moments) // points_max))
    rows = [values_of(moment) for moment in moments]
    points = [together(rows[start : start + every_s]) for start in range(0, len(rows), every_s)]
    at = [moments[min(start + every_s, len(moments)) - 1].at_s for start in range(0, len(moments), every_s)]
    return drawn(at, points, every_s, [mark for moment in moments for mark in moment.marks])


def drawn(at: Sequence[float], points: Sequence[Mapping[str, float]], every_s: int, marks: list[Mark]) -> Timeline:
    """Points as columns: those that a chart shows."""
    columns = {name: [point.get(name, _absent(name)) for point in points] for name in _columns(points)}
    return Timeline([_short(each) for each in at], every_s, columns, marks)


def _columns(rows: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """Those that a chart shows; of one family by name, worker-2 before worker-10."""
    names = sorted({name for row in rows for name in row}, key=_by_number)
    for chart in CHARTS:
        for line in chart.lines:
            fitting = [name for name in names if fits(name, line.column)]
            if len(fitting) > FAMILY_MAX:
                peaks = {name: max(row.get(name, 0.0) for row in rows) for name in fitting}
                kept = sorted(fitting, key=lambda name: -peaks[name])[:FAMILY_MAX]
                fitting = [name for name in fitting if name in kept]
            yield from fitting


def _by_number(name: str) -> list[str | int]:
    """Words and numbers take turns, so that two of them can be compared at each place."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", name))]


def fits(column: str, pattern: str) -> bool:
    """Whether a column belongs to a line: equal, or with anything in place of the ``*``."""
    before, star, after = pattern.partition("*")
    if not star:
        return column == pattern
    return len(column) > len(before) + len(after) and column.startswith(before) and column.endswith(after)


def together(points: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Several points, each of as many seconds, as one."""
    return {name: _one(name, points) for name in dict.fromkeys(name for point in points for name in point)}


def _one(name: str, points: Sequence[Mapping[str, float]]) -> float:
    """One column of several points, of which at least one has it."""
    if name.startswith("per_s."):
        return _short(fmean(point.get(name, 0.0) for point in points))
    values = [point[name] for point in points if name in point]
    return max(values) if name.startswith(("latency.", "server.", "worker.")) else values[-1]


def _absent(name: str) -> float | None:
    """What a column is in a second that does not tell it."""
    return 0 if name.startswith("per_s.") else None


def _short(value: float) -> float:
    """Four digits, or all before the point: what an eye can tell apart in a chart."""
    rounded = round(value) if abs(value) >= 1000 else float(f"{value:.4g}")
    return int(rounded) if rounded == int(rounded) else rounded
