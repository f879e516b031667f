"""How every bench begins and ends."""

import argparse
from pathlib import Path

import msgspec
import pytest

from bench import ending
from bench.ending import conclude, wanted_parts, work_dir
from bench.sheet import Machine, Sheet
from bench.verdict import Row, Verdict


@pytest.fixture
def sheet() -> Sheet:
    machine = Machine("cpu", 2, 23.5, "kernel", "3.11", {}, "python -m bench.x", "abc", "2026-01-01 00:00 UTC")
    return Sheet(machine, 1, quick=True)


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(ending, "ROOT", tmp_path)
    return tmp_path


def test_parts_are_those_named_or_all() -> None:
    parser = argparse.ArgumentParser()
    assert wanted_parts(parser, "", {"a": 1, "b": 2}) == ["a", "b"]
    assert wanted_parts(parser, "b,a", ["a", "b"]) == ["b", "a"]


def test_a_part_that_is_none_ends_the_command_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        wanted_parts(argparse.ArgumentParser(), "a,c", ["a", "b"])
    assert ended.value.code == 2
    assert "no part is called c: there are a, b" in capsys.readouterr().err


def test_a_work_dir_begins_empty_and_goes_when_all_was_measured(root: Path, sheet: Sheet) -> None:
    place = root / "work"
    place.mkdir()
    (place / "old").touch()
    with work_dir(place, sheet):
        assert not list(place.iterdir())
    assert not place.exists()


def test_logs_stay_when_something_could_not_be_measured(
    root: Path, sheet: Sheet, capsys: pytest.CaptureFixture[str]
) -> None:
    with work_dir(root / "work", sheet):
        sheet.failures.append("links: nobody answered")
    assert (root / "work").is_dir()
    assert "left its logs in work" in capsys.readouterr().out


def test_logs_stay_when_the_bench_breaks(root: Path, sheet: Sheet) -> None:
    with pytest.raises(RuntimeError), work_dir(root / "work", sheet):
        raise RuntimeError
    assert (root / "work").is_dir()


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.PASS, 0), (Verdict.MISS, 1), (Verdict.INVALID, 3)])
def test_the_end_keeps_shows_and_tells(
    root: Path, sheet: Sheet, capsys: pytest.CaptureFixture[str], verdict: Verdict, code: int
) -> None:
    rows = [Row("rate", "", [3.0], at_least=2)]
    assert conclude(sheet, rows, verdict, lambda told: f"table of {told.verdict}", result=root / "out.json", began=0.0) == code
    assert msgspec.json.decode((root / "out.json").read_bytes())["verdict"] == verdict.value
    assert f"table of {verdict.value}" in capsys.readouterr().out
