"""The rooms of a client: whose word counts, and what breaks in reading are called."""

from client.effects import ConnectionId
from client.room import RoomState
from client.rooms import Rooms
from client.updates import Gap
from wire.client_messages import Count, Event, Hide, Joined, Position, Reset, Skipped, Stale
from wire.codes import Refusal
from wire.limits import ROOMS_PER_CLIENT_MAX

ROOM = "square/main"
ONE, TWO = ConnectionId(1), ConnectionId(2)


def event(offset: int) -> Event:
    return Event(ROOM, offset, 1000, "message")


def entered(offset: int = 0) -> tuple[Rooms, RoomState]:
    rooms = Rooms()
    assert rooms.want(ROOM, None, 50) is None
    room = rooms.get(ROOM)
    assert room is not None
    reply = Joined(0, ROOM, "e1", offset, offset)
    assert rooms.enter(room, ONE, reply) == (None, reply)
    return rooms, room


def test_a_room_is_wanted_once_and_so_many_at_most() -> None:
    rooms, _ = entered()
    assert rooms.want(ROOM, None, 50) is Refusal.ALREADY_JOINED
    for i in range(ROOMS_PER_CLIENT_MAX - 1):
        assert rooms.want(f"square/{i}", None, 50) is None
    assert rooms.want("square/more", None, 50) is Refusal.ROOM_LIMIT
    assert rooms.forget(ROOM)
    assert not rooms.forget(ROOM)
    assert rooms.want("square/more", None, 50) is None


def test_only_the_owner_s_events_count() -> None:
    rooms, room = entered(3)
    assert rooms.take_event(TWO, event(4)) is None
    assert rooms.take_event(ONE, event(4)) == event(4)
    rooms.enter(room, TWO, Joined(0, ROOM, "e1", 5, 4, recovered=True))
    assert rooms.take_event(ONE, event(5)) is None
    assert rooms.take_event(TWO, event(5)) == event(5)
    assert rooms.are_on(TWO)
    assert not rooms.are_on(ONE)


def test_a_hole_is_a_gap_until_it_is_announced() -> None:
    rooms, room = entered(3)
    assert rooms.take_event(ONE, event(6)) == Gap(ROOM, 4, 5)
    assert room.offset == 3
    assert rooms.take_skipped(ONE, Skipped(ROOM, 5, 8)) == Gap(ROOM, 4, 4)
    assert rooms.take_skipped(ONE, Skipped(ROOM, 4, 8)) == Skipped(ROOM, 4, 8)
    assert rooms.take_skipped(ONE, Skipped(ROOM, 4, 8)) is None
    assert rooms.take_skipped(ONE, Skipped(ROOM, 7, 9)) == Skipped(ROOM, 9, 9)
    assert rooms.take_skipped(TWO, Skipped(ROOM, 10, 11)) is None


def test_a_resume_from_too_far_back_says_exactly_what_is_missing() -> None:
    rooms, room = entered(3)
    reply = Joined(0, ROOM, "e1", 90, 80, asked=True, reason="limit")
    assert rooms.enter(room, TWO, reply) == (Skipped(ROOM, 4, 80), reply)
    other = Joined(0, ROOM, "e2", 90, 80, asked=True, reason="epoch")
    assert rooms.enter(room, TWO, other) == (Reset(ROOM, "e2", 80, "epoch"), other)


def test_signals_count_from_the_owner_and_reset_moves() -> None:
    rooms, room = entered(3)
    for signal in (Count(ROOM, 7), Hide(ROOM, 2), Stale(ROOM, True), Reset(ROOM, "e2", 1)):
        assert not rooms.take_signal(TWO, signal)
        assert rooms.take_signal(ONE, signal)
    assert room.present == 7
    assert room.position() == Position("e2", 1)


def test_a_lost_connection_owns_nothing_and_its_positions_stay() -> None:
    rooms, room = entered(3)
    assert rooms.seen(ONE) == {ROOM: 3}
    rooms.release(ONE)
    assert rooms.seen(ONE) == {}
    assert room.owner is None
    assert [request.since for request in rooms.join_requests()] == [Position("e1", 3)]


def test_rooms_are_due_once_when_their_time_has_come() -> None:
    rooms, room = entered(3)
    room.rejoin_at = 5.0
    assert rooms.deadlines() == [5.0]
    assert rooms.take_due(4.9) == []
    assert rooms.take_due(5.0) == [room]
    assert rooms.take_due(6.0) == []
    room.rejoin_at = 7.0
    rooms.release_all()
    assert rooms.deadlines() == []


def test_a_reply_that_connects_to_what_another_connection_brought_is_told_as_whole() -> None:
    """Found by the simulation: the position of the hello was too old, the one at its answer was not."""
    rooms, room = entered(3)
    for offset in range(4, 9):
        room.advance(offset)
    reply = Joined(0, ROOM, "e1", 9, 6, asked=True, reason="limit")
    break_in_reading, told = rooms.enter(room, TWO, reply)
    assert break_in_reading is None
    assert (told.recovered, told.reason, told.since) == (True, "", 6)
    assert room.offset == 8


def test_another_log_of_the_same_name_is_another_log() -> None:
    rooms, room = entered(8)
    reply = Joined(0, ROOM, "e1", 9, 6, asked=True, reason="epoch")
    assert rooms.enter(room, TWO, reply) == (Reset(ROOM, "e1", 6, "epoch"), reply)
    assert room.offset == 6
