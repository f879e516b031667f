"""The standard's log of histograms, read back by the standard's own reader."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from loadtest.figures.latency import LATENCY_US_MAX, SIGNIFICANT_DIGITS, Latencies
from loadtest.figures.record import Moment
from loadtest.figures.totals import RowSum, Totals
from loadtest.master.collector import Closed
from loadtest.reports.hlog import HistogramLog, tag_of
from tests.support.run_record import told_row

STARTED = datetime(2026, 4, 12, 19, 59, tzinfo=UTC)


def second(log: HistogramLog, at_s: float, *rows: object) -> None:
    totals = Totals()
    totals.add(rows)  # type: ignore[arg-type]
    log.second(Closed(Moment(at_s, 0, 0, {}, 0, {}, {}, {}, 0, [], []), totals))


def read(path: Path) -> list[HdrHistogram]:
    reader = HistogramLogReader(str(path), HdrHistogram(1, LATENCY_US_MAX, SIGNIFICANT_DIGITS))
    found = []
    while (histogram := reader.get_next_interval_histogram()) is not None:
        found.append(histogram)
    reader.close()
    return found


def test_every_second_of_every_row_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "night.hlog"
    log = HistogramLog(str(path), STARTED)
    large = told_row("deliver (large)", 1000, 2000, 4000)
    second(log, 1.0, large, told_row("publish", 500), told_row("connect", errors={"no": 1}))
    second(log, 2.0, told_row("deliver (large)", 9000))
    began_ms = STARTED.timestamp() * 1000
    # Not closed: what a killed run leaves can be read, too.
    assert [
        (each.get_tag(), each.get_total_count(), each.get_start_time_stamp() - began_ms, each.get_end_time_stamp() - began_ms)
        for each in read(path)
    ] == [("deliver_(large)", 3, 0, 1000), ("publish", 1, 0, 1000), ("deliver_(large)", 1, 1000, 2000)]
    log.close()
    whole, expected = HdrHistogram(1, LATENCY_US_MAX, SIGNIFICANT_DIGITS), Latencies()
    for each in read(path):
        if each.get_tag() == "deliver_(large)":
            whole.add(each)
    expected.record_many({1000: 1, 2000: 1, 4000: 1, 9000: 1})
    assert [whole.get_value_at_percentile(percent) for percent in (50, 75, 100)] == expected.percentiles_us([50, 75, 100])


def test_a_line_is_as_the_standard_has_it(tmp_path: Path) -> None:
    path = tmp_path / "night.hlog"
    log = HistogramLog(str(path), STARTED)
    second(log, 1.0, told_row("publish", 41234))
    log.close()
    *head, line = path.read_text().splitlines()
    assert head[1:] == [
        "#[Histogram log format version 1.3]",
        "#[StartTime: 1776023940.000 (seconds since epoch), 2026-04-12T19:59:00+00:00]",
        "#[BaseTime: 1776023940.000 (seconds since epoch)]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    assert line.startswith("Tag=publish,0.000,1.000,41.247,HIST")


@pytest.mark.parametrize(
    ("kind", "name", "tag"),
    [("WS", "publish", "publish"), ("HTTP", "GET /a, b", "HTTP:GET_/a;_b"), ("WS", "two\nlines\r\x1b[31m", "two_lines_[31m")],
)
def test_a_tag_has_no_commas_and_no_white_space(kind: str, name: str, tag: str) -> None:
    assert tag_of(RowSum(kind, name)) == tag
