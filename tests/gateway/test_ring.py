"""The ring: sequences, runs, cursors, bounds."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.deflate import Deflated, deflate
from gateway.ring import Ring, payload_of
from tests.support.deflating import inflate
from tests.support.gateway_fakes import event_payload
from wire.client_codec import Form, encode
from wire.client_messages import Reset, Skipped
from wire.frames import DEFLATED_BIT, OPCODE_BINARY, frame
from wire.limits import DEFLATE_BYTES_MIN, FEED_RING_AGE_S, FEED_RING_BYTES_MAX, FEED_RING_EVENTS_MAX


def filled(count: int, offset: int = 0, now: float = 0.0) -> Ring:
    ring = Ring(offset)
    for place in range(1, count + 1):
        ring.append_event(event_payload(offset + place), now)
    return ring


@given(st.integers(0, 70_000))
def test_the_payload_of_a_frame_is_what_was_framed(size: int) -> None:
    payload = bytes(size)
    assert payload_of(frame(OPCODE_BINARY, payload)) == payload


def test_offsets_are_a_constant_away_from_sequences_within_a_run() -> None:
    ring = filled(5, offset=100)
    assert ring.head == 5
    assert ring.head_offset == 105
    assert ring.sequence_of(103) == 3
    assert ring.sequence_of(99) is None


def test_a_mark_starts_a_run_with_its_own_offsets() -> None:
    ring = filled(3, offset=10)
    ring.append_mark(encode(Reset("town/square", "e2", 0), Form.MSGPACK), 0, 0.0)
    assert ring.head_offset == 0
    assert ring.oldest_cursor() == 4
    ring.append_event(event_payload(1), 0.0)
    assert ring.head_offset == 1
    assert ring.sequence_of(1) == 5


def test_a_tombstone_finds_its_event_in_an_earlier_run_of_the_same_log_and_in_no_other_log() -> None:
    ring = filled(3, offset=10)
    skipped = encode(Skipped("town/square", 14, 20), Form.MSGPACK)
    ring.append_mark(skipped, 20, 0.0, same_log=True)
    ring.append_event(event_payload(21), 0.0)
    for offset in (12, 17, 21):
        ring.replace(offset, b"gone")
    frames = [payload_of(ring.joined(Form.MSGPACK, at - 1, at)) for at in range(1, 6)]
    assert frames == [event_payload(11), b"gone", event_payload(13), skipped, b"gone"]
    ring.append_mark(encode(Reset("town/square", "e2", 0), Form.MSGPACK), 0, 0.0)
    ring.replace(11, b"gone")
    assert payload_of(ring.joined(Form.MSGPACK, 0, 1)) == event_payload(11)


def test_events_are_replaced_where_they_are_asked_to_be_within_one_log() -> None:
    ring = filled(3)
    ring.append_mark(encode(Reset("town/square", "e2", 0), Form.MSGPACK), 0, 0.0)
    for offset in range(1, 4):
        ring.append_event(event_payload(offset, "x" * offset), 0.0)
    seen: list[bytes] = []

    def second(payload: bytes) -> bytes | None:
        seen.append(payload)
        return b"gone" if payload == event_payload(2, "xx") else None

    ring.replace_where(second, 2)
    assert seen == [event_payload(2, "xx"), event_payload(3, "xxx")]
    assert ring.joined(Form.MSGPACK, 5, 6) == frame(OPCODE_BINARY, b"gone")
    assert ring.bytes_held() == sum(len(ring.joined(Form.MSGPACK, at - 1, at)) for at in range(1, 8))
    seen.clear()
    ring.replace_where(second, -5)
    assert len(seen) == 3, "what is older than this log is another one's"


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60), st.data())
def test_joined_frames_are_exactly_those_between_two_cursors(sizes: list[int], data: st.DataObject) -> None:
    ring = Ring(0)
    frames = []
    for size in sizes:
        ring.append_event(bytes(size), 0.0)
        frames.append(frame(OPCODE_BINARY, bytes(size)))
    cursor = data.draw(st.integers(0, len(sizes) - 1))
    end = data.draw(st.integers(cursor + 1, len(sizes)))
    assert ring.joined(Form.MSGPACK, cursor, end) == b"".join(frames[cursor:end])
    assert ring.bytes_between(cursor, end) == sum(map(len, frames[cursor:end]))
    bound = data.draw(st.integers(1, 2000))
    reached = ring.reach(cursor, end, bound)
    assert cursor < reached <= end
    assert reached == cursor + 1 or ring.bytes_between(cursor, reached) <= bound
    assert reached == end or ring.bytes_between(cursor, reached + 1) > bound


def test_the_json_form_carries_the_same_events() -> None:
    ring = filled(2)
    joined = ring.joined(Form.JSON, 0, 2)
    first_length = len(ring.joined(Form.JSON, 0, 1))
    assert joined[:first_length] == ring.joined(Form.JSON, 0, 1)
    assert msgspec.json.decode(payload_of(ring.joined(Form.JSON, 1, 2)))["offset"] == 2


def inflated(framed: bytes) -> bytes:
    payload = payload_of(framed)
    return inflate(payload, 10**6) if framed[0] & DEFLATED_BIT else payload


@pytest.mark.parametrize("form", Deflated)
def test_a_deflated_form_is_the_form_underneath_only_shorter(form: Deflated) -> None:
    ring = Ring(0)
    texts = ["long " * 99, "short", "long again " * 50]
    for offset, text in enumerate(texts, 1):
        ring.append_event(event_payload(offset, text), 0.0)
    for at in range(1, 4):
        plain, made = ring.joined(form.value, at - 1, at), ring.joined(form, at - 1, at)
        assert inflated(made) == payload_of(plain)
        assert made[0] & ~DEFLATED_BIT == plain[0]
        assert len(made) <= len(plain)
        is_worth_it = len(payload_of(plain)) >= DEFLATE_BYTES_MIN
        assert bool(made[0] & DEFLATED_BIT) == is_worth_it
        # What is not deflated is the very same object.
        assert (made is plain) == (not is_worth_it)
    assert ring.joined(form, 0, 3) == b"".join(ring.joined(form, at - 1, at) for at in range(1, 4))


def test_an_event_is_deflated_when_the_first_asks_and_then_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    deflated: list[bytes] = []

    def counted(payload: bytes) -> bytes | None:
        deflated.append(payload)
        return deflate(payload)

    monkeypatch.setattr("gateway.ring.deflate", counted)
    ring = filled(20)
    ring.joined(Form.MSGPACK, 0, 20)
    ring.joined(Form.JSON, 0, 20)
    assert deflated == []
    for cursor, end in ((10, 11), (5, 20), (0, 20), (10, 11), (19, 20)):
        ring.joined(Deflated.MSGPACK, cursor, end)
    assert sorted(deflated) == sorted(event_payload(offset) for offset in range(1, 21))


def test_what_is_forgotten_is_forgotten_in_every_form() -> None:
    ring = Ring(0)
    for offset in range(1, 3 * FEED_RING_EVENTS_MAX):
        ring.append_event(event_payload(offset), offset * 10.0)
        for form in (Form.JSON, Deflated.JSON, Deflated.MSGPACK):
            ring.joined(form, ring.head - 1, ring.head)
    made = ring._made
    assert {form: len(frames) for form, frames in made.items()} == dict.fromkeys(made, ring.head - ring.first + 1)


def test_a_removed_event_leaves_every_form_and_the_account_stays_right() -> None:
    ring = filled(3)
    assert b"hello" in ring.joined(Form.JSON, 1, 2)
    assert b"hello" in inflated(ring.joined(Deflated.MSGPACK, 1, 2))
    ring.replace(2, event_payload(2, text=""))
    assert b"hello" not in ring.joined(Form.JSON, 1, 2)
    assert b"hello" not in inflated(ring.joined(Deflated.MSGPACK, 1, 2))
    assert b"hello" not in ring.joined(Form.MSGPACK, 1, 2)
    assert ring.bytes_between(0, 3) == len(ring.joined(Form.MSGPACK, 0, 3)) == ring.bytes_held()


def test_replacing_what_is_not_held_changes_nothing() -> None:
    ring = filled(3, offset=10)
    before = ring.joined(Form.MSGPACK, 0, 3)
    for offset in (5, 10, 14):
        ring.replace(offset, b"x")
    assert ring.joined(Form.MSGPACK, 0, 3) == before


def test_the_ring_keeps_the_promised_events_however_old() -> None:
    ring = Ring(0)
    for place in range(1, 3 * FEED_RING_EVENTS_MAX):
        ring.append_event(event_payload(place), now=place * FEED_RING_AGE_S)
    assert ring.head - ring.first + 1 >= FEED_RING_EVENTS_MAX
    assert ring.head - ring.first + 1 < 2 * FEED_RING_EVENTS_MAX


def test_the_ring_keeps_recent_events_beyond_the_promised_count() -> None:
    ring = filled(2 * FEED_RING_EVENTS_MAX)
    assert ring.first == 1


def test_bytes_bound_the_ring_whatever_its_age() -> None:
    ring = Ring(0)
    for _ in range(40):
        ring.append_event(bytes(FEED_RING_BYTES_MAX // 10), 0.0)
    assert ring.bytes_held() <= FEED_RING_BYTES_MAX * 9 // 8 + FEED_RING_BYTES_MAX // 10
    assert not ring.holds_after(0)
    assert ring.holds_after(ring.first - 1)
    assert ring.bytes_between(ring.first - 1, ring.head) == ring.bytes_held()
