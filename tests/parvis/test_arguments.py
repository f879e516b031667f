"""parvis/arguments.py: what child processes are started with, read back by the code that reads it."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from parvis.arguments import Arguments
from parvis.options import read_settings
from parvis.plan import Plan
from runtime.schema import ClusterSettings, GatewaySettings, JournalSettings, LogSettings, RedisSettings, Settings

SETTINGS = Settings(
    data_dir="somewhere",
    log=LogSettings(level="warning"),
    gateway=GatewaySettings(host="0.0.0.0", port=9001, origins=["http://a.example:1", "http://b.example"], drain_deadline_s=1.5),
)
PLAN = Plan(2, 3, None, ("gateway.port=5", "journal.synchronous=normal"))


def settings_of(words: Sequence[str]) -> Settings:
    """What a child makes of its words."""
    return read_settings(None, [after for word, after in pairwise(words) if word == "--set"]).settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARVIS_CONFIG", raising=False)


def test_each_shard_gets_its_name_its_map_and_the_users_settings() -> None:
    words = Arguments(SETTINGS, PLAN, 7).shard(2, 0)
    assert words[:2] == ["broker", "--supervised"]
    settings = settings_of(words)
    assert (settings.broker.id, settings.broker.port, settings.broker.admin_port) == ("shard-2", 0, 0)
    assert settings.cluster.map_version == 7
    assert list(settings.cluster.shards) == ["shard-1", "shard-2", "shard-3"]
    assert settings.journal.synchronous == "normal"
    assert (settings.data_dir, settings.log.level) == ("somewhere", "warning")


def test_gateways_stand_on_ports_in_a_row_and_know_the_shards() -> None:
    arguments = Arguments(SETTINGS, PLAN, 7)
    first, second = (settings_of(arguments.gateway(n, 0, [41, 42, 43])) for n in (1, 2))
    assert (first.gateway.port, second.gateway.port) == (9001, 9002)
    assert second.gateway.id == "gateway-2"
    assert second.cluster.shards == {"shard-1": "127.0.0.1:41", "shard-2": "127.0.0.1:42", "shard-3": "127.0.0.1:43"}
    assert second.gateway.origins == SETTINGS.gateway.origins
    assert (second.gateway.host, second.gateway.drain_deadline_s) == ("0.0.0.0", 1.5)


def test_a_restart_takes_the_port_it_had() -> None:
    anywhere = msgspec.structs.replace(SETTINGS, gateway=msgspec.structs.replace(SETTINGS.gateway, port=0))
    arguments = Arguments(anywhere, PLAN, 7)
    assert settings_of(arguments.gateway(2, 40123, [1, 2, 3])).gateway.port == 40123
    assert settings_of(arguments.shard(1, 40124)).broker.port == 40124


def test_the_settings_file_is_handed_on() -> None:
    words = Arguments(SETTINGS, Plan(1, 2, Path("parvis.toml")), 1).shard(1, 0)
    assert words[words.index("--config") + 1] == "parvis.toml"


def test_in_a_cluster_everyone_finds_the_others_in_the_directory() -> None:
    redis = RedisSettings(url="redis://127.0.0.1:7001/2")
    cluster = ClusterSettings(name="town", directory="redis")
    clustered = msgspec.structs.replace(SETTINGS, redis=redis, cluster=cluster, journal=JournalSettings(kind="redis"))
    arguments = Arguments(clustered, Plan(2, 2, None, (), is_clustered=True), 1)
    shard, gateway = settings_of(arguments.shard(2, 0)), settings_of(arguments.gateway(1, 0, [41, 42]))
    for settings in (shard, gateway):
        assert (settings.redis.url, settings.journal.kind) == ("redis://127.0.0.1:7001/2", "redis")
        assert (settings.cluster.directory, settings.cluster.name) == ("redis", "town")
        assert settings.cluster.shards == ClusterSettings().shards, "addresses are the directory's business"
    assert (shard.broker.id, shard.broker.weight) == ("shard-2", 100)
