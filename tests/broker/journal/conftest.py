"""Servers that all tests of the Redis journal share, each started when the first test asks for it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from broker.journal.redis import RedisJournal
from runtime.redis_client import RedisClient
from runtime.schema import RedisSettings
from tests.support.redis_server import RedisCluster, RedisServer, redis_cluster, redis_program, redis_sentinels, redis_server
from wire.names import RoomName, Slot

Stores = Callable[[str], RedisSettings]
OpenRedis = Callable[..., RedisJournal]


def slot_of_tests(_: RoomName) -> Slot:
    """Writes of `RoomWriter` name slot 7, whatever their room."""
    return Slot(7)


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Settings of a running store: ``valkey``, ``redis`` (Debian's), ``cluster`` or ``sentinel``."""
    with ExitStack() as running:
        started: dict[str, RedisSettings] = {}

        def start(kind: str) -> RedisSettings:
            if kind not in started:
                started[kind] = _start(running, kind, tmp_path_factory.mktemp(kind))
            return started[kind]

        yield start


def _start(running: ExitStack, kind: str, directory: Path) -> RedisSettings:
    if kind == "redis":
        return running.enter_context(redis_server(directory, program=redis_program())).settings
    if kind == "cluster":
        return running.enter_context(redis_cluster(directory)).settings
    if kind == "sentinel":
        return running.enter_context(redis_sentinels(directory)).settings
    return running.enter_context(redis_server(directory)).settings


@pytest.fixture
def emptied(stores: Stores) -> Stores:
    """As `stores`, with nothing in it."""

    def start(kind: str) -> RedisSettings:
        settings = stores(kind)
        client = RedisClient(settings)
        for primary in client.primaries():
            primary.call("FLUSHALL")
        client.close()
        return settings

    return start


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, to be hurt."""
    with redis_server(tmp_path / "server", "--appendonly", "yes", "--appendfsync", "always") as running:
        yield running


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A cluster to be hurt; who hurts it heals it."""
    with redis_cluster(tmp_path_factory.mktemp("nodes")) as running:
        yield running


@pytest.fixture
def open_redis() -> Iterator[OpenRedis]:
    """Opens a journal on given settings, closed with the test."""
    opened: list[RedisJournal] = []

    def open_it(settings: RedisSettings, *, cluster: str = "test", **options: object) -> RedisJournal:
        journal = RedisJournal(settings, cluster=cluster, new_store_id="store", slot_of=slot_of_tests, **options)  # type: ignore[arg-type]
        opened.append(journal)
        return journal

    yield open_it
    for journal in opened:
        journal.close()
