"""News of slot maps: both ways, at once, and before what depends on them."""

import pytest
import trio
from trio.testing import MockClock

from runtime.link import Link
from runtime.link_handshake import Introduction
from runtime.sockets import SocketNetwork
from shard_router.map_talk import MapTalk
from shard_router.placement import place
from tests.support.feed_probe import FeedProbe
from tests.support.router_rig import ROOM, Answers, Cluster, attached, open_live, settle
from wire.limits import LINK_UP_BYTES_MAX
from wire.names import ShardId
from wire.node_messages import Attach, Detach, MapNews, Moved, PublishCommand


class Follower:
    def __init__(self, map_version: int) -> None:
        self.map_version = map_version
        self.heard: list[int] = []

    def on_map_heard(self, version: int) -> None:
        self.heard.append(version)


def follow(cluster: Cluster, version: int) -> None:
    cluster.directory.change(place(version, dict.fromkeys(cluster.directory.slot_map.shards, 1)))


async def test_a_new_map_is_told_over_every_open_link(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    cluster = Cluster(nursery, "shard-1", "shard-2")
    await nursery.start(cluster.router.run)
    await trio.sleep(1)
    follow(cluster, 2)
    for shard in cluster.shards.values():
        assert await shard.expect(MapNews) == MapNews(2)


async def test_a_shard_hears_of_the_map_before_a_room_is_attached_under_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    cluster = Cluster(nursery, "shard-1", "shard-2")
    await nursery.start(cluster.router.run)
    await trio.sleep(1)
    feeds = [FeedProbe(f"town/hall-{number}") for number in range(20)]
    for feed in feeds:
        cluster.router.open_feed(feed)
    await settle()
    cluster.directory.change(place(2, {ShardId("shard-1"): 1, ShardId("shard-2"): 0}))
    await settle()
    heard = cluster.shards[ShardId("shard-1")].all_heard
    moved_in = heard[heard.index(MapNews(2)) + 1 :]
    assert moved_in
    assert all(isinstance(message, Attach) for message in moved_in)
    before = heard[: heard.index(MapNews(2))]
    assert len(before) + len(moved_in) == len(feeds)


async def test_news_that_found_the_link_full_stays_due_until_it_is_told() -> None:
    network = SocketNetwork()
    follower = Follower(2)
    talk = MapTalk(follower)
    narrow, wide = (Link(network.pair()[0], Introduction(2, "shard-1", "shard", 1), bytes_max) for bytes_max in (1, 1000))
    talk.on_map(narrow)
    assert not talk.push(narrow)
    assert talk.push(wide)
    told = wide.bytes_waiting
    assert told
    assert talk.push(wide)
    assert wide.bytes_waiting == told, "once"


async def test_on_a_full_link_news_goes_before_the_attaches_that_waited_too(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    shard = cluster.shard
    sent = 0
    while answers.publish(f"{sent} " + "y" * 1000) is None:
        sent += 1
    assert cluster.router.counters.link_bytes_waiting is not None
    assert cluster.router.counters.link_bytes_waiting() > LINK_UP_BYTES_MAX - 3000, "the link is full, not the table"
    follow(cluster, 2)
    await trio.testing.wait_all_tasks_blocked()
    cluster.router.open_feed(FeedProbe(ROOM))
    await trio.sleep(1)
    others = [message for message in shard.all_heard if not isinstance(message, PublishCommand)]
    assert [type(message) for message in others] == [MapNews, Attach]


async def test_a_link_to_a_shard_with_an_older_map_begins_with_the_news(cluster: Cluster, autojump_clock: MockClock) -> None:
    shard = cluster.shard
    await open_live(cluster)
    shard.is_up = False
    shard.cut()
    follow(cluster, 5)
    await settle()
    shard.is_up = True
    assert await shard.expect(MapNews) == MapNews(5)
    await shard.expect(Attach)
    shard.map_version = 5
    shard.cut()
    await shard.expect(Attach)
    assert cluster.directory.heard == []


async def test_a_newer_map_of_a_shard_is_looked_for_at_once(cluster: Cluster, autojump_clock: MockClock) -> None:
    cluster.shard.say(MapNews(1), MapNews(3))
    await settle()
    assert cluster.directory.heard == [3]
    cluster.shard.map_version = 4
    cluster.shard.cut()
    await trio.sleep(1)
    assert cluster.directory.heard == [3, 4]


async def test_a_shard_that_disowns_a_room_names_the_map_to_look_for(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    feed, generation = await open_live(cluster)
    answers.publish("hello")
    command = await cluster.shard.expect(PublishCommand)
    cluster.shard.say(Moved(ROOM, 1, request=command.request), Moved(ROOM, 7, generation=generation))
    await settle()
    assert cluster.directory.heard == [7]
    assert feed.told[-1] == "detached"


async def test_a_shard_of_the_older_version_is_told_nothing_it_does_not_know(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr("runtime.link_handshake.LINK_VERSION", 1)
    cluster = Cluster(nursery, "shard-1")
    cluster.shard.map_version = 0
    await nursery.start(cluster.router.run)
    feed = FeedProbe(ROOM)
    cluster.router.open_feed(feed)
    cluster.shard.say(attached(await cluster.shard.expect(Attach)))
    await settle()
    follow(cluster, 2)
    cluster.router.close_feed(feed)
    await cluster.shard.expect(Detach)
