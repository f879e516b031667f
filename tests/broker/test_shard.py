"""A whole shard as a value: gateways' messages in, answers and batches out."""

import pytest

from broker.journal.memory import MemoryJournal
from tests.support.shard_driver import ROOM, ShardDriver, delete, message
from wire.errors import PeerError
from wire.limits import ROOM_TAIL_EVENTS_MAX
from wire.names import Slot
from wire.node_messages import (
    Attached,
    AttachRefused,
    Batch,
    CommandRefused,
    Committed,
    HideFrames,
    Leaving,
    LinkPing,
    Moved,
    Range,
    RangeRead,
    Sum,
)


def attached(driver: ShardDriver, link: int = 1, **position: object) -> Attached:
    driver.attach(link, **position)
    answer = driver.take(link)[-1]
    assert isinstance(answer, Attached)
    return answer


def test_a_message_reaches_every_gateway_that_listens_and_its_sender_is_answered() -> None:
    driver = ShardDriver()
    for link in (1, 2, 3):
        driver.open_link(link)
    first, _ = attached(driver, 1), attached(driver, 2, generation=9)
    assert (first.offset, first.since, first.frames, first.term) == (0, 0, [], 1)
    driver.say(3, message(7))
    assert driver.take(1) == driver.take(3) == []
    driver.commit()
    assert driver.take(3) == [Committed(7, first.epoch, 1, driver.now_ms)]
    (one,), (two,) = driver.take(1), driver.take(2)
    assert isinstance(one, Batch)
    assert isinstance(two, Batch)
    assert (one.generation, two.generation, one.frames) == (1, 9, two.frames)
    assert [frame.offset for frame in one.frames] == [1]
    assert len(one.chain) == 8


def test_a_late_gateway_gets_the_tail_and_one_that_comes_back_what_it_misses() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    for number in range(3):
        driver.say(1, message(number))
    driver.commit()
    fresh = attached(driver, 1)
    assert (fresh.since, [f.offset for f in fresh.frames], fresh.resumed) == (0, [1, 2, 3], False)
    again = attached(driver, 1, generation=2, epoch=fresh.epoch, offset=2)
    assert (again.since, [f.offset for f in again.frames], again.resumed) == (2, [3], True)


def test_all_rooms_share_one_group_and_a_room_has_one_write_in_it() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    for number in range(30):
        driver.say(1, message(number, room=f"town/{number % 3}"))
    group = driver.take_group()
    assert [(write.room, len(write.entries)) for write in group] == [("town/0", 10), ("town/1", 10), ("town/2", 10)]


def test_what_is_decided_during_a_commit_goes_into_the_next_one() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    driver.say(1, message(1))
    group = driver.take_group()
    driver.say(1, message(2))
    driver.finish(group)
    assert driver.commit() == 1
    answers = driver.take(1)
    assert [answer.offset for answer in answers if isinstance(answer, Committed)] == [1, 2]


def test_a_retry_is_answered_with_the_first_ones_place_before_and_after_the_commit() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    driver.open_link(2)
    driver.say(1, message(1, id="same"))
    driver.say(2, message(8, id="same"))
    driver.commit()
    (first,), (second,) = driver.take(1), driver.take(2)
    assert isinstance(first, Committed)
    assert second == Committed(8, first.epoch, first.offset, first.at, duplicate=True)
    driver.say(2, message(9, id="same"))
    assert driver.take(2) == [Committed(9, first.epoch, first.offset, first.at, duplicate=True)]


def test_a_removal_overtakes_what_gateways_hold() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    driver.say(1, message(1))
    driver.commit()
    attached(driver, 1)
    driver.say(1, delete(2, 1))
    driver.commit()
    sent = driver.take(1)
    assert [type(each) for each in sent] == [Committed, HideFrames, Batch]
    assert isinstance(sent[1], HideFrames)
    assert [t.offset for t in sent[1].tombstones] == [1]


def test_a_slot_of_another_shard_is_answered_with_moved() -> None:
    driver = ShardDriver(map_version=4)
    driver.shard._publishing.release([Slot(n) for n in range(4096)])
    driver.open_link(1)
    driver.attach(1, 3)
    driver.say(1, message(5))
    assert driver.take(1) == [Moved(ROOM, 4, generation=3), Moved(ROOM, 4, request=5)]


def test_a_shard_that_comes_back_on_the_same_journal_keeps_epochs_ids_and_offsets() -> None:
    journal = MemoryJournal("store")
    before = ShardDriver(journal)
    before.open_link(1)
    empty = attached(before, 1, room="town/empty")
    before.say(1, message(1))
    before.commit()
    position = attached(before, 1)
    after = ShardDriver(journal, seed=2)
    after.open_link(1)
    assert attached(after, 1, room="town/empty").epoch == empty.epoch
    again = attached(after, 1, epoch=position.epoch, offset=1, chain=position.chain)
    assert (again.resumed, again.frames, again.term) == (True, [], 2)
    after.say(1, message(1))
    assert after.take(1) == [Committed(1, position.epoch, 1, before.now_ms, duplicate=True)]


def test_history_comes_from_the_tail_and_beyond_it_from_the_journal() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    for number in range(ROOM_TAIL_EVENTS_MAX + 50):
        driver.say(1, message(number))
    driver.commit()
    driver.take(1)
    driver.say(1, RangeRead(1, ROOM, limit=3))
    driver.say(1, RangeRead(2, ROOM, after=10, limit=2))
    driver.say(1, RangeRead(3, ROOM, epoch="another"))
    head = ROOM_TAIL_EVENTS_MAX + 50
    latest, old, refused = driver.take(1)
    assert isinstance(latest, Range)
    assert isinstance(old, Range)
    assert isinstance(refused, CommandRefused)
    assert ([f.offset for f in latest.frames], latest.offset, latest.more) == ([head - 2, head - 1, head], head, True)
    assert ([f.offset for f in old.frames], old.more) == ([11, 12], True)
    assert refused.code == "epoch"


def test_a_message_that_is_not_for_a_shard_ends_the_link() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    with pytest.raises(PeerError):
        driver.say(1, LinkPing(1.0))


def test_a_shard_that_leaves_says_so_and_begins_nothing() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    driver.say(1, message(1))
    driver.run(driver.shard.leave())
    driver.say(1, message(2))
    driver.attach(1, room="town/other")
    assert not driver.shard.is_settled
    driver.commit()
    leaving, refused, attach_refused, committed = driver.take(1)
    assert isinstance(leaving, Leaving)
    assert isinstance(refused, CommandRefused)
    assert isinstance(attach_refused, AttachRefused)
    assert isinstance(committed, Committed)
    assert {refused.code, attach_refused.code} == {"draining"}
    assert driver.shard.is_settled


def test_sums_are_told_to_all_gateways_once_a_tick() -> None:
    driver = ShardDriver()
    driver.open_link(1)
    driver.open_link(2)
    driver.tick(5.0)
    attached(driver, 1, members=3)
    assert attached(driver, 2, members=4).present == 7
    driver.tick(5.0)
    assert driver.take(1) == [Sum(ROOM, 1, 7)]
    driver.tick()
    assert driver.take(1) == []
