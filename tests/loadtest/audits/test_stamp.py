"""The stamp at the end of a published text: it survives the service, and shows what was changed on the way."""

from binascii import b2a_base64

from hypothesis import given
from hypothesis import strategies as st

from loadtest.audits.stamp import (
    SEQUENCE_MAX,
    STAMP_CHARS,
    WORDS_GRAPHEMES_MAX,
    WORKERS_MAX,
    are_words_whole,
    id_prefix,
    intended_us_at,
    message_id,
    read_stamp,
    room_crc,
    stamp_at,
    stamp_text,
)
from wire.client_codec import Form, encode
from wire.client_messages import Event
from wire.codes import Refusal
from wire.names import parse_message_id
from wire.text import clean_text

ROOM = "town/square"
WORDS = st.one_of(
    st.text(),
    # Long enough to lose their end, in letters where cutting is not a matter of single characters.
    st.text(alphabet="aé\u0301\u200d\u2764\ufe0f\U0001f469\U0001f3fb\u3164 \n", min_size=400, max_size=1200),
    st.text(alphabet="ab ", min_size=450, max_size=500),
)
MOMENTS = st.integers(0, 2**63)


def _frame(text: str, target: int = 0) -> bytes:
    event = Event(ROOM, 70_000, 1_790_000_000_000, "edit" if target else "message", "a", "Ada", "id-1", text, target)
    return encode(event, Form.MSGPACK)


@given(WORDS, MOMENTS, st.integers(0, WORKERS_MAX - 1), st.integers(0, SEQUENCE_MAX))
def test_a_stamp_survives_the_services_cleaning(words: str, intended_us: int, worker: int, sequence: int) -> None:
    text = stamp_text(words, ROOM, intended_us, worker, sequence)
    cleaned = clean_text(text)
    if isinstance(clean_text(words), Refusal):
        assert text == words
        return
    assert cleaned == text
    stamp = read_stamp(text)
    assert stamp is not None
    assert stamp[:4] == (intended_us, worker, sequence, room_crc(ROOM))
    assert are_words_whole(text, stamp)


def test_words_of_which_nothing_visible_would_be_left_are_left_out() -> None:
    text = stamp_text("\u3164" * WORDS_GRAPHEMES_MAX + "a", ROOM, 1, 0, 0)
    stamp = read_stamp(text)
    assert len(text) == STAMP_CHARS
    assert stamp is not None
    assert are_words_whole(text, stamp)


def test_the_longest_text_keeps_its_beginning() -> None:
    words = "".join(f"{number:05}" for number in range(100))
    text = stamp_text(words, ROOM, 1, 0, 0)
    assert text[:-STAMP_CHARS] == words[:WORDS_GRAPHEMES_MAX] + " "
    assert len(text) == 500


@given(st.text())
def test_what_people_write_is_no_stamp(text: str) -> None:
    assert read_stamp(text) is None


@given(WORDS, st.data())
def test_a_changed_character_is_seen(words: str, data: st.DataObject) -> None:
    text = stamp_text(words or "x", ROOM, 5, 1, 2)
    if isinstance(clean_text(text), Refusal):
        return
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(exclude_characters=text[at], exclude_categories=["Cs"]))
    changed = text[:at] + other + text[at + 1 :]
    stamp = read_stamp(changed)
    assert stamp is None or not are_words_whole(changed, stamp)


def test_a_stamp_of_another_room_is_told_by_its_check() -> None:
    stamp = read_stamp(stamp_text("hello", "town/hall", 1, 0, 0))
    assert stamp is not None
    assert stamp.room_crc == room_crc("town/hall") != room_crc(ROOM)


@given(WORDS, MOMENTS)
def test_a_messages_frame_ends_with_its_stamp(words: str, intended_us: int) -> None:
    text = stamp_text(words, ROOM, intended_us, 3, 4)
    frame = _frame(text)
    assert stamp_at(frame, len(frame)) == read_stamp(text)
    assert intended_us_at(frame, len(frame)) == (-1 if read_stamp(text) is None else intended_us)
    longer = bytearray(b"before" + frame + b"after")
    assert stamp_at(longer, len(longer) - 5) == read_stamp(text)


def test_an_edits_frame_does_not() -> None:
    frame = _frame(stamp_text("hello", ROOM, 1, 0, 0), target=7)
    assert stamp_at(frame, len(frame)) is None
    assert intended_us_at(frame, len(frame)) == -1


@given(st.binary(max_size=2 * STAMP_CHARS), st.integers(0, STAMP_CHARS))
def test_any_bytes_are_read(data: bytes, end: int) -> None:
    assert stamp_at(data, end) is None
    framed = b"{~" + data[: STAMP_CHARS - 4] + b"~}"
    assert stamp_at(framed, len(framed)) is None


def test_markers_around_something_else_make_no_stamp() -> None:
    short = b"{~" + b2a_base64(bytes(22), newline=False) + b"~}"
    assert len(short) == STAMP_CHARS
    assert stamp_at(short, len(short)) is None
    unchecked = b"{~" + b2a_base64(bytes(range(24)), newline=False) + b"~}"
    assert stamp_at(unchecked, len(unchecked)) is None
    assert intended_us_at(b"{~" + b"=" * 32 + b"~}", STAMP_CHARS) == -1


def test_a_messages_id_names_its_run_its_worker_and_its_number() -> None:
    assert message_id("k7", 3, 41) == "lt-k7-3-41"
    assert message_id("k7", 3, 41).startswith(id_prefix("k7"))
    assert parse_message_id(message_id("k7" * 8, WORKERS_MAX, SEQUENCE_MAX)) is not None
