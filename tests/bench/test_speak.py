"""Texts that make an event's payload as long as it is asked to be."""

from hypothesis import given
from hypothesis import strategies as st

from bench.audit import text_ends_with_its_id
from bench.speak import padded_text
from wire.client_codec import Form, encode
from wire.client_messages import Event
from wire.limits import TEXT_GRAPHEMES_MAX


def event(offset: int, text: str = "") -> Event:
    return Event("bench/r000", offset, 1_800_000_000_000, "message", "author-0123", "speaker-000", "00000001-f", text)


@given(st.sampled_from([1, 200, 60_000, 70_000]), st.integers(118, 350))
def test_the_payload_has_the_length_that_was_asked_for(offset: int, wanted: int) -> None:
    text = padded_text(event(offset), wanted)
    length = len(encode(event(offset, text), Form.MSGPACK))
    assert wanted - 1 <= length <= wanted
    assert text_ends_with_its_id(text, "00000001-f")
    assert len(text) <= TEXT_GRAPHEMES_MAX


def test_where_there_is_no_room_one_letter_remains() -> None:
    assert padded_text(event(1), 20) == "f"
