"""The command that compares two files."""

from io import StringIO
from pathlib import Path

import msgspec
import pytest

from loadtest.figures.record import RunRecord
from loadtest.reports.json_file import write_record
from loadtest.verdicts.compare import Comparison
from loadtest.verdicts.compare_table import run_compare
from tests.support.run_record import record, row

CALM = record(10)
SLOW = msgspec.structs.replace(CALM, rows=[row("publish", 40_000, seed=2)])


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    paths = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    for path, ran in zip(paths, (CALM, SLOW), strict=True):
        write_record(path, ran)
    return paths


def said(*paths: str, **more: object) -> tuple[int, str, str]:
    out, complaints = StringIO(), StringIO()
    code = run_compare(*paths, out=out, complaints=complaints, **more)  # type: ignore[arg-type]
    return code, out.getvalue(), complaints.getvalue()


def test_worse_is_one(files: tuple[str, str]) -> None:
    code, text, complaints = said(*files)
    lines = [line.rstrip() for line in text.splitlines()]
    assert (code, complaints) == (1, "")
    assert lines[0].split() == ["row", "figure", "before", "now", "change"]
    p99 = next(line for line in lines if " p99 " in line)
    assert p99.endswith("✕ worse")
    assert any(line.startswith("  WORSE  by more than 10% and 1 ms, beyond chance") for line in lines)
    assert "note: the row connect is in the first run only" in text
    assert lines[-1].startswith("   publish p99: ")
    assert max(map(len, lines)) <= 80


def test_same_and_better_are_zero(files: tuple[str, str]) -> None:
    calm, slow = files
    code, text, _ = said(calm, calm)
    assert code == 0
    assert text.splitlines()[-1].strip() == "SAME  nothing differs by more than 10% and 1 ms, beyond chance"
    code, text, _ = said(slow, calm)
    assert code == 0
    assert "BETTER" in text


def test_thresholds_can_be_moved(files: tuple[str, str]) -> None:
    assert said(*files, tolerance=9.9)[0] == 0
    assert said(*files, floor_ms=100_000.0)[0] == 0


def test_as_json_for_programs(files: tuple[str, str]) -> None:
    code, text, _ = said(*files, as_json=True)
    comparison = msgspec.json.decode(text, type=Comparison)
    assert (code, comparison.verdict, comparison.code) == (1, "worse", 1)
    assert {change.row for change in comparison.changes} == {"", "publish"}


def _other(path: Path, ran: RunRecord) -> str:
    write_record(str(path), ran)
    return str(path)


def test_what_cannot_be_compared_is_two_with_one_sentence(files: tuple[str, str], tmp_path: Path) -> None:
    soak = _other(tmp_path / "soak.json", msgspec.structs.replace(CALM, scenario="so\x1b[31mak"))
    (tmp_path / "no.json").write_text("{}")
    for second, sentence in (
        (str(tmp_path / "none.json"), "cannot be read: No such file or directory\n"),
        (str(tmp_path / "no.json"), "no.json is no record of a run: parvis loadtest --json FILE writes one\n"),
        (soak, "and the second of so\N{REPLACEMENT CHARACTER}[31mak: compare runs of one scenario\n"),
    ):
        code, text, complaints = said(files[0], second)
        assert (code, text) == (2, "")
        assert complaints.startswith("parvis: ")
        assert complaints.endswith(sentence)
        assert complaints.count("\n") == 1


@pytest.mark.parametrize("wrong", [{"tolerance": -0.1}, {"tolerance": 11.0}, {"floor_ms": -1.0}, {"tolerance": float("nan")}])
def test_thresholds_that_mean_nothing_are_two(files: tuple[str, str], wrong: dict[str, float]) -> None:
    code, _, complaints = said(*files, **wrong)
    assert code == 2
    assert complaints == "parvis: the tolerance is a share from 0 to 10 and the floor milliseconds from 0 on\n"
