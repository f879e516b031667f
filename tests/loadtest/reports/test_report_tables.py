"""The tables of the report."""

import re

import msgspec

from loadtest.figures.record import ExceptionRecord, FoundRecord, Mark
from loadtest.reports.figures import NOTHING
from loadtest.reports.report_tables import ROWS_MAX, TEXT_MAX, facts, other_tables, rows_table
from tests.support.run_record import found, record, row


def cells(html: str) -> list[list[str]]:
    """Texts of all table rows."""
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL) for line in re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)]


def test_rows_have_their_percentiles() -> None:
    html = rows_table([row("deliver"), row("deliver (large)"), row("resume", count=0, errors={"gone": 3})])
    head, deliver, large, resume = cells(html)
    assert head[:4] == ["Row", "Count", "Failed", "a second"]
    assert head[4:11] == ["p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99"]
    assert deliver[:4] == ["deliver", "3,000", "0", "50"]
    assert deliver[4].endswith(" ms")
    assert large[0] == "deliver (large)"
    assert resume == ["resume", "0", "3", "0", *[NOTHING] * 9, "0"]
    assert 'class="text part">deliver (large)' in html


def test_everything_that_happened_has_a_table_and_nothing_else() -> None:
    ran = record(20)
    calm = msgspec.structs.replace(ran, refusals={}, findings=[], exceptions=[], rows=[row("deliver")])
    assert re.findall("<h2>(.*?)</h2>", other_tables(calm)) == ["Counts", "Processes"]
    marks = [Mark(4.5, "fault", "kill shard: shard-1"), Mark(5.5, "failed", "no such process", 2.0)]
    moments = [*ran.moments[:-1], msgspec.structs.replace(ran.moments[-1], marks=marks)]
    stormy = msgspec.structs.replace(
        ran, moments=moments, findings=[found()], rows=[row("publish", errors={"busy": 2, "muted": 9})],
        exceptions=[ExceptionRecord(3, "KeyError: 'room'", "in line 7", ["worker-1"])],
    )  # fmt: skip
    html = other_tables(stormy)
    assert re.findall("<h2>(.*?)</h2>", html) == ["Violations by name", "Done on purpose", "Failures", "Counts", "Processes"]
    told = cells(html)
    assert ["lost", "square/main", "17", "1", "auditor-3", "offset 17 never came"] in told
    assert ["4.5 s", NOTHING, "kill shard: shard-1"] in told
    assert told.index(["publish", "9", "muted"]) < told.index(["publish", "2", "busy"])
    assert ["refused", "100"] in told
    assert ["3", "worker-1", "KeyError: &#x27;room&#x27;\nin line 7"] in told
    assert ["deliveries", f"{ran.counts['deliveries']:,}", "event frames received, by readers and auditors"] in told


def test_counts_of_bytes_have_units() -> None:
    ran = msgspec.structs.replace(record(3), counts={"bytes_received": 5 * 2**20})
    assert ["bytes_received", "5 MiB", "bytes of all frames received"] in cells(other_tables(ran))


def test_a_dead_worker_is_seen() -> None:
    ran = record(3)
    last = ran.moments[-1]
    dead = msgspec.structs.replace(last.workers[1], state="dead", users=0)
    last = msgspec.structs.replace(last, workers=[last.workers[0], dead])
    assert 'class="text bad">dead' in other_tables(msgspec.structs.replace(ran, moments=[*ran.moments[:-1], last]))


def test_tables_and_texts_are_bounded() -> None:
    many = [FoundRecord("lost", "square/main", number, 1, "auditor", "x" * 5000) for number in range(1, ROWS_MAX + 8)]
    html = other_tables(msgspec.structs.replace(record(3), findings=many))
    assert html.count("auditor</td>") == ROWS_MAX
    assert "and 7 more: --json has all" in html
    assert "x" * TEXT_MAX + " ..." in html
    assert "x" * (TEXT_MAX + 1) not in html


def test_facts_of_the_run() -> None:
    ran = msgspec.structs.replace(record(3), command=["parvis", "loadtest", "--fail-if", "loss>0"], clock_error_ms=0.4)
    html = facts(ran)
    assert "<dt>Command</dt><dd><code>parvis loadtest --fail-if &#x27;loss&gt;0&#x27;</code></dd>" in html
    assert "<dt>Kernel</dt><dd>Linux 6.1</dd>" in html
    assert "<dt>Clocks of machines agree to</dt><dd>0.4 ms</dd>" in html
    assert "one clock" in facts(record(3))
