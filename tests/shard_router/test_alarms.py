"""When rooms are asked for again."""

import itertools

from shard_router.alarms import Alarms
from shard_router.attachment import Attachment
from tests.support.feed_probe import FeedProbe


def attachment(room: str = "town/square") -> Attachment:
    return Attachment(FeedProbe(room))


def test_alarms_come_in_the_order_of_their_times_and_once() -> None:
    alarms = Alarms(itertools.count(1))
    late, early = attachment("town/late"), attachment("town/early")
    alarms.set(late, 20.0)
    alarms.set(early, 10.0)
    assert list(alarms.due(9.9)) == []
    assert list(alarms.due(20.0)) == [early, late]
    assert list(alarms.due(100.0)) == []


def test_an_alarm_replaces_the_earlier_one_of_its_feed() -> None:
    alarms = Alarms(itertools.count(1))
    feed = attachment()
    alarms.set(feed, 10.0)
    alarms.set(feed, 30.0)
    assert list(alarms.due(20.0)) == []
    assert list(alarms.due(30.0)) == [feed]


def test_an_answer_ends_the_alarm() -> None:
    alarms = Alarms(itertools.count(1))
    feed = attachment()
    alarms.set(feed, 10.0)
    feed.wake = 0
    assert list(alarms.due(10.0)) == []


def test_an_alarm_left_behind_at_another_shard_does_not_count() -> None:
    """Found by reading: with a count of its own for each shard, a feed that moved was asked for at both."""
    numbers = itertools.count(1)
    old_owner, new_owner = Alarms(numbers), Alarms(numbers)
    feed = attachment()
    old_owner.set(feed, 10.0)
    new_owner.set(feed, 10.0)
    assert list(old_owner.due(10.0)) == []
    assert list(new_owner.due(10.0)) == [feed]
