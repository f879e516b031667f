"""`parvis loadtest compare`: reads two records, says in words what changed, and returns the exit code."""

import sys
from collections.abc import Iterator
from typing import Final, TextIO

import msgspec
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loadtest.reports.dashboard import plain
from loadtest.reports.figures import NOTHING
from loadtest.reports.json_file import RecordError, read_record
from loadtest.verdicts.compare import FLOOR_MS, TOLERANCE, Change, Comparison, NotComparable, amount, compare

# What two runs can be compared to; beyond it every change would pass.
TOLERANCE_MAX: Final = 10.0
_MARKS: Final = {
    "worse": ("✕ worse", "bold red"), "better": ("✓ better", "bold green"), "same": ("same", "dim"),
    "few": ("few samples", "dim"), "unjudged": ("", ""),
}  # fmt: skip
_WORDS: Final = {"worse": "bold white on red3", "better": "bold white on green4", "same": "bold white on grey37"}
USAGE: Final = 2


def run_compare(
    before: str,
    after: str,
    *,
    tolerance: float = TOLERANCE,
    floor_ms: float = FLOOR_MS,
    as_json: bool = False,
    out: TextIO | None = None,
    complaints: TextIO | None = None,
) -> int:
    """Compare two files of `--json`: 0 same or better, 1 worse, 2 when they cannot be compared, with one sentence why."""
    out, complaints = out or sys.stdout, complaints or sys.stderr
    try:
        if not (0 <= tolerance <= TOLERANCE_MAX and floor_ms >= 0):
            raise NotComparable(f"the tolerance is a share from 0 to {TOLERANCE_MAX:g} and the floor milliseconds from 0 on")
        comparison = compare(read_record(before), read_record(after), tolerance, floor_ms)
    except (RecordError, NotComparable) as error:
        print(f"parvis: {plain(str(error), 1000)}", file=complaints)
        return USAGE
    if as_json:
        out.write(msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode() + "\n")
    else:
        console = Console(file=out)
        for each in as_text(comparison):
            console.print(each)
    return comparison.code


def as_text(comparison: Comparison) -> Iterator[RenderableType]:
    """From top to bottom; fits 80 columns."""
    yield _table(comparison)
    yield Text()
    for note in comparison.notes:
        yield Padding(Text(f"note: {plain(note, 300)}", "yellow"), (0, 1, 0, 1))
    word = (f" {comparison.verdict.upper()} ", _WORDS[comparison.verdict])
    rule = f" by more than {comparison.tolerance:.0%} and {comparison.floor_ms:g} ms, beyond chance"
    yield Text.assemble(" ", word, (rule if comparison.verdict != "same" else f" nothing differs{rule}", "dim"))
    for reason in comparison.reasons:
        yield Padding(Text(plain(reason, 300)), (0, 1, 0, 3))


def _table(comparison: Comparison) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, max_width=22, overflow="ellipsis")
    table.add_column(no_wrap=True)
    for width in (11, 11, 8):
        table.add_column(justify="right", no_wrap=True, min_width=width)
    table.add_column(no_wrap=True)
    table.add_row(*(Text(head, "dim") for head in (" row", "figure", "before", "now", "change", "")))
    last = None
    for change in comparison.changes:
        table.add_row(Text("" if change.row == last else f" {plain(change.row, 40)}"), Text(change.figure), *_figures(change))
        last = change.row
    return table


def _figures(change: Change) -> Iterator[Text]:
    mark, style = _MARKS[change.judged]
    strong = style if change.judged in ("worse", "better") else ""
    yield Text(amount(change.before, change.unit), "dim")
    yield Text(amount(change.after, change.unit), strong)
    yield Text(NOTHING if change.percent is None else f"{change.percent:+.1f} %", strong or "dim")
    yield Text(mark, style)
