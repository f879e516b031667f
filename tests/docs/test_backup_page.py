"""The commands of docs/backup.md are carried out, in the page's order, beside a data directory with something in it."""

import os
import sys
from contextlib import closing
from pathlib import Path

import trio

from broker.journal.sqlite import SqliteJournal
from tests.docs.test_examples import examples
from tests.support.archive_contract import Life
from tests.support.tree import ROOT


async def test_the_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    data = tmp_path / "parvis-data"
    data.mkdir()
    life = Life(1)
    with closing(SqliteJournal(data / "journal.sqlite", new_store_id="store-1")) as journal:
        life.claim(journal, 1)
        for writer in life.writers:
            writer.commit(journal, "text")
    for key in ("guest.key", "link.secret"):
        (data / key).write_text("k" * 64)
    lines = [line for page, text in examples("sh", "docs/backup.md") for line in text.splitlines()]
    assert [line.split()[:2] for line in lines].count(["parvis", "backup"]) == 2
    # `parvis` is this clone's, whatever is installed.
    program = tmp_path / "bin" / "parvis"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m parvis "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    for line in lines:
        with trio.fail_after(60):
            ended = await trio.run_process(
                ["sh", "-c", line], capture_stdout=True, capture_stderr=True, check=False, cwd=tmp_path, env=environment
            )
        assert ended.returncode == 0, f"{line}: {ended.stderr.decode()}"
    made = {path.name for path in tmp_path.iterdir()} - {"bin", "parvis-data"}
    assert made == {"evening.backup", "moved-data", "restored-data"}
    for name in ("moved-data", "restored-data"):
        with closing(SqliteJournal(tmp_path / name / "journal.sqlite", new_store_id="x")) as journal:
            assert len(life.shown(journal)) == 4
            assert (tmp_path / name / "guest.key").exists()
