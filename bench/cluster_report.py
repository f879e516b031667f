"""A cluster's figures as a table: for the terminal, and for docs/benchmarks.md (`python -m bench.cluster_report`)."""

import sys

import msgspec

from bench.cluster_verdict import LIGHT, LINKS, MACHINE, STORM, rows_of
from bench.report import DOCUMENT, judged_rows, machine_lines, spread, with_result
from bench.sheet import Sheet
from bench.verdict import FLOOR, ROOM, shown

BEGIN, END = "<!-- last accepted cluster result: begin -->", "<!-- last accepted cluster result: end -->"

_SHOWN = [
    ("share of the machine that others used", MACHINE, "all", "others_share"),
    ("floor: bare loop of sends, deliveries per CPU-second", FLOOR, ROOM, "deliveries_per_cpu_s"),
    ("commits over links, 30 rooms: CPU of the shard for each, us", LINKS, "30 rooms", "shard_cpu_us"),
    ("commits over links, 300 rooms: CPU of the shard for each, us", LINKS, "300 rooms", "shard_cpu_us"),
    ("light load, publish to acknowledged, p99 ms", LIGHT, "all", "p99_ms"),
    ("a gateway dies: half of its people are back after, s", STORM, "all", "p50_s"),
    ("a gateway dies: handshakes that never opened", STORM, "all", "unopened"),
    ("a gateway dies: told to come later", STORM, "all", "busy"),
]


def table(sheet: Sheet) -> str:
    """All figures in Markdown, the judged ones last."""
    lines = machine_lines(sheet)
    lines.append("")
    for title, who, shape, figure in _SHOWN:
        median = sheet.median(who, shape, figure)
        if median is not None:
            lines.append(f"- {title}: {shown(median)} {spread(sheet.of(who, shape, figure))}".rstrip())
    lines += [f"- FAILED {failure}" for failure in sheet.failures]
    return "\n".join([*lines, "", *judged_rows(rows_of(sheet))])


def main() -> None:
    """Write the result of build/bench-cluster.json into docs/benchmarks.md, if it passed."""
    from bench.cluster import RESULT

    sheet = msgspec.json.decode(RESULT.read_bytes(), type=Sheet)
    if sheet.verdict != "PASS" or sheet.quick:
        what = "a quick look" if sheet.quick else sheet.verdict
        sys.exit(f"bench.cluster_report: {RESULT.name} is {what}: only a full PASS is accepted")
    DOCUMENT.write_text(with_result(DOCUMENT.read_text(), table(sheet), BEGIN, END))


if __name__ == "__main__":
    main()
