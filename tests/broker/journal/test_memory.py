"""The memory journal keeps the contract."""

import pytest

from broker.journal.memory import MemoryJournal
from tests.support.journal_contract import JournalContract, Reopen


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def reopen(self) -> Reopen:
        """Its store is the object itself."""
        journal = MemoryJournal("store-1")
        return lambda: journal
