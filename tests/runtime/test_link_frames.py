"""Framing: whatever the recvs cut, the messages come out whole, once and in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.link_frames import FrameReader, frame_length, pack_length
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.limits import LINK_FRAME_BYTES_MAX


def framed(messages: list[bytes]) -> bytes:
    return b"".join(pack_length(len(message)) + message for message in messages)


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(1, 64), max_size=50))
def test_any_cutting_of_the_stream_gives_the_same_messages(messages: list[bytes], cuts: list[int]) -> None:
    stream = framed(messages)
    reader = FrameReader()
    got: list[bytes] = []
    at = 0
    for cut in [*cuts, len(stream)]:
        chunk = stream[at : at + cut]
        at += cut
        got += [bytes(frame) for frame in reader.feed(chunk)]
    assert got == messages
    assert reader.bytes_held == 0


def test_whole_messages_of_one_recv_are_views_into_it() -> None:
    data = framed([b"one", b"two"])
    frames = FrameReader().feed(data)
    assert [frame.obj is data for frame in frames] == [True, True]


def test_a_cut_message_is_gathered_until_it_is_whole() -> None:
    reader = FrameReader()
    stream = framed([b"x" * 100_000])
    assert [reader.feed(stream[at : at + 1000]) for at in range(0, 100_000, 1000)] == [[]] * 100
    assert reader.bytes_held == 100_000
    assert reader.feed(stream[100_000:]) == [memoryview(b"x" * 100_000)]
    assert reader.bytes_held == 0


def test_a_message_too_long_is_refused_at_its_header_and_nothing_is_gathered() -> None:
    reader = FrameReader()
    header = pack_length(LINK_FRAME_BYTES_MAX + 1)
    assert reader.feed(header[:3]) == []
    with pytest.raises(PeerError, match=f"{LINK_FRAME_BYTES_MAX + 1} bytes exceeds {LINK_FRAME_BYTES_MAX}") as raised:
        reader.feed(header[3:])
    assert raised.value.code is CloseCode.TOO_BIG
    assert reader.bytes_held == 0


def test_the_longest_message_is_allowed() -> None:
    assert frame_length(pack_length(LINK_FRAME_BYTES_MAX)) == LINK_FRAME_BYTES_MAX


@given(st.binary(max_size=200))
def test_any_bytes_give_messages_or_a_peer_error(data: bytes) -> None:
    reader = FrameReader()
    try:
        frames = reader.feed(data)
    except PeerError:
        return
    assert sum(len(frame) + 4 for frame in frames) + reader.bytes_held == len(data)
