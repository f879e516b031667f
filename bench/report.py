"""Figures as a table: for the terminal, and for docs/benchmarks.md (`python -m bench.report`)."""

import sys
from collections.abc import Sequence

import msgspec

from bench.child import ROOT
from bench.sheet import Sheet
from bench.verdict import (
    FLOOR,
    NAIVE,
    PARVIS,
    PARVIS_ONE,
    PARVIS_WINDOW,
    QUIET,
    ROOM,
    ROOMS,
    STALLED,
    WEBSOCKETS,
    Row,
    rows_of,
    shown,
)

DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- last accepted result: begin -->", "<!-- last accepted result: end -->"

NAMES = {
    PARVIS: "parvis, gateway and shard, window 0",
    PARVIS_WINDOW: "parvis, gateway and shard, default window",
    PARVIS_ONE: "parvis, one process, window 0",
    NAIVE: "naive trio-websocket",
    WEBSOCKETS: "websockets broadcast()",
}
_CROWD_COLUMNS = [
    ("deliveries_per_cpu_s", "deliveries per CPU-s at 20/s"),
    ("whole_share", "delivered"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("highest_rate", "highest rate/s a room"),
    ("highest_deliveries_per_cpu_s", "deliveries per CPU-s there"),
    ("highest_p50_ms", "p50 ms"),
    ("highest_p99_ms", "p99 ms"),
    ("kib_per_connection", "KiB per connection"),
    ("handshakes_per_cpu_s", "handshakes per CPU-s"),
    ("frame_bytes", "frame bytes"),
]


def table(sheet: Sheet) -> str:
    """All figures in Markdown, the judged ones last."""
    lines = machine_lines(sheet)
    for shape in (ROOM, ROOMS):
        crowd = _crowd_table(sheet, shape)
        if crowd:
            lines += ["", f"**{shape}** (rooms x subscribers)", "", *crowd]
    lines += ["", *_other_figures(sheet)]
    lines += [f"- FAILED {failure}" for failure in sheet.failures]
    return "\n".join([*lines, "", *judged_rows(rows_of(sheet))])


def machine_lines(sheet: Sheet) -> list[str]:
    """Where and how it was measured."""
    machine = sheet.machine
    return [
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, Linux {machine.kernel}, Python {machine.python}; "
        + ", ".join(f"{name} {number}" for name, number in machine.versions.items()),
        f"`{machine.command}` at {machine.commit}, {machine.at}; median of {sheet.runs}, lowest and highest beside it.",
    ]


def judged_rows(rows: list[Row]) -> list[str]:
    """The table of what is asked for."""
    lines = ["| asked for | target | median | spread | |", "|---|---|---|---|---|"]
    for row in rows:
        verdict = row.verdict.value if row.samples else "not measured"
        lines.append(f"| {row.name} | {row.target} {row.unit} | {shown(row.value)} | {spread(row.samples)} | {verdict} |")
    return lines


def _crowd_table(sheet: Sheet, shape: str) -> list[str]:
    whos = [who for who in NAMES if sheet.of(who, shape, "deliveries_per_cpu_s")]
    if not whos:
        return []
    lines = ["| | " + " | ".join(NAMES[who] for who in whos) + " |", "|---" * (len(whos) + 1) + "|"]
    for figure, title in _CROWD_COLUMNS:
        cells = []
        for who in whos:
            samples = sheet.of(who, shape, figure)
            median = sheet.median(who, shape, figure)
            cells.append("-" if median is None else f"{shown(median)} {spread(samples)}".strip())
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _other_figures(sheet: Sheet) -> list[str]:
    """What is shown without a target, a line each."""
    wanted = [
        ("floor: bare loop of sends, deliveries per CPU-second", FLOOR, ROOM, "deliveries_per_cpu_s"),
        ("floor, 10 frames a send", FLOOR, ROOM, "joined_10"),
        ("floor, 50 frames a send", FLOOR, ROOM, "joined_50"),
        ("fsync of 4 KiB in the data directory, p50 ms", QUIET, "disk", "fsync_p50_ms"),
        ("fsync of 4 KiB in the data directory, p99 ms", QUIET, "disk", "fsync_p99_ms"),
        ("commit p99 ms during a full fan-out in the same process", PARVIS_ONE, ROOM, "commit_p99_ms"),
        ("commit p99 ms during a full fan-out of the gateway beside it", PARVIS, ROOM, "commit_p99_ms"),
        ("others' p99 ms without stalled readers", STALLED, ROOM, "p99_ms_without"),
        ("others' p99 ms with them", STALLED, ROOM, "p99_ms_with"),
        ("a stalled reader's process memory, KiB", STALLED, ROOM, "process_kib"),
        ("a stalled reader's kernel memory, KiB", STALLED, ROOM, "kernel_kib"),
        ("share of the stalled readers that was closed when its allowance was full", STALLED, ROOM, "closed_share"),
    ]
    lines = []
    for title, who, shape, figure in wanted:
        median = sheet.median(who, shape, figure)
        if median is not None:
            lines.append(f"- {title}: {shown(median)} {spread(sheet.of(who, shape, figure))}".rstrip())
    return lines


def spread(samples: Sequence[float]) -> str:
    """Lowest and highest of the runs; nothing when there was one."""
    return f"({shown(min(samples))} to {shown(max(samples))})" if len(set(samples)) > 1 else ""


def rows_as_records(rows: list[Row]) -> list[dict[str, object]]:
    """The judged figures, for whoever reads bench.json."""
    return [
        {"name": row.name, "unit": row.unit, "target": row.target, "median": row.value if row.samples else None,
         "samples": row.samples, "verdict": row.verdict.value}
        for row in rows
    ]  # fmt: skip


def with_result(document: str, result: str, begins: str = BEGIN, ends: str = END) -> str:
    """The document with another last accepted result; raises `ValueError` when it has no place for one."""
    head, begin, rest = document.partition(begins)
    _, end, tail = rest.partition(ends)
    if not begin or not end:
        raise ValueError(f"no {begins} and {ends} in the document")
    return f"{head}{begins}\n{result}\n{ends}{tail}"


def main() -> None:
    """Write the result of build/bench.json into docs/benchmarks.md, if it passed."""
    from bench.run import RESULT

    sheet = msgspec.json.decode(RESULT.read_bytes(), type=Sheet)
    if sheet.verdict != "PASS" or sheet.quick:
        what = "a quick look" if sheet.quick else sheet.verdict
        sys.exit(f"bench.report: {RESULT.name} is {what}: only a full PASS is accepted")
    DOCUMENT.write_text(with_result(DOCUMENT.read_text(), table(sheet)))


if __name__ == "__main__":
    main()
