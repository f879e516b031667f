"""Which shard is asked, and what happens to rooms that change hands."""

from typing import Any

import trio
from trio.testing import MockClock

from shard_router.placement import place
from shard_router.ports import RangeAnswer
from shard_router.slots import slot_of
from tests.support.fake_shard import FakeShard
from tests.support.feed_probe import FeedProbe
from tests.support.router_rig import (
    ROOM,
    TICKS_S,
    Answers,
    Cluster,
    attached,
    open_live,
    saying,
    settle,
)
from wire import limits
from wire.names import RoomName, ShardId
from wire.node_messages import (
    Attach,
    CommandRefused,
    Detach,
    MapNews,
    Moved,
    OutcomeUnknown,
    PublishCommand,
    Range,
    RangeRead,
)


async def test_two_shards_each_get_what_their_slots_say(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    cluster = Cluster(nursery, "shard-1", "shard-2", "shard-3")
    await nursery.start(cluster.router.run)
    rooms = [f"load/room-{number}" for number in range(60)]
    for room in rooms:
        assert cluster.router.publish(saying("hi", room), lambda answer: None) is None
    await trio.sleep(5)
    for shard, fake in cluster.shards.items():
        heard = {message.room for message in fake.all_heard if isinstance(message, PublishCommand)}
        assert heard == {room for room in rooms if cluster.directory.slot_map.owner_of(slot_of(RoomName(room))) == shard}
        assert heard


async def test_when_the_router_ends_every_open_request_is_answered_and_new_ones_are_refused(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        cluster = Cluster(nursery, "shard-1")
        answers = Answers(cluster.router)
        answers.publish("before it ran")
        async with trio.open_nursery() as router_nursery:
            await router_nursery.start(cluster.router.run)
            await cluster.shard.expect(PublishCommand)
            cluster.shard.is_up = False
            router_nursery.cancel_scope.cancel()
        assert isinstance(answers.by_text["before it ran"], OutcomeUnknown)
        refusal = answers.publish("after")
        assert refusal is not None
        assert refusal.code == "draining"
        nursery.cancel_scope.cancel()


async def test_identical_reads_under_way_are_asked_once(cluster: Cluster, autojump_clock: MockClock) -> None:
    got: list[RangeAnswer] = []
    question = RangeRead(0, ROOM, "epoch-1", after=5, limit=50)
    for _ in range(100):
        assert cluster.router.read_range(question, got.append) is None
    assert cluster.router.read_range(RangeRead(0, ROOM, "epoch-1", after=6, limit=50), got.append) is None
    first, second = await cluster.shard.expect(RangeRead), await cluster.shard.expect(RangeRead)
    assert (first.after, second.after) == (5, 6)
    assert first.request != second.request
    cluster.shard.say(Range(first.request, "epoch-1", 9, []))
    await settle()
    assert len(got) == 100
    cluster.router.read_range(question, got.append)
    assert (await cluster.shard.expect(RangeRead)).after == 5
    assert cluster.router.counters.reads_shared == 99


async def test_a_read_survives_lost_links_until_its_wait_ends(cluster: Cluster, autojump_clock: MockClock) -> None:
    got: list[RangeAnswer] = []
    cluster.router.read_range(RangeRead(0, ROOM), got.append)
    for _ in range(3):
        await cluster.shard.expect(RangeRead)
        cluster.shard.cut()
    await trio.sleep(limits.PUBLISH_WAIT_S)
    assert [answer.code for answer in got if isinstance(answer, CommandRefused)] == ["unavailable"]


async def test_a_refused_read_is_not_left_in_flight(cluster: Cluster, autojump_clock: MockClock) -> None:
    cluster.shard.is_up = False
    cluster.shard.cut()
    await trio.sleep(limits.PUBLISH_WAIT_S + 1)
    for _ in range(2):
        refusal = cluster.router.read_range(RangeRead(0, ROOM), lambda answer: None)
        assert refusal is not None
        assert refusal.code == "unavailable"


async def test_what_a_shard_disowns_is_asked_again_in_order_of_the_owner_in_the_map(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    shard = cluster.shard
    answers.publish("one")
    command = await shard.expect(PublishCommand)
    shard.say(Moved(ROOM, 2, request=command.request))
    await settle()
    answers.publish("two")
    answers.publish("elsewhere", room="town/elsewhere")
    texts = [(await shard.expect(PublishCommand)).text for _ in range(3)]
    assert texts == ["elsewhere", "one", "two"]
    assert answers.by_text == {}


async def test_what_crossed_a_new_map_on_its_way_is_asked_at_once_of_the_owner_in_it(
    cluster: Cluster, nursery: trio.Nursery, answers: Answers, autojump_clock: MockClock
) -> None:
    answers.publish("crossing")
    command = await cluster.shard.expect(PublishCommand)
    newcomer = cluster.shards[ShardId("shard-2")] = FakeShard(nursery, "shard-2", map_version=2)
    cluster.directory.change(place(2, {ShardId("shard-1"): 0, ShardId("shard-2"): 1}))
    await cluster.shard.expect(MapNews)
    answers.publish("after")
    assert (await newcomer.expect(PublishCommand)).text == "after"
    began = trio.current_time()
    cluster.shard.say(Moved(ROOM, 2, request=command.request))
    asked = await newcomer.expect(PublishCommand)
    assert asked.text == "crossing"
    assert trio.current_time() == began, "not a quarter of a second later"
    newcomer.say(Moved(ROOM, 3, request=asked.request))
    await newcomer.expect(PublishCommand)
    assert trio.current_time() - began >= limits.MOVED_RETRY_S, "an owner that says so itself is given time"


async def test_a_room_that_nobody_owns_is_unavailable_after_the_wait(
    cluster: Cluster, answers: Answers, autojump_clock: MockClock
) -> None:
    def disown(message: Any) -> None:
        if isinstance(message, PublishCommand):
            cluster.shard.say(Moved(ROOM, 2, request=message.request))

    cluster.shard.respond = disown
    answers.publish("homeless")
    await trio.sleep(limits.PUBLISH_WAIT_S + TICKS_S)
    refusal = answers.by_text["homeless"]
    assert isinstance(refusal, CommandRefused)
    assert refusal.code == "unavailable"


async def test_a_new_map_takes_feeds_and_waiting_requests_to_the_new_owner(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    cluster = Cluster(nursery, "shard-1", "shard-2")
    await nursery.start(cluster.router.run)
    answers = Answers(cluster.router)
    owner = cluster.directory.slot_map.owner_of(slot_of(RoomName(ROOM)))
    old = cluster.shards.pop(owner)
    ((new_id, new),) = cluster.shards.items()
    feed = FeedProbe(ROOM)
    cluster.shards[owner] = old
    cluster.router.open_feed(feed)
    question = await old.expect(Attach)
    old.say(attached(question, 10))
    answers.publish("sent")
    await old.expect(PublishCommand)
    old.is_up = False
    cluster.directory.change(place(2, {new_id: 1}))
    assert await new.expect(MapNews) == MapNews(2)
    continued = await new.expect(Attach)
    assert (continued.epoch, continued.offset) == ("epoch-1", 10)
    assert (await new.expect(PublishCommand)).text == "sent"
    assert cluster.router.shards_known == 1
    await trio.sleep(30)
    assert old.attempts == 1


async def test_what_waits_for_a_shard_that_is_down_goes_to_the_new_owner(
    cluster: Cluster, nursery: trio.Nursery, answers: Answers, autojump_clock: MockClock
) -> None:
    cluster.shard.is_up = False
    cluster.shard.cut()
    await settle()
    answers.publish("one")
    answers.publish("two")
    newcomer = cluster.shards[ShardId("shard-2")] = FakeShard(nursery, "shard-2", map_version=2)
    cluster.directory.change(place(2, {ShardId("shard-1"): 0, ShardId("shard-2"): 1}))
    assert [(await newcomer.expect(PublishCommand)).text for _ in range(2)] == ["one", "two"]


async def test_a_new_shard_in_the_map_is_linked_and_given_its_rooms(
    cluster: Cluster, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    feed, generation = await open_live(cluster)
    newcomer = cluster.shards[ShardId("shard-2")] = FakeShard(nursery, "shard-2", map_version=2)
    cluster.directory.change(place(2, {ShardId("shard-1"): 0, ShardId("shard-2"): 1}))
    assert await cluster.shard.expect(MapNews) == MapNews(2)
    assert await cluster.shard.expect(Detach) == Detach(ROOM, generation)
    question = await newcomer.expect(Attach)
    assert question.offset == 10
    assert feed.told[1:] == ["detached"], "a room must not be quiet for as long as its new owner is"


async def test_a_feed_that_its_shard_disowns_is_told_and_asks_again(cluster: Cluster, autojump_clock: MockClock) -> None:
    feed, generation = await open_live(cluster)
    cluster.shard.say(Moved(ROOM, 2, generation=generation))
    question = await cluster.shard.expect(Attach)
    assert feed.told[-1] == "detached"
    assert (question.epoch, question.offset) == ("epoch-1", 10)
