"""The SQLite journal keeps the contract, between processes too, and agrees with the model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.journal.sqlite import SqliteJournal
from tests.support.journal_contract import JournalContract, Reopen


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Iterator[Reopen]:
        opened: list[SqliteJournal] = []

        def open_again() -> SqliteJournal:
            while opened:
                opened.pop().close()
            opened.append(SqliteJournal(tmp_path / "journal.sqlite", new_store_id="store-1"))
            return opened[0]

        yield open_again
        opened[0].close()
