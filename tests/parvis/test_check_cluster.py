"""parvis/check_cluster.py: what is said of a cluster's directory before anybody joins it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from parvis.check_cluster import examine_cluster
from parvis.directory_store import open_store
from parvis.finding import Finding
from runtime.lifecycle import ExitCode
from runtime.schema import BrokerSettings, ClusterSettings, RedisSettings, Settings
from shard_router.joining import fingerprint
from tests.support.cluster_store_contract import ClusterStoreContract, member
from tests.support.redis_server import RedisServer, redis_server

SECRET = b"a" * 64


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def settings(server: RedisServer, tmp_path: Path) -> Settings:
    server.ask("FLUSHALL")
    (tmp_path / "link.secret").write_bytes(SECRET + b"\n")
    return Settings(
        data_dir=str(tmp_path), cluster=ClusterSettings(directory="redis", name="town"), redis=RedisSettings(url=server.url)
    )


def only(settings: Settings) -> Finding:
    (finding,) = examine_cluster(settings)
    return finding


def test_a_static_directory_is_nothing_to_be_said_of() -> None:
    assert not list(examine_cluster(Settings()))


def test_an_empty_directory_is_ready_to_be_founded_and_stays_empty(settings: Settings, server: RedisServer) -> None:
    assert only(settings) == Finding("ok", "directory of the cluster town is empty; the first shards found it")
    assert server.ask("DBSIZE") == 0


def test_a_cluster_of_ours_is_counted(settings: Settings) -> None:
    store = open_store(settings)
    store.introduce([fingerprint(SECRET, "town")])
    store.register(member("shard-a"), "")
    ClusterStoreContract().found(store)
    store.close()
    finding = only(settings)
    assert finding.verdict == "ok"
    assert "slot map 1, 1 shard and 0 gateways" in finding.what


def test_another_secret_or_none_is_what_a_start_would_end_with(settings: Settings, tmp_path: Path) -> None:
    store = open_store(settings)
    store.introduce([fingerprint(b"b" * 64, "town")])
    store.close()
    assert list(examine_cluster(settings))[-1].code == ExitCode.CONFIG
    assert "another link secret" in list(examine_cluster(settings))[-1].what
    (tmp_path / "link.secret").unlink()
    assert "copy it here" in list(examine_cluster(settings))[-1].what
    (tmp_path / "link.secret").write_text("short\n")
    assert [finding.verdict for finding in examine_cluster(settings)] == ["ok"]


def test_a_redis_that_is_not_there_is_bad(settings: Settings) -> None:
    away = Settings(cluster=settings.cluster, redis=RedisSettings(url="redis://127.0.0.1:1"))
    assert only(away).verdict == "bad"
    assert only(away).code == ExitCode.UNAVAILABLE


def test_a_shard_on_every_address_needs_one_to_be_reached_at(settings: Settings) -> None:
    everywhere = Settings(
        data_dir=settings.data_dir, cluster=settings.cluster, redis=settings.redis, broker=BrokerSettings(host="0.0.0.0")
    )
    assert "broker.advertise" in list(examine_cluster(everywhere))[-1].what
