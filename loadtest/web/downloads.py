"""What can be taken away from the live page: the run so far, as the files of its end would have it.

Each is made of a record when it is asked for, on a thread of its own (`loadtest/web/web.py`).
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from loadtest.figures.record import RowTotal, RunRecord
from loadtest.reports.csv_files import STATS_COLUMNS
from loadtest.reports.html_report import report_of
from loadtest.reports.json_file import record_bytes
from loadtest.reports.timeline import timeline_of


@dataclass(frozen=True, slots=True)
class Download:
    """One file."""

    media_type: str
    about: str
    """One sentence."""
    made_of: Callable[[RunRecord], str | bytes]


def downloads(scenario: str) -> Mapping[str, Download]:
    """All of them, by the name that the file gets."""
    csv_type = "text/csv; charset=utf-8"
    return {
        f"{scenario}.html": Download(
            "text/html; charset=utf-8", "The report: one page that loads nothing, for people.", report_of
        ),
        f"{scenario}.json": Download(
            "application/json", "The whole record, histograms included: for programs, and to compare runs.", record_bytes
        ),
        f"{scenario}_stats.csv": Download(csv_type, "Every row over the whole run, in locust's columns.", stats_csv),
        f"{scenario}_seconds.csv": Download(csv_type, "Every second of every chart, a column each.", seconds_csv),
        f"{scenario}_findings.csv": Download(csv_type, "What must not happen, and where it did.", findings_csv),
    }


def stats_csv(record: RunRecord) -> str:
    """As `--csv` writes it, without the sum of all rows."""
    return _csv(STATS_COLUMNS, map(_stats, record.rows))


def seconds_csv(record: RunRecord) -> str:
    """Empty cells are what was not measured in that second."""
    timeline = timeline_of(record.moments, max(1, len(record.moments)))
    return _csv(("second", *timeline.columns), zip(timeline.at, *timeline.columns.values(), strict=True))


def findings_csv(record: RunRecord) -> str:
    """Those that are told by name; `record.counts` has all."""
    names = ("kind", "room", "offset", "count", "client", "detail")
    return _csv(names, ([getattr(found, name) for name in names] for found in record.findings))


def _stats(row: RowTotal) -> Iterable[object]:
    return (
        row.kind, row.name, row.count + row.failures, row.failures, row.percentiles_ms["50"], round(row.mean_ms, 3), row.min_ms,
        row.max_ms, row.mean_bytes, row.per_s + row.failures_per_s, row.failures_per_s, *row.percentiles_ms.values(),
    )  # fmt: skip


def _csv(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
