"""What a terminal says when a run has ended: what was measured, what was asked, and the verdict.  Pure."""

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loadtest.figures.messages import VIOLATIONS
from loadtest.figures.record import RowTotal, RunRecord
from loadtest.figures.totals import is_part
from loadtest.reports.dashboard import brief_ms, plain, wrong
from loadtest.reports.figures import count, digits, duration, per_second
from loadtest.reports.report_figures import threshold_figure

ERRORS_SHOWN_MAX: Final = 8
NOTES_SHOWN_MAX: Final = 10
_STYLES: Final = {"PASS": "bold white on green4", "MISS": "bold white on red3", "INVALID": "bold black on yellow3"}
_PERCENTS: Final = ("50", "95", "99", "99.9")


def summary(record: RunRecord) -> Iterator[RenderableType]:
    """From top to bottom; fits 80 columns."""
    yield Text()
    yield _rows(record)
    yield Text()
    yield _totals(record)
    yield from _errors(record)
    yield from _asked(record)
    yield Text()
    yield from verdict(record)


def verdict(record: RunRecord) -> Iterator[RenderableType]:
    """The word, and the reasons below it."""
    said = record.verdict
    word = (f" {said.word} ", _STYLES.get(said.word, _STYLES["MISS"]))
    yield Text.assemble(" ", word, f" {plain(record.scenario, 40)}, {duration(record.seconds)}")
    for note in record.notes[:NOTES_SHOWN_MAX]:
        yield Padding(Text(plain(note, 300), "dim"), (0, 1, 0, 3))
    for reason in said.reasons:
        yield Padding(Text(plain(reason, 500)), (0, 1, 0, 3))


def _rows(record: RunRecord) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, max_width=22, overflow="ellipsis")
    for head in ("count", "failed", "a second", "p50", "p95", "p99", "p99.9", "max"):
        table.add_column(justify="right", no_wrap=True, min_width=len(head))
    heads = ("count", "failed", "a second", "p50", "p95", "p99", "p99.9", "max ms")
    table.add_row(Text(" row", "dim"), *(Text(head, "dim") for head in heads))
    for row in record.rows:
        table.add_row(*_row(row))
    return table


def _row(row: RowTotal) -> Iterator[Text]:
    name = plain(row.name if row.kind == "WS" else f"{row.kind} {row.name}", 40)
    yield Text(f"   {name.partition(' (')[2].removesuffix(')')}", "dim") if is_part(row.name) else Text(f" {name}")
    yield Text(count(row.count))
    yield Text(digits(row.failures), "red" if row.failures else "dim")
    yield Text(per_second(row.per_s))
    if not row.count:
        yield from [Text("·", "dim")] * 5
        return
    for percent in _PERCENTS:
        yield Text(brief_ms(row.percentiles_ms[percent]), "bold" if percent == "99" else "")
    yield Text(brief_ms(row.max_ms))


def _totals(record: RunRecord) -> Table:
    counts = record.counts
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", no_wrap=True, min_width=12)
    table.add_column()

    def of(name: str) -> str:
        return f"{counts.get(name, 0):,}"

    table.add_row(" published", f"{of('publishes')}, {of('acked')} acknowledged")
    table.add_row(" delivered", f"{of('deliveries')}; auditors checked {of('audited')} events, history among them")
    table.add_row(" connected", f"{of('connects')} times, {of('disconnects')} lost, {of('resumes')} resumed")
    table.add_row(" wrong", wrong(sum(counts.get(kind, 0) for kind in VIOLATIONS), counts))
    return table


def _errors(record: RunRecord) -> Iterator[Text]:
    """What failed most, of all rows and connections."""
    rows = [row for row in record.rows if not is_part(row.name)]
    failed = [(number, f"{row.name}: {error}") for row in rows for error, number in row.errors.items()]
    failed += [(number, f"connection: {code}") for code, number in record.refusals.items()]
    failed += [(each.count, f"scenario: {each.message}") for each in record.exceptions]
    failed.sort(key=lambda each: -each[0])
    if failed:
        yield Text()
    for number, what in failed[:ERRORS_SHOWN_MAX]:
        yield Text.assemble((f" {number:>9,}", "yellow"), f"  {plain(what, 66)}")
    if len(failed) > ERRORS_SHOWN_MAX:
        yield Text(f"           and {len(failed) - ERRORS_SHOWN_MAX} more", "dim")


def _asked(record: RunRecord) -> Iterator[Text]:
    if record.thresholds:
        yield Text()
    for result in record.thresholds:
        mark = (" ✕", "bold red") if result.failed else (" ✓", "bold green")
        yield Text.assemble(mark, (" fails if ", "dim"), plain(result.text), (": ", "dim"), (threshold_figure(result), "bold"))
