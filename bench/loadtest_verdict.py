"""What the load test's machinery must reach, and whether it did: pure, so that it can be tested as values.

`python -m bench.loadtest_verdict` writes the last result into docs/benchmarks.md, if it passed.
"""

import sys

import msgspec

from bench.child import ROOT
from bench.others import OTHERS_SHARE_MAX
from bench.report import DOCUMENT, judged_rows, machine_lines, spread, with_result
from bench.sheet import Sheet
from bench.verdict import Row, Verdict, shown

BEGIN, END = "<!-- last accepted load test result: begin -->", "<!-- last accepted load test result: end -->"
MACHINE = "machine"
OURS = "readers"
LOCUST = "locust"
FULL_PROCESS = "15,000 in one process"
CITY = "100,000 in all"
# More than so many frames a receive, and it was not one frame a receive that was measured.
JOINED_MAX = 1.02

_SHOWN = [
    ("share of the machine that others used", MACHINE, "all", "others_share"),
    ("readers: frames a receive", OURS, "frames", "frames_per_receive"),
    ("readers: connections a second and process, beside the server", OURS, "frames", "connects_per_s"),
    ("locust and websocket-client: frames a CPU-second", LOCUST, "frames", "frames_per_cpu_s"),
    ("locust and websocket-client: KiB a client", LOCUST, "frames", "kib_per_client"),
    ("15,000 readers of parvis: seconds until all are welcomed", FULL_PROCESS, "all", "seconds"),
    ("15,000 readers of parvis: connect p99, ms", FULL_PROCESS, "all", "connect_p99_ms"),
    ("15,000 readers of parvis: deliveries a second", FULL_PROCESS, "all", "deliveries_per_s"),
    ("15,000 readers of parvis: deliver p99, ms", FULL_PROCESS, "all", "deliver_p99_ms"),
    ("100,000 readers of parvis: seconds until all are welcomed", CITY, "all", "seconds"),
    ("100,000 readers of parvis: KiB a client, all reading processes", CITY, "all", "kib_per_client"),
    ("100,000 readers of parvis: deliveries a second", CITY, "all", "deliveries_per_s"),
    ("100,000 readers of parvis: deliver p99, ms", CITY, "all", "deliver_p99_ms"),
]


def rows_of(sheet: Sheet) -> list[Row]:
    """Every figure that is asked for, in the order of the text that asks for them."""
    ours, theirs = sheet.of(OURS, "frames", "frames_per_cpu_s"), sheet.of(LOCUST, "frames", "frames_per_cpu_s")
    kib = [*sheet.of(OURS, "frames", "kib_per_client"), *sheet.of(FULL_PROCESS, "all", "kib_per_client")]
    violations = [sample for who in (OURS, FULL_PROCESS, CITY) for sample in sheet.of(who, "all", "violations")]
    clients, wrong = sheet.of(CITY, "all", "clients"), [sum(violations)] if violations else []
    return [
        Row("received frames per CPU-second, one frame a receive", "", ours, at_least=200_000),
        Row("times locust and websocket-client", "x", sheet.ratios(ours, theirs), at_least=2),
        Row("memory of a client", "KiB", [max(kib)] if kib else [], at_most=8),
        Row("clients of one process", "", sheet.of(FULL_PROCESS, "all", "clients"), at_least=15_000),
        Row("clients of 7 processes that share the machine with the server", "", clients, at_least=100_000),
        Row("losses, repetitions, disorder, lost connections in all of these", "", wrong, at_most=0),
    ]


def overall(rows: list[Row], sheet: Sheet, *, judge_all: bool) -> Verdict:
    """The verdict on all.  With `judge_all` false, rows that were not measured do not count.

    What is missed on a machine that others use is no verdict on the program; what was
    reached all the same holds.  Joined frames would flatter, so they are never accepted.
    """
    if any(share > JOINED_MAX for share in sheet.of(OURS, "frames", "frames_per_receive")):
        return Verdict.INVALID
    verdicts = {row.verdict for row in rows if judge_all or row.samples}
    if Verdict.MISS not in verdicts and not sheet.failures:
        return Verdict.PASS
    is_busy = (sheet.median(MACHINE, "all", "others_share") or 0.0) > OTHERS_SHARE_MAX
    return Verdict.INVALID if is_busy else Verdict.MISS


def table(sheet: Sheet) -> str:
    """All figures in Markdown, the judged ones last."""
    lines = [*machine_lines(sheet), ""]
    for title, who, shape, figure in _SHOWN:
        median = sheet.median(who, shape, figure)
        if median is not None:
            lines.append(f"- {title}: {shown(median)} {spread(sheet.of(who, shape, figure))}".rstrip())
    lines += [f"- FAILED {failure}" for failure in sheet.failures]
    return "\n".join([*lines, "", *judged_rows(rows_of(sheet))])


def main() -> None:
    sheet = msgspec.json.decode((ROOT / "build" / "bench-loadtest.json").read_bytes(), type=Sheet)
    if sheet.verdict != "PASS" or sheet.quick:
        what = "a quick look" if sheet.quick else sheet.verdict
        sys.exit(f"bench.loadtest_verdict: the last result is {what}: only a full PASS is accepted")
    DOCUMENT.write_text(with_result(DOCUMENT.read_text(), table(sheet), BEGIN, END))


if __name__ == "__main__":
    main()
