"""`--csv PREFIX`: the four files that locust writes, with its names and columns, for whoever reads those.

Written every second of the run and flushed, so that a run that is killed has left its figures.
What differs from locust is the values: milliseconds have fractions, "Request Count" is exact,
and the history has each row's own second, not only the sum of everything, which for a chat
adds connects to deliveries.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TextIO

from loadtest.figures.latency import PERCENTILES
from loadtest.figures.record import ExceptionRecord
from loadtest.figures.tally import ERRORS_PER_ROW_MAX, OTHER_ERRORS
from loadtest.figures.totals import RowSum, Totals
from loadtest.master.collector import Closed

# Locust 2.47, locust/stats.py: StatsCSV and StatsCSVFileWriter.
_PERCENT_COLUMNS: Final = ("50%", "66%", "75%", "80%", "90%", "95%", "98%", "99%", "99.9%", "99.99%", "100%")
STATS_COLUMNS: Final = (
    "Type", "Name", "Request Count", "Failure Count", "Median Response Time", "Average Response Time", "Min Response Time",
    "Max Response Time", "Average Content Size", "Requests/s", "Failures/s", *_PERCENT_COLUMNS,
)  # fmt: skip
HISTORY_COLUMNS: Final = (
    "Timestamp", "User Count", "Type", "Name", "Requests/s", "Failures/s", *_PERCENT_COLUMNS, "Total Request Count",
    "Total Failure Count", "Total Median Response Time", "Total Average Response Time", "Total Min Response Time",
    "Total Max Response Time", "Total Average Content Size",
)  # fmt: skip
FAILURE_COLUMNS: Final = ("Method", "Name", "Error", "Occurrences", "First Seen", "Last Seen")
EXCEPTION_COLUMNS: Final = ("Count", "Message", "Traceback", "Nodes")

_NOT_MEASURED: Final = "N/A"
Cells = Iterable[object]


@dataclass(slots=True)
class _Failure:
    count: int
    first: datetime
    last: datetime


class _Table:
    """A file that is written anew below its head, again and again, or only grows."""

    def __init__(self, file: TextIO, columns: Sequence[str]) -> None:
        self._file = file
        self._writer = csv.writer(file)
        self._writer.writerow(columns)
        file.flush()
        self._head_end = file.tell()

    def append(self, rows: Iterable[Cells]) -> None:
        self._writer.writerows(rows)
        self._file.flush()

    def replace(self, rows: Iterable[Cells]) -> None:
        self._file.seek(self._head_end)
        self._writer.writerows(rows)
        self._file.truncate()
        self._file.flush()


class CsvFiles:
    """The four files of one run."""

    def __init__(self, prefix: str, started_at: datetime) -> None:
        """Begins all four anew.  Raises `OSError` when one cannot be written."""
        self._started_at = started_at
        self._failed: dict[tuple[str, str, str], _Failure] = {}
        """By row and text: at most ERRORS_PER_ROW_MAX of a row, the others under one."""
        self._texts: Counter[tuple[str, str]] = Counter()
        with ExitStack() as opening:

            def table(suffix: str, columns: Sequence[str]) -> _Table:
                path = Path(f"{prefix}_{suffix}.csv")
                return _Table(opening.enter_context(path.open("w", newline="", encoding="utf-8")), columns)

            self._stats = table("stats", STATS_COLUMNS)
            self._history = table("stats_history", HISTORY_COLUMNS)
            self._failures = table("failures", FAILURE_COLUMNS)
            self._exceptions = table("exceptions", EXCEPTION_COLUMNS)
            self._files = opening.pop_all()

    def second(self, closed: Closed, whole: Totals, exceptions: Sequence[ExceptionRecord]) -> None:
        """One more second; `whole` and `exceptions` are of the run up to it."""
        at = self._started_at + timedelta(seconds=closed.moment.at_s)
        sums = [_Sum(row) for row in (*whole.rows(), whole.aggregated())]
        self._stats.replace(_stats_row(each, closed.moment.at_s) for each in sums)
        self._history.append(_history_rows(closed, sums, at))
        for row in closed.totals.told():
            for error, count in row.errors.items():
                failure = self._failure(row, error, at)
                failure.count += count
                failure.last = at
        self._failures.replace((*key, each.count, _stamp(each.first), _stamp(each.last)) for key, each in self._failed.items())
        self._exceptions.replace((each.count, each.message, each.traceback, ", ".join(each.workers)) for each in exceptions)

    def _failure(self, row: RowSum, error: str, at: datetime) -> _Failure:
        known = self._failed.get((row.kind, row.name, error))
        if known is None and self._texts[row.kind, row.name] >= ERRORS_PER_ROW_MAX:
            error = OTHER_ERRORS
            known = self._failed.get((row.kind, row.name, error))
        if known is None:
            self._texts[row.kind, row.name] += 1
            known = self._failed[row.kind, row.name, error] = _Failure(0, at, at)
        return known

    def close(self) -> None:
        self._files.close()


class _Sum:
    """A row of the whole run: its histogram is walked through once for all cells."""

    def __init__(self, row: RowSum) -> None:
        self.row = row
        self.percentiles = _percentiles(row)
        took = row.latencies
        median = self.percentiles[0] if took.count else 0.0
        self.counts: Cells = (
            row.requests, row.failures, median, round(took.mean_us / 1000, 3), took.min_us / 1000, took.max_us / 1000,
            row.bytes / took.count if took.count else 0.0,
        )  # fmt: skip


def _stats_row(each: _Sum, seconds: float) -> Cells:
    row = each.row
    return (row.kind, row.name, *each.counts, row.requests / seconds, row.failures / seconds, *each.percentiles)


def _history_rows(closed: Closed, sums: Sequence[_Sum], at: datetime) -> Iterator[Cells]:
    now = {(row.kind, row.name): row for row in [*closed.totals.rows(), closed.totals.aggregated()]}
    for each in sums:
        kind, name = each.row.kind, each.row.name
        current = now.get((kind, name)) or RowSum(kind, name)
        yield (
            round(at.timestamp()), closed.moment.users, kind, name, f"{current.requests:.6f}", f"{current.failures:.6f}",
            *_percentiles(current), *each.counts,
        )  # fmt: skip


def _percentiles(row: RowSum) -> Sequence[float | str]:
    """In milliseconds, as many as PERCENTILES."""
    if not row.latencies.count:
        return [_NOT_MEASURED] * len(PERCENTILES)
    return [us / 1000 for us in row.latencies.percentiles_us()]


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
