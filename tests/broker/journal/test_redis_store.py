"""The store behind a Redis journal: fit or not, ours or not, and what it says of itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.journal.protocol import JournalCorrupt
from broker.journal.redis_keys import Keys
from broker.journal.redis_store import FORMAT_VERSION, UNTOLD, examine, look_at_store, open_store, refuse_unfit
from runtime.redis_client import RedisClient
from tests.support.redis_proxy import redis_proxy
from tests.support.redis_server import RedisServer, redis_server, wait_until

KEYS = Keys("test")


@pytest.fixture
def client(server: RedisServer) -> Iterator[RedisClient]:
    client = RedisClient(server.settings)
    yield client
    client.close()


def test_a_journal_is_made_once(server: RedisServer, client: RedisClient) -> None:
    assert look_at_store(client, KEYS) is None
    assert server.ask("DBSIZE") == 0
    assert open_store(client, KEYS, "first") == "first"
    assert open_store(client, KEYS, "second") == "first"
    assert look_at_store(client, KEYS) == 0


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (("format", str(FORMAT_VERSION + 1), "store_id", "s", "map_version", "1"), "written by a newer parvis: its format is 2"),
        (("format", "1", "store_id", "s"), "is not one of parvis, or damaged"),
        (("colour", "red"), "is not one of parvis, or damaged"),
        (("format", "one", "store_id", "s", "map_version", "1"), "is damaged: its format"),
        (("format", "1", "store_id", "s", "map_version", "x"), "is damaged: its format or its map version"),
    ],
)
def test_what_is_no_journal_of_this_program_is_refused_and_left_alone(
    server: RedisServer, client: RedisClient, fields: tuple[str, ...], problem: str
) -> None:
    server.ask("HSET", KEYS.journal, *fields)
    before = server.ask("DUMP", KEYS.journal)
    for look in (lambda: open_store(client, KEYS, "mine"), lambda: look_at_store(client, KEYS)):
        with pytest.raises(JournalCorrupt, match=problem):
            look()
    assert server.ask("DUMP", KEYS.journal) == before


def test_a_store_that_forgets_when_it_is_full_is_refused(server: RedisServer, client: RedisClient) -> None:
    refuse_unfit(examine(client))
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(JournalCorrupt, match="maxmemory-policy allkeys-lru, which drops what people wrote"):
        refuse_unfit(examine(client))


def test_a_server_says_how_it_keeps_what_it_has(tmp_path: Path, server: RedisServer, client: RedisClient) -> None:
    (facts,) = examine(client)
    assert (facts.appendonly, facts.appendfsync, facts.replicas) == (True, "always", 0)
    assert str(facts).endswith("appendonly yes always, replicas 0")
    with redis_server(tmp_path / "replica", "--replicaof", f"127.0.0.1 {server.port}") as replica:
        wait_until("the replica is in step", lambda: b"master_link_status:up" in replica.ask("INFO", "replication"))
        assert examine(client)[0].replicas == 1


def test_a_run_is_named_by_its_process_and_its_history(tmp_path: Path) -> None:
    with redis_server(tmp_path, "--enable-debug-command", "yes") as server:
        client = RedisClient(server.settings)
        runs = [examine(client)[0].run]
        assert examine(client)[0].run == runs[0]
        server.stop()
        server.start()
        runs.append(examine(client)[0].run)
        server.ask("DEBUG", "CHANGE-REPL-ID")
        runs.append(examine(client)[0].run)
        assert len(set(runs)) == 3
        client.close()


def test_a_server_that_keeps_its_configuration_to_itself_is_used_all_the_same(server: RedisServer) -> None:
    with redis_proxy(lambda command: b"-NOPERM no CONFIG\r\n" if command[0] == b"CONFIG" else None, server.port) as proxy:
        client = RedisClient(proxy.settings)
        (facts,) = examine(client)
        assert (facts.policy, facts.appendfsync) == ("noeviction", UNTOLD)
        refuse_unfit([facts])
        client.close()
