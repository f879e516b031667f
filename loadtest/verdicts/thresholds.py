"""`--fail-if`: what a run must not do, in one short text each, judged over the whole run.  Pure.

    deliver_p99>250ms      a percentile of a row: `p50`, `p99`, `p99.9` (or `p999`), also `mean`, `min`, `max`
    connect_p95>1s         units `us`, `ms`, `s`, and always one of them
    deliver (large)_p99>1s a part of a row, or a row of the scenario's own
    loss>0                 a count: any of `loadtest.figures.messages.COUNTS`, or `loss`, `violations`, `failures`
    connect_failures>10    how many of a row went wrong
    failures>1%            a share: of the row's attempts, or of what the count is a part of
    deliveries_per_s<9000  a count for each second of the run

Comparisons are ``>``, ``>=``, ``<`` and ``<=``, and the run fails when the text is true.  What was
not measured at all fails too: silence is no proof.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from operator import ge, gt, le, lt
from typing import Final

from loadtest.figures.latency import Latencies, merged
from loadtest.figures.messages import COUNTS, VIOLATIONS
from loadtest.figures.record import RowTotal, ThresholdResult
from loadtest.figures.totals import AGGREGATED, is_part

ROWS: Final = ("connect", "publish", "deliver", "resume")
"""The rows that every run has (`loadtest/figures/tally.py`)."""

_COMPARISONS: Final = {">": gt, ">=": ge, "<": lt, "<=": le}
_UNITS_US: Final = {"us": 1, "µs": 1, "ms": 1_000, "s": 1_000_000}
_FORM: Final = re.compile(r"\s*(?P<name>[^<>=]*[^<>=\s])\s*(?P<sign>[<>]=?)\s*(?P<bound>\d+(?:\.\d+)?)\s*(?P<unit>[a-zµ%]*)\s*")
_STATISTIC: Final = re.compile(r"(?P<row>.+)_(?P<statistic>p\d{1,2}(?:\.\d+)?|p\d{3,5}|mean|min|max)")

_LOSS: Final = ("lost", "undelivered", "resume_gap")
# Sums with a name of their own, and what they are made of.
_SUMS: Final[Mapping[str, tuple[str, ...]]] = {
    **{name: (name,) for name in COUNTS},
    "loss": _LOSS,
    "violations": VIOLATIONS,
}
_PUBLISHED: Final = ("acked", "refused", "unknown")
_DIALLED: Final = ("connects", "connects_failed")
_WHOLES: Final[Mapping[str, tuple[str, ...]]] = {
    "acked": _PUBLISHED,
    "refused": _PUBLISHED,
    "unknown": _PUBLISHED,
    "connects_failed": _DIALLED,
    "disconnects": ("connects",),
    "slots_late": ("slots",),
    "slots_missed": ("slots",),
    "skipped": ("deliveries", "skipped"),
    "loss": ("deliveries", *_LOSS),
    "lost": ("deliveries", *_LOSS),
    "undelivered": ("deliveries", *_LOSS),
}
"""What a count is a share of, for a bound in per cent."""

# Found by whoever received something: in a run in which nobody did, none of them proves anything.
_NEEDS_RECEIVED: Final = frozenset({*VIOLATIONS, "loss", "violations", "skipped"})
_SHOWN: Final = (*sorted(_SUMS), "failures", *(f"{row}_p99" for row in ROWS), *(f"{row}_failures" for row in ROWS))


class BadThreshold(ValueError):
    """A `--fail-if` that cannot be understood; the message is one plain sentence that says what to write."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One `--fail-if`, understood."""

    text: str
    row: str | None
    """The row it is about; None for a count, and for the failures of all rows."""
    figure: str
    """`p99`, `mean` ..., `failures`, or the name of a count."""
    sign: str
    bound: float
    unit: str
    """`us`, `ms`, `s`; `%`; `/s`; or nothing."""


def parse_threshold(text: str) -> Threshold:
    """Understand one; raises `BadThreshold`."""
    parts = _FORM.fullmatch(text)
    if parts is None:
        raise BadThreshold(f'"{text}" is no threshold: write a name, one of > >= < <= and a number, as in "deliver_p99>250ms"')
    name, sign, bound, unit = parts["name"], parts["sign"], float(parts["bound"]), parts["unit"]
    statistic = _STATISTIC.fullmatch(name)
    if name in _SUMS or name == "failures":
        return Threshold(text, None, name, sign, bound, _unit_of_count(text, name, unit))
    if statistic is not None:
        if unit not in _UNITS_US:
            raise BadThreshold(f'"{text}" needs a time: write us, ms or s behind the number')
        _refuse_misspelt(text, statistic["row"], ROWS)
        return Threshold(text, statistic["row"], statistic["statistic"], sign, bound, "us" if unit == "µs" else unit)
    if name.endswith("_failures"):
        row = name.removesuffix("_failures")
        _refuse_misspelt(text, row, ROWS)
        return Threshold(text, row, "failures", sign, bound, _unit_of_count(text, "failures", unit))
    counted = name.removesuffix("_per_s")
    if counted != name and counted in _SUMS:
        if unit:
            raise BadThreshold(f'"{text}" compares a rate: write the number without a unit')
        return Threshold(text, None, counted, sign, bound, "/s")
    raise BadThreshold(f'"{text}": {_unknown(name)}')


def judge_thresholds(
    thresholds: Iterable[Threshold], rows: Sequence[RowTotal], counts: Mapping[str, int], seconds: float
) -> list[ThresholdResult]:
    """Each with its figure over the whole run, in the unit it was asked in."""
    return [_judge(threshold, rows, counts, seconds) for threshold in thresholds]


def _judge(asked: Threshold, rows: Sequence[RowTotal], counts: Mapping[str, int], seconds: float) -> ThresholdResult:
    if asked.unit in _UNITS_US:
        figure = _latency(asked, rows)
    elif asked.figure == "failures":
        figure = _failures(asked, rows)
    else:
        figure = _count(asked, counts, seconds)
    failed = figure is None or _COMPARISONS[asked.sign](figure, asked.bound)
    return ThresholdResult(asked.text, figure, asked.unit, failed)


def _latency(asked: Threshold, rows: Sequence[RowTotal]) -> float | None:
    took = merged(
        Latencies.decode(row.latencies.encode("ascii"), row.total_us) for row in rows if row.name == asked.row and row.count
    )
    if not took.count:
        return None
    match asked.figure:
        case "mean":
            figure_us = took.mean_us
        case "min":
            figure_us = took.min_us
        case "max":
            figure_us = took.max_us
        case percentile:
            figure_us = took.percentile_us(_percent(percentile))
    return figure_us / _UNITS_US[asked.unit]


def _percent(figure: str) -> float:
    """`p99` is 99, `p99.9` and `p999` are 99.9, `p100` is 100."""
    digits = figure.removeprefix("p")
    if "." in digits or len(digits) < 3 or digits == "100":
        return float(digits)
    return float(f"{digits[:2]}.{digits[2:]}")


def _failures(asked: Threshold, rows: Sequence[RowTotal]) -> float | None:
    # A part is in its whole already, and so is everything in the aggregate.
    wholes = [row for row in rows if row.name != AGGREGATED and not is_part(row.name)]
    meant = wholes if asked.row is None else [row for row in rows if row.name == asked.row]
    attempts = sum(row.count + row.failures for row in meant)
    failures = sum(row.failures for row in meant)
    if not attempts:
        return None
    return 100 * failures / attempts if asked.unit == "%" else failures


def _count(asked: Threshold, counts: Mapping[str, int], seconds: float) -> float | None:
    counted = sum(counts.get(name, 0) for name in _SUMS[asked.figure])
    if not counted and asked.figure in _NEEDS_RECEIVED and not counts.get("deliveries") and not counts.get("audited"):
        return None
    if asked.unit == "/s":
        return counted / seconds if seconds > 0 else None
    if asked.unit == "%":
        whole = sum(counts.get(name, 0) for name in _WHOLES[asked.figure])
        return 100 * counted / whole if whole else None
    return counted


def _unit_of_count(text: str, name: str, unit: str) -> str:
    if unit not in {"", "%"}:
        raise BadThreshold(f'"{text}" compares a count: write the number without "{unit}"')
    if unit == "%" and name not in _WHOLES and name != "failures":
        shares = ", ".join(sorted({*_WHOLES, "failures"}))
        raise BadThreshold(f'"{text}": {name} is a share of nothing; per cent go with {shares}')
    return unit


def _refuse_misspelt(text: str, row: str, known: Collection[str]) -> None:
    """Scenarios have rows of their own, so any name may be one; but not one that is nearly one of ours."""
    close = get_close_matches(row, known, n=1, cutoff=0.75)
    if close and row not in known:
        raise BadThreshold(f'"{text}": there is no row "{row}"; did you mean "{close[0]}"?')


def _unknown(name: str) -> str:
    close = get_close_matches(name, _SHOWN, n=1, cutoff=0.6)
    if close:
        return f'there is no figure "{name}"; did you mean "{close[0]}"?'
    return (
        f'there is no figure "{name}": there are <row>_p50 to <row>_p99.99, <row>_mean, _min, _max and _failures of the rows '
        f"{', '.join(ROWS)} and the scenario's own; failures; and the counts {', '.join(sorted(_SUMS))}, each also with _per_s"
    )
