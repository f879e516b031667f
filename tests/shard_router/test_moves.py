"""Rooms between two owners: nothing is lost, overtaken or kept too long."""

from shard_router.moves import MovedRooms
from shard_router.requests import PublishRequest
from wire.limits import MOVED_RETRY_S
from wire.names import RoomName
from wire.node_messages import PublishCommand

SQUARE, HALL = RoomName("town/square"), RoomName("town/hall")


def request(number: int, room: RoomName) -> PublishRequest:
    return PublishRequest(PublishCommand(number, room, "message", "a", "A", str(number)), 10.0, lambda answer: None)


def test_a_room_is_asked_for_again_after_its_time_and_a_second_word_does_not_prolong_it() -> None:
    moved = MovedRooms()
    assert not moved
    moved.hold(SQUARE, now=1.0)
    moved.hold(HALL, now=1.1)
    moved.hold(SQUARE, now=1.2)
    assert SQUARE in moved
    assert moved.due(1.0 + MOVED_RETRY_S - 0.01) == []
    assert moved.due(1.0 + MOVED_RETRY_S) == [SQUARE]
    assert SQUARE not in moved
    assert moved.due(9.0) == [HALL]
    assert not moved


def test_a_new_map_releases_every_room() -> None:
    moved = MovedRooms()
    moved.hold(SQUARE, now=1.0)
    moved.hold(HALL, now=1.0)
    assert moved.release_all() == [SQUARE, HALL]
    assert not moved


def test_requests_leave_with_their_room_in_the_order_they_were_asked() -> None:
    moved = MovedRooms()
    moved.requests.adopt([request(4, SQUARE), request(2, HALL)])
    moved.requests.adopt([request(3, SQUARE)])
    assert [each.message.request for each in moved.requests_of(SQUARE)] == [3, 4]
    assert moved.requests_of(SQUARE) == []
    assert [each.message.request for each in moved.requests_of(HALL)] == [2]
