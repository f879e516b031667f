"""Two runs side by side, and whether the later one is worse, by a rule that knows of noise.  Pure.

A percentile is judged from the two histograms, and is worse (or better) only if all of this holds:

- both runs have at least TAIL_SAMPLES_MIN samples beyond it: 3,000 for a p99, 30,000 for a p99.9.  All deliveries
  of one message count as one sample: they come at one moment, and are slow together;
- it changed by more than `tolerance` (10 %) and by more than `floor_ms` (1 ms): two runs of one
  program on one machine differ by as much;
- chance cannot explain it: the 99 % intervals of both percentiles, by the ranks that a percentile
  of so many samples may have, do not touch.

The greatest value is one sample and is never judged.  Shares of what failed need as clear a
difference (two proportions, z > 2.58) and 0.1 percentage points.  What must not happen is judged
without tolerance, and the fan-out of a message only where users and duration were the same.
Samples of one second resemble each other, so these intervals are too narrow rather than too
wide, and they know nothing of what else a machine did: take longer runs, or several, before you
believe a verdict near the tolerance.
"""

from collections.abc import Iterator
from math import sqrt
from statistics import median
from typing import Final, Literal

from msgspec import Struct

from loadtest.figures.latency import Latencies
from loadtest.figures.messages import VIOLATIONS
from loadtest.figures.record import RowTotal, RunRecord
from loadtest.figures.tally import WS
from loadtest.reports.figures import digits, duration, milliseconds, per_second

TOLERANCE: Final = 0.10
FLOOR_MS: Final = 1.0
TAIL_SAMPLES_MIN: Final = 30
SHARE_FLOOR: Final = 0.001
# Below it no lag of a generator explains what the floor lets through.
LAG_TOLD_MS: Final = 5.0
# Of a normal distribution: 99 % lie within so many deviations.
_Z: Final = 2.576
_PERCENTS: Final = (50.0, 95.0, 99.0, 99.9)

Judgement = Literal["better", "same", "worse", "few", "unjudged"]
"""`few` means too few samples; `unjudged` that the figure is shown only."""


class NotComparable(Exception):
    """Two records that say nothing about each other; the text is one sentence that says what to take instead."""


class Change(Struct, frozen=True):
    """One figure of both runs."""

    row: str
    """A row's name; empty for a figure of the whole run."""
    figure: str
    unit: str
    """`ms`, `/s`, `%` or empty for a count."""
    before: float
    after: float
    percent: float | None
    """How much more it is; None where it was nothing before."""
    judged: Judgement


class Comparison(Struct, frozen=True):
    """What changed, and the verdict."""

    verdict: Literal["better", "same", "worse"]
    code: int
    """The exit code: 1 for worse."""
    reasons: list[str]
    """A sentence for each figure that is worse, or better."""
    notes: list[str]
    """What else differs between the two runs, and may be why."""
    changes: list[Change]
    tolerance: float
    floor_ms: float


def compare(before: RunRecord, after: RunRecord, tolerance: float = TOLERANCE, floor_ms: float = FLOOR_MS) -> Comparison:
    """Raises `NotComparable`."""
    _check(before, after)
    changes = [*_counts(before, after, tolerance), *_rows(before, after, tolerance, floor_ms)]
    worse, better = ([each for each in changes if each.judged == word] for word in ("worse", "better"))
    verdict: Literal["better", "same", "worse"] = "worse" if worse else "better" if better else "same"
    reasons = [sentence(each) for each in (worse or better)]
    notes = list(_notes(before, after, tolerance))
    return Comparison(verdict, 1 if worse else 0, reasons, notes, changes, tolerance, floor_ms)


def sentence(change: Change) -> str:
    """A change as a person says it."""
    what = " ".join(filter(None, (change.row, change.figure)))
    by = "" if change.percent is None else f" ({change.percent:+.0f} %)"
    return f"{what}: {amount(change.before, change.unit)} before, {amount(change.after, change.unit)} now{by}, {change.judged}"


def amount(value: float, unit: str) -> str:
    """A figure with its unit."""
    if unit == "ms":
        return milliseconds(value)
    return f"{digits(value)}{unit}" if unit in ("/s", "") else f"{digits(value)} {unit}"


def _check(before: RunRecord, after: RunRecord) -> None:
    if before.scenario != after.scenario:
        runs = f"the first run is of {before.scenario} and the second of {after.scenario}"
        raise NotComparable(f"{runs}: compare runs of one scenario")
    for place, record in (("first", before), ("second", after)):
        word = record.verdict.word
        if word in ("INVALID", "UNREACHABLE"):
            raise NotComparable(f"the {place} run is {word}, so its figures say nothing about the server: run it again")


# --- figures of the whole run ------------------------------------------------------------------------------


def _counts(before: RunRecord, after: RunRecord, tolerance: float) -> Iterator[Change]:
    for kind in VIOLATIONS:
        one, other = before.counts.get(kind, 0), after.counts.get(kind, 0)
        if one or other:
            yield _change("", kind, "", one, other, "worse" if other > one else "better" if other < one else "same")
    for name in ("publishes", "deliveries"):
        yield _change("", name, "/s", _rate(before, name), _rate(after, name), "unjudged")
    one_each, other_each = (_deliveries_each(record) for record in (before, after))
    judged: Judgement = "unjudged"
    if one_each and all(_is_near(*load, tolerance) for load in (_users(before, after), (before.seconds, after.seconds))):
        more = other_each / one_each - 1
        judged = "worse" if more < -tolerance else "better" if more > tolerance else "same"
    yield _change("", "fan-out", "", one_each, other_each, judged)


def _rate(record: RunRecord, name: str) -> float:
    return record.counts.get(name, 0) / record.seconds if record.seconds else 0.0


def _deliveries_each(record: RunRecord) -> float:
    """Of each message that was acknowledged."""
    acked = record.counts.get("acked", 0)
    return record.counts.get("deliveries", 0) / acked if acked else 0.0


def _users(before: RunRecord, after: RunRecord) -> tuple[float, float]:
    """Connected, at most."""
    one, other = (float(max((moment.connected for moment in each.moments), default=0)) for each in (before, after))
    return one, other


def _lag_ms(record: RunRecord) -> float:
    """Of the generator's slowest process, in a usual second."""
    worst = [max(worker.lag_ms for worker in moment.workers) for moment in record.moments if moment.workers]
    return median(worst) if worst else 0.0


def _is_near(one: float, other: float, tolerance: float) -> bool:
    return abs(other - one) <= tolerance * max(one, other)


# --- rows ---------------------------------------------------------------------------------------------------


def _rows(before: RunRecord, after: RunRecord, tolerance: float, floor_ms: float) -> Iterator[Change]:
    earlier = {(row.kind, row.name): row for row in before.rows}
    together = max(1.0, _deliveries_each(before), _deliveries_each(after))
    for row in after.rows:
        one = earlier.get((row.kind, row.name))
        if one is not None:
            is_delivery = row.kind == WS and row.name.partition(" (")[0] == "deliver"
            yield from _row(one, row, tolerance, floor_ms, together if is_delivery else 1.0)


def _row(one: RowTotal, other: RowTotal, tolerance: float, floor_ms: float, together: float) -> Iterator[Change]:
    """`together` samples count as one."""
    name = other.name if other.kind == "WS" else f"{other.kind} {other.name}"
    yield _change(name, "count", "", one.count, other.count, "unjudged")
    yield _change(name, "rate", "/s", one.per_s, other.per_s, "unjudged")
    if one.failures or other.failures:
        yield _failures(name, one, other)
    if not (one.count and other.count):
        return
    first, second = (Latencies.decode(row.latencies.encode(), row.total_us) for row in (one, other))
    for percent in _PERCENTS:
        judged = _judge(percent, first, second, tolerance, floor_ms, together)
        earlier, later = (each.percentile_us(percent) / 1000 for each in (first, second))
        yield _change(name, f"p{percent:g}", "ms", earlier, later, judged)
    yield _change(name, "max", "ms", one.max_ms, other.max_ms, "unjudged")


def _failures(name: str, one: RowTotal, other: RowTotal) -> Change:
    attempts = [row.count + row.failures for row in (one, other)]
    shares = [row.failures / attempt if attempt else 0.0 for row, attempt in zip((one, other), attempts, strict=True)]
    judged: Judgement = "few"
    if min(attempts) >= TAIL_SAMPLES_MIN:
        pooled = (one.failures + other.failures) / sum(attempts)
        error = sqrt(pooled * (1 - pooled) * sum(1 / attempt for attempt in attempts))
        more = shares[1] - shares[0]
        judged = "same"
        if abs(more) > max(_Z * error, SHARE_FLOOR):
            judged = "worse" if more > 0 else "better"
    return _change(name, "failed", "%", shares[0] * 100, shares[1] * 100, judged)


def _judge(percent: float, one: Latencies, other: Latencies, tolerance: float, floor_ms: float, together: float) -> Judgement:
    counts = [each.count / together for each in (one, other)]
    if min(counts) * (1 - percent / 100) < TAIL_SAMPLES_MIN - 1e-6:
        return "few"
    (low, before, high), (low_after, after, high_after) = (
        _interval(each, percent, count) for each, count in zip((one, other), counts, strict=True)
    )
    if abs(after - before) > max(tolerance * before, floor_ms):
        if low_after > high:
            return "worse"
        if high_after < low:
            return "better"
    return "same"


def _interval(latencies: Latencies, percent: float, count: float) -> tuple[float, float, float]:
    """Milliseconds: where the percentile is, between the ends of what chance makes of it in `count` independent samples."""
    part = percent / 100
    spread = 100 * _Z * sqrt(part * (1 - part) / count)
    low, middle, high = latencies.percentiles_us([max(0.0, percent - spread), percent, min(100.0, percent + spread)])
    return low / 1000, middle / 1000, high / 1000


def _change(row: str, figure: str, unit: str, before: float, after: float, judged: Judgement) -> Change:
    return Change(row, figure, unit, before, after, (after / before - 1) * 100 if before else None, judged)


# --- what else differs ----------------------------------------------------------------------------------------


def _notes(before: RunRecord, after: RunRecord, tolerance: float) -> Iterator[str]:
    sent = _rate(before, "publishes"), _rate(after, "publishes")
    if not _is_near(*sent, tolerance):
        yield f"the load was not the same: {per_second(sent[0])} were published before, {per_second(sent[1])} now"
    users = _users(before, after)
    if not _is_near(*users, tolerance):
        yield f"the load was not the same: {users[0]:,.0f} users were connected before, {users[1]:,.0f} now"
    if not _is_near(before.seconds, after.seconds, tolerance):
        yield f"the runs are not equally long: {duration(before.seconds)} before, {duration(after.seconds)} now"
    lags = _lag_ms(before), _lag_ms(after)
    if max(lags) > LAG_TOLD_MS and max(lags) > 1.5 * min(lags):
        told = f"{milliseconds(lags[0])} before, {milliseconds(lags[1])} now"
        yield f"the generator's event loop was late by {told} in a usual second: other work on its machine is in the figures, too"
    for place, record in (("first", before), ("second", after)):
        yield from (f"the {place} run: {note}" for note in record.notes)
    for name in sorted({*before.machine, *after.machine}):
        one_text, other_text = before.machine.get(name, "unknown"), after.machine.get(name, "unknown")
        if one_text != other_text:
            yield f"{name}: {one_text} before, {other_text} now"
    earlier, later = ({row.name for row in each.rows} for each in (before, after))
    for name in sorted(earlier ^ later):
        yield f"the row {name} is in the {'first' if name in earlier else 'second'} run only"
