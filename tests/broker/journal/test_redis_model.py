"""Redis and the memory model, side by side through any history."""

import itertools
from collections.abc import Iterator
from typing import ClassVar

import pytest

from broker.journal.redis import RedisJournal
from runtime.schema import RedisSettings
from tests.support.journals_agree import AGREEMENT, ROOMS, JournalsAgree
from tests.support.redis_server import redis_server
from wire.names import RoomName, Slot


def slot_of_writers(room: RoomName) -> Slot:
    """As the machine's writers name them."""
    return Slot(ROOMS.index(room) % 2)


class RedisAgrees(JournalsAgree):
    store: ClassVar[RedisSettings]
    numbers: ClassVar[Iterator[int]] = itertools.count()

    def __init__(self) -> None:
        # A cluster of its own is an empty journal.
        self.cluster = f"history-{next(self.numbers)}"
        super().__init__()

    def opened(self) -> RedisJournal:
        return RedisJournal(self.store, cluster=self.cluster, new_store_id="store-1", slot_of=slot_of_writers)


class TestRedisAgrees(RedisAgrees.TestCase):  # type: ignore[name-defined,misc]
    settings = AGREEMENT

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def running(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with redis_server(tmp_path_factory.mktemp("redis")) as server:
            RedisAgrees.store = server.settings
            yield
