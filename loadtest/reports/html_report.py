"""`--html FILE`: a run as one page that loads nothing, for people: the verdict, key figures, charts, tables.

At most PAGE_BYTES_MAX whatever the run: the time line is thinned (`loadtest/reports/timeline.py` says
how) until it fits, and tables end with how many rows were left out.  All text of the run is
escaped; the page's policy allows its own script and style, by their hashes, and nothing else.
"""

import os
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from math import log10
from pathlib import Path
from string import Template
from typing import Final

import msgspec

from loadtest.figures.latency import Latencies
from loadtest.figures.record import Moment, RowTotal, RunRecord
from loadtest.figures.totals import is_part
from loadtest.reports.page_parts import part, uplot
from loadtest.reports.report_figures import key_figures, notes, reasons, thresholds, when
from loadtest.reports.report_tables import facts, other_tables, rows_table
from loadtest.reports.timeline import CHARTS, FAMILY_MAX, Chart, Line, Timeline, timeline_of

PAGE_BYTES_MAX: Final = 200_000
# Points of the time line: as many as fit, one of these numbers.  A chart is some 600 pixels wide.
_POINTS: Final = (600, 480, 360, 300, 240, 180, 120, 90, 60, 30)
# Of what happened to the run itself: the record has all.
NOTES_MAX: Final = 30
# The curve of latencies over shares of all samples: so many points for each nine.
_POINTS_PER_NINE: Final = 12
_NINES_MAX: Final = 5


def write_report(path: str, record: RunRecord) -> None:
    """The whole file or none of it.  Raises `OSError`, and `PartMissingError` without uPlot."""
    unfinished = Path(f"{path}.part")
    unfinished.write_text(report_of(record), "utf-8")
    os.replace(unfinished, path)


def report_of(record: RunRecord) -> str:
    """The page.  Raises `PartMissingError` without uPlot."""
    for points in _POINTS:
        page = _page(record, timeline_of(record.moments, points))
        if len(page.encode()) <= PAGE_BYTES_MAX:
            return page
    raise AssertionError("thirty points and bounded tables fit into a page")


def _page(record: RunRecord, timeline: Timeline) -> str:
    library = uplot()
    style = f"/* {library.licence} */\n{library.style}\n{part('charts.css')}\n{part('report.css')}"
    scripts = (library.script, part("charts.js"), part("report.js"))
    shares, curves = _curves(record.rows)
    data = {"charts": CHARTS, "timeline": timeline, "shares": shares, "curves": curves}
    return Template(part("report.html")).substitute(
        policy=escape(_policy(style, scripts)),
        title=escape(f"{record.verdict.word}: {record.scenario}"),
        word=escape(record.verdict.word),
        scenario=escape(record.scenario),
        style=style,
        when=when(record),
        reasons=reasons(record.verdict),
        thresholds=thresholds(record.thresholds),
        notes=notes(record.notes[:NOTES_MAX]),
        figures=key_figures(record),
        note=_note(timeline, record.moments),
        rows=rows_table(record.rows),
        tables=other_tables(record),
        run=facts(record),
        data=_json(data),
        uplot=scripts[0],
        charts=scripts[1],
        script=scripts[2],
    )


def _policy(style: str, scripts: Sequence[str]) -> str:
    hashes = " ".join(_hash(script) for script in scripts)
    nothing_else = "img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; script-src {hashes}; style-src {_hash(style)}; {nothing_else}"


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _json(data: object) -> str:
    """As it may stand within a script element: nothing in it can end the element or begin a comment."""
    return msgspec.json.encode(data).decode().replace("<", "\\u003c")


def _note(timeline: Timeline, moments: Sequence[Moment]) -> str:
    """What one has to know about the charts: points, lines that are missing, how to look closer."""
    if not timeline.at:
        return "No second of this run was measured: there is nothing to draw."
    said = ["Each point is one second."]
    if timeline.every_s > 1:
        said = [
            f"Each point is {timeline.every_s} seconds: the worst of them for latencies, CPU, memory and lag, their mean for "
            "rates, the last for users and connections."
        ]
    if max(max(len(moment.servers), len(moment.server), len(moment.workers)) for moment in moments) > FAMILY_MAX:
        said.append(f"Of more gateways or processes than {FAMILY_MAX}, those with the highest peaks are drawn.")
    return " ".join([*said, "Drag over a chart to look closer, double-click to go back."])


def _curves(rows: Sequence[RowTotal]) -> tuple[Timeline, list[Chart]]:
    """Latency over the share of samples that are faster, for each row that is not a part of another."""
    shown = [row for row in rows if row.count and not is_part(row.name)]
    most = max((row.count for row in shown), default=1)
    # Beyond one sample in so many there is nothing to read.
    nines = min(_NINES_MAX, max(1.0, log10(most)))
    at = [step / _POINTS_PER_NINE for step in range(int(nines * _POINTS_PER_NINE) + 1)]
    columns: dict[str, list[float | None]] = {}
    for row in shown:
        latencies = Latencies.decode(row.latencies.encode(), row.total_us)
        values = latencies.percentiles_us([100 - 100 / 10**nine for nine in at])
        columns[f"row.{row.name}"] = [
            us / 1000 if nine <= log10(row.count) else None for us, nine in zip(values, at, strict=True)
        ]
    chart = Chart(
        "by-share", "Latency by share", "ms", [Line("row.*", "*")], log=True, over="share",
        about="How long it took at most, for so many of all samples of the run.",
    )  # fmt: skip
    return Timeline([round(nine, 3) for nine in at], 1, columns, []), [chart]
