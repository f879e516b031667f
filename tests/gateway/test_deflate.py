"""One message deflated and inflated: RFC 7692's examples, wsproto's own extension as the oracle, and bombs."""

import itertools
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage

from gateway.deflate import Deflated, Inflater, deflate, deflated_bytes_max, message_form
from tests.support.deflating import agreed, deflated, inflate
from wire.client_codec import Form
from wire.codes import CloseCode
from wire.errors import PeerError
from wire.frames import DEFLATED_BIT, OPCODE_BINARY, frame
from wire.limits import CLIENT_FRAME_BYTES_MAX, DEFLATE_BYTES_MIN, DEFLATE_FINAL_BLOCKS_MAX

MAX = CLIENT_FRAME_BYTES_MAX

_texts = st.text(max_size=400).map(str.encode)
_payloads = st.binary(max_size=300) | _texts | st.tuples(_texts, st.integers(1, 40)).map(lambda pair: pair[0] * pair[1])


def code_of(data: bytes, bytes_max: int = MAX) -> CloseCode:
    with pytest.raises(PeerError) as raised:
        inflate(data, bytes_max)
    return raised.value.code


def test_a_deflated_form_knows_the_form_underneath() -> None:
    assert {message_form(form) for form in Form} == set(Form)
    assert {message_form(form): form for form in Deflated} == {Form.MSGPACK: Deflated.MSGPACK, Form.JSON: Deflated.JSON}


# --- what we send ----------------------------------------------------------------------------------------


@given(st.lists(_payloads, max_size=6))
@settings(max_examples=200, deadline=None)
def test_wsproto_as_a_client_reads_joined_frames_each_of_which_was_deflated_by_itself(payloads: list[bytes]) -> None:
    client = Connection(ConnectionType.CLIENT, extensions=[agreed()])
    frames = []
    for payload in payloads:
        short = deflate(payload)
        frames.append(frame(OPCODE_BINARY, payload) if short is None else frame(OPCODE_BINARY | DEFLATED_BIT, short))
    client.receive_data(b"".join(frames))
    seen = b""
    whole = []
    for event in client.events():
        assert isinstance(event, BytesMessage)
        seen += event.data
        if event.message_finished:
            whole.append(seen)
            seen = b""
    assert whole == payloads


@given(_payloads)
@settings(max_examples=200, deadline=None)
def test_deflating_makes_shorter_or_is_not_done(payload: bytes) -> None:
    short = deflate(payload)
    if short is None:
        return
    assert len(payload) >= DEFLATE_BYTES_MIN
    assert len(short) < len(payload)
    assert inflate(short, len(payload)) == payload


def test_what_is_short_or_does_not_shrink_is_left_alone() -> None:
    assert deflate(b"a" * (DEFLATE_BYTES_MIN - 1)) is None
    assert deflate(b"a" * DEFLATE_BYTES_MIN) is not None
    assert deflate(random.Random(1).randbytes(5000)) is None


# --- what we are sent ------------------------------------------------------------------------------------

_OF_THE_RFC = {
    "one block": ("f2 48 cd c9 c9 07 00", b"Hello"),
    "no compression": ("00 05 00 fa ff 48 65 6c 6c 6f 00", b"Hello"),
    "a final block": ("f3 48 cd c9 c9 07 00 00", b"Hello"),
    "two blocks": ("f2 48 05 00 00 00 ff ff ca c9 c9 07 00", b"Hello"),
    "nothing": ("00", b""),
}


@pytest.mark.parametrize(("written", "payload"), _OF_THE_RFC.values(), ids=_OF_THE_RFC.keys())
def test_the_examples_of_the_rfc_inflate(written: str, payload: bytes) -> None:
    assert inflate(bytes.fromhex(written), 5) == payload


def test_the_second_example_with_the_context_of_the_first_is_refused() -> None:
    """A client that agreed to take no context over, and does."""
    assert code_of(bytes.fromhex("f2 00 11 00 00")) is CloseCode.INVALID_DATA


@given(_payloads, st.integers(0, 9), st.integers(9, 15), st.integers(1, 9))
@settings(deadline=None)
def test_whatever_compressor_a_client_has_the_payload_comes_out(payload: bytes, level: int, bits: int, memory: int) -> None:
    deflater = zlib.compressobj(level, zlib.DEFLATED, -bits, memory)
    data = (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert inflate(data, len(payload)) == payload
    assert len(payload) == 0 or code_of(data, len(payload) - 1) is CloseCode.TOO_BIG


@pytest.mark.parametrize("memory", [1, 8, 9])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_message_of_the_bound_that_does_not_shrink_still_fits(level: int, memory: int) -> None:
    for length in (1, 100, 1000, 16_384, MAX):
        deflater = zlib.compressobj(level, zlib.DEFLATED, -15, memory)
        payload = random.Random(length).randbytes(length)
        data = (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        assert len(data) <= deflated_bytes_max(length)
        assert inflate(data, length) == payload


def test_a_bomb_costs_no_more_than_the_bound_and_is_told_so() -> None:
    """64 KiB that stand for 64 MiB: one byte beyond the bound comes out, and no more."""
    bomb = deflated(bytes(64 * 1024 * 1024))
    assert len(bomb) <= MAX
    tracemalloc.start()
    try:
        assert code_of(bomb) is CloseCode.TOO_BIG
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MAX


def test_a_bomb_in_many_final_blocks_is_bounded_too() -> None:
    """Each final block costs an inflater of its own."""
    empty = b"\x03\x00"
    assert inflate(empty * DEFLATE_FINAL_BLOCKS_MAX + b"\x00", MAX) == b""
    assert code_of(empty * (DEFLATE_FINAL_BLOCKS_MAX + 1) + b"\x00") is CloseCode.TOO_BIG
    assert code_of(empty * (MAX // 2)) is CloseCode.TOO_BIG
    part = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = part.compress(bytes(MAX // 4)) + part.flush()
    assert inflate(block * 4 + b"\x00", MAX) == bytes(MAX)
    assert code_of(block * 5 + b"\x00") is CloseCode.TOO_BIG


def test_a_bomb_is_found_while_it_comes() -> None:
    bomb = deflated(bytes(64 * 1024 * 1024))
    inflater = Inflater(MAX)
    # 1,032 bytes for each that is sent, and the tables before them.
    inflater.feed(bomb[:60])
    with pytest.raises(PeerError):
        inflater.feed(bomb[60:120])


@given(_payloads, st.lists(st.integers(min_value=0), max_size=8), st.integers(0, 400))
@settings(deadline=None)
def test_in_whatever_pieces_a_message_comes_it_is_the_same(payload: bytes, cuts: list[int], bytes_max: int) -> None:
    data = deflated(payload)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    inflater = Inflater(bytes_max)
    try:
        for start, end in itertools.pairwise(edges):
            inflater.feed(data[start:end])
        seen: bytes | CloseCode = inflater.finish()
    except PeerError as error:
        seen = error.code
    assert seen == (payload if len(payload) <= bytes_max else CloseCode.TOO_BIG)


def test_a_message_that_was_cut_is_no_message() -> None:
    whole = deflated("Wer zu spät kommt, den bestraft das Leben. ".encode() * 9)
    for end in range(len(whole)):
        with pytest.raises(PeerError) as raised:
            inflate(whole[:end], MAX)
        assert raised.value.code is CloseCode.INVALID_DATA


def test_errors_never_quote_what_a_person_wrote() -> None:
    for data in (b"secret", deflated(b"secret")[:-1], deflated(b"secret" * 99)):
        with pytest.raises(PeerError) as raised:
            inflate(data, 100)
        assert "secret" not in raised.value.message


@given(st.binary(max_size=200), st.integers(0, 100))
@settings(max_examples=500, deadline=None)
def test_any_bytes_give_a_payload_within_the_bound_or_the_one_declared_error(data: bytes, bytes_max: int) -> None:
    try:
        seen: bytes | CloseCode = inflate(data, bytes_max)
    except PeerError as error:
        seen = error.code
    assert len(seen) <= bytes_max if isinstance(seen, bytes) else seen in (CloseCode.TOO_BIG, CloseCode.INVALID_DATA)
