"""What the settings say about the cluster, and what is refused."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from runtime.schema import ClusterSettings
from shard_router.directory import Address, StaticDirectory, parse_address
from shard_router.placement import place
from wire.names import ShardId

TWO = {"shard-1": "127.0.0.1:8101", "shard-2": "[::1]:8102"}


def test_the_static_directory_gives_the_map_and_the_addresses_of_the_settings() -> None:
    directory = StaticDirectory(ClusterSettings(shards=TWO, map_version=7))
    assert directory.slot_map == place(7, {ShardId("shard-1"): 1, ShardId("shard-2"): 1})
    assert directory.address_of(ShardId("shard-1")) == Address("127.0.0.1", 8101)
    assert directory.address_of(ShardId("shard-2")) == Address("::1", 8102)
    assert directory.address_of(ShardId("shard-3")) is None


async def test_it_never_changes_but_says_at_once_that_another_version_was_seen(autojump_clock: MockClock) -> None:
    directory = StaticDirectory(ClusterSettings(shards=TWO, map_version=7))
    await directory.wait_changed(6)
    with trio.move_on_after(3600) as hour:
        await directory.wait_changed(7)
    assert hour.cancelled_caught


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":1", "host:0", "host:65536", "host:port", "::1:8101", "[::1]", "a b:1", "http://host:1"]
)
def test_an_address_that_is_none_is_refused_and_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"cluster\.shards: .* is not host:port"):
        parse_address(text)


@pytest.mark.parametrize(
    "shards",
    [
        {},
        {"Shard": "a:1"},
        {"-a": "a:1"},
        {"a\n": "a:1"},
        {"a" * 33: "a:1"},
        {f"s-{n}": "a:1" for n in range(65)},
        {"a": "nowhere"},
    ],
)
def test_a_cluster_that_cannot_be_is_refused(shards: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="shard"):
        StaticDirectory(ClusterSettings(shards=shards))
