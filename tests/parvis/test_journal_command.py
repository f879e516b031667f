"""parvis/journal_command.py: `parvis journal copy` as an operator meets it; tests/whole/test_moving_house.py has people in it."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio

from broker.journal.sqlite import SqliteJournal
from runtime.lifecycle import ExitCode
from tests.support.archive_contract import Life
from tests.support.parvis_program import run_parvis
from tests.support.tree import ROOT


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A journal with 4 rooms of 3,000 events."""
    path = tmp_path / "old" / "journal.sqlite"
    path.parent.mkdir()
    life = Life(1)
    with closing(SqliteJournal(path, new_store_id="store-1", synchronous="normal")) as journal:
        life.claim(journal, 1)
        for writer in life.writers:
            writer.commit(journal, *(f"text {n}" for n in range(3000)))
    return path


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new" / "journal.sqlite"


async def copy(old: Path, new: Path, *more: str) -> tuple[int, str, str]:
    ended = await run_parvis("journal", "copy", f"sqlite:{old}", f"sqlite:{new}", *more)
    assert "Traceback" not in ended.err
    return ended.code, ended.out, ended.err


async def test_it_says_what_was_copied_and_what_to_set(old: Path, new: Path) -> None:
    code, out, err = await copy(old, new)
    assert (code, err) == (0, "")
    assert "copied 4 rooms, 12,000 events in " in out
    assert f"from sqlite:{old} to sqlite:{new}" in out
    assert "set cluster.map_version" not in out.splitlines()[0]
    assert "the slot map is 2: where cluster.map_version is set, set it to 2 or more" in out
    code, out, err = await copy(old, new)
    assert (code, out) == (ExitCode.DATA, "")
    assert err == f"parvis: journal {new} is not empty\n"


async def test_the_words_of_the_settings_name_a_journal_too(old: Path, new: Path) -> None:
    ended = await run_parvis("journal", "copy", "sqlite", f"sqlite:{new}", "--data-dir", str(old.parent))
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(("from_", "to"), [("nowhere", "sqlite:x"), ("sqlite:x", "postgres://y"), ("sqlite:x", "sqlite:x")])
async def test_places_that_make_no_sense_are_refused_and_nothing_is_made(tmp_path: Path, from_: str, to: str) -> None:
    ended = await run_parvis("journal", "copy", from_, to)
    assert ended.code == ExitCode.USAGE
    assert not (ROOT / "x").exists()


async def test_a_journal_that_is_not_there_is_named_and_nothing_is_made(tmp_path: Path, new: Path) -> None:
    code, out, err = await copy(tmp_path / "none.sqlite", new)
    assert (code, out) == (ExitCode.DATA, "")
    assert "none.sqlite: there is none" in err
    assert not new.exists()


async def test_a_damaged_room_is_named_and_nothing_starts_on_what_is_there(old: Path, new: Path) -> None:
    with closing(sqlite3.connect(old)) as connection, connection:
        room_b = "SELECT epoch_no FROM rooms WHERE room = 'test/b'"
        connection.execute(f"UPDATE log SET chain = zeroblob(16) WHERE epoch_no = ({room_b})")
    code, out, err = await copy(old, new)
    assert (code, out) == (ExitCode.DATA, "")
    assert "room test/b is damaged: epoch epoch-a: its events do not lead to the chain of its head" in err
    started = await run_parvis("up", "--port", "0", "--data-dir", str(new.parent))
    assert started.code == ExitCode.DATA
    assert "a copy into it was not finished; repeat that command" in started.err


async def test_a_copy_that_is_killed_or_interrupted_goes_on_when_it_is_repeated(old: Path, new: Path) -> None:
    words = [sys.executable, "-m", "parvis", "journal", "copy", f"sqlite:{old}", f"sqlite:{new}"]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        process = await trio.lowlevel.open_process(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT)
        assert process.stderr is not None
        async with process.stderr:
            with trio.fail_after(60):
                while not new.exists():
                    await trio.sleep(0.005)
                process.send_signal(number)
                assert await process.wait() in (0, ExitCode.DATA, -number, 128 + number)
    code, _, err = await copy(old, new)
    assert (code, err) == (0, "") or "is not empty" in err
    with closing(SqliteJournal(new, new_store_id="x")) as journal:
        assert journal.store_id == "store-1"


async def test_what_is_unfinished_from_elsewhere_is_thrown_away_only_when_asked_to(old: Path, new: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    life = Life(2)
    with closing(SqliteJournal(other, new_store_id="store-2")) as journal:
        life.claim(journal, 1)
        for writer in life.writers:
            writer.commit(journal, "text")
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("UPDATE log SET chain = zeroblob(16) WHERE epoch_no = (SELECT max(epoch_no) FROM epochs)")
    assert (await copy(other, new))[0] == ExitCode.DATA
    code, _, err = await copy(old, new)
    assert code == ExitCode.DATA
    assert "has an unfinished copy from elsewhere in it; --anew throws that away" in err
    assert (await copy(old, new, "--anew"))[0] == 0
