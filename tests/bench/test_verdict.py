"""PASS, MISS and INVALID, and the exit codes that stand for them."""

import math

import pytest

from bench.sheet import Machine, Sheet
from bench.verdict import (
    EXIT_CODES,
    FLOOR,
    FLOOR_KNOWN,
    NAIVE,
    PARVIS,
    PARVIS_WINDOW,
    QUIET,
    ROOM,
    ROOMS,
    STALLED,
    WEBSOCKETS,
    Row,
    Verdict,
    overall,
    rows_of,
    shown,
)


def good_sheet(runs: int = 3) -> Sheet:
    """Every figure just good enough."""
    sheet = Sheet(Machine("cpu", 2, 4.0, "6", "3.11", {}, "bench", "0", "now"), runs)
    figures = {
        (FLOOR, ROOM, "deliveries_per_cpu_s"): 340_000.0,
        (PARVIS, ROOM, "deliveries_per_cpu_s"): 153_001.0,
        (NAIVE, ROOM, "deliveries_per_cpu_s"): 30_000.0,
        (WEBSOCKETS, ROOM, "deliveries_per_cpu_s"): 95_000.0,
        (PARVIS_WINDOW, ROOM, "highest_deliveries_per_cpu_s"): 4_000_000.0,
        (WEBSOCKETS, ROOM, "highest_deliveries_per_cpu_s"): 90_000.0,
        (PARVIS, ROOM, "kib_per_connection"): 9.0,
        (PARVIS, ROOM, "handshakes_per_cpu_s"): 3_000.0,
        (PARVIS, ROOM, "held"): 1.0,
        (PARVIS, ROOMS, "held"): 1.0,
        (QUIET, "disk", "fsync_p99_ms"): 1.0,
        (QUIET, "publish", "p50_ms"): 10.0,
        (QUIET, "publish", "p99_ms"): 13.0,
        (STALLED, ROOM, "p99_ratio"): 1.2,
        (STALLED, ROOM, "kib_per_client"): 192.0,
        (PARVIS, "all", "faulty_steps"): 0.0,
    }
    for (who, shape, figure), value in figures.items():
        for _ in range(runs):
            sheet.add(who, shape, figure, value)
    return sheet


def judge(sheet: Sheet, *, judge_all: bool = True) -> Verdict:
    return overall(rows_of(sheet), sheet, judge_all=judge_all)


def test_everything_just_reached_is_a_pass() -> None:
    assert judge(good_sheet()) is Verdict.PASS


@pytest.mark.parametrize(
    ("who", "shape", "figure", "factor"),
    [
        (PARVIS, ROOM, "deliveries_per_cpu_s", 0.99),
        (NAIVE, ROOM, "deliveries_per_cpu_s", 1.03),
        (WEBSOCKETS, ROOM, "deliveries_per_cpu_s", 1.7),
        (PARVIS_WINDOW, ROOM, "highest_deliveries_per_cpu_s", 0.99),
        (WEBSOCKETS, ROOM, "highest_deliveries_per_cpu_s", 50.0),
        (PARVIS, ROOM, "kib_per_connection", 1.01),
        (PARVIS, ROOM, "handshakes_per_cpu_s", 0.99),
        (PARVIS, ROOMS, "held", 0.0),
        (QUIET, "publish", "p50_ms", 1.01),
        (QUIET, "publish", "p99_ms", 1.01),
        (QUIET, "disk", "fsync_p99_ms", 0.9),
        (STALLED, ROOM, "p99_ratio", 1.01),
        (STALLED, ROOM, "kib_per_client", 1.01),
    ],
)
def test_each_figure_beyond_its_bound_is_a_miss(who: str, shape: str, figure: str, factor: float) -> None:
    sheet = good_sheet()
    key = f"{who}/{shape}/{figure}"
    sheet.samples[key] = [value * factor for value in sheet.samples[key]]
    assert judge(sheet) is Verdict.MISS


def test_the_median_decides_not_the_worst_run() -> None:
    sheet = good_sheet()
    sheet.samples[f"{PARVIS}/{ROOM}/kib_per_connection"] = [5.0, 50.0, 8.0]
    assert judge(sheet) is Verdict.PASS
    sheet.samples[f"{PARVIS}/{ROOM}/kib_per_connection"] = [5.0, 50.0, 10.0]
    assert judge(sheet) is Verdict.MISS


def test_one_step_with_disorder_in_one_run_is_a_miss() -> None:
    sheet = good_sheet()
    sheet.samples[f"{PARVIS}/all/faulty_steps"] = [0.0, 1.0, 0.0]
    assert judge(sheet) is Verdict.MISS


def test_a_busy_machine_makes_everything_invalid() -> None:
    sheet = good_sheet()
    sheet.samples[f"{FLOOR}/{ROOM}/deliveries_per_cpu_s"] = [FLOOR_KNOWN * 0.79] * 3
    assert judge(sheet) is Verdict.INVALID
    sheet.samples[f"{PARVIS}/{ROOM}/kib_per_connection"] = [100.0]
    assert judge(sheet, judge_all=False) is Verdict.INVALID


def test_without_the_floor_nothing_is_known() -> None:
    sheet = good_sheet()
    del sheet.samples[f"{FLOOR}/{ROOM}/deliveries_per_cpu_s"]
    assert judge(sheet) is Verdict.INVALID
    assert judge(sheet, judge_all=False) is Verdict.PASS


def test_a_figure_that_is_missing_is_a_miss_unless_only_parts_were_asked_for() -> None:
    sheet = good_sheet()
    del sheet.samples[f"{STALLED}/{ROOM}/p99_ratio"]
    assert judge(sheet) is Verdict.MISS
    assert judge(sheet, judge_all=False) is Verdict.PASS


def test_a_part_that_failed_is_a_miss() -> None:
    sheet = good_sheet()
    sheet.failures.append("naive: ended with 1")
    assert judge(sheet) is Verdict.MISS


def test_exit_codes_are_those_of_the_makefile() -> None:
    assert [EXIT_CODES[verdict] for verdict in (Verdict.PASS, Verdict.MISS, Verdict.INVALID)] == [0, 1, 3]


def test_a_row_without_a_target_is_only_shown() -> None:
    row = Row("frame length", "bytes", [132.0])
    assert (row.verdict, row.target) == (Verdict.SHOWN, "")


def test_ratios_are_taken_run_by_run() -> None:
    sheet = good_sheet()
    sheet.samples[f"{PARVIS}/{ROOM}/deliveries_per_cpu_s"] = [200.0, 50.0, 100.0]
    sheet.samples[f"{FLOOR}/{ROOM}/deliveries_per_cpu_s"] = [400.0, 100.0, 200.0]
    assert rows_of(sheet)[0].samples == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(("value", "text"), [(4_000_000.0, "4,000,000"), (0.45, "0.45"), (9.0, "9"), (math.nan, "-")])
def test_figures_are_written_short(value: float, text: str) -> None:
    assert shown(value) == text
