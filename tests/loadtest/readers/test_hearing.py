"""What each message does to a reader: each thing that must not happen is found, and nothing else is."""

import socket
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.reconnect import Reconnect
from loadtest.connections.greeting import Greeting
from loadtest.figures.messages import Finding
from loadtest.figures.tally import Tally
from loadtest.readers.hearing import RECEIVE_BYTES, Ear
from loadtest.readers.reader import NOWHERE, Line, Place, Reader
from loadtest.readers.receptions import Receptions
from wire.client_codec import Form, encode
from wire.client_messages import (
    Ack,
    Count,
    Event,
    Goaway,
    Hide,
    Joined,
    Ping,
    Pong,
    Position,
    Refused,
    Reset,
    ServerMessage,
    Skipped,
    Stale,
    Welcome,
)
from wire.frames import OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_TEXT, frame

ROOM = "square/main"
MASK = bytes(4)


class Listener:
    """A reader with its ear, without any network."""

    def __init__(self, rooms: tuple[str, ...] = (ROOM,), head: int = 0) -> None:
        self.tally = Tally()
        self.receptions = Receptions(self.tally, "r1", 0)
        self.ear = Ear(self.receptions, self.tally, MASK)
        self.rooms = rooms
        self.reader = Reader(1, "Lurker", rooms, 0, Reconnect(["ws://a"], Random(1)))
        self.line = self.connect()
        self.ear.welcomed(self.line, self.welcome([Joined(0, room, "e1", head, head) for room in rooms]))
        self.reader.line = self.line
        self.now_ns = 0

    def connect(self) -> Line:
        asked = {place.room.name: place.position() for place in self.places()}
        sock = socket.socket()
        sock.close()
        return Line(self.reader, sock, Greeting("a", "/", [], key=bytes(16), mask=MASK), asked)

    def places(self) -> list[Place]:
        return [place for room in self.rooms if (place := self.reader.standing(room)) is not None]

    @staticmethod
    def welcome(joins: list[Joined | Refused]) -> Welcome:
        return Welcome(1, "g", "s", "g", "a", "n", 25_000, joins)

    def again(self, *joins: Joined | Refused) -> None:
        """The connection is lost and the next one welcomed."""
        self.ear.over(self.line)
        self.reader.left.update(self.line.places)
        self.reader.line = None
        self.line = self.connect()
        self.ear.welcomed(self.line, self.welcome(list(joins)))
        self.reader.line = self.line

    def hear(self, *messages: ServerMessage | bytes) -> bytes:
        data = b"".join(
            message if isinstance(message, bytes) else frame(OPCODE_BINARY, encode(message, Form.MSGPACK)) for message in messages
        )
        return self.ear.hear(self.line, data, self.now_ns)

    def offset(self, room: str = ROOM) -> int:
        return self.line.places[self.receptions.room(room)].next - 1

    def looked(self) -> tuple[dict[str, int], list[Finding]]:
        self.receptions.flush()
        _, counts, findings = self.tally.take()
        counts.pop("bytes_received", None)
        return counts, findings

    def found(self) -> list[tuple[str, int, int]]:
        return [(finding.kind, finding.offset, finding.count) for finding in self.looked()[1]]


@pytest.fixture
def listener() -> Listener:
    return Listener()


def event(offset: int, room: str = ROOM) -> Event:
    return Event(room, offset, 5, "message", "ada", "Ada", f"id{offset}", "good evening")


@given(st.lists(st.integers(0, 3000), max_size=30), st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=40))
def test_events_in_order_are_delivered_and_nothing_is_found_however_they_are_cut(cuts: list[int], rooms: list[int]) -> None:
    names = ("a/1", "a/2", "a/3")
    listener, heads = Listener(names), dict.fromkeys(names, 0)
    stream = b""
    for room in rooms:
        name = f"a/{room}"
        heads[name] += 1
        stream += frame(OPCODE_BINARY, encode(event(heads[name], name), Form.MSGPACK))
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        listener.ear.hear(listener.line, stream[start:end], 0)
    assert {name: listener.offset(name) for name in names} == heads
    assert listener.looked() == ({"deliveries": len(rooms)}, [])


def test_bytes_that_are_known_are_taken_without_a_look_inside(listener: Listener) -> None:
    other = Listener.__new__(Listener)
    other.__dict__.update(listener.__dict__)
    other.reader = Reader(2, "Lurker", (ROOM,), 0, Reconnect(["ws://a"], Random(1)))
    other.line = other.connect()
    other.ear.welcomed(other.line, other.welcome([Joined(0, ROOM, "e1", 0, 0)]))
    for messages in ([event(1)], [event(2), event(3)], [event(4)]):
        data = b"".join(frame(OPCODE_BINARY, encode(message, Form.MSGPACK)) for message in messages)
        listener.hear(data)
        sight = listener.receptions.known[data]
        # What the pool's hot path compares.
        assert (sight.room, sight.first) == (other.line.place.room, other.line.place.next)
        other.hear(data)
        assert len(sight.times) >= 1
    assert (listener.offset(), other.offset()) == (4, 4)
    assert listener.looked() == ({"deliveries": 8}, [])


@pytest.mark.parametrize(("missing", "is_known"), [(1, True), (0, False)])
def test_bytes_that_fill_a_receive_are_never_known(listener: Listener, missing: int, is_known: bool) -> None:
    bare = len(frame(OPCODE_BINARY, encode(Event(ROOM, 1, 5, "message", text="x" * 60_000), Form.MSGPACK))) - 60_000
    text = "x" * (RECEIVE_BYTES - bare - missing)
    data = frame(OPCODE_BINARY, encode(Event(ROOM, 1, 5, "message", text=text), Form.MSGPACK))
    assert len(data) == RECEIVE_BYTES - missing
    listener.hear(data)
    assert (data in listener.receptions.known) is is_known
    assert listener.offset() == 1


def test_within_a_message_nothing_may_be_taken_as_it_comes(listener: Listener) -> None:
    data = frame(OPCODE_BINARY, encode(event(1), Form.MSGPACK))
    listener.hear(data[:5])
    assert listener.line.place is NOWHERE
    listener.hear(data[5:])
    assert listener.line.place is listener.line.last
    assert listener.offset() == 1


def test_a_jump_is_lost_once_nothing_has_filled_it(listener: Listener) -> None:
    listener.hear(event(1), event(4))
    assert listener.found() == []
    listener.ear.tell_holes(-1)
    assert listener.found() == []
    listener.ear.tell_holes(0)
    assert listener.found() == [("lost", 2, 2)]
    listener.ear.tell_holes(10)
    listener.ear.over(listener.line)
    assert listener.found() == []


def test_a_connection_that_ends_tells_its_holes(listener: Listener) -> None:
    listener.hear(event(2))
    listener.ear.over(listener.line)
    assert listener.found() == [("lost", 1, 1)]
    assert not listener.ear.holed


def test_what_comes_late_is_reordered_and_not_lost(listener: Listener) -> None:
    listener.hear(event(1), event(3), event(2), event(4))
    listener.ear.tell_holes(10)
    counts, findings = listener.looked()
    assert [(finding.kind, finding.offset) for finding in findings] == [("reordered", 2)]
    assert counts == {"deliveries": 4, "reordered": 1}
    assert listener.offset() == 4


def test_what_comes_twice_is_duplicated(listener: Listener) -> None:
    listener.hear(event(1), event(2), event(1))
    counts, findings = listener.looked()
    assert [(finding.kind, finding.offset) for finding in findings] == [("duplicated", 1)]
    assert counts == {"deliveries": 3, "duplicated": 1}


def test_a_known_run_that_was_received_in_part_is_taken_event_by_event(listener: Listener) -> None:
    listener.hear(event(1), event(2))
    listener.hear(event(1), event(2))
    assert listener.found() == [("duplicated", 1, 1), ("duplicated", 2, 1)]


def test_an_event_of_a_room_that_was_not_entered_is_of_the_wrong_room(listener: Listener) -> None:
    listener.hear(event(1, "square/other"))
    counts, [finding] = listener.looked()
    assert (finding.kind, finding.room, finding.offset) == ("wrong_room", "square/other", 1)
    assert counts == {"deliveries": 1, "wrong_room": 1}


def test_what_is_announced_is_skipped_before_or_after_the_jump(listener: Listener) -> None:
    listener.hear(Skipped(ROOM, 1, 3), event(4), event(7), Skipped(ROOM, 5, 6))
    listener.ear.tell_holes(10)
    assert listener.looked() == ({"deliveries": 2, "skipped": 5}, [])
    assert listener.offset() == 7


def test_a_skip_that_begins_too_late_leaves_a_hole(listener: Listener) -> None:
    listener.hear(Skipped(ROOM, 3, 4), Skipped("square/other", 1, 1))
    listener.ear.tell_holes(10)
    assert listener.found() == [("lost", 1, 2)]
    assert listener.offset() == 4


def test_a_reset_starts_over(listener: Listener) -> None:
    listener.hear(event(1), event(3), Reset(ROOM, "e2", 7, "epoch"), event(8))
    assert listener.offset() == 8
    assert listener.found() == [("lost", 2, 1)]
    assert listener.places()[0].position() == Position("e2", 8)


def test_a_ping_is_answered_with_what_was_seen(listener: Listener) -> None:
    reply = listener.hear(event(1), Ping())
    assert reply[6:] == encode(Pong({ROOM: 1}), Form.MSGPACK)
    assert listener.hear(frame(OPCODE_PING, b"x"))[6:] == b"x"


def test_signals_change_nothing_but_the_rooms_size(listener: Listener) -> None:
    assert listener.hear(Count(ROOM, 3000), Hide(ROOM, 1), Stale(ROOM, True)) == b""
    assert listener.receptions.room(ROOM).present == 3000
    assert listener.looked() == ({}, [])


def test_a_signal_that_is_known_is_read_over_and_its_bytes_are_counted(listener: Listener) -> None:
    signals = [Count(ROOM, 3000), Stale(ROOM, True), Hide(ROOM, 1)]
    sizes = sum(len(frame(OPCODE_BINARY, encode(signal, Form.MSGPACK))) for signal in signals)
    for _ in range(3):
        for signal in signals:
            assert listener.hear(signal) == b""
    assert listener.tally.counts["bytes_received"] == 3 * sizes
    for number in range(3000):
        listener.hear(Count(ROOM, number))
    assert listener.receptions.room(ROOM).present == 2999
    # A ping is asked of each reader.
    assert listener.hear(Ping()) != b""
    assert listener.hear(Ping()) != b""


def test_a_goaway_and_refusals_are_left_to_the_lifeline(listener: Listener) -> None:
    refused = Refused(2, "unavailable", "Later.", True, 100, ROOM)
    listener.hear(Goaway(5000, 100), refused)
    assert listener.line.goaway == Goaway(5000, 100)
    assert listener.line.refusals == [refused]


def test_a_close_is_answered_in_kind(listener: Listener) -> None:
    payload = (3001).to_bytes(2, "big") + b"leaving"
    assert listener.hear(frame(OPCODE_CLOSE, payload))[6:] == payload
    assert listener.line.end == (3001, "leaving")
    assert listener.line.place is NOWHERE


@pytest.mark.parametrize("said", [
    frame(OPCODE_TEXT, b"{}"),
    frame(OPCODE_BINARY, b"\xff"),
    b"\xff\xff",
    frame(OPCODE_BINARY, encode(Ack(1, ROOM, "id", "e", 1, 1), Form.MSGPACK)),
])  # fmt: skip
def test_what_no_server_may_send_is_found_and_ends_the_connection(listener: Listener, said: bytes) -> None:
    listener.hear(said)
    assert listener.found() == [("protocol", 0, 1)]
    assert listener.line.end is not None


def test_a_message_of_a_newer_server_is_read_over(listener: Listener) -> None:
    listener.hear(frame(OPCODE_BINARY, b"\x81\xa1t\xa7novelty"), event(1))
    assert listener.looked() == ({"deliveries": 1}, [])


# --- resumes --------------------------------------------------------------------------------------------


def rejoined(since: int, offset: int, epoch: str = "e1", reason: str = "") -> Joined:
    return Joined(0, ROOM, epoch, offset, since, "", True, not reason, reason)


def test_a_whole_resume_is_recovered(listener: Listener) -> None:
    listener.hear(event(1))
    listener.again(rejoined(1, 3))
    listener.hear(event(2), event(3), event(4))
    assert listener.looked() == ({"deliveries": 4, "resumes_recovered": 1}, [])


def test_a_hole_in_what_was_called_recovered_is_a_resume_gap(listener: Listener) -> None:
    listener.hear(event(1))
    listener.again(rejoined(1, 4))
    listener.hear(event(4), event(7))
    listener.ear.tell_holes(10)
    assert listener.found() == [("resume_gap", 2, 2), ("lost", 5, 2)]


@pytest.mark.parametrize(("answer", "found"), [
    (rejoined(3, 5), ("resume_gap", 2, 2)),
    (rejoined(1, 5, epoch="e2"), ("resume_gap", 2, 1)),
])  # fmt: skip
def test_an_answer_that_does_not_connect_is_a_resume_gap(
    listener: Listener, answer: Joined, found: tuple[str, int, int]
) -> None:
    listener.hear(event(1))
    listener.again(answer)
    listener.hear(event(answer.since + 1))
    assert listener.found() == [found]


def test_a_resume_that_repeats_is_found(listener: Listener) -> None:
    listener.hear(event(1), event(2))
    listener.again(rejoined(2, 2))
    listener.hear(event(2))
    assert listener.found() == [("duplicated", 2, 1)]


def test_a_resume_that_says_what_is_missing_is_no_violation(listener: Listener) -> None:
    listener.hear(event(1))
    listener.again(rejoined(4, 5, reason="trimmed"))
    listener.hear(event(5), event(6))
    assert listener.looked() == ({"deliveries": 3, "resumes_reset": 1, "skipped": 3}, [])
    listener.again(rejoined(0, 1, epoch="e2", reason="epoch"))
    listener.hear(event(1))
    assert listener.looked() == ({"deliveries": 1, "resumes_reset": 1}, [])


def test_what_the_old_connection_brought_meanwhile_is_no_repetition(listener: Listener) -> None:
    listener.hear(event(1))
    successor = listener.connect()
    listener.hear(event(2), event(3))
    listener.ear.welcomed(successor, listener.welcome([rejoined(1, 3)]))
    listener.reader.line = listener.line = successor
    listener.hear(event(2), event(3), event(4))
    counts, findings = listener.looked()
    assert findings == []
    assert counts == {"deliveries": 6, "resumes_recovered": 1}


def test_rooms_that_were_refused_keep_their_position() -> None:
    listener = Listener(("a/1", "a/2"))
    listener.hear(event(1, "a/1"), event(1, "a/2"))
    listener.again(Refused(0, "unavailable", "Later.", True, 100, "a/1"), Joined(0, "a/2", "e1", 1, 1, "", True, True))
    assert [answer.room for answer in listener.line.refusals] == ["a/1"]
    place = listener.reader.standing("a/1")
    assert place is not None
    assert place.position() == Position("e1", 1)
    listener.line.asked["a/1"] = place.position()
    listener.hear(Joined(2, "a/1", "e1", 2, 1, "", True, True), event(2, "a/1"))
    counts, findings = listener.looked()
    assert (counts["resumes_recovered"], counts["deliveries"], findings) == (2, 3, [])


def test_at_the_end_what_has_not_come_is_undelivered(listener: Listener) -> None:
    listener.hear(event(1))
    place = listener.line.places[listener.receptions.room(ROOM)]
    listener.ear.missing(listener.line, place, 1)
    assert listener.found() == []
    listener.ear.missing(listener.line, place, 3)
    assert listener.found() == [("undelivered", 2, 2)]
