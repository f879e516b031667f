"""The counter that all throughput figures rest on: exact for any stream, however it is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping, TextMessage

from bench.stream import EventCounter, StreamError, is_event, read_offset, split_frames
from wire.client_codec import Form, encode
from wire.client_messages import Ack, Count, Event, ServerMessage
from wire.client_messages import Ping as OurPing

ROOM = "bench/r000"


def event(offset: int, text: str = "x" * 30, room: str = ROOM) -> Event:
    return Event(room, offset, 1_800_000_000_000, "message", "author", "name", f"id-{offset}", text)


def written(*messages: ServerMessage | bytes) -> bytes:
    """A server's stream as wsproto writes it; bytes become websocket pings."""
    server = Connection(ConnectionType.SERVER)
    return b"".join(
        server.send(Ping(message) if isinstance(message, bytes) else BytesMessage(encode(message, Form.MSGPACK)))
        for message in messages
    )


def feed(counter: EventCounter, stream: bytes, cuts: list[int]) -> int:
    """Give the stream in pieces, as the load side does: what was left over stands before the next piece."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    buffer = bytearray(len(stream) + 64)
    answered = 0
    for start, end in pairwise(places):
        data = counter.rest + stream[start:end]
        buffer[: len(data)] = data
        answered += counter.take(buffer, len(data))
    return answered


others = st.sampled_from([OurPing(), Count(ROOM, 3000), Ack(1, ROOM, "id", "epoch", 9, 1), b"ping"])
lengths = st.integers(1, 400)


@given(
    start=st.sampled_from([0, 100, 250, 65_000, 65_530, 2**32 - 5]),
    parts=st.lists(st.one_of(others, st.tuples(st.integers(1, 40), lengths)), max_size=12),
    cuts=st.lists(st.integers(0, 10_000), max_size=30),
)
def test_every_event_is_counted_once_wherever_the_stream_is_cut(
    start: int, parts: list[ServerMessage | bytes | tuple[int, int]], cuts: list[int]
) -> None:
    messages: list[ServerMessage | bytes] = []
    offset = start
    for part in parts:
        if isinstance(part, tuple):
            count, length = part
            messages += [event(offset + place, "y" * length) for place in range(1, count + 1)]
            offset += count
        else:
            messages.append(part)
    counter = EventCounter(ROOM, start)
    answered = feed(counter, written(*messages), cuts)
    events = offset - start
    assert (answered, counter.events, counter.offset, counter.lost, counter.repeated) == (events, events, offset, 0, 0)
    assert len(counter.others) == len(messages) - events
    assert counter.rest == b""


@given(
    offsets=st.lists(st.integers(1, 300), min_size=1, max_size=60, unique=True).map(sorted),
    cuts=st.lists(st.integers(0, 10_000), max_size=10),
)
def test_offsets_that_were_jumped_over_are_lost(offsets: list[int], cuts: list[int]) -> None:
    counter = EventCounter(ROOM, 0)
    feed(counter, written(*map(event, offsets)), cuts)
    assert counter.events == len(offsets)
    assert counter.lost == offsets[-1] - len(offsets)
    assert counter.repeated == 0


@given(count=st.integers(2, 50), again=st.integers(1, 49), cuts=st.lists(st.integers(0, 10_000), max_size=10))
def test_frames_that_come_twice_at_the_end_are_repeated(count: int, again: int, cuts: list[int]) -> None:
    again = min(again, count)
    offsets = [*range(1, count + 1), *range(count - again + 1, count + 1)]
    counter = EventCounter(ROOM, 0)
    feed(counter, written(*map(event, offsets)), cuts)
    assert counter.events == count + again
    assert counter.repeated - counter.lost == again


def test_another_kind_of_exactly_the_same_length_is_not_counted() -> None:
    frames = [event(1), event(2), event(3)]
    length = len(encode(frames[0], Form.MSGPACK))
    impostor = next(
        ack for ack in (Ack(1, ROOM, "i" * n, "epoch", 9, 1) for n in range(200)) if len(encode(ack, Form.MSGPACK)) == length
    )
    counter = EventCounter(ROOM, 0)
    feed(counter, written(frames[0]) + written(frames[1], impostor, frames[2]), [len(written(frames[0]))])
    assert (counter.events, len(counter.others)) == (3, 1)


def test_an_event_of_another_room_is_not_counted() -> None:
    counter = EventCounter(ROOM, 0)
    feed(counter, written(event(1, room="bench/r001")), [])
    assert (counter.events, len(counter.others)) == (0, 1)


@pytest.mark.parametrize("room", ["a/b", "n" * 32 + "/" + "r" * 64])
def test_rooms_of_any_length_are_found(room: str) -> None:
    counter = EventCounter(room, 0)
    feed(counter, written(event(1, room=room), event(2, room=room)), [])
    assert counter.events == 2


@pytest.mark.parametrize("stream", [b"\x82\x80abcd", b"\x02\x01x", b"\xc2\x01x"], ids=["masked", "fragment", "reserved bit"])
def test_frames_that_no_server_may_write_are_errors(stream: bytes) -> None:
    with pytest.raises(StreamError):
        list(split_frames(stream, len(stream)))


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_frames_are_split_as_wsproto_writes_them(length: int) -> None:
    stream = Connection(ConnectionType.SERVER).send(TextMessage("x" * length)) + written(b"p")
    payloads = [(opcode, stream[start:end]) for opcode, start, end in split_frames(stream, len(stream))]
    assert payloads == [(1, b"x" * length), (9, b"p")]
    assert list(split_frames(stream, len(stream) - 3))[1:] == []


def test_an_offset_that_is_no_unsigned_integer_is_an_error() -> None:
    with pytest.raises(StreamError):
        read_offset(b"\xa1x", 0)


def test_an_event_is_known_by_its_tag() -> None:
    assert is_event(encode(event(1), Form.MSGPACK), 0)
    assert not is_event(encode(OurPing(), Form.MSGPACK), 0)
