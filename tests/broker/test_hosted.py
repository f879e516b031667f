"""When a room may leave memory: only when nobody would miss it."""

from broker.hosted import Feed, Hosted, LinkId, Phase
from broker.load_room import room_of
from tests.support.shard_driver import ROOM, message
from wire.names import RoomName, Slot

NAME = RoomName(ROOM)


def serving() -> Hosted:
    return Hosted(NAME, Slot(1), room_of(NAME, None, "store"), Phase.SERVING)


def test_a_room_without_listeners_and_work_is_idle() -> None:
    assert serving().is_idle


def test_a_room_that_is_used_or_owed_an_answer_is_not() -> None:
    attached, waited_for, suspended, pending = serving(), serving(), serving(), serving()
    attached.feeds[LinkId(1)] = Feed(1)
    waited_for.waiting.append((LinkId(1), message(1)))
    suspended.phase = Phase.SUSPENDED
    assert pending.room is not None
    pending.room.handle(message(1), 1000, bytes(16))
    assert not any(hosted.is_idle for hosted in (attached, waited_for, suspended, pending, Hosted(NAME, Slot(1))))
