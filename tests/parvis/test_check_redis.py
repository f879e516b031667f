"""`parvis check` of a journal in Redis: what a start would say, and what an operator should know."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from parvis.check_redis import examine_redis
from parvis.parts import open_journal
from runtime.lifecycle import ExitCode
from runtime.schema import ClusterSettings, JournalSettings, RedisSettings, Settings
from tests.support.redis_server import RedisServer, redis_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path, "--appendonly", "yes") as running:
        yield running


def settings_for(server: RedisServer, wait_replicas: int = 0) -> Settings:
    return Settings(
        redis=RedisSettings(url=server.url), journal=JournalSettings(kind="redis", wait_replicas=wait_replicas),
        cluster=ClusterSettings(name="chat"),
    )  # fmt: skip


def told(settings: Settings) -> list[tuple[str, ExitCode]]:
    return [(finding.verdict, finding.code) for finding in examine_redis(settings)]


def said(settings: Settings) -> str:
    return "\n".join(finding.what for finding in examine_redis(settings))


def test_a_store_is_found_good_before_and_after_the_first_start_and_left_as_it_is(server: RedisServer) -> None:
    settings = settings_for(server)
    assert told(settings) == [("ok", ExitCode.OK)] * 2
    assert "journal of the cluster chat is not there yet; the first start makes it" in said(settings)
    assert server.ask("DBSIZE") == 0
    open_journal(settings).close()
    assert "journal of the cluster chat opens; slot map 0" in said(settings)


def test_what_a_crash_would_cost_is_noted(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "appendfsync", "no")
    assert "a power cut may cost half a minute" in said(settings_for(server))
    server.ask("CONFIG", "SET", "appendonly", "no")
    assert "what was acknowledged ends with its process" in said(settings_for(server))
    assert "nothing can be published until there are as many" in said(settings_for(server, wait_replicas=1))


def test_a_store_that_forgets_and_one_that_is_not_ours_are_bad(server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
    assert told(settings_for(server))[-1] == ("bad", ExitCode.DATA)
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.ask("SET", "{chat}:journal", "mine")
    assert told(settings_for(server))[-1] == ("bad", ExitCode.DATA)
    assert "holds no journal of parvis under chat: WRONGTYPE" in said(settings_for(server))


def test_a_store_that_is_away_is_bad(server: RedisServer) -> None:
    server.kill()
    assert told(settings_for(server)) == [("bad", ExitCode.UNAVAILABLE)]
