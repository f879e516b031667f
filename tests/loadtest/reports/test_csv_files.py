"""Locust's four files."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadtest.figures.latency import PERCENTILES
from loadtest.figures.record import ExceptionRecord, Moment
from loadtest.figures.tally import ERRORS_PER_ROW_MAX, OTHER_ERRORS
from loadtest.figures.totals import Totals
from loadtest.master.collector import Closed
from loadtest.reports.csv_files import EXCEPTION_COLUMNS, FAILURE_COLUMNS, HISTORY_COLUMNS, STATS_COLUMNS, CsvFiles
from tests.support.run_record import told_row

STARTED = datetime(2026, 4, 12, 19, 59, tzinfo=UTC)
# The heads that locust 2.47.0 writes, from its source (locust/stats.py: StatsCSV, StatsCSVFileWriter).
LOCUST_STATS = (
    "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,Max Response Time,"
    "Average Content Size,Requests/s,Failures/s,50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%"
)
LOCUST_HISTORY = (
    "Timestamp,User Count,Type,Name,Requests/s,Failures/s,50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%,Total Request Count,"
    "Total Failure Count,Total Median Response Time,Total Average Response Time,Total Min Response Time,Total Max Response Time,"
    "Total Average Content Size"
)
LOCUST_FAILURES = "Method,Name,Error,Occurrences,First Seen,Last Seen"
LOCUST_EXCEPTIONS = "Count,Message,Traceback,Nodes"


def closed(at_s: float, totals: Totals, users: int = 7) -> Closed:
    return Closed(Moment(at_s, users, users, {}, users, {}, {}, {}, 0, [], []), totals)


class Run:
    """A run of some seconds, as the master has it."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.files = CsvFiles(str(prefix), STARTED)
        self.whole = Totals()
        self.exceptions: list[ExceptionRecord] = []
        self.at_s = 0.0

    def second(self, *rows: object) -> None:
        self.at_s += 1
        totals = Totals()
        totals.add(rows)  # type: ignore[arg-type]
        self.whole.merge(totals)
        self.files.second(closed(self.at_s, totals), self.whole, self.exceptions)

    def read(self, suffix: str) -> list[dict[str, str]]:
        """As it is on disk now: the files are not closed."""
        with Path(f"{self.prefix}_{suffix}.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "night")


def test_the_columns_are_locusts(run: Run) -> None:
    heads = {
        suffix: Path(f"{run.prefix}_{suffix}.csv").read_text().splitlines()[0]
        for suffix in ("stats", "stats_history", "failures", "exceptions")
    }
    assert heads == {
        "stats": LOCUST_STATS, "stats_history": LOCUST_HISTORY, "failures": LOCUST_FAILURES, "exceptions": LOCUST_EXCEPTIONS,
    }  # fmt: skip
    assert ",".join(STATS_COLUMNS) == LOCUST_STATS
    assert ",".join(HISTORY_COLUMNS) == LOCUST_HISTORY
    assert ",".join(FAILURE_COLUMNS) == LOCUST_FAILURES
    assert ",".join(EXCEPTION_COLUMNS) == LOCUST_EXCEPTIONS
    assert [f"{percent:g}%" for percent in PERCENTILES] == [column for column in STATS_COLUMNS if column.endswith("%")]


def test_stats_are_of_the_whole_run_and_on_disk_every_second(run: Run) -> None:
    run.second(told_row("publish", 1000, 3000, size=40), told_row("connect", 500))
    assert [row["Name"] for row in run.read("stats")] == ["connect", "publish", "Aggregated"]
    run.second(told_row("publish", 2000, errors={"busy": 1}, size=50))
    connect, publish, aggregated = run.read("stats")
    assert {name: publish[name] for name in STATS_COLUMNS[:12]} == {
        "Type": "WS", "Name": "publish", "Request Count": "4", "Failure Count": "1", "Median Response Time": "2.0",
        "Average Response Time": "2.0", "Min Response Time": "1.0", "Max Response Time": "3.001", "Average Content Size": "30.0",
        "Requests/s": "2.0", "Failures/s": "0.5", "50%": "2.0",
    }  # fmt: skip
    assert publish["100%"] == "3.001"
    assert connect["Request Count"] == "1"
    assert (aggregated["Type"], aggregated["Request Count"]) == ("", "5")


def test_the_history_has_each_rows_own_second_and_its_totals(run: Run) -> None:
    run.second(told_row("publish", 1000, 1000))
    run.second(told_row("publish", 9000))
    run.second()
    lines = [row for row in run.read("stats_history") if row["Name"] == "publish"]
    began = round(STARTED.timestamp())
    shown = ("Timestamp", "User Count", "Requests/s", "50%", "Total Request Count")
    assert [tuple(row[column] for column in shown) for row in lines] == [
        (f"{began + 1}", "7", "2.000000", "1.0", "2"),
        (f"{began + 2}", "7", "1.000000", "9.007", "3"),
        (f"{began + 3}", "7", "0.000000", "N/A", "3"),
    ]
    assert [row["Name"] for row in run.read("stats_history")] == ["publish", "Aggregated"] * 3


def test_failures_say_when_they_were_seen_first_and_last_and_parts_are_not_said_twice(run: Run) -> None:
    run.second(told_row("deliver (large)", errors={"late": 1}))
    run.second()
    run.second(told_row("deliver (large)", errors={"late": 4}))
    assert run.read("failures") == [
        {
            "Method": "WS", "Name": "deliver (large)", "Error": "late", "Occurrences": "5",
            "First Seen": "2026-04-12T19:59:01Z", "Last Seen": "2026-04-12T19:59:03Z",
        }
    ]  # fmt: skip
    large, whole = run.read("stats")[1], run.read("stats")[0]
    assert (large["Failure Count"], whole["Failure Count"], whole["Name"]) == ("5", "5", "deliver")


def test_texts_that_differ_with_every_failure_do_not_grow_with_the_run(run: Run) -> None:
    for second in range(3):
        run.second(told_row("publish", errors={f"error {second}-{n}": 1 for n in range(ERRORS_PER_ROW_MAX)}))
    run.second(told_row("publish", errors={"error 0-0": 1, OTHER_ERRORS: 1}), told_row("connect", errors={"its own": 1}))
    read = run.read("failures")
    assert len(read) == ERRORS_PER_ROW_MAX + 2
    count = {(row["Name"], row["Error"]): int(row["Occurrences"]) for row in read}
    assert count["publish", OTHER_ERRORS] == 2 * ERRORS_PER_ROW_MAX + 1
    assert (count["publish", "error 0-0"], count["connect", "its own"]) == (2, 1)


def test_exceptions_name_their_workers(run: Run) -> None:
    run.exceptions = [ExceptionRecord(3, "KeyError: 'room'", "Traceback ...\n  in line 7", ["worker-1", "worker-2"])]
    run.second()
    run.exceptions = [ExceptionRecord(4, "KeyError: 'room'", "", ["worker-1"])]
    run.second()
    assert run.read("exceptions") == [{"Count": "4", "Message": "KeyError: 'room'", "Traceback": "", "Nodes": "worker-1"}]


def test_a_file_that_shrinks_leaves_nothing_of_before(run: Run) -> None:
    run.exceptions = [ExceptionRecord(3, "a long one" * 50, "", [])] * 3
    run.second()
    run.exceptions = []
    run.second()
    assert run.read("exceptions") == []
    run.files.close()


def test_a_folder_that_is_not_there_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        CsvFiles(str(tmp_path / "none" / "night"), STARTED)
