"""A SQLite file as a store of the archive's contract."""

from contextlib import ExitStack, closing
from pathlib import Path

from broker.journal.archive import Source, Target
from broker.journal.protocol import Journal
from broker.journal.sqlite import SqliteJournal
from broker.journal.sqlite_archive import SqliteSource
from broker.journal.sqlite_target import SqliteTarget
from tests.support.archive_contract import Store


class SqliteStore(Store):
    """Whatever is opened is closed by `opened`."""

    def __init__(self, path: Path, opened: ExitStack) -> None:
        self.path = path
        self._opened = opened

    def journal(self) -> Journal:
        return self._opened.enter_context(closing(SqliteJournal(self.path, new_store_id=f"store of {self.path.name}")))

    def source(self) -> Source:
        if not self.path.exists():
            self.journal()
        return self._opened.enter_context(closing(SqliteSource(self.path)))

    def target(self) -> Target:
        return self._opened.enter_context(closing(SqliteTarget(self.path, new_store_id="a new one")))
