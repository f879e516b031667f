"""A session's rooms while one connection follows another: each is on the current one, or on its way there."""

from random import Random

from client.effects import ConnectionId, Effect, Send
from client.session import Session
from wire.client_messages import Event, Goaway, Join, Joined, Refused, ServerMessage, Welcome

ROOM = "square/main"
MORE = "square/more"
ONE, TWO = ConnectionId(1), ConnectionId(2)
LATER = Refused(0, "unavailable", "no", True, 1000)


def welcome(*replies: Joined | Refused) -> Welcome:
    return Welcome(1, "g", "s", "g", "me", "Ada", 25_000, list(replies))


def joined(n: int, room: str = ROOM) -> Joined:
    return Joined(n, room, "e1", 0, 0)


def joins(effects: list[Effect]) -> list[tuple[ConnectionId, str, int]]:
    sent = [(each.connection, each.message) for each in effects if isinstance(each, Send)]
    return [(connection, message.room, message.n) for connection, message in sent if isinstance(message, Join)]


class Moving:
    """A session in one room, told to leave; its successor has said hello and has no welcome yet."""

    def __init__(self) -> None:
        self.session = Session(["ws://a"], Random(1), name="Ada")
        self.session.want(ROOM)
        self.session.start(0.0)
        self.session.opened(ONE)
        self.hear(ONE, welcome(joined(0)))
        self.hear(ONE, Goaway(5000, 0))
        self.session.tick(0.0)
        self.session.opened(TWO)

    def hear(self, connection: ConnectionId, message: ServerMessage) -> list[Effect]:
        return self.session.received(connection, message, 0.0)


def test_a_room_joined_after_the_successor_s_hello_is_asked_of_the_successor_too() -> None:
    # Found by the simulation (seed 87): the room stayed on the old connection, and was nowhere when that ended.
    moving = Moving()
    n = moving.session.number()
    assert joins(moving.session.join(MORE, None, 5, n, 0.0)) == [(ONE, MORE, n)]
    moving.hear(ONE, joined(n, MORE))
    asked = joins(moving.hear(TWO, welcome(joined(0))))
    assert [(connection, room) for connection, room, _ in asked] == [(TWO, MORE)]
    moving.hear(TWO, joined(asked[0][2], MORE))
    assert all(room.owner == TWO for room in map(moving.session.rooms.get, (ROOM, MORE)) if room is not None)


def test_a_join_that_the_old_connection_answers_late_is_asked_of_the_successor() -> None:
    moving = Moving()
    n = moving.session.number()
    moving.session.join(MORE, None, 5, n, 0.0)
    assert joins(moving.hear(TWO, welcome(joined(0)))) == [], "its own answer is still to come"
    asked = joins(moving.hear(ONE, joined(n, MORE)))
    assert [(connection, room) for connection, room, _ in asked] == [(TWO, MORE)]


def test_what_the_old_connection_says_of_a_room_that_has_moved_is_over() -> None:
    for is_refused in (False, True):
        moving = Moving()
        ((_, _, n),) = joins(moving.hear(ONE, Event(ROOM, 5, 1, "message")))
        moving.hear(TWO, welcome(joined(0)))
        moving.hear(ONE, Refused(n, "unavailable", "no", True, 1000) if is_refused else joined(n))
        room = moving.session.rooms.get(ROOM)
        assert room is not None
        assert (room.owner, room.rejoin_at) == (TWO, None)


def test_a_room_to_be_entered_later_is_no_deadline_while_there_is_no_connection() -> None:
    # Found by the simulation (seed 9): no tick could meet the deadline, and the client's timer span.
    moving = Moving()
    moving.hear(TWO, welcome(LATER))
    moving.session.closed(TWO, 1006, "", 0.1)
    moving.session.closed(ONE, 1006, "", 0.1)
    for _ in range(3):
        deadline = moving.session.next_deadline()
        assert deadline is not None
        moving.session.tick(deadline)
        after = moving.session.next_deadline()
        assert after is not None
        assert after > deadline
