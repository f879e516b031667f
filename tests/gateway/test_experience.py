"""What an answer to a ping says of lag and share, and what of it is not believed."""

import pytest

from gateway.client import Membership
from gateway.experience import note_seen
from gateway.feed import Feed
from tests.gateway.test_gateway import enter
from tests.support.gateway_fakes import ROOM, FakeGateway, attached, batch, make_client
from tests.support.gateway_rig import Rig
from wire.client_messages import Pong
from wire.names import RoomName


class Room:
    """A room in which offset n comes at second n, and one reader from its beginning on."""

    def __init__(self, events: int) -> None:
        self.owner = FakeGateway()
        self.now = 0.0
        self.feed = Feed(RoomName(ROOM), self.owner, lambda: self.now)
        self.feed.on_attached(attached())
        client, _ = make_client(self.owner)
        self.member: Membership = self.feed.add(client, self.feed.ring.head, 10**6)
        self.come(events)

    def come(self, events: int) -> None:
        for _ in range(events):
            self.now += 1.0
            offset = self.feed.ring.head_offset + 1
            self.feed.on_batch(batch(offset, offset))

    def answer(self, offset: int, *, after_s: float = 0.0, room: str = ROOM) -> None:
        note_seen(self.member.client.memberships, {room: offset}, self.now + after_s, self.owner.counters)

    @property
    def figures(self) -> tuple[int, int, int, float, int]:
        """How many places, events due and processed, seconds of lag; and how many places were not believed."""
        counters = self.owner.counters
        lag = counters.reader_lag_seconds
        return lag.count, counters.reported_due, counters.reported_processed, lag.sum, counters.reports_implausible


def test_who_has_processed_all_has_no_lag_and_the_whole_share() -> None:
    room = Room(5)
    room.answer(5, after_s=30.0)
    assert room.figures == (1, 5, 5, 0.0, 0)


def test_lag_is_the_age_of_the_oldest_event_that_was_not_processed() -> None:
    room = Room(5)
    room.answer(2, after_s=0.5)
    # Offset 3 came at second 3, and it is half past 5 now.
    assert room.figures == (1, 5, 2, 2.5, 0)


def test_what_was_counted_once_is_not_counted_again() -> None:
    room = Room(5)
    room.answer(2)
    room.come(5)
    room.answer(10)
    assert room.figures[1:3] == (5 + 8, 2 + 8)


@pytest.mark.parametrize("offset", [6, 2**53, 2])
def test_what_cannot_be_is_counted_as_such_and_changes_nothing(offset: int) -> None:
    room = Room(5)
    room.answer(3)
    before = room.figures
    room.answer(offset)
    assert room.figures == (*before[:4], 1)
    room.answer(5)
    assert room.figures[1:3] == (before[1] + 2, before[2] + 2)


def test_a_room_that_was_left_and_a_log_that_began_anew_say_nothing() -> None:
    room = Room(5)
    room.answer(5, room="square/other")
    room.feed.on_attached(attached(9, 12, epoch="e2"))
    room.answer(5)
    assert room.figures == (0, 0, 0, 0.0, 0)
    room.answer(room.feed.ring.head_offset)
    assert room.figures[3:] == (0.0, 0)


def test_a_reader_so_far_behind_that_its_next_event_is_forgotten_has_the_age_of_the_oldest_held() -> None:
    room = Room(2)
    room.now = 100.0
    room.feed.ring._forget(2)
    room.come(1)
    room.answer(0, after_s=4.0)
    assert room.figures[3:] == (4.0, 0)


def test_a_pong_is_counted_by_its_gateway_and_answered_by_nothing() -> None:
    rig = Rig()
    it, _ = enter(rig)
    rig.gateway.feeds[RoomName(ROOM)].on_batch(batch(4, 5))
    rig.now += 0.75
    assert it.say(Pong({ROOM: 4, "square/elsewhere": 9})) == []
    assert (rig.counters.reported_due, rig.counters.reported_processed) == (2, 1)
    assert rig.counters.reader_lag_seconds.sum == 0.75
