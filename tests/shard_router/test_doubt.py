"""A shard whose lease has lapsed, and links that break: what feeds and the directory are told."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from shard_router.placement import place
from tests.support.feed_probe import FeedProbe
from tests.support.router_rig import ROOM, Cluster, attached, open_live, settle
from wire.names import ShardId
from wire.node_messages import Attach, AttachRefused, Doubt, Leaving, PublishCommand


async def test_doubt_reaches_every_feed_of_the_shard_and_asks_for_nothing(cluster: Cluster, autojump_clock: MockClock) -> None:
    feeds = [(await open_live(cluster, f"town/hall-{number}"))[0] for number in range(5)]
    cluster.shard.say(Doubt(True))
    await settle()
    assert [feed.told[-1] for feed in feeds] == ["in doubt"] * 5
    cluster.shard.say(Doubt(False))
    await settle()
    assert [feed.told[-1] for feed in feeds] == ["sure"] * 5
    await trio.sleep(5)
    assert cluster.shard.heard_nothing_more()


async def test_a_feed_that_is_attached_during_the_doubt_hears_of_it_before_the_reply(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    cluster.shard.say(Doubt(True))
    feed = FeedProbe(ROOM)
    cluster.router.open_feed(feed)
    reply = attached(await cluster.shard.expect(Attach))
    await settle()
    assert feed.told == []
    cluster.shard.say(reply)
    await settle()
    assert feed.told == ["in doubt", reply]


async def test_a_new_link_begins_without_doubt(cluster: Cluster, autojump_clock: MockClock) -> None:
    feed, _ = await open_live(cluster)
    cluster.shard.say(Doubt(True))
    await settle()
    cluster.shard.cut()
    reply = attached(await cluster.shard.expect(Attach), 10)
    cluster.shard.say(reply)
    await settle()
    assert feed.told[1:] == ["in doubt", "detached", "sure", reply]


async def test_a_feed_whose_attach_is_refused_for_now_is_out_of_reach_until_it_is_not(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    feed, _ = await open_live(cluster)
    await trio.sleep(1)
    cluster.router.reattach(feed)
    question = await cluster.shard.expect(Attach)
    cluster.shard.say(AttachRefused(ROOM, question.generation, "unavailable", "the journal is away", 1000))
    await settle()
    assert feed.told[-1] == "detached"


async def test_a_link_that_breaks_is_a_hint_and_one_that_was_announced_is_none(
    cluster: Cluster, autojump_clock: MockClock
) -> None:
    cluster.shard.cut()
    await trio.sleep(1)
    assert cluster.directory.suspected == [ShardId("shard-1")]
    cluster.shard.say(Leaving())
    await settle()
    cluster.shard.cut()
    await trio.sleep(1)
    assert cluster.directory.suspected == [ShardId("shard-1")]


async def test_a_shard_that_talks_rubbish_is_not_taken_for_gone(cluster: Cluster, autojump_clock: MockClock) -> None:
    cluster.shard.say(PublishCommand(1, ROOM, "message", "g-a", "Ada", "m1"))
    await trio.sleep(1)
    await wait_all_tasks_blocked()
    assert cluster.router.counters.protocol_errors == 1
    assert cluster.directory.suspected == []


async def test_a_shard_that_left_the_map_is_let_go_without_a_hint(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    cluster = Cluster(nursery, "shard-1", "shard-2")
    await nursery.start(cluster.router.run)
    await trio.sleep(1)
    cluster.directory.change(place(2, {ShardId("shard-2"): 1}))
    await trio.sleep(1)
    assert cluster.router.shards_known == 1
    assert cluster.directory.suspected == []
