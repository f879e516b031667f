"""The load test's own figures are judged as they are; a busy machine excuses a miss, and joined frames are never accepted."""

import pytest

from bench.loadtest_verdict import CITY, FULL_PROCESS, LOCUST, MACHINE, OURS, overall, rows_of, table
from bench.sheet import Machine, Sheet
from bench.verdict import Verdict

GOOD = [
    (OURS, "frames", "frames_per_cpu_s", 200_000), (OURS, "frames", "frames_per_receive", 1.0),
    (OURS, "frames", "kib_per_client", 2), (LOCUST, "frames", "frames_per_cpu_s", 100_000),
    (OURS, "all", "violations", 0), (FULL_PROCESS, "all", "violations", 0),
    (FULL_PROCESS, "all", "clients", 15_000), (FULL_PROCESS, "all", "kib_per_client", 8), (CITY, "all", "clients", 100_000),
    (CITY, "all", "violations", 0),
]  # fmt: skip


def sheet(*changes: tuple[str, str, str, float], others_share: float = 0.01) -> Sheet:
    it = Sheet(Machine("cpu", 2, 24.0, "6", "3.11", {}, "command", "commit", "today"), 1)
    it.add(MACHINE, "all", "others_share", others_share)
    changed = {(who, where, figure): value for who, where, figure, value in changes}
    for who, where, figure, value in GOOD:
        it.add(who, where, figure, changed.get((who, where, figure), value))
    return it


def verdict_of(it: Sheet, *, judge_all: bool = True) -> Verdict:
    return overall(rows_of(it), it, judge_all=judge_all)


def test_what_is_reached_exactly_is_reached() -> None:
    assert verdict_of(sheet()) is Verdict.PASS


@pytest.mark.parametrize("change", [
    (OURS, "frames", "frames_per_cpu_s", 199_999),
    (LOCUST, "frames", "frames_per_cpu_s", 100_001),
    (OURS, "frames", "kib_per_client", 8.1),
    (FULL_PROCESS, "all", "kib_per_client", 8.1),
    (FULL_PROCESS, "all", "clients", 14_999),
    (CITY, "all", "clients", 99_999),
    (CITY, "all", "violations", 1),
    (OURS, "all", "violations", 1),
])  # fmt: skip
def test_a_figure_beyond_its_bound_is_a_miss_or_invalid_on_a_busy_machine(change: tuple[str, str, str, float]) -> None:
    assert verdict_of(sheet(change)) is Verdict.MISS
    assert verdict_of(sheet(change, others_share=0.2)) is Verdict.INVALID


def test_what_is_reached_on_a_busy_machine_holds() -> None:
    assert verdict_of(sheet(others_share=0.9)) is Verdict.PASS


def test_joined_frames_are_never_accepted() -> None:
    assert verdict_of(sheet((OURS, "frames", "frames_per_receive", 1.03))) is Verdict.INVALID


def test_a_figure_that_was_not_measured_is_a_miss_unless_it_was_not_wanted() -> None:
    it = sheet()
    del it.samples[f"{CITY}/all/clients"]
    assert verdict_of(it) is Verdict.MISS
    assert verdict_of(it, judge_all=False) is Verdict.PASS
    it.failures.append("city: no")
    assert verdict_of(it, judge_all=False) is Verdict.MISS


def test_the_table_shows_every_row() -> None:
    text = table(sheet())
    assert all(row.name in text for row in rows_of(sheet()))
    assert "locust and websocket-client: frames a CPU-second: 100,000" in text
