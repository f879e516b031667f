"""The tables of the report.  Pure.

Everything here returns HTML in which all text of the run is escaped, and every table is bounded.
"""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from loadtest.figures.messages import COUNTS, VIOLATIONS
from loadtest.figures.record import RowTotal, RunRecord
from loadtest.figures.totals import is_part
from loadtest.reports.figures import NOTHING, digits, milliseconds, share, size

ROWS_MAX: Final = 40
# Characters of one text: a traceback's end, an error with a page in it.
TEXT_MAX: Final = 600

_PERCENTS: Final = ("50", "75", "90", "95", "99", "99.9", "99.99")


@dataclass(frozen=True, slots=True)
class Cell:
    """`look` is of the style sheet: ``text``, ``wide``, ``bad``, ``zero``, ``part``."""

    text: str
    look: str = ""


Row = Sequence[Cell]


def rows_table(rows: Sequence[RowTotal]) -> str:
    """Latencies of each row, in the order of the record: parts below their whole."""
    head = ["Row", "Count", "Failed", "a second", *(f"p{percent}" for percent in _PERCENTS), "Max", "Mean", "Bytes"]
    table = _table("Latencies over the whole run", head, [_row(row) for row in rows])
    return table or '<p class="note">Nothing was measured.</p>'


def _row(row: RowTotal) -> Row:
    name = row.name if row.kind == "WS" else f"{row.kind} {row.name}"
    times = [milliseconds(row.percentiles_ms[percent]) if row.count else NOTHING for percent in _PERCENTS]
    ends = [milliseconds(each) if row.count else NOTHING for each in (row.max_ms, row.mean_ms)]
    return [
        Cell(name, "text part" if is_part(row.name) else "text"), _count(row.count), _count(row.failures, "bad"),
        Cell(digits(row.per_s)), *(Cell(time) for time in (*times, *ends)), Cell(digits(row.mean_bytes)),
    ]  # fmt: skip


def other_tables(record: RunRecord) -> str:
    """Everything below the rows, in the order in which one asks: what is wrong, then what was counted, then by whom."""
    failures = [(row.name, error, count) for row in record.rows if not is_part(row.name) for error, count in row.errors.items()]
    failures.sort(key=lambda each: -each[2])
    sections = [
        ("Violations by name", [
            _table("What an auditor found, the first of each worker", ["Kind", "Room", "Offset", "How many", "Seen by", "What"], [
                [Cell(each.kind, "text bad"), Cell(each.room, "text"), Cell(digits(each.offset)), Cell(digits(each.count)),
                 Cell(each.client, "text"), Cell(each.detail, "wide")]
                for each in record.findings
            ]),
        ]),
        ("Done on purpose", [
            _table("Faults", ["At", "For", "What"], [
                [Cell(f"{digits(mark.at_s)} s"), Cell(f"{digits(mark.seconds)} s" if mark.seconds else NOTHING),
                 Cell(mark.text, "wide bad" if mark.kind == "failed" else "wide")]
                for mark in record.marks
            ]),
        ]),
        ("Failures", [
            _table("What went wrong", ["Row", "How often", "What"], [
                [Cell(name, "text"), Cell(digits(count), "bad"), Cell(error, "wide")] for name, error, count in failures
            ]),
            _table("Connections refused or ended, by code", ["Code", "How often"], [
                [Cell(code, "text"), Cell(digits(count), "bad")]
                for code, count in sorted(record.refusals.items(), key=lambda each: -each[1])
            ]),
            _table("Raised by the scenario's own code", ["How often", "Workers", "What"], [
                [Cell(digits(each.count), "bad"), Cell(", ".join(each.workers), "text"),
                 Cell("\n".join(filter(None, (each.message, each.traceback[-TEXT_MAX:]))), "wide")]
                for each in record.exceptions
            ]),
        ]),
        ("Counts", [
            _table("Over the whole run", ["What", "How many", "That is"], [
                [Cell(name, "text"), _total(name, count), Cell(COUNTS[name], "wide")]
                for name in COUNTS if (count := record.counts.get(name, 0))
            ]),
        ]),
        ("Processes", [_workers(record), _servers(record)]),
    ]  # fmt: skip
    return "\n".join(
        f"<section><h2>{escape(title)}</h2>\n{''.join(tables)}</section>" for title, tables in sections if any(tables)
    )


def _workers(record: RunRecord) -> str:
    """Each worker at its worst."""
    seen: dict[str, list[float]] = {}
    states: dict[str, str] = {}
    for moment in record.moments:
        for worker in moment.workers:
            worst = seen.setdefault(worker.name, [0.0] * 4)
            now = (worker.users, worker.cpu_share, worker.lag_ms, worker.rss_bytes)
            seen[worker.name] = [max(pair) for pair in zip(worst, now, strict=True)]
            states[worker.name] = worker.state
    return _table("Workers of the generator, at most", ["Worker", "State", "Users", "CPU", "Lag", "Memory"], [
        [Cell(name, "text"), Cell(states[name], "text bad" if states[name] == "dead" else "text"), Cell(digits(users)),
         Cell(share(cpu)), Cell(milliseconds(lag)), Cell(size(rss))]
        for name, (users, cpu, lag, rss) in seen.items()
    ])  # fmt: skip


def _servers(record: RunRecord) -> str:
    seen: dict[str, list[list[float]]] = {}
    for moment in record.moments:
        for server in moment.server:
            seen.setdefault(server.name, []).append([server.cpu_share, server.rss_bytes])
    return _table("Processes of the server", ["Process", "CPU, mean", "CPU, at most", "Memory, at most"], [
        [Cell(name, "text"), Cell(share(sum(cpu for cpu, _ in looks) / len(looks))), Cell(share(max(cpu for cpu, _ in looks))),
         Cell(size(max(rss for _, rss in looks)))]
        for name, looks in seen.items()
    ])  # fmt: skip


def facts(record: RunRecord) -> str:
    """What a figure depends on."""
    told = {
        "Command": shlex.join(record.command),
        "Scenario": record.scenario,
        "Hosts": ", ".join(record.hosts),
        "Started": record.started_at,
        "Seed": str(record.seed),
        **{name.capitalize(): text for name, text in record.machine.items()},
        "Clocks of machines agree to": milliseconds(record.clock_error_ms) if record.clock_error_ms else "one clock",
    }
    code = {"Command", "Seed"}
    pairs = (
        f"<dt>{escape(name)}</dt><dd>{f'<code>{_text(text)}</code>' if name in code else _text(text)}</dd>"
        for name, text in told.items()
    )
    return f'<dl class="facts">{"".join(pairs)}</dl>'


def _count(count: float, look: str = "") -> Cell:
    return Cell(digits(count), look if count else "zero")


def _total(name: str, count: int) -> Cell:
    """One of COUNTS."""
    return Cell(size(count) if name.startswith("bytes") else digits(count), "bad" if name in VIOLATIONS else "")


def _table(caption: str, head: Sequence[str], rows: Iterable[Row]) -> str:
    """Empty when there is no row; what can be scrolled can be reached with keys."""
    rows = list(rows)
    if not rows:
        return ""
    looks = ["text" if cell.look.replace("bad", "").strip() else "" for cell in rows[0]]
    titles = "".join(f'<th scope="col"{_class(look)}>{escape(name)}</th>' for name, look in zip(head, looks, strict=True))
    body = "".join(f"<tr>{''.join(_cell(cell, place) for place, cell in enumerate(row))}</tr>\n" for row in rows[:ROWS_MAX])
    if len(rows) > ROWS_MAX:
        more = f"and {digits(len(rows) - ROWS_MAX)} more: --json has all"
        body += f'<tr><td class="text" colspan="{len(head)}">{more}</td></tr>\n'
    name = escape(caption)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{name}"><table class="figures"><caption>{name}</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>\n{body}</tbody></table></div>\n"
    )


def _cell(cell: Cell, place: int) -> str:
    tag, scope = ("td", "") if place else ("th", ' scope="row"')
    return f"<{tag}{scope}{_class(cell.look)}>{_text(cell.text)}</{tag}>"


def _class(look: str) -> str:
    return f' class="{look}"' if look else ""


def _text(text: str) -> str:
    return escape(text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]} ...")
