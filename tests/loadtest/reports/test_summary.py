"""What a terminal says at the end."""

import msgspec
from rich.console import Console

from loadtest.figures.record import ExceptionRecord, RunRecord, ThresholdResult, Verdict
from loadtest.reports.summary import ERRORS_SHOWN_MAX, summary
from tests.support.run_record import record, row


def shown(run: RunRecord, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for part in summary(run):
        console.print(part)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_run_that_passed() -> None:
    lines = shown(record(60))
    assert lines[1].split() == ["row", "count", "failed", "a", "second", "p50", "p95", "p99", "p99.9", "max", "ms"]
    assert [line.split()[0] for line in lines[2:9]] == ["connect", "publish", "deliver", "large", "medium", "small", "resume"]
    assert " connected   5,000 times, 100 lost, 100 resumed" in lines
    assert " wrong       0 lost or wrong" in "\n".join(lines)
    assert " ✓ fails if deliver_p99>250ms: 41.2 ms" in lines
    assert lines[-1] == "  PASS  election_night, 1 min"
    assert max(map(len, lines)) <= 80


def test_a_run_that_failed_says_why() -> None:
    failed = msgspec.structs.replace(
        record(5),
        counts={"lost": 2},
        thresholds=[ThresholdResult("loss>0", 2.0, "", True)],
        rows=[row("publish", errors={"busy": 31}), row("resume", count=0)],
        exceptions=[ExceptionRecord(5, "KeyError: 'room'", "...", ["worker-1"])],
        notes=["edited after 9 s: 10 users"],
        verdict=Verdict("MISS", 1, ["found what must never happen: " + "lost " * 30, "loss>0: it was 2"]),
    )
    lines = shown(failed)
    assert " wrong       2 lost or wrong: lost 2" in lines
    assert " ✕ fails if loss>0: 2" in lines
    assert [line for line in lines if line.startswith("       ")][:3] == [
        "       100  connection: refused", "        31  publish: busy", "        12  connection: 4007",
    ]  # fmt: skip
    assert "         5  scenario: KeyError: 'room'" in lines
    head = lines.index("  MISS  election_night, 5 s")
    assert lines[head + 1] == "   edited after 9 s: 10 users"
    assert lines[head + 2].startswith("   found what must never happen: lost")
    assert all(line.startswith("   ") for line in lines[head + 1 :])
    assert lines[-1] == "   loss>0: it was 2"


def test_errors_are_bounded_and_cannot_speak_to_the_terminal() -> None:
    errors = {f"\x1b[31m {number}": number + 1 for number in range(ERRORS_SHOWN_MAX + 5)}
    lines = shown(msgspec.structs.replace(record(5), rows=[row("publish", errors=errors)], refusals={}))
    assert f"           and {5} more" in lines
    assert "\x1b" not in "".join(lines)
