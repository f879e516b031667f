"""What must be reached, and whether it was: pure, so that it can be tested as values."""

import math
from dataclasses import dataclass
from enum import Enum
from statistics import median

from bench.sheet import Sheet

# DESIGN's figure for the bare loop in Python; a machine that does less than 80 % of it is busy (or another machine).
FLOOR_KNOWN = 337_000.0
FLOOR_SHARE_MIN = 0.8

FLOOR = "floor"
PARVIS = "parvis-2"
PARVIS_WINDOW = "parvis-2-window"
PARVIS_ONE = "parvis-1"
NAIVE = "naive"
WEBSOCKETS = "websockets"
ROOM = "1x3000"
ROOMS = "100x50"
QUIET = "quiet"
STALLED = "stalled"


class Verdict(Enum):
    PASS = "PASS"
    MISS = "MISS"
    INVALID = "INVALID"
    SHOWN = ""
    """A figure without a target."""


EXIT_CODES = {Verdict.PASS: 0, Verdict.SHOWN: 0, Verdict.MISS: 1, Verdict.INVALID: 3}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a figure, its target, what became of it."""

    name: str
    unit: str
    samples: list[float]
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None

    @property
    def value(self) -> float:
        return median(self.samples) if self.samples else math.nan

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f">= {shown(self.at_least)}"
        if self.at_most is not None:
            return f"<= {shown(self.at_most)}"
        return f"> {shown(self.above)}" if self.above is not None else ""

    @property
    def verdict(self) -> Verdict:
        """A figure that is asked for and was not measured is a miss."""
        if not self.target:
            return Verdict.SHOWN
        value = self.value
        reached = (
            (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.above is None or value > self.above)
        )
        return Verdict.PASS if reached else Verdict.MISS


def shown(value: float) -> str:
    """Three or four digits that matter."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rows_of(sheet: Sheet) -> list[Row]:
    """Every figure that has a target, each with the median of its runs; in the order of the text that asks for them."""
    steady, highest = "deliveries_per_cpu_s", "highest_deliveries_per_cpu_s"
    floor = sheet.of(FLOOR, ROOM, steady)
    ours = sheet.of(PARVIS, ROOM, steady)
    # What must never happen is summed over the runs: a median would forgive it.
    faulty = sheet.of(PARVIS, "all", "faulty_steps")
    fsync_p99 = sheet.median(QUIET, "disk", "fsync_p99_ms") or 0.0
    return [
        Row("fan-out at 20/s, share of the floor", "", sheet.ratios(ours, floor), at_least=0.45),
        Row("fan-out at 20/s, times naive", "x", sheet.ratios(ours, sheet.of(NAIVE, ROOM, steady)), at_least=5),
        Row("fan-out at 20/s, times websockets", "x", sheet.ratios(ours, sheet.of(WEBSOCKETS, ROOM, steady)), above=1),
        Row("deliveries per CPU-second, highest rate", "", sheet.of(PARVIS_WINDOW, ROOM, highest), at_least=4_000_000),
        Row(
            "deliveries per CPU-second, highest rate, times websockets", "x",
            sheet.ratios(sheet.of(PARVIS_WINDOW, ROOM, highest), sheet.of(WEBSOCKETS, ROOM, highest)), above=1,
        ),
        Row("memory per idle connection", "KiB", sheet.of(PARVIS, ROOM, "kib_per_connection"), at_most=9),
        Row("handshakes with hello and join per CPU-second", "", sheet.of(PARVIS, ROOM, "handshakes_per_cpu_s"), at_least=3_000),
        Row("publish to delivered, idle, p50", "ms", sheet.of(QUIET, "publish", "p50_ms"), at_most=10),
        Row("publish to delivered, idle, p99", "ms", sheet.of(QUIET, "publish", "p99_ms"), at_most=10 + 3 * fsync_p99),
        Row("others' p99 beside stalled readers", "x", sheet.of(STALLED, ROOM, "p99_ratio"), at_most=1.2),
        Row("memory of a stalled reader", "KiB", sheet.of(STALLED, ROOM, "kib_per_client"), at_most=192),
        Row("one room at 20/s is whole and within 500 ms", "", sheet.of(PARVIS, ROOM, "held"), at_least=1),
        Row("100 rooms at 20/s are whole and within 500 ms", "", sheet.of(PARVIS, ROOMS, "held"), at_least=1),
        Row("steps of ours with unannounced loss, repeats or disorder", "", [sum(faulty)] if faulty else [], at_most=0),
    ]  # fmt: skip


def overall(rows: list[Row], sheet: Sheet, *, judge_all: bool) -> Verdict:
    """The verdict on all.  INVALID before all else; with `judge_all` false, rows that were not measured do not count."""
    floor = sheet.median(FLOOR, ROOM, "deliveries_per_cpu_s")
    if floor is None and judge_all:
        return Verdict.INVALID
    if floor is not None and floor < FLOOR_KNOWN * FLOOR_SHARE_MIN:
        return Verdict.INVALID
    verdicts = {row.verdict for row in rows if judge_all or row.samples}
    return Verdict.MISS if Verdict.MISS in verdicts or sheet.failures else Verdict.PASS
