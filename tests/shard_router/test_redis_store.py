"""The directory in a real Valkey: the contract, what an operator finds there, and what a store does when it is broken."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from runtime.redis_client import RedisClient
from runtime.schema import RedisSettings
from shard_router import redis_scripts
from shard_router.cluster_records import BadRecord
from shard_router.cluster_store import ClusterStore, StoreAway
from shard_router.redis_store import RedisStore
from tests.support.cluster_store_contract import A, ClusterStoreContract, OpenStore, a_map, member
from tests.support.redis_server import RedisServer, redis_cluster, redis_sentinels, redis_server

SCRIPTS: Final = [name for name in vars(redis_scripts) if name.isupper() and not name.startswith("_")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("valkey")) as running:
        yield running


class Stores:
    """Opens stores, and closes them at the end."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._opened: list[RedisStore] = []

    def __call__(self, name: str) -> ClusterStore:
        self._opened.append(RedisStore(RedisClient(self._settings), name))
        return self._opened[-1]

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture
def open_store(server: RedisServer) -> Iterator[OpenStore]:
    server.ask("FLUSHALL")
    stores = Stores(server.settings)
    yield stores
    stores.close()


class TestRedisStore(ClusterStoreContract):
    pass


@pytest.fixture(scope="module")
def cluster_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisSettings]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster.settings


class TestRedisStoreOnACluster(ClusterStoreContract):
    @pytest.fixture
    def open_store(self, cluster_settings: RedisSettings, request: pytest.FixtureRequest) -> Iterator[OpenStore]:
        """The tests share a Redis Cluster and not a cluster's name."""
        stores = Stores(cluster_settings)
        test = request.node.name
        yield lambda name: stores(f"{name}-{test}")
        stores.close()


def test_every_key_begins_with_the_clusters_name_as_a_tag_and_none_expires(server: RedisServer, open_store: OpenStore) -> None:
    store = open_store("town")
    store.introduce(["one"])
    store.register(member("shard-a"), "")
    ClusterStoreContract().found(store)
    store.write_plan(store.look(0).plan.__class__(version=1), 0)
    store.hint(A, "first")
    keys = sorted(server.ask("KEYS", "*"))
    assert keys == [b"{town}:" + part for part in (b"cluster", b"hints", b"map", b"members", b"plan", b"steward")]
    assert {server.ask("PTTL", key) for key in keys} == {-1}


def test_no_step_reads_the_servers_clock_or_lets_a_key_expire() -> None:
    """An hour's jump of it changes nothing.  (EXPIRE, PEXPIREAT, SETEX, a SET with PX, GETEX: all have EX or PX in them.)"""
    called = re.findall(r"redis\.call\('(\w+)'([^)]*)", " ".join(vars(redis_scripts)[name] for name in SCRIPTS))
    assert {command for command, _ in called} == {"GET", "SET", "HGET", "HSET", "HDEL", "HGETALL", "HMGET"}
    assert not [options for command, options in called if command == "SET" and re.search(r"'(EX|PX|KEEPTTL)", options)]


def test_a_record_that_is_none_blinds_nobody(server: RedisServer, open_store: OpenStore) -> None:
    store = open_store("town")
    store.register(member("shard-a"), "")
    server.ask("HSET", "{town}:members", "shard:junk", "not json", "shard:other", '{"role":"shard","id":"x","incarnation":"1"}')
    assert list(store.look(0).members) == ["shard:shard-a"]
    assert store.register(member("junk"), "")
    assert sorted(store.look(0).members) == ["shard:junk", "shard:shard-a"]


def test_a_plan_or_a_map_that_is_none_is_told(server: RedisServer, open_store: OpenStore) -> None:
    store = open_store("town")
    server.ask("SET", "{town}:plan", '{"pins": {"5000": "shard-a"}}')
    with pytest.raises(BadRecord):
        store.look(0)
    server.ask("DEL", "{town}:plan")
    server.ask("HSET", "{town}:map", "version", "3", "map", "{}")
    with pytest.raises(ValueError, match="slot map"):
        store.look(0)


def test_a_key_of_another_kind_is_told_as_the_store_being_away(server: RedisServer, open_store: OpenStore) -> None:
    server.ask("SET", "{town}:members", "somebody else's")
    for operation in (lambda: open_store("town").look(0), lambda: open_store("town").renew(member("shard-a"))):
        with pytest.raises(StoreAway, match="WRONGTYPE"):
            operation()
    server.ask("SET", "{town}:hints", "somebody else's")
    with pytest.raises(StoreAway, match="WRONGTYPE"):
        open_store("town").hint(A, "first")


def test_a_server_that_is_not_there_or_is_read_only_is_told_and_one_that_is_back_is_used(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        store = RedisStore(RedisClient(server.settings), "town")
        store.register(member("shard-a"), "")
        server.kill()
        for operation in (lambda: store.look(0), lambda: store.hint(A, "first")):
            with pytest.raises(StoreAway, match=r"127\.0\.0\.1"):
                operation()
        server.start()
        assert store.look(0).members == {}
        server.ask("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreAway, match=r"(?i)read.only"):
            store.renew(member("shard-a"))
        server.ask("REPLICAOF", "NO", "ONE")
        assert store.renew(member("shard-a"))
        store.close()


def test_scripts_that_the_server_has_forgotten_are_loaded_again(server: RedisServer, open_store: OpenStore) -> None:
    store = open_store("town")
    store.register(member("shard-a"), "")
    server.ask("SCRIPT", "FLUSH")
    assert store.renew(member("shard-a", counter=1))
    ClusterStoreContract().found(store)
    assert store.look(0).slot_map == a_map(1)


def test_after_a_failover_the_sentinels_new_primary_is_used(tmp_path: Path) -> None:
    with redis_sentinels(tmp_path) as sentinels:
        store = RedisStore(RedisClient(sentinels.settings), "town")
        store.register(member("shard-a"), "")
        sentinels.primary.ask("WAIT", 1, 5000)
        sentinels.primary.kill()
        sentinels.wait_failed_over()
        assert store.renew(member("shard-a", counter=1))
        assert store.look(0).members["shard:shard-a"].counter == 1
        store.close()
