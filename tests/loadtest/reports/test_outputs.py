"""All files of a run."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadtest.figures.messages import Beat, Health
from loadtest.master.collector import Collector
from loadtest.reports import outputs
from loadtest.reports.json_file import read_record
from loadtest.reports.outputs import OutputError, Outputs, WantedFiles
from loadtest.reports.page_parts import PartMissingError
from tests.support.run_record import record, told_row

STARTED = datetime(2026, 4, 12, 19, 59, tzinfo=UTC)


def beat(second: int) -> Beat:
    health = Health(0.5, 1000, 2000, 0, 9)
    return Beat(second, second * 1_000_000, {"Citizen": 3}, 3, {}, [told_row("publish", 900)], {}, [], [], [], {}, health)


def test_everything_that_was_asked_for_is_there_at_the_end(tmp_path: Path) -> None:
    wanted = WantedFiles(*(str(tmp_path / name) for name in ("night", "night.json", "night.hlog", "night.html")))
    run = Collector()
    run.joined(0, "worker-1")
    run.became(0, "running")
    run.begin(0)
    with Outputs(wanted, STARTED) as files:
        for second in (1, 2):
            run.take(0, beat(second))
            for closed in run.close_due(second * 1_000_000):
                files.second(closed, run)
        assert len((tmp_path / "night_stats_history.csv").read_text().splitlines()) == 5, "a head, two rows a second"
        assert (tmp_path / "night.hlog").read_text().count("Tag=publish") == 2
        assert not (tmp_path / "night.html").exists()
        told = files.finish(record(2))
    assert [line.split()[0] for line in told] == ["report", "record", "csv", "hlog"]
    assert all(str(tmp_path / "night") in line for line in told)
    assert read_record(str(tmp_path / "night.json")) == record(2)
    assert "<!doctype html>" in (tmp_path / "night.html").read_text()
    assert {each.name for each in tmp_path.iterdir()} == {
        "night.html", "night.json", "night.hlog",
        "night_stats.csv", "night_stats_history.csv", "night_failures.csv", "night_exceptions.csv",
    }  # fmt: skip


def test_a_disk_that_is_full_for_one_file_costs_no_other(tmp_path: Path) -> None:
    wanted = WantedFiles(None, *(str(tmp_path / name) for name in ("night.json", "night.hlog", "night.html")))
    with open("/dev/full", "wb") as full, Outputs(wanted, STARTED) as files:
        assert files._hlog is not None
        os.dup2(full.fileno(), files._hlog._file.fileno())
        files._hlog._file.write("what waits to be written")
        with pytest.raises(OSError, match="No space left"):
            files.finish(record(2))
    assert read_record(str(tmp_path / "night.json")) == record(2)
    assert (tmp_path / "night.html").exists()


def test_nothing_asked_for_is_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Outputs(WantedFiles(), STARTED) as files:
        assert files.finish(record(2)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["csv", "json", "hlog", "html"])
def test_a_folder_that_is_not_there_is_made_as_locust_does(tmp_path: Path, flag: str) -> None:
    with Outputs(WantedFiles(**{flag: str(tmp_path / "one" / "two" / "night")}), STARTED) as files:
        files.finish(record(2))
    assert [each for each in (tmp_path / "one" / "two").iterdir() if each.name.startswith("night")]


@pytest.mark.parametrize("flag", ["csv", "json", "hlog", "html"])
def test_a_folder_that_cannot_be_made_is_refused_before_the_run(tmp_path: Path, flag: str) -> None:
    (tmp_path / "file").touch()
    path = str(tmp_path / "file" / "night")
    with pytest.raises(OutputError, match=rf"^--{flag} {path}: cannot be written .*; name another place$") as refused:
        Outputs(WantedFiles(**{flag: path}), STARTED)
    assert "\n" not in str(refused.value)


def test_names_say_how_much_as_in_locust() -> None:
    wanted = WantedFiles(csv="{u}/x", html="x_{u}_{r}_{t}.html", hlog="{other}")
    named = wanted.named(users=5000, spawn_rate=0.5, run_time_s=90.0)
    assert named == WantedFiles(csv="5000/x", html="x_5000_0.5_90.html", hlog="{other}")
    assert wanted.named(users=10_000_000, spawn_rate=10.0, run_time_s=None).html == "x_10000000_10_{t}.html", "without an end"


@pytest.mark.parametrize("flag", ["json", "hlog", "html"])
def test_a_folder_is_no_file(tmp_path: Path, flag: str) -> None:
    with pytest.raises(OutputError, match=f"^--{flag} "):
        Outputs(WantedFiles(**{flag: str(tmp_path)}), STARTED)


@pytest.mark.parametrize("flag", ["json", "html"])
def test_a_folder_that_takes_no_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    # Whoever runs this may be root, to whom every folder is open.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="files cannot be written to"):
        Outputs(WantedFiles(**{flag: str(tmp_path / "night")}), STARTED)


def test_a_report_without_charts_is_refused_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise PartMissingError("the charts need uPlot, which is not here yet; run: make charts")

    monkeypatch.setattr(outputs, "uplot", missing)
    with pytest.raises(OutputError, match=r"^--html .*night\.html: the charts need uPlot, .*; run: make charts$"):
        Outputs(WantedFiles(html=str(tmp_path / "night.html"), csv=str(tmp_path / "night")), STARTED)
    assert list(tmp_path.iterdir()) == []
