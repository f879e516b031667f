"""parvis/directory_store.py: a directory in Redis, and how long it is waited for."""

import time

import pytest

from parvis.directory_store import open_store
from runtime.schema import RedisSettings, Settings
from runtime.settings import SettingsError
from shard_router.cluster_store import StoreAway
from tests.support.redis_server import redis_server
from wire.limits import LEASE_RENEWAL_S


def test_a_directory_in_redis_needs_an_address_of_redis() -> None:
    with pytest.raises(SettingsError, match=r"redis\.url"):
        open_store(Settings())


def test_a_redis_that_does_not_answer_is_away_after_a_renewal(tmp_path_factory: pytest.TempPathFactory) -> None:
    """However long redis.timeout_s is: a node that waits longer would look dead."""
    with redis_server(tmp_path_factory.mktemp("valkey")) as server:
        store = open_store(Settings(redis=RedisSettings(url=server.url, timeout_s=60.0)))
        store.look(0)
        server.freeze()
        began = time.monotonic()
        with pytest.raises(StoreAway):
            store.look(0)
        assert LEASE_RENEWAL_S <= time.monotonic() - began < 10
        server.thaw()
        store.close()
