"""A cluster's figures are judged as they are; a busy machine excuses a miss and nothing else."""

import pytest

from bench.cluster_report import table
from bench.cluster_verdict import BALANCE, EDGE, FULL_ROOMS, LIGHT, LINKS, MACHINE, PAUSE, STORM, overall, rows_of
from bench.sheet import Machine, Sheet
from bench.verdict import FLOOR, ROOM, Verdict

GOOD = [
    (PAUSE, "kill", "longest_s", 2.9), (PAUSE, "move", "longest_ms", 240), (PAUSE, "all", "lost", 0),
    (FULL_ROOMS, "all", "longest_ms", 249), (FULL_ROOMS, "all", "lost", 0),
    (STORM, "all", "longest_s", 9), (STORM, "all", "p99_s", 4.9), (STORM, "all", "faulty", 0), (STORM, "all", "attaches", 1),
    (LINKS, "30 rooms", "per_s", 21_000), (LINKS, "300 rooms", "per_s", 20_000), (LINKS, "all", "refused", 0),
    (EDGE, "all", "per_s", 8_000), (LIGHT, "all", "p50_ms", 3),
    (BALANCE, "all", "max_over_mean", 1.15), (BALANCE, "all", "moved_beyond_percent", 1.9),
]  # fmt: skip


def sheet(*changes: tuple[str, str, str, float], floor: float = 337_000, others_share: float = 0.01) -> Sheet:
    it = Sheet(Machine("cpu", 2, 24.0, "6", "3.11", {}, "command", "commit", "today"), 1)
    it.add(FLOOR, ROOM, "deliveries_per_cpu_s", floor)
    it.add(MACHINE, "all", "others_share", others_share)
    changed = {(who, where, figure): value for who, where, figure, value in changes}
    for who, where, figure, value in GOOD:
        it.add(who, where, figure, changed.get((who, where, figure), value))
    return it


def verdict_of(it: Sheet) -> Verdict:
    return overall(rows_of(it), it, judge_all=True)


def test_all_figures_at_their_bounds_pass_whatever_the_machine_does() -> None:
    assert verdict_of(sheet()) is Verdict.PASS
    assert verdict_of(sheet(floor=100_000, others_share=0.5)) is Verdict.PASS


@pytest.mark.parametrize("place", range(len(GOOD)))
def test_each_figure_beyond_its_bound_is_a_miss_and_on_a_busy_machine_no_verdict(place: int) -> None:
    who, where, figure, value = GOOD[place]
    row = next(row for row in rows_of(sheet()) if row.samples == [value] and row.verdict is Verdict.PASS)
    worse = value * 0.5 if row.at_least is not None else value * 2 + 1
    assert verdict_of(sheet((who, where, figure, worse))) is Verdict.MISS
    assert verdict_of(sheet((who, where, figure, worse), floor=100_000)) is Verdict.INVALID
    assert verdict_of(sheet((who, where, figure, worse), others_share=0.11)) is Verdict.INVALID


def test_one_loss_in_three_runs_is_not_forgiven_by_a_median() -> None:
    for who in (PAUSE, FULL_ROOMS):
        it = sheet()
        for lost in (1, 0):
            it.add(who, "all", "lost", lost)
        assert verdict_of(it) is Verdict.MISS


def test_a_part_that_could_not_be_measured_is_no_pass() -> None:
    it = sheet()
    it.failures.append("storm: no")
    assert verdict_of(it) is Verdict.MISS
    assert "FAILED storm: no" in table(it)


def test_parts_alone_are_judged_by_what_was_measured() -> None:
    it = Sheet(sheet().machine, 1)
    it.add(LIGHT, "all", "p50_ms", 2.0)
    assert overall(rows_of(it), it, judge_all=False) is Verdict.PASS
    assert "not measured" in table(it)
