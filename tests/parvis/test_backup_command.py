"""parvis/backup_command.py: backup, verify and restore as an operator meets them."""

import stat
from contextlib import closing
from pathlib import Path

import pytest

from broker.journal.sqlite import SqliteJournal
from parvis.data_dir import lock_data_dir, make_data_dir
from runtime.lifecycle import ExitCode
from tests.support.archive_contract import Life
from tests.support.parvis_program import run_parvis


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory whose journal has 4 rooms."""
    data = tmp_path / "data"
    data.mkdir()
    life = Life(1)
    with closing(SqliteJournal(data / "journal.sqlite", new_store_id="store-1")) as journal:
        life.claim(journal, 1)
        for writer in life.writers:
            writer.commit(journal, *(f"text {n}" for n in range(50)))
    return data


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "all.backup"


async def run(*words: str | Path) -> tuple[int, str, str]:
    ended = await run_parvis(*map(str, words))
    assert "Traceback" not in ended.err
    return ended.code, ended.out, ended.err


async def test_a_backup_is_made_verified_and_restored(data: Path, file: Path, tmp_path: Path) -> None:
    code, out, err = await run("backup", file, "--data-dir", data)
    assert (code, err) == (0, "")
    assert "backed up 4 rooms, 200 events in " in out
    assert f"to {file}: {file.stat().st_size:,} bytes" in out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    code, out, err = await run("backup", "--verify", file)
    assert (code, err) == (0, "")
    assert f"{file} is whole and every chain holds: 4 rooms, 200 events, backed up at 20" in out
    back = tmp_path / "back"
    code, out, err = await run("restore", file, "--data-dir", back)
    assert (code, err) == (0, "")
    assert "restored 4 rooms, 204 events" in out
    assert f"to sqlite:{back}/journal.sqlite" in out
    with closing(SqliteJournal(back / "journal.sqlite", new_store_id="x")) as journal:
        assert journal.store_id not in ("store-1", "x")
        assert journal.newest_map_version() == 1


async def test_nothing_is_overwritten(data: Path, file: Path) -> None:
    file.write_text("mine")
    code, _, err = await run("backup", file, "--data-dir", data)
    assert (code, err) == (ExitCode.DATA, f"parvis: {file} is there already, and is not overwritten\n")
    assert file.read_text() == "mine"
    file.unlink()
    assert (await run("backup", file, "--data-dir", data))[0] == 0
    before = (data / "journal.sqlite").read_bytes()
    code, _, err = await run("restore", file, "--data-dir", data)
    assert (code, err) == (ExitCode.DATA, f"parvis: journal {data}/journal.sqlite is not empty\n")
    assert (data / "journal.sqlite").read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign", "newer", "gone"])
async def test_a_file_that_is_no_whole_backup_is_refused_and_nothing_is_made_of_it(
    data: Path, file: Path, tmp_path: Path, damage: str
) -> None:
    assert (await run("backup", file, "--data-dir", data))[0] == 0
    whole = file.read_bytes()
    content = {
        "cut": whole[:-9],
        "changed": whole[:900] + b"\x00\x00" + whole[902:],
        "foreign": b"SQLite format 3\x00" + bytes(9000),
        "newer": whole.replace(b"backup 2", b"backup 9", 1),
    }
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[damage])
    back = tmp_path / "back"
    for words in (("backup", "--verify", file), ("restore", file, "--data-dir", back)):
        code, out, err = await run(*words)
        assert (code, out) == (ExitCode.DATA, "")
        assert err.startswith(f"parvis: backup {file}: ")
    assert not back.exists()


async def test_a_directory_in_use_is_not_restored_into(data: Path, file: Path, tmp_path: Path) -> None:
    assert (await run("backup", file, "--data-dir", data))[0] == 0
    back = tmp_path / "back"
    make_data_dir(back)
    lock = lock_data_dir(back)
    code, _, err = await run("restore", file, "--data-dir", back)
    lock.close()
    assert code == ExitCode.BUSY
    assert "in use by the parvis with process id" in err
    assert not (back / "journal.sqlite").exists()


async def test_a_journal_in_memory_and_a_journal_that_is_not_there_have_no_backup(file: Path, tmp_path: Path) -> None:
    code, _, err = await run("backup", file, "--set", "journal.kind=memory")
    assert code == ExitCode.CONFIG
    assert "ends with its process" in err
    code, _, err = await run("backup", file, "--data-dir", tmp_path / "none")
    assert code == ExitCode.DATA
    assert "there is none" in err
    assert not file.exists()
    assert not (tmp_path / "none").exists()
