"""A run's record as a file."""

from pathlib import Path

import pytest

from loadtest.reports.json_file import RecordError, read_record, write_record
from tests.support.run_record import record


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "night.json")
    ran = record(20)
    write_record(path, ran)
    assert read_record(path) == ran
    assert [each.name for each in tmp_path.iterdir()] == ["night.json"]


def test_each_moment_and_each_row_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "night.json"
    write_record(str(path), record(20))
    lines = path.read_text().splitlines()
    assert sum(line.startswith('{"at_s":') for line in lines) == 20
    assert sum(line.startswith('{"kind":"WS","name":') for line in lines) == 7
    assert '"scenario": "election_night",' in lines


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"x\.json cannot be read: No such file or directory$"),
        (b"\xff\xfe", r"x\.json is no record of a run: parvis loadtest --json FILE writes one$"),
        (b"[1, 2]", r"x\.json is no record of a run"),
        (b'{"rows": []}', r"x\.json is no record of a run"),
        (b'{"version": 99}', r"x\.json is a record of version 99, and this parvis reads version 1: compare runs of one version$"),
        (b'{"version": 1, "scenario": 5}', r"x\.json is a damaged record: "),
    ],
)
def test_what_is_no_record_is_one_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordError, match=sentence):
        read_record(str(path))


def test_a_folder_is_no_record(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read: Is a directory"):
        read_record(str(tmp_path))
