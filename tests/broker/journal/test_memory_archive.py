"""The memory archive keeps the contract: it is what the other engines' archives are compared with."""

import pytest

from tests.support.archive_contract import ArchiveContract, Make, ModelStore


class TestMemoryArchive(ArchiveContract):
    @pytest.fixture
    def make(self) -> Make:
        return ModelStore
