"""The readers' receive path beside wsproto: the same messages and the same errors, however a stream is cut."""

import struct
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.frame_protocol import ParseFailed

from loadtest.readers.frames import NO_CODE, Frame, FrameReader, Violation, read_close
from wire.frames import OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, frame

Read = tuple[list[Frame], int | None]
"""Messages, and the code of the violation, if any."""


def read(stream: bytes, cuts: list[int], bytes_max: int = 1 << 30) -> tuple[Read, FrameReader]:
    reader = FrameReader(bytes_max)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    frames = [each for start, end in pairwise(places) for each in reader.take(stream[start:end])]
    return (frames, reader.violation.code if reader.violation else None), reader


def wsprotos(stream: bytes) -> Read:
    """What wsproto makes of it, its parts of messages put together."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(stream)
    frames: list[Frame] = []
    parts: list[bytes] = []
    # `events` would tell a close frame and an error in the same words; inside, an error is raised.
    try:
        for event in client._proto.received_frames():
            payload = event.payload
            if event.opcode == OPCODE_CLOSE:
                assert isinstance(payload, tuple)
                code, reason = int(payload[0]), payload[1]
                frames.append(Frame(OPCODE_CLOSE, b"" if code == NO_CODE else struct.pack("!H", code) + reason.encode()))
            elif event.opcode >= OPCODE_CLOSE:
                assert isinstance(payload, bytes)
                frames.append(Frame(int(event.opcode), payload))
            else:
                parts.append(payload.encode() if isinstance(payload, str) else payload)  # type: ignore[arg-type]
                if event.message_finished:
                    frames.append(Frame(int(event.opcode), b"".join(parts)))
                    parts.clear()
    except ParseFailed as error:
        return frames, int(error.code)
    return frames, None


def header(first: int, second: int, length: bytes = b"") -> bytes:
    return bytes((first, second)) + length


sizes = st.sampled_from([0, 1, 2, 124, 125, 126, 127, 300, 65535, 65536, 66000])
payloads = st.one_of(st.binary(max_size=40), sizes.map(lambda size: b"z" * size))


@st.composite
def fragmented(draw: st.DrawFn) -> bytes:
    """A message in pieces, control frames between them."""
    opcode = draw(st.sampled_from([OPCODE_TEXT, OPCODE_BINARY]))
    message = draw(st.text(max_size=30)).encode() if opcode == OPCODE_TEXT else draw(payloads)
    cuts = draw(st.lists(st.integers(0, len(message)), max_size=4))
    pieces = [message[start:end] for start, end in pairwise(sorted([0, *cuts, len(message)]))]
    out = b""
    for place, piece in enumerate(pieces):
        whole = frame(opcode if place == 0 else 0, piece)
        is_last = place == len(pieces) - 1
        out += whole if is_last else bytes((whole[0] & 0x7F,)) + whole[1:]
        if not is_last and draw(st.booleans()):
            out += frame(draw(st.sampled_from([OPCODE_PING, OPCODE_PONG])), draw(st.binary(max_size=125)))
    return out


closes = st.builds(
    lambda code, reason: frame(OPCODE_CLOSE, struct.pack("!H", code) + reason),
    st.one_of(st.sampled_from([0, 1004, 1005, 1006, 1013, 1014, 1015, 1016, 2999, 3000, 4999, 5000]), st.integers(0, 65535)),
    st.one_of(st.binary(max_size=20), st.text(max_size=20).map(str.encode)),
)  # fmt: skip
good = st.one_of(
    st.builds(frame, st.sampled_from([OPCODE_BINARY, OPCODE_TEXT]), payloads),
    st.builds(frame, st.sampled_from([OPCODE_PING, OPCODE_PONG]), st.binary(max_size=125)),
    fragmented(),
)
odd = st.one_of(
    closes,
    st.binary(max_size=12),
    st.builds(frame, st.integers(0, 15), st.binary(max_size=140)),
    st.builds(header, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=20)),
)  # fmt: skip
streams = st.lists(st.one_of(good, good, good, odd), max_size=8).map(b"".join)
cuttings = st.lists(st.integers(0, 70_000), max_size=25)


@settings(max_examples=400)
@given(streams, cuttings)
def test_any_cutting_of_any_stream_gives_the_same_messages_and_errors(stream: bytes, cuts: list[int]) -> None:
    whole, uncut = read(stream, [])
    pieces, reader = read(stream, cuts)
    assert pieces == whole
    assert (reader.rest, reader.is_over, reader.is_between, reader.violation) == (
        uncut.rest, uncut.is_over, uncut.is_between, uncut.violation,
    )  # fmt: skip


@settings(max_examples=150)
@given(st.lists(st.one_of(good, odd), max_size=3).map(b"".join).filter(lambda stream: len(stream) < 400))
def test_byte_by_byte_is_a_cutting_too(stream: bytes) -> None:
    assert read(stream, list(range(len(stream))))[0] == read(stream, [])[0]


@settings(max_examples=600)
@given(streams)
@example(frame(OPCODE_TEXT, b"\xff"))
@example(frame(OPCODE_CLOSE, b"\x03"))
@example(frame(OPCODE_CLOSE, b"\x03\xe8\xff"))
@example(header(0x82, 126, b"\x00\x05") + b"12345")
@example(header(0x82, 127, b"\x00" * 6 + b"\x01\x00") + b"x" * 256)
@example(header(0x82, 127, b"\xff" * 8))
def test_messages_and_errors_are_wsprotos(stream: bytes) -> None:
    ours, reader = read(stream, [])
    theirs = wsprotos(stream)
    frames, code = theirs
    if code is not None and ours[1] is None:
        # Half received: wsproto reads a text's bytes, and we a header, as far as they have come.
        assert not reader.is_between
        assert ours[0] == frames
    elif ours[1] is not None and code is None:
        # Two bytes of a header are enough for us, wsproto wants its length as well.
        assert wsprotos(stream + bytes(8))[1] is not None
        assert ours[0] == frames
    else:
        assert ours == theirs


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1_000_000])
def test_every_form_of_length_is_read(size: int) -> None:
    reader = FrameReader()
    payload = b"a" * size
    assert reader.take(frame(OPCODE_BINARY, payload)) == [Frame(OPCODE_BINARY, payload)]
    assert reader.is_between


def test_control_frames_between_fragments_come_at_once() -> None:
    reader = FrameReader()
    assert reader.take(header(0x02, 3) + b"one" + frame(OPCODE_PING, b"p")) == [Frame(OPCODE_PING, b"p")]
    assert not reader.is_between
    assert reader.take(header(0x80, 3) + b"two") == [Frame(OPCODE_BINARY, b"onetwo")]


@pytest.mark.parametrize(
    ("stream", "code", "words"),
    [
        (header(0xC2, 0), 1002, "reserved bits"),
        (header(0x82, 0x81) + bytes(5), 1002, "masked"),
        (header(0x83, 0), 1002, "opcode 0x3"),
        (header(0x8F, 0), 1002, "opcode 0xf"),
        (header(0x09, 0), 1002, "a control frame is a fragment"),
        (header(0x89, 126, b"\x00\x80"), 1002, "longer than 125"),
        (header(0x80, 0), 1002, "never began"),
        (header(0x02, 0) + header(0x82, 0), 1002, "within another"),
        (header(0x82, 126, b"\x00\x7d"), 1002, "shortest form"),
        (header(0x82, 127, struct.pack("!Q", 65535)), 1002, "shortest form"),
        (header(0x82, 127, struct.pack("!Q", 1 << 63)), 1002, "shortest form"),
        (frame(OPCODE_CLOSE, b"\x03"), 1002, "no code"),
        (frame(OPCODE_CLOSE, struct.pack("!H", 1006)), 1002, "no code"),
        (frame(OPCODE_CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007, "reason"),
        (frame(OPCODE_TEXT, b"\xff"), 1007, "UTF-8"),
    ],
)
def test_what_a_server_may_not_send_is_named_and_nothing_is_read_after_it(stream: bytes, code: int, words: str) -> None:
    reader = FrameReader()
    before, after = frame(OPCODE_BINARY, b"before"), frame(OPCODE_BINARY, b"after")
    assert reader.take(before + stream + after) == [Frame(OPCODE_BINARY, b"before")]
    assert isinstance(reader.violation, Violation)
    assert reader.violation.code == code
    assert words in reader.violation.sentence
    assert reader.take(frame(OPCODE_BINARY, b"later")) == []


def test_a_message_has_a_bound_over_all_its_fragments() -> None:
    reader = FrameReader(bytes_max=10)
    assert reader.take(frame(OPCODE_BINARY, b"x" * 10)) == [Frame(OPCODE_BINARY, b"x" * 10)]
    reader.take(header(0x02, 10) + b"x" * 10)
    assert reader.take(frame(OPCODE_PING, b"y" * 20)) == [Frame(OPCODE_PING, b"y" * 20)]
    reader.take(header(0x80, 1))
    assert reader.violation == Violation(1009, "a message exceeds 10 bytes")
    alone = FrameReader(bytes_max=10)
    alone.take(header(0x82, 11))
    assert alone.violation == Violation(1009, "a message exceeds 10 bytes")


def test_a_close_frame_is_the_last_one() -> None:
    reader = FrameReader()
    goodbye = struct.pack("!H", 3001) + b"leaving"
    assert reader.take(frame(OPCODE_CLOSE, goodbye) + frame(OPCODE_BINARY, b"after")) == [Frame(OPCODE_CLOSE, goodbye)]
    assert reader.is_over
    assert reader.violation is None
    assert read_close(goodbye) == (3001, "leaving")
    assert read_close(b"") == (NO_CODE, "")
