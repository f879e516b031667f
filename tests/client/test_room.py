"""One room's position: what continues it, what repeats it, what is missing."""

from hypothesis import given
from hypothesis import strategies as st

from client.effects import ConnectionId
from client.room import RoomState, Verdict
from wire.client_messages import Joined, JoinRequest, Position

ROOM = "square/main"
FIRST, SECOND = ConnectionId(1), ConnectionId(2)


def joined(offset: int, since: int, epoch: str = "e1", recovered: bool = False, chain: str = "", present: int = 0) -> Joined:
    return Joined(0, ROOM, epoch, offset, since, chain, True, recovered, "", present)


def at(offset: int, epoch: str = "e1") -> RoomState:
    return RoomState(ROOM, Position(epoch, offset), 50)


def test_a_room_never_entered_has_no_position() -> None:
    room = RoomState(ROOM, None, 20)
    assert room.position() is None
    assert room.join_request() == JoinRequest(ROOM, None, 20)


def test_a_first_join_connects_to_nothing_and_is_whole() -> None:
    room = RoomState(ROOM, None, 20)
    assert room.enter(FIRST, joined(13, 11, present=4))
    assert (room.position(), room.owner, room.present) == (Position("e1", 11), FIRST, 4)


@given(st.integers(0, 100), st.integers(1, 200))
def test_an_offset_is_next_or_seen_or_beyond_a_gap(offset: int, came: int) -> None:
    verdict = at(offset).judge(came)
    assert verdict is (Verdict.NEXT if came == offset + 1 else Verdict.SEEN if came <= offset else Verdict.GAP)


def test_the_chain_is_named_only_at_the_head_of_the_join() -> None:
    room = at(3)
    room.enter(FIRST, joined(4, 3, recovered=True, chain="00112233445566aa"))
    assert room.position() == Position("e1", 3)
    room.advance(4)
    assert room.position() == Position("e1", 4, "00112233445566aa")
    room.advance(5)
    assert room.position() == Position("e1", 5)


def test_a_resume_that_starts_before_what_was_seen_still_connects() -> None:
    room = at(9)
    assert room.enter(SECOND, joined(12, 5, recovered=True))
    assert room.offset == 9


def test_a_gateway_that_lags_is_believed_when_it_says_recovered() -> None:
    room = at(9)
    assert room.enter(SECOND, joined(7, 7, recovered=True))
    assert room.offset == 9


def test_recovered_is_not_believed_of_another_epoch_or_beyond_the_position() -> None:
    room = at(9)
    assert not room.enter(SECOND, joined(20, 15, recovered=True))
    assert room.position() == Position("e1", 15)
    assert not room.enter(SECOND, joined(20, 3, epoch="e2", recovered=True))
    assert room.position() == Position("e2", 3)


def test_a_log_that_is_shorter_than_what_was_seen_starts_over() -> None:
    room = at(9)
    assert not room.enter(SECOND, joined(4, 0))
    assert room.position() == Position("e1", 0)
