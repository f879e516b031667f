"""SQLite and the memory model, side by side through any history."""

import shutil
import tempfile
from pathlib import Path

from broker.journal.sqlite import SqliteJournal
from tests.support.journals_agree import AGREEMENT, JournalsAgree


class SqliteAgrees(JournalsAgree):
    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        super().__init__()

    def opened(self) -> SqliteJournal:
        return SqliteJournal(self.directory / "journal.sqlite", new_store_id="store-1", synchronous="normal")

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.directory)


TestSqliteAgrees = SqliteAgrees.TestCase
TestSqliteAgrees.settings = AGREEMENT
