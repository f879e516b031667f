"""Stretches: what slow readers get, and are told that they do not get."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.deflate import Deflated, EventForm, message_form
from gateway.ladder import SAMPLE_KEPT, Rung
from gateway.ring import FOR_EVERYBODY, Ring, payload_of
from gateway.thinner import Thinner
from tests.support.deflating import inflate
from tests.support.gateway_fakes import ROOM, event_payload
from wire.client_codec import Form, decode_server_message, encode
from wire.client_messages import AnyServerMessage, Event, Reset, Skipped
from wire.frames import DEFLATED_BIT
from wire.limits import PASS_BUFFER_BYTES_MAX, SAMPLE_BLOCK_EVENTS

RUNGS = [rung for rung in Rung if rung is not Rung.FULL]
OWN = 77


def ring_of(tags: list[int], offset: int = 0, text: str = "hello") -> Ring:
    ring = Ring(offset)
    for number, tag in enumerate(tags, offset + 1):
        ring.append_event(event_payload(number, text), 0.0, tag)
    return ring


def messages_in(buffer: bytes, form: EventForm) -> list[AnyServerMessage]:
    """What a client makes of whole frames, one after another."""
    found, plain = [], message_form(form)
    while buffer:
        short = buffer[1]
        assert short < 127, "no frame of these tests is that long"
        header, length = (2, short) if short < 126 else (4, int.from_bytes(buffer[2:4], "big"))
        whole, buffer = buffer[: header + length], buffer[header + length :]
        payload = payload_of(whole)
        if whole[0] & DEFLATED_BIT:
            payload = inflate(payload, 65536)
        found.append(decode_server_message(payload if plain is Form.MSGPACK else payload.decode(), plain))
    return found


def read_through(ring: Ring, form: EventForm, rung: Rung, cursor: int, own: int = OWN) -> list[AnyServerMessage]:
    thinner, told = Thinner(ROOM), []
    while (stretch := thinner.stretch(ring, form, rung, cursor, ring.head, own)) is not None:
        assert stretch.end > cursor
        here = messages_in(stretch.buffer, form)
        assert stretch.events == sum(isinstance(message, Event) for message in here)
        assert stretch.skipped == sum(message.last - message.first + 1 for message in here if isinstance(message, Skipped))
        told += here
        cursor = stretch.end
    return told


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([1, 2, 3, OWN, FOR_EVERYBODY]), min_size=1, max_size=150), st.integers(0, 100),
    st.sampled_from(RUNGS), st.sampled_from([*Form, *Deflated]), st.integers(0, 2**32),
)  # fmt: skip
def test_what_is_given_and_what_is_told_is_every_offset_once_in_order(
    tags: list[int], offset: int, rung: Rung, form: EventForm, seed: int
) -> None:
    ring = ring_of(tags, offset, "word " * 50)
    cursor = Random(seed).randrange(len(tags))
    given_out: list[int] = []
    covered: list[int] = []
    for message in read_through(ring, form, rung, cursor):
        if isinstance(message, Event):
            given_out.append(message.offset)
            covered.append(message.offset)
        else:
            assert isinstance(message, Skipped)
            covered += range(message.first, message.last + 1)
    last = ring.head_offset if rung is Rung.STATE_ONLY else ring.head_offset // SAMPLE_BLOCK_EVENTS * SAMPLE_BLOCK_EVENTS
    assert covered == list(range(offset + cursor + 1, last + 1))
    due = [number for number in covered if tags[number - offset - 1] in (OWN, FOR_EVERYBODY)]
    assert set(due) <= set(given_out)
    if rung is Rung.STATE_ONLY:
        assert given_out == due


def test_each_class_keeps_its_share_and_what_the_class_below_keeps() -> None:
    ring = ring_of([number % 9 for number in range(10 * SAMPLE_BLOCK_EVENTS)])
    kept = [
        {message.offset for message in read_through(ring, Form.MSGPACK, rung, 0) if isinstance(message, Event)} for rung in RUNGS
    ]
    assert [len(offsets) for offsets in kept] == [10 * share for share in SAMPLE_KEPT] + [0]
    assert kept[0] > kept[1] > kept[2] > kept[3]


def test_where_a_reader_stands_does_not_change_what_is_selected() -> None:
    ring = ring_of([number % 9 for number in range(4 * SAMPLE_BLOCK_EVENTS)])
    whole = [m.offset for m in read_through(ring, Form.MSGPACK, Rung.SAMPLED_1, 0) if isinstance(m, Event)]
    for cursor in range(4 * SAMPLE_BLOCK_EVENTS):
        part = [m.offset for m in read_through(ring, Form.MSGPACK, Rung.SAMPLED_1, cursor) if isinstance(m, Event)]
        assert part == [offset for offset in whole if offset > cursor]


def test_readers_of_a_class_at_one_place_share_one_buffer_and_authors_get_their_own() -> None:
    ring = ring_of([*[number % 9 for number in range(SAMPLE_BLOCK_EVENTS - 1)], OWN])
    thinner = Thinner(ROOM)
    first, second = [thinner.stretch(ring, Form.MSGPACK, Rung.SAMPLED_3, 0, ring.head, own) for own in (100, 101)]
    own = thinner.stretch(ring, Form.MSGPACK, Rung.SAMPLED_3, 0, ring.head, OWN)
    assert first is not None
    assert first is second
    assert own is not None
    assert own is not first


def test_a_removed_text_is_in_no_stretch_that_is_made_after_its_removal() -> None:
    ring = ring_of([FOR_EVERYBODY] * SAMPLE_BLOCK_EVENTS, text="a secret")
    thinner = Thinner(ROOM)
    before = thinner.stretch(ring, Form.MSGPACK, Rung.STATE_ONLY, 0, ring.head, OWN)
    assert before is not None
    for offset in range(1, SAMPLE_BLOCK_EVENTS + 1):
        ring.replace(offset, event_payload(offset, ""))
    after = thinner.stretch(ring, Form.MSGPACK, Rung.STATE_ONLY, 0, ring.head, OWN)
    assert after is not None
    assert b"a secret" in before.buffer
    assert b"a secret" not in after.buffer


def test_a_stretch_is_bounded() -> None:
    ring = ring_of([FOR_EVERYBODY] * 100, text="x" * 2000)
    stretch = Thinner(ROOM).stretch(ring, Form.MSGPACK, Rung.STATE_ONLY, 0, ring.head, OWN)
    assert stretch is not None
    assert 0 < len(stretch.buffer) <= PASS_BUFFER_BYTES_MAX


def test_what_lies_across_a_mark_is_given_in_full() -> None:
    ring = ring_of([1] * 40)
    ring.append_mark(encode(Reset(ROOM, "e2", 0, "epoch"), Form.MSGPACK), 0, 0.0)
    for offset in range(1, 65):
        ring.append_event(event_payload(offset), 0.0, 1)
    thinner = Thinner(ROOM)
    assert thinner.stretch(ring, Form.MSGPACK, Rung.STATE_ONLY, 39, ring.head, OWN) is None
    stretch = thinner.stretch(ring, Form.MSGPACK, Rung.STATE_ONLY, 41, ring.head, OWN)
    assert stretch is not None
    assert messages_in(stretch.buffer, Form.MSGPACK) == [Skipped(ROOM, 1, 64)]


def test_a_selection_outlives_a_ring_that_forgot_part_of_its_block_and_the_memory_of_many_blocks() -> None:
    ring = ring_of([number % 5 for number in range(70 * SAMPLE_BLOCK_EVENTS)])
    told = read_through(ring, Form.MSGPACK, Rung.SAMPLED_2, ring.first - 1)
    blocks = (ring.head - ring.first + 1) // SAMPLE_BLOCK_EVENTS
    events = sum(isinstance(message, Event) for message in told)
    assert SAMPLE_KEPT[1] * blocks <= events <= SAMPLE_KEPT[1] * (blocks + 1)
