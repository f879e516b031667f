"""What readers have in common: each event is understood once, and its moments become latencies."""

import pytest

from loadtest.audits.stamp import message_id, stamp_text
from loadtest.figures.latency import Latencies
from loadtest.figures.messages import Finding
from loadtest.figures.tally import Tally
from loadtest.readers.receptions import Receptions, Room, Sight
from wire.client_codec import Form, encode
from wire.client_messages import Event
from wire.frames import OPCODE_BINARY, frame

ROOM = "square/main"
RUN = "r1"


def event(offset: int, *, room: str = ROOM, stamped_for: str = ROOM, run: str = RUN, intended_us: int = 1000) -> Event:
    text = stamp_text("good evening", stamped_for, intended_us, 0, offset)
    return Event(room, offset, 5, "message", "ada", "Ada", message_id(run, 0, offset), text)


def learn(receptions: Receptions, said: Event, epoch: str = "e") -> Sight:
    return receptions.learn(said, encode(said, Form.MSGPACK), epoch)


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def receptions(tally: Tally) -> Receptions:
    return Receptions(tally, RUN, offset_us=-500)


def test_a_moment_becomes_a_latency_on_the_masters_clock(receptions: Receptions, tally: Tally) -> None:
    said = event(1, intended_us=1000)
    sight = learn(receptions, said)
    # 1,000 us for the master is 1,500 us here; received at 1,700 and 9,500.
    sight.times += [1_700_000, 9_500_999]
    receptions.flush()
    [row], counts, findings = tally.take()
    assert (row.name, row.count, row.total_us) == ("deliver (small)", 2, 200 + 8000)
    assert counts == {"deliveries": 2, "bytes_received": 2 * len(frame(OPCODE_BINARY, encode(said, Form.MSGPACK)))}
    assert row.bytes == counts["bytes_received"]
    assert findings == []
    receptions.flush()
    assert tally.take() == ([], {}, [])


@pytest.mark.parametrize(("present", "row"), [(100, "deliver (small)"), (101, "deliver (medium)"), (5000, "deliver (large)")])
def test_the_row_is_that_of_the_rooms_size(receptions: Receptions, tally: Tally, present: int, row: str) -> None:
    receptions.room(ROOM).present = present
    learn(receptions, event(1)).times.append(2_000_000)
    receptions.flush()
    assert tally.take()[0][0].name == row


def test_a_run_counts_each_of_its_events(receptions: Receptions, tally: Tally) -> None:
    said = [event(number, intended_us=1000 * number) for number in (1, 2, 3)]
    sights = [learn(receptions, each) for each in said]
    data = b"".join(frame(OPCODE_BINARY, encode(each, Form.MSGPACK)) for each in said)
    receptions.learn_run(data, sights)
    run = receptions.known[data]
    assert (run.first, run.after, run.bytes) == (1, 4, len(data))
    run.times += [10_000_000, 11_000_000]
    receptions.flush()
    [row], counts, _ = tally.take()
    assert counts == {"deliveries": 6, "bytes_received": 2 * len(data)}
    assert 9500 <= Latencies.decode(row.latencies, row.total_us).max_us <= 9510
    assert row.total_us == sum(at - 500 - 1000 * number for at in (10_000, 11_000) for number in (1, 2, 3))


def test_events_that_do_not_follow_upon_each_other_are_no_run(receptions: Receptions) -> None:
    first, third, other = learn(receptions, event(1)), learn(receptions, event(3)), learn(receptions, event(2, room="a/b"))
    receptions.learn_run(b"gap", [first, third])
    receptions.learn_run(b"two rooms", [first, other])
    assert not {b"gap", b"two rooms"} & set(receptions.known)


def test_runs_are_bounded_in_bytes(receptions: Receptions) -> None:
    sights = [learn(receptions, event(1)), learn(receptions, event(2))]
    for number in range(40):
        receptions.learn_run(bytes([number]) * 1_000_000, sights)
    assert sum(len(key) for key in receptions.known) < 17_000_000
    for _ in range(4):
        receptions.flush()
    receptions.learn_run(b"again", sights)
    assert b"again" in receptions.known


def test_what_nobody_receives_any_more_is_forgotten(receptions: Receptions) -> None:
    sight = learn(receptions, event(1))
    receptions.learn_frame(b"frame", sight)
    for _ in range(45):
        receptions.flush()
    sight.times.append(2_000_000)
    for _ in range(45):
        receptions.flush()
    assert len(receptions.known) == 2
    for _ in range(10):
        receptions.flush()
    assert receptions.known == {}
    assert receptions.room(ROOM).events == {}


@pytest.mark.parametrize(("said", "kind"), [
    (event(1, stamped_for="square/other"), "wrong_room"),
    (event(1, room="square/other"), "wrong_room"),
    (Event(ROOM, 1, 5, "message", "ada", "Ada", message_id(RUN, 0, 1), "no stamp"), "altered"),
    (Event(ROOM, 1, 5, "message", "ada", "Ada", message_id(RUN, 0, 1), "bad" + event(1).text[3:]), "altered"),
])  # fmt: skip
def test_what_is_wrong_with_an_event_is_found_once(receptions: Receptions, tally: Tally, said: Event, kind: str) -> None:
    sight = learn(receptions, said)
    sight.times += [1, 2]
    receptions.flush()
    _, counts, [finding] = tally.take()
    assert (finding.kind, finding.room, finding.offset, finding.count) == (kind, said.room, 1, 1)
    assert counts["deliveries"] == 2


def test_two_events_with_one_offset_are_found(receptions: Receptions, tally: Tally) -> None:
    learn(receptions, event(1))
    learn(receptions, event(1, intended_us=2))
    learn(receptions, event(1, intended_us=3), epoch="another log")
    [finding] = tally.take()[2]
    assert finding == Finding("altered", ROOM, 1, 1, "readers", "two readers were sent two different events with this offset")


def test_an_erased_text_is_no_alteration(receptions: Receptions, tally: Tally) -> None:
    learn(receptions, event(1))
    learn(receptions, Event(ROOM, 1, 5, "message", removed="author"))
    assert tally.take()[2] == []


def test_what_others_published_is_delivered_and_not_timed(receptions: Receptions, tally: Tally) -> None:
    for said in (event(1, run="another"), Event(ROOM, 2, 5, "message", "bob", "Bob", "b1", "hello")):
        learn(receptions, said).times.append(5_000_000)
    receptions.flush()
    rows, counts, findings = tally.take()
    assert [row.count for row in rows] == [0]
    assert (counts["deliveries"], findings) == (2, [])


def test_a_room_is_one_object(receptions: Receptions) -> None:
    assert isinstance(receptions.room("a/b"), Room)
    assert receptions.room("a/b") is receptions.room("a/b")
