"""loadtest/web/downloads.py: the run so far as files."""

import csv
import io

import msgspec

from loadtest.figures.record import RunRecord
from loadtest.reports.csv_files import STATS_COLUMNS
from loadtest.web.downloads import downloads, findings_csv, seconds_csv, stats_csv
from tests.support.run_record import record as run_record
from tests.support.steered_run import SteeredRun


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_each_is_made_of_any_record_and_named_after_the_scenario() -> None:
    before_the_first_second = SteeredRun().record()
    for record in (run_record(30), before_the_first_second):
        for name, download in downloads("night").items():
            assert name.startswith("night")
            assert download.made_of(record), name


def test_the_json_is_the_record() -> None:
    record = run_record(5)
    assert msgspec.json.decode(downloads("night")["night.json"].made_of(record), type=RunRecord) == record


def test_rows_have_locusts_columns() -> None:
    record = run_record(20)
    rows = table(stats_csv(record))
    assert tuple(rows[0]) == STATS_COLUMNS
    assert [row["Name"] for row in rows] == [row.name for row in record.rows]
    deliver = next(row for row in record.rows if row.name == "deliver")
    told = next(row for row in rows if row["Name"] == "deliver")
    assert int(told["Request Count"]) == deliver.count + deliver.failures
    assert float(told["99%"]) == deliver.percentiles_ms["99"]


def test_every_second_is_a_line() -> None:
    rows = table(seconds_csv(run_record(20)))
    assert [row["second"] for row in rows] == [str(second) for second in range(1, 21)]
    assert float(rows[-1]["latency.deliver.p99"]) > 0


def test_findings_are_told_by_name() -> None:
    record = run_record(20)
    rows = table(findings_csv(record))
    assert [(row["kind"], row["room"]) for row in rows] == [(found.kind, found.room) for found in record.findings]
